//! Search spaces, constraints and the EvoEngineer engine: pure computation on numbers and a
//! seeded random generator. There is no file, clock, thread or environment in this crate, so that
//! the same inputs give the same proposals in any process.

#![forbid(unsafe_code)]

pub mod engine;
pub mod space;
