//! From the text of a file to a checked space.

use evo_types::{Params, Value};

use super::constraint::Constraint;
use super::diagnostic::{Fault, SpaceErrors, Span};
use super::document::{
    ConstraintFields, NameField, ParamFields, Piece, Reader, RoleField, SpaceFields, Text,
};
use super::empty;
use super::expr::code::Code;
use super::expr::lower::lower_condition;
use super::expr::parse::{KEYWORDS, parse};
use super::model::Model;
use super::param::{FixedBy, Param, Role};
use super::rules::{self, Rules};
use super::scope::{self, Env};
use super::values::{check_word, read_default, read_value, read_values};
use super::{Space, expr};

/// Bounds on what one file may hold, far above any real space: work at load grows with them.
const MOST_PARAMS: usize = 128;
const MOST_CONSTRAINTS: usize = 512;
const LARGEST_FILE: usize = 1 << 20;

/// What a file says of a parameter, before its names mean anything.
pub(super) struct Draft {
    pub(super) name: Text,
    doc: String,
    /// The values and where they are written; `None` after an error in them.
    pub(super) values: Option<(Vec<Value>, Span)>,
    pub(super) default: u32,
    pub(super) role: Role,
    pub(super) fixed: Option<FixedBy>,
    pub(super) when: Option<Text>,
}

impl Draft {
    /// Whether the parameter always has the same value, so that it is a constant to expressions.
    pub(super) fn constant(&self) -> bool {
        let single = self
            .values
            .as_ref()
            .is_some_and(|(values, _)| values.len() == 1);
        let held = self.role == Role::Problem || self.fixed.is_some();
        self.when.is_none() && (single || held)
    }
}

/// A named constant of the file.
pub(super) struct ConstantDraft {
    pub(super) name: Text,
    pub(super) value: Value,
}

struct ConstraintDraft {
    expr: Text,
    reason: String,
}

struct Document {
    name: String,
    doc: String,
    constants: Vec<ConstantDraft>,
    params: Vec<Draft>,
    constraints: Vec<ConstraintDraft>,
    rules: Rules,
    rules_at: Span,
}

pub(super) fn load(text: &str, file: &str, env: &Env) -> Result<Space, SpaceErrors> {
    let mut reader = Reader::default();
    let space = read_document(&mut reader, text)
        .and_then(|document| resolve(&mut reader, document, text, env));
    match space {
        Some(space) if reader.faults.is_empty() => Ok(space),
        _ => Err(SpaceErrors::new(file, text, reader.faults)),
    }
}

/// A parameter as a file declares it, whatever its expressions mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// The parameter's name.
    pub name: String,
    /// One sentence for people; may be empty.
    pub doc: String,
    /// Its values, at least one.
    pub values: Vec<Value>,
    /// The value where a search starts.
    pub default: Value,
}

/// The parameters that a space declares, for who cannot tell yet what the names in its conditions
/// and constraints stand for: those are not looked at.
///
/// # Errors
/// Everything that is wrong with the text apart from its expressions.
pub fn declared(text: &str, file: &str) -> Result<Vec<Declared>, SpaceErrors> {
    let mut reader = Reader::default();
    let document = read_document(&mut reader, text);
    let params = document.and_then(|document| params(document.params));
    match params {
        Some(params) if reader.faults.is_empty() => Ok(params
            .into_iter()
            .filter_map(|param| {
                let default = param.values.get(param.default as usize)?.clone();
                Some(Declared {
                    name: param.name,
                    doc: param.doc,
                    values: param.values,
                    default,
                })
            })
            .collect()),
        _ => Err(SpaceErrors::new(file, text, reader.faults)),
    }
}

