//! What a build says against itself before a device sees it.

use evo_journal::Limits;
use evo_types::{DeviceFacts, Metric, Params, Value};

/// Registers of a warp are handed out in pieces of so many.
const REGISTER_UNIT: i64 = 256;

/// Why a built GPU candidate is not run: it does not fit on the device, it spills more than the
/// limit, or the assembler gave up the overlap that the code was written for. Reads the figures
/// `registers`, `shared_bytes` (static) and `spill_store_bytes`, and the geometry `block_x`,
/// `block_y`, `block_z` and `shared_bytes` (dynamic); what a kernel does not tell is not judged.
pub(crate) fn objection(
    device: &DeviceFacts,
    figures: &[Metric],
    launch: &Params,
    log: &str,
    limits: &Limits,
) -> Option<String> {
    if device.kind != "cuda" {
        return None;
    }
    let fact = |name: &str| device.facts.get(name).and_then(Value::as_int);
    let figure = |name: &str| {
        let metric = figures.iter().find(|metric| metric.name == name)?;
        Some(metric.value as i64)
    };
    let geometry = |name: &str| launch.get(name).and_then(Value::as_int);
    let dynamic = geometry("shared_bytes").unwrap_or(0);
    let shared = figure("shared_bytes").unwrap_or(0).saturating_add(dynamic);
    if let Some(most) = fact("SMEM_BYTES").filter(|most| shared > *most) {
        return Some(format!(
            "a block takes {shared} bytes of shared memory, {dynamic} of them dynamic, and the \
             device has {most} for one"
        ));
    }
    let block = ["block_x", "block_y", "block_z"].map(geometry);
    let threads = block
        .iter()
        .flatten()
        .fold(1i64, |all, one| all.saturating_mul(*one));
    let most = fact("MAX_THREADS_PER_BLOCK").filter(|most| threads > *most);
    if let Some(most) = most {
        return Some(format!(
            "a block has {threads} threads, and the device takes {most}"
        ));
    }
    let warp = fact("WARP_SIZE").filter(|warp| *warp > 0).unwrap_or(32);
    if let (Some(registers), Some(held)) = (figure("registers"), fact("REGISTERS_PER_SM")) {
        let of_warp = registers.saturating_mul(warp).max(0) as u64;
        let of_warp = of_warp.next_multiple_of(REGISTER_UNIT as u64) as i64;
        let taken = (threads.saturating_add(warp - 1) / warp).saturating_mul(of_warp);
        if taken > held {
            return Some(format!(
                "a block of {threads} threads with {registers} registers each takes {taken}, and a \
                 multiprocessor has {held}"
            ));
        }
    }
    let spilled = figure("spill_store_bytes").unwrap_or(0);
    if spilled.max(0) as u64 > limits.spill_bytes {
        return Some(format!(
            "every thread spills {spilled} bytes of registers to memory; the limit is {} \
             (`limits: (spill_bytes: N)`)",
            limits.spill_bytes
        ));
    }
    let serialised = log
        .lines()
        .find(|line| line.contains("instructions are serialized"));
    serialised.map(|line| format!("the assembler warns: {}", line.trim()))
}

#[cfg(test)]
mod tests {
    use evo_types::Direction;

    use super::*;

    fn of(kind: &str, figures: &[(&str, f64)], launch: &[(&str, i64)], log: &str) -> String {
        let int = |(name, value): &(&str, i64)| ((*name).to_owned(), Value::Int(*value));
        let facts = [
            ("SMEM_BYTES", 232_448),
            ("MAX_THREADS_PER_BLOCK", 1024),
            ("REGISTERS_PER_SM", 65_536),
            ("WARP_SIZE", 32),
        ];
        let device = DeviceFacts {
            kind: kind.to_owned(),
            name: "a GPU".to_owned(),
            uuid: "GPU-0".to_owned(),
            facts: facts.iter().map(int).collect(),
        };
        let figures: Vec<Metric> = figures
            .iter()
            .map(|(name, value)| Metric::new(name, "", Direction::Info, *value))
            .collect();
        let limits = Limits {
            build_s: 1.0,
            verify_s: 1.0,
            measure_s: 1.0,
            memory_bytes: 1,
            attempts: 1,
            crashes_in_a_row: 1,
            spill_bytes: 1020,
        };
        let launch = launch.iter().map(int).collect();
        objection(&device, &figures, &launch, log, &limits).unwrap_or_else(|| "fine".to_owned())
    }

    #[test]
    fn what_cannot_run_or_was_not_meant_so_is_told_by_the_build() {
        let block = [("block_x", 128), ("block_y", 2), ("block_z", 1)];
        let log = "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async \
                   instructions are serialized due to insufficient register resources in 'k'";
        assert_eq!(of("cuda", &[("registers", 255.0)], &block, ""), "fine");
        assert_eq!(
            of("cuda", &[("spill_store_bytes", 1020.0)], &block, ""),
            "fine"
        );
        assert_eq!(
            of("cpu", &[("spill_store_bytes", 1e6)], &block, log),
            "fine"
        );
        assert_eq!(of("cuda", &[], &[], ""), "fine");
        let told = [
            of(
                "cuda",
                &[("shared_bytes", 32_448.0)],
                &[("shared_bytes", 200_001)],
                "",
            ),
            of("cuda", &[], &[("block_x", 2048)], ""),
            of("cuda", &[("registers", 255.0)], &[("block_x", 288)], ""),
            of("cuda", &[("spill_store_bytes", 1024.0)], &block, ""),
            of("cuda", &[], &block, log),
        ];
        let expected = [
            "a block takes 232449 bytes of shared memory, 200001 of them dynamic, and the device \
             has 232448 for one",
            "a block has 2048 threads, and the device takes 1024",
            "a block of 288 threads with 255 registers each takes 73728, and a multiprocessor has \
             65536",
            "every thread spills 1024 bytes of registers to memory; the limit is 1020 (`limits: \
             (spill_bytes: N)`)",
            "the assembler warns: ptxas info    : (C7510) Potential Performance Loss: \
             wgmma.mma_async instructions are serialized due to insufficient register resources \
             in 'k'",
        ];
        assert_eq!(told, expected.map(str::to_owned));
    }
}
