//! What an audit shows while it works: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use evo_run::AuditEvent;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Output;
use crate::command::note;

/// How often a line is written to a log.
const PAUSE: Duration = Duration::from_secs(10);

/// Somebody who watches.
pub(super) enum Watch {
    Silent,
    Bar(ProgressBar),
    Lines(Instant),
}

impl Watch {
    pub(super) fn new(output: Output) -> Self {
        if output.quiet || output.json {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Instant::now());
        }
        let bar = ProgressBar::no_length();
        // A template of ours cannot be wrong at run time; if it were, the default style would do.
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {elapsed} [{bar:24}] {pos}/{len} {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    pub(super) fn on(&mut self, event: &AuditEvent<'_>) {
        let (place, message) = match event {
            AuditEvent::Built {
                candidate,
                done,
                of,
            } => (Some((*done, *of)), format!("{candidate}: building")),
            AuditEvent::Timing {
                candidate,
                param,
                done,
                of,
            } => (Some((*done, *of)), format!("{candidate}: timing {param}")),
            AuditEvent::WaitingForDevice { holder } => (
                None,
                format!("waiting for the device: {holder} measures on it"),
            ),
            _ => return,
        };
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                if let Some((done, of)) = place {
                    bar.set_length(of as u64);
                    bar.set_position(done as u64);
                }
                bar.set_message(message);
            }
            Self::Lines(last) => {
                if place.is_none() || last.elapsed() > PAUSE {
                    *last = Instant::now();
                    let counted = place.map(|(done, of)| format!(", {done} of {of}"));
                    note(&format!("{message}{}", counted.unwrap_or_default()));
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
