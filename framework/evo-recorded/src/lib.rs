//! Recorded tuning spaces: what every configuration of a kernel took on a real device.
//!
//! [`Recording::read`] takes a file in any of four formats, plain or compressed with xz:
//!
//! | format | known by | restrictions |
//! |---|---|---|
//! | `recorded-space/1` | `"format": "recorded-space/1"` | in the file, in Python's syntax |
//! | Kernel Tuner cache file | `cache` and `tune_params` | none in the file |
//! | T4 results (auto-tuning community format) | `results` | none in the file |
//! | KTT results | `Results` and `Metadata` | none in the file |
//!
//! [`Recording::space`] writes the search space in the language of `search-spaces/README.md`.
//! Restrictions are translated from Python with its semantics ([`python`]). Where a file has
//! none, or they are not exact, the space gets the pairs of values that were never recorded
//! together as constraints; a configuration that passes them and was not recorded is refused when
//! it is looked up. [`Recording::defined_by`] adds the restrictions of a [`Definition`]: a T1 file,
//! which says what the space is and has no measurements.

#![forbid(unsafe_code)]

mod defined;
mod definition;
mod error;
mod file;
mod formats;
mod noise;
mod pairs;
pub mod python;
mod recording;
mod space;

pub use definition::Definition;
pub use error::RecordingError;
pub use noise::Noise;
pub use recording::{Fate, Origin, Parameter, Recording, Row};
