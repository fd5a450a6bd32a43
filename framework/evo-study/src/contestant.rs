//! What takes part in a study: a strategy, with the shipped tuning or another, without noise or with.
//!
//! The name of a contestant is what tells its runs from others in a log:
//! `evo_full[initial=4,pool=96]@noise=1+confirm` is the preset `full` with two figures changed, under
//! the recorded noise, its answer confirmed. Other programs' logs use the same endings.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use evo_core::engine::{ENGINE_VERSION, Preset, Tuning};
use evo_types::ContentHash;
use serde_json::{Map, Value};

use crate::{PREFIX, StudyError};

/// Before the scale of the noise.
const NOISE: &str = "@noise=";

/// Behind the scale of the noise, where the answer was confirmed.
const CONFIRMED: &str = "+confirm";

/// Most variants of one strategy.
const MOST_VARIANTS: usize = 1000;

/// What determines the engine's proposals besides spaces and seeds: its version, and a digest of the
/// presets and their shipped tuning.
pub fn engine_tag() -> String {
    let parts = Preset::ALL.map(|preset| (preset, preset.information(), preset.population()));
    // Plain data without maps: it can always be written.
    let text = serde_json::to_string(&(parts, Tuning::default())).unwrap_or_default();
    let digest = ContentHash::of_bytes(text.as_bytes());
    let digest: String = digest.as_str().chars().take(8).collect();
    format!("{ENGINE_VERSION}-{digest}")
}

/// The values that a field of the tuning takes in turn: `pool=48,96`.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    field: String,
    values: Vec<Value>,
}

impl FromStr for Variation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, values) = text
            .split_once('=')
            .filter(|(field, values)| !field.is_empty() && !values.is_empty())
            .ok_or("write FIELD=VALUE,VALUE,...")?;
        let field = field.trim().to_owned();
        let values = values.split(',').map(|word| {
            let word = word.trim();
            let read = serde_json::from_str(word);
            let value = read.unwrap_or_else(|_| Value::String(word.to_owned()));
            // Each is tried on its own, so that the message is about it alone.
            let changed = changed(&[(field.clone(), value)])?;
            let value = fields(&changed).remove(&field);
            value.ok_or_else(|| format!("`{field}` cannot be written"))
        });
        let values = values.collect::<Result<Vec<Value>, String>>()?;
        Ok(Self { field, values })
    }
}

/// A tuning by the names of its fields.
fn fields(tuning: &Tuning) -> Map<String, Value> {
    match serde_json::to_value(tuning) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The shipped tuning with some fields changed.
fn changed(changes: &[(String, Value)]) -> Result<Tuning, String> {
    let mut all = fields(&Tuning::default());
    for (field, value) in changes {
        let Some(known) = all.get_mut(field) else {
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            return Err(format!(
                "the tuning has no field `{field}`; its fields are {}",
                names.join(", ")
            ));
        };
        *known = value.clone();
    }
    let names: Vec<String> = changes.iter().map(|(f, v)| format!("`{f}={v}`")).collect();
    let read = serde_json::from_value::<Tuning>(Value::Object(all));
    let tuning = read.map_err(|error| format!("{} cannot be used: {error}", names.join(", ")))?;
    tuning.check()?;
    Ok(tuning)
}

/// A strategy as it takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Contestant {
    pub(crate) preset: Preset,
    pub(crate) tuning: Tuning,
    /// What differs from the shipped tuning, as in the name.
    changes: String,
    /// The scale of the noise; 0 is none.
    pub(crate) noise: f64,
}

impl Contestant {
    /// A preset as it is shipped, without noise.
    pub fn new(preset: Preset) -> Self {
        Self {
            preset,
            tuning: Tuning::default(),
            changes: String::new(),
            noise: 0.0,
        }
    }

