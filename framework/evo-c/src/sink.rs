//! The host's side of a call: what a plugin says, logs and returns while it runs.

use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};

use evo_plugin::{Direction, Error, Metric, Params, Value};

use crate::abi::{self, code, kind};
use crate::function::{Function, Offer};
use crate::table;

/// Most bytes that one call may write.
const MOST_BYTES: usize = 1 << 30;
/// Most bytes of the log of one build.
const MOST_LOG: usize = 1 << 20;
/// Most bytes of one message.
const MOST_MESSAGE: usize = 1 << 16;
/// Most metrics or launch parameters of one call.
const MOST_ENTRIES: usize = 4096;
/// Most samples of one metric.
const MOST_SAMPLES: usize = 1 << 20;

/// What a call gave.
#[derive(Default)]
pub(crate) struct Returned {
    pub(crate) bytes: Vec<u8>,
    pub(crate) log: String,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) launch: Params,
    pub(crate) cost_s: Option<f64>,
}

struct State<'a> {
    function: Function,
    /// Plugin and component, in front of lines of the log.
    label: &'a str,
    told: Option<String>,
    /// The first misuse of the host: an error whatever the function returns.
    misuse: Option<Error>,
    returned: Returned,
}

/// Calls a function of a plugin with a host for this one call.
///
/// # Errors
/// What the function returned, with what it said.
pub(crate) fn call(
    function: Function,
    label: &str,
    body: impl FnOnce(*const abi::Host) -> i32,
) -> Result<Returned, Error> {
    let state = Mutex::new(State {
        function,
        label,
        told: None,
        misuse: None,
        returned: Returned::default(),
    });
    let host = abi::Host {
        struct_size: size_of::<abi::Host>(),
        context: (&raw const state).cast::<c_void>().cast_mut(),
        error,
        log,
        write,
        metric,
        launch_param,
        cost,
    };
    let code = body(&raw const host);
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    judge(state, code)
}

fn judge(state: State<'_>, code: i32) -> Result<Returned, Error> {
    let name = state.function.name();
    if code == code::OK {
        return match (state.misuse, state.told) {
            (Some(misuse), _) => Err(misuse),
            (None, Some(told)) => Err(Error::Failed(format!(
                "`{name}` reported an error and then returned EVO_OK: {told}"
            ))),
            (None, None) => Ok(state.returned),
        };
    }
    let message = state.told.unwrap_or_else(|| {
        format!("`{name}` returned the code {code} without a message (see evo_fail)")
    });
    let charge = state.returned.cost_s;
    let error = match code {
        code::REJECTED => Error::Rejected(message),
        code::BUILD_FAILED => Error::BuildFailed {
            message,
            log: state.returned.log,
        },
        code::OUT_OF_MEMORY => Error::OutOfMemory(message),
        code::WRONG_RESULT => Error::WrongResult(message),
        code::TIMED_OUT => match message.trim().parse() {
            Ok(seconds) => Error::TimedOut(seconds),
            Err(_) => Error::Failed(format!(
                "`{name}` returned EVO_TIMED_OUT, whose message must be the limit in whole \
                 seconds, but is `{message}`"
            )),
        },
        code::IMPLAUSIBLE => Error::Implausible(message),
        code::FAILED => Error::Failed(message),
        other => Error::Failed(format!(
            "`{name}` returned {other}, which is no code of evo_plugin.h: {message}"
        )),
    };
    Err(match charge {
        Some(seconds) => error.at_cost(seconds),
        None => error,
    })
}

