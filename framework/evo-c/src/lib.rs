//! The C plugin interface: the tables of `evo-plugin/include/evo_plugin.h`, and the adapter from
//! them onto the plugin traits.
//!
//! A C plugin exports one constant table ([`ENTRY`]), which lists tables of functions: kernels,
//! problems, objectives and profilers. [`open`] loads the library for good, copies what both sides
//! know of each table, checks every pointer, length and text, and returns a
//! [`Plugin`] like that of any other way to bring a kernel.
//!
//! Documents cross as JSON text and, for convenience, as lists of typed values; what a plugin
//! returns goes through functions of the host, so that no memory changes hands.

mod abi;
mod component;
mod describe;
mod function;
#[cfg(test)]
mod header_tests;
mod kernel;
mod marshal;
mod objective;
mod problem;
mod profiler;
mod sink;
mod table;

use std::path::Path;

use evo_plugin::{InterfaceVersion, Plugin};
use evo_types::ContentHash;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use component::Component;
use describe::Source;
use kernel::CKernel;
use objective::CObjective;
use problem::CProblem;
use profiler::CProfiler;
use table::{Listed, Table, copy_table, read_list, required, text};

/// The symbol that a C plugin exports.
pub const ENTRY: &str = "evo_plugin_entry";

/// The version of the header that this build of the framework speaks.
pub const VERSION: InterfaceVersion = InterfaceVersion {
    major: abi::MAJOR,
    minor: abi::MINOR,
};

/// Opens a library that exports [`ENTRY`]. The library stays loaded for good.
///
/// # Errors
/// A file that cannot be opened, another major version, a table that cannot be right, or a
/// description that cannot be read; `origin` is where the file came from.
pub fn open(path: &Path, origin: &str) -> Result<Plugin, String> {
    let wrong = |message: String| format!("the C plugin {origin} cannot be used: {message}");
    let bytes = std::fs::read(path)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
    let code = ContentHash::of_bytes(&bytes);
    drop(bytes);
    // SAFETY: opening a library runs its initialisers: the process exists for that, and what
    // they break is seen from outside as a crash.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| wrong(with_causes(&error)))?;
    // SAFETY: what is behind the symbol is checked below, before anything of it is called.
    let entry = unsafe { library.get::<*const abi::Plugin>(ENTRY.as_bytes()) };
    let entry = match entry {
        Ok(symbol) => *symbol,
        Err(_) => {
            return Err(wrong(format!("it does not export the constant `{ENTRY}`")));
        }
    };
    // Never unloaded: its code may be referred to by its threads.
    std::mem::forget(library);
    // SAFETY: the symbol's address; a plugin that exports something else under this name is
    // found out by the magic number.
    unsafe { from_table(entry, &code) }.map_err(wrong)
}

/// An error with its causes on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Makes a plugin of an exported table.
///
/// # Safety
/// 24 bytes must be readable at `entry`; where they are the beginning of a table of this major
/// version, the rest must be what the header describes, and stay so.
unsafe fn from_table(entry: *const abi::Plugin, code: &ContentHash) -> Result<Plugin, String> {
    // SAFETY: handed on to the caller.
    let table = unsafe { read_entry(entry) }?;
    // SAFETY: texts and lists of a table of this major version, here and below.
    let name = unsafe { required(table.name, "name") }?;
    // SAFETY: as above.
    let version = unsafe { required(table.version, "version") }?;
    // SAFETY: as above.
    let doc = unsafe { text(table.doc, "doc") }?.unwrap_or_default();
    let maker = Maker {
        plugin: &name,
        version: &version,
        strict: table.abi_minor <= abi::MINOR,
        code,
    };
    let mut plugin = Plugin::new(&name, &version, &doc).interface(InterfaceVersion {
        major: table.abi_major,
        minor: table.abi_minor,
    });
    // SAFETY: as above.
    if let Some(spec) = unsafe { text(table.default_spec, "default_spec") }? {
        plugin = plugin.default_spec(&spec);
    }
    // SAFETY: as above.
    for listed in unsafe { read_list(table.kernels, table.kernel_count, "kernels") }? {
        plugin = plugin.kernel(maker.kernel(listed)?);
    }
    // SAFETY: as above.
    for listed in unsafe { read_list(table.problems, table.problem_count, "problems") }? {
        plugin = plugin.problem(maker.problem(listed)?);
    }
    // SAFETY: as above.
    for listed in unsafe { read_list(table.objectives, table.objective_count, "objectives") }? {
        plugin = plugin.objective(maker.objective(listed)?);
    }
    // SAFETY: as above.
    for listed in unsafe { read_list(table.profilers, table.profiler_count, "profilers") }? {
        plugin = plugin.profiler(maker.profiler(listed)?);
    }
    Ok(plugin)
}

