//! The values of a parameter: a list, a range, or powers of two.

use evo_types::Value;

use super::diagnostic::{Fault, Span, suggestion};
use super::document::{Literal, ParamFields, Piece, RangeFields, Reader};
use super::expr::names::Type;

/// A parameter with more values than this is a mistake, and would make tables large.
const MOST_VALUES: usize = 10_000;

/// The length of the longest name, of a space, parameter or value.
pub(super) const LONGEST_NAME: usize = 64;

/// The values that a parameter declares and where they are written; `None` after reporting errors.
pub(super) fn read_values(
    reader: &mut Reader,
    piece: Piece<'_>,
    fields: &ParamFields<'_>,
) -> Option<(Vec<Value>, Span)> {
    let (source, values) = match [fields.values, fields.range, fields.pow2] {
        [Some(raw), None, None] => (piece.of(raw), list(reader, piece.of(raw))),
        [None, Some(raw), None] => (piece.of(raw), range_values(reader, piece.of(raw))),
        [None, None, Some(raw)] => (piece.of(raw), powers(reader, piece.of(raw))),
        [None, None, None] => {
            let fault = Fault::new(piece.head(), "the parameter has no values");
            reader.fault(fault.label("write `values: [...]`, `range: (...)` or `pow2: (...)`"));
            return None;
        }
        _ => {
            let fault = Fault::new(piece.head(), "the values are given twice");
            reader.fault(fault.label("write only one of `values`, `range` and `pow2`"));
            return None;
        }
    };
    Some((values?, source.span()))
}

/// The type of a value.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Float(_) => Type::Float,
        Value::Name(_) => Type::Name,
    }
}

/// One value; a name is checked for its characters.
pub(super) fn read_value(reader: &mut Reader, piece: Piece<'_>) -> Option<Value> {
    Some(match reader.literal(piece)? {
        Literal::Bool(value) => Value::Bool(value),
        Literal::Int(value) => Value::Int(value),
        // Minus zero would be a second zero.
        Literal::Float(value) => Value::Float(value + 0.0),
        Literal::Name(name) => {
            if let Some(fault) = check_word(&name, piece.span(), "a name", "_.+-") {
                reader.fault(fault);
                return None;
            }
            Value::Name(name)
        }
        Literal::HugeInt | Literal::Other => return None,
    })
}

/// Checks the characters of a name, which will stand in file names, tables and command lines.
pub(super) fn check_word(word: &str, span: Span, what: &str, extra: &str) -> Option<Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    let length = word.chars().count();
    if (1..=LONGEST_NAME).contains(&length) && word.chars().all(allowed) {
        return None;
    }
    let characters: Vec<String> = extra.chars().map(|c| format!("`{c}`")).collect();
    let rule = format!(
        "{what} has 1 to {LONGEST_NAME} letters, digits and {}",
        characters.join(" ")
    );
    Some(Fault::new(span, format!("\"{word}\" cannot be {what}")).note(rule))
}

fn list(reader: &mut Reader, piece: Piece<'_>) -> Option<Vec<Value>> {
    let items = reader.list(piece)?;
    if items.is_empty() {
        reader.fault(Fault::new(piece.span(), "the list of values is empty"));
        return None;
    }
    if items.len() > MOST_VALUES {
        reader.fault(too_many(piece.span(), items.len() as u128));
        return None;
    }
    let before = reader.faults.len();
    let mut values: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        let Some(value) = read_value(reader, item) else {
            continue;
        };
        if let Some(first) = values
            .first()
            .filter(|first| type_of(first) != type_of(&value))
        {
            let message = format!("{value} is not of the type of the values before it");
            let fault = Fault::new(item.span(), message);
            let label = format!("{}, not {}", words(&value), words(first));
            reader.fault(
                fault
                    .label(label)
                    .note("all values of a parameter have one type"),
            );
        } else if values.contains(&value) {
            reader.fault(Fault::new(
                item.span(),
                format!("the value {value} occurs twice"),
            ));
        } else {
            values.push(value);
        }
    }
    (reader.faults.len() == before).then_some(values)
}

fn words(value: &Value) -> &'static str {
    type_of(value).words()
}

fn too_many(span: Span, count: u128) -> Fault {
    let count = if count > 1 << 40 {
        "over 10^12".to_owned()
    } else {
        count.to_string()
    };
    Fault::new(span, format!("{count} values are too many"))
        .label(format!("a parameter may have {MOST_VALUES}"))
}

/// `from`, `to` and the optional `step`, each with its place.
struct Bounds<'a> {
    from: (Value, Piece<'a>),
    to: (Value, Piece<'a>),
    step: Option<(Value, Piece<'a>)>,
}

fn bounds<'a>(reader: &mut Reader, piece: Piece<'a>) -> Option<Bounds<'a>> {
    let fields: RangeFields<'a> = reader.read(piece)?;
    let mut number = |raw| {
        let piece = piece.of(raw);
        let value = read_value(reader, piece)?;
        if value.as_float().is_none() {
            let message = format!("expected a number, found a {}", value.type_name());
            reader.fault(Fault::new(piece.span(), message));
            return None;
        }
        Some((value, piece))
    };
    let (from, to) = (number(fields.from), number(fields.to));
    let step = match fields.step {
        Some(step) => Some(number(step)?),
        None => None,
    };
    Some(Bounds {
        from: from?,
        to: to?,
        step,
    })
}

