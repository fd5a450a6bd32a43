//! A bench for processes: opens `tests/plugins/process/raw.py` with a fault, and keeps buffers for
//! its kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use evo_bundle::{Bundle, BundleKind};
use evo_plugin::__private::{host, wrap};
use evo_plugin::abi::{BoxedInstance, BoxedKernel, BoxedPlugin, BoxedProblem, RawIo, RawTensor};
use evo_plugin::{Error, Evaluation};
use evo_process::SharedMemory;
use evo_types::{
    Artifact, BuildRequest, DeviceFacts, Dtype, Params, PluginInfo, ProblemSpec, Value,
};

/// Unpacked files go to the test's own folder.
pub(crate) fn cache() {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        // SAFETY: every test calls this before anything that reads the environment; the standard
        // library's own lock orders it with the reads of other threads.
        unsafe { std::env::set_var("EVO_CACHE_DIR", env!("CARGO_TARGET_TMPDIR")) };
    });
}

/// The bundle of the raw process with a fault.
pub(crate) fn bundle(fault: &str) -> Bundle {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/process");
    let code = fs::read(root.join("raw.py")).unwrap();
    Bundle {
        kind: BundleKind::Process,
        name: "raw".to_owned(),
        description: format!(
            r#"(command: ["{{python}}", "raw.py"], files: ["raw.py"], env: {{"FAULT": "{fault}"}})"#
        ),
        origin: "tests/raw.process.ron".to_owned(),
        folder: "/home/someone/raw".to_owned(),
        files: BTreeMap::from([("raw.py".to_owned(), code)]),
    }
}

/// The plugin, opened.
pub(crate) fn opened(fault: &str) -> Result<BoxedPlugin, String> {
    cache();
    evo_process::open(&bundle(fault)).map(wrap)
}

/// The processes of a bench: those that have its mark in their environment.
pub(crate) fn processes_of(bench: &Bench) -> Vec<u32> {
    let marker = format!("EVO_TEST={}", bench.marker);
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|b| *b == 0).any(|v| v == marker.as_bytes()))
        })
        .collect()
}

/// An opened plugin.
pub(crate) struct Bench {
    plugin: BoxedPlugin,
    marker: String,
}

impl Bench {
    pub(crate) fn new(fault: &str) -> Self {
        cache();
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let marker = format!("{}-{count}", std::process::id());
        let mut bundle = bundle(fault);
        bundle.description = bundle
            .description
            .replace("env: {", &format!("env: {{\"EVO_TEST\": \"{marker}\", "));
        let plugin = wrap(evo_process::open(&bundle).unwrap());
        Self { plugin, marker }
    }

    pub(crate) fn info(&self) -> PluginInfo {
        serde_json::from_str(&host::result(self.plugin.info()).unwrap()).unwrap()
    }

    fn kernel(&self) -> BoxedKernel {
        host::result(self.plugin.kernel("double".into())).unwrap()
    }

    fn problem(&self) -> BoxedProblem {
        host::result(self.plugin.problem("doubling".into())).unwrap()
    }

