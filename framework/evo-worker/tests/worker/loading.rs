//! Plugin files, good and bad: each error says which file, why, and what to do.

use evo_types::{ContentHash, PluginInfo};
use evo_wire::{FailureKind, Reply, Request};

use crate::support::{Host, library, put};

fn load(host: &mut Host, plugin: ContentHash, origin: &str) -> Result<PluginInfo, String> {
    let request = Request::LoadPlugin {
        plugin,
        origin: origin.to_owned(),
    };
    match host.ask(request).1 {
        Reply::Plugin { info, .. } => Ok(*info),
        Reply::Failed { kind, message } => {
            assert_eq!(kind, FailureKind::Plugin);
            Err(message)
        }
        other => unreachable!("{other:?}"),
    }
}

fn error(bytes: &[u8]) -> String {
    load(&mut Host::new(), put(bytes), "plugins/mine.so").unwrap_err()
}

#[test]
fn several_plugins_load_side_by_side() {
    let mut host = Host::new();
    let first = load(&mut host, put(&library("misbehave")), "a.so").unwrap();
    let second = load(&mut host, put(&library("synthetic")), "b.so").unwrap();
    assert_eq!((first.name.as_str(), first.kernels.len()), ("misbehave", 1));
    assert_eq!(
        (second.name.as_str(), second.objectives.len()),
        ("synthetic", 1)
    );
    let again = load(&mut host, put(&library("misbehave")), "a.so").unwrap();
    assert_eq!(again, first);
}

#[test]
fn another_interface_version_is_named_beside_ours() {
    insta::assert_snapshot!(error(&library("wrong-version")), @"the plugin plugins/mine.so was built for plugin interface 9.0.0, and this evo speaks interface 1.1; build the plugin against `evo-plugin` 1.1, or use an evo that speaks 9.0.0");
}

#[test]
fn another_layout_is_told_in_a_few_lines() {
    let text = error(&library("wrong-layout"));
    assert!(
        text.starts_with(
            "the plugin plugins/mine.so says that it speaks interface 1.0.0, but is laid out \
             differently:\n"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("build it against the `evo-plugin` crate of this evo"),
        "{text}"
    );
    assert!(text.lines().count() <= 7 && text.len() < 2_000, "{text}");
}

#[test]
fn an_ordinary_library_is_told_from_a_plugin() {
    insta::assert_snapshot!(error(&library("not-a-plugin")), @"plugins/mine.so is a shared library, but no evo plugin: it does not export a plugin; in Rust call `evo_plugin::export!(...)` in its lib.rs, in C define `evo_plugin_entry` as evo_plugin.h says");
}

#[test]
fn a_text_file_is_told_from_a_library() {
    insta::assert_snapshot!(error(b"name = \"mine\"\n"), @"the plugin plugins/mine.so cannot be loaded: it is a text file, not a shared library; give the path of the built library (target/release/lib*.so)");
}

#[test]
fn a_truncated_library_is_an_error_and_no_signal() {
    let bytes = library("misbehave");
    for cut in [100, 5_000, bytes.len() / 2, bytes.len() - 10] {
        let text = error(&bytes[..cut]);
        assert!(
            text.contains("it is cut off") && text.contains("plugins/mine.so"),
            "{text}"
        );
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_library_for_another_processor_is_named() {
    let mut bytes = library("misbehave");
    bytes[18..20].copy_from_slice(&183u16.to_le_bytes());
    insta::assert_snapshot!(error(&bytes), @"the plugin plugins/mine.so cannot be loaded: it was built for aarch64, and this machine is x86_64; build it for this machine");
}

#[test]
fn a_missing_symbol_is_an_error_at_load_and_no_crash_at_the_first_call() {
    // The name of an imported function, changed to one that nobody exports.
    let mut bytes = library("misbehave");
    let name = b"\0setsid\0";
    let at = bytes.windows(name.len()).position(|window| window == name);
    bytes[at.unwrap() + 1..][..6].copy_from_slice(b"sETSID");
    let text = error(&bytes);
    assert!(
        text.starts_with("the plugin plugins/mine.so cannot be opened: ")
            && text.contains("sETSID"),
        "{text}"
    );
}

#[test]
fn a_plugin_that_is_not_in_the_store_is_named_by_its_origin() {
    let hash = ContentHash::of_bytes(b"never stored");
    let text = load(&mut Host::new(), hash, "plugins/gone.so").unwrap_err();
    assert!(
        text.starts_with("the plugin plugins/gone.so is not in the store"),
        "{text}"
    );
}
