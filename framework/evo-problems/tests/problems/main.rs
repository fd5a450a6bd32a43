//! The problems through their trait: against tiny implementations of their definitions, and for
//! what the framework counts on.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod definitions;
mod gates;
mod promises;
mod support;
