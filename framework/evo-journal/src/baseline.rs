//! Baselines of a plan: what they are called, which of them stand for one another, which are absent.

use serde::{Deserialize, Serialize};

use crate::{Plan, PlannedCandidate};

/// What a baseline is beside a kernel with parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRole {
    /// What the columns of reports call it: a letter, or the name of its group.
    pub letter: String,
    /// The group whose best member stands for it in a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether the run goes on without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Which of the baselines of the spec with its label it is, from 1; absent where it is the only
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<usize>,
    /// Whether it is checked on the ranked shape alone, and on none of the problem's extra shapes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ranked_shape_only: bool,
}

/// An optional baseline of the spec that could not be had when the run was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentBaseline {
    /// What reports would call it. A baseline of the plan with the same label stands in for it.
    pub label: String,
    /// As in [`BaselineRole::letter`].
    pub letter: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kernel.
    pub kernel: String,
    /// The plugin, as the spec names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Why it is absent.
    pub reason: String,
}

/// What candidates are compared with: a baseline, or the best of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What the columns of reports call it: a baseline's letter, or the group's name.
    pub name: String,
    /// Its baselines, by their positions in the plan: one, unless it is a group.
    pub members: Vec<usize>,
}

impl Plan {
    /// What candidates are compared with, in the order of the baselines. A group none of whose
    /// members could be had is not there.
    pub fn references(&self) -> Vec<Reference> {
        let mut found: Vec<Reference> = Vec::new();
        for (position, baseline) in self.baselines.iter().enumerate() {
            let group = baseline.group();
            let known = found
                .iter_mut()
                .find(|reference| group == Some(reference.name.as_str()));
            match known {
                Some(reference) => reference.members.push(position),
                None => found.push(Reference {
                    name: self.baseline_letter(position),
                    members: vec![position],
                }),
            }
        }
        found
    }

    /// What a user calls a reference: a group by its name, a baseline by its label.
    pub fn called(&self, reference: &Reference) -> String {
        let first = reference.members.first();
        match first.and_then(|position| self.baselines.get(*position)) {
            Some(baseline) if baseline.group().is_none() => baseline.label.clone(),
            _ => reference.name.clone(),
        }
    }

    /// The baselines that a target means, by their positions: all of a group, or the one with this
    /// label or letter. Empty where none could be had.
    pub fn baselines_of(&self, name: &str) -> Vec<usize> {
        let which = |wanted: &dyn Fn(usize, &PlannedCandidate) -> bool| -> Vec<usize> {
            let baselines = self.baselines.iter().enumerate();
            let found = baselines.filter(|(position, baseline)| wanted(*position, baseline));
            found.map(|(position, _)| position).collect()
        };
        let group = which(&|_, baseline| baseline.group() == Some(name));
        if !group.is_empty() {
            return group;
        }
        let label = which(&|_, baseline| baseline.label == name);
        if !label.is_empty() {
            return label;
        }
        which(&|position, _| self.baseline_letter(position) == name)
    }

    /// What the columns of reports call a baseline: a letter, or the name of its group.
    pub fn baseline_letter(&self, position: usize) -> String {
        let role = self
            .baselines
            .get(position)
            .and_then(|baseline| baseline.baseline.as_ref());
        role.map_or_else(|| letter_at(position), |role| role.letter.clone())
    }

    /// The baseline that stands in for an absent one.
    pub fn stand_in(&self, absent: &AbsentBaseline) -> Option<&PlannedCandidate> {
        self.baselines
            .iter()
            .find(|baseline| baseline.label == absent.label)
    }

    /// What has to be known of an absent baseline, as a sentence without its full stop.
    pub fn absence(&self, absent: &AbsentBaseline) -> String {
        let label = &absent.label;
        let (what, reason) = (absent.words(), absent.short_reason());
        if let Some(other) = self.stand_in(absent) {
            return format!(
                "the baseline {label} is {} of {}, because {what} is absent: {reason}",
                other.kernel, other.plugin
            );
        }
        let place = match &absent.group {
            Some(group) => format!(" in the group {group}"),
            None => String::new(),
        };
        if *label == absent.kernel {
            format!("the baseline {what}{place} is absent: {reason}")
        } else {
            format!("the baseline {label} ({what}){place} is absent: {reason}")
        }
    }
}

impl PlannedCandidate {
    /// The group of a baseline that has one.
    pub fn group(&self) -> Option<&str> {
        self.baseline.as_ref()?.group.as_deref()
    }

    /// Whether it is a baseline that the run goes on without.
    pub fn is_optional(&self) -> bool {
        self.baseline.as_ref().is_some_and(|role| role.optional)
    }

    /// Whether it is a baseline that is checked on the ranked shape alone.
    pub fn is_for_ranked_shape_only(&self) -> bool {
        let role = self.baseline.as_ref();
        role.is_some_and(|role| role.ranked_shape_only)
    }
}

impl AbsentBaseline {
    /// Its kernel and plugin: `math of torch-sdpa`.
    pub fn words(&self) -> String {
        match &self.plugin {
            Some(plugin) => format!("{} of {plugin}", self.kernel),
            None => self.kernel.clone(),
        }
    }

    /// The first line of the reason, and the last one where the first only announces it; without a
    /// full stop.
    pub fn short_reason(&self) -> String {
        let lines = self.reason.lines().map(str::trim);
        let mut lines = lines.filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let text = match lines.next_back().filter(|_| first.ends_with(':')) {
            Some(last) => format!("{first} {last}"),
            None => first.to_owned(),
        };
        text.trim_end_matches('.').to_owned()
    }
}

/// The letter of a place: `A`, `B`, ... `Z`, then `A26` and so on.
pub fn letter_at(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place) if place < 26 => char::from(b'A' + place).to_string(),
        _ => format!("A{place}"),
    }
}
