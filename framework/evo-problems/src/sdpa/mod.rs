//! The problem `sdpa`: what is computed, on which inputs, and what is right.

mod attention;
mod inputs;
mod reference;
mod shape;
#[cfg(test)]
mod testing;

use evo_plugin::{
    CachePolicy, Dtype, Error, FieldInfo, FieldKind, Gate, Params, Problem, ProblemInfo,
    ProblemSpec, Role, Rows, Tensor, TensorMut, TensorSpec, Value,
};

use crate::fields;

pub use attention::{Attention, Epilogue, Scales, shape_of};
pub use inputs::{DISTRIBUTIONS, fill_slices};
pub use reference::rows_of;
pub use shape::{Shape, Storage};

/// The problem's name.
pub const NAME: &str = "sdpa";

/// The reference for GPUs: device code of the kernel `sdpa_reference`, which computes every row in
/// double precision. Its head says how it is compiled and launched.
pub const REFERENCE: &str = include_str!("reference.cu");

/// Scaled-dot-product attention, forward.
pub struct Sdpa;

/// The extra shapes: odd extents, one key, keys just past a block, narrow rows, both masks.
fn extra_shapes(same_d: bool) -> Vec<Params> {
    let shape = |b: i64, h: i64, s: i64, d: i64, mask: Option<&str>| {
        let mut fields = fields::change([("B", b), ("H", h), ("S", s), ("D", d)]);
        if same_d {
            fields.remove("D");
        }
        if let Some(mask) = mask {
            fields.insert("mask".to_owned(), Value::from(mask));
        }
        fields
    };
    let [narrow, narrower] = match same_d {
        true => [shape(1, 1, 33, 7, None), shape(1, 2, 300, 7, None)],
        false => [shape(1, 1, 33, 7, None), shape(1, 2, 18, 3, None)],
    };
    vec![
        shape(1, 3, 67, 40, None),
        shape(1, 1, 129, 64, Some("full")),
        shape(1, 1, 129, 64, Some("causal")),
        shape(2, 1, 1, 16, None),
        narrow,
        narrower,
    ]
}

impl Attention {
    fn tensors(&self, fields: &Params) -> Result<Vec<TensorSpec>, Error> {
        let [b, h, s, d] = fields::extents(fields, ["B", "H", "S", "D"])?;
        let tensor = |name: &str, role, dtype, shape: &[usize]| TensorSpec {
            name: name.to_owned(),
            role,
            dtype,
            shape: shape.to_vec(),
        };
        let input = |name: &str| tensor(name, Role::Input, self.input_dtype(), &[b, h, s, d]);
        let f32s = |name: &str, shape: &[usize]| tensor(name, Role::Input, Dtype::F32, shape);
        let mut tensors = ["q", "k", "v"].map(input).to_vec();
        for name in ["q_scale", "k_scale", "v_scale"] {
            match self.quantised {
                None => {}
                Some(Scales::PerTensor) => tensors.push(f32s(name, &[1])),
                Some(Scales::PerHead) => tensors.push(f32s(name, &[b, h])),
            }
        }
        if self.bias_elements() > 0 {
            tensors.push(f32s("bias", &[h, d]));
        }
        tensors.push(tensor(
            "o",
            Role::Output,
            self.output_dtype(),
            &[b, h, s, d],
        ));
        Ok(tensors)
    }

    /// The greatest relative error.
    fn gate(&self) -> f64 {
        match (self.input_dtype(), self.shape.storage) {
            (Dtype::F8E4m3, _) => 4e-2,
            (_, Storage::F32) => 1e-5,
            (_, Storage::F16) => 6e-4,
            (_, Storage::Bf16) => 5e-3,
        }
    }

    /// The changes that give the problem with the inputs before they are quantised.
    fn unquantised(&self) -> Params {
        if self.quantised.is_none() {
            return Params::new();
        }
        [
            ("dtype", Value::from("f32")),
            ("scales", Value::from("per_tensor")),
            ("output", Value::from("bf16")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
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
                    &["f32", "bf16", "f16", "f8_e4m3"],
                ),
                fields::choice(
                    "mask",
                    "Whether a query sees all keys or those up to its own",
                    &["full", "causal"],
                ),
                fields::choice(
                    "epilogue",
                    "What follows: nothing, O times alpha, or that plus a bias",
                    &["none", "scale", "scale_bias"],
                ),
                FieldInfo {
                    name: "alpha".to_owned(),
                    doc: "Factor of the epilogue".to_owned(),
                    kind: FieldKind::Float {
                        min: -1024.0,
                        max: 1024.0,
                    },
                    default: Value::Float(attention::ALPHA),
                },
                fields::choice(
                    "scales",
                    "Over what a scale of f8_e4m3 inputs reaches",
                    &["per_tensor", "per_head"],
                ),
                fields::choice(
                    "output",
                    "Storage type of the output for f8_e4m3 inputs",
                    &["bf16", "f16"],
                ),
                fields::flag("same_d", "Whether the extra shapes keep D"),
            ],
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let attention = Attention::of(fields)?;
        let shape = attention.shape;
        let dtype = attention.input_dtype();
        let fields = attention.effective(fields);
        let tensors = attention.tensors(&fields)?;
        let mut constants = fields::constants(&fields, dtype);
        constants.insert("CAUSAL".to_owned(), Value::from(shape.causal));
        constants.insert("BF16_STORAGE".to_owned(), Value::from(dtype == Dtype::Bf16));
        Ok(ProblemSpec {
            problem: NAME.to_owned(),
            constants,
            gates: vec![Gate {
                tensor: "o".to_owned(),
                relative_error: attention.gate(),
            }],
            flops: 4.0 * shape.heads as f64 * shape.pairs() * shape.d as f64,
            bytes: fields::bytes(&tensors)?,
            tensors,
            cache: CachePolicy::Rotate,
            extra_shapes: extra_shapes(attention.same_d),
            unquantised: attention.unquantised(),
            distributions: DISTRIBUTIONS.map(str::to_owned).to_vec(),
            fields,
        })
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        inputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        inputs::fill(&Attention::of(&spec.fields)?, seed, distribution, inputs)
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        inputs: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        reference::compute(&Attention::of(&spec.fields)?, inputs, rows, outputs)
    }
}
