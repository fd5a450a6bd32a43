//! Which candidates of a run are replayed.

use evo_journal::{Plan, PlannedCandidate};

use super::ReplaySettings;
use super::opening::Recorded;
use crate::RunError;
use crate::driver::{Entrant, engine_settings};
use crate::error::suggestion;

/// How many of the best are replayed where there was no confirmation.
const USUAL_TOP: usize = 3;

/// The candidates that the settings name, each once: baselines first, then trials.
///
/// # Errors
/// Where there is no candidate or trial of that name, or none at all.
pub(super) fn targets(
    recorded: &Recorded,
    settings: &ReplaySettings,
) -> Result<Vec<Entrant>, RunError> {
    let Recorded { plan, history, .. } = recorded;
    let named = Named::of(plan, &settings.candidates)?;
    let mut targets: Vec<Entrant> = plan
        .baselines
        .iter()
        .enumerate()
        .filter(|(place, _)| settings.baselines || named.baselines.contains(place))
        .map(|(_, planned)| Entrant::baseline(planned))
        .collect();
    let mut trials = settings.trials.clone();
    let only_baselines = !named.baselines.is_empty() && named.tuned.is_empty();
    if settings.top.is_some() || (trials.is_empty() && !only_baselines) {
        trials = by_rank(recorded, settings, &named)?;
    }
    for trial in trials {
        let entrant = Entrant::trial(plan, history, trial).ok_or_else(|| {
            RunError::input(format!("there is no trial {trial} in this run")).hint(
                match history.proposed.last() {
                    Some(last) => format!("its trials are numbered from 0 to {}", last.trial),
                    None => "it has made none; --baselines replays the baselines".to_owned(),
                },
            )
        })?;
        if !targets.contains(&entrant) {
            targets.push(entrant);
        }
    }
    if targets.is_empty() {
        return Err(RunError::input(
            "no trial of this run was correct and timed, so there is none to choose by rank",
        )
        .hint("name trials with --trial N, or add --baselines"));
    }
    Ok(targets)
}

/// The best by the search where so many are asked for, else the finalists, else the usual number of
/// the best; of the named candidates where some are named.
fn by_rank(
    recorded: &Recorded,
    settings: &ReplaySettings,
    named: &Named<'_>,
) -> Result<Vec<u64>, RunError> {
    let Recorded { plan, history, .. } = recorded;
    let wanted = |trial: &u64| {
        let mut proposed = history.proposed.iter();
        let label = proposed.find(|proposed| proposed.trial == *trial);
        let label = label.map(|proposed| proposed.candidate.as_str());
        named.tuned.is_empty() || label.is_some_and(|label| named.tuned.contains(&label))
    };
    if settings.top.is_none()
        && let Some(confirmation) = &history.confirmation
    {
        let finalists = confirmation.items.iter().filter_map(|item| item.trial);
        return Ok(finalists.filter(wanted).collect());
    }
    let ranking = engine_settings(plan)?.ranking;
    let ranked = history.ranked(&ranking, &plan.metric).into_iter();
    let top = settings.top.unwrap_or(USUAL_TOP);
    Ok(ranked.filter(wanted).take(top).collect())
}

/// What labels mean.
struct Named<'a> {
    /// Places of baselines.
    baselines: Vec<usize>,
    /// Labels of candidates that are tuned.
    tuned: Vec<&'a str>,
}

impl<'a> Named<'a> {
    /// Reports call a baseline by its letter as well.
    fn of(plan: &Plan, labels: &'a [String]) -> Result<Self, RunError> {
        let mut found = Self {
            baselines: Vec::new(),
            tuned: Vec::new(),
        };
        for label in labels {
            let labelled = |planned: &PlannedCandidate| planned.label == *label;
            let baseline = plan.baselines.iter().position(labelled).or_else(|| {
                let mut places = 0..plan.baselines.len();
                places.find(|place| letter(*place).is_some_and(|letter| letter == *label))
            });
            let tuned = plan.candidates.iter().any(labelled);
            found.baselines.extend(baseline);
            found.tuned.extend(tuned.then_some(label.as_str()));
            if baseline.is_none() && !tuned {
                let all = plan.baselines.iter().chain(&plan.candidates);
                let labels: Vec<&str> = all.map(|planned| planned.label.as_str()).collect();
                return Err(RunError::input(format!(
                    "there is no candidate `{label}`; {}",
                    suggestion(label, &labels)
                ))
                .hint("a single trial is named by its number: --trial 12"));
            }
        }
        Ok(found)
    }
}

/// The letter by which reports call a baseline: `A` for the first.
fn letter(place: usize) -> Option<String> {
    let place = u8::try_from(place).ok().filter(|place| *place < 26)?;
    Some(char::from(b'A' + place).to_string())
}
