//! Tests of the kernels as a whole.

mod correct;
mod plans;
mod space;
mod tuned;
