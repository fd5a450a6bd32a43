//! Profiling passes between the trials of a search.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use super::super::lanes::{Job, News, Report};
use super::super::profile::{self, Pass};
use super::{Search, TICK};
use crate::{Event, RunError};

/// The number under which a profile is reported: of no trial.
const PROFILE: u64 = u64::MAX;

impl Search<'_, '_> {
    /// Has the first device's worker profile candidates, while nothing else is under way.
    pub(super) fn profile(&mut self, passes: Vec<Pass>) -> Result<(), RunError> {
        for pass in passes {
            // What is left out is due again when the run goes on.
            if self.session.stop.requested() {
                break;
            }
            let scratch = profile::scratch()?;
            let job = Job {
                trial: PROFILE,
                request: self.session.profile_request(&pass, &scratch)?,
                also: Vec::new(),
                measuring_s: 0.0,
                device: self.uuid(0),
            };
            self.crew.on_lane(0, job)?;
            let ended = loop {
                match self.crew.reports.recv_timeout(TICK) {
                    Ok(Report {
                        news: News::Ended(ended),
                        ..
                    }) => break ended,
                    Ok(Report {
                        news: News::WaitingForDevice { holder },
                        ..
                    }) => self.observer.on(&Event::WaitingForDevice { holder }),
                    Ok(Report {
                        news: News::Phase(phase),
                        ..
                    }) => {
                        let subject = pass.target.label.clone();
                        self.observer.on(&Event::Phase { phase, subject });
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(RunError::internal("the threads of the search are gone"));
                    }
                }
            };
            let Some(reply) = ended.answer? else {
                self.interrupted = true;
                return Ok(());
            };
            if !self
                .session
                .take_profile(&pass, reply, &scratch, true, self.observer)?
            {
                self.interrupted = true;
                return Ok(());
            }
        }
        // What they took is no time of the next trial.
        self.settled = Instant::now();
        Ok(())
    }
}
