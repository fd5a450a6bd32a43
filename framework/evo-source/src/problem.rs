//! The problem that a description defines.

use std::sync::Arc;

use evo_bundle::source::{Argument, Expr, OwnProblem, Reference};
use evo_plugin::{
    Dtype, Error, Gate, Params, Problem, ProblemInfo, ProblemSpec, Role, Rows, Tensor, TensorMut,
    TensorSpec, Value,
};

use crate::reference::Function;
use crate::{Source, expected, inputs, shapes, values};

/// The problem of a description.
pub(crate) struct SourceProblem {
    source: Arc<Source>,
    own: OwnProblem,
}

/// The greatest relative error by element type, where the description gives no gate.
fn usual_gate(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 1e-5,
        Dtype::F16 => 6e-4,
        Dtype::Bf16 => 5e-3,
        Dtype::F8E4m3 => 4e-2,
        // Integers are right or wrong.
        Dtype::F64 | Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8 => 1e-12,
    }
}

impl SourceProblem {
    pub(crate) fn new(source: Arc<Source>) -> Result<Self, String> {
        let own = source.description.own_problem().cloned();
        let own = own.ok_or_else(|| "the problem is defined elsewhere".to_owned())?;
        let problem = Self { source, own };
        let defaults: Params = problem
            .own
            .fields
            .iter()
            .map(|field| (field.name.value.clone(), field.default.clone()))
            .collect();
        // What does not even fit with its defaults is a mistake in the description.
        problem
            .resolve_all(&defaults)
            .map_err(|error| match error {
                Error::Rejected(message) => message,
                other => other.to_string(),
            })?;
        Ok(problem)
    }

    fn tensors(&self, known: &Params) -> Result<Vec<TensorSpec>, Error> {
        let mut tensors = Vec::new();
        for argument in &self.source.description.arguments {
            let (name, dtype, shape, role) = match argument {
                Argument::Input {
                    name, dtype, shape, ..
                } => (name, *dtype, shape, Role::Input),
                Argument::Output { name, dtype, shape } => (name, *dtype, shape, Role::Output),
                _ => continue,
            };
            let shape = shape
                .iter()
                .map(|extent| values::size(&self.source.description, extent, known, 1))
                .collect::<Result<Vec<_>, Error>>()?;
            let tensor = TensorSpec {
                name: name.value.clone(),
                role,
                dtype,
                shape,
            };
            if tensor.bytes().is_none() {
                let message = format!("the size of `{}` overflows", name.value);
                let error = self.source.description.fault(name, message);
                return Err(Error::Rejected(error.to_string()));
            }
            tensors.push(tensor);
        }
        Ok(tensors)
    }

    fn check_fields(&self, fields: &Params) -> Result<(), Error> {
        for field in &self.own.fields {
            let value = fields.get(&field.name.value).and_then(Value::as_int);
            if let (Some(value), Some(step)) = (value, field.multiple_of)
                && value % step != 0
            {
                return Err(Error::Rejected(format!(
                    "the field `{}` is {value}, but must be a multiple of {step}",
                    field.name.value
                )));
            }
        }
        Ok(())
    }

