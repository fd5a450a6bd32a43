//! The trial history of one candidate: what was proposed and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use super::proposal::Origin;
use super::ranking::Verdict;
use crate::space::Config;

/// One proposal and, once told, its verdict.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) config: Config,
    pub(crate) origin: Origin,
    pub(crate) verdict: Option<Verdict>,
    /// The earlier trial that executed the same, if one did.
    pub(crate) duplicate_of: Option<u64>,
    /// What happened, in words, where the trial failed.
    pub(crate) why: Option<String>,
}

impl Entry {
    /// The loss, if the trial was measured.
    pub(crate) fn loss(&self) -> Option<f64> {
        self.verdict.and_then(|verdict| verdict.loss())
    }
}

/// All proposals in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
    by_trial: BTreeMap<u64, usize>,
    proposed: BTreeSet<Config>,
    /// The places of the entries that await their outcome.
    waiting: BTreeSet<usize>,
}

impl History {
    pub(crate) fn push(&mut self, trial: u64, config: Config, origin: Origin) {
        self.by_trial.insert(trial, self.entries.len());
        self.proposed.insert(config.clone());
        self.waiting.insert(self.entries.len());
        self.entries.push(Entry {
            config,
            origin,
            verdict: None,
            duplicate_of: None,
            why: None,
        });
    }

    pub(crate) fn get(&self, trial: u64) -> Option<&Entry> {
        self.by_trial
            .get(&trial)
            .and_then(|index| self.entries.get(*index))
    }

    /// Where a trial stands among the entries.
    pub(crate) fn place(&self, trial: u64) -> Option<usize> {
        self.by_trial.get(&trial).copied()
    }

    /// Notes what became of a trial; returns its entry.
    pub(crate) fn tell(
        &mut self,
        trial: u64,
        verdict: Verdict,
        duplicate_of: Option<u64>,
        why: Option<&str>,
    ) -> Option<&Entry> {
        let place = *self.by_trial.get(&trial)?;
        let entry = self.entries.get_mut(place)?;
        entry.verdict = Some(verdict);
        entry.duplicate_of = duplicate_of;
        entry.why = why.map(str::to_owned);
        self.waiting.remove(&place);
        Some(entry)
    }

    pub(crate) fn proposed(&self, config: &Config) -> bool {
        self.proposed.contains(config)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries whose outcome is known.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&Entry, Verdict)> {
        self.entries
            .iter()
            .filter_map(|entry| entry.verdict.map(|verdict| (entry, verdict)))
    }

    /// Entries that await their outcome.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.waiting
            .iter()
            .filter_map(|place| self.entries.get(*place))
    }

    /// All entries in order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