    pub(crate) fn resolve(&self, count: usize) -> ProblemSpec {
        let fields: Params = [("N".to_owned(), Value::from(count as i64))].into();
        let fields = serde_json::to_string(&fields).unwrap();
        let text = host::result(self.problem().resolve(fields.as_str().into())).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn request(&self, count: usize, way: i64) -> BuildRequest {
        BuildRequest {
            problem: self.resolve(count),
            config: [("WAY".to_owned(), Value::from(way))].into(),
            device: DeviceFacts {
                kind: "cpu".to_owned(),
                name: "test".to_owned(),
                uuid: "test".to_owned(),
                facts: Params::new(),
            },
        }
    }

    pub(crate) fn accept(&self, count: usize, way: i64) -> Result<(), Error> {
        let request = serde_json::to_string(&self.request(count, way)).unwrap();
        host::result(self.kernel().accept(request.as_str().into()))
    }

    pub(crate) fn build(&self, count: usize, way: i64) -> Result<Artifact, Error> {
        self.accept(count, way)?;
        let request = serde_json::to_string(&self.request(count, way)).unwrap();
        host::from_raw(&host::result(self.kernel().build(request.as_str().into()))?)
    }

    pub(crate) fn inputs(&self, spec: &ProblemSpec, seed: u64) -> Vec<f32> {
        let spec = serde_json::to_string(spec).unwrap();
        let mut values = vec![0f32; 64];
        let shape = [64];
        // SAFETY: values and shape outlive the call.
        let raw = unsafe { RawTensor::host(values.as_mut_ptr().cast(), Dtype::F32, &shape) };
        let filled = self.problem().fill(
            spec.as_str().into(),
            seed,
            "even".into(),
            [raw].as_slice().into(),
        );
        host::result(filled).unwrap();
        values
    }

    pub(crate) fn reference(&self, spec: &ProblemSpec, inputs: &[f32]) -> Vec<f64> {
        let spec = serde_json::to_string(spec).unwrap();
        let mut inputs = inputs.to_vec();
        let mut values = vec![0f64; 64];
        let shape = [64];
        // SAFETY: the vectors and the shape outlive the call.
        let (x, y) = unsafe {
            (
                RawTensor::host(inputs.as_mut_ptr().cast(), Dtype::F32, &shape),
                RawTensor::host(values.as_mut_ptr().cast(), Dtype::F64, &shape),
            )
        };
        let referred = self.problem().reference(
            spec.as_str().into(),
            [x].as_slice().into(),
            true,
            [].as_slice().into(),
            [y].as_slice().into(),
        );
        host::result(referred).unwrap();
        values
    }

    pub(crate) fn objective(&self) -> Opened {
        Opened(host::result(self.plugin.objective("parabola".into(), "{}".into())).unwrap())
    }

    pub(crate) fn candidate(&self, count: usize) -> Candidate {
        let mut candidate = Candidate::new(self, count, true);
        candidate.bind().unwrap();
        candidate
    }
}

/// An opened objective.
pub(crate) struct Opened(evo_plugin::abi::BoxedObjective);

impl Opened {
    pub(crate) fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let config = serde_json::to_string(config).unwrap();
        let text = host::result(self.0.evaluate(config.as_str().into()))?;
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        Ok(Evaluation {
            metrics: serde_json::from_value(document["metrics"].clone()).unwrap(),
            cost_s: document["cost_s"].as_f64(),
        })
    }
}

/// A loaded kernel with its buffers.
pub(crate) struct Candidate {
    instance: BoxedInstance,
    pub(crate) artifact: Artifact,
    pub(crate) workspace_bytes: usize,
    io: RawIo,
    count: usize,
    _shape: Box<[i64]>,
    _memory: Vec<SharedMemory>,
    _heap: Vec<Vec<u64>>,
}

impl Candidate {
    pub(crate) fn on_the_heap(bench: &Bench, count: usize) -> Self {
        Self::new(bench, count, false)
    }

    fn new(bench: &Bench, count: usize, shared: bool) -> Self {
        let request = serde_json::to_string(&bench.request(count, 0)).unwrap();
        let kernel = bench.kernel();
        let raw = host::result(kernel.build(request.as_str().into())).unwrap();
        let instance = host::result(kernel.load(&raw, request.as_str().into())).unwrap();
        let workspace_bytes = host::result(instance.workspace_size()).unwrap();
        let (mut memory, mut heap) = (Vec::new(), Vec::new());
        let mut buffer = |bytes: usize| {
            if shared {
                memory.push(SharedMemory::new(bytes).unwrap());
                memory.last().unwrap().pointer()
            } else {
                heap.push(vec![0u64; bytes.div_ceil(8)]);
                heap.last_mut().unwrap().as_mut_ptr().cast()
            }
        };
        let shape: Box<[i64]> = [count as i64].into();
        let mut tensor = || {
            // SAFETY: the buffers and the shape live as long as the candidate.
            unsafe { RawTensor::host(buffer(count * 4), Dtype::F32, &shape) }
        };
        let (x, y) = (tensor(), tensor());
        let io = RawIo {
            inputs: vec![x].into(),
            outputs: vec![y].into(),
            workspace: buffer(workspace_bytes),
            workspace_bytes,
        };
        Self {
            instance,
            artifact: host::from_raw(&raw).unwrap(),
            workspace_bytes,
            io,
            count,
            _shape: shape,
            _memory: memory,
            _heap: heap,
        }
    }

    pub(crate) fn bind(&mut self) -> Result<(), Error> {
        host::result(self.instance.bind(&self.io))
    }

    pub(crate) fn fill(&mut self, value: impl Fn(usize) -> f32) {
        let x = self.io.inputs[0].data.cast::<f32>();
        for index in 0..self.count {
            // SAFETY: inside the input.
            unsafe { x.add(index).write(value(index)) };
        }
    }

    pub(crate) fn output(&self) -> Vec<f32> {
        let y = self.io.outputs[0].data.cast::<f32>();
        // SAFETY: the output has so many elements, and nobody writes them now.
        unsafe { std::slice::from_raw_parts(y, self.count) }.to_vec()
    }

    pub(crate) fn launch(&mut self, stream: u64) -> Result<(), Error> {
        host::result(self.instance.launch(&self.io, stream))
    }
}
