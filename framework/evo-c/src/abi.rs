//! The structures of `evo-plugin/include/evo_plugin.h`, in the same order. A test compiles the header
//! and compares every member's name, type, offset and size with what is here.
//!
//! Functions of a plugin are `C-unwind`: an exception that leaves one of them is a fault of the
//! plugin, and ends the process in a defined way. Every function pointer of a plugin is an
//! `Option`, and every other member a number or a raw pointer: all of them may be zero.

use std::ffi::{c_char, c_void};

use evo_plugin::abi::RawTensor;

/// `EVO_ABI_MAGIC`.
pub(crate) const MAGIC: u64 = 0x4556_4F5F_504C_5547;
/// `EVO_ABI_MAJOR`.
pub(crate) const MAJOR: u32 = 1;
/// `EVO_ABI_MINOR`.
pub(crate) const MINOR: u32 = 1;

/// Return codes.
pub(crate) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const REJECTED: i32 = 1;
    pub(crate) const BUILD_FAILED: i32 = 2;
    pub(crate) const OUT_OF_MEMORY: i32 = 3;
    pub(crate) const WRONG_RESULT: i32 = 4;
    pub(crate) const TIMED_OUT: i32 = 5;
    pub(crate) const IMPLAUSIBLE: i32 = 6;
    pub(crate) const FAILED: i32 = 7;
}

/// Types of a parameter.
pub(crate) mod kind {
    pub(crate) const BOOL: i32 = 0;
    pub(crate) const INT: i32 = 1;
    pub(crate) const FLOAT: i32 = 2;
    pub(crate) const NAME: i32 = 3;
}

/// A member of a structure, for the comparison with the header.
#[cfg(test)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) rust_type: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// A structure, for the comparison with the header.
#[cfg(test)]
pub(crate) struct Layout {
    pub(crate) c_name: &'static str,
    pub(crate) rust_name: &'static str,
    pub(crate) size: usize,
    pub(crate) members: Vec<Member>,
}

macro_rules! c_structs {
    ($(
        $(#[$meta:meta])*
        $c_name:ident = $name:ident { $($field:ident: $ty:ty,)* }
    )*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub(crate) struct $name { $(pub(crate) $field: $ty,)* }
        )*

        #[cfg(test)]
        pub(crate) fn layouts() -> Vec<Layout> {
            vec![$(Layout {
                c_name: stringify!($c_name),
                rust_name: stringify!($name),
                size: size_of::<$name>(),
                members: vec![$(Member {
                    name: stringify!($field),
                    rust_type: stringify!($ty),
                    offset: std::mem::offset_of!($name, $field),
                    size: size_of::<$ty>(),
                }),*],
            }),*]
        }
    };
}