fn read_document(reader: &mut Reader, text: &str) -> Option<Document> {
    if text.len() > LARGEST_FILE {
        let message = format!(
            "the file has {} bytes; a space has at most {LARGEST_FILE}",
            text.len()
        );
        reader.fault(Fault::new(Span::new(0, 0), message));
        return None;
    }
    let file = Piece::file(text);
    let fields: SpaceFields<'_> = reader.read(file)?;
    let name = reader.text(file.of(fields.name)).map(|name| {
        reader.faults.extend(check_word(
            &name.value,
            name.span,
            "the name of a space",
            "_.-",
        ));
        name.value
    });
    let doc = read_words(reader, fields.doc.map(|raw| file.of(raw)));
    let constants = fields.constants.map_or_else(Vec::new, |raw| {
        let entries = reader.entries(file.of(raw));
        entries
            .into_iter()
            .filter_map(|entry| read_constant(reader, entry))
            .collect()
    });
    let params = reader.list(file.of(fields.params)).unwrap_or_default();
    if params.len() > MOST_PARAMS {
        let message = format!(
            "{} parameters; a space has at most {MOST_PARAMS}",
            params.len()
        );
        reader.fault(Fault::new(file.of(fields.params).head(), message));
        return None;
    }
    let params = params
        .into_iter()
        .filter_map(|piece| read_param(reader, piece))
        .collect();
    let constraints = match fields.constraints {
        Some(raw) => read_constraints(reader, file.of(raw))?,
        None => Vec::new(),
    };
    let rules_at = fields.rules.map(|raw| file.of(raw));
    let rules = match rules_at {
        Some(piece) => rules::read_rules(reader, piece)?,
        None => Rules::default(),
    };
    Some(Document {
        name: name.unwrap_or_default(),
        doc,
        constants,
        params,
        constraints,
        rules,
        rules_at: rules_at.map_or(Span::new(0, 0), Piece::head),
    })
}

fn read_words(reader: &mut Reader, piece: Option<Piece<'_>>) -> String {
    piece
        .and_then(|piece| reader.read(piece))
        .unwrap_or_default()
}

fn read_constant(
    reader: &mut Reader,
    (key, value): (Piece<'_>, Piece<'_>),
) -> Option<ConstantDraft> {
    let name = read_name(reader, key, "a constant");
    let value = read_value(reader, value);
    Some(ConstantDraft {
        name: name?,
        value: value?,
    })
}

/// A name that expressions can use.
fn read_name(reader: &mut Reader, piece: Piece<'_>, what: &str) -> Option<Text> {
    let name = reader.text(piece)?;
    let word = name.value.as_str();
    let reserved = KEYWORDS.contains(&word) || expr::functions::function_names().any(|f| f == word);
    if reserved {
        let message = format!("`{word}` has a meaning in expressions and cannot name {what}");
        reader.fault(Fault::new(name.span, message));
        return None;
    }
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("the name \"{word}\" begins with a digit");
        reader.fault(Fault::new(name.span, message));
        return None;
    }
    if let Some(fault) = check_word(word, name.span, &format!("the name of {what}"), "_") {
        reader.fault(fault);
        return None;
    }
    Some(name)
}

fn read_param(reader: &mut Reader, piece: Piece<'_>) -> Option<Draft> {
    let Some(fields) = reader.read::<ParamFields<'_>>(piece) else {
        // Expressions that use the parameter are not to blame.
        let fields: NameField<'_> = reader.try_read(piece)?;
        let name = read_name(reader, piece.of(fields.name), "a parameter")?;
        return Some(Draft {
            name,
            doc: String::new(),
            values: None,
            default: 0,
            role: Role::Search,
            fixed: None,
            when: None,
        });
    };
    let name = read_name(reader, piece.of(fields.name), "a parameter");
    let doc = read_words(reader, fields.doc.map(|raw| piece.of(raw)));
    let values = read_values(reader, piece, &fields);
    let default = match &values {
        Some((values, _)) => {
            read_default(reader, fields.default.map(|raw| piece.of(raw)), values).unwrap_or(0)
        }
        None => 0,
    };
    let role = match fields.role.and_then(|raw| reader.read(piece.of(raw))) {
        Some(RoleField::Problem) => Role::Problem,
        Some(RoleField::Search) | None => Role::Search,
    };
    let when = fields.when.and_then(|raw| reader.text(piece.of(raw)));
    Some(Draft {
        name: name?,
        doc,
        values,
        default,
        role,
        fixed: None,
        when,
    })
}

