//! The problem `sdpa`: what is computed, on which inputs, and what is right.

mod inputs;
mod reference;
mod shape;
#[cfg(test)]
mod testing;

use evo_plugin::{
    CachePolicy, Dtype, Error, Gate, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor,
    TensorMut, TensorSpec, Value,
};

use crate::fields;

pub use inputs::{DISTRIBUTIONS, fill_slices};
pub use reference::rows_of;
pub use shape::{Shape, Storage};

/// The problem's name.
pub const NAME: &str = "sdpa";

/// Scaled-dot-product attention, forward.
pub struct Sdpa;

/// Reads the shape out of a problem's fields.
///
/// # Errors
/// `Rejected`, naming the field or the extents.
pub fn shape_of(fields: &Params) -> Result<Shape, Error> {
    let extent = |name: &str| evo_plugin::size(fields, name);
    let storage = match evo_plugin::choice(fields, "dtype")? {
        "f32" => Storage::F32,
        "f16" => Storage::F16,
        "bf16" => Storage::Bf16,
        other => {
            return Err(Error::Rejected(format!(
                "`dtype` is {other}, but must be f32, bf16 or f16"
            )));
        }
    };
    let causal = match evo_plugin::choice(fields, "mask")? {
        "causal" => true,
        "full" => false,
        other => {
            return Err(Error::Rejected(format!(
                "`mask` is {other}, but must be full or causal"
            )));
        }
    };
    let extents = [extent("B")?, extent("H")?, extent("S")?, extent("D")?];
    Shape::new(extents, causal, storage).map_err(Error::Rejected)
}

/// The extra shapes: odd extents, one key, keys just past a block, narrow rows, both masks.
fn extra_shapes() -> Vec<Params> {
    let shape = |b: i64, h: i64, s: i64, d: i64, mask: Option<&str>| {
        let mut fields: Params = [("B", b), ("H", h), ("S", s), ("D", d)]
            .map(|(name, extent)| (name.to_owned(), Value::from(extent)))
            .into();
        if let Some(mask) = mask {
            fields.insert("mask".to_owned(), Value::from(mask));
        }
        fields
    };
    vec![
        shape(1, 3, 67, 40, None),
        shape(1, 1, 129, 64, Some("full")),
        shape(1, 1, 129, 64, Some("causal")),
        shape(2, 1, 1, 16, None),
        shape(1, 1, 33, 7, None),
        shape(1, 2, 18, 3, None),
    ]
}

impl Problem for Sdpa {
    fn info(&self) -> ProblemInfo {
        let extent = |name, doc, most, default| fields::int(name, doc, [1, most], default);
        ProblemInfo {
            name: NAME.to_owned(),
            doc: "Scaled-dot-product attention, forward: softmax(Q K^T / sqrt(D)) V".to_owned(),
            fields: vec![
                extent("B", "Batch size", 65_536, 2),
                extent("H", "Heads", 65_536, 8),
                extent("S", "Sequence length of queries and keys", 1 << 20, 512),
                extent("D", "Elements of a query, key or value", 4_096, 64),
                fields::choice(
                    "dtype",
                    "Storage type of the tensors",
                    &["f32", "bf16", "f16"],
                ),
                fields::choice(
                    "mask",
                    "Whether a query sees all keys or those up to its own",
                    &["full", "causal"],
                ),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let shape = shape_of(fields)?;
        let extents = ["B", "H", "S", "D"]
            .iter()
            .map(|name| evo_plugin::size(fields, name))
            .collect::<Result<Vec<_>, _>>()?;
        let (dtype, gate) = match shape.storage {
            Storage::F32 => (Dtype::F32, 1e-5),
            Storage::F16 => (Dtype::F16, 6e-4),
            Storage::Bf16 => (Dtype::Bf16, 5e-3),
        };
        let tensor = |name: &str, role: Role| TensorSpec {
            name: name.to_owned(),
            role,
            dtype,
            shape: extents.clone(),
        };
        let mut constants = fields::constants(fields, dtype);
        constants.insert("CAUSAL".to_owned(), Value::from(shape.causal));
        constants.insert(
            "BF16_STORAGE".to_owned(),
            Value::from(shape.storage == Storage::Bf16),
        );
        Ok(ProblemSpec {
            problem: NAME.to_owned(),
            fields: fields.clone(),
            tensors: vec![
                tensor("q", Role::Input),
                tensor("k", Role::Input),
                tensor("v", Role::Input),
                tensor("o", Role::Output),
            ],
            constants,
            gates: vec![Gate {
                tensor: "o".to_owned(),
                relative_error: gate,
            }],
            flops: 4.0 * shape.heads as f64 * shape.pairs() * shape.d as f64,
            bytes: 4.0 * shape.elements() as f64 * shape.storage.bytes() as f64,
            cache: CachePolicy::Rotate,
            extra_shapes: extra_shapes(),
            distributions: DISTRIBUTIONS.map(str::to_owned).to_vec(),
        })
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        inputs::fill(&shape_of(&spec.fields)?, seed, distribution, inputs)
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        reference::compute(&shape_of(&spec.fields)?, inputs, rows, outputs)
    }
}
