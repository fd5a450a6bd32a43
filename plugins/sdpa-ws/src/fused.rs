//! Fused attention: the candidates `stage2`, `ws_p1` and `ws_p2`.

use evo_plugin::{Artifact, BuildRequest, Error, Instance, Kernel, KernelInfo, Value};
use evo_problems::sdpa;

use crate::SPACE;
use crate::compile::{HEADERS, Source, compile};
use crate::config::{self, Config};
use crate::instance::{Loaded, Step, tiled};
use crate::task::Task;

/// The device code, and that it needs no more shared memory than the host asks for.
const SOURCE: Source = Source {
    name: "fused.cu",
    text: concat!(
        include_str!("../../../kernels/sdpa/fused.cu"),
        "static_assert(kMbarriers + (kSpecialised ? Mbarriers::kCount * 8 : 0) <= SHARED_BYTES,\n",
        "              \"the host asks for too little shared memory\");\n"
    ),
    headers: HEADERS,
};
const ENTRY: &str = "sdpa_fused";

/// Which of the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// All warps load and compute.
    Stage2,
    /// One warp only loads.
    Ws1,
    /// Two warps only load.
    Ws2,
    /// `USE_WS` and `PROD_WARPS` decide.
    Any,
}

/// The fused kernel as one of the candidates.
#[derive(Debug, Clone, Copy)]
pub struct Fused {
    variant: Variant,
}

impl Fused {
    /// One of the candidates.
    pub fn new(variant: Variant) -> Self {
        Self { variant }
    }

    fn name(self) -> &'static str {
        match self.variant {
            Variant::Stage2 => "stage2",
            Variant::Ws1 => "ws_p1",
            Variant::Ws2 => "ws_p2",
            Variant::Any => "fused",
        }
    }

    /// `USE_WS` and `PROD_WARPS`, where the candidate has only these.
    fn fixed(self) -> Option<(bool, i64)> {
        match self.variant {
            Variant::Stage2 => Some((false, 1)),
            Variant::Ws1 => Some((true, 1)),
            Variant::Ws2 => Some((true, 2)),
            Variant::Any => None,
        }
    }

    /// The space of this candidate: `search-spaces/sdpa_ws.ron` with what it fixes.
    pub fn space(self) -> String {
        let Some((use_ws, producers)) = self.fixed() else {
            return SPACE.to_owned();
        };
        SPACE
            .replace(
                "name: \"USE_WS\", values: [false, true]",
                &format!("name: \"USE_WS\", values: [{use_ws}]"),
            )
            .replace(
                "name: \"PROD_WARPS\", values: [1, 2]",
                &format!("name: \"PROD_WARPS\", values: [{producers}]"),
            )
    }

    /// Reads and checks a request.
    fn resolve(self, request: &BuildRequest) -> Result<(Task, Config), Error> {
        let task = Task::of(request)?;
        let config = Config::read(&request.config)?;
        if let Some((use_ws, producers)) = self.fixed()
            && config.producers != use_ws.then_some(producers)
        {
            let words = match use_ws {
                true => format!("USE_WS=true PROD_WARPS={producers}"),
                false => "USE_WS=false".to_owned(),
            };
            return Err(Error::Rejected(format!(
                "`{}` is the kernel with {words}; `fused` takes any",
                self.name()
            )));
        }
        config.check(&task)?;
        Ok((task, config))
    }
}

impl Kernel for Fused {
    fn info(&self) -> KernelInfo {
        let mut params = config::params();
        if let Some((use_ws, producers)) = self.fixed() {
            for param in &mut params {
                match param.name.as_str() {
                    "USE_WS" => param.default = Value::from(use_ws),
                    "PROD_WARPS" => param.default = Value::from(producers),
                    _ => {}
                }
            }
        }
        let doc = match self.variant {
            Variant::Stage2 => "Fused attention; every warp loads and computes",
            Variant::Ws1 => "Fused attention; one warp only loads",
            Variant::Ws2 => "Fused attention; two warps only load",
            Variant::Any => "Fused attention; parameters say whether warps only load",
        };
        KernelInfo {
            name: self.name().to_owned(),
            version: SOURCE.version(),
            doc: doc.to_owned(),
            problems: vec![sdpa::NAME.to_owned()],
            devices: vec!["cuda".to_owned()],
            params,
            space: Some(self.space()),
            deterministic: true,
            prepares: false,
        }
    }

    fn accept(&self, request: &BuildRequest) -> Result<(), Error> {
        self.resolve(request).map(drop)
    }

    fn build(&self, request: &BuildRequest) -> Result<Artifact, Error> {
        let (task, config) = self.resolve(request)?;
        let shared = u32::try_from(config.shared_bytes(&task)).unwrap_or(u32::MAX);
        let mut macros = config.macros();
        macros.push(format!("-DSHARED_BYTES={shared}"));
        let built = compile(&SOURCE, &task, macros)?;
        built.tiled(ENTRY, &task, config.threads(), shared, config.tiling())
    }

    fn load(
        &self,
        artifact: &Artifact,
        request: &BuildRequest,
    ) -> Result<Box<dyn Instance>, Error> {
        let (task, _) = self.resolve(request)?;
        let config = tiled(artifact, false)?;
        let steps = vec![Step::plain(ENTRY, config)];
        let loaded = Loaded::new(artifact, request, task, steps, 0)?;
        Ok(Box::new(loaded))
    }
}