fn read_constraints(reader: &mut Reader, piece: Piece<'_>) -> Option<Vec<ConstraintDraft>> {
    let items = reader.list(piece)?;
    if items.len() > MOST_CONSTRAINTS {
        let message = format!(
            "{} constraints; a space has at most {MOST_CONSTRAINTS}",
            items.len()
        );
        reader.fault(Fault::new(piece.head(), message));
        return None;
    }
    let read = items.into_iter().filter_map(|item| {
        let fields: ConstraintFields<'_> = reader.read(item)?;
        let expr = reader.text(item.of(fields.expr));
        let reason = read_words(reader, fields.reason.map(|raw| item.of(raw)));
        Some(ConstraintDraft {
            expr: expr?,
            reason,
        })
    });
    Some(read.collect())
}

/// Gives names a meaning, checks types, and builds the space if everything is in order.
fn resolve(reader: &mut Reader, mut document: Document, text: &str, env: &Env) -> Option<Space> {
    if document.params.is_empty() && reader.faults.is_empty() {
        reader.fault(Fault::new(Span::new(0, 0), "the space has no parameters"));
    }
    scope::fix_params(&mut document.params, env, &mut reader.faults);
    let mut scope = scope::build(
        &document.params,
        &document.constants,
        env,
        &mut reader.faults,
    );
    let whens: Vec<Option<Code>> = document
        .params
        .iter()
        .map(|draft| {
            let when = draft.when.as_ref()?;
            lower_text(reader, when, &mut scope, "condition")
        })
        .collect();
    let order = match topological(&whens) {
        Ok(order) => order,
        Err(circle) => {
            reader.fault(circular(&document.params, &circle));
            return None;
        }
    };
    let codes: Vec<Option<Code>> = document
        .constraints
        .iter()
        .map(|draft| lower_text(reader, &draft.expr, &mut scope, "constraint"))
        .collect();
    let raw_size = raw_size(reader, &document.params);
    if !reader.faults.is_empty() {
        return None;
    }
    let used = scope::used_constants(&document.constants, env, &expressions(&document));
    let codes: Vec<Code> = codes.into_iter().collect::<Option<_>>()?;
    let (texts, spans) = constraint_texts(text, document.constraints);
    let params = params(document.params)?;
    rules::check_levers(reader, &document.rules, document.rules_at, &params);
    let model = Model::new(&params, whens, codes, order, &mut scope.names);
    let default = match model.nearest_to_defaults() {
        Ok(default) => default,
        Err(found) => {
            reader
                .faults
                .extend(empty::explain(&model, found, &texts, &spans, &scope.names));
            return None;
        }
    };
    Some(Space {
        name: document.name,
        doc: document.doc,
        searched: (0..params.len())
            .filter(|index| params[*index].searched())
            .collect(),
        params,
        constants: used,
        constraints: texts,
        rules: document.rules,
        raw_size: raw_size?,
        model,
        names: scope.names,
        default,
    })
}

/// Parses and lowers one expression, and reports its errors at their places in the file.
fn lower_text(
    reader: &mut Reader,
    text: &Text,
    scope: &mut expr::names::Scope,
    what: &str,
) -> Option<Code> {
    let lowered = parse(&text.value)
        .map_err(|fault| vec![fault])
        .and_then(|expr| lower_condition(&expr, scope, what));
    match lowered {
        Ok(code) => Some(code),
        Err(faults) => {
            reader
                .faults
                .extend(faults.into_iter().map(|fault| text.locate(fault)));
            None
        }
    }
}

