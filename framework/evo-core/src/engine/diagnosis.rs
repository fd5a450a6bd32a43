//! From figures to diagnoses, and from these to insights: rules in RON are judged by what is known of
//! a solution.
//!
//! A source of figures (the build, a profiler) ships rules. A space adds levers to them, by the rule's
//! identity, since only it knows its parameters, and rules of its own.

use std::collections::{BTreeMap, BTreeSet};

use evo_types::{Params, Value};
use serde::{Deserialize, Serialize};

use super::insights::{Action, Evidence, Insight, Lever, Scope, Source};
use crate::space::{Expression, Pull, Rule, RuleLever, Rules, Severity};

/// What is wrong with a solution, or limits it, by one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The rule.
    pub rule: String,
    /// What it says, with its figures.
    pub statement: String,
    /// How much it matters, in 0 to 1.
    pub severity: f64,
    /// What to do about it, the surest first; empty where nobody has said.
    pub levers: Vec<DiagnosedLever>,
}

/// What to do about a diagnosis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosedLever {
    /// The lever.
    pub lever: Lever,
    /// How sure it is, above 0 to 1.
    pub strength: f64,
}

/// What the rules of one source make of a solution.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The rules that hold, the severest first.
    pub diagnoses: Vec<Diagnosis>,
    /// The rules that could not be judged, and why: figures that are not there, or an expression that
    /// fails on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unjudged: BTreeMap<String, String>,
}

/// Judges the rules of a source and those of a space.
///
/// `known` has all figures that expressions may name: those of the source, parameters, facts of the
/// device and of the problem. `own` names those of the source: a rule of the space is judged with the
/// source of which it uses a figure, and `first` says whether with those of no source, which is once
/// for every solution.
pub fn diagnose(
    shipped: &Rules,
    space: &Rules,
    known: &Params,
    own: &BTreeSet<String>,
    first: bool,
) -> Findings {
    let mut findings = Findings::default();
    let mut judge = |rule: &Rule, more: &Rules| {
        let Some(when) = &rule.when else { return };
        match judge(rule, when, more, known) {
            Ok(Some((diagnosis, missing))) => {
                findings.diagnoses.push(diagnosis);
                if !missing.is_empty() {
                    let why = format!("its statement asks for {}", missing.join(", "));
                    findings.unjudged.insert(rule.id.clone(), why);
                }
            }
            Ok(None) => {}
            Err(why) => {
                findings.unjudged.insert(rule.id.clone(), why);
            }
        }
    };
    for rule in shipped.iter() {
        judge(rule, space);
    }
    let nothing = Rules::default();
    for rule in space.iter() {
        let names = rule.when.as_ref().map(Expression::names);
        let names = names.unwrap_or_default();
        let mentions = !names.is_disjoint(own);
        // One that asks for more is judged with whoever has that.
        if mentions || (first && names.iter().all(|name| known.contains_key(name))) {
            judge(rule, &nothing);
        }
    }
    findings
        .diagnoses
        .sort_by(|a, b| b.severity.total_cmp(&a.severity));
    findings
}

/// The diagnosis of one rule, with what its statement asks for and is not there; `None` where it does not
/// hold.
fn judge(
    rule: &Rule,
    when: &Expression,
    more: &Rules,
    known: &Params,
) -> Result<Option<(Diagnosis, Vec<String>)>, String> {
    match evaluate(when, known)? {
        Value::Bool(true) => {}
        Value::Bool(false) => return Ok(None),
        other => return Err(format!("its condition is {other}, not true or false")),
    }
    let severity = match &rule.severity {
        Severity::Fixed(severity) => *severity,
        Severity::Of(expression) => {
            let value = evaluate(expression, known)?;
            let number = value.as_float().filter(|number| number.is_finite());
            number.ok_or_else(|| format!("its severity is {value}, not a number"))?
        }
    };
    let added = more
        .iter()
        .filter(|other| other.when.is_none() && other.id == rule.id);
    let levers = rule.levers.iter().chain(added.flat_map(|it| &it.levers));
    let mut levers: Vec<DiagnosedLever> = levers.map(lever).collect();
    levers.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    let (statement, missing) = filled(&rule.says, known);
    let diagnosis = Diagnosis {
        rule: rule.id.clone(),
        statement,
        severity: severity.clamp(0.0, 1.0),
        levers,
    };
    Ok(Some((diagnosis, missing)))
}

