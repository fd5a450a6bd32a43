//! An objective of a C plugin.

use evo_plugin::{Error, Evaluation, Objective, ObjectiveInfo, OpenObjective, Params};

use crate::abi;
use crate::component::Component;
use crate::function::Function;
use crate::marshal::OwnedParams;
use crate::sink::call;

/// An objective whose table was checked.
pub(crate) struct CObjective {
    pub(crate) component: Component<abi::Objective>,
    pub(crate) info: ObjectiveInfo,
}

impl Objective for CObjective {
    fn info(&self) -> ObjectiveInfo {
        self.info.clone()
    }

    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        let settings = OwnedParams::new(settings)?;
        let raw = Box::new(abi::Evaluator {
            struct_size: size_of::<abi::Evaluator>(),
            objective: self.component.address,
            settings: settings.list(),
            state: std::ptr::null_mut(),
        });
        let mut open = Opened {
            component: self.component.clone(),
            opened: false,
            space: None,
            raw: Box::into_raw(raw),
            _settings: settings,
        };
        open.open()?;
        Ok(Box::new(open))
    }
}

struct Opened {
    component: Component<abi::Objective>,
    opened: bool,
    space: Option<String>,
    /// A box, held as a pointer: the plugin keeps this address and writes through it.
    raw: *mut abi::Evaluator,
    _settings: OwnedParams,
}

// SAFETY: the header asks a plugin to let an evaluator be used from any thread, by one at a time;
// everything else behind the pointers belongs to this value.
unsafe impl Send for Opened {}

impl Opened {
    fn open(&mut self) -> Result<(), Error> {
        let raw = self.raw;
        if let Some(open) = self.component.table.open {
            call(Function::Open, &self.component.label, |host| {
                // SAFETY: an evaluator that lives until `close` has returned.
                unsafe { open(raw, host) }
            })?;
        }
        self.opened = true;
        if let Some(make_space) = self.component.table.make_space {
            let returned = call(Function::MakeSpace, &self.component.label, |host| {
                // SAFETY: as above.
                unsafe { make_space(raw, host) }
            })?;
            let space = String::from_utf8(returned.bytes)
                .map_err(|error| Error::Failed(format!("its space is not UTF-8: {error}")))?;
            self.space = Some(space);
        }
        Ok(())
    }
}

impl OpenObjective for Opened {
    fn space(&self) -> Option<String> {
        self.space.clone()
    }

    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let evaluate = self.component.table.evaluate.ok_or("`evaluate` is NULL")?;
        let config = OwnedParams::new(config)?;
        let list = config.list();
        let raw = self.raw;
        let returned = call(Function::Evaluate, &self.component.label, |host| {
            // SAFETY: an open evaluator, and a configuration that outlives the call.
            unsafe { evaluate(raw, &raw const list, host) }
        })?;
        Ok(Evaluation {
            metrics: returned.metrics,
            cost_s: returned.cost_s,
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let (true, Some(close)) = (self.opened, self.component.table.close) {
            // SAFETY: open, and not used again.
            unsafe { close(self.raw) };
        }
        // SAFETY: made from a box in `open`, and given back once.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}