    /// A preset as it is shipped, and then with every combination of the values of some fields.
    /// Combinations that are the shipped tuning are left out.
    ///
    /// # Errors
    /// A field that is varied twice, too many combinations, or one that is no tuning.
    pub fn variants(preset: Preset, variations: &[Variation]) -> Result<Vec<Self>, StudyError> {
        let mut combinations: Vec<Vec<(String, Value)>> = vec![Vec::new()];
        for (place, Variation { field, values }) in variations.iter().enumerate() {
            if variations.iter().take(place).any(|v| v.field == *field) {
                let message = format!("`{field}` is varied twice: give its values in one list");
                return Err(StudyError::Input(message));
            }
            if combinations.len().saturating_mul(values.len()) > MOST_VARIANTS {
                let message = format!("these are more than {MOST_VARIANTS} variants of {preset}");
                return Err(StudyError::Input(message));
            }
            let with = |known: &Vec<(String, Value)>| -> Vec<Vec<(String, Value)>> {
                let each = values.iter().map(|value| {
                    let mut longer = known.clone();
                    longer.push((field.clone(), value.clone()));
                    longer
                });
                each.collect()
            };
            combinations = combinations.iter().flat_map(with).collect();
        }
        let shipped = fields(&Tuning::default());
        // By name: values that were given twice are one variant.
        let mut found = BTreeMap::from([(String::new(), Self::new(preset))]);
        for mut changes in combinations {
            changes.retain(|(field, value)| shipped.get(field) != Some(value));
            changes.sort_by(|(a, _), (b, _)| a.cmp(b));
            let words: Vec<String> = changes
                .iter()
                .map(|(field, value)| match value {
                    Value::String(word) => format!("{field}={word}"),
                    other => format!("{field}={other}"),
                })
                .collect();
            let one = Self {
                tuning: changed(&changes).map_err(StudyError::Input)?,
                changes: words.join(","),
                ..Self::new(preset)
            };
            found.insert(one.changes.clone(), one);
        }
        Ok(found.into_values().collect())
    }

    /// The same under noise; 1 is the recorded spread.
    #[must_use]
    pub fn with_noise(mut self, scale: f64) -> Self {
        self.noise = scale;
        self
    }

    /// The names of the records that a search of it gives: one, and under noise one for the answer
    /// as observed and one for the confirmed answer.
    pub fn records(&self) -> Vec<String> {
        let name = self.to_string();
        if self.noise > 0.0 {
            vec![name.clone(), name + CONFIRMED]
        } else {
            vec![name]
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}{}", self.preset)?;
        if !self.changes.is_empty() {
            write!(out, "[{}]", self.changes)?;
        }
        if self.noise > 0.0 {
            write!(out, "{NOISE}{}", self.noise)?;
        }
        Ok(())
    }
}

/// Before the engine of a search that another version or tuning made.
const ENGINE: &str = " (engine ";

/// The name in a report of a strategy that another engine ran.
pub(crate) fn of_engine(strategy: &str, tag: &str) -> String {
    format!("{strategy}{ENGINE}{tag})")
}

/// The parts of a strategy's name, of any program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    whole: &'a str,
    /// The preset with the program's prefix.
    strategy: &'a str,
    /// `[pool=96]`, or nothing.
    variant: &'a str,
    /// The scale of the noise, as written.
    pub(crate) noise: Option<&'a str>,
    /// Whether the answer was confirmed.
    pub(crate) confirmed: bool,
    /// ` (engine 1-...)`, or nothing.
    engine: &'a str,
}

impl<'a> Name<'a> {
    pub(crate) fn read(whole: &'a str) -> Self {
        let (name, engine) = whole.split_at(whole.find(ENGINE).unwrap_or(whole.len()));
        let (noiseless, scale) = match name.split_once(NOISE) {
            Some((before, scale)) => (before, Some(scale)),
            None => (name, None),
        };
        let plain = scale.and_then(|scale| scale.strip_suffix(CONFIRMED));
        let start = noiseless.find('[').unwrap_or(noiseless.len());
        let (strategy, variant) = noiseless.split_at(start);
        Self {
            whole,
            strategy,
            variant,
            noise: plain.or(scale),
            confirmed: plain.is_some(),
            engine,
        }
    }

    /// The same without noise.
    pub(crate) fn noiseless(&self) -> String {
        format!("{}{}{}", self.strategy, self.variant, self.engine)
    }

    /// The same with the shipped tuning.
    pub(crate) fn shipped(&self) -> String {
        self.whole.replacen(self.variant, "", 1)
    }

