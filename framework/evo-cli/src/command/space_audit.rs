//! `evo space audit`: what each parameter does to what is executed.

mod json;
mod progress;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use evo_report::knobs::{Effect, Knob, Knobs, Observation};
use evo_run::{
    Audit, AuditSettings, AuditedCandidate, Overrides, SearchPath, Source, Stop, TimedPair,
    audit as run_audit, prepare_audit,
};
use evo_stats::Verdict;

use super::run::is_spec;
use super::space::device;
use super::{note, print, program};
use crate::args::SpaceAudit;
use crate::failure::Failure;
use crate::signals;

/// The exit code of an audit that found what it was told to deny.
const DEAD: u8 = 4;

/// An audited candidate with what its builds say.
pub(crate) struct Finding<'a> {
    audited: &'a AuditedCandidate,
    knobs: Knobs,
}

/// `evo space audit`.
pub(crate) fn audit(args: &SpaceAudit) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    // What a run says of its journal is not true of an audit.
    signals::listen(&stop, true)?;
    let source = if is_spec(&args.what) {
        Source::File(PathBuf::from(&args.what))
    } else {
        Source::Plugin(args.what.clone())
    };
    let overrides = Overrides {
        set: args.set.clone(),
        ..Overrides::default()
    };
    let elsewhere = match &args.device {
        Some(wanted) => Some(device(Some(wanted))?),
        None => None,
    };
    let search = SearchPath::new(&args.plugins.folders);
    let prepared = prepare_audit(&source, &overrides, &search, &program()?, &stop, elsewhere)?;
    let settings = AuditSettings {
        samples: usize::from(args.samples),
        seed: args.seed,
        params: args.params.clone(),
        pairs: usize::from(args.measure),
    };
    let mut watch = progress::Watch::new(args.output);
    let done = run_audit(prepared, &settings, &stop, &mut |event| watch.on(event));
    drop(watch);
    let done = done?;
    let findings = findings(&done);
    if args.output.json {
        let text = serde_json::to_string_pretty(&json::document(&done, &findings))
            .map_err(std::io::Error::from)?;
        print(&(text + "\n"))?;
    } else if !args.output.quiet {
        print(&show::render(&done, &findings))?;
    }
    if done.interrupted {
        if !args.output.quiet {
            note("interrupted: this is what was seen until then");
        }
        return Ok(ExitCode::from(128u8.saturating_add(stop.signal())));
    }
    let dead: Vec<String> = findings.iter().flat_map(Finding::dead).collect();
    if args.deny_dead && !dead.is_empty() {
        if !args.output.quiet {
            note(&format!("error: dead: {}", dead.join(", ")));
        }
        return Ok(ExitCode::from(DEAD));
    }
    Ok(ExitCode::SUCCESS)
}

fn findings(audit: &Audit) -> Vec<Finding<'_>> {
    audit
        .candidates
        .iter()
        .map(|audited| {
            let seen: Vec<Observation<'_>> = audited
                .built
                .iter()
                .map(|built| Observation {
                    params: &built.params,
                    build: &built.build,
                    measured: None,
                })
                .collect();
            Finding {
                audited,
                knobs: Knobs::of(&seen, &audited.params),
            }
        })
        .collect()
}

impl Finding<'_> {
    /// The configurations that were drawn at random; the default was not.
    fn drawn(&self) -> usize {
        self.audited.bases.saturating_sub(1)
    }

    /// The parameters to deny, with the candidate's label before them.
    fn dead(&self) -> impl Iterator<Item = String> {
        let dead = |knob: &&Knob| knob.effect == Effect::Dead || self.idle(knob);
        let label = &self.audited.label;
        self.knobs
            .params
            .iter()
            .filter(dead)
            .map(move |knob| format!("{label}/{}", knob.name))
    }

    /// Whether it acts at run time alone, was timed, and no pair could be told apart.
    fn idle(&self, knob: &Knob) -> bool {
        let mut compared = self
            .timed(&knob.name)
            .filter_map(|pair| pair.comparison.as_ref());
        let first = compared.next();
        let quiet = |verdict| verdict == Verdict::NotDistinguishable;
        knob.effect == Effect::RunTime
            && first.is_some_and(|first| quiet(first.verdict))
            && compared.all(|other| quiet(other.verdict))
    }

    fn timed(&self, param: &str) -> impl Iterator<Item = &TimedPair> {
        self.audited
            .timed
            .iter()
            .filter(move |pair| pair.param == param)
    }
}
