//! The few lines of C that call the entry: they take all arguments as 64-bit words, so that any
//! signature is called in the same way.

use std::fmt::Write as _;

use evo_bundle::source::{Description, Language};
use evo_plugin::Dtype;

use crate::call::Slot;
use crate::kernel::Job;

/// The symbol that every library exports.
pub(crate) const SYMBOL: &str = "evo_call";

/// How tensors reach the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointers {
    /// As pointers to their own element type.
    Typed,
    /// As pointers to double: the reference.
    Double,
}

/// The shim of one function.
#[derive(Debug, Clone)]
pub(crate) struct Shim {
    pub(crate) language: Language,
    pub(crate) text: String,
}

impl Shim {
    /// The shim of a candidate.
    pub(crate) fn of_kernel(description: &Description, job: &Job) -> Self {
        let source = description.sources.first().map_or("", |text| &text.value);
        let arguments = job.call.slots.iter().zip(&description.argument_lines);
        let arguments: Vec<(Slot, Option<usize>)> =
            arguments.map(|(slot, line)| (*slot, Some(*line))).collect();
        Self::new(
            description.language,
            source,
            &job.rendered.entry,
            &arguments,
            Pointers::Typed,
            description.file(),
        )
    }

    /// A shim that includes a source and calls a function in it. Where an argument has a line,
    /// the compiler names it in what it says of the argument.
    pub(crate) fn new(
        language: Language,
        source: &str,
        entry: &str,
        arguments: &[(Slot, Option<usize>)],
        pointers: Pointers,
        file: &str,
    ) -> Self {
        let file = file_name(file);
        let mut text = format!("#include \"{source}\"\n");
        let cpp = language != Language::C;
        if cpp {
            text.push_str(CPP_POINTER);
            text.push_str("extern \"C\" ");
        } else {
            text.push_str(C_STRICT);
        }
        let noexcept = if cpp { " noexcept" } else { "" };
        let _ = write!(
            text,
            "__attribute__((visibility(\"default\"))) void {SYMBOL}(unsigned long long \
             *evo_words){noexcept}\n{{\n"
        );
        let first_line = arguments.iter().find_map(|(_, line)| *line);
        if let Some(line) = first_line {
            let _ = writeln!(text, "#line {line} \"{file}\"");
        }
        let _ = writeln!(text, "    {entry}(");
        for (index, (slot, line)) in arguments.iter().enumerate() {
            if let Some(line) = line {
                let _ = writeln!(text, "#line {line} \"{file}\"");
            }
            let comma = if index + 1 < arguments.len() { "," } else { "" };
            let value = argument(index, *slot, cpp, pointers);
            let _ = writeln!(text, "        {value}{comma}");
        }
        text.push_str("    );\n}\n");
        Self { language, text }
    }
}

/// Wrong types of arguments are errors, whatever the compiler's age.
const C_STRICT: &str = "#pragma GCC diagnostic error \"-Wincompatible-pointer-types\"\n\
                        #pragma GCC diagnostic error \"-Wint-conversion\"\n\
                        #pragma GCC diagnostic error \"-Wimplicit-function-declaration\"\n";

/// A pointer to a type that C++ has no one name for: it becomes what the function wants.
const CPP_POINTER: &str = "namespace { struct evo_pointer { void *address; template <class T> \
                           operator T *() const { return static_cast<T *>(address); } }; }\n";

fn argument(index: usize, slot: Slot, cpp: bool, pointers: Pointers) -> String {
    let word = format!("evo_words[{index}]");
    let dtype = match slot {
        Slot::Scalar(kind, _) => {
            // The built-in macros need no header, which the source may not have included.
            let name = match kind.c_name() {
                "bool" if !cpp => "_Bool",
                "int32_t" => "__INT32_TYPE__",
                "uint32_t" => "__UINT32_TYPE__",
                "int64_t" => "__INT64_TYPE__",
                "uint64_t" => "__UINT64_TYPE__",
                other => other,
            };
            return format!("*({name} *)&{word}");
        }
        Slot::Workspace => None,
        Slot::Input(_, dtype) | Slot::Output(_, dtype) => Some(dtype),
    };
    let pointee = match (pointers, dtype) {
        (Pointers::Double, Some(_)) | (_, Some(Dtype::F64)) => Some("double"),
        (_, Some(Dtype::F32)) => Some("float"),
        (_, Some(Dtype::I32)) => Some("__INT32_TYPE__"),
        // `char`, `signed char` or a type of the author's own.
        (_, Some(Dtype::I8 | Dtype::U8)) => None,
        // `long` and `long long` are two types of the same size; 16-bit floats have many names.
        (_, Some(Dtype::I64 | Dtype::F16 | Dtype::Bf16 | Dtype::F8E4m3) | None) => None,
    };
    match pointee {
        Some(pointee) => format!("({pointee} *){word}"),
        None if cpp => format!("evo_pointer{{(void *){word}}}"),
        None => format!("(void *){word}"),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use evo_bundle::ScalarType;

    use super::*;

    #[test]
    fn the_shim_calls_with_every_argument_in_its_type() {
        let arguments = [
            (Slot::Input(0, Dtype::F32), Some(7)),
            (Slot::Output(0, Dtype::F16), Some(8)),
            (Slot::Scalar(ScalarType::I32, 0), Some(9)),
            (Slot::Workspace, Some(10)),
        ];
        let shim = Shim::new(
            Language::C,
            "x.c",
            "run",
            &arguments,
            Pointers::Typed,
            "x.kernel.ron",
        );
        let call: Vec<&str> = shim
            .text
            .lines()
            .skip_while(|line| !line.contains("run("))
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(
            call,
            [
                "    run(",
                "        (float *)evo_words[0],",
                "        (void *)evo_words[1],",
                "        *(__INT32_TYPE__ *)&evo_words[2],",
                "        (void *)evo_words[3]",
                "    );",
                "}",
            ]
        );
        assert!(shim.text.contains("#line 8 \"x.kernel.ron\""));
    }
}