fn evaluate(expression: &Expression, known: &Params) -> Result<Value, String> {
    let missing: Vec<String> = expression
        .names()
        .into_iter()
        .filter(|name| !known.contains_key(name))
        .collect();
    if !missing.is_empty() {
        return Err(format!("there is no {}", missing.join(", ")));
    }
    expression.evaluate(known).map_err(|error| error.message)
}

fn lever(rule: &RuleLever) -> DiagnosedLever {
    let action = match &rule.pull {
        Pull::Raise => Action::Raise,
        Pull::Lower => Action::Lower,
        Pull::Leave => Action::NoEffect,
        Pull::Set(value) => Action::Prefer(value.clone()),
        Pull::Avoid(value) => Action::Avoid(value.clone()),
    };
    DiagnosedLever {
        lever: Lever {
            param: rule.param.clone(),
            action,
        },
        strength: rule.strength,
    }
}

/// A statement with figures in the place of their names in braces. Those that are not there stay, and are
/// returned beside it.
fn filled(says: &str, known: &Params) -> (String, Vec<String>) {
    let (mut out, mut missing) = (String::new(), Vec::new());
    let mut rest = says;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match known.get(name) {
            Some(Value::Float(number)) => out.push_str(&rounded(*number)),
            Some(value) => out.push_str(&value.to_string()),
            None => {
                out.push('{');
                out.push_str(name);
                out.push('}');
                missing.push(name.to_owned());
            }
        }
        rest = after;
    }
    out.push_str(rest);
    (out, missing)
}

/// Three significant digits, as people read figures.
fn rounded(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let digits = 2 - number.abs().log10().floor() as i32;
    let decimals = usize::try_from(digits.clamp(0, 9)).unwrap_or(0);
    format!("{number:.decimals$}")
}

