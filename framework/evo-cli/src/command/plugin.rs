//! `evo plugin list` and `evo plugin describe`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use evo_run::{Described, SearchPath, Stop, default_worker, describe_plugin};
use evo_types::{FieldInfo, FieldKind, PluginInfo};
use serde_json::json;

use super::{print, program, shown};
use crate::args::{Plugin, PluginDescribe, PluginList};
use crate::failure::Failure;

/// `evo plugin ...`.
pub(crate) fn plugin(command: Plugin) -> Result<ExitCode, Failure> {
    match command {
        Plugin::List(args) => list(&args),
        Plugin::Describe(args) => describe(&args),
    }
}

fn list(args: &PluginList) -> Result<ExitCode, Failure> {
    let search = SearchPath::new(&args.plugins.folders);
    let stop = Stop::default();
    let mut host = default_worker(&program()?)?;
    let mut text = String::new();
    let mut documents = Vec::new();
    for found in search.list() {
        let described = describe_plugin(&mut host, &found.path, &stop);
        let path = shown(&found.path);
        match described {
            Ok(Described { hash, info, .. }) => {
                let _ = writeln!(text, "{:<16} {:<8} {}", found.name, info.version, info.doc);
                let _ = writeln!(text, "    {}", contents(&info));
                let _ = writeln!(
                    text,
                    "    {path} ({}), content {}",
                    found.origin,
                    hash.short()
                );
                documents.push(json!({
                    "name": found.name, "path": path, "origin": found.origin,
                    "hash": hash, "info": info,
                }));
            }
            Err(error) => {
                let _ = writeln!(text, "{:<16} cannot be used: {error}", found.name);
                let _ = writeln!(text, "    {path} ({})", found.origin);
                documents.push(json!({
                    "name": found.name, "path": path, "origin": found.origin,
                    "error": error.to_string(),
                }));
            }
        }
    }
    if args.json {
        let document = serde_json::to_string_pretty(&documents).map_err(std::io::Error::from)?;
        print(&(document + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if text.is_empty() {
        text.push_str("no plugin was found in:\n");
        for (folder, origin) in search.folders() {
            let _ = writeln!(text, "    {} ({origin})", folder.display());
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `problem sdpa; kernels math, flash, tiled`.
fn contents(info: &PluginInfo) -> String {
    let part = |what: &str, names: Vec<&str>| match names.as_slice() {
        [] => None,
        [name] => Some(format!("{what} {name}")),
        names => Some(format!("{what}s {}", names.join(", "))),
    };
    let parts = [
        part(
            "problem",
            info.problems
                .iter()
                .map(|item| item.name.as_str())
                .collect(),
        ),
        part(
            "kernel",
            info.kernels.iter().map(|item| item.name.as_str()).collect(),
        ),
        part(
            "objective",
            info.objectives
                .iter()
                .map(|item| item.name.as_str())
                .collect(),
        ),
        part(
            "profiler",
            info.profilers
                .iter()
                .map(|item| item.name.as_str())
                .collect(),
        ),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "nothing in it".to_owned()
    } else {
        parts.join("; ")
    }
}

fn describe(args: &PluginDescribe) -> Result<ExitCode, Failure> {
    let path = SearchPath::new(&args.plugins.folders).find(&args.plugin, Path::new(""))?;
    let mut host = default_worker(&program()?)?;
    let Described { hash, info, .. } = describe_plugin(&mut host, &path, &Stop::default())?;
    if args.json {
        let document = serde_json::to_string_pretty(&info).map_err(std::io::Error::from)?;
        print(&(document + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{} {} (interface {})\n{}\nfile {}, content {}\n",
        info.name,
        info.version,
        info.interface,
        info.doc,
        shown(&path),
        hash.short()
    );
    for problem in &info.problems {
        let _ = writeln!(text, "\nproblem {}: {}", problem.name, problem.doc);
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
        let _ = writeln!(
            text,
            "  --set {}={kind}   default {}; {}",
            field.name, field.default, field.doc
        );
    }
}
