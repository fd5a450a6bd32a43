//! What this machine is: the facts about the CPU that constraints may name.

use std::fs;
use std::path::Path;

use evo_types::{ContentHash, DeviceFacts, Params, Value};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Where the kernel describes the caches of the first CPU.
const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";

/// Data cache sizes in bytes, by level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caches {
    pub(crate) l1d: u64,
    pub(crate) l2: u64,
    /// The last level.
    pub(crate) l3: u64,
}

/// Cache sizes assumed where the system does not tell: those of a common server core.
const USUAL_CACHES: Caches = Caches {
    l1d: 32 << 10,
    l2: 1 << 20,
    l3: 16 << 20,
};

/// Confines this process, and the threads that it will start, to some CPUs.
pub(crate) fn confine(cpus: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        if *cpu >= CpuSet::MAX_CPU {
            return Err(format!("there is no CPU {cpu}"));
        }
        set.set(*cpu);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot run on the CPUs {cpus:?}: {error}"))
}

/// The facts about this machine, as seen by this process with its affinity.
pub(crate) fn facts() -> DeviceFacts {
    let cpuinfo = read("/proc/cpuinfo");
    let name = field(&cpuinfo, "model name")
        .or_else(|| field(&cpuinfo, "Model"))
        .unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH));
    let machine = [
        "/etc/machine-id",
        "/var/lib/dbus/machine-id",
        "/proc/sys/kernel/hostname",
    ]
    .iter()
    .map(|path| read(path).trim().to_owned())
    .find(|text| !text.is_empty())
    .unwrap_or_default();
    let identity = ContentHash::of_parts(&[machine.as_bytes(), name.as_bytes()]);
    let caches = caches();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let facts: [(&str, Value); 9] = [
        ("CORES", Value::Int(cores as i64)),
        ("SIMD_BITS", Value::Int(simd_bits())),
        ("HAS_AVX2", Value::Bool(has_avx2())),
        ("HAS_AVX512", Value::Bool(has_avx512())),
        ("HAS_AVX512_BF16", Value::Bool(has_avx512_bf16())),
        ("L1D_BYTES", int(caches.l1d)),
        ("L2_BYTES", int(caches.l2)),
        ("L3_BYTES", int(caches.l3)),
        ("MEM_BYTES", int(memory_bytes())),
    ];
    let facts: Params = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    DeviceFacts {
        kind: "cpu".to_owned(),
        name,
        uuid: format!("cpu-{}", identity.short()),
        facts,
    }
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name && !value.trim().is_empty()).then(|| value.trim().to_owned())
    })
}

/// The cache sizes of this machine, or usual ones where it does not tell.
pub(crate) fn caches() -> Caches {
    caches_in(Path::new(CACHES))
}

fn caches_in(folder: &Path) -> Caches {
    let mut found = [None; 3];
    for index in 0..8 {
        let entry = folder.join(format!("index{index}"));
        let level: Option<usize> = read(entry.join("level")).trim().parse().ok();
        let kind = read(entry.join("type"));
        let size = size(read(entry.join("size")).trim());
        if kind.trim() == "Instruction" {
            continue;
        }
        // A fourth level, where there is one, counts as the last.
        let place = level.and_then(|level| found.get_mut(level.min(3).wrapping_sub(1)));
        if let (Some(place), Some(size)) = (place, size) {
            *place = Some(size);
        }
    }
    let [l1d, l2, l3] = found;
    let l2 = l2.unwrap_or(USUAL_CACHES.l2);
    Caches {
        l1d: l1d.unwrap_or(USUAL_CACHES.l1d),
        l2,
        l3: l3.unwrap_or(USUAL_CACHES.l3.max(l2)),
    }
}

/// `32K`, `1M` or a bare number of bytes.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Bytes of memory that this process may use: of the machine, or of its control group.
pub(crate) fn memory_bytes() -> u64 {
    let machine = kib(&read("/proc/meminfo"), "MemTotal").unwrap_or(u64::MAX);
    read("/sys/fs/cgroup/memory.max")
        .trim()
        .parse()
        .map_or(machine, |group: u64| group.min(machine))
}

/// Bytes of memory that are free for use now.
pub(crate) fn available_bytes() -> u64 {
    kib(&read("/proc/meminfo"), "MemAvailable")
        .unwrap_or(u64::MAX)
        .min(memory_bytes())
}

fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let value = field(meminfo, name)?;
    value
        .split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// CPUs that are switched on, whatever the affinity of this process.
pub(crate) fn online_cpus() -> usize {
    let cpuinfo = read("/proc/cpuinfo");
    let listed = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    listed.max(std::thread::available_parallelism().map_or(1, usize::from))
}

/// Whether the CPU multiplies whole tiles of matrices, which no other figure here accounts for.
pub(crate) fn has_amx() -> bool {
    field(&read("/proc/cpuinfo"), "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "amx_tile"))
}

fn simd_bits() -> i64 {
    if has_avx512() {
        512
    } else if has_avx2() {
        256
    } else {
        128
    }
}

#[cfg(target_arch = "x86_64")]
mod features {
    pub(crate) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    pub(crate) fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
    }

    pub(crate) fn has_avx512_bf16() -> bool {
        has_avx512() && is_x86_feature_detected!("avx512bf16")
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod features {
    pub(crate) fn has_avx2() -> bool {
        false
    }

    pub(crate) fn has_avx512() -> bool {
        false
    }

    pub(crate) fn has_avx512_bf16() -> bool {
        false
    }
}

pub(crate) use features::{has_avx2, has_avx512, has_avx512_bf16};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_sensible_value() {
        let device = facts();
        assert_eq!(device.kind, "cpu");
        assert!(!device.name.is_empty() && device.uuid.len() == 16);
        for name in [
            "CORES",
            "SIMD_BITS",
            "L1D_BYTES",
            "L2_BYTES",
            "L3_BYTES",
            "MEM_BYTES",
        ] {
            let value = device.facts[name].as_int().unwrap();
            assert!(value > 0, "{name} is {value}");
        }
        for name in ["HAS_AVX2", "HAS_AVX512", "HAS_AVX512_BF16"] {
            assert!(device.facts[name].as_bool().is_some(), "{name}");
        }
        assert_eq!(facts().uuid, device.uuid, "the identity is stable");
    }

    #[test]
    fn caches_are_read_and_assumed_where_absent() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(caches_in(folder.path()), USUAL_CACHES);
        for (index, (level, kind, size)) in [
            ("1", "Data", "48K"),
            ("1", "Instruction", "64K"),
            ("2", "Unified", "2048K"),
            ("3", "Unified", "36M"),
        ]
        .iter()
        .enumerate()
        {
            let entry = folder.path().join(format!("index{index}"));
            fs::create_dir(&entry).unwrap();
            fs::write(entry.join("level"), level).unwrap();
            fs::write(entry.join("type"), kind).unwrap();
            fs::write(entry.join("size"), size).unwrap();
        }
        let expected = Caches {
            l1d: 48 << 10,
            l2: 2 << 20,
            l3: 36 << 20,
        };
        assert_eq!(caches_in(folder.path()), expected);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        assert!(confine(&[usize::MAX]).is_err());
        assert!(confine(&[CpuSet::MAX_CPU - 1]).is_err());
    }
}