    /// The problem without the shapes on which it is verified besides.
    fn resolve_shape(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        self.check_fields(fields)?;
        let description = &self.source.description;
        let known = values::of_problem(description, &self.own, fields)?;
        let tensors = self.tensors(&known)?;
        let gates = tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Output)
            .map(|tensor| {
                let own = self.own.gates.0.iter();
                let own = own.clone().find(|(name, _)| name.value == tensor.name);
                Gate {
                    tensor: tensor.name.clone(),
                    relative_error: own.map_or(usual_gate(tensor.dtype), |(_, gate)| *gate),
                }
            })
            .collect();
        let moved: f64 = tensors
            .iter()
            .map(|tensor| tensor.bytes().unwrap_or(0) as f64)
            .sum();
        let bytes = match &self.own.bytes {
            Some(expr) => values::count(description, expr, &known)?,
            None => moved,
        };
        let mut constants = known.clone();
        constants.retain(|name, _| !fields.contains_key(name));
        Ok(ProblemSpec {
            problem: description.name.clone(),
            fields: fields.clone(),
            tensors,
            constants,
            gates,
            flops: values::count(description, &self.own.flops, &known)?,
            bytes,
            cache: self.own.cache,
            extra_shapes: Vec::new(),
            unquantised: Params::new(),
            distributions: Vec::new(),
        })
    }

    fn distributions(&self, fields: &Params) -> Vec<String> {
        match &self.own.reference {
            Reference::Function { .. } => inputs::DISTRIBUTIONS.map(str::to_owned).to_vec(),
            Reference::Expected(cases) => {
                let count = expected::matching(&self.own, cases, fields).len();
                (0..count).map(expected::distribution).collect()
            }
        }
    }

    fn extra_shapes(&self, fields: &Params) -> Vec<Params> {
        if let Reference::Expected(cases) = &self.own.reference {
            let mut shapes: Vec<Params> = Vec::new();
            for case in cases {
                let other = expected::fields(&self.own, case);
                if other != *fields && !shapes.contains(&other) {
                    shapes.push(other);
                }
            }
            if shapes.is_empty() {
                shapes.push(Params::new());
            }
            return shapes;
        }
        if let Some(given) = &self.own.extra_shapes {
            let shape = |shape: &evo_bundle::source::Entries<Value>| {
                let entries = shape.0.iter();
                entries
                    .map(|(name, value)| (name.value.clone(), value.clone()))
                    .collect()
            };
            return given.iter().map(shape).collect();
        }
        let mut derived = shapes::derive(&self.source.description, &self.own);
        derived.retain(|changes| {
            let mut changed = fields.clone();
            changed.extend(changes.clone());
            self.resolve_shape(&changed).is_ok()
        });
        derived
    }

    /// The bounds of the inputs, in their order.
    fn bounds(&self, known: &Params) -> Result<Vec<inputs::Bounds>, Error> {
        let description = &self.source.description;
        let number = |expr: &Expr| -> Result<f64, Error> {
            let value = values::evaluate(description, expr, known)?;
            value
                .as_float()
                .ok_or_else(|| Error::Rejected(format!("`{}` is no number", expr.text())))
        };
        let mut all = Vec::new();
        for argument in &description.arguments {
            if let Argument::Input {
                name, dtype, range, ..
            } = argument
            {
                let bounds = match range {
                    Some((low, high)) => Some((number(low)?, number(high)?)),
                    None => None,
                };
                if bounds.is_some_and(|bounds| !inputs::possible(*dtype, bounds)) {
                    let message = format!(
                        "the range of `{}` is empty, or more than {} can hold",
                        name.value,
                        format!("{dtype:?}").to_lowercase()
                    );
                    return Err(Error::Rejected(
                        description.fault(name, message).to_string(),
                    ));
                }
                all.push(bounds);
            }
        }
        Ok(all)
    }

    /// Everything about the problem but whether its reference compiles.
    fn resolve_all(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let mut spec = self.resolve_shape(fields)?;
        spec.distributions = self.distributions(fields);
        spec.extra_shapes = self.extra_shapes(fields);
        if spec.distributions.is_empty() {
            return Err(Error::Rejected(
                "there are no expected values for these fields: compute them, or leave the fields \
                 at their defaults"
                    .to_owned(),
            ));
        }
        if spec.extra_shapes.is_empty() {
            return Err(Error::Rejected(format!(
                "{}: no ragged shape could be derived from the fields: name some with \
                 `extra_shapes: [{{\"FIELD\": 37}}]`",
                self.source.description.file()
            )));
        }
        let mut known = spec.constants.clone();
        known.extend(spec.fields.clone());
        self.bounds(&known)?;
        Ok(spec)
    }

    fn function(&self) -> Option<Function<'_>> {
        match &self.own.reference {
            Reference::Function {
                source,
                symbol,
                by_rows,
                defines,
            } => Some(Function {
                source: &self.source,
                file: source,
                symbol,
                by_rows: *by_rows,
                defines,
            }),
            Reference::Expected(_) => None,
        }
    }
}

impl Problem for SourceProblem {
    fn info(&self) -> ProblemInfo {
        ProblemInfo {
            name: self.source.description.name.clone(),
            doc: self.source.description.doc.clone(),
            fields: self.own.fields.iter().map(|field| field.info()).collect(),
        }
    }

    fn resolve(&self, fields: &Params) -> Result<ProblemSpec, Error> {
        let spec = self.resolve_all(fields)?;
        if let Some(function) = self.function() {
            function.check(&spec)?;
        }
        Ok(spec)
    }

    fn fill(
        &self,
        spec: &ProblemSpec,
        seed: u64,
        distribution: &str,
        tensors: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        if let Reference::Expected(cases) = &self.own.reference {
            let cases = expected::matching(&self.own, cases, &spec.fields);
            return expected::fill(&self.source, &cases, spec, distribution, tensors);
        }
        if !inputs::DISTRIBUTIONS.contains(&distribution) {
            return Err(Error::Failed(format!(
                "no input distribution is called `{distribution}`; there are {}",
                inputs::DISTRIBUTIONS.join(", ")
            )));
        }
        let mut known = spec.constants.clone();
        known.extend(spec.fields.clone());
        let bounds = self.bounds(&known)?;
        let outliers = distribution != inputs::DISTRIBUTIONS[0];
        for ((number, tensor), bounds) in tensors.iter_mut().enumerate().zip(bounds) {
            let dtype = tensor.dtype()?;
            let row = tensor.shape().last().copied().unwrap_or(1);
            let bytes = crate::element::bytes_mut(tensor)?;
            inputs::fill(bytes, dtype, row, (seed, number as u64), outliers, bounds);
        }
        Ok(())
    }

    fn reference(
        &self,
        spec: &ProblemSpec,
        tensors: &[Tensor<'_>],
        rows: Rows<'_>,
        outputs: &mut [TensorMut<'_>],
    ) -> Result<(), Error> {
        if let Reference::Expected(cases) = &self.own.reference {
            let cases = expected::matching(&self.own, cases, &spec.fields);
            return expected::reference(&self.source, &cases, spec, tensors, rows, outputs);
        }
        match self.function() {
            Some(function) => function.compute(spec, tensors, rows, outputs),
            None => Err(Error::Failed("the problem has no reference".to_owned())),
        }
    }
}
