//! `NAME.kernel.ron`: a kernel that is a source file, described so that no host code is needed.
//!
//! `framework/evo-bundle/KERNEL.md` describes the file for its authors.

mod check;
mod expr;
mod fields;
mod files;
mod parts;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use evo_types::{CachePolicy, Dtype, Params, Value};
use serde::Deserialize;

use crate::GatherError as Error;
use crate::document::{Document, Fault, Raw};

pub use crate::document::{Entries, Text};
pub use expr::Expr;
pub use fields::Field;
pub(crate) use files::gather;
pub use files::{MOST_LEVELS_UP, levels_up};

/// The language of a kernel's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// C, through the system's compiler.
    C,
    /// C++, through the system's compiler.
    Cpp,
    /// CUDA C++, through NVRTC.
    Cuda,
}

/// One argument of the entry, in the order of the call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Argument {
    /// A tensor that the kernel reads.
    Input {
        /// Its name.
        name: Text,
        /// Its element type.
        dtype: Dtype,
        /// The extent of each dimension, slowest first.
        shape: Vec<Expr>,
        /// Bounds of its values, both included: for integers that are indices, say.
        #[serde(default)]
        range: Option<(Expr, Expr)>,
    },
    /// A tensor that the kernel writes, every element of it.
    Output {
        /// Its name.
        name: Text,
        /// Its element type.
        dtype: Dtype,
        /// The extent of each dimension, slowest first.
        shape: Vec<Expr>,
    },
    /// A tensor of a problem that is defined elsewhere.
    Tensor(Text),
    /// A number.
    Scalar {
        /// Its type in C, such as `int` or `size_t`.
        #[serde(rename = "type")]
        kind: Text,
        /// Its value.
        value: Expr,
    },
    /// Scratch memory of the kernel's own.
    Workspace {
        /// Its size.
        bytes: Expr,
    },
}

/// A compiler flag.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// The flag; `{NAME}` stands for the value of a parameter, field or constant.
    pub text: Text,
    /// Given only where this holds.
    pub when: Option<Expr>,
}

/// How a CUDA kernel is launched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Blocks in x, y and z; what is left out is 1.
    pub grid: Vec<Expr>,
    /// Threads of a block in x, y and z; what is left out is 1.
    pub block: Vec<Expr>,
    /// Bytes of dynamic shared memory.
    #[serde(default)]
    pub shared: Option<Expr>,
    /// Blocks of a cluster in x, y and z.
    #[serde(default)]
    pub cluster: Vec<Expr>,
}

/// What is right.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reference {
    /// A function in C or C++ that computes the outputs in double precision.
    Function {
        /// The file that it is in.
        source: Text,
        /// Its name.
        symbol: Text,
        /// Whether it takes two more arguments, `long first, long last`, and computes the rows
        /// from `first` up to, not including, `last` of every output.
        #[serde(default)]
        by_rows: bool,
        /// Macros for its compilation.
        #[serde(default)]
        defines: Entries<Expr>,
    },
    /// Inputs and outputs in files.
    Expected(Vec<Case>),
}

/// Inputs in files, with the right outputs for them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The fields that differ from their defaults.
    #[serde(default)]
    pub fields: Entries<Value>,
    /// The file of each input.
    pub inputs: Entries<Text>,
    /// The file of each output.
    pub outputs: Entries<Text>,
}

/// The problem that a kernel solves: one defined here, or the name of another.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// Defined elsewhere: by the built-in plugin, or another plugin of the run.
    Named(Text),
    /// Defined here, under the name of the kernel.
    Own(Box<OwnProblem>),
}

/// A problem that the description itself defines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnProblem {
    /// What a run may set: extents and other choices.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Named values; each may use the fields and the constants before it.
    #[serde(default)]
    pub constants: Entries<Expr>,
    /// What is right.
    pub reference: Reference,
    /// The gates that differ from those of the element type, by output.
    #[serde(default)]
    pub gates: Entries<f64>,
    /// Floating-point operations of one execution.
    pub flops: Expr,
    /// Bytes that any execution has to move; each input and output once, if left out.
    #[serde(default)]
    pub bytes: Option<Expr>,
    /// What the caches hold when a timed launch begins.
    #[serde(default = "rotate")]
    pub cache: CachePolicy,
    /// Changes to the fields on which a candidate is verified too; derived if left out.
    #[serde(default)]
    pub extra_shapes: Option<Vec<Entries<Value>>>,
}

