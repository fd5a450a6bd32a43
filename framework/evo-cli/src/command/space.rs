//! `evo space ...`, and `evo space show`.

use std::path::Path;
use std::process::ExitCode;

use evo_core::space::{Env, Space};
use evo_run::{
    Overrides, RunError, SearchPath, Source, Stop, default_worker, parse_ron, prepare_audit,
    read_value,
};
use evo_types::{DeviceFacts, Params};

use super::{print, program, space_audit};
use crate::args::{Space as SpaceCommand, SpaceShow};
use crate::failure::Failure;
use crate::space_show::render;

/// The shipped device profiles: a space can be looked at where there is no such device.
const PROFILES: [(&str, &str); 3] = [
    (
        "sm_80",
        include_str!("../../../../search-spaces/devices/sm_80.ron"),
    ),
    (
        "sm_89",
        include_str!("../../../../search-spaces/devices/sm_89.ron"),
    ),
    (
        "sm_90a",
        include_str!("../../../../search-spaces/devices/sm_90a.ron"),
    ),
];

/// `evo space ...`.
pub(crate) fn space(command: SpaceCommand) -> Result<ExitCode, Failure> {
    let args = match command {
        SpaceCommand::Show(args) => args,
        SpaceCommand::Audit(args) => return space_audit::audit(&args),
    };
    let path = Path::new(&args.what);
    let text = if is_space(path, &args.what) {
        show_file(path, &args)?
    } else {
        show_plugin(&args)?
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether what was typed is a space file, and not a plugin.
fn is_space(path: &Path, what: &str) -> bool {
    let library = path.extension().is_some_and(|extension| extension == "so");
    let plugin = library || evo_run::is_description(path);
    !plugin && (path.is_file() || what.ends_with(".ron"))
}

fn show_file(path: &Path, args: &SpaceShow) -> Result<String, RunError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        RunError::input(format!("{file}: cannot read the search space: {error}"))
    })?;
    let mut problem = Params::new();
    for setting in &args.set {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            RunError::input(format!("--set {setting}: this is not NAME=VALUE"))
                .hint("for instance --set S=2048")
        })?;
        problem.insert(name.trim().to_owned(), read_value(value.trim()));
    }
    let device = device(args.device.as_deref())?;
    let env = Env {
        problem,
        device: device.facts,
        pinned: Params::new(),
    };
    let space =
        Space::parse(&text, &file, &env).map_err(|errors| RunError::input(errors.to_string()))?;
    Ok(render(&space))
}

/// The spaces of a plugin's default spec, with its problem and the wanted device.
fn show_plugin(args: &SpaceShow) -> Result<String, RunError> {
    let elsewhere = match &args.device {
        Some(wanted) => Some(device(Some(wanted))?),
        None => None,
    };
    let search = SearchPath::new(&args.plugins.folders);
    let overrides = Overrides {
        set: args.set.clone(),
        ..Overrides::default()
    };
    let source = Source::Plugin(args.what.clone());
    let stop = Stop::default();
    let prepared = prepare_audit(&source, &overrides, &search, &program()?, &stop, elsewhere)?;
    let shown: Vec<String> = prepared.spaces.iter().map(|space| render(space)).collect();
    Ok(shown.join("\n"))
}

/// The facts of a shipped profile, of a file, or of this machine.
pub(super) fn device(wanted: Option<&str>) -> Result<DeviceFacts, RunError> {
    let Some(wanted) = wanted else {
        return default_worker(&program()?)?.device(&Stop::default());
    };
    if let Some((name, text)) = PROFILES.iter().find(|(name, _)| *name == wanted) {
        return parse_ron(text, &format!("<profile {name}>"));
    }
    let text = std::fs::read_to_string(wanted).map_err(|error| {
        let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
        RunError::input(format!("there is no device profile `{wanted}`: {error}")).hint(format!(
            "the shipped profiles are {}; a path names a file",
            names.join(", ")
        ))
    })?;
    parse_ron(&text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profiles_can_be_read() {
        for (name, _) in PROFILES {
            let device = device(Some(name)).unwrap();
            assert_eq!(device.kind, "cuda");
            assert!(device.facts["SMEM_BYTES"].as_int().unwrap() > 48 << 10);
        }
    }

    #[test]
    fn an_unknown_profile_lists_the_known_ones() {
        let error = device(Some("sm_10")).unwrap_err().to_string();
        assert!(error.contains("sm_80, sm_89, sm_90a"), "{error}");
    }
}
