//! The shape of an attention problem, with sizes checked once.

use serde::{Deserialize, Serialize};

use crate::fields::MAX_ELEMENTS;

/// Storage type of the output, and of the inputs where they are not quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of an IEEE single.
    Bf16,
}

impl Storage {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// What is computed: extents, mask and storage type. All extents are at least 1 and the number of
/// elements of a tensor is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Number of pairs of batch and head: each is an attention of its own.
    pub heads: usize,
    /// Sequence length of queries and keys.
    pub s: usize,
    /// Elements of a query, key or value.
    pub d: usize,
    /// Whether query `i` sees keys `0..=i` only.
    pub causal: bool,
    /// Element type of the output, and of the inputs where they are not quantised.
    pub storage: Storage,
}

impl Shape {
    /// Checks the extents.
    ///
    /// # Errors
    /// In words for people, where an extent is 0 or the tensors are too large.
    pub fn new([b, h, s, d]: [usize; 4], causal: bool, storage: Storage) -> Result<Self, String> {
        if [b, h, s, d].contains(&0) {
            return Err(format!(
                "B={b} H={h} S={s} D={d}: every extent must be at least 1"
            ));
        }
        let product = b
            .checked_mul(h)
            .and_then(|x| x.checked_mul(s))
            .and_then(|x| x.checked_mul(d));
        match product {
            Some(elements) if elements <= MAX_ELEMENTS => Ok(Self {
                heads: b * h,
                s,
                d,
                causal,
                storage,
            }),
            _ => Err(format!(
                "B={b} H={h} S={s} D={d}: a tensor may have at most {MAX_ELEMENTS} elements"
            )),
        }
    }

    /// Elements of each tensor.
    pub fn elements(&self) -> usize {
        self.heads * self.s * self.d
    }

    /// Elements of one head of a tensor.
    pub fn head_elements(&self) -> usize {
        self.s * self.d
    }

    /// What scores are multiplied by: `1 / sqrt(D)`.
    pub fn scale(&self) -> f32 {
        (1.0 / (self.d as f64).sqrt()) as f32
    }

    /// Pairs of a query and a key that it sees, per head.
    pub fn pairs(&self) -> f64 {
        let s = self.s as f64;
        if self.causal {
            s * (s + 1.0) / 2.0
        } else {
            s * s
        }
    }
}