fn rotate() -> CachePolicy {
    CachePolicy::Rotate
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Kernel")]
struct Written {
    #[serde(default)]
    doc: String,
    language: Language,
    sources: Vec<Text>,
    #[serde(default)]
    headers: Vec<Text>,
    entry: Text,
    #[serde(default)]
    space: Option<Raw>,
    #[serde(default)]
    runtime: Vec<Text>,
    #[serde(default)]
    defines: Entries<Expr>,
    #[serde(default)]
    template: Vec<Expr>,
    #[serde(default)]
    placeholders: Entries<Expr>,
    #[serde(default)]
    flags: Vec<Flag>,
    arguments: ArgumentList,
    #[serde(default)]
    launch: Option<Launch>,
    problem: Problem,
    #[serde(default = "yes")]
    deterministic: bool,
}

fn yes() -> bool {
    true
}

/// The arguments, with the place of the list.
#[derive(Debug)]
struct ArgumentList(Vec<(Argument, usize)>);

/// A checked description of a source-only kernel.
#[derive(Debug, Clone)]
pub struct Description {
    document: Document,
    /// The kernel's name: that of its file.
    pub name: String,
    /// One sentence for people; may be empty.
    pub doc: String,
    /// The language of the sources.
    pub language: Language,
    /// The sources; the entry is in the first.
    pub sources: Vec<Text>,
    /// Files that are there for the sources to include.
    pub headers: Vec<Text>,
    /// The function that is called.
    pub entry: Text,
    /// The search space as RON, with its lines where they are in the description, or the text of
    /// the file that it names.
    pub space: Option<String>,
    /// The file that the space is in, where it is not inline.
    pub space_file: Option<String>,
    /// The parameters of the space.
    pub params: Vec<Param>,
    /// Macros beside those of the parameters.
    pub defines: Entries<Expr>,
    /// Template arguments of the entry.
    pub template: Vec<Expr>,
    /// What `{{NAME}}` in the sources stands for.
    pub placeholders: Entries<Expr>,
    /// Flags for the compiler.
    pub flags: Vec<Flag>,
    /// The arguments in the order of the call.
    pub arguments: Vec<Argument>,
    /// The line of each argument in the description.
    pub argument_lines: Vec<usize>,
    /// How it is launched; for CUDA only.
    pub launch: Option<Launch>,
    /// The problem that it solves.
    pub problem: Problem,
    /// Whether two launches on the same inputs agree bit by bit.
    pub deterministic: bool,
}

/// A parameter of the kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// One sentence for people; may be empty.
    pub doc: String,
    /// The value where a configuration does not set it.
    pub default: Value,
    /// Whether it acts at launch only.
    pub runtime: bool,
    /// Whether it reaches the compiler as a macro of its own name.
    pub defined: bool,
}

impl Description {
    /// Reads and checks a description; `read` gives the text of a file that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, with file, line and column.
    pub fn parse(
        text: &str,
        file: &str,
        name: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Error> {
        let document = Document::new(text, file);
        let written: Written = document.parse()?;
        check::description(document, name, written, read)
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// What is wrong with it, at its place in the description.
    pub fn evaluate(&self, expr: &Expr, values: &Params) -> Result<Value, Error> {
        expr.evaluate(values)
            .map_err(|fault| self.document.error(&[fault]))
    }

    /// A flag with its placeholders filled in; `None` where its condition does not hold.
    ///
    /// # Errors
    /// What is wrong with it, at its place in the description.
    pub fn flag(&self, flag: &Flag, values: &Params) -> Result<Option<String>, Error> {
        let given = match &flag.when {
            Some(when) => self.evaluate(when, values)? == Value::Bool(true),
            None => true,
        };
        if !given {
            return Ok(None);
        }
        let mut text = flag.text.value.clone();
        for (start, end) in check::braces(&flag.text.value).into_iter().rev() {
            let name = text.get(start + 1..end - 1).unwrap_or_default().to_owned();
            let Some(value) = values.get(&name) else {
                let fault = Fault::new(
                    flag.text.within(start + 1, end - 1),
                    format!("the flag needs `{name}`, which has no value here"),
                );
                return Err(self.document.error(&[fault]));
            };
            text.replace_range(start..end, &value.to_string());
        }
        Ok(Some(text))
    }

    /// An error at the place of a text of this description.
    pub fn fault(&self, text: &Text, message: impl Into<String>) -> Error {
        let fault = Fault::new(text.place.clone(), message);
        self.document.error(&[fault])
    }

    /// The description's file, as messages name it.
    pub fn file(&self) -> &str {
        &self.document.file
    }

    /// The problem, where it is defined here.
    pub fn own_problem(&self) -> Option<&OwnProblem> {
        match &self.problem {
            Problem::Own(own) => Some(own),
            Problem::Named(_) => None,
        }
    }

    /// The name of the problem that the kernel solves.
    pub fn problem_name(&self) -> &str {
        match &self.problem {
            Problem::Own(_) => &self.name,
            Problem::Named(name) => &name.value,
        }
    }

    /// The names that depend on the configuration or the device: what a problem, and a reference,
    /// cannot know.
    pub fn names_of_candidates(&self) -> BTreeSet<&str> {
        let params = self.params.iter().map(|param| param.name.as_str());
        params.chain(check::FACTS).collect()
    }
}
