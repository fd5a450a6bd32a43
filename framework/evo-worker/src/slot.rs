//! Buffers with the instance that is bound to them, and one execution on them.

use evo_plugin::Error;
use evo_types::BuildRequest;

use crate::component::{Built, Instance, Kernel, Problem};
use crate::element::Poison;
use crate::fault::{Fault, LaunchPlace, outcome_of_launch};
use crate::memory::{BufferSet, Placement};

/// Buffers and the instance that is bound to them.
pub(crate) struct Slot {
    pub(crate) set: BufferSet,
    pub(crate) instance: Instance,
}

impl Slot {
    /// Loads an instance and gives it buffers.
    pub(crate) fn new(
        kernel: &Kernel,
        built: &Built,
        request: &BuildRequest,
        placement: Placement,
    ) -> Result<Self, Error> {
        let instance = kernel.load(built, request)?;
        let workspace = instance.workspace_size()?;
        let set = BufferSet::new(instance.site(), &request.problem, workspace, placement)?;
        Ok(Self { set, instance })
    }

    /// Fills the inputs, poisons the outputs, prepares where the kernel does that, and binds:
    /// everything before a launch, where nothing is checked.
    ///
    /// # Errors
    /// The outcome of a candidate that failed, or what the problem ended with.
    pub(crate) fn ready(
        &mut self,
        problem: &Problem,
        request: &BuildRequest,
        distribution: &str,
        prepares: bool,
        place: LaunchPlace,
    ) -> Result<(), Fault> {
        let Self { set, instance } = self;
        problem
            .fill(&request.problem, place.seed, distribution, set)
            .map_err(|error| Fault::of_problem(&problem.name, "filling the inputs", error))?;
        let of = |error| Fault::from(outcome_of_launch(error, place));
        set.poison(Poison::First).map_err(of)?;
        set.push().map_err(of)?;
        if prepares {
            instance.prepare(set).map_err(of)?;
        }
        instance.bind(set).map_err(of)
    }

    /// One launch on what the buffers hold, to its end; nothing is brought back from a device.
    ///
    /// # Errors
    /// What the launch ended with.
    pub(crate) fn launch(&mut self) -> Result<(), Error> {
        let Self { set, instance } = self;
        instance.launch(set)?;
        instance.site().wait()
    }
}

/// One execution on what the buffers hold, to its end.
pub(crate) fn call(slot: &mut Slot, prepare: bool, bind: bool) -> Result<(), Error> {
    slot.set.push()?;
    execute(slot, prepare, bind)
}

/// As [`call`], where the device has the buffers already.
pub(crate) fn execute(slot: &mut Slot, prepare: bool, bind: bool) -> Result<(), Error> {
    let Slot { set, instance } = slot;
    if prepare {
        instance.prepare(set)?;
    }
    if bind {
        instance.bind(set)?;
    }
    instance.launch(set)?;
    instance.site().wait()?;
    set.pull()
}
