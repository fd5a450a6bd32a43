//! Rules in RON: conditions on figures, what they say, and what to do about it.

use std::collections::BTreeSet;

use evo_types::Value;
use ron::value::RawValue;
use serde::Deserialize;

use super::diagnostic::{Fault, SpaceErrors, Span, suggestion};
use super::document::{Piece, Reader, Text};
use super::expression::Expression;
use super::param::Param;
use super::values::{check_word, same};

/// Bounds on what one document may hold.
const MOST_RULES: usize = 512;
const LARGEST_FILE: usize = 1 << 20;

/// The severity of a rule that says nothing of it.
const USUAL_SEVERITY: f64 = 0.5;

/// How figures become diagnoses: see `framework/evo-core/RULES.md`.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// One condition, what it means where it holds, and what to do about it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) id: String,
    /// `None`: the rule adds levers to one of the same identity.
    pub(crate) when: Option<Expression>,
    pub(crate) says: String,
    pub(crate) severity: Severity,
    pub(crate) levers: Vec<RuleLever>,
}

/// How much a diagnosis matters.
#[derive(Debug, Clone)]
pub(crate) enum Severity {
    Fixed(f64),
    Of(Expression),
}

/// What to do with a parameter where a rule holds, and how sure that is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleLever {
    pub(crate) param: String,
    pub(crate) pull: Pull,
    pub(crate) strength: f64,
}

/// What to do with a parameter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", rename = "Action")]
pub(crate) enum Pull {
    Raise,
    Lower,
    /// It makes no difference.
    Leave,
    Set(Value),
    Avoid(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Rules")]
struct RulesFields<'a> {
    #[serde(borrow)]
    rules: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Rule")]
struct RuleFields<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    when: Option<&'a RawValue>,
    #[serde(borrow, default)]
    says: Option<&'a RawValue>,
    #[serde(borrow, default)]
    severity: Option<&'a RawValue>,
    #[serde(borrow, default)]
    levers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Lever")]
struct LeverFields<'a> {
    #[serde(borrow)]
    param: &'a RawValue,
    #[serde(borrow)]
    action: &'a RawValue,
    #[serde(borrow, default)]
    strength: Option<&'a RawValue>,
}

impl Rules {
    /// Reads the rules of a profiler: `(rules: [...])`. `file` only names the text in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text, with its place. Names of figures and parameters are
    /// not among it: which ones there are depends on the device and the space.
    pub fn parse(text: &str, file: &str) -> Result<Self, SpaceErrors> {
        let mut reader = Reader::default();
        let rules = read_file(&mut reader, text);
        match rules {
            Some(rules) if reader.faults.is_empty() => Ok(rules),
            _ => Err(SpaceErrors::new(file, text, reader.faults)),
        }
    }

    /// The rules in their order.
    /// The rules that have a condition, with what it asks for: figures, parameters, facts of the device
    /// and of the problem.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, BTreeSet<String>)> {
        let rules = self.iter();
        rules.filter_map(|rule| Some((rule.id.as_str(), rule.when.as_ref()?.names())))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The identities of rules, in their order; one that adds levers to another is named again.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| rule.id.as_str())
    }
}

fn read_file(reader: &mut Reader, text: &str) -> Option<Rules> {
    let file = Piece::file(text);
    if text.len() > LARGEST_FILE {
        let message = format!(
            "the rules have {} bytes; there are at most {LARGEST_FILE}",
            text.len()
        );
        reader.fault(Fault::new(file.head(), message));
        return None;
    }
    let fields: RulesFields<'_> = reader.read(file)?;
    let rules = read_rules(reader, file.of(fields.rules))?;
    let known: BTreeSet<&str> = rules.0.iter().filter_map(Rule::defined).collect();
    let dangling = rules
        .0
        .iter()
        .find(|rule| !known.contains(rule.id.as_str()));
    if let Some(rule) = dangling {
        let message = format!("no rule `{}` has a condition (`when`)", rule.id);
        reader.fault(Fault::new(file.of(fields.rules).head(), message));
    }
    Some(rules)
}

impl Rule {
    fn defined(&self) -> Option<&str> {
        self.when.is_some().then_some(self.id.as_str())
    }
}

