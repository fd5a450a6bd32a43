//! `evo plugin list`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use evo_run::{
    Described, RunError, SearchPath, Stop, default_worker, describe_built_in, describe_plugin,
};
use evo_types::{ContentHash, PluginInfo, PluginKind};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::PluginList;
use crate::command::{print, program, shown};
use crate::failure::Failure;

/// One plugin, or what is wrong with it.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    origin: String,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content {
    Usable {
        kind: PluginKind,
        hash: ContentHash,
        info: Box<PluginInfo>,
    },
    Broken {
        error: String,
    },
}

impl Content {
    fn of(described: Result<Described, RunError>) -> Self {
        match described {
            Ok(Described { hash, kind, info }) => Self::Usable {
                kind,
                hash,
                info: Box::new(info),
            },
            Err(error) => Self::Broken {
                error: error.to_string(),
            },
        }
    }
}

/// Lists the plugins; one that cannot be used is a line of the list, not its end.
pub(super) fn list(args: &PluginList) -> Result<ExitCode, Failure> {
    let search = SearchPath::new(&args.plugins.folders);
    let stop = Stop::default();
    let mut host = default_worker(&program()?)?;
    let built_in = describe_built_in(&mut host, &stop)?;
    let mut lines = vec![Line {
        name: built_in.info.name.clone(),
        path: None,
        origin: "part of this program".to_owned(),
        content: Content::of(Ok(built_in)),
    }];
    // A process may take a while to open, and what hangs a minute: say which one it is.
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(120));
    for found in search.list() {
        bar.set_message(format!("opening {}", found.name));
        let described = describe_plugin(&mut host, &found.path, &stop);
        lines.push(Line {
            name: found.name,
            path: Some(shown(&found.path)),
            origin: found.origin.to_owned(),
            content: Content::of(described),
        });
    }
    bar.finish_and_clear();
    if args.json {
        let document = serde_json::to_string_pretty(&lines).map_err(std::io::Error::from)?;
        print(&(document + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for line in &lines {
        text.push_str(&rendered(line));
    }
    text.push_str("\nsearched, in this order:\n");
    for (folder, origin) in search.folders() {
        let here = if folder.is_dir() { "" } else { ", not there" };
        let _ = writeln!(text, "    {} ({origin}{here})", shown(folder));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn rendered(line: &Line) -> String {
    let Line {
        name,
        path,
        origin,
        content,
    } = line;
    let place = match path {
        Some(path) => format!("{path} ({origin})"),
        None => origin.clone(),
    };
    match content {
        Content::Usable { kind, hash, info } => {
            let kind = kind.to_string();
            format!(
                "{name:<20} {kind:<8} {:<8} {}\n    {}\n    {place}, content {}\n",
                info.version,
                info.doc,
                contents(info),
                hash.short()
            )
        }
        Content::Broken { error } => {
            let error = error.replace('\n', "\n      ");
            format!("{name:<20} cannot be used: {error}\n    {place}\n")
        }
    }
}

/// `problem sdpa; kernels math, flash, tiled`.
fn contents(info: &PluginInfo) -> String {
    let part = |what: &str, names: Vec<&str>| match names.as_slice() {
        [] => None,
        [name] => Some(format!("{what} {name}")),
        names => Some(format!("{what}s {}", names.join(", "))),
    };
    let problems = info.problems.iter().map(|item| item.name.as_str());
    let kernels = info.kernels.iter().map(|item| item.name.as_str());
    let objectives = info.objectives.iter().map(|item| item.name.as_str());
    let profilers = info.profilers.iter().map(|item| item.name.as_str());
    let parts = [
        part("problem", problems.collect()),
        part("kernel", kernels.collect()),
        part("objective", objectives.collect()),
        part("profiler", profilers.collect()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "nothing in it".to_owned()
    } else {
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use evo_types::{InterfaceVersion, ProblemInfo};

    use super::*;

    #[test]
    fn a_line_says_what_it_is_what_is_in_it_and_where_it_came_from() {
        let problem = |name: &str| ProblemInfo {
            name: name.into(),
            doc: String::new(),
            fields: vec![],
        };
        let info = PluginInfo {
            name: "mine".into(),
            version: "1.2".into(),
            doc: "Two problems".into(),
            interface: InterfaceVersion::CURRENT,
            problems: vec![problem("a"), problem("b")],
            kernels: vec![],
            objectives: vec![],
            profilers: vec![],
            default_spec: None,
        };
        let usable = Line {
            name: "mine".into(),
            path: Some("plugins/mine.so".into()),
            origin: "beside the program".into(),
            content: Content::Usable {
                kind: PluginKind::C,
                hash: ContentHash::of_bytes(b"x"),
                info: Box::new(info),
            },
        };
        let broken = Line {
            name: "theirs".into(),
            path: Some("theirs.so".into()),
            origin: "--plugin-path".into(),
            content: Content::Broken {
                error: "it is a text file\n  help: build it".into(),
            },
        };
        let text = rendered(&usable) + &rendered(&broken);
        insta::assert_snapshot!(text, @r"
        mine                 C        1.2      Two problems
            problems a, b
            plugins/mine.so (beside the program), content 2d711642b726
        theirs               cannot be used: it is a text file
                help: build it
            theirs.so (--plugin-path)
        ");
    }
}
