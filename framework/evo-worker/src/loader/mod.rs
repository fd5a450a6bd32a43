//! Loads plugins from a store of content-addressed files, several side by side, and never unloads
//! one: code of a plugin may still be referred to by its threads and thread-local storage.

mod elf;
mod error;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use abi_stable::library::{ROOT_MODULE_LOADER_NAME, lib_header_from_path};
use evo_bundle::{Bundle, BundleKind};
use evo_plugin::__private::{host, wrap};
use evo_plugin::Plugin;
use evo_plugin::abi::{BoxedPlugin, PluginRootRef};
use evo_types::{ContentHash, InterfaceVersion, PluginInfo, PluginKind};
use evo_wire::BUILT_IN_ORIGIN;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

pub(crate) use error::LoadError;
use error::from_library_error;

/// A loaded plugin.
pub(crate) struct LoadedPlugin {
    pub(crate) kind: PluginKind,
    pub(crate) raw: BoxedPlugin,
    pub(crate) info: PluginInfo,
}

/// The loaded plugins, by content.
pub(crate) struct Loader {
    store: PathBuf,
    origins: BTreeMap<ContentHash, String>,
    loaded: BTreeMap<ContentHash, Rc<LoadedPlugin>>,
}

impl Loader {
    pub(crate) fn new(store: PathBuf) -> Self {
        Self {
            store,
            origins: BTreeMap::new(),
            loaded: BTreeMap::new(),
        }
    }

    /// Remembers where a file came from, for error messages.
    pub(crate) fn set_origin(&mut self, hash: &ContentHash, origin: String) {
        self.origins.insert(hash.clone(), origin);
    }

    /// The plugin with this content, loaded if it is not yet.
    pub(crate) fn plugin(&mut self, hash: &ContentHash) -> Result<Rc<LoadedPlugin>, LoadError> {
        match self.loaded.entry(hash.clone()) {
            Entry::Occupied(entry) => Ok(Rc::clone(entry.get())),
            Entry::Vacant(entry) => {
                if !hash.is_well_formed() {
                    return Err(LoadError::BadHash(hash.to_string()));
                }
                if *hash == evo_wire::built_in() {
                    let plugin = Rc::new(adopt(
                        PluginKind::BuiltIn,
                        evo_problems::plugin(),
                        BUILT_IN_ORIGIN,
                    )?);
                    return Ok(Rc::clone(entry.insert(plugin)));
                }
                let bundle = self.store.join(format!("{hash}.bundle"));
                let path = if bundle.exists() {
                    bundle
                } else {
                    self.store.join(format!("{hash}.so"))
                };
                let origin = self
                    .origins
                    .get(hash)
                    .cloned()
                    .unwrap_or_else(|| path.display().to_string());
                let plugin = Rc::new(load(&path, hash, &origin)?);
                Ok(Rc::clone(entry.insert(plugin)))
            }
        }
    }
}

/// Loads a file by what it is: a bundle, a C plugin, or a Rust plugin.
fn load(path: &Path, hash: &ContentHash, origin: &str) -> Result<LoadedPlugin, LoadError> {
    let bytes = read_checked(path, hash, origin)?;
    let failed = |message: String| LoadError::Failed {
        origin: origin.to_owned(),
        message,
    };
    if Bundle::is_bundle(&bytes) {
        let bundle = Bundle::from_bytes(&bytes).map_err(|error| failed(error.to_string()))?;
        let (kind, opened) = match bundle.kind {
            BundleKind::Source => (PluginKind::Source, evo_source::open(&bundle)),
            BundleKind::Process => (PluginKind::Process, evo_process::open(&bundle)),
        };
        return adopt(kind, opened.map_err(LoadError::Told)?, origin);
    }
    elf::check(&bytes).map_err(|source| LoadError::NotALibrary {
        origin: origin.to_owned(),
        source,
    })?;
    match bind_now(path, origin)? {
        Way::C => adopt(
            PluginKind::C,
            evo_c::open(path, origin).map_err(LoadError::Told)?,
            origin,
        ),
        Way::Rust => open_rust(path, origin),
    }
}

/// Takes a plugin that was made in this process.
fn adopt(kind: PluginKind, plugin: Plugin, origin: &str) -> Result<LoadedPlugin, LoadError> {
    describe(kind, wrap(plugin), origin)
}

fn open_rust(path: &Path, origin: &str) -> Result<LoadedPlugin, LoadError> {
    let header =
        lib_header_from_path(path).map_err(|error| from_library_error(origin, None, error))?;
    let version = header.version_strings().to_string();
    check_interface(&version, origin)?;
    // Through the header, not through `load_from_file`, which hands back the first plugin of the
    // process whatever file is asked for.
    let root = header
        .init_root_module::<PluginRootRef>()
        .map_err(|error| from_library_error(origin, Some(&version), error))?;
    let raw = host::result((root.open())()).map_err(|error| LoadError::Failed {
        origin: origin.to_owned(),
        message: error.to_string(),
    })?;
    describe(PluginKind::Rust, raw, origin)
}

