//! `evo plugin check`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use evo_run::{
    CheckDevice, CheckEvent, CheckOptions, CheckReport, CheckSpace, CheckTarget, Ruling, RunError,
    RunSpec, SearchPath, Stop, Verdict, asks, cure, named_values, parse_ron, read_value,
};
use indicatif::ProgressBar;
use serde_json::json;

use crate::args::PluginCheck;
use crate::command::{print, program, space};
use crate::failure::Failure;
use crate::signals;

/// The exit code where a rule is broken.
const BROKEN: u8 = 4;
/// The name under which the plugin is checked that is part of the program.
const BUILT_IN: &str = "built-in";

/// Checks a plugin and prints a verdict for each rule.
pub(super) fn check(args: &PluginCheck) -> Result<ExitCode, Failure> {
    let target = if args.plugin == BUILT_IN {
        CheckTarget::BuiltIn
    } else {
        let search = SearchPath::new(&args.plugins.folders);
        CheckTarget::File(search.find(&args.plugin, Path::new(""))?)
    };
    let options = options(args)?;
    let stop = Stop::default();
    signals::listen(&stop, true)?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(120));
    let report = evo_run::check(&target, &options, &program()?, &stop, &mut |event| {
        bar.set_message(match event {
            CheckEvent::Waiting { holder } => format!("waiting for the device: {holder}"),
            CheckEvent::Trying { rule, subject } => format!("{subject}: {rule}"),
        });
    });
    bar.finish_and_clear();
    let report = report?;
    let text = if args.json {
        document(&report)? + "\n"
    } else {
        rendered(&report, args.quiet)
    };
    print(&text)?;
    let broken = report.failures().next().is_some();
    Ok(if broken {
        ExitCode::from(BROKEN)
    } else {
        ExitCode::SUCCESS
    })
}

fn options(args: &PluginCheck) -> Result<CheckOptions, RunError> {
    for (flag, value) in [
        ("--seconds", args.seconds),
        ("--step-seconds", args.step_seconds),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return Err(RunError::input(format!(
                "{flag} is {value}, but must be a positive number"
            )));
        }
    }
    let spec = args.spec.as_deref().map(read_spec).transpose()?;
    let folder = args.spec.as_deref().and_then(Path::parent);
    let folder = folder.map(Path::to_path_buf).unwrap_or_default();
    let mut set = spec.as_ref().map(named_values).unwrap_or_default();
    for setting in &args.set {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            RunError::input(format!("--set {setting}: this is not NAME=VALUE"))
                .hint("for instance --set S=2048")
        })?;
        set.insert(name.trim().to_owned(), read_value(value.trim()));
    }
    let device = match args.device.as_deref() {
        None => CheckDevice::OfKernel,
        Some("cuda") => CheckDevice::Named("cuda:0".to_owned()),
        Some(name) if name == "cpu" || name.starts_with("cuda:") => {
            CheckDevice::Named(name.to_owned())
        }
        profile => CheckDevice::Profile(Box::new(space::device(profile)?)),
    };
    let of_spec = spec.and_then(|spec| spec.objective?.space);
    let space = match (&args.space, of_spec) {
        (Some(file), _) => Some(read_space(file)?),
        (None, Some(file)) => Some(read_space(&folder.join(file))?),
        (None, None) => None,
    };
    Ok(CheckOptions {
        only: args.only.clone(),
        set,
        folder,
        space,
        device,
        configs: usize::from(args.configs),
        seconds: args.seconds,
        step_seconds: args.step_seconds,
        seed: args.seed,
    })
}

fn read_spec(file: &Path) -> Result<RunSpec, RunError> {
    let origin = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| RunError::input(format!("{origin}: cannot read the spec: {error}")))?;
    parse_ron(&text, &origin)
}

fn read_space(file: &Path) -> Result<CheckSpace, RunError> {
    let origin = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        RunError::input(format!("{origin}: cannot read the search space: {error}"))
    })?;
    Ok(CheckSpace { text, origin })
}

/// The report with what each rule asks and how to mend it.
fn document(report: &CheckReport) -> Result<String, std::io::Error> {
    let mut document = serde_json::to_value(report)?;
    document["ok"] = json!(report.failures().next().is_none());
    if let Some(rulings) = document["rulings"].as_array_mut() {
        for (ruling, told) in rulings.iter_mut().zip(&report.rulings) {
            ruling["asks"] = json!(asks(told.rule));
            if let Verdict::Fail(_) = told.verdict {
                ruling["cure"] = json!(cure(told.rule));
            }
        }
    }
    Ok(serde_json::to_string_pretty(&document)?)
}

