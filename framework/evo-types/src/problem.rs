//! Problems: what is computed, on which tensors, how exactly, and by which gates it is judged.

use serde::{Deserialize, Serialize};

use crate::{Params, Value};

/// An element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// IEEE 754 double.
    F64,
    /// IEEE 754 single.
    F32,
    /// IEEE 754 half.
    F16,
    /// The upper half of an IEEE 754 single.
    Bf16,
    /// 8-bit float with 4 exponent and 3 mantissa bits, no infinity.
    F8E4m3,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
}

impl Dtype {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::F8E4m3 | Self::I8 | Self::U8 => 1,
        }
    }
}

/// Whether the kernel reads or writes a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read only; a write to it is a fault.
    Input,
    /// Written in full; poisoned before each launch that is checked.
    Output,
}

/// One tensor of a problem: dense and row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// The tensor's name, such as `q`.
    pub name: String,
    /// Input or output.
    pub role: Role,
    /// The element type.
    pub dtype: Dtype,
    /// The extent of each dimension, slowest first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// The number of elements, or `None` where the product overflows.
    pub fn elements(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |product, extent| product.checked_mul(*extent))
    }

    /// The size in bytes, or `None` where it overflows.
    pub fn bytes(&self) -> Option<usize> {
        self.elements()?.checked_mul(self.dtype.size())
    }
}

/// How exact an output has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The output tensor that the gate judges.
    pub tensor: String,
    /// The greatest relative Frobenius error over the whole output. A row (the last dimension)
    /// may have twice as much.
    pub relative_error: f64,
}

/// What the caches hold when a timed launch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CachePolicy {
    /// Launches rotate over enough input sets to exceed the last-level cache.
    #[default]
    Rotate,
    /// The caches are flushed before each launch.
    Flush,
    /// The same buffers every time: what fits in the caches is there.
    Hot,
}

/// A problem with all fields fixed: everything that verification and measurement need.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProblemSpec {
    /// The problem's name, such as `sdpa`.
    pub problem: String,
    /// Every field with its value, such as `B`, `S`, `dtype`, `mask`.
    pub fields: Params,
    /// The tensors, inputs and outputs in the order of the kernel's arguments.
    pub tensors: Vec<TensorSpec>,
    /// The constants that constraints may name, such as `S`, `D` and `BYTES_PER_ELEMENT`.
    pub constants: Params,
    /// One gate for each output. A missing gate is an error, never a pass.
    pub gates: Vec<Gate>,
    /// Floating-point operations of one execution.
    pub flops: f64,
    /// Bytes that any execution has to move: each input read and each output written once.
    pub bytes: f64,
    /// The cache policy of ranked measurements.
    pub cache: CachePolicy,
    /// Changes to the fields that give the extra shapes on which a candidate is verified too.
    pub extra_shapes: Vec<Params>,
    /// Where inputs are quantised: the changes to the fields that give the same problem before
    /// that, with outputs of the same shape. One seed gives the inputs of both, so that the error
    /// of the quantisation can be told from that of a kernel. Empty elsewhere.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub unquantised: Params,
    /// Names of the input distributions used in verification, the ordinary one first and at
    /// least one adversarial one after it.
    pub distributions: Vec<String>,
}

impl ProblemSpec {
    /// The input tensors in order.
    pub fn inputs(&self) -> impl Iterator<Item = &TensorSpec> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Input)
    }

    /// The output tensors in order.
    pub fn outputs(&self) -> impl Iterator<Item = &TensorSpec> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Output)
    }

    /// The gate of an output tensor.
    pub fn gate(&self, tensor: &str) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.tensor == tensor)
    }
}

/// A problem as its plugin describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemInfo {
    /// The problem's name, such as `sdpa`.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// The fields that a spec may set.
    pub fields: Vec<FieldInfo>,
}

/// One field of a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldInfo {
    /// The field's name.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// What values it takes.
    pub kind: FieldKind,
    /// The value where a spec is silent.
    pub default: Value,
}

/// The values that a problem field takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// An integer between two bounds, both included.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A finite float between two bounds, both included.
    Float {
        /// The least value.
        min: f64,
        /// The greatest value.
        max: f64,
    },
    /// A truth value.
    Bool,
    /// One of some names.
    Choice(Vec<String>),
    /// Any text.
    Text,
    /// A path. A relative one starts from the spec's folder, or from the current folder where there
    /// is no spec file; the plugin gets it absolute.
    Path,
}
