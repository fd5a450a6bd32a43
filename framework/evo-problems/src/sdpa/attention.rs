//! The whole problem: the shape, how inputs are quantised, and what follows the attention.

use evo_plugin::{Dtype, Error, Params, Value};

use super::{Shape, Storage};

/// `alpha` where a problem is silent.
pub(super) const ALPHA: f64 = 0.5;

/// Over what one scale of quantised inputs reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scales {
    /// One for each of Q, K and V.
    PerTensor,
    /// One for each head of each batch.
    PerHead,
}

/// What is done with the result of the attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// It is multiplied by this.
    Scale(f32),
    /// It is multiplied by this, and a bias for each head and column is added.
    ScaleBias(f32),
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Extents, mask, and the element type of the output. Inputs have it too where they are not
    /// quantised.
    pub shape: Shape,
    /// Heads of one batch: a bias is the same for every batch.
    pub heads_per_batch: usize,
    /// Where the inputs are E4M3: the extent of their scales.
    pub quantised: Option<Scales>,
    /// What follows.
    pub epilogue: Epilogue,
    /// Whether the extra shapes keep `D`.
    pub same_d: bool,
}

/// A field that a problem of an earlier version does not have: such a problem is what it was.
fn later<'a>(fields: &'a Params, name: &str, default: &'a str) -> Result<&'a str, Error> {
    match fields.contains_key(name) {
        true => evo_plugin::choice(fields, name),
        false => Ok(default),
    }
}

fn unknown(field: &str, value: &str, known: &str) -> Error {
    Error::Rejected(format!("`{field}` is {value}, but must be {known}"))
}

impl Attention {
    /// Reads a problem's fields. Those that may have no effect may be left out.
    ///
    /// # Errors
    /// `Rejected`, naming the field or the extents.
    pub fn of(fields: &Params) -> Result<Self, Error> {
        let extent = |name: &str| evo_plugin::size(fields, name);
        let dtype = evo_plugin::choice(fields, "dtype")?;
        let (storage, quantised) = match dtype {
            "f32" => (Storage::F32, None),
            "f16" => (Storage::F16, None),
            "bf16" => (Storage::Bf16, None),
            "f8_e4m3" => (output(fields)?, Some(scales(fields)?)),
            other => return Err(unknown("dtype", other, "f32, bf16, f16 or f8_e4m3")),
        };
        let causal = match evo_plugin::choice(fields, "mask")? {
            "causal" => true,
            "full" => false,
            other => return Err(unknown("mask", other, "full or causal")),
        };
        let alpha = alpha(fields)?;
        let epilogue = match later(fields, "epilogue", "none")? {
            "none" => Epilogue::None,
            "scale" => Epilogue::Scale(alpha),
            "scale_bias" => Epilogue::ScaleBias(alpha),
            other => return Err(unknown("epilogue", other, "none, scale or scale_bias")),
        };
        let heads_per_batch = extent("H")?;
        let extents = [extent("B")?, heads_per_batch, extent("S")?, extent("D")?];
        let attention = Self {
            shape: Shape::new(extents, causal, storage).map_err(Error::Rejected)?,
            heads_per_batch,
            quantised,
            epilogue,
            same_d: fields.contains_key("same_d") && evo_plugin::flag(fields, "same_d")?,
        };
        attention.check_silent(fields)?;
        if attention.epilogue != Epilogue::None && alpha == 0.0 {
            return Err(Error::Rejected(
                "`alpha` is 0: no result of the attention would reach the output".to_owned(),
            ));
        }
        Ok(attention)
    }

    /// The fields that have an effect here: a problem does not change its identity when the
    /// problem as such gains a field.
    pub(super) fn effective(&self, fields: &Params) -> Params {
        let mut fields = fields.clone();
        for (name, has_effect, _) in self.conditional() {
            if !has_effect {
                fields.remove(name);
            }
        }
        fields
    }

    /// Fields that have an effect under conditions only: the name, whether it has, and the value
    /// without a meaning of its own.
    fn conditional(&self) -> [(&'static str, bool, Value); 5] {
        let follows = self.epilogue != Epilogue::None;
        let quantised = self.quantised.is_some();
        [
            ("epilogue", follows, Value::from("none")),
            ("alpha", follows, Value::Float(ALPHA)),
            ("scales", quantised, Value::from("per_tensor")),
            ("output", quantised, Value::from("bf16")),
            ("same_d", self.same_d, Value::from(false)),
        ]
    }

    /// Refuses what was set and would be passed over in silence.
    fn check_silent(&self, fields: &Params) -> Result<(), Error> {
        for (name, has_effect, default) in self.conditional() {
            match fields.get(name) {
                Some(value) if !has_effect && *value != default => {
                    let wanted = match name {
                        "alpha" => "an `epilogue`",
                        _ => "the `dtype` f8_e4m3",
                    };
                    return Err(Error::Rejected(format!(
                        "`{name}` is {value}, which has no effect without {wanted}"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The element type of Q, K and V.
    pub fn input_dtype(&self) -> Dtype {
        match self.quantised {
            Some(_) => Dtype::F8E4m3,
            None => self.output_dtype(),
        }
    }

    /// The element type of the output.
    pub fn output_dtype(&self) -> Dtype {
        match self.shape.storage {
            Storage::F32 => Dtype::F32,
            Storage::F16 => Dtype::F16,
            Storage::Bf16 => Dtype::Bf16,
        }
    }

    /// The number of scales of each input; 0 where they are not quantised.
    pub fn scales(&self) -> usize {
        match self.quantised {
            None => 0,
            Some(Scales::PerTensor) => 1,
            Some(Scales::PerHead) => self.shape.heads,
        }
    }

    /// The elements of the bias; 0 where there is none.
    pub fn bias_elements(&self) -> usize {
        match self.epilogue {
            Epilogue::ScaleBias(_) => self.heads_per_batch * self.shape.d,
            Epilogue::None | Epilogue::Scale(_) => 0,
        }
    }
}

fn output(fields: &Params) -> Result<Storage, Error> {
    match later(fields, "output", "bf16")? {
        "f16" => Ok(Storage::F16),
        "bf16" => Ok(Storage::Bf16),
        other => Err(unknown("output", other, "f16 or bf16")),
    }
}

fn scales(fields: &Params) -> Result<Scales, Error> {
    match later(fields, "scales", "per_tensor")? {
        "per_tensor" => Ok(Scales::PerTensor),
        "per_head" => Ok(Scales::PerHead),
        other => Err(unknown("scales", other, "per_tensor or per_head")),
    }
}

/// Kernels get it in single precision, so this is the value.
fn alpha(fields: &Params) -> Result<f32, Error> {
    let alpha = match fields.contains_key("alpha") {
        true => evo_plugin::float(fields, "alpha")?,
        false => ALPHA,
    };
    Ok(alpha as f32)
}

/// Reads the shape out of a problem's fields, for a kernel of attention alone: no quantised inputs
/// and no epilogue.
///
/// # Errors
/// `Rejected`, naming the field or the extents, also where the problem is more than that.
pub fn shape_of(fields: &Params) -> Result<Shape, Error> {
    let attention = Attention::of(fields)?;
    if attention.quantised.is_some() {
        return Err(Error::Rejected(
            "`dtype` is f8_e4m3, but must be f32, bf16 or f16 for this kernel".to_owned(),
        ));
    }
    if attention.epilogue != Epilogue::None {
        return Err(Error::Rejected(
            "this kernel has no epilogue: `epilogue` must be none".to_owned(),
        ));
    }
    Ok(attention.shape)
}
