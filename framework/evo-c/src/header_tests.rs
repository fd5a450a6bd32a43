//! The header against the Rust definitions: a small program is generated and compiled by the system's
//! compiler, which checks the type of every member and prints sizes and offsets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use evo_plugin::abi::RawTensor;

use crate::abi::{self, Layout, Member};

fn current() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evo-plugin/include")
}

fn of_1_0() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/c/include_1_0")
}

/// Compiles as strictly as plugin authors may; the compiler's words where it refuses.
fn try_compile(
    language: &[&str],
    include: &Path,
    source: &Path,
    more: &[&str],
) -> Result<(), String> {
    let output = Command::new(language[0])
        .args(&language[1..])
        .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-I"])
        .arg(include)
        .arg(source)
        .args(more)
        .output()
        .expect("the tests need a C and a C++ compiler (cc, c++)");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn compile(language: &[&str], include: &Path, source: &Path, more: &[&str]) {
    if let Err(text) = try_compile(language, include, source, more) {
        panic!("{language:?}:\n{text}");
    }
}

const C11: [&str; 2] = ["cc", "-std=c11"];
const CPP17: [&str; 4] = ["c++", "-std=c++17", "-x", "c++"];

fn layouts() -> Vec<Layout> {
    let mut all = abi::layouts();
    macro_rules! member {
        ($field:ident: $ty:ty) => {
            Member {
                name: stringify!($field),
                rust_type: stringify!($ty),
                offset: offset_of!(RawTensor, $field),
                size: size_of::<$ty>(),
            }
        };
    }
    all.push(Layout {
        c_name: "evo_tensor",
        rust_name: "RawTensor",
        size: size_of::<RawTensor>(),
        members: vec![
            member!(data: *mut c_void),
            member!(device_type: i32),
            member!(device_id: i32),
            member!(ndim: i32),
            member!(dtype_code: u8),
            member!(dtype_bits: u8),
            member!(dtype_lanes: u16),
            member!(shape: *const i64),
            member!(strides: *const i64),
            member!(byte_offset: u64),
        ],
    });
    all
}

// Named by the list above; on the Rust side the data of a tensor are bytes.
#[allow(non_camel_case_types)]
type c_void = u8;

/// A Rust type in C.
fn c_type(rust: &str, names: &BTreeMap<&str, &str>) -> String {
    let rust: String = rust.split_whitespace().collect();
    let rust = rust
        .strip_prefix("Option<")
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(&rust);
    let function = ["unsafeextern\"C-unwind\"fn(", "unsafeextern\"C\"fn("]
        .iter()
        .find_map(|prefix| rust.strip_prefix(prefix));
    if let Some(function) = function {
        let (arguments, result) = function.rsplit_once(')').unwrap();
        let result = result.strip_prefix("->").unwrap_or("()");
        let arguments: Vec<String> = arguments
            .split(',')
            .filter(|argument| !argument.is_empty())
            .map(|argument| c_type(argument, names))
            .collect();
        return format!("{} (*)({})", c_type(result, names), arguments.join(", "));
    }
    if let Some(rest) = rust.strip_prefix("*const") {
        return format!("{} const *", c_type(rest, names));
    }
    if let Some(rest) = rust.strip_prefix("*mut") {
        return format!("{} *", c_type(rest, names));
    }
    let plain = match rust {
        "()" | "c_void" => "void",
        "c_char" => "char",
        "i32" => "int32_t",
        "i64" => "int64_t",
        "u8" => "uint8_t",
        "u16" => "uint16_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "f64" => "double",
        name => names[name],
    };
    plain.to_owned()
}

/// The structures of a header with the names of their members.
fn structures(header: &str) -> BTreeMap<String, Vec<String>> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    code.split("typedef struct ")
        .skip(1)
        .map(|text| {
            let (name, text) = text.split_once('{').unwrap();
            let (members, _) = text.split_once('}').unwrap();
            let members = members
                .split(';')
                .map(str::trim)
                .filter(|member| !member.is_empty())
                .map(|member| {
                    let name = match member.split_once("(*") {
                        Some((_, function)) => function.split(')').next().unwrap(),
                        None => member.rsplit([' ', '*']).next().unwrap(),
                    };
                    name.to_owned()
                })
                .collect();
            (name.trim().to_owned(), members)
        })
        .collect()
}

/// `type_` in Rust is `type` in C.
fn c_member(member: &Member) -> &str {
    member.name.trim_end_matches('_')
}

