//! Tensor maps: what Hopper's bulk copies are told of a tensor in memory. A kernel takes one as a
//! parameter of 128 bytes (`__grid_constant__`).

use std::ffi::c_void;

use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};

use super::device::driver_version;
use super::error::{CudaError, check};
use super::launch::Argument;

/// The first driver that knows tensor maps: that of CUDA 12.0.
const FIRST_DRIVER: i32 = 12_000;
/// What the hardware can express.
const MOST_DIMENSIONS: usize = 5;
const MOST_BOX: u32 = 256;
const ALIGNMENT: u64 = 16;

/// The elements of a tensor, as far as bulk copies care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorElement {
    /// 8 bits of anything.
    U8,
    /// A half.
    F16,
    /// A bfloat16.
    Bf16,
    /// A single-precision number.
    F32,
}

impl TensorElement {
    fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// In which order the 16-byte chunks of a box's rows lie in shared memory. The row of a box (its
/// innermost extent) is at most as long as the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swizzle {
    /// As they come.
    None,
    /// Permuted in rows of 32 bytes.
    Bytes32,
    /// Permuted in rows of 64 bytes.
    Bytes64,
    /// Permuted in rows of 128 bytes.
    Bytes128,
}

impl Swizzle {
    /// The longest row of a box, in bytes.
    fn row(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Bytes32 => Some(32),
            Self::Bytes64 => Some(64),
            Self::Bytes128 => Some(128),
        }
    }
}

/// A dense tensor and the boxes that are copied of it. What lies outside of it is read as zeros and
/// not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMap {
    /// The address on the device, a multiple of 16.
    pub address: u64,
    /// The elements.
    pub element: TensorElement,
    /// Extents in elements, the innermost first; at most 5.
    pub extents: Vec<u64>,
    /// Extents of a box, the innermost first: at most 256 each.
    pub box_extents: Vec<u32>,
    /// The order of a box in shared memory.
    pub swizzle: Swizzle,
}

impl TensorMap {
    /// The map as the parameter of a kernel.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](super::ErrorKind::Refused) where the hardware has no such map, with
    /// the rule that is broken, and where the driver is older than CUDA 12.0;
    /// [`ErrorKind::Missing`](super::ErrorKind::Missing) where there is none.
    pub fn argument(&self) -> Result<Argument, CudaError> {
        let strides = self.check()?;
        let version = driver_version()?;
        if version < FIRST_DRIVER {
            return Err(CudaError::refused(format!(
                "the driver is that of CUDA {}.{}, and tensor maps need that of CUDA 12.0 or later",
                version / 1000,
                version % 1000 / 10
            )));
        }
        let element = match self.element {
            TensorElement::U8 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
            TensorElement::F16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
            TensorElement::Bf16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            TensorElement::F32 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        };
        let swizzle = match self.swizzle {
            Swizzle::None => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
            Swizzle::Bytes32 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            Swizzle::Bytes64 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
            Swizzle::Bytes128 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
        };
        let ones = [1u32; MOST_DIMENSIONS];
        let mut map = CUtensorMap { opaque: [0; 16] };
        // SAFETY: `map` is a place for a map with its alignment, and the lists have as many entries
        // as the rank says (of strides one less), as `check` saw to. The address is only written down.
        let code = unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut map,
                element,
                self.extents.len() as u32,
                self.address as usize as *mut c_void,
                self.extents.as_ptr(),
                strides.as_ptr(),
                self.box_extents.as_ptr(),
                ones.as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        check(code, || format!("making a tensor map ({self:?})"))?;
        let bytes = map.opaque.iter().flat_map(|word| word.to_ne_bytes());
        Ok(Argument::Bytes(bytes.collect()))
    }

    /// The strides in bytes of all dimensions but the innermost.
    fn check(&self) -> Result<Vec<u64>, CudaError> {
        let refused = |rule: &str| {
            Err(CudaError::refused(format!(
                "there is no tensor map for {self:?}: {rule}"
            )))
        };
        let rank = self.extents.len();
        if rank == 0 || rank > MOST_DIMENSIONS || self.box_extents.len() != rank {
            return refused("a tensor has 1 to 5 dimensions, and a box as many");
        }
        if !self.address.is_multiple_of(ALIGNMENT) {
            return refused("the address must be a multiple of 16");
        }
        if self
            .extents
            .iter()
            .any(|extent| *extent == 0 || *extent > 1 << 32)
        {
            return refused("extents are 1 to 2^32");
        }
        if self
            .box_extents
            .iter()
            .any(|extent| *extent == 0 || *extent > MOST_BOX)
        {
            return refused("extents of a box are 1 to 256");
        }
        let row = u64::from(self.box_extents.first().copied().unwrap_or(0)) * self.element.bytes();
        if !row.is_multiple_of(ALIGNMENT) || self.swizzle.row().is_some_and(|most| row > most) {
            return refused(
                "a row of a box must be a multiple of 16 bytes, and no longer than the swizzle's",
            );
        }
        let mut stride = self.element.bytes();
        let mut strides = Vec::new();
        for extent in self.extents.iter().take(rank - 1) {
            stride = stride.saturating_mul(*extent);
            if !stride.is_multiple_of(ALIGNMENT) || stride >= 1 << 40 {
                return refused("strides must be multiples of 16 bytes, below 2^40");
            }
            strides.push(stride);
        }
        Ok(strides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> TensorMap {
        TensorMap {
            address: 0x7f00_0000_0000,
            element: TensorElement::F16,
            extents: vec![128, 512, 16],
            box_extents: vec![64, 128, 1],
            swizzle: Swizzle::Bytes128,
        }
    }

    #[test]
    fn what_the_hardware_cannot_express_is_refused_with_the_rule() {
        assert_eq!(map().check().unwrap(), [256, 131_072]);
        let refused: Vec<String> = [
            TensorMap {
                extents: vec![],
                box_extents: vec![],
                ..map()
            },
            TensorMap {
                box_extents: vec![64, 128],
                ..map()
            },
            TensorMap {
                address: 8,
                ..map()
            },
            TensorMap {
                extents: vec![128, 0, 16],
                ..map()
            },
            TensorMap {
                box_extents: vec![64, 257, 1],
                ..map()
            },
            TensorMap {
                box_extents: vec![128, 64, 1],
                ..map()
            },
            TensorMap {
                box_extents: vec![4, 64, 1],
                ..map()
            },
            TensorMap {
                extents: vec![100, 512, 16],
                ..map()
            },
            TensorMap {
                extents: vec![1 << 32, 1 << 10, 16],
                ..map()
            },
        ]
        .iter()
        .map(|map| {
            let text = map.check().unwrap_err().to_string();
            text.rsplit("}: ").next().unwrap_or_default().to_owned()
        })
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn a_driver_makes_a_map_and_without_one_it_says_so() {
        match map().argument() {
            Ok(Argument::Bytes(bytes)) => assert_eq!(bytes.len(), 128),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.to_string().contains("driver"), "{error}"),
        }
    }
}
