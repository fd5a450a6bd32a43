//! Element types of the tensors as real numbers.

use evo_plugin::{E4m3, Element};
use half::{bf16, f16};

/// An element type of a tensor, with its way to float64 and back.
pub trait Real: Element {
    /// The element that is nearest, ties to even. For the types narrower than float64 the value is
    /// rounded to single precision first.
    fn from_f64(value: f64) -> Self;

    /// The element's value, which is exact.
    fn to_f64(self) -> f64;
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f16 {
    fn from_f64(value: f64) -> Self {
        Self::from_f32(value as f32)
    }

    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
}

impl Real for bf16 {
    fn from_f64(value: f64) -> Self {
        Self::from_f32(value as f32)
    }

    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
}

impl Real for E4m3 {
    fn from_f64(value: f64) -> Self {
        Self::from_f32(value as f32)
    }

    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
}

/// Evaluates an expression with `$real` standing for the element type of `$dtype`; a type that no
/// built-in problem has is an error.
macro_rules! with_real {
    ($dtype:expr, $real:ident => $body:expr) => {
        match $dtype {
            evo_plugin::Dtype::F64 => {
                type $real = f64;
                $body
            }
            evo_plugin::Dtype::F32 => {
                type $real = f32;
                $body
            }
            evo_plugin::Dtype::F16 => {
                type $real = half::f16;
                $body
            }
            evo_plugin::Dtype::Bf16 => {
                type $real = half::bf16;
                $body
            }
            other => Err(evo_plugin::Error::Failed(format!(
                "no built-in problem has tensors of {other:?}"
            ))),
        }
    };
}

pub(crate) use with_real;
