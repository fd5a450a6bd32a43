//! `evo plugin describe`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use evo_run::{Described, SearchPath, Stop, default_worker, describe_built_in, describe_plugin};
use evo_types::{FieldInfo, FieldKind, PluginInfo, ProblemInfo};

use crate::args::PluginDescribe;
use crate::command::{print, program, shown};
use crate::failure::Failure;

/// Says what is in a plugin.
pub(super) fn describe(args: &PluginDescribe) -> Result<ExitCode, Failure> {
    let stop = Stop::default();
    let mut host = default_worker(&program()?)?;
    let built_in = describe_built_in(&mut host, &stop)?;
    let (described, file) = if args.plugin == built_in.info.name {
        (built_in.clone(), "part of evo".to_owned())
    } else {
        let path = SearchPath::new(&args.plugins.folders).find(&args.plugin, Path::new(""))?;
        let file = format!("file {}", shown(&path));
        (describe_plugin(&mut host, &path, &stop)?, file)
    };
    let Described { hash, kind, info } = described;
    if args.json {
        let document = serde_json::to_string_pretty(&info).map_err(std::io::Error::from)?;
        print(&(document + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{} {} ({kind}, interface {})\n{}\n{file}, content {}\n",
        info.name,
        info.version,
        info.interface,
        info.doc,
        hash.short()
    );
    for problem in &info.problems {
        let _ = writeln!(text, "\nproblem {}: {}", problem.name, problem.doc);
        fields(&mut text, &problem.fields);
    }
    for problem in solved(&info, &built_in.info) {
        let _ = writeln!(
            text,
            "\nproblem {} (built-in): {}",
            problem.name, problem.doc
        );
        fields(&mut text, &problem.fields);
    }
    for kernel in &info.kernels {
        let _ = writeln!(
            text,
            "\nkernel {} {}: {}",
            kernel.name, kernel.version, kernel.doc
        );
        let _ = writeln!(
            text,
            "  solves {}; runs on {}; {}; {}",
            kernel.problems.join(", "),
            kernel.devices.join(", "),
            if kernel.deterministic {
                "the same output every time"
            } else {
                "output may vary"
            },
            if kernel.space.is_some() {
                "brings a search space"
            } else {
                "brings no search space"
            },
        );
        for param in &kernel.params {
            let when = if param.runtime { ", at run time" } else { "" };
            let _ = writeln!(
                text,
                "  {:<14} default {}{when}; {}",
                param.name, param.default, param.doc
            );
        }
    }
    for objective in &info.objectives {
        let _ = writeln!(text, "\nobjective {}: {}", objective.name, objective.doc);
        let _ = writeln!(text, "  ranked by {}", objective.metric);
        fields(&mut text, &objective.settings);
    }
    for profiler in &info.profilers {
        let _ = writeln!(text, "\nprofiler {}: {}", profiler.name, profiler.doc);
        let _ = writeln!(text, "  looks at {}", profiler.devices.join(", "));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The built-in problems that a plugin's kernels solve, where it does not define them itself.
fn solved<'a>(info: &PluginInfo, built_in: &'a PluginInfo) -> Vec<&'a ProblemInfo> {
    let own = |name: &String| info.problems.iter().any(|problem| problem.name == *name);
    let kernels = info.kernels.iter().flat_map(|kernel| &kernel.problems);
    built_in
        .problems
        .iter()
        .filter(|problem| !own(&problem.name) && kernels.clone().any(|name| *name == problem.name))
        .collect()
}

fn fields(text: &mut String, fields: &[FieldInfo]) {
    for field in fields {
        let kind = match &field.kind {
            FieldKind::Int { min, max } => format!("{min}..{max}"),
            FieldKind::Float { min, max } => format!("{min}..{max} (float)"),
            FieldKind::Bool => "true|false".to_owned(),
            FieldKind::Choice(names) => names.join("|"),
            FieldKind::Text => "text".to_owned(),
            FieldKind::Path => "path".to_owned(),
        };
        let default = match field.default.to_string() {
            empty if empty.is_empty() => "none".to_owned(),
            default => default,
        };
        let _ = writeln!(
            text,
            "  --set {}={kind}   default {default}; {}",
            field.name, field.doc
        );
    }
}
