//! Claims interface 1.0, but `open` has another type: the layout check must say so in few lines,
//! and call nothing.
#![allow(missing_docs, unreachable_pub, non_local_definitions, clippy::all)]
#![allow(clippy::undocumented_unsafe_blocks, unused_qualifications)]

use abi_stable::library::RootModule;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::RString;
use abi_stable::{export_root_module, package_version_strings, StableAbi};

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRootRef)))]
#[sabi(missing_field(panic))]
pub struct PluginRoot {
    pub open: extern "C" fn() -> u64,
    #[sabi(last_prefix_field)]
    pub greet: extern "C" fn(RString) -> RString,
}

impl RootModule for PluginRootRef {
    abi_stable::declare_root_module_statics! {PluginRootRef}
    const BASE_NAME: &'static str = "evo_plugin";
    const NAME: &'static str = "evo_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

extern "C" fn open() -> u64 {
    // Nobody may call this.
    std::process::abort()
}

extern "C" fn greet(name: RString) -> RString {
    name
}

#[export_root_module]
pub fn root() -> PluginRootRef {
    PluginRoot { open, greet }.leak_into_prefix()
}