fn rendered(report: &CheckReport, quiet: bool) -> String {
    let mut text = String::new();
    if !quiet {
        text.push_str(&heading(report));
    }
    let wanted = |ruling: &&Ruling| !quiet || matches!(ruling.verdict, Verdict::Fail(_));
    let rulings: Vec<&Ruling> = report.rulings.iter().filter(wanted).collect();
    let mut subject = "";
    // Neighbours that were skipped for one reason are told together.
    for group in rulings.chunk_by(|a, b| a.subject == b.subject && same_reason(a, b)) {
        let Some(first) = group.first() else { continue };
        if first.subject != subject {
            subject = &first.subject;
            let _ = writeln!(text, "\n{subject}");
        }
        for ruling in group {
            verdict(&mut text, ruling);
        }
        if let Verdict::Skipped(reason) = &first.verdict {
            indented(&mut text, "", reason);
        }
    }
    text + &totals(report)
}

fn same_reason(a: &Ruling, b: &Ruling) -> bool {
    let plain = a.notes.is_empty() && b.notes.is_empty();
    plain && matches!(a.verdict, Verdict::Skipped(_)) && a.verdict == b.verdict
}

/// A line for a rule, and under it what is to be said; why it was skipped is told after the group.
fn verdict(text: &mut String, ruling: &Ruling) {
    let mark = match ruling.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail(_) => "FAIL",
        Verdict::Skipped(_) => "skip",
    };
    let _ = writeln!(text, "  {mark}  {:<26} {}", ruling.rule, asks(ruling.rule));
    if let Verdict::Fail(message) = &ruling.verdict {
        indented(text, "", message);
        indented(text, "to mend: ", cure(ruling.rule));
    }
    for note in &ruling.notes {
        indented(text, "note: ", note);
    }
}

fn heading(report: &CheckReport) -> String {
    let CheckReport {
        name,
        version,
        kind,
        path,
        hash,
        ..
    } = report;
    match (kind, hash) {
        (Some(kind), Some(hash)) => {
            format!(
                "{name} {version} ({kind}), {path}, content {}\n",
                hash.short()
            )
        }
        _ => format!("{path}\n"),
    }
}

/// Lines under a verdict.
fn indented(text: &mut String, label: &str, body: &str) {
    let mut label = label;
    for line in body.lines() {
        let _ = writeln!(text, "        {label}{line}");
        label = "";
    }
}

fn totals(report: &CheckReport) -> String {
    let failed: Vec<String> = report
        .failures()
        .map(|ruling| ruling.rule.to_string())
        .collect();
    let count = |wanted: fn(&Verdict) -> bool| {
        let rulings = report.rulings.iter();
        rulings.filter(|ruling| wanted(&ruling.verdict)).count()
    };
    let passed = count(|verdict| matches!(verdict, Verdict::Pass));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let verdict = if failed.is_empty() {
        "no rule is broken".to_owned()
    } else {
        format!("{} broken: {}", failed.len(), failed.join(", "))
    };
    // Where nothing of a kernel was launched, little is known of it.
    let unknown = if skipped > passed && failed.is_empty() {
        "\nmost rules were not tried: this says little about the plugin"
    } else {
        ""
    };
    format!("\n{verdict}; {passed} kept, {skipped} not tried{unknown}\n")
}

#[cfg(test)]
mod tests {
    use evo_run::Rule;
    use evo_types::{ContentHash, PluginKind};

    use super::*;

    fn report() -> CheckReport {
        let ruling = |rule, subject: &str, verdict| Ruling {
            rule,
            subject: subject.into(),
            verdict,
            notes: vec![],
        };
        let kernel = "kernel blur";
        let mut rulings = vec![
            ruling(Rule::InterfaceVersion, "plugin", Verdict::Pass),
            ruling(
                Rule::InBounds,
                kernel,
                Verdict::Fail("TILE=4: memory outside `y` was written\nand again".into()),
            ),
            ruling(
                Rule::Cancellation,
                kernel,
                Verdict::Skipped("not reached: mend `in-bounds` first".into()),
            ),
        ];
        rulings[0].notes.push("built for interface 1.0".into());
        CheckReport {
            name: "blur".into(),
            version: "0.1.0".into(),
            kind: Some(PluginKind::Source),
            path: "blur.kernel.ron".into(),
            hash: Some(ContentHash::of_bytes(b"x")),
            rulings,
        }
    }

    #[test]
    fn a_verdict_for_each_rule_and_how_to_mend_what_is_broken() {
        insta::assert_snapshot!(rendered(&report(), false));
        insta::assert_snapshot!("quiet", rendered(&report(), true));
    }

    #[test]
    fn the_document_has_the_same_and_says_whether_all_is_well() {
        insta::assert_snapshot!("json", document(&report()).unwrap());
    }
}