/// Runs `change` on the state of the call; does nothing for a host that is none.
///
/// # Safety
/// `host` is null or the host of a call that has not returned.
unsafe fn with(host: *const abi::Host, change: impl FnOnce(&mut State<'_>)) {
    // SAFETY: handed on to the caller.
    let Some(host) = (unsafe { host.as_ref() }) else {
        return;
    };
    // SAFETY: `call` made the context, and it lives until the function has returned.
    let Some(state) = (unsafe { host.context.cast::<Mutex<State<'_>>>().as_ref() }) else {
        return;
    };
    change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
}

impl State<'_> {
    /// Notes the first misuse.
    fn misused(&mut self, error: Error) {
        self.misuse.get_or_insert(error);
    }

    /// Whether the function may use this; notes the misuse where not.
    fn may(&mut self, what: Offer, name: &str) -> bool {
        let may = self.function.may(what);
        if !may {
            let function = self.function.name();
            self.misused(Error::Failed(format!(
                "`{function}` called `{name}` of the host, which has no meaning there"
            )));
        }
        may
    }

    fn try_to(
        &mut self,
        what: Offer,
        name: &str,
        change: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) {
        if self.may(what, name)
            && let Err(error) = change(self)
        {
            self.misused(error);
        }
    }
}

/// A message for people: whatever it is, it is shown.
///
/// # Safety
/// Null, or bytes that end with a zero.
unsafe fn message(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "(the message is NULL)".to_owned();
    }
    // SAFETY: handed on to the caller.
    String::from_utf8_lossy(unsafe { table::bytes(pointer, MOST_MESSAGE) }).into_owned()
}

// SAFETY (of the functions below): `host` and the texts are what the header asks the plugin for.

unsafe extern "C" fn error(host: *const abi::Host, text: *const c_char) {
    // SAFETY: as above.
    unsafe {
        let text = message(text);
        with(host, |state| state.told = Some(text));
    }
}

unsafe extern "C" fn log(host: *const abi::Host, level: i32, text: *const c_char) {
    // SAFETY: as above.
    unsafe {
        let text = message(text);
        with(host, |state| {
            let prefix = match level {
                0 => "",
                1 => "warning: ",
                _ => "error: ",
            };
            if state.function == Function::Build {
                let log = &mut state.returned.log;
                if log.len() + text.len() < MOST_LOG {
                    log.push_str(prefix);
                    log.push_str(&text);
                    log.push('\n');
                }
            } else {
                eprintln!("{}: {prefix}{text}", state.label);
            }
        });
    }
}

unsafe extern "C" fn write(host: *const abi::Host, data: *const c_void, size: usize) {
    // SAFETY: as above.
    unsafe {
        with(host, |state| {
            state.try_to(Offer::Write, "write", |state| {
                let bytes = &mut state.returned.bytes;
                if size > MOST_BYTES - bytes.len() {
                    return Err(Error::Failed(format!(
                        "the plugin wrote {size} bytes after {}; at most {MOST_BYTES} are possible",
                        bytes.len()
                    )));
                }
                if size > 0 && data.is_null() {
                    return Err(Error::Failed(format!(
                        "the plugin wrote {size} bytes at NULL"
                    )));
                }
                if size > 0 {
                    bytes.extend_from_slice(std::slice::from_raw_parts(data.cast(), size));
                }
                Ok(())
            });
        });
    }
}

unsafe extern "C" fn metric(
    host: *const abi::Host,
    name: *const c_char,
    unit: *const c_char,
    direction: i32,
    value: f64,
    samples: *const f64,
    sample_count: usize,
) {
    // SAFETY: as above.
    unsafe {
        with(host, |state| {
            state.try_to(Offer::Metric, "metric", |state| {
                let name = table::required(name, "a metric's name")?;
                let unit = table::text(unit, "a metric's unit")?.unwrap_or_default();
                let samples = read_samples(&name, samples, sample_count)?;
                if state.returned.metrics.len() >= MOST_ENTRIES {
                    return Err(Error::Failed(format!("more than {MOST_ENTRIES} metrics")));
                }
                let direction = match direction {
                    0 => Direction::Lower,
                    1 => Direction::Higher,
                    2 => Direction::Info,
                    other => {
                        return Err(Error::Failed(format!(
                            "the metric `{name}` has the direction {other}; there are EVO_LOWER \
                             (0), EVO_HIGHER (1) and EVO_INFO (2)"
                        )));
                    }
                };
                let mut metric = Metric::new(&name, &unit, direction, value);
                metric.samples = samples;
                if !metric.is_finite() {
                    return Err(Error::Implausible(format!(
                        "the metric `{name}` is {value}, or has a sample, that is no finite number"
                    )));
                }
                state.returned.metrics.push(metric);
                Ok(())
            });
        });
    }
}

