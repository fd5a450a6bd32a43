//! A conversation: one question, one answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use evo_plugin::Error;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::child::Started;
use crate::frame::{self, FrameError};
use crate::shared::{self, Region};

/// The processes that were told of memory of a GPU.
static ON_GPU: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

fn on_gpu() -> Vec<Arc<Connection>> {
    let mut list = ON_GPU.lock().unwrap_or_else(PoisonError::into_inner);
    list.retain(|connection| connection.strong_count() > 0);
    list.iter().filter_map(Weak::upgrade).collect()
}

/// How many processes that this one has started work on a GPU. They have opened its memory, so they
/// have a context there of their own.
pub fn processes_on_gpu() -> usize {
    let connections = on_gpu();
    let alive = |connection: &&Arc<Connection>| connection.state().broken.is_none();
    connections.iter().filter(alive).count()
}

/// Has every process close the memory of a GPU that is no longer shared: it may not be freed before.
pub(crate) fn close_device_memory(id: u64) {
    for connection in on_gpu() {
        let mut state = connection.state();
        if state.memories.contains(&id) {
            // An empty batch: any question tells which memories are gone. Where the process is
            // gone, so is what it had opened.
            let _ = state.ask("launch", json!({ "order": [], "launches": 0 }));
        }
    }
}

/// A process that was started, and what was said so far. Questions of several threads wait for
/// each other.
#[derive(Debug)]
pub(crate) struct Connection {
    state: Mutex<State>,
    next_object: AtomicU64,
}

#[derive(Debug)]
struct State {
    process: Started,
    next_id: u64,
    /// The shared memories that the other side was told of.
    memories: BTreeSet<u64>,
    /// Whether one of them is a GPU's.
    on_gpu: bool,
    /// Why there will be no more answers.
    broken: Option<String>,
}

impl Connection {
    pub(crate) fn new(process: Started) -> Self {
        Self {
            state: Mutex::new(State {
                process,
                next_id: 1,
                memories: BTreeSet::new(),
                on_gpu: false,
                broken: None,
            }),
            next_object: AtomicU64::new(1),
        }
    }

    /// A number for something that the other side will keep: an instance or an opened objective.
    pub(crate) fn new_object(&self) -> u64 {
        self.next_object.fetch_add(1, Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these memories the other side was not told of yet; it now is.
    pub(crate) fn new_memories<'r>(
        self: &Arc<Self>,
        regions: impl Iterator<Item = &'r Region>,
    ) -> BTreeSet<u64> {
        let mut state = self.state();
        let mut new = BTreeSet::new();
        for region in regions {
            if state.memories.insert(region.id) {
                new.insert(region.id);
                if region.is_on_device() && !state.on_gpu {
                    state.on_gpu = true;
                    let mut list = ON_GPU.lock().unwrap_or_else(PoisonError::into_inner);
                    list.push(Arc::downgrade(self));
                }
            }
        }
        new
    }

    /// Asks and waits for the answer. `fields` is a JSON object.
    ///
    /// # Errors
    /// What the other side answered instead, or [`Error::Crashed`] where there is no answer: the
    /// process is then gone for good.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        question: &str,
        fields: Value,
    ) -> Result<T, Error> {
        let mut state = self.state();
        let answer = state.ask(question, fields)?;
        drop(state);
        serde_json::from_value(Value::Object(answer)).map_err(|error| {
            Error::Failed(format!(
                "the process's answer to `{question}` cannot be used: {error}"
            ))
        })
    }
}

impl State {
    fn ask(&mut self, question: &str, fields: Value) -> Result<Map<String, Value>, Error> {
        if let Some(why) = &self.broken {
            return Err(Error::Crashed(why.clone()));
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut message = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        message.insert("ask".to_owned(), question.into());
        message.insert("id".to_owned(), id.into());
        let gone = shared::take_gone(&mut self.memories);
        if !gone.is_empty() {
            message.insert("forget".to_owned(), gone.into());
        }
        let process = &mut self.process;
        let exchanged = frame::write(&mut process.channel, &message)
            .and_then(|()| process.wait_for_answer())
            .and_then(|()| frame::read(&mut process.channel));
        match exchanged {
            // Nothing was sent: the other side is well.
            Err(error @ FrameError::Oversized(_)) => Err(Error::Failed(error.to_string())),
            Err(error) => Err(self.give_up(question, &error.to_string())),
            Ok(answer) => self.sort(question, id, answer),
        }
    }

    /// Takes an answer for what it says it is.
    fn sort(
        &mut self,
        question: &str,
        id: u64,
        answer: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        if answer.get("id").and_then(Value::as_u64) != Some(id) {
            let shown = answer.get("id").unwrap_or(&Value::Null);
            let what = format!("it answered with the id {shown} to a question with the id {id}");
            return Err(self.give_up(question, &what));
        }
        let text = |name: &str| {
            let value = answer.get(name).and_then(Value::as_str);
            self.process.with_own_paths(value.unwrap_or_default())
        };
        match answer.get("answer").and_then(Value::as_str) {
            Some(kind) if kind == question => Ok(answer),
            Some("error") => {
                let error = error_of(&text("kind"), text("message"), text("log"));
                let charge = answer.get("cost_s").and_then(Value::as_f64);
                Err(match charge {
                    Some(seconds) => error.at_cost(seconds),
                    None => error,
                })
            }
            other => {
                let what = format!("it answered with {other:?}");
                Err(self.give_up(question, &what))
            }
        }
    }

    /// Ends a process that no longer follows the protocol, or finds out how it ended.
    fn give_up(&mut self, question: &str, what: &str) -> Error {
        let found = self.process.post_mortem();
        let mut why = format!(
            "the process `{}` was asked to `{question}`, and {}",
            self.process.command,
            found.how.as_deref().unwrap_or(what)
        );
        if found.how.is_none() {
            why += " (it was killed)";
        }
        if let Some(hint) = found.hint {
            why = format!("{hint}\n{why}");
        }
        if !found.output.is_empty() {
            why = format!("{why}; the last that it printed:\n{}", found.output);
        }
        self.broken = Some(why.clone());
        Error::Crashed(why)
    }
}

/// The error of an answer `error`. A kind of a later version counts as a failure.
fn error_of(kind: &str, message: String, log: String) -> Error {
    match kind {
        "rejected" => Error::Rejected(message),
        "build_failed" => Error::BuildFailed { message, log },
        "out_of_memory" => Error::OutOfMemory(message),
        "wrong_result" => Error::WrongResult(message),
        "implausible" => Error::Implausible(message),
        _ => Error::Failed(message),
    }
}
