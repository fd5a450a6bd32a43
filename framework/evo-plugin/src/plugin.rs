//! A plugin: what a library exports.

use evo_types::{InterfaceVersion, PluginInfo};

use crate::{Kernel, Objective, Problem, Profiler};

/// What a plugin library brings. Build one and hand its constructor to [`export!`](crate::export).
pub struct Plugin {
    name: String,
    version: String,
    doc: String,
    default_spec: Option<String>,
    interface: InterfaceVersion,
    pub(crate) kernels: Vec<Box<dyn Kernel>>,
    pub(crate) problems: Vec<Box<dyn Problem>>,
    pub(crate) objectives: Vec<Box<dyn Objective>>,
    pub(crate) profilers: Vec<Box<dyn Profiler>>,
}

impl Plugin {
    /// A plugin with nothing in it yet. The name is what users type: `[A-Za-z0-9._-]{1,64}`.
    pub fn new(name: &str, version: &str, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            doc: doc.to_owned(),
            default_spec: None,
            interface: InterfaceVersion::CURRENT,
            kernels: Vec::new(),
            problems: Vec::new(),
            objectives: Vec::new(),
            profilers: Vec::new(),
        }
    }

    /// Adds a kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: impl Kernel) -> Self {
        self.kernels.push(Box::new(kernel));
        self
    }

    /// Adds a problem.
    #[must_use]
    pub fn problem(mut self, problem: impl Problem) -> Self {
        self.problems.push(Box::new(problem));
        self
    }

    /// Adds an objective.
    #[must_use]
    pub fn objective(mut self, objective: impl Objective) -> Self {
        self.objectives.push(Box::new(objective));
        self
    }

    /// Adds a profiler.
    #[must_use]
    pub fn profiler(mut self, profiler: impl Profiler) -> Self {
        self.profilers.push(Box::new(profiler));
        self
    }

    /// Sets the run spec (RON) that `evo run NAME` uses.
    #[must_use]
    pub fn default_spec(mut self, ron: &str) -> Self {
        self.default_spec = Some(ron.to_owned());
        self
    }

    /// Sets the interface version that the plugin was made for, where it is not that of this crate:
    /// for the adapters of other ways to bring a kernel.
    #[doc(hidden)]
    #[must_use]
    pub fn interface(mut self, version: InterfaceVersion) -> Self {
        self.interface = version;
        self
    }

    /// What the plugin says of itself.
    pub fn info(&self) -> PluginInfo {
        PluginInfo {
            name: self.name.clone(),
            version: self.version.clone(),
            doc: self.doc.clone(),
            interface: self.interface,
            problems: self.problems.iter().map(|problem| problem.info()).collect(),
            kernels: self.kernels.iter().map(|kernel| kernel.info()).collect(),
            objectives: self
                .objectives
                .iter()
                .map(|objective| objective.info())
                .collect(),
            profilers: self
                .profilers
                .iter()
                .map(|profiler| profiler.info())
                .collect(),
            default_spec: self.default_spec.clone(),
        }
    }
}
