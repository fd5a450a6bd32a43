//! What a plugin for interface 9 would export: the loader must say so, and call nothing.
#![allow(missing_docs, unreachable_pub, non_local_definitions, clippy::all)]
#![allow(clippy::undocumented_unsafe_blocks, unused_qualifications)]

use abi_stable::library::RootModule;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::{export_root_module, package_version_strings, StableAbi};

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = FutureRootRef)))]
#[sabi(missing_field(panic))]
pub struct FutureRoot {
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn() -> u64,
}

impl RootModule for FutureRootRef {
    abi_stable::declare_root_module_statics! {FutureRootRef}
    const BASE_NAME: &'static str = "evo_plugin";
    const NAME: &'static str = "evo_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

extern "C" fn open() -> u64 {
    // Nobody may call this.
    std::process::abort()
}

#[export_root_module]
pub fn root() -> FutureRootRef {
    FutureRoot { open }.leak_into_prefix()
}