c_structs! {
    /// A named value.
    evo_param = Param {
        name: *const c_char,
        type_: i32,
        integer: i64,
        number: f64,
        text: *const c_char,
    }

    /// Named values.
    evo_params = ParamList {
        items: *const Param,
        count: usize,
    }

    /// The device.
    evo_device = Device {
        struct_size: usize,
        kind: *const c_char,
        name: *const c_char,
        uuid: *const c_char,
        facts: ParamList,
    }

    /// A problem with all fields fixed.
    evo_spec = Spec {
        struct_size: usize,
        json: *const c_char,
        name: *const c_char,
        fields: ParamList,
        constants: ParamList,
    }

    /// What a kernel is asked to build or load.
    evo_request = Request {
        struct_size: usize,
        json: *const c_char,
        problem: *const Spec,
        device: *const Device,
        config: ParamList,
    }

    /// The buffers of a launch.
    evo_io = Io {
        struct_size: usize,
        inputs: *const RawTensor,
        input_count: usize,
        outputs: *const RawTensor,
        output_count: usize,
        workspace: *mut c_void,
        workspace_size: usize,
        stream: u64,
    }

    /// What the host offers to a function while it is called.
    evo_host = Host {
        struct_size: usize,
        context: *mut c_void,
        error: unsafe extern "C" fn(*const Host, *const c_char),
        log: unsafe extern "C" fn(*const Host, i32, *const c_char),
        write: unsafe extern "C" fn(*const Host, *const c_void, usize),
        metric: unsafe extern "C" fn(
            *const Host, *const c_char, *const c_char, i32, f64, *const f64, usize
        ),
        launch_param: unsafe extern "C" fn(*const Host, *const Param),
        cost: unsafe extern "C" fn(*const Host, f64),
    }

    /// A loaded kernel.
    evo_instance = Instance {
        struct_size: usize,
        kernel: *const Kernel,
        request: *const Request,
        artifact: *const c_void,
        artifact_size: usize,
        state: *mut c_void,
    }

    /// A kernel.
    evo_kernel = Kernel {
        struct_size: usize,
        info: *const c_char,
        space: *const c_char,
        accept: Option<
            unsafe extern "C-unwind" fn(*const Kernel, *const Request, *const Host) -> i32
        >,
        build: Option<
            unsafe extern "C-unwind" fn(*const Kernel, *const Request, *const Host) -> i32
        >,
        load: Option<unsafe extern "C-unwind" fn(*mut Instance, *const Host) -> i32>,
        unload: Option<unsafe extern "C-unwind" fn(*mut Instance)>,
        workspace_size: Option<
            unsafe extern "C-unwind" fn(*mut Instance, *mut usize, *const Host) -> i32
        >,
        bind: Option<unsafe extern "C-unwind" fn(*mut Instance, *const Io, *const Host) -> i32>,
        launch: Option<unsafe extern "C-unwind" fn(*mut Instance, *const Io, *const Host) -> i32>,
        prepare: Option<
            unsafe extern "C-unwind" fn(*mut Instance, *const RawTensor, usize, *const Host) -> i32
        >,
    }

    /// A problem.
    evo_problem = Problem {
        struct_size: usize,
        info: *const c_char,
        resolve: Option<
            unsafe extern "C-unwind" fn(*const Problem, *const ParamList, *const Host) -> i32
        >,
        fill: Option<
            unsafe extern "C-unwind" fn(
                *const Problem, *const Spec, u64, *const c_char, *const RawTensor, usize, *const Host
            ) -> i32
        >,
        reference: Option<
            unsafe extern "C-unwind" fn(
                *const Problem, *const Spec, *const RawTensor, usize, *const u64, usize,
                *const RawTensor, usize, *const Host
            ) -> i32
        >,
    }

    /// An objective with its settings.
    evo_evaluator = Evaluator {
        struct_size: usize,
        objective: *const Objective,
        settings: ParamList,
        state: *mut c_void,
    }

    /// An objective.
    evo_objective = Objective {
        struct_size: usize,
        info: *const c_char,
        space: *const c_char,
        open: Option<unsafe extern "C-unwind" fn(*mut Evaluator, *const Host) -> i32>,
        close: Option<unsafe extern "C-unwind" fn(*mut Evaluator)>,
        make_space: Option<unsafe extern "C-unwind" fn(*mut Evaluator, *const Host) -> i32>,
        evaluate: Option<
            unsafe extern "C-unwind" fn(*mut Evaluator, *const ParamList, *const Host) -> i32
        >,
    }

    /// A candidate that a profiler may launch.
    evo_runnable = Runnable {
        struct_size: usize,
        context: *mut c_void,
        request: *const Request,
        artifact: *const c_void,
        artifact_size: usize,
        launch: unsafe extern "C" fn(*const Runnable) -> i32,
    }

    /// A profiler.
    evo_profiler = Profiler {
        struct_size: usize,
        info: *const c_char,
        rules: *const c_char,
        probe: Option<
            unsafe extern "C-unwind" fn(*const Profiler, *const Device, *const Host) -> i32
        >,
        profile: Option<
            unsafe extern "C-unwind" fn(*const Profiler, *const Runnable, *const Host) -> i32
        >,
    }

    /// What a plugin exports.
    evo_plugin = Plugin {
        magic: u64,
        abi_major: u32,
        abi_minor: u32,
        struct_size: usize,
        name: *const c_char,
        version: *const c_char,
        doc: *const c_char,
        default_spec: *const c_char,
        kernels: *const *const Kernel,
        kernel_count: usize,
        problems: *const *const Problem,
        problem_count: usize,
        objectives: *const *const Objective,
        objective_count: usize,
        profilers: *const *const Profiler,
        profiler_count: usize,
    }
}
