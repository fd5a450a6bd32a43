//! What a configuration may say.

use evo_plugin::{Error, ParamInfo, Params, Value};
use serde::{Deserialize, Serialize};

use crate::simd::{ExpKind, MICRO_ROWS, MICRO_VECS};

/// How many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// So many.
    Exactly(usize),
    /// One for so many cores, at least one.
    OneFor(usize),
}

impl Threads {
    /// The number on a device with so many cores.
    pub(crate) fn on(self, cores: usize) -> usize {
        match self {
            Self::Exactly(threads) => threads,
            Self::OneFor(each) => (cores / each).max(1),
        }
    }

    fn read(params: &Params) -> Result<Self, Error> {
        match params.get("THREADS") {
            Some(Value::Name(share)) => match share.as_str() {
                "all" => Ok(Self::OneFor(1)),
                "half" => Ok(Self::OneFor(2)),
                "quarter" => Ok(Self::OneFor(4)),
                "one" => Ok(Self::Exactly(1)),
                _ => Err(Error::Rejected(format!(
                    "`THREADS` is {share}, but must be all, half, quarter, one, or a number"
                ))),
            },
            _ => within(params, "THREADS", 1, 1024).map(Self::Exactly),
        }
    }
}

/// How tiles are given to threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Split {
    /// Each thread gets whole heads.
    Heads,
    /// Each thread gets a run of tiles of about equal length.
    Contiguous,
    /// Thread `t` of `T` gets tiles `t, t + T, ...`.
    Strided,
    /// Threads take the next tile when they are free.
    Dynamic,
    /// As `Dynamic`, the tiles with the most keys first.
    HeavyFirst,
}

/// Where and for how long K or V is packed into panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Packing {
    /// Not at all: rows are used where they lie. 16-bit rows are converted block by block, except
    /// K for the dot product.
    None,
    /// Each block when a tile comes to it.
    Block,
    /// A head when a thread comes to it, kept until the thread goes to another head.
    Head,
    /// Everything, by all threads, before the first tile.
    Shared,
}

/// When older sums and outputs are rescaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rescale {
    /// After every block.
    Always,
    /// After a block in which a maximum grew.
    Grown,
    /// After a block in which a maximum grew by a factor of more than 2^8; until then the older
    /// maximum stays in use.
    Lazy,
}

/// In which order a tile goes through the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KvOrder {
    /// From the first block to the last.
    Forward,
    /// Every other tile backwards, beginning with the blocks that the tile before it used last.
    Serpentine,
}

/// Whether threads stay on one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pin {
    /// The system moves them.
    None,
    /// Each on its own.
    Cores,
}

/// How bf16 is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bf16 {
    /// As f32, after conversion.
    Convert,
    /// With dot-product instructions on pairs, probabilities rounded to bf16.
    Dot,
}

/// The instruction set that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IsaChoice {
    /// The widest one of the device.
    Auto,
    /// 256-bit vectors.
    Avx2,
    /// 512-bit vectors.
    Avx512,
    /// Plain Rust.
    Portable,
}

/// A configuration as it was given, each value checked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) block_m: usize,
    pub(crate) block_n: usize,
    pub(crate) vecs: usize,
    pub(crate) qk_rows: usize,
    pub(crate) pv_rows: usize,
    pub(crate) threads: Threads,
    pub(crate) split: Split,
    pub(crate) pin: Pin,
    pub(crate) pack_k: Packing,
    pub(crate) pack_v: Packing,
    pub(crate) exp: ExpKind,
    pub(crate) rescale: Rescale,
    pub(crate) prefetch: usize,
    pub(crate) kv_order: KvOrder,
    pub(crate) isa: IsaChoice,
    pub(crate) bf16: Bf16,
}

