//! The kernels without the framework: for benchmarks, tests, and the plugin's own adapter.

use evo_plugin::{Error, Params};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::attention::{self, Attention};
use crate::flash::{Flash, FlashPlan};
use crate::machine::Machine;
use crate::math::{Math, MathPlan};
use crate::simd::Elem;
use crate::tiled::{Config, Plan, Tiled};
use crate::{Shape, Storage};

/// A resolved plan of one of the kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kernel", rename_all = "snake_case")]
pub(crate) enum AnyPlan {
    Math(MathPlan),
    Flash(FlashPlan),
    Tiled(Plan),
}

impl AnyPlan {
    /// Resolves a configuration of a kernel by name.
    pub(crate) fn resolve(
        kernel: &str,
        config: &Params,
        shape: Shape,
        machine: &Machine,
    ) -> Result<Self, Error> {
        match kernel {
            "math" => Ok(Self::Math(MathPlan::resolve(
                shape,
                baseline_threads(config, machine)?,
                machine,
            )?)),
            "flash" => Ok(Self::Flash(FlashPlan::resolve(
                shape,
                baseline_threads(config, machine)?,
                machine,
            )?)),
            "tiled" => Ok(Self::Tiled(Plan::resolve(
                &Config::read(config)?,
                shape,
                machine,
            )?)),
            _ => Err(Error::Rejected(format!("no kernel is called `{kernel}`"))),
        }
    }

    fn load<T: Elem>(self) -> Result<Box<dyn Attention<T>>, Error> {
        Ok(match self {
            Self::Math(plan) => Box::new(Math::<T>::new(plan)?),
            Self::Flash(plan) => Box::new(Flash::<T>::new(plan)?),
            Self::Tiled(plan) => Box::new(Tiled::<T>::new(plan)?),
        })
    }

    /// The plan's canonical bytes without what acts at launch only, and that part by itself.
    pub(crate) fn to_parts(&self) -> Result<(Vec<u8>, Params), Error> {
        let mut document = serde_json::to_value(self).map_err(unreadable)?;
        let schedule = document
            .as_object_mut()
            .and_then(|fields| fields.remove(SCHEDULE));
        let bytes = serde_json::to_vec(&document).map_err(unreadable)?;
        let launch = schedule
            .map(serde_json::from_value)
            .transpose()
            .map_err(unreadable)?;
        Ok((bytes, launch.unwrap_or_default()))
    }

    /// Puts together what [`to_parts`](Self::to_parts) took apart.
    pub(crate) fn from_parts(bytes: &[u8], launch: &Params) -> Result<Self, Error> {
        let mut document: serde_json::Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        if let (Some(fields), false) = (document.as_object_mut(), launch.is_empty()) {
            let schedule = serde_json::to_value(launch).map_err(unreadable)?;
            fields.insert(SCHEDULE.to_owned(), schedule);
        }
        serde_json::from_value(document).map_err(unreadable)
    }

    /// Bytes of scratch memory over all threads.
    pub(crate) fn scratch_bytes(&self) -> u128 {
        match self {
            Self::Math(plan) => plan.scratch_bytes(),
            Self::Flash(plan) => plan.scratch_bytes(),
            Self::Tiled(plan) => plan.scratch_bytes(),
        }
    }

    /// The problem's shape.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Math(plan) => plan.shape,
            Self::Flash(plan) => plan.shape,
            Self::Tiled(plan) => plan.shape,
        }
    }
}

/// The field of a plan that acts at launch only.
const SCHEDULE: &str = "schedule";

fn unreadable(error: serde_json::Error) -> Error {
    Error::Failed(format!(
        "the artifact is not a plan of this plugin: {error}"
    ))
}

/// The threads of a baseline: as many as there are cores, unless `THREADS` says otherwise.
fn baseline_threads(config: &Params, machine: &Machine) -> Result<usize, Error> {
    if let Some(name) = config.keys().find(|name| *name != "THREADS") {
        return Err(Error::Rejected(format!(
            "a baseline has no parameter `{name}`, only `THREADS`"
        )));
    }
    let threads = if config.is_empty() {
        0
    } else {
        evo_plugin::size(config, "THREADS")?
    };
    match threads {
        0 => Ok(machine.cores),
        1..=1024 => Ok(threads),
        _ => Err(Error::Rejected(format!(
            "`THREADS` is {threads}, but must be from 0 to 1024"
        ))),
    }
}

enum Inner {
    F32(Box<dyn Attention<f32>>),
    F16(Box<dyn Attention<f16>>),
    Bf16(Box<dyn Attention<bf16>>),
}

/// A kernel loaded for one shape and storage type.
pub struct Loaded {
    shape: Shape,
    inner: Inner,
}

impl Loaded {
    /// Resolves and loads a kernel for this machine.
    ///
    /// # Errors
    /// As the plugin's `accept`, `build` and `load`.
    pub fn new(kernel: &str, config: &Params, shape: Shape) -> Result<Self, Error> {
        Self::from_plan(AnyPlan::resolve(kernel, config, shape, &Machine::here())?)
    }

    pub(crate) fn from_plan(plan: AnyPlan) -> Result<Self, Error> {
        let shape = plan.shape();
        let inner = match shape.storage {
            Storage::F32 => Inner::F32(plan.load()?),
            Storage::F16 => Inner::F16(plan.load()?),
            Storage::Bf16 => Inner::Bf16(plan.load()?),
        };
        Ok(Self { shape, inner })
    }

    /// Computes `o` from `q`, `k` and `v`.
    ///
    /// # Errors
    /// Where the element type or a length is not the one of the shape.
    pub fn launch<T: Stored>(&mut self, inputs: [&[T]; 3], o: &mut [T]) -> Result<(), Error> {
        T::launch(self, inputs, o)
    }
}

/// Element types that tensors are stored in.
pub trait Stored: evo_plugin::Element + Sized {
    /// As [`Loaded::launch`].
    ///
    /// # Errors
    /// As [`Loaded::launch`].
    #[doc(hidden)]
    fn launch(loaded: &mut Loaded, inputs: [&[Self]; 3], o: &mut [Self]) -> Result<(), Error>;
}

macro_rules! stored {
    ($ty:ty, $variant:ident) => {
        impl Stored for $ty {
            fn launch(
                loaded: &mut Loaded,
                inputs: [&[Self]; 3],
                o: &mut [Self],
            ) -> Result<(), Error> {
                match &mut loaded.inner {
                    Inner::$variant(inner) => {
                        attention::launch(inner.as_mut(), &loaded.shape, inputs, o)
                    }
                    _ => Err(Error::Failed(format!(
                        "loaded for {:?}, launched on {}",
                        loaded.shape.storage,
                        stringify!($ty)
                    ))),
                }
            }
        }
    };
}

stored!(f32, F32);
stored!(f16, F16);
stored!(bf16, Bf16);
