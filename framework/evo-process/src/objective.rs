//! An objective of the other process.

use std::sync::Arc;

use evo_plugin::{Error, Evaluation, Metric, Objective, ObjectiveInfo, OpenObjective, Params};
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;
use crate::kernel::Done;

pub(crate) struct ProcessObjective {
    connection: Arc<Connection>,
    info: ObjectiveInfo,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(default)]
    space: Option<String>,
}

#[derive(Deserialize)]
struct Evaluated {
    metrics: Vec<Metric>,
    #[serde(default)]
    cost_s: Option<f64>,
}

impl ProcessObjective {
    pub(crate) fn new(connection: &Arc<Connection>, info: ObjectiveInfo) -> Self {
        Self {
            connection: Arc::clone(connection),
            info,
        }
    }
}

impl Objective for ProcessObjective {
    fn info(&self) -> ObjectiveInfo {
        self.info.clone()
    }

    fn open(&self, settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        let id = self.connection.new_object();
        let question = json!({
            "objective": self.info.name,
            "opened": id,
            "settings": settings,
        });
        let opened: Opened = self.connection.ask("open", question)?;
        Ok(Box::new(OpenedObjective {
            connection: Arc::clone(&self.connection),
            id,
            space: opened.space,
        }))
    }
}

struct OpenedObjective {
    connection: Arc<Connection>,
    id: u64,
    space: Option<String>,
}

impl OpenObjective for OpenedObjective {
    fn space(&self) -> Option<String> {
        self.space.clone()
    }

    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let question = json!({ "opened": self.id, "config": config });
        let evaluated: Evaluated = self.connection.ask("evaluate", question)?;
        Ok(Evaluation {
            metrics: evaluated.metrics,
            cost_s: evaluated.cost_s,
        })
    }
}

impl Drop for OpenedObjective {
    fn drop(&mut self) {
        // Where the process is gone, so is the objective.
        let _ = self
            .connection
            .ask::<Done>("close", json!({ "opened": self.id }));
    }
}