    /// Whether this engine's.
    pub(crate) fn own(name: &str) -> bool {
        name.starts_with(PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variation(text: &str) -> Variation {
        text.parse().unwrap()
    }

    /// The name of a field that is a whole number, and its shipped value.
    fn whole() -> (String, u64) {
        let shipped = fields(&Tuning::default())["pool"].as_u64();
        ("pool".to_owned(), shipped.unwrap())
    }

    #[test]
    fn variants_are_combinations_named_by_what_differs() {
        let (field, shipped) = whole();
        let [a, b] = [shipped + 1, shipped + 2];
        let varied = variation(&format!("{field}={a},{shipped},{b},{a}"));
        let variants = Contestant::variants(Preset::Full, &[varied]).unwrap();
        let names: Vec<String> = variants.iter().map(ToString::to_string).collect();
        let of = |n: u64| format!("evo_full[{field}={n}]");
        assert_eq!(names, ["evo_full".to_owned(), of(a), of(b)]);
        assert_eq!(variants[0].tuning, Tuning::default());
        assert_eq!(fields(&variants[2].tuning)[&field], b);
        let noisy = variants[1].clone().with_noise(0.5);
        assert_eq!(
            noisy.records(),
            [
                format!("{}@noise=0.5", of(a)),
                format!("{}@noise=0.5+confirm", of(a))
            ]
        );
        assert_eq!(variants[0].records(), ["evo_full"]);
    }

    #[test]
    fn what_cannot_be_varied_is_said_with_what_can() {
        let error = "best=1".parse::<Variation>().unwrap_err();
        let names = fields(&Tuning::default());
        let names: Vec<&str> = names.keys().map(String::as_str).collect();
        let expected = format!(
            "the tuning has no field `best`; its fields are {}",
            names.join(", ")
        );
        assert_eq!(error, expected);
        let (field, _) = whole();
        let error = format!("{field}=two").parse::<Variation>().unwrap_err();
        assert!(
            error.starts_with(&format!("`{field}=\"two\"` cannot be used: ")),
            "{error}"
        );
        for (text, expected) in [
            ("pool=48,0", "`pool` is 0, but must be between 1 and 4096"),
            (
                "near_share=2",
                "`near_share` is 2, but must be between 0 and 1",
            ),
        ] {
            assert_eq!(text.parse::<Variation>().unwrap_err(), expected);
        }
        let error = "pool".parse::<Variation>().unwrap_err();
        assert_eq!(error, "write FIELD=VALUE,VALUE,...");
        let twice = [
            variation(&format!("{field}=1")),
            variation(&format!("{field}=2")),
        ];
        let error = Contestant::variants(Preset::Full, &twice).unwrap_err();
        assert!(error.to_string().contains("varied twice"), "{error}");
        let many: Vec<String> = (1..=1001).map(|n| n.to_string()).collect();
        let many = variation(&format!("{field}={}", many.join(",")));
        let error = Contestant::variants(Preset::Full, &[many]).unwrap_err();
        assert!(
            error.to_string().contains("more than 1000 variants"),
            "{error}"
        );
    }

    #[test]
    fn a_name_says_what_a_run_was() {
        let whole = of_engine("evo_full[pool=96]@noise=0.5+confirm", "1-ab");
        let name = Name::read(&whole);
        assert_eq!((name.noise, name.confirmed), (Some("0.5"), true));
        assert_eq!(name.noiseless(), "evo_full[pool=96] (engine 1-ab)");
        assert_eq!(name.shipped(), "evo_full@noise=0.5+confirm (engine 1-ab)");
        let name = Name::read("kt_pso@noise=1");
        assert_eq!((name.noise, name.confirmed), (Some("1"), false));
        assert_eq!(
            (name.noiseless(), name.shipped()),
            ("kt_pso".into(), "kt_pso@noise=1".into())
        );
        assert_eq!(Name::read("kt_pso").noise, None);
    }

    #[test]
    fn the_tag_names_the_version() {
        let tag = engine_tag();
        assert!(
            tag.starts_with(&format!("{ENGINE_VERSION}-")) && tag == engine_tag(),
            "{tag}"
        );
    }
}