impl Findings {
    /// The insights for changes to a solution that was diagnosed.
    pub fn insights(&self, trial: u64, source: &Source) -> Vec<Insight> {
        let of = |diagnosis: &Diagnosis| -> Vec<Insight> {
            let levers = diagnosis.levers.iter();
            levers
                .map(|it| Insight {
                    id: format!("{source}/{}/{}", diagnosis.rule, it.lever),
                    statement: format!("{}: {}", diagnosis.statement, it.lever),
                    lever: it.lever.clone(),
                    scope: Scope::Solution(trial),
                    strength: (diagnosis.severity * it.strength).clamp(0.0, 1.0),
                    evidence: Evidence {
                        n: 1,
                        others: 0,
                        effect: 0.0,
                        statistic: 0.0,
                    },
                    source: source.clone(),
                    age: 0,
                    credit: super::insights::INITIAL_CREDIT,
                    followed: 0,
                    better: 0,
                })
                .collect()
        };
        self.diagnoses.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Params {
        [
            ("spill_bytes".to_owned(), Value::Float(64.0)),
            ("occupancy".to_owned(), Value::Float(12.345)),
            ("STAGES".to_owned(), Value::Int(2)),
        ]
        .into()
    }

    fn own(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn rules(text: &str) -> Rules {
        Rules::parse(&format!("(rules: [{text}])"), "r.ron").unwrap()
    }

    fn space(text: &str) -> crate::space::Space {
        let text = format!(
            "(name: \"s\", params: [(name: \"STAGES\", values: [1, 2, 4])], rules: [{text}])"
        );
        crate::space::Space::parse(&text, "s.ron", &crate::space::Env::default()).unwrap()
    }

    const SPILLS: &str = r#"(id: "spills", when: "spill_bytes > 0", says: "{spill_bytes} bytes are spilled",
        severity: "min(1.0, spill_bytes / 256.0)")"#;
    const IDLE: &str = r#"(id: "idle", when: "occupancy < 25", says: "occupancy is {occupancy} %", severity: 0.75)"#;

    #[test]
    fn rules_that_hold_become_diagnoses_with_the_levers_of_the_space() {
        let shipped = rules(&format!("{SPILLS}, {IDLE}"));
        let space = space(
            r#"(id: "spills", levers: [(param: "STAGES", action: lower, strength: 0.5)]),
               (id: "idle", levers: [(param: "STAGES", action: set(1))]),
               (id: "elsewhere", levers: [(param: "STAGES", action: raise)])"#,
        );
        let names = own(&["spill_bytes", "occupancy"]);
        let found = diagnose(&shipped, space.rules(), &known(), &names, true);
        let said: Vec<&str> = found
            .diagnoses
            .iter()
            .map(|diagnosis| diagnosis.statement.as_str())
            .collect();
        assert_eq!(said, ["occupancy is 12.3 %", "64.0 bytes are spilled"]);
        assert!(found.unjudged.is_empty());
        let insights = found.insights(7, &Source::Build);
        let lines: Vec<String> = insights
            .iter()
            .map(|insight| format!("{} {:.3}", insight.id, insight.strength))
            .collect();
        assert_eq!(
            lines,
            [
                "build/idle/set STAGES=1 0.750",
                "build/spills/lower STAGES 0.125"
            ]
        );
        assert!(insights.iter().all(|it| it.scope == Scope::Solution(7)));
    }

    #[test]
    fn a_rule_that_does_not_hold_says_nothing_and_one_that_cannot_be_judged_says_why() {
        let shipped = rules(
            r#"(id: "none", when: "spill_bytes > 1000", says: ""),
               (id: "missing", when: "dram_busy > 80", says: ""),
               (id: "number", when: "spill_bytes + 1", says: ""),
               (id: "zero", when: "spill_bytes / 0 > 1", says: ""),
               (id: "words", when: "spill_bytes > 0", says: "", severity: "spill_bytes > 0")"#,
        );
        let found = diagnose(&shipped, &Rules::default(), &known(), &own(&[]), true);
        assert!(found.diagnoses.is_empty());
        let unjudged: Vec<String> = found
            .unjudged
            .iter()
            .map(|(rule, why)| format!("{rule}: {why}"))
            .collect();
        assert_eq!(unjudged.len(), 4, "{unjudged:?}");
        assert_eq!(unjudged[0], "missing: there is no dram_busy");
        assert!(unjudged[1].starts_with("number: its condition is 65"));
    }

    #[test]
    fn a_rule_of_the_space_is_judged_with_the_source_that_has_its_figures() {
        let space = space(
            r#"(id: "own", when: "occupancy < 25 and STAGES < 4", says: "few stages",
                levers: [(param: "STAGES", action: raise)]),
               (id: "always", when: "STAGES == 2", says: "two stages")"#,
        );
        let none = Rules::default();
        let names = |found: Findings| -> Vec<String> {
            found.diagnoses.into_iter().map(|it| it.rule).collect()
        };
        let of = |own, first| names(diagnose(&none, space.rules(), &known(), &own, first));
        assert_eq!(of(own(&["occupancy"]), false), ["own"]);
        assert_eq!(of(own(&["spill_bytes"]), false), Vec::<String>::new());
        assert_eq!(of(own(&["spill_bytes"]), true), ["own", "always"]);
    }

    #[test]
    fn figures_are_put_into_statements() {
        let say = |text: &str| filled(text, &known()).0;
        assert_eq!(filled("{STAGES} {nothing}", &known()).1, ["nothing"]);
        assert_eq!(say("{STAGES} stages, {nothing}"), "2 stages, {nothing}");
        assert_eq!(say("an open {brace"), "an open {brace");
        assert_eq!(rounded(1234.5), "1234");
        assert_eq!(rounded(0.012345), "0.0123");
    }
}
