//! Kernels of another process on a GPU: buffers by CUDA IPC, graphs recorded there, and what goes
//! wrong. Skipped, and said so, where there is no GPU.

// A test says what is wrong by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use evo_e2e::{Bench, root};
use evo_types::Outcome;

/// Copies its input with the driver alone, or does something else, by its parameter.
const PLUGIN: &str = r#"
import ctypes
import os

from evo_candidate import Kernel, Problem, Tensor, integer, run
from evo_candidate.cuda import CudaError, DeviceArray, Driver


class Copying(Problem):
    """y = x."""

    fields = {"N": integer(1 << 20, doc="elements")}
    extra_shapes = [{"N": 1}, {"N": 1001}]

    def tensors(self, fields):
        return [Tensor.input("x", "f32", [fields["N"]]), Tensor.output("y", "f32", [fields["N"]])]

    def reference(self, spec, x):
        return x.astype("f8")


class Copy(Kernel):
    """Copies, or does something else."""

    problems = ["copying"]
    devices = ("cuda",)
    params = {"WAY": ["copies", "returns", "waits", "half", "nothing", "stray", "hoards", "ends",
                      "elsewhere"],
              "ROUND": [1, 2]}

    def load(self, code, problem, config):
        self.driver = Driver()
        self.way = config["WAY"]
        self.bytes = problem.tensors[0].bytes
        if self.way in ("returns", "elsewhere"):
            self.own = self.allocate(self.bytes)
        if self.way == "hoards":
            self.hoard()

    def allocate(self, count):
        address = ctypes.c_uint64()
        self.driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(count))
        return address.value

    def hoard(self):
        piece = 1 << 33
        while piece >= 1 << 16:
            try:
                self.allocate(piece)
            except CudaError:
                piece >>= 1

    def copy(self, to, origin, count, stream):
        self.driver.call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(to), ctypes.c_uint64(origin),
                         ctypes.c_size_t(count), ctypes.c_void_p(stream))

    def launch(self, x, y):
        if self.way == "nothing":
            return None
        if self.way == "ends":
            os._exit(3)
        if self.way in ("returns", "elsewhere"):
            # The default stream is none that is being recorded.
            self.copy(self.own, x.data_ptr(), self.bytes,
                      self.stream if self.way == "returns" else 0)
            return DeviceArray(self.own, "f32", x.shape, 0)
        count = self.bytes // 8 * 4 if self.way == "half" else self.bytes
        self.copy(y.data_ptr(), x.data_ptr(), count, self.stream)
        if self.way == "waits":
            self.driver.call("cuStreamSynchronize", ctypes.c_void_p(self.stream))
        if self.way == "stray":
            self.copy(y.data_ptr() + self.bytes, x.data_ptr(), 4, self.stream)


run(Copying, Copy)
"#;

const DESCRIPTION: &str = r#"(
    doc: "Copies on a GPU",
    command: ["{python}", "copy.py"],
    files: ["copy.py"],
)"#;

const SPEC: &str = r#"(
    plugin: "./copy.process.ron",
    tune: [(kernel: "copy")],
    baselines: [(label: "A", kernel: "copy")],
    preset: random,
    budget: (trials: 18),
    measure: (max_seconds: 0.2, confirm_seconds: 0.5),
)"#;

fn has_gpu() -> bool {
    let found = Path::new("/dev/nvidiactl").exists();
    if !found {
        println!("skipped: this machine has no GPU");
    }
    found
}

/// The outcomes of the trials of run `r` with a value of `WAY`.
fn outcomes_of(bench: &Bench, way: &str) -> Vec<Outcome> {
    let proposals = bench.proposals("r").into_iter();
    let trials: Vec<_> = proposals
        .filter(|it| it.params.get("WAY").is_some_and(|is| is.to_string() == way))
        .map(|it| it.trial)
        .collect();
    let evaluated = bench.evaluated("r").into_iter();
    let of_way = evaluated.filter(|it| trials.contains(&it.trial));
    of_way.map(|it| it.outcome).collect()
}

#[test]
fn buffers_are_shared_batches_recorded_and_faults_named() {
    if !has_gpu() {
        return;
    }
    let bench = Bench::new();
    bench.file("copy.py", PLUGIN);
    bench.file("copy.process.ron", DESCRIPTION);
    bench.file("spec.ron", SPEC);
    bench.run(&["run", "spec.ron", "--out", "r"]).ok();
    // What copies, and what keeps its output and has it collected, is recorded; what waits or
    // uses the default stream cannot be.
    for (way, recorded) in [
        ("copies", true),
        ("returns", true),
        ("waits", false),
        ("elsewhere", false),
    ] {
        let found = outcomes_of(&bench, way);
        assert_eq!(found.len(), 2, "{way}");
        for outcome in found {
            let measured = outcome
                .measurement()
                .unwrap_or_else(|| panic!("{way}: {}", outcome.summary()));
            let launches = measured.metric("launches_per_graph");
            assert_eq!(launches.is_some(), recorded, "{way}");
        }
    }
    for (way, words) in [
        ("half", "wrong"),
        ("nothing", "wrong"),
        ("stray", "outside"),
    ] {
        for outcome in outcomes_of(&bench, way) {
            let Outcome::WrongResult(_) = outcome else {
                panic!("{way}: {}", outcome.summary());
            };
            let text = outcome.summary();
            assert!(text.to_lowercase().contains(words), "{way}: {text}");
        }
    }
    for outcome in outcomes_of(&bench, "hoards") {
        // It is measured where buffers of earlier trials are there for it. Either way the next trial
        // has a worker, and so a process, that took nothing yet.
        let known = matches!(outcome, Outcome::OutOfMemory { .. } | Outcome::Measured(_));
        assert!(known, "hoards: {}", outcome.summary());
    }
    for outcome in outcomes_of(&bench, "ends") {
        let Outcome::Crashed { .. } = outcome else {
            panic!("ends: {}", outcome.summary());
        };
        let text = outcome.summary();
        assert!(text.contains("exit code 3"), "{text}");
    }
}

fn has_modules(names: &str) -> bool {
    let python = std::env::var("EVO_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = std::process::Command::new(python)
        .args(["-c", &format!("import {names}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: no {names} in this Python");
    }
    found
}

#[test]
fn pytorch_and_triton_take_part() {
    if !has_gpu() || !has_modules("torch, triton") {
        return;
    }
    let spec = root().join("examples/10_triton_kernel/run.ron");
    let bench = Bench::new();
    bench
        .run(&["run", spec.to_str().unwrap(), "--out", "r", "--budget", "4"])
        .ok();
    let evaluated = bench.evaluated("r");
    let measured = evaluated
        .iter()
        .filter_map(|it| it.outcome.measurement())
        .collect::<Vec<_>>();
    assert!(!measured.is_empty());
    for measurement in measured {
        assert!(measurement.metric("launches_per_graph").is_some());
    }
}

#[test]
fn without_a_gpu_or_pytorch_the_baselines_say_what_is_missing() {
    if Path::new("/dev/nvidiactl").exists() {
        println!("skipped: this machine has a GPU");
        return;
    }
    let file = root().join("plugins/torch-sdpa/torch-sdpa.process.ron");
    let bench = Bench::new();
    let ended = bench.run(&["plugin", "describe", file.to_str().unwrap()]);
    if has_modules("torch") {
        ended.fails(2, &["sees no GPU"]);
    } else {
        ended.fails(2, &["torch", "EVO_PYTHON"]);
    }
}