/// The layout that the compiler sees in a header, and what is expected of it.
fn compare(include: &Path) -> Result<(String, String), String> {
    let header = fs::read_to_string(include.join("evo_plugin.h")).unwrap();
    let structures = structures(&header);
    let layouts = layouts();
    let names: BTreeMap<&str, &str> = layouts
        .iter()
        .map(|layout| (layout.rust_name, layout.c_name))
        .collect();
    let mut program = String::from("#include \"evo_plugin.h\"\nint main(void) {\n");
    let mut expected = String::new();
    for layout in &layouts {
        let s = layout.c_name;
        let known = &structures[s];
        for member in layout
            .members
            .iter()
            .filter(|m| known.iter().any(|k| k == c_member(m)))
        {
            let m = c_member(member);
            let ty = c_type(member.rust_type, &names);
            writeln!(
                program,
                "_Static_assert(_Generic((((struct {s} *)0)->{m}), {ty}: 1, default: 0), \
                 \"{s}.{m} is not: {ty}\");\n\
                 printf(\"{s}.{m} %zu %zu\\n\", offsetof(struct {s}, {m}), \
                 sizeof(((struct {s} *)0)->{m}));"
            )
            .unwrap();
            writeln!(expected, "{s}.{m} {} {}", member.offset, member.size).unwrap();
        }
        let size = layout
            .members
            .iter()
            .filter(|m| known.iter().any(|k| k == c_member(m)))
            .map(|m| (m.offset + m.size).next_multiple_of(8))
            .max()
            .unwrap();
        writeln!(program, "printf(\"{s} %zu\\n\", sizeof(struct {s}));").unwrap();
        writeln!(expected, "{s} {size}").unwrap();
    }
    program.push_str("return 0;\n}\n");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("layout.c");
    let binary = folder.path().join("layout");
    fs::write(&source, program).unwrap();
    try_compile(&C11, include, &source, &["-o", binary.to_str().unwrap()])?;
    let output = Command::new(&binary).output().unwrap();
    Ok((String::from_utf8(output.stdout).unwrap(), expected))
}

#[test]
fn every_member_has_the_offset_size_and_type_that_rust_has() {
    let (seen, expected) = compare(&current()).unwrap();
    assert_eq!(seen, expected);
    for layout in layouts() {
        let last = layout.members.last().unwrap();
        assert_eq!(layout.size, (last.offset + last.size).next_multiple_of(8));
    }
}