/// Name, text, default, and whether it acts at launch only.
const PARAMS: [(&str, &str, Preset, bool); 16] = [
    (
        "BLOCK_M",
        "Queries per tile, rounded up to whole groups of VECS vectors",
        Int(32),
        false,
    ),
    (
        "BLOCK_N",
        "Keys per block of the online softmax",
        Int(64),
        false,
    ),
    (
        "VECS",
        "Vectors of queries side by side in a register tile",
        Int(1),
        false,
    ),
    (
        "QK_ROWS",
        "Keys in a register tile of the scores",
        Int(4),
        false,
    ),
    (
        "PV_ROWS",
        "Output columns in a register tile of the output",
        Int(4),
        false,
    ),
    (
        "THREADS",
        "Threads: a number, or a share of the cores",
        Name("all"),
        true,
    ),
    (
        "SPLIT",
        "How tiles are given to threads",
        Name("contiguous"),
        true,
    ),
    (
        "PIN",
        "Whether each thread stays on a core of its own",
        Name("none"),
        true,
    ),
    (
        "PACK_K",
        "Where keys are packed into panels",
        Name("block"),
        false,
    ),
    (
        "PACK_V",
        "Where values are packed into panels",
        Name("none"),
        false,
    ),
    (
        "EXP",
        "The exponential: exact, or a polynomial by its degree",
        Name("exact"),
        false,
    ),
    (
        "RESCALE",
        "When older sums and outputs are rescaled",
        Name("always"),
        false,
    ),
    (
        "PREFETCH",
        "Blocks of K and V fetched ahead; 0 for none",
        Int(0),
        false,
    ),
    (
        "KV_ORDER",
        "In which order tiles go through the keys",
        Name("forward"),
        true,
    ),
    ("ISA", "The instruction set", Name("auto"), false),
    ("BF16", "How bf16 is computed with", Name("convert"), false),
];

/// A default as a constant.
#[derive(Clone, Copy)]
enum Preset {
    Int(i64),
    Name(&'static str),
}
use Preset::{Int, Name};

impl From<Preset> for Value {
    fn from(value: Preset) -> Self {
        match value {
            Int(int) => Self::from(int),
            Name(name) => Self::from(name),
        }
    }
}

impl Config {
    /// The parameters, for the kernel's description.
    pub(crate) fn params() -> Vec<ParamInfo> {
        let info = |&(name, doc, default, runtime): &(&str, &str, Preset, bool)| ParamInfo {
            name: name.to_owned(),
            doc: doc.to_owned(),
            default: default.into(),
            runtime,
        };
        PARAMS.iter().map(info).collect()
    }

    /// Reads a configuration; parameters that it does not set have their defaults.
    ///
    /// # Errors
    /// `Rejected`, naming the parameter.
    pub(crate) fn read(given: &Params) -> Result<Self, Error> {
        let mut params: Params = PARAMS
            .iter()
            .map(|row| (row.0.to_owned(), row.2.into()))
            .collect();
        for (name, value) in given {
            if !params.contains_key(name) {
                return Err(Error::Rejected(format!(
                    "`tiled` has no parameter `{name}`; it has {}",
                    PARAMS.map(|row| row.0).join(", ")
                )));
            }
            params.insert(name.clone(), value.clone());
        }
        Ok(Self {
            block_m: within(&params, "BLOCK_M", 1, 1 << 16)?,
            block_n: within(&params, "BLOCK_N", 1, 1 << 16)?,
            vecs: one_of(&params, "VECS", &MICRO_VECS)?,
            qk_rows: one_of(&params, "QK_ROWS", &MICRO_ROWS)?,
            pv_rows: one_of(&params, "PV_ROWS", &MICRO_ROWS)?,
            threads: Threads::read(&params)?,
            split: name(&params, "SPLIT")?,
            pin: name(&params, "PIN")?,
            pack_k: name(&params, "PACK_K")?,
            pack_v: name(&params, "PACK_V")?,
            exp: exp(&params)?,
            rescale: name(&params, "RESCALE")?,
            prefetch: within(&params, "PREFETCH", 0, 8)?,
            kv_order: name(&params, "KV_ORDER")?,
            isa: name(&params, "ISA")?,
            bf16: name(&params, "BF16")?,
        })
    }
}

fn within(params: &Params, name: &str, min: usize, max: usize) -> Result<usize, Error> {
    let value = evo_plugin::size(params, name)?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Error::Rejected(format!(
        "`{name}` is {value}, but must be from {min} to {max}"
    )))
}

fn one_of(params: &Params, name: &str, allowed: &[usize]) -> Result<usize, Error> {
    let value = evo_plugin::size(params, name)?;
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(Error::Rejected(format!(
        "`{name}` is {value}, but must be one of {allowed:?}"
    )))
}

/// Reads one of the enums above by the names that serde gives its variants.
fn name<T: serde::de::DeserializeOwned>(params: &Params, key: &str) -> Result<T, Error> {
    let text = evo_plugin::choice(params, key)?;
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|error| Error::Rejected(format!("`{key}`: {error}")))
}

fn exp(params: &Params) -> Result<ExpKind, Error> {
    let text = evo_plugin::choice(params, "EXP")?;
    ExpKind::ALL
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            let names: Vec<_> = ExpKind::ALL.iter().map(|(name, _)| *name).collect();
            Error::Rejected(format!(
                "`EXP` is {text}, but must be one of {}",
                names.join(", ")
            ))
        })
}
