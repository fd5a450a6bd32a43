//! Baselines: which of the spec's can be had, and what they are called.

use std::path::Path;

use evo_journal::{AbsentBaseline, BaselineRole, PlannedCandidate, PlannedPlugin, letter_at};
use evo_types::{BuildRequest, DeviceFacts, KernelInfo, Params, ProblemSpec};
use evo_wire::{ComponentRef, Reply, Request};

use super::candidates::{check_kernel, check_params, choose, kernels};
use super::{Loaded, Resolver, different_names, unexpected};
use crate::driver::{Sorted, sort};
use crate::error::suggestion;
use crate::plugins::short_name;
use crate::spec::{BaselineSpec, RunSpec};
use crate::worker::Patience;
use crate::{RunError, lock};

/// The baselines of a run.
#[derive(Default)]
pub(super) struct Baselines {
    /// Those that could be had.
    pub(super) planned: Vec<PlannedCandidate>,
    /// The optional ones that could not.
    pub(super) absent: Vec<AbsentBaseline>,
    /// What a target may be over: labels and groups, also of those that are absent.
    pub(super) names: Vec<String>,
}

/// A baseline of the spec with its names.
struct Named<'a> {
    spec: &'a BaselineSpec,
    label: String,
    letter: String,
    /// Which of the baselines with its label it is, from 1, where there are several.
    choice: Option<usize>,
    /// Whether a later one takes the label where this one cannot be had.
    has_stand_in: bool,
}