/// Checks magic number, version and size, and copies the table.
///
/// # Safety
/// As for [`from_table`].
unsafe fn read_entry(entry: *const abi::Plugin) -> Result<abi::Plugin, String> {
    let begin = entry.cast::<u8>();
    // SAFETY: 24 bytes are readable, aligned or not.
    let (magic, major, minor, size) = unsafe {
        (
            begin.cast::<u64>().read_unaligned(),
            begin.add(8).cast::<u32>().read_unaligned(),
            begin.add(12).cast::<u32>().read_unaligned(),
            begin.add(16).cast::<usize>().read_unaligned(),
        )
    };
    if magic != abi::MAGIC || !entry.is_aligned() {
        return Err(format!(
            "`{ENTRY}` begins with {magic:#018x}, not with {:#018x}, so it is no plugin table; \
             define it as `const evo_plugin {ENTRY} = {{EVO_PLUGIN_HEADER, ...}};`",
            abi::MAGIC
        ));
    }
    if major != abi::MAJOR {
        return Err(format!(
            "it was compiled with version {major}.{minor} of evo_plugin.h, and this evo speaks \
             {VERSION}; compile it again with the evo_plugin.h of this evo, or use an evo that \
             speaks {major}.{minor}"
        ));
    }
    // SAFETY: a table of this major version.
    unsafe { copy_table(entry, size) }.map_err(|error| {
        format!("{error} (it was compiled with version {major}.{minor} of evo_plugin.h, and this evo speaks {VERSION})")
    })
}

/// Makes the parts of a plugin.
struct Maker<'a> {
    plugin: &'a str,
    version: &'a str,
    strict: bool,
    code: &'a ContentHash,
}

/// An error unless every one of these functions is there.
fn functions<T: Table>(listed: &Listed<T>, present: &[(&str, bool)]) -> Result<(), String> {
    match present.iter().find(|(_, present)| !present) {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "{}.{name} is NULL, but every {} has to have it",
            listed.place,
            T::NAME
        )),
    }
}

impl Maker<'_> {
    fn source<'a>(&self, what: &'a str) -> Source<'a> {
        Source {
            what,
            strict: self.strict,
        }
    }

    fn kernel(&self, listed: Listed<abi::Kernel>) -> Result<CKernel, String> {
        let table = &listed.table;
        functions(&listed, &[("launch", table.launch.is_some())])?;
        let what = format!("{}.info", listed.place);
        // SAFETY: texts of a table of this major version.
        let (info, space) = unsafe {
            (
                required(table.info, &what)?,
                text(table.space, &format!("{}.space", listed.place))?,
            )
        };
        let has_prepare = table.prepare.is_some();
        let source = self.source(&what);
        let info = describe::kernel(&info, source, self.version, space, has_prepare)?;
        Ok(CKernel {
            component: Component::new(listed, self.plugin, &info.name),
            info,
            code: self.code.clone(),
        })
    }

    fn problem(&self, listed: Listed<abi::Problem>) -> Result<CProblem, String> {
        let table = &listed.table;
        let present = [
            ("resolve", table.resolve.is_some()),
            ("fill", table.fill.is_some()),
            ("reference", table.reference.is_some()),
        ];
        functions(&listed, &present)?;
        let what = format!("{}.info", listed.place);
        // SAFETY: as in `kernel`.
        let info = unsafe { required(table.info, &what) }?;
        let info = describe::problem(&info, self.source(&what))?;
        Ok(CProblem {
            component: Component::new(listed, self.plugin, &info.name),
            info,
            strict: self.strict,
        })
    }

    fn objective(&self, listed: Listed<abi::Objective>) -> Result<CObjective, String> {
        let table = &listed.table;
        functions(&listed, &[("evaluate", table.evaluate.is_some())])?;
        let what = format!("{}.info", listed.place);
        // SAFETY: as in `kernel`.
        let (info, space) = unsafe {
            (
                required(table.info, &what)?,
                text(table.space, &format!("{}.space", listed.place))?,
            )
        };
        let info = describe::objective(&info, self.source(&what), space)?;
        Ok(CObjective {
            component: Component::new(listed, self.plugin, &info.name),
            info,
        })
    }

    fn profiler(&self, listed: Listed<abi::Profiler>) -> Result<CProfiler, String> {
        let table = &listed.table;
        functions(&listed, &[("profile", table.profile.is_some())])?;
        let what = format!("{}.info", listed.place);
        // SAFETY: as in `kernel`.
        let (info, rules) = unsafe {
            (
                required(table.info, &what)?,
                text(table.rules, &format!("{}.rules", listed.place))?,
            )
        };
        let info = describe::profiler(&info, self.source(&what), rules)?;
        Ok(CProfiler {
            component: Component::new(listed, self.plugin, &info.name),
            info,
        })
    }
}
