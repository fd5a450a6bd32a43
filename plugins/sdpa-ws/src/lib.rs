//! Scaled-dot-product attention on NVIDIA GPUs from sm_80 on: the device code of `kernels/sdpa`,
//! compiled at run time.
//!
//! The kernels `stage2`, `ws_p1` and `ws_p2` are one source, fused attention, with no warps that
//! only load, with one and with two; `fused` is all three of them. `hopper` is another source, of
//! instructions that only Hopper has. `math` is the unfused attention that they are compared with. [`plugin`] is the plugin; as a Rust library this crate offers it
//! without a worker, for tests.

mod compile;
mod config;
mod fused;
mod hopper;
mod hopper_config;
mod instance;
mod math;
mod task;

use evo_plugin::Plugin;

pub use fused::{Fused, Variant};
pub use hopper::Hopper;
pub use math::Math;

/// The search space of the fused kernels.
pub const SPACE: &str = include_str!("../../../search-spaces/sdpa_ws.ron");

/// The search space of the Hopper kernel.
pub const HOPPER_SPACE: &str = include_str!("../../../search-spaces/sdpa_hopper.ron");

/// The plugin with all its kernels.
pub fn plugin() -> Plugin {
    let doc = "Attention on NVIDIA GPUs, with and without warp specialisation";
    Plugin::new("sdpa-ws", env!("CARGO_PKG_VERSION"), doc)
        .kernel(Math)
        .kernel(Fused::new(Variant::Stage2))
        .kernel(Fused::new(Variant::Ws1))
        .kernel(Fused::new(Variant::Ws2))
        .kernel(Fused::new(Variant::Any))
        .kernel(Hopper)
        .default_spec(include_str!("../specs/mission.run.ron"))
}

evo_plugin::export!(plugin);