impl Resolver<'_> {
    /// The baselines of the spec: of those with one label the first that can be had. What keeps an
    /// optional one from being had is its reason to be absent; what is wrong in the spec itself
    /// stays an error.
    pub(super) fn baselines(
        &mut self,
        spec: &RunSpec,
        folder: &Path,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<Baselines, RunError> {
        let mut found = Baselines::default();
        for named in named(spec)? {
            let baseline = named.spec;
            for name in [&named.label].into_iter().chain(&baseline.group) {
                if !found.names.contains(name) {
                    found.names.push(name.clone());
                }
            }
            if found.planned.iter().any(|it| it.label == named.label) {
                continue;
            }
            self.check_unambiguous(baseline)?;
            match self.baseline(&named, folder, problem, device) {
                Ok(planned) => found.planned.push(planned?),
                Err(error) if baseline.optional && !self.stop.requested() => {
                    found.absent.push(named.absent(error.message));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// A baseline as the plan has it. The outer error keeps it from being had, the inner one is the
    /// spec's.
    fn baseline(
        &mut self,
        named: &Named<'_>,
        folder: &Path,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<Result<PlannedCandidate, RunError>, RunError> {
        let (plugin, kernel) = self.baseline_kernel(named.spec, folder)?;
        check_kernel(&kernel, problem, device)?;
        let planned = match named.planned(&plugin, &kernel) {
            Ok(planned) => planned,
            Err(error) => return Ok(Err(error)),
        };
        if named.has_stand_in {
            self.check_builds(&plugin, &planned, problem, device)?;
        }
        Ok(Ok(planned))
    }

    /// The plugin and the kernel of a baseline.
    fn baseline_kernel(
        &mut self,
        baseline: &BaselineSpec,
        folder: &Path,
    ) -> Result<(PlannedPlugin, KernelInfo), RunError> {
        let wanted = baseline.kernel.as_str();
        let Some(plugin) = &baseline.plugin else {
            let (loaded, kernel) = choose("kernel", Some(wanted), None, &self.loaded, kernels)?;
            return Ok((loaded.planned.clone(), kernel.clone()));
        };
        let loaded = self.baseline_plugin(plugin, folder)?;
        let brought = &loaded.info.kernels;
        match brought.iter().find(|kernel| kernel.name == wanted) {
            Some(kernel) => Ok((loaded.planned.clone(), kernel.clone())),
            None => {
                let names: Vec<&str> = brought.iter().map(|it| it.name.as_str()).collect();
                Err(RunError::input(format!(
                    "the plugin `{}` has no kernel `{wanted}`; {}",
                    loaded.info.name,
                    suggestion(wanted, &names)
                )))
            }
        }
    }

    /// Builds a baseline that another one could stand in for: only the kernel itself knows whether
    /// it takes the problem.
    fn check_builds(
        &mut self,
        plugin: &PlannedPlugin,
        baseline: &PlannedCandidate,
        problem: &ProblemSpec,
        device: &DeviceFacts,
    ) -> Result<(), RunError> {
        // A build would disturb what another run measures on this device.
        let held = lock::device(&device.uuid, self.stop, |_| {})?;
        if held.is_none() {
            return Err(RunError::environment("interrupted"));
        }
        let request = Request::Build {
            kernel: ComponentRef {
                plugin: plugin.hash.clone(),
                name: baseline.kernel.clone(),
            },
            request: BuildRequest {
                problem: problem.clone(),
                config: baseline.pinned.clone(),
                device: device.clone(),
            },
        };
        let called = self
            .host
            .call(request, 0.0, self.stop, Patience::Short, &mut |_, _| {});
        let outcome = match called {
            Ok(Reply::Built { .. }) => return Ok(()),
            Ok(Reply::Outcome { outcome, .. }) => *outcome,
            Ok(other) => return Err(unexpected("Build", &other)),
            Err(failure) => match sort(failure) {
                Sorted::Outcome(outcome) => outcome,
                Sorted::Interrupted => return Err(RunError::environment("interrupted")),
                Sorted::Error(error) => return Err(error),
            },
        };
        Err(RunError::input(outcome.summary()))
    }

    /// The plugin that a baseline names: one that the spec loads anyway, or else one that is loaded
    /// for baselines alone, once.
    fn baseline_plugin(&mut self, name: &str, folder: &Path) -> Result<&Loaded, RunError> {
        let missing = || RunError::internal(format!("the plugin `{name}` was not kept"));
        if let Some(place) = self.loaded.iter().position(|it| it.info.name == name) {
            return self.loaded.get(place).ok_or_else(missing);
        }
        if !self.for_baselines.contains_key(name) {
            let opened = self.open(name, folder).and_then(|found| {
                let others = self.for_baselines.values().flatten();
                different_names(self.loaded.iter().chain(others), &found)?;
                Ok(found)
            });
            self.for_baselines.insert(name.to_owned(), opened);
        }
        match self.for_baselines.get(name) {
            Some(Ok(loaded)) => Ok(loaded),
            Some(Err(error)) => Err(error.clone()),
            None => Err(missing()),
        }
    }

    /// A baseline that several plugins bring is the spec's mistake, also where it is optional.
    fn check_unambiguous(&self, baseline: &BaselineSpec) -> Result<(), RunError> {
        let bring = |loaded: &&Loaded| {
            let mut kernels = loaded.info.kernels.iter();
            kernels.any(|kernel| kernel.name == baseline.kernel)
        };
        if baseline.plugin.is_none() && self.loaded.iter().filter(bring).count() > 1 {
            let wanted = Some(baseline.kernel.as_str());
            choose("kernel", wanted, None, &self.loaded, kernels)?;
        }
        Ok(())
    }

    /// The plugins of the spec, and those that baselines of the plan alone need.
    pub(super) fn used_plugins(&self, baselines: &[PlannedCandidate]) -> Vec<PlannedPlugin> {
        let all = self.loaded.iter().map(|loaded| loaded.planned.clone());
        let mut used: Vec<PlannedPlugin> = all.collect();
        for loaded in self.for_baselines.values().flatten() {
            let plugin = &loaded.planned;
            let needed = baselines.iter().any(|it| it.plugin == plugin.name);
            if needed && !used.iter().any(|it| it.hash == plugin.hash) {
                used.push(plugin.clone());
            }
        }
        used
    }
}

impl Named<'_> {
    fn planned(
        &self,
        plugin: &PlannedPlugin,
        kernel: &KernelInfo,
    ) -> Result<PlannedCandidate, RunError> {
        let baseline = self.spec;
        let given = baseline.params.keys().map(String::as_str);
        check_params(kernel, "params", given)?;
        let mut pinned: Params = kernel
            .params
            .iter()
            .map(|param| (param.name.clone(), param.default.clone()))
            .collect();
        pinned.extend(baseline.params.clone());
        Ok(PlannedCandidate {
            label: self.label.clone(),
            plugin: plugin.name.clone(),
            kernel: kernel.name.clone(),
            pinned,
            space: None,
            space_origin: String::new(),
            baseline: Some(BaselineRole {
                letter: self.letter.clone(),
                group: baseline.group.clone(),
                optional: baseline.optional,
                choice: self.choice,
            }),
        })
    }

    fn absent(&self, reason: String) -> AbsentBaseline {
        let baseline = self.spec;
        AbsentBaseline {
            label: self.label.clone(),
            letter: self.letter.clone(),
            group: baseline.group.clone(),
            kernel: baseline.kernel.clone(),
            plugin: baseline.plugin.as_deref().map(short_name),
            reason,
        }
    }
}

/// What the baselines of a spec are called, whether they can be had or not: names must not depend
/// on that.
fn named(spec: &RunSpec) -> Result<Vec<Named<'_>>, RunError> {
    let columns = columns(&spec.baselines);
    let labels: Vec<String> = spec
        .baselines
        .iter()
        .zip(&columns)
        .map(
            |(baseline, column)| match (&baseline.label, &baseline.group) {
                (Some(label), _) => label.clone(),
                (None, Some(_)) => baseline.kernel.clone(),
                (None, None) => letter_at(*column),
            },
        )
        .collect();
    check_names(spec, &labels)?;
    let letters = letters(&spec.baselines, &labels, &columns);
    let named = spec.baselines.iter().zip(&labels).zip(letters).enumerate();
    Ok(named
        .map(|(place, ((spec, label), letter))| {
            let same = |labels: &[String]| labels.iter().filter(|it| *it == label).count();
            let before = labels.get(..place).map_or(0, same);
            let all = same(&labels);
            Named {
                spec,
                label: label.clone(),
                letter,
                choice: (all > 1).then_some(before + 1),
                has_stand_in: before + 1 < all,
            }
        })
        .collect())
}

/// In which column of reports each baseline stands: a group has one, and so has a label.
fn columns(baselines: &[BaselineSpec]) -> Vec<usize> {
    let mut seen: Vec<&BaselineSpec> = Vec::new();
    let mut columns = Vec::new();
    for baseline in baselines {
        let known = seen.iter().position(|other| {
            let label = baseline.label.is_some() && other.label == baseline.label;
            match (&other.group, &baseline.group) {
                (Some(other), Some(group)) => other == group,
                (None, None) => label,
                _ => false,
            }
        });
        columns.push(known.unwrap_or(seen.len()));
        if known.is_none() {
            seen.push(baseline);
        }
    }
    columns
}

/// What each column is called: after its group, by a label that is a letter, or by the letter of its
/// place, unless something else has that as its name.
fn letters(baselines: &[BaselineSpec], labels: &[String], columns: &[usize]) -> Vec<String> {
    let is_letter =
        |label: &str| matches!(label.as_bytes(), [letter] if letter.is_ascii_uppercase());
    let mut given: Vec<(usize, String)> = Vec::new();
    for ((baseline, label), column) in baselines.iter().zip(labels).zip(columns) {
        if given.iter().any(|(known, _)| known == column) {
            continue;
        }
        let own = *label == letter_at(*column) || is_letter(label);
        let free = |letter: &String| {
            let groups = baselines.iter().filter_map(|other| other.group.as_ref());
            let mut taken = labels.iter().chain(groups);
            !taken.any(|name| name == letter) && !given.iter().any(|(_, known)| known == letter)
        };
        let letter = match &baseline.group {
            Some(group) => group.clone(),
            None if own => label.clone(),
            None => {
                let mut places = std::iter::once(*column).chain(0..);
                let letter = places.find_map(|place| Some(letter_at(place)).filter(free));
                letter.unwrap_or_else(|| label.clone())
            }
        };
        given.push((*column, letter));
    }
    columns
        .iter()
        .filter_map(|column| given.iter().find(|(known, _)| known == column))
        .map(|(_, letter)| letter.clone())
        .collect()
}

/// Labels, groups and the labels of what is tuned are one set of names.
fn check_names(spec: &RunSpec, labels: &[String]) -> Result<(), RunError> {
    let tuned: Vec<&String> = spec
        .tune
        .iter()
        .map(|tune| tune.label.as_ref().unwrap_or(&tune.kernel))
        .collect();
    for (place, (baseline, label)) in spec.baselines.iter().zip(labels).enumerate() {
        if tuned.contains(&label) {
            return Err(
                RunError::input(format!("two candidates are called `{label}`"))
                    .hint("give them different labels with `label: \"...\"`"),
            );
        }
        let others = spec.baselines.iter().zip(labels).skip(place + 1);
        for (other, _) in others.filter(|(_, other)| *other == label) {
            check_same_label(label, baseline, other)?;
        }
        if let Some(group) = &baseline.group {
            check_group(group, labels, &tuned)?;
        }
    }
    Ok(())
}

/// Two baselines may have one label where the second stands in for the first.
fn check_same_label(
    label: &str,
    first: &BaselineSpec,
    second: &BaselineSpec,
) -> Result<(), RunError> {
    let wrong = |why: &str| RunError::input(format!("two baselines are called `{label}`{why}"));
    if first.group != second.group {
        return Err(wrong(", in different groups")
            .hint("give them different labels with `label: \"...\"`, or the same group"));
    }
    if first.label.is_none() || second.label.is_none() {
        return Err(wrong("").hint("give them different labels with `label: \"...\"`"));
    }
    if !first.optional {
        return Err(wrong(", and the first is not optional").hint(
            "give them different labels, or mark all but the last `optional: true`: the first that \
             can be had then takes the label",
        ));
    }
    Ok(())
}

fn check_group(group: &str, labels: &[String], tuned: &[&String]) -> Result<(), RunError> {
    if group.is_empty() || group.contains(char::is_whitespace) {
        return Err(
            RunError::input(format!("`{group}` is no name of a group of baselines"))
                .hint("write a word, such as `group: \"B\"`: a target names it as `1x over B`"),
        );
    }
    let what = if labels.iter().any(|label| label == group) {
        "a baseline"
    } else if tuned.iter().any(|label| *label == group) {
        "a candidate"
    } else {
        return Ok(());
    };
    Err(RunError::input(format!(
        "{what} and a group of baselines are called `{group}`"
    ))
    .hint("give the group another name, or the other a label with `label: \"...\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_ron;

    fn spec(baselines: &str) -> RunSpec {
        let text = format!("(tune: [(kernel: \"tiled\")], baselines: [{baselines}])");
        parse_ron(&text, "x.ron").unwrap()
    }

    /// Label, letter and choice of each baseline.
    fn names(baselines: &str) -> Vec<(String, String, Option<usize>)> {
        let spec = spec(baselines);
        let named = named(&spec).unwrap().into_iter();
        named.map(|it| (it.label, it.letter, it.choice)).collect()
    }

    fn name(label: &str, letter: &str, choice: Option<usize>) -> (String, String, Option<usize>) {
        (label.to_owned(), letter.to_owned(), choice)
    }

    #[test]
    fn baselines_are_called_by_letters_in_order() {
        assert_eq!(
            names(r#"(kernel: "math"), (label: "fast", kernel: "flash"), (kernel: "other")"#),
            [
                name("A", "A", None),
                name("fast", "B", None),
                name("C", "C", None)
            ]
        );
        // A label that is a letter is that column's name and no other's.
        assert_eq!(
            names(r#"(label: "slow", kernel: "math"), (label: "A", kernel: "flash")"#),
            [name("slow", "B", None), name("A", "A", None)]
        );
    }

    #[test]
    fn those_with_one_label_or_group_share_a_column() {
        assert_eq!(
            names(
                r#"(label: "A", kernel: "math", plugin: "x", optional: true),
                   (label: "A", kernel: "math"),
                   (kernel: "flash", group: "B"), (kernel: "cudnn", group: "B"),
                   (kernel: "other")"#
            ),
            [
                name("A", "A", Some(1)),
                name("A", "A", Some(2)),
                name("flash", "B", None),
                name("cudnn", "B", None),
                name("C", "C", None),
            ]
        );
    }

    #[test]
    fn names_that_clash_are_refused() {
        for (baselines, expected) in [
            (
                r#"(label: "A", kernel: "x"), (label: "A", kernel: "y")"#,
                "two baselines are called `A`, and the first is not optional",
            ),
            (
                r#"(label: "A", kernel: "x", optional: true), (label: "A", kernel: "y", group: "B")"#,
                "two baselines are called `A`, in different groups",
            ),
            (
                r#"(kernel: "x", optional: true, group: "B"), (kernel: "x", group: "B")"#,
                "two baselines are called `x`",
            ),
            (
                r#"(kernel: "x"), (kernel: "y"), (kernel: "z", group: "B")"#,
                "a baseline and a group of baselines are called `B`",
            ),
            (
                r#"(kernel: "x", group: "tiled")"#,
                "a candidate and a group of baselines are called `tiled`",
            ),
            (
                r#"(label: "tiled", kernel: "x")"#,
                "two candidates are called `tiled`",
            ),
            (
                r#"(kernel: "x", group: "best of")"#,
                "`best of` is no name of a group",
            ),
        ] {
            let error = named(&spec(baselines)).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