/// # Safety
/// Where `samples` is not null, `count` numbers must be readable there.
unsafe fn read_samples(name: &str, samples: *const f64, count: usize) -> Result<Vec<f64>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if samples.is_null() || !samples.is_aligned() || count > MOST_SAMPLES {
        return Err(Error::Failed(format!(
            "the metric `{name}` is said to have {count} samples at {samples:p}; at most \
             {MOST_SAMPLES} are possible"
        )));
    }
    // SAFETY: the caller promised so many numbers.
    Ok(unsafe { std::slice::from_raw_parts(samples, count) }.to_vec())
}

unsafe extern "C" fn launch_param(host: *const abi::Host, param: *const abi::Param) {
    // SAFETY: as above.
    unsafe {
        with(host, |state| {
            state.try_to(Offer::LaunchParam, "launch_param", |state| {
                let Some(param) = param.as_ref() else {
                    return Err(Error::Failed("a launch parameter is NULL".to_owned()));
                };
                if state.returned.launch.len() >= MOST_ENTRIES {
                    return Err(Error::Failed(format!(
                        "more than {MOST_ENTRIES} launch parameters"
                    )));
                }
                let name = table::required(param.name, "a launch parameter's name")?;
                let value = read_value(&name, param)?;
                state.returned.launch.insert(name, value);
                Ok(())
            });
        });
    }
}

/// # Safety
/// The text of a name must be null or end with a zero.
unsafe fn read_value(name: &str, param: &abi::Param) -> Result<Value, Error> {
    Ok(match param.type_ {
        kind::BOOL => Value::Bool(param.integer != 0),
        kind::INT => Value::Int(param.integer),
        kind::FLOAT if param.number.is_finite() => Value::Float(param.number),
        kind::FLOAT => {
            return Err(Error::Failed(format!(
                "the launch parameter `{name}` is {}, which is no finite number",
                param.number
            )));
        }
        kind::NAME => {
            // SAFETY: handed on to the caller.
            Value::Name(unsafe { table::required(param.text, &format!("`{name}`"))? })
        }
        other => {
            return Err(Error::Failed(format!(
                "the launch parameter `{name}` has the type {other}; there are EVO_BOOL (0), \
                 EVO_INT (1), EVO_FLOAT (2) and EVO_NAME (3)"
            )));
        }
    })
}

