//! What a kernel is asked for: the problem on a device.

use evo_cuda::{Argument, Limits, arch_of};
use evo_plugin::{BuildRequest, Dtype, Error, Io, Value};
use evo_problems::sdpa::{self, Attention, Epilogue, Scales};

/// The problem, and what of the device decides how it is built.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) attention: Attention,
    /// The architecture to compile for.
    pub(crate) arch: String,
    /// Limits of a multiprocessor, where the architecture is known.
    pub(crate) limits: Option<Limits>,
    /// Multiprocessors.
    sms: i64,
    /// Bytes of shared memory that a block may have.
    pub(crate) shared_bytes: i64,
    /// Bytes of shared memory of a multiprocessor.
    pub(crate) shared_per_sm: i64,
    heads: i32,
    seq: i32,
}

/// The largest extent of a grid in y.
const LARGEST_Y: u32 = 65_535;

/// How the rows of all heads are shared out to blocks: groups of heads side by side with all their
/// tiles of rows, or as many blocks as are resident, which take one tile after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Query rows of a tile.
    pub(crate) rows: i64,
    pub(crate) head_group: i64,
    pub(crate) ctas_per_sm: i64,
    pub(crate) persistent: bool,
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Rejected(reason.into()))
}

impl Task {
    /// Reads a request.
    ///
    /// # Errors
    /// `Rejected`, where the device code is not made for such a problem or device.
    pub(crate) fn of(request: &BuildRequest) -> Result<Self, Error> {
        if request.problem.problem != sdpa::NAME {
            return refuse(format!(
                "this kernel solves `{}`, not `{}`",
                sdpa::NAME,
                request.problem.problem
            ));
        }
        let attention = Attention::of(&request.problem.fields)?;
        check_problem(&attention)?;
        let integer = |extent: usize, what: &str| {
            i32::try_from(extent).or_else(|_| refuse(format!("{what} is {extent}: too large")))
        };
        let heads = integer(attention.shape.heads, "the number of heads")?;
        let seq = integer(attention.shape.s, "S")?;
        // Tiles of all heads are counted in 32 bits, and no tile has fewer than 64 rows.
        if i64::from(heads) * i64::from(seq / 64 + 1) > i64::from(i32::MAX) {
            return refuse(format!("{heads} heads of S={seq} are more than 2^31 tiles"));
        }
        let fact = |name: &str| {
            let fact = request.device.facts.get(name).and_then(Value::as_int);
            fact.ok_or_else(|| {
                Error::Rejected(format!(
                    "the device `{}` does not tell its {name}",
                    request.device.name
                ))
            })
        };
        let capability = fact("COMPUTE_CAPABILITY")?;
        if capability < 80 {
            return refuse(format!(
                "compute capability {}.{}: the kernels need 8.0 (cp.async)",
                capability / 10,
                capability % 10
            ));
        }
        let arch = arch_of(u32::try_from(capability).unwrap_or(u32::MAX));
        Ok(Self {
            attention,
            limits: Limits::of(&arch),
            arch,
            sms: fact("SMS")?,
            shared_bytes: fact("SMEM_BYTES")?,
            shared_per_sm: fact("SMEM_PER_SM")?,
            heads,
            seq,
        })
    }

    /// Elements of a query.
    pub(crate) fn d(&self) -> i64 {
        self.attention.shape.d as i64
    }

    /// Bytes of an element of Q, K and V.
    pub(crate) fn element_bytes(&self) -> i64 {
        self.attention.input_dtype().size() as i64
    }

    /// Pairs of batch and head.
    pub(crate) fn heads(&self) -> u32 {
        self.heads.unsigned_abs()
    }

    /// The sequence length.
    pub(crate) fn seq(&self) -> u32 {
        self.seq.unsigned_abs()
    }

    /// Multiprocessors.
    pub(crate) fn sms(&self) -> u32 {
        u32::try_from(self.sms).unwrap_or(0).max(1)
    }

