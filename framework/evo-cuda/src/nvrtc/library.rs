//! The functions of NVRTC, bound by hand.
//!
//! `cudarc` opens NVRTC by name alone, without a way to say where it is, and finds the wheels of a
//! Python environment only through `LD_LIBRARY_PATH`. These dozen functions have not changed since
//! CUDA 11.1; binding them to a library opened by its path is simpler than teaching the loader.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// `nvrtcResult`; zero is success.
pub(super) type Code = c_int;
/// The code of a source that does not compile.
pub(super) const COMPILATION: Code = 6;
/// The code of an option that NVRTC does not know.
pub(super) const INVALID_OPTION: Code = 5;

#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}
type Handle = *mut Opaque;

macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// NVRTC's functions. The library stays open for the life of the process.
        pub(super) struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                $(
                    // SAFETY: the signature is that of NVRTC's header, for all its versions.
                    let $name = unsafe {
                        *library.get::<unsafe extern "C" fn($($argument),*) -> $result>($symbol)?
                    };
                )*
                Ok(Self { $($name),* })
            }
        }
    };
}

functions! {
    version = b"nvrtcVersion\0": fn(*mut c_int, *mut c_int) -> Code;
    error_string = b"nvrtcGetErrorString\0": fn(Code) -> *const c_char;
    create = b"nvrtcCreateProgram\0": fn(
        *mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
    ) -> Code;
    destroy = b"nvrtcDestroyProgram\0": fn(*mut Handle) -> Code;
    compile = b"nvrtcCompileProgram\0": fn(Handle, c_int, *const *const c_char) -> Code;
    log_size = b"nvrtcGetProgramLogSize\0": fn(Handle, *mut usize) -> Code;
    log = b"nvrtcGetProgramLog\0": fn(Handle, *mut c_char) -> Code;
    cubin_size = b"nvrtcGetCUBINSize\0": fn(Handle, *mut usize) -> Code;
    cubin = b"nvrtcGetCUBIN\0": fn(Handle, *mut c_char) -> Code;
    add_name = b"nvrtcAddNameExpression\0": fn(Handle, *const c_char) -> Code;
    lowered_name = b"nvrtcGetLoweredName\0": fn(Handle, *const c_char, *mut *const c_char) -> Code;
}

/// Opens NVRTC and the library of built-in headers beside it, which NVRTC would look for by name.
///
/// # Errors
/// Why the loader or the library refuses, for people.
pub(super) fn open(path: &Path) -> Result<Functions, String> {
    // NVRTC's own `dlopen` of it finds one that is loaded already. A library without a separate
    // one (static builds) works without it, so a failure shows where it matters: at a compile.
    let builtins = builtins_beside(path);
    if let Some(builtins) = &builtins
        && let Ok(library) = open_one(builtins)
    {
        std::mem::forget(library);
    }
    let library = open_one(path).map_err(|error| with_causes(&error))?;
    let functions = Functions::of(&library).map_err(|error| with_causes(&error))?;
    // Never closed: the functions point into it.
    std::mem::forget(library);
    Ok(functions)
}

fn open_one(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: initialisers of NVIDIA's libraries; nothing of ours depends on them.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// `libnvrtc-builtins.so.<version>` in the folder of the library.
fn builtins_beside(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            name.starts_with("libnvrtc-builtins.so.")
        })
        .collect();
    found.sort();
    found.pop()
}

/// The file that a library loaded by name came from.
pub(super) fn loaded_from(name: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.contains(name))?;
    line.find('/')
        .and_then(|at| line.get(at..))
        .map(PathBuf::from)
}

impl Functions {
    /// Major and minor version.
    pub(super) fn version(&self) -> Result<(i32, i32), Code> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both point to integers.
        done(unsafe { (self.version)(&raw mut major, &raw mut minor) })?;
        Ok((major, minor))
    }

    /// NVRTC's name of a code.
    pub(super) fn describe(&self, code: Code) -> String {
        // SAFETY: any code may be asked about; the text is static.
        let text = unsafe { (self.error_string)(code) };
        if text.is_null() {
            return format!("code {code}");
        }
        // SAFETY: a static text that ends in a zero.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    }
}

fn done(code: Code) -> Result<(), Code> {
    if code == 0 { Ok(()) } else { Err(code) }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

fn count(texts: &[CString]) -> Result<c_int, Code> {
    c_int::try_from(texts.len()).map_err(|_| INVALID_OPTION)
}

/// One program under compilation.
pub(super) struct Program<'a> {
    functions: &'a Functions,
    handle: Handle,
}

impl<'a> Program<'a> {
    pub(super) fn new(
        functions: &'a Functions,
        name: &CString,
        source: &CString,
        headers: &[(CString, CString)],
    ) -> Result<Self, Code> {
        let (names, texts): (Vec<_>, Vec<_>) = headers.iter().cloned().unzip();
        let mut handle = std::ptr::null_mut();
        // SAFETY: all texts end in a zero and outlive the call, which copies them.
        done(unsafe {
            (functions.create)(
                &raw mut handle,
                source.as_ptr(),
                name.as_ptr(),
                count(&names)?,
                pointers(&texts).as_ptr(),
                pointers(&names).as_ptr(),
            )
        })?;
        Ok(Self { functions, handle })
    }

    pub(super) fn add_name(&self, expression: &CString) -> Result<(), Code> {
        // SAFETY: the handle is that of a program; the text is copied.
        done(unsafe { (self.functions.add_name)(self.handle, expression.as_ptr()) })
    }

    pub(super) fn compile(&self, options: &[CString]) -> Result<(), Code> {
        // SAFETY: as above.
        done(unsafe {
            (self.functions.compile)(self.handle, count(options)?, pointers(options).as_ptr())
        })
    }

    /// The symbol that a name expression became.
    pub(super) fn lowered_name(&self, expression: &CString) -> Result<String, Code> {
        let mut text = std::ptr::null();
        // SAFETY: as above; the text lives as long as the program.
        unsafe {
            done((self.functions.lowered_name)(
                self.handle,
                expression.as_ptr(),
                &raw mut text,
            ))?;
            Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    pub(super) fn log(&self) -> Result<String, Code> {
        let bytes = self.take(self.functions.log_size, self.functions.log)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    pub(super) fn cubin(&self) -> Result<Vec<u8>, Code> {
        self.take(self.functions.cubin_size, self.functions.cubin)
    }

    fn take(
        &self,
        size: unsafe extern "C" fn(Handle, *mut usize) -> Code,
        read: unsafe extern "C" fn(Handle, *mut c_char) -> Code,
    ) -> Result<Vec<u8>, Code> {
        let mut bytes = 0;
        // SAFETY: the handle is that of a program, and `bytes` an integer of its size.
        done(unsafe { size(self.handle, &raw mut bytes) })?;
        let mut content = vec![0u8; bytes];
        // SAFETY: `content` has the size that NVRTC said it will write.
        done(unsafe { read(self.handle, content.as_mut_ptr().cast()) })?;
        Ok(content)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `create`, destroyed once.
        let _ = unsafe { (self.functions.destroy)(&raw mut self.handle) };
    }
}
