//! Drives a worker through its channel, with real plugins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

mod compare;
mod loading;
mod measure;
mod objective;
mod process;
mod profile;
mod protocol;
mod replay;
mod support;
