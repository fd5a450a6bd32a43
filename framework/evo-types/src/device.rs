//! What is known of the device that candidates run on.

use serde::{Deserialize, Serialize};

use crate::Params;

/// A device: its kind, its identity, and the facts that constraints may name.
///
/// Facts come from the device itself or from a shipped profile, so that a space for a device can
/// be looked at where there is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// The kind of device: `cpu` or `cuda`.
    pub kind: String,
    /// The marketing name, such as `AMD EPYC 9B14`.
    pub name: String,
    /// A stable identity: the GPU's UUID, or a hash of host name and CPU model.
    pub uuid: String,
    /// Facts by the name that constraints use: `CORES`, `SIMD_BITS`, `L1D_BYTES`, `SMEM_BYTES`, ...
    pub facts: Params,
}