/// Reads a list of rules.
pub(super) fn read_rules(reader: &mut Reader, piece: Piece<'_>) -> Option<Rules> {
    let items = reader.list(piece)?;
    if items.len() > MOST_RULES {
        let message = format!("{} rules; there are at most {MOST_RULES}", items.len());
        reader.fault(Fault::new(piece.head(), message));
        return None;
    }
    let mut rules = Vec::new();
    let mut defined = BTreeSet::new();
    for item in items {
        let Some(rule) = read_rule(reader, item) else {
            continue;
        };
        if rule.when.is_some() && !defined.insert(rule.id.clone()) {
            let message = format!("the rule `{}` is there twice", rule.id);
            reader.fault(Fault::new(item.head(), message));
        }
        rules.push(rule);
    }
    Some(Rules(rules))
}

fn read_rule(reader: &mut Reader, piece: Piece<'_>) -> Option<Rule> {
    let fields: RuleFields<'_> = reader.read(piece)?;
    let id = reader.text(piece.of(fields.id))?;
    if let Some(fault) = check_word(&id.value, id.span, "the identity of a rule", "_") {
        reader.fault(fault);
    }
    let when = fields.when.map(|raw| piece.of(raw));
    let when = when.map(|piece| read_expression(reader, piece));
    let says = fields.says.map(|raw| piece.of(raw));
    let says = says.map(|piece| reader.read::<String>(piece));
    let severity = fields.severity.map(|raw| piece.of(raw));
    let severity = severity.map(|piece| read_severity(reader, piece));
    let levers = match fields.levers {
        Some(raw) => read_levers(reader, piece.of(raw))?,
        None => Vec::new(),
    };
    let Some(when) = when else {
        let wrong = if says.is_some() || severity.is_some() {
            "says something but has no condition (`when`)"
        } else if levers.is_empty() {
            "has neither a condition (`when`) nor levers"
        } else {
            return Some(Rule {
                id: id.value,
                when: None,
                says: String::new(),
                severity: Severity::Fixed(USUAL_SEVERITY),
                levers,
            });
        };
        let message = format!("the rule `{}` {wrong}", id.value);
        reader.fault(Fault::new(piece.head(), message));
        return None;
    };
    let Some(says) = says else {
        let message = format!(
            "the rule `{}` does not say what it means (`says`)",
            id.value
        );
        reader.fault(Fault::new(piece.head(), message));
        return None;
    };
    Some(Rule {
        id: id.value,
        when: Some(when?),
        says: says?,
        severity: match severity {
            Some(severity) => severity?,
            None => Severity::Fixed(USUAL_SEVERITY),
        },
        levers,
    })
}

fn read_expression(reader: &mut Reader, piece: Piece<'_>) -> Option<Expression> {
    let text: Text = reader.text(piece)?;
    match Expression::parse(&text.value) {
        Ok(expression) => Some(expression),
        Err(error) => {
            let span = Span::new(error.start, error.end);
            let fault = Fault::new(span, error.message).label(error.label);
            reader.fault(text.locate(fault));
            None
        }
    }
}

/// A number from 0 to 1, or an expression for one.
fn read_severity(reader: &mut Reader, piece: Piece<'_>) -> Option<Severity> {
    if let Some(number) = reader.try_read::<f64>(piece) {
        if !(0.0..=1.0).contains(&number) {
            let message = format!("a severity is from 0 to 1, not {number}");
            reader.fault(Fault::new(piece.span(), message));
            return None;
        }
        return Some(Severity::Fixed(number));
    }
    read_expression(reader, piece).map(Severity::Of)
}

fn read_levers(reader: &mut Reader, piece: Piece<'_>) -> Option<Vec<RuleLever>> {
    let items = reader.list(piece)?;
    let read = items.into_iter().filter_map(|item| {
        let fields: LeverFields<'_> = reader.read(item)?;
        let param = reader.text(item.of(fields.param))?;
        let pull = reader.read::<Pull>(item.of(fields.action))?;
        let strength = match fields.strength {
            Some(raw) => reader.read::<f64>(item.of(raw))?,
            None => 1.0,
        };
        if !(strength > 0.0 && strength <= 1.0) {
            let message = format!("a strength is above 0 and at most 1, not {strength}");
            reader.fault(Fault::new(item.head(), message));
            return None;
        }
        Some(RuleLever {
            param: param.value,
            pull,
            strength,
        })
    });
    Some(read.collect())
}