fn range_values(reader: &mut Reader, piece: Piece<'_>) -> Option<Vec<Value>> {
    let bounds = bounds(reader, piece)?;
    let step = bounds
        .step
        .as_ref()
        .map_or(Value::Int(1), |(step, _)| step.clone());
    let step_span = bounds
        .step
        .as_ref()
        .map_or(piece.span(), |(_, piece)| piece.span());
    let values = match (&bounds.from.0, &bounds.to.0, &step) {
        (Value::Int(from), Value::Int(to), Value::Int(step)) => integers(*from, *to, *step),
        (from, to, step) => floats(as_float(from), as_float(to), as_float(step)),
    };
    match values {
        Ok(values) => return Some(values),
        Err(RangeFault::Step) => {
            let fault = Fault::new(step_span, format!("the step {step} is not positive"));
            reader.fault(fault.label("the step goes from `from` up to `to`"));
        }
        Err(RangeFault::Order) => {
            let (from, to) = (&bounds.from.0, &bounds.to.0);
            let place = bounds.from.1.span().to(bounds.to.1.span());
            reader.fault(Fault::new(
                place,
                format!("the range from {from} to {to} is empty"),
            ));
        }
        Err(RangeFault::TooMany(count)) => reader.fault(too_many(piece.span(), count)),
        Err(RangeFault::TooFine) => {
            let fault = Fault::new(
                step_span,
                format!("the step {step} is too fine for a float"),
            );
            reader.fault(fault.label("neighbouring values would be equal"));
        }
    }
    None
}

fn as_float(value: &Value) -> f64 {
    value.as_float().unwrap_or(0.0)
}

enum RangeFault {
    Step,
    Order,
    TooMany(u128),
    TooFine,
}

fn integers(from: i64, to: i64, step: i64) -> Result<Vec<Value>, RangeFault> {
    if step <= 0 {
        return Err(RangeFault::Step);
    }
    let span = i128::from(to) - i128::from(from);
    let span = u128::try_from(span).map_err(|_| RangeFault::Order)?;
    let count = span / step.unsigned_abs() as u128 + 1;
    if count > MOST_VALUES as u128 {
        return Err(RangeFault::TooMany(count));
    }
    // `from + index * step` is at most `to`.
    let values = (0..count).map_while(|index| {
        let distance = i64::try_from(index).ok()?.checked_mul(step)?;
        from.checked_add(distance).map(Value::Int)
    });
    Ok(values.collect())
}

fn floats(from: f64, to: f64, step: f64) -> Result<Vec<Value>, RangeFault> {
    if step <= 0.0 {
        return Err(RangeFault::Step);
    }
    if from > to {
        return Err(RangeFault::Order);
    }
    // A little slack, so that 0.0 to 0.3 in steps of 0.1 reaches 0.3.
    let count = ((to - from) / step + 1e-9).floor() + 1.0;
    if count.is_nan() || count > MOST_VALUES as f64 {
        return Err(RangeFault::TooMany(count as u128));
    }
    let values: Vec<f64> = (0..count as u64)
        .map(|index| (from + index as f64 * step).min(to) + 0.0)
        .collect();
    if !values.is_sorted_by(|a, b| a < b) {
        return Err(RangeFault::TooFine);
    }
    Ok(values.into_iter().map(Value::Float).collect())
}

fn powers(reader: &mut Reader, piece: Piece<'_>) -> Option<Vec<Value>> {
    let bounds = bounds(reader, piece)?;
    if let Some((_, step)) = bounds.step {
        reader.fault(Fault::new(step.span(), "powers of two have no step"));
        return None;
    }
    let mut exponent = |(value, piece): &(Value, Piece<'_>)| {
        let power = value.as_int().and_then(|value| u64::try_from(value).ok());
        match power.filter(|value| value.is_power_of_two()) {
            Some(power) => Some(power.trailing_zeros()),
            None => {
                let fault = Fault::new(piece.span(), format!("{value} is not a power of two"));
                reader.fault(fault.label("1, 2, 4, 8, ... without a decimal point"));
                None
            }
        }
    };
    let (from, to) = (exponent(&bounds.from), exponent(&bounds.to));
    let (from, to) = (from?, to?);
    if from > to {
        let place = bounds.from.1.span().to(bounds.to.1.span());
        let message = format!(
            "the range from {} to {} is empty",
            bounds.from.0, bounds.to.0
        );
        reader.fault(Fault::new(place, message));
        return None;
    }
    Some(
        (from..=to)
            .map(|exponent| Value::Int(1 << exponent))
            .collect(),
    )
}

/// The index of the declared default; the first value where there is none.
pub(super) fn read_default(
    reader: &mut Reader,
    piece: Option<Piece<'_>>,
    values: &[Value],
) -> Option<u32> {
    let Some(piece) = piece else { return Some(0) };
    let default = read_value(reader, piece)?;
    let found = values.iter().position(|value| same(value, &default));
    if found.is_none() {
        let shown: Vec<String> = values.iter().take(12).map(Value::to_string).collect();
        let dots = if values.len() > shown.len() {
            ", ..."
        } else {
            ""
        };
        let near = match &default {
            Value::Name(name) => suggestion(name, values.iter().filter_map(Value::as_name)),
            _ => String::new(),
        };
        let message = format!("the default {default} is not among the values");
        let fault = Fault::new(piece.span(), message).label(near);
        reader.fault(fault.note(format!("values: {}{dots}", shown.join(", "))));
    }
    found.and_then(|index| u32::try_from(index).ok())
}

/// Whether a written value means one of the parameter's: 1 means 1.0 where those are floats.
pub(super) fn same(own: &Value, written: &Value) -> bool {
    match (own, written) {
        (Value::Float(own), Value::Int(written)) => *own == *written as f64,
        _ => own == written,
    }
}