fn expressions(document: &Document) -> Vec<&str> {
    let whens = document
        .params
        .iter()
        .filter_map(|draft| draft.when.as_ref());
    let constraints = document.constraints.iter().map(|draft| &draft.expr);
    whens
        .chain(constraints)
        .map(|text| text.value.as_str())
        .collect()
}

/// The parameters in an order in which every condition comes after what it mentions; or a circle
/// of parameters whose conditions need each other.
fn topological(whens: &[Option<Code>]) -> Result<Vec<usize>, Vec<usize>> {
    let needs = |param: usize| whens[param].as_ref().map_or(&[][..], Code::mentions);
    let mut placed = vec![false; whens.len()];
    let mut order = Vec::with_capacity(whens.len());
    while order.len() < whens.len() {
        let ready = |param: &usize| !placed[*param] && needs(*param).iter().all(|n| placed[*n]);
        match (0..whens.len()).find(ready) {
            Some(param) => {
                placed[param] = true;
                order.push(param);
            }
            None => return Err(circle(&placed, needs)),
        }
    }
    Ok(order)
}

/// Follows unplaced needs until a parameter repeats.
fn circle<'a>(placed: &[bool], needs: impl Fn(usize) -> &'a [usize]) -> Vec<usize> {
    let mut path: Vec<usize> = placed.iter().position(|done| !done).into_iter().collect();
    while let Some(next) = path
        .last()
        .and_then(|last| needs(*last).iter().copied().find(|need| !placed[*need]))
    {
        if let Some(start) = path.iter().position(|seen| *seen == next) {
            path.drain(..start);
            break;
        }
        path.push(next);
    }
    path
}

fn circular(drafts: &[Draft], circle: &[usize]) -> Fault {
    let names: Vec<&str> = circle
        .iter()
        .chain(circle.first())
        .map(|p| drafts[*p].name.value.as_str())
        .collect();
    let place = circle
        .first()
        .and_then(|first| drafts[*first].when.as_ref());
    let place = place.map_or(Span::new(0, 0), |when| when.span);
    Fault::new(place, "the conditions go round in a circle").label(names.join(" needs "))
}

fn raw_size(reader: &mut Reader, drafts: &[Draft]) -> Option<u128> {
    let mut product: u128 = 1;
    for draft in drafts {
        let Some((values, span)) = &draft.values else {
            continue;
        };
        match product.checked_mul(values.len() as u128) {
            Some(larger) => product = larger,
            None => {
                let fault = Fault::new(*span, "the space has more than 2^128 configurations");
                reader.fault(fault.label("the product of all values overflows here"));
                return None;
            }
        }
    }
    Some(product)
}

fn params(drafts: Vec<Draft>) -> Option<Vec<Param>> {
    let param = |draft: Draft| {
        let (values, _) = draft.values?;
        Some(Param {
            name: draft.name.value,
            doc: draft.doc,
            values,
            default: draft.default,
            role: draft.role,
            fixed: draft.fixed,
            when: draft.when.map(|when| when.value),
        })
    };
    drafts.into_iter().map(param).collect()
}

fn constraint_texts(file: &str, drafts: Vec<ConstraintDraft>) -> (Vec<Constraint>, Vec<Span>) {
    let mut places = Vec::new();
    let mut constraints = Vec::new();
    for draft in drafts {
        // The inside of the quotes.
        let span = draft.expr.place(Span::new(0, draft.expr.value.len()));
        let before = file.get(..span.start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        constraints.push(Constraint {
            text: draft.expr.value,
            reason: draft.reason,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
        });
        places.push(span);
    }
    (constraints, places)
}

/// The constants that the expressions of a space used, with where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct UsedConstants {
    /// Constants that the file itself declares.
    pub file: Params,
    /// Constants of the problem.
    pub problem: Params,
    /// Facts about the device.
    pub device: Params,
}
