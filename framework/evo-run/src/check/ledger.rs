//! The verdicts on one part of a plugin, as they come in.

use std::collections::BTreeMap;

use evo_wire::{Breach, ConformReport, Rule};

use super::{Ruling, Verdict};

/// Failures of several probes are told together up to so many.
const MOST_MESSAGES: usize = 3;

/// The verdicts on one part of a plugin.
#[derive(Debug)]
pub(super) struct Ledger {
    subject: String,
    passed: Vec<Rule>,
    failed: BTreeMap<Rule, Vec<String>>,
    skipped: BTreeMap<Rule, String>,
    notes: BTreeMap<Rule, Vec<String>>,
}

impl Ledger {
    pub(super) fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            passed: Vec::new(),
            failed: BTreeMap::new(),
            skipped: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// The rule was tried and kept. A failure at another place stays one.
    pub(super) fn pass(&mut self, rule: Rule) {
        self.passed.push(rule);
    }

    pub(super) fn fail(&mut self, rule: Rule, message: impl Into<String>) {
        let messages = self.failed.entry(rule).or_default();
        let message = message.into();
        if messages.len() < MOST_MESSAGES && !messages.contains(&message) {
            messages.push(message);
        }
    }

    /// The rule was not tried; the first reason counts.
    pub(super) fn skip(&mut self, rule: Rule, reason: impl Into<String>) {
        self.skipped.entry(rule).or_insert_with(|| reason.into());
    }

    pub(super) fn note(&mut self, rule: Rule, note: impl Into<String>) {
        let notes = self.notes.entry(rule).or_default();
        let note = note.into();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(super) fn has_failed(&self, rule: Rule) -> bool {
        self.failed.contains_key(&rule)
    }

    /// The first rule that failed.
    pub(super) fn first_failure(&self) -> Option<Rule> {
        self.failed.keys().next().copied()
    }

    /// Takes over what a probe found. The rules that it tried and that were not broken are kept.
    pub(super) fn record(&mut self, tried: &[Rule], report: &ConformReport, place: &str) {
        for Breach { rule, message } in &report.breaches {
            let at = if place.is_empty() {
                message.clone()
            } else {
                format!("{place}: {message}")
            };
            self.fail(*rule, at);
        }
        if let Some(rule) = tried.first() {
            for note in &report.notes {
                self.note(*rule, note.clone());
            }
        }
        if report.breaches.is_empty() {
            for rule in tried {
                self.pass(*rule);
            }
        }
    }

    /// Takes over the failures and reasons of another ledger.
    pub(super) fn absorb(&mut self, other: Self) {
        for (rule, messages) in other.failed {
            for message in messages {
                self.fail(rule, message);
            }
        }
        for (rule, reason) in other.skipped {
            self.skip(rule, reason);
        }
    }

    /// The rulings on some rules, in their order. A rule without a verdict was not reached, for
    /// the given reason or because another one failed before.
    pub(super) fn rulings(mut self, rules: &[Rule], reason: &str) -> Vec<Ruling> {
        let blame = match self.first_failure() {
            _ if !reason.is_empty() => reason.to_owned(),
            Some(rule) => format!("not reached: mend `{rule}` first"),
            None => "not reached".to_owned(),
        };
        // What failed beside the rules that were tried is told as well.
        let beside: Vec<Rule> = self.failed.keys().copied().collect();
        let beside = beside.iter().filter(|rule| !rules.contains(rule));
        let mut rulings = Vec::new();
        for rule in rules.iter().chain(beside) {
            let verdict = if let Some(messages) = self.failed.remove(rule) {
                Verdict::Fail(messages.join("\n"))
            } else if self.passed.contains(rule) {
                Verdict::Pass
            } else {
                let reason = self.skipped.remove(rule);
                Verdict::Skipped(reason.unwrap_or_else(|| blame.clone()))
            };
            rulings.push(Ruling {
                rule: *rule,
                subject: self.subject.clone(),
                verdict,
                notes: self.notes.remove(rule).unwrap_or_default(),
            });
        }
        rulings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_a_pass_and_what_was_not_reached_says_why() {
        let mut ledger = Ledger::new("kernel x");
        ledger.pass(Rule::RightAnswer);
        ledger.fail(Rule::RightAnswer, "a");
        ledger.fail(Rule::RightAnswer, "a");
        ledger.pass(Rule::InBounds);
        ledger.skip(Rule::Cancellation, "no time");
        let rules = [
            Rule::RightAnswer,
            Rule::InBounds,
            Rule::Stateless,
            Rule::Cancellation,
        ];
        let verdicts: Vec<Verdict> = ledger
            .rulings(&rules, "")
            .into_iter()
            .map(|ruling| ruling.verdict)
            .collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Fail("a".into()),
                Verdict::Pass,
                Verdict::Skipped("not reached: mend `right-answer` first".into()),
                Verdict::Skipped("no time".into()),
            ]
        );
    }

    #[test]
    fn a_probe_that_breaks_a_rule_says_nothing_of_the_others() {
        let mut ledger = Ledger::new("kernel x");
        let report = ConformReport {
            breaches: vec![Breach {
                rule: Rule::InBounds,
                message: "b".into(),
            }],
            ..ConformReport::default()
        };
        ledger.record(&[Rule::RightAnswer], &report, "X=1");
        let rulings = ledger.rulings(&[Rule::RightAnswer, Rule::InBounds], "");
        assert!(matches!(rulings[0].verdict, Verdict::Skipped(_)));
        assert_eq!(rulings[1].verdict, Verdict::Fail("X=1: b".into()));
    }
}