fn describe(kind: PluginKind, raw: BoxedPlugin, origin: &str) -> Result<LoadedPlugin, LoadError> {
    let failed = |message: String| LoadError::Failed {
        origin: origin.to_owned(),
        message,
    };
    let text = host::result(raw.info()).map_err(|error| failed(error.to_string()))?;
    let info: PluginInfo = serde_json::from_str(&text)
        .map_err(|error| failed(format!("its description cannot be read: {error}")))?;
    check_names(&info, origin)?;
    Ok(LoadedPlugin { kind, raw, info })
}

/// What can be known before the file is opened.
fn read_checked(path: &Path, hash: &ContentHash, origin: &str) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        origin: origin.to_owned(),
        path: path.to_owned(),
        source,
    };
    if !fs::symlink_metadata(path).map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile {
            origin: origin.to_owned(),
            path: path.to_owned(),
        });
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let bundle = Bundle::is_bundle(&bytes).then(|| Bundle::from_bytes(&bytes).ok());
    let actual = match bundle.flatten() {
        Some(bundle) => bundle.hash(),
        None => ContentHash::of_bytes(&bytes),
    };
    if actual != *hash {
        return Err(LoadError::Damaged {
            origin: origin.to_owned(),
            path: path.to_owned(),
            actual: actual.to_string(),
        });
    }
    Ok(bytes)
}

/// Which interface a library exports.
enum Way {
    Rust,
    C,
}

/// Opens the library with every symbol bound at once, so that a missing one is an error here and
/// not the end of the process at its first call, and looks for the plugin's entry.
fn bind_now(path: &Path, origin: &str) -> Result<Way, LoadError> {
    // SAFETY: opening a library runs its initialisers: the process exists for that, and what
    // they break is seen from outside as a crash.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| LoadError::Open {
        origin: origin.to_owned(),
        message: chain(&error),
    })?;
    let exports = |symbol: &str| {
        // SAFETY: only the presence of the symbol is asked for; it is not used through this type.
        unsafe { library.get::<*const u8>(symbol.as_bytes()) }.is_ok()
    };
    let way = if exports(ROOT_MODULE_LOADER_NAME) {
        Some(Way::Rust)
    } else {
        exports(evo_c::ENTRY).then_some(Way::C)
    };
    // Loaded for good, found or not: unloading code that ran initialisers is no safer.
    std::mem::forget(library);
    way.ok_or_else(|| LoadError::NotAPlugin {
        origin: origin.to_owned(),
    })
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Compares the interface version ahead of the layout, whose mismatch says nothing to people.
fn check_interface(theirs: &str, origin: &str) -> Result<(), LoadError> {
    let major = theirs.split('.').next().unwrap_or_default();
    if major.parse() == Ok(InterfaceVersion::CURRENT.major) {
        return Ok(());
    }
    Err(LoadError::Interface {
        origin: origin.to_owned(),
        theirs: theirs.to_owned(),
        ours: InterfaceVersion::CURRENT.to_string(),
    })
}

/// Names become parts of paths and of reports.
fn check_names(info: &PluginInfo, origin: &str) -> Result<(), LoadError> {
    let kernels = info.kernels.iter().map(|it| ("a kernel", &it.name));
    let problems = info.problems.iter().map(|it| ("a problem", &it.name));
    let objectives = info.objectives.iter().map(|it| ("an objective", &it.name));
    let profilers = info.profilers.iter().map(|it| ("a profiler", &it.name));
    let bad = std::iter::once(("the plugin name", &info.name))
        .chain(kernels)
        .chain(problems)
        .chain(objectives)
        .chain(profilers)
        .find(|(_, name)| !is_name(name));
    match bad {
        None => Ok(()),
        Some((what, name)) => Err(LoadError::BadName {
            origin: origin.to_owned(),
            what,
            name: name.chars().take(80).flat_map(char::escape_debug).collect(),
        }),
    }
}

fn is_name(name: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.len() <= 64
        && name.bytes().all(ok)
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_restricted() {
        assert!(is_name("sdpa-cpu_1.2"));
        for bad in ["", ".", "..", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_in_the_store_is_refused_before_it_is_opened() {
        let store = tempfile::tempdir().unwrap();
        let mut loader = Loader::new(store.path().to_owned());
        let bytes = b"no library";
        let hash = ContentHash::of_bytes(bytes);
        let path = store.path().join(format!("{hash}.so"));
        loader.set_origin(&hash, "plugins/x.so".to_owned());
        let mut error = || loader.plugin(&hash).err().unwrap();

        assert!(matches!(error(), LoadError::Unreadable { .. }));
        fs::create_dir(&path).unwrap();
        assert!(matches!(error(), LoadError::NotAFile { .. }));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, b"other bytes").unwrap();
        assert!(matches!(error(), LoadError::Damaged { .. }));
        fs::write(&path, bytes).unwrap();
        assert!(matches!(error(), LoadError::NotALibrary { .. }));
        assert!(
            error()
                .to_string()
                .starts_with("the plugin plugins/x.so cannot be loaded: it is a text file")
        );

        let traversal: ContentHash = serde_json::from_str(r#""../../etc/passwd""#).unwrap();
        assert!(matches!(
            loader.plugin(&traversal),
            Err(LoadError::BadHash(_))
        ));
    }
}
