//! What a plugin is handed: documents as C structures, kept alive together with their text.

use std::ffi::CString;

use evo_plugin::{BuildRequest, DeviceFacts, Error, Params, ProblemSpec, Value};
use serde::Serialize;

use crate::abi;

/// A text for C.
///
/// # Errors
/// A NUL byte in the text.
pub(crate) fn c_text(text: &str) -> Result<CString, Error> {
    CString::new(text)
        .map_err(|_| Error::Rejected(format!("{text:?} has a NUL byte, which C cannot be given")))
}

fn json(value: &impl Serialize) -> Result<CString, Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Failed(format!("a document cannot be written: {error}")))?;
    c_text(&text)
}

/// Named values.
pub(crate) struct OwnedParams {
    /// What the items point to. The bytes of a `CString` stay where they are when it is moved.
    _texts: Vec<CString>,
    items: Vec<abi::Param>,
}

impl OwnedParams {
    pub(crate) fn new(params: &Params) -> Result<Self, Error> {
        let mut texts = Vec::with_capacity(2 * params.len());
        let mut items = Vec::with_capacity(params.len());
        for (name, value) in params {
            let name = c_text(name)?;
            let text = c_text(&value.to_string())?;
            let (kind, integer) = match value {
                Value::Bool(value) => (abi::kind::BOOL, i64::from(*value)),
                Value::Int(value) => (abi::kind::INT, *value),
                Value::Float(_) => (abi::kind::FLOAT, 0),
                Value::Name(_) => (abi::kind::NAME, 0),
            };
            items.push(abi::Param {
                name: name.as_ptr(),
                type_: kind,
                integer,
                number: value.as_float().unwrap_or(0.0),
                text: text.as_ptr(),
            });
            texts.extend([name, text]);
        }
        Ok(Self {
            _texts: texts,
            items,
        })
    }

    /// The values; valid as long as `self` lives, wherever it is moved.
    pub(crate) fn list(&self) -> abi::ParamList {
        abi::ParamList {
            items: self.items.as_ptr(),
            count: self.items.len(),
        }
    }
}

/// A device.
pub(crate) struct OwnedDevice {
    _texts: [CString; 3],
    _facts: OwnedParams,
    raw: Box<abi::Device>,
}

impl OwnedDevice {
    pub(crate) fn new(device: &DeviceFacts) -> Result<Self, Error> {
        let texts = [
            c_text(&device.kind)?,
            c_text(&device.name)?,
            c_text(&device.uuid)?,
        ];
        let facts = OwnedParams::new(&device.facts)?;
        let [kind, name, uuid] = texts.each_ref().map(|text| text.as_ptr());
        let raw = Box::new(abi::Device {
            struct_size: size_of::<abi::Device>(),
            kind,
            name,
            uuid,
            facts: facts.list(),
        });
        Ok(Self {
            _texts: texts,
            _facts: facts,
            raw,
        })
    }

    pub(crate) fn as_ptr(&self) -> *const abi::Device {
        &raw const *self.raw
    }
}

/// A problem with all fields fixed.
pub(crate) struct OwnedSpec {
    _texts: [CString; 2],
    _params: [OwnedParams; 2],
    raw: Box<abi::Spec>,
}

impl OwnedSpec {
    pub(crate) fn new(spec: &ProblemSpec) -> Result<Self, Error> {
        let texts = [json(spec)?, c_text(&spec.problem)?];
        let params = [
            OwnedParams::new(&spec.fields)?,
            OwnedParams::new(&spec.constants)?,
        ];
        let [json, name] = texts.each_ref().map(|text| text.as_ptr());
        let [fields, constants] = params.each_ref().map(OwnedParams::list);
        let raw = Box::new(abi::Spec {
            struct_size: size_of::<abi::Spec>(),
            json,
            name,
            fields,
            constants,
        });
        Ok(Self {
            _texts: texts,
            _params: params,
            raw,
        })
    }

    pub(crate) fn as_ptr(&self) -> *const abi::Spec {
        &raw const *self.raw
    }
}

/// A request with everything in it.
pub(crate) struct OwnedRequest {
    _json: CString,
    _problem: OwnedSpec,
    _device: OwnedDevice,
    _config: OwnedParams,
    raw: Box<abi::Request>,
}

impl OwnedRequest {
    pub(crate) fn new(request: &BuildRequest) -> Result<Self, Error> {
        let json = json(request)?;
        let problem = OwnedSpec::new(&request.problem)?;
        let device = OwnedDevice::new(&request.device)?;
        let config = OwnedParams::new(&request.config)?;
        let raw = Box::new(abi::Request {
            struct_size: size_of::<abi::Request>(),
            json: json.as_ptr(),
            problem: problem.as_ptr(),
            device: device.as_ptr(),
            config: config.list(),
        });
        Ok(Self {
            _json: json,
            _problem: problem,
            _device: device,
            _config: config,
            raw,
        })
    }

    pub(crate) fn as_ptr(&self) -> *const abi::Request {
        &raw const *self.raw
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, c_char};

    use super::*;

    fn read(pointer: *const c_char) -> String {
        // SAFETY: the texts of what was just marshalled.
        unsafe { CStr::from_ptr(pointer) }
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn values_arrive_with_type_number_and_text() {
        let params: Params = [
            ("A".to_owned(), Value::Int(-3)),
            ("B".to_owned(), Value::Bool(true)),
            ("C".to_owned(), Value::Float(0.5)),
            ("D".to_owned(), Value::from("causal")),
        ]
        .into();
        let owned = OwnedParams::new(&params).unwrap();
        let owned = Box::new(owned);
        let list = owned.list();
        // SAFETY: the list of what was just marshalled.
        let items = unsafe { std::slice::from_raw_parts(list.items, list.count) };
        let seen: Vec<(String, i32, i64, f64, String)> = items
            .iter()
            .map(|p| (read(p.name), p.type_, p.integer, p.number, read(p.text)))
            .collect();
        assert_eq!(
            seen,
            [
                ("A".into(), 1, -3, -3.0, "-3".into()),
                ("B".into(), 0, 1, 0.0, "true".into()),
                ("C".into(), 2, 0, 0.5, "0.5".into()),
                ("D".into(), 3, 0, 0.0, "causal".into()),
            ]
        );
    }

    #[test]
    fn a_text_that_c_cannot_hold_is_refused() {
        let params = Params::from([("A".to_owned(), Value::from("x\0y"))]);
        assert!(matches!(OwnedParams::new(&params), Err(Error::Rejected(_))));
    }
}
