//! Drives a worker through its channel, with real plugins.

mod compare;
mod loading;
mod measure;
mod objective;
mod process;
mod protocol;
mod support;