/// Levers of a space's own rules are parameters of the space, with values that these have.
pub(super) fn check_levers(reader: &mut Reader, rules: &Rules, piece: Span, params: &[Param]) {
    for lever in rules.0.iter().flat_map(|rule| &rule.levers) {
        let Some(param) = params.iter().find(|param| param.name == lever.param) else {
            let names = params.iter().map(|param| param.name.as_str());
            let message = format!("a rule pulls `{}`, which is no parameter", lever.param);
            let near = suggestion(&lever.param, names);
            reader.fault(Fault::new(piece, message).label(near));
            continue;
        };
        if matches!(lever.pull, Pull::Raise | Pull::Lower) && !param.ordered() {
            let message = format!(
                "a rule raises or lowers `{}`, whose values have no order: name one, as in \
                 `action: set({})`",
                lever.param,
                param.value(0)
            );
            reader.fault(Fault::new(piece, message));
        }
        if let Pull::Set(value) | Pull::Avoid(value) = &lever.pull
            && !param.values.iter().any(|own| same(own, value))
        {
            let message = format!(
                "a rule names {value} for `{}`, which is not among its values",
                lever.param
            );
            reader.fault(Fault::new(piece, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Env, Space};
    use super::*;

    const RULES: &str = r#"(
        rules: [
            (
                id: "spills",
                when: "spill_bytes > 0",
                says: "{spill_bytes} bytes are spilled",
                severity: "min(1.0, spill_bytes / 256.0)",
                levers: [(param: "TILE", action: lower, strength: 0.5)],
            ),
            (id: "spills", levers: [(param: "FAST", action: set(true)), (param: "TILE", action: avoid(4))]),
        ],
    )"#;

    #[test]
    fn rules_are_read_with_what_is_left_out() {
        let rules = Rules::parse(RULES, "r.ron").unwrap();
        assert_eq!(rules.ids().collect::<Vec<_>>(), ["spills", "spills"]);
        let levers: Vec<String> = rules
            .iter()
            .flat_map(|rule| &rule.levers)
            .map(|it| format!("{} {:?} {}", it.param, it.pull, it.strength))
            .collect();
        assert_eq!(
            levers,
            [
                "TILE Lower 0.5",
                "FAST Set(Bool(true)) 1",
                "TILE Avoid(Int(4)) 1"
            ]
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            ("(rules: [(id: \"a\", when: \"x >\", says: \"\")])", "1:"),
            (
                "(rules: [(id: \"a\", when: \"x > 0\")])",
                "does not say what it means",
            ),
            ("(rules: [(id: \"a\", says: \"b\")])", "has no condition"),
            (
                "(rules: [(id: \"a\", severity: 0.5)])",
                "says something but has no condition",
            ),
            ("(rules: [(id: \"a\")])", "neither a condition"),
            (
                "(rules: [(id: \"a\", levers: [(param: \"X\", action: raise)])])",
                "no rule `a` has a condition",
            ),
            (
                "(rules: [(id: \"a\", when: \"x > 0\", says: \"\", severity: 2.0)])",
                "from 0 to 1, not 2",
            ),
            (
                "(rules: [(id: \"a\", when: \"x > 0\", says: \"\", levers: [(param: \"X\", action: rise)])])",
                "rise",
            ),
            (
                "(rules: [(id: \"a\", when: \"x > 0\", says: \"\"), (id: \"a\", when: \"y\", says: \"\")])",
                "is there twice",
            ),
            ("(rules: [(id: \"a\", wen: \"x\")])", "wen"),
        ];
        for (text, wanted) in cases {
            let error = Rules::parse(text, "r.ron").unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}\n{error}");
            assert!(error.contains("r.ron"), "{error}");
        }
    }

    fn space(rules: &str) -> Result<Space, SpaceErrors> {
        let text = format!(
            "(name: \"s\", params: [(name: \"TILE\", values: [1, 2, 4])], rules: [{rules}])"
        );
        Space::parse(&text, "s.ron", &Env::default())
    }

    #[test]
    fn a_space_adds_levers_and_rules_of_its_own() {
        let own = space("(id: \"spills\", levers: [(param: \"TILE\", action: lower)])").unwrap();
        assert_eq!(own.rules().ids().collect::<Vec<_>>(), ["spills"]);
        let error = space("(id: \"spills\", levers: [(param: \"TIEL\", action: lower)])");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`TIEL`, which is no parameter"), "{error}");
        assert!(error.contains("did you mean `TILE`"), "{error}");
        let error = space("(id: \"spills\", levers: [(param: \"TILE\", action: set(3))])");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("3 for `TILE`"), "{error}");
    }
}
