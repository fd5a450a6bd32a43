//! The smallest plugin: a parabola whose lowest point `evo` has to find.
use evo_plugin::{Direction, Error, Evaluation, Metric, Objective, ObjectiveInfo, OpenObjective};
use evo_plugin::{Params, Plugin, int};

struct Parabola;

impl Objective for Parabola {
    fn info(&self) -> ObjectiveInfo {
        ObjectiveInfo {
            name: "parabola".into(),
            doc: "The square of the distance to (7, -3)".into(),
            settings: vec![],
            space: Some(include_str!("../space.ron").into()),
            metric: "cost".into(),
            direction: Direction::Lower,
        }
    }

    fn open(&self, _settings: &Params) -> Result<Box<dyn OpenObjective>, Error> {
        Ok(Box::new(Parabola))
    }
}

impl OpenObjective for Parabola {
    fn evaluate(&mut self, config: &Params) -> Result<Evaluation, Error> {
        let (x, y) = (int(config, "X")? as f64, int(config, "Y")? as f64);
        let cost = (x - 7.0).powi(2) + (y + 3.0).powi(2);
        Ok(Evaluation::of(Metric::new(
            "cost",
            "",
            Direction::Lower,
            cost,
        )))
    }
}

fn plugin() -> Plugin {
    Plugin::new("parabola", "1.0.0", "The smallest plugin").objective(Parabola)
}
evo_plugin::export!(plugin);