unsafe extern "C" fn cost(host: *const abi::Host, seconds: f64) {
    // SAFETY: as above.
    unsafe {
        with(host, |state| {
            state.try_to(Offer::Cost, "cost", |state| {
                if !seconds.is_finite() || seconds < 0.0 {
                    return Err(Error::Implausible(format!(
                        "the cost is {seconds} s, which is no duration"
                    )));
                }
                state.returned.cost_s = Some(seconds);
                Ok(())
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a call of `function` that does this and returns a code.
    fn of(
        function: Function,
        code: i32,
        body: impl FnOnce(*const abi::Host, &abi::Host),
    ) -> Result<Returned, Error> {
        call(function, "p/k", |host| {
            // SAFETY: the host of this call.
            body(host, unsafe { &*host });
            code
        })
    }

    #[test]
    fn codes_become_errors() {
        let say = |text: &'static std::ffi::CStr| {
            move |host: *const abi::Host, table: &abi::Host| {
                // SAFETY: the host of the call, and a text.
                unsafe { (table.error)(host, text.as_ptr()) }
            }
        };
        for (code, expected) in [
            (1, Error::Rejected("17".into())),
            (3, Error::OutOfMemory("17".into())),
            (4, Error::WrongResult("17".into())),
            (5, Error::TimedOut(17)),
            (6, Error::Implausible("17".into())),
            (7, Error::Failed("17".into())),
        ] {
            assert_eq!(
                of(Function::Evaluate, code, say(c"17")).err(),
                Some(expected)
            );
        }
        let charged = of(Function::Evaluate, 4, |host, table| {
            // SAFETY: the host of the call, and a text.
            unsafe {
                (table.cost)(host, 2.5);
                (table.error)(host, c"w".as_ptr());
            }
        });
        assert_eq!(
            charged.err(),
            Some(Error::WrongResult("w".into()).at_cost(2.5))
        );
        let text = |code, told| of(Function::Launch, code, told).err().unwrap().to_string();
        assert!(text(-9, say(c"m")).contains("`launch` returned -9, which is no code"));
        assert!(text(0, say(c"m")).contains("reported an error and then returned EVO_OK: m"));
        assert!(text(5, say(c"soon")).contains("must be the limit in whole seconds"));
        let silent = of(Function::Launch, 7, |_, _| {})
            .err()
            .unwrap()
            .to_string();
        assert_eq!(
            silent,
            "`launch` returned the code 7 without a message (see evo_fail)"
        );
    }

    #[test]
    fn a_build_returns_bytes_log_figures_and_launch_parameters() {
        let body = |host: *const abi::Host, table: &abi::Host| {
            let param = abi::Param {
                name: c"THREADS".as_ptr(),
                type_: kind::INT,
                integer: 4,
                number: 4.0,
                text: std::ptr::null(),
            };
            // SAFETY: the host of the call, and texts.
            unsafe {
                (table.write)(host, b"co".as_ptr().cast(), 2);
                (table.write)(host, b"de".as_ptr().cast(), 2);
                (table.log)(host, 1, c"unused variable".as_ptr());
                (table.metric)(
                    host,
                    c"registers".as_ptr(),
                    std::ptr::null(),
                    2,
                    32.0,
                    std::ptr::null(),
                    0,
                );
                (table.launch_param)(host, &raw const param);
            }
        };
        let returned = of(Function::Build, 0, body).ok().unwrap();
        assert_eq!(returned.bytes, b"code");
        assert_eq!(returned.log, "warning: unused variable\n");
        assert_eq!(returned.metrics[0].value, 32.0);
        assert_eq!(returned.launch["THREADS"], Value::Int(4));
        let failed = of(Function::Build, 2, body).err().unwrap();
        assert!(
            matches!(failed, Error::BuildFailed { log, .. } if log.contains("unused variable"))
        );
    }

    #[test]
    fn misuse_is_an_error_with_a_name() {
        let metric = |name: *const c_char, direction, value| {
            move |host: *const abi::Host, table: &abi::Host| {
                // SAFETY: the host of the call; the checks are what is tested.
                unsafe {
                    (table.metric)(
                        host,
                        name,
                        c"us".as_ptr(),
                        direction,
                        value,
                        std::ptr::null(),
                        0,
                    )
                }
            }
        };
        let name = c"time".as_ptr();
        let text = |function, body: &dyn Fn(*const abi::Host, &abi::Host)| {
            of(function, 0, body).err().unwrap().to_string()
        };
        for (function, body, expected) in [
            (
                Function::Launch,
                metric(name, 0, 1.0),
                "`launch` called `metric` of the host",
            ),
            (
                Function::Evaluate,
                metric(std::ptr::null(), 0, 1.0),
                "a metric's name is NULL",
            ),
            (Function::Evaluate, metric(name, 9, 1.0), "direction 9"),
            (
                Function::Evaluate,
                metric(name, 0, f64::NAN),
                "no finite number",
            ),
            (
                Function::Evaluate,
                metric(c"\xff".as_ptr(), 0, 1.0),
                "not UTF-8",
            ),
        ] {
            let error = text(function, &body);
            assert!(error.contains(expected), "{error}");
        }
        // SAFETY: the host of the call; the checks are what is tested.
        let huge = |host: *const abi::Host, table: &abi::Host| unsafe {
            (table.write)(host, std::ptr::null(), usize::MAX);
        };
        assert!(text(Function::Build, &huge).contains("at most 1073741824"));
        // SAFETY: as above.
        let null = |host: *const abi::Host, table: &abi::Host| unsafe {
            (table.write)(host, std::ptr::null(), 1);
        };
        assert!(text(Function::Build, &null).contains("1 bytes at NULL"));
        // SAFETY: as above.
        let negative = |host: *const abi::Host, table: &abi::Host| unsafe {
            (table.cost)(host, -1.0);
        };
        assert!(text(Function::Evaluate, &negative).contains("no duration"));
    }
}
