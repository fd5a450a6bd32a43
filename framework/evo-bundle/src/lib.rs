//! Plugins that are no library: a source-only kernel (`NAME.kernel.ron`) or another process
//! (`NAME.process.ron`), and the bundles that carry them.
//!
//! The `evo` program reads a description, gathers the files that it names into a [`Bundle`], and
//! puts the bundle into the store under its content hash, exactly as it does with a library. A
//! worker gets the hash and needs nothing but the bundle: an edit of a file during a run changes
//! nothing, and a worker on another machine would do with it.
//!
//! This crate reads and checks; it compiles, starts and loads nothing.

#![forbid(unsafe_code)]

mod bundle;
mod document;
mod gather;
mod process;
mod scalar;
pub mod source;

pub use bundle::{Bundle, BundleError, BundleKind};
pub use gather::{EXTENSIONS, GatherError, gather, kind, name};
pub use process::ProcessDescription;
pub use scalar::ScalarType;
