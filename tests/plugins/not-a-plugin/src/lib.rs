//! An ordinary shared library: it exports a function, and nothing that makes it a plugin.
#![allow(unsafe_code)]

/// A function such as any library has.
// SAFETY: no other function of this process has the name.
#[unsafe(no_mangle)]
pub extern "C" fn evo_test_not_a_plugin(x: i32) -> i32 {
    x.wrapping_add(1)
}