#[test]
fn a_header_that_differs_is_noticed() {
    let header = fs::read_to_string(current().join("evo_plugin.h")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let compare_with = |old: &str, new: &str| {
        let changed = header.replacen(old, new, 1);
        assert_ne!(changed, header);
        fs::write(folder.path().join("evo_plugin.h"), changed).unwrap();
        compare(folder.path())
    };
    let error = compare_with("    int64_t integer;", "    uint64_t integer;").unwrap_err();
    assert!(
        error.contains("evo_param.integer is not: int64_t"),
        "{error}"
    );
    let error = compare_with(
        "int32_t (*bind)(evo_instance *instance, const",
        "int32_t (*bind)(evo_instance *instance,",
    );
    assert!(error.unwrap_err().contains("evo_kernel.bind is not"));
    let (seen, expected) =
        compare_with("    uint64_t magic;", "    uint64_t before, magic;").unwrap();
    assert_ne!(seen, expected);
}

#[test]
fn what_1_0_had_is_where_it_was() {
    let (seen, expected) = compare(&of_1_0()).unwrap();
    assert_eq!(seen, expected);
}

#[test]
fn header_and_rust_have_the_same_structures_and_members() {
    let header = fs::read_to_string(current().join("evo_plugin.h")).unwrap();
    let rust: BTreeMap<String, Vec<String>> = layouts()
        .iter()
        .map(|layout| {
            let members = layout.members.iter().map(|m| c_member(m).to_owned());
            (layout.c_name.to_owned(), members.collect())
        })
        .collect();
    assert_eq!(structures(&header), rust);
}

#[test]
fn what_came_after_1_0_is_at_the_end_and_is_known() {
    let read =
        |include: &Path| structures(&fs::read_to_string(include.join("evo_plugin.h")).unwrap());
    let (old, new) = (read(&of_1_0()), read(&current()));
    let mut added = Vec::new();
    for (name, members) in &new {
        let (kept, rest) = members.split_at(old[name].len());
        assert_eq!(kept, old[name], "{name}");
        added.extend(rest.iter().map(|member| format!("{name}.{member}")));
    }
    assert_eq!(added, ["evo_kernel.prepare"]);
    assert_eq!(
        (abi::MAJOR, abi::MINOR),
        (1, 1),
        "a new member is a new minor version"
    );
}

#[test]
fn constants_are_the_same() {
    let mut program = String::from("#include \"evo_plugin.h\"\n");
    for (name, value) in [
        ("EVO_OK", abi::code::OK),
        ("EVO_REJECTED", abi::code::REJECTED),
        ("EVO_BUILD_FAILED", abi::code::BUILD_FAILED),
        ("EVO_OUT_OF_MEMORY", abi::code::OUT_OF_MEMORY),
        ("EVO_WRONG_RESULT", abi::code::WRONG_RESULT),
        ("EVO_TIMED_OUT", abi::code::TIMED_OUT),
        ("EVO_IMPLAUSIBLE", abi::code::IMPLAUSIBLE),
        ("EVO_FAILED", abi::code::FAILED),
        ("EVO_BOOL", abi::kind::BOOL),
        ("EVO_INT", abi::kind::INT),
        ("EVO_FLOAT", abi::kind::FLOAT),
        ("EVO_NAME", abi::kind::NAME),
        ("EVO_DEVICE_CPU", evo_plugin::abi::DEVICE_CPU),
        ("EVO_ABI_MAJOR", abi::MAJOR as i32),
        ("EVO_ABI_MINOR", abi::MINOR as i32),
    ] {
        writeln!(program, "_Static_assert({name} == {value}, \"{name}\");").unwrap();
    }
    let magic = abi::MAGIC;
    writeln!(
        program,
        "_Static_assert(EVO_ABI_MAGIC == UINT64_C({magic}), \"magic\");"
    )
    .unwrap();
    for (code, dtype) in [
        ("EVO_CODE_INT", evo_plugin::Dtype::I32),
        ("EVO_CODE_UINT", evo_plugin::Dtype::U8),
        ("EVO_CODE_FLOAT", evo_plugin::Dtype::F16),
        ("EVO_CODE_BFLOAT", evo_plugin::Dtype::Bf16),
        ("EVO_CODE_F8E4M3", evo_plugin::Dtype::F8E4m3),
    ] {
        let (value, _) = evo_plugin::abi::dtype_code(dtype);
        writeln!(program, "_Static_assert({code} == {value}, \"{code}\");").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("constants.c");
    fs::write(&source, program).unwrap();
    compile(&C11, &current(), &source, &["-fsyntax-only"]);
}

/// Uses every helper of the header, in the common part of C and C++.
const HELPERS: &str = r#"
#include "evo_plugin.h"
static int32_t evaluate(evo_evaluator *evaluator, const evo_params *config, const evo_host *host) {
    int64_t integer;
    size_t size;
    double number;
    int flag;
    const char *name;
    evo_tensor tensor;
    uint64_t state = 17;
    (void)evaluator;
    memset(&tensor, 0, sizeof tensor);
    EVO_TRY(evo_int(host, config, "A", &integer));
    EVO_TRY(evo_size(host, config, "A", &size));
    EVO_TRY(evo_float(host, config, "B", &number));
    EVO_TRY(evo_bool(host, config, "C", &flag));
    EVO_TRY(evo_name(host, config, "D", &name));
    EVO_TRY(evo_write(host, "%s", EVO_TEXT({"a": [1, 2.5e-3, true], "b": "(x: \"y\")"})));
    evo_log(host, EVO_LOG_WARNING, "%d", flag);
    evo_metric(host, "m", "us", EVO_LOWER, number + evo_uniform(&state));
    evo_launch_int(host, "T", integer);
    if (evo_f32(&tensor) != NULL || evo_f64(&tensor) != NULL || evo_elements(&tensor) != size ||
        evo_row(&tensor) != 1 || evo_data(&tensor) != NULL) {
        return evo_fail(host, EVO_FAILED, "%s", name);
    }
    return EVO_OK;
}
int32_t (*use)(evo_evaluator *, const evo_params *, const evo_host *) = evaluate;
"#;

#[test]
fn the_header_compiles_without_a_warning_as_c11_and_cpp17() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("helpers.c");
    fs::write(&source, HELPERS).unwrap();
    let include = current();
    for language in [
        &C11[..],
        &["cc", "-std=c17"],
        &CPP17,
        &["c++", "-std=c++20", "-x", "c++"],
    ] {
        compile(
            language,
            &include,
            &source,
            &["-fsyntax-only", "-Wshadow", "-Wconversion"],
        );
    }
    // A plugin may include the header twice, and be compiled without optimisation or with it.
    fs::write(&source, format!("{HELPERS}#include \"evo_plugin.h\"\n")).unwrap();
    let object = folder.path().join("helpers.o");
    for level in ["-O0", "-O3"] {
        compile(
            &C11,
            &include,
            &source,
            &[level, "-c", "-o", object.to_str().unwrap()],
        );
    }
}
