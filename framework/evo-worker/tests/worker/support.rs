//! A host for tests: builds the test plugins once, puts them into a store, and talks to a worker
//! that runs in a thread.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use evo_types::{
    BuildRequest, ContentHash, DeviceFacts, Outcome, Params, Phase, ProblemSpec, Value,
};
use evo_wire::{
    ComponentRef, Envelope, MeasureJob, MeasureSettings, PROTOCOL, Reply, Request, read_frame,
    write_frame,
};

/// The packages under `tests/plugins/`.
const PLUGINS: [&str; 5] = [
    "misbehave",
    "not-a-plugin",
    "synthetic",
    "wrong-layout",
    "wrong-version",
];

/// The folder that holds the built libraries, after building them.
fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own file");
        let folder = test
            .ancestors()
            .nth(2)
            .expect("tests lie in `deps`")
            .to_owned();
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--profile", profile]);
        for plugin in PLUGINS {
            cargo.args(["-p", &format!("evo-test-{plugin}")]);
        }
        let target = folder
            .parent()
            .expect("the profile lies in a target folder");
        cargo.arg("--target-dir").arg(target);
        let status = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the test plugins do not build");
        folder
    })
}

/// The store of this test program.
pub(crate) fn store() -> PathBuf {
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evo-worker-store");
    fs::create_dir_all(&store).unwrap();
    store
}

/// Puts bytes into the store; a file that is there already is left alone, since it may be mapped.
pub(crate) fn put(bytes: &[u8]) -> ContentHash {
    let hash = ContentHash::of_bytes(bytes);
    let path = store().join(format!("{hash}.so"));
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        let own = store().join(format!("{hash}.{:?}", std::thread::current().id()));
        fs::write(&own, bytes).unwrap();
        fs::rename(&own, &path).unwrap();
    }
    hash
}

/// The bytes of a built test plugin.
pub(crate) fn library(plugin: &str) -> Vec<u8> {
    let name = plugin.replace('-', "_");
    fs::read(libraries().join(format!("libevo_test_{name}.so"))).unwrap()
}

/// A component of a test plugin, which is put into the store.
pub(crate) fn component(plugin: &str, name: &str) -> ComponentRef {
    ComponentRef {
        plugin: put(&library(plugin)),
        name: name.to_owned(),
    }
}

/// A worker in a thread of this process, and the host's end of its channel.
pub(crate) struct Host {
    channel: Option<UnixStream>,
    worker: Option<JoinHandle<ExitCode>>,
    next: u64,
}

impl Host {
    /// Starts a worker; nothing has been said to it.
    pub(crate) fn silent() -> Self {
        let (channel, theirs) = UnixStream::pair().unwrap();
        Self::on(
            channel,
            Some(std::thread::spawn(move || evo_worker::run(theirs))),
        )
    }

    /// A host at the end of a channel.
    pub(crate) fn on(channel: UnixStream, worker: Option<JoinHandle<ExitCode>>) -> Self {
        // A lost reply fails the test instead of hanging it.
        channel
            .set_read_timeout(Some(Duration::from_secs(300)))
            .unwrap();
        Self {
            channel: Some(channel),
            worker,
            next: 1,
        }
    }

    /// Starts a worker and greets it.
    pub(crate) fn new() -> Self {
        let mut host = Self::silent();
        host.hello();
        host
    }

    pub(crate) fn hello(&mut self) -> DeviceFacts {
        let (_, reply) = self.ask(Request::Hello {
            protocol: PROTOCOL,
            device: "cpu".to_owned(),
            store: store(),
            cpus: vec![],
        });
        match reply {
            Reply::Hello { protocol, device } => {
                assert_eq!(protocol, PROTOCOL);
                device
            }
            other => unreachable!("{other:?}"),
        }
    }

    pub(crate) fn channel(&mut self) -> &mut UnixStream {
        self.channel.as_mut().expect("the channel is open")
    }

    /// Sends a request; returns the phases and the final reply.
    pub(crate) fn ask(&mut self, request: Request) -> (Vec<(Phase, Option<usize>)>, Reply) {
        let id = self.next;
        self.next += 1;
        write_frame(self.channel(), &Envelope { id, body: request }).unwrap();
        let mut phases = Vec::new();
        loop {
            let envelope: Envelope<Reply> = read_frame(self.channel()).unwrap();
            assert_eq!(envelope.id, id);
            match envelope.body {
                Reply::Progress { phase, item } => phases.push((phase, item)),
                reply => return (phases, reply),
            }
        }
    }

    /// Asks for something that must have an outcome.
    pub(crate) fn outcome(&mut self, request: Request) -> Outcome {
        match self.ask(request).1 {
            Reply::Outcome { outcome, .. } => *outcome,
            other => unreachable!("{other:?}"),
        }
    }

    /// The problem of the test plugin with some fields.
    pub(crate) fn problem(&mut self, fields: &[(&str, i64)]) -> ProblemSpec {
        let mut all: Params = [("R", 64), ("C", 256), ("TAPS", 32)]
            .into_iter()
            .chain(fields.iter().copied())
            .map(|(name, value)| (name.to_owned(), Value::Int(value)))
            .collect();
        let (_, reply) = self.ask(Request::ResolveProblem {
            problem: component("misbehave", "filter"),
            fields: std::mem::take(&mut all),
        });
        match reply {
            Reply::Problem { spec } => *spec,
            other => unreachable!("{other:?}"),
        }
    }

    /// A request to build the misbehaving kernel.
    pub(crate) fn request(&mut self, mode: &str, speed: i64) -> BuildRequest {
        BuildRequest {
            problem: self.problem(&[]),
            config: config(mode, speed),
            device: device(),
        }
    }

    /// A job to measure the misbehaving kernel.
    pub(crate) fn job(&mut self, mode: &str) -> MeasureJob {
        MeasureJob {
            problem: component("misbehave", "filter"),
            kernel: component("misbehave", "misbehave"),
            request: self.request(mode, 8),
            seed: 17,
            settings: quick(),
            incumbent: None,
        }
    }

    /// Closes the channel and waits for the worker.
    pub(crate) fn close(mut self) -> ExitCode {
        drop(self.channel.take());
        let worker = self.worker.take().expect("the worker runs in a thread");
        worker.join().expect("the worker does not panic")
    }
}

pub(crate) fn config(mode: &str, speed: i64) -> Params {
    [
        ("MODE".to_owned(), Value::from(mode)),
        ("SPEED".to_owned(), Value::Int(speed)),
    ]
    .into()
}

/// A device as constraints would see it; the kernel does not look at it.
pub(crate) fn device() -> DeviceFacts {
    DeviceFacts {
        kind: "cpu".into(),
        name: "test".into(),
        uuid: "test".into(),
        facts: Params::new(),
    }
}

/// As little as a measurement can be.
pub(crate) fn quick() -> MeasureSettings {
    MeasureSettings {
        verify_seeds: 2,
        min_samples: 6,
        max_samples: 12,
        max_seconds: 0.5,
        min_sample_seconds: 1e-4,
        warmup_seconds: 0.02,
        least_warmup_seconds: 0.0,
        precision: 0.5,
        race_factor: 2.0,
        check_all_rows: false,
        energy_seconds: 0.0,
        weights: BTreeMap::new(),
    }
}
