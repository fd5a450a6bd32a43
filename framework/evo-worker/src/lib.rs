//! The child process that loads plugins, verifies, measures and profiles.
//!
//! The `evo` program never loads a plugin. It starts one worker for each device and speaks to it
//! through a socket in the messages of [`evo_wire`]; what a plugin does wrong becomes an outcome,
//! and what kills the process is seen by the program from outside.
//!
//! A worker serves one request at a time, on one thread. Whatever happens to a candidate, each
//! request gets exactly one final reply, and before it a [`Progress`](evo_wire::Reply::Progress)
//! at the start of each phase.
//!
//! | module | is |
//! |---|---|
//! | `start`, `serve` | process set-up; the loop that reads requests and answers them |
//! | `device` | what this machine is: the facts that constraints name |
//! | `loader` | plugin files: checked, opened, asked who they are |
//! | `component` | safe calls to kernels, problems and instances |
//! | `memory`, `element` | guarded buffers; element types, poison patterns |
//! | `slot` | buffers with the instance bound to them; one execution on them |
//! | `judge`, `check`, `verify` | an output against its reference; one check; all of a candidate |
//! | `seeds` | what a kernel cannot foresee |
//! | `clock`, `lane`, `timing` | clock and disturbances; buffer sets to rotate over; samples |
//! | `recheck`, `peaks` | verification after the timing; what the device can do at most |
//! | `build` | static check and build, with a small cache |
//! | `identity` | what a build is, whatever names and paths are in it |
//! | `fault` | why a request ended early, and which outcome that is |
//! | `measure`, `compare` | one candidate from build to outcome; several, interleaved |
//! | `objective`, `profile` | what is no kernel; profiling passes |
//! | `replay` | a candidate executed again, untimed: bit by bit, or for tools |
//! | `outside` | a candidate in a process of its own, for tools |
//! | `conform` | probes of the rules that plugins keep |

mod batches;
mod block;
mod build;
mod bulk;
mod check;
mod clock;
mod compare;
mod component;
mod conform;
mod device;
mod device_reference;
mod element;
mod energy;
mod fault;
mod gpu;
mod identity;
mod judge;
mod lane;
mod loader;
mod measure;
mod memory;
mod objective;
mod outside;
mod peaks;
mod profile;
mod quantisation;
mod recheck;
mod replay;
mod seeds;
mod serve;
mod site;
mod slot;
mod start;
mod timing;
mod tools;
mod verify;
mod workspace;

pub use serve::run;
pub use start::main;

#[cfg(not(target_os = "linux"))]
compile_error!("the worker needs Linux: process limits, /proc and immediate symbol binding");
