//! The plugin without a GPU: its space, its requests, and what NVRTC makes of them.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compile;
mod hopper;
mod requests;
mod sample;
mod space;
mod support;