    /// The grid in x and y of kernels whose blocks take tiles of rows.
    ///
    /// # Errors
    /// `Rejected` where the grid is larger than CUDA takes.
    pub(crate) fn grid(&self, tiling: Tiling) -> Result<[u32; 2], Error> {
        let size = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let tiles = u64::from(self.seq().div_ceil(size(tiling.rows)));
        let in_group = tiles * u64::from(size(tiling.head_group));
        let groups = self.heads().div_ceil(size(tiling.head_group));
        let largest = u64::from(i32::MAX.unsigned_abs());
        if in_group * u64::from(groups) > largest || (groups > LARGEST_Y && !tiling.persistent) {
            return refuse(format!(
                "{groups} groups of {in_group} tiles are more than a grid has"
            ));
        }
        let in_group = u32::try_from(in_group).unwrap_or(u32::MAX);
        let resident = size(tiling.ctas_per_sm).saturating_mul(self.sms());
        Ok(match tiling.persistent {
            true => [(in_group * groups).min(resident), 1],
            false => [in_group, groups],
        })
    }

    /// The macros that say what is computed.
    pub(crate) fn macros(&self) -> Vec<String> {
        let dtype = match self.attention.input_dtype() {
            Dtype::F8E4m3 => "f8_e4m3",
            Dtype::Bf16 => "bf16",
            _ => "f16",
        };
        let mask = match self.attention.shape.causal {
            true => "causal",
            false => "full",
        };
        let epilogue = match self.attention.epilogue {
            Epilogue::None => "none",
            Epilogue::Scale(_) => "scale",
            Epilogue::ScaleBias(_) => "scale_bias",
        };
        vec![
            format!("-DHEAD_DIM={}", self.attention.shape.d),
            format!("-DDTYPE={dtype}"),
            format!("-DMASK={mask}"),
            format!("-DEPILOGUE={epilogue}"),
        ]
    }

    /// The arguments that all kernels of the family take, for these buffers.
    ///
    /// # Errors
    /// `Failed` where the buffers are not those of the problem.
    pub(crate) fn arguments(&self, io: &mut Io<'_>) -> Result<Vec<Argument>, Error> {
        let mut place = 0;
        let mut next = |wanted: bool| -> Result<Argument, Error> {
            if !wanted {
                return Ok(Argument::Address(0));
            }
            place += 1;
            Ok(address(io.input(place - 1)?.pointer()))
        };
        let quantised = self.attention.quantised.is_some();
        let tensors = [next(true)?, next(true)?, next(true)?];
        let scales = [next(quantised)?, next(quantised)?, next(quantised)?];
        let bias = next(self.attention.bias_elements() > 0)?;
        let output = address(io.output(0)?.pointer());
        let alpha = match self.attention.epilogue {
            Epilogue::None => 1.0,
            Epilogue::Scale(alpha) | Epilogue::ScaleBias(alpha) => alpha,
        };
        let stride = i32::from(self.attention.quantised == Some(Scales::PerHead));
        let bias_heads = i32::try_from(self.attention.heads_per_batch).unwrap_or(i32::MAX);
        let mut arguments = Vec::from(tensors);
        arguments.push(output);
        arguments.push(Argument::I32(self.heads));
        arguments.push(Argument::I32(self.seq));
        arguments.push(Argument::F32(self.attention.shape.scale()));
        arguments.extend(scales);
        arguments.push(Argument::I32(stride));
        arguments.push(Argument::F32(alpha));
        arguments.push(bias);
        arguments.push(Argument::I32(bias_heads));
        Ok(arguments)
    }
}

/// What the device code is made for.
fn check_problem(attention: &Attention) -> Result<(), Error> {
    let d = attention.shape.d;
    if d != 64 && d != 128 {
        return refuse(format!(
            "D is {d}, and the kernels are made for 64 and 128 (where this is an extra shape, set \
             the field `same_d`)"
        ));
    }
    match (attention.input_dtype(), attention.output_dtype()) {
        (Dtype::F16 | Dtype::Bf16, _) | (Dtype::F8E4m3, Dtype::Bf16) => Ok(()),
        (Dtype::F8E4m3, _) => {
            refuse("`output` is f16, and the kernels write bf16 for f8_e4m3 inputs")
        }
        _ => refuse("`dtype` is f32, and the kernels are made for f16, bf16 and f8_e4m3"),
    }
}

/// An address as an argument.
pub(crate) fn address(pointer: *mut u8) -> Argument {
    Argument::Address(pointer as usize as u64)
}
