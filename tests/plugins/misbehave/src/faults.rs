//! The faults that need more than a wrong number.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use evo_plugin::{Error, Io};

/// What `late_write` waits before it writes.
const LATE: Duration = Duration::from_millis(15);

/// Faults that need no buffers.
pub(crate) fn before(mode: &str) -> Result<(), Error> {
    match mode {
        "panic" => panic!("planned: the launch panics"),
        "segfault" => {
            let nowhere = std::hint::black_box(std::ptr::null_mut::<u8>());
            // SAFETY: none: the write is meant to end the process.
            unsafe { nowhere.write_volatile(1) };
        }
        "abort" => std::process::abort(),
        "exit0" => std::process::exit(0),
        "hang" => loop {
            std::thread::sleep(Duration::from_millis(100));
        },
        "stack_overflow" => {
            std::hint::black_box(deeper(1));
        }
        "launch_error" => return Err(Error::Failed("planned: the launch fails".into())),
        "leaks_child" => leak_a_child()?,
        "closes_fds" => close_descriptors(),
        _ => {}
    }
    Ok(())
}

/// Faults that write where they should not.
pub(crate) fn after(mode: &str, io: &mut Io<'_>) -> Result<(), Error> {
    let y = io.output(0)?.into_mut_slice::<f32>()?;
    match mode {
        "out_of_bounds_after" => {
            let end = y.as_mut_ptr_range().end;
            // SAFETY: not in bounds, which is the fault; inside the framework's guard band.
            unsafe { end.write_volatile(1.0) };
        }
        "out_of_bounds_before" => {
            // SAFETY: not in bounds, which is the fault; inside the framework's guard band.
            unsafe { y.as_mut_ptr().sub(1).write_volatile(1.0) };
        }
        "mutates_input" => {
            let x = io.input(0)?.as_slice::<f32>()?;
            let last = x
                .as_ptr()
                .wrapping_add(x.len().saturating_sub(1))
                .cast_mut();
            // SAFETY: the memory is the framework's and writable; that it is an input is the fault.
            unsafe { last.write_volatile(last.read_volatile() + 1.0) };
        }
        _ => {}
    }
    Ok(())
}

/// Returns at once and writes the result a little later, from another thread.
pub(crate) fn write_later(io: &mut Io<'_>, result: Vec<f32>) -> Result<(), Error> {
    let y = io.output(0)?.into_mut_slice::<f32>()?;
    let address = y.as_mut_ptr() as usize;
    std::thread::spawn(move || {
        std::thread::sleep(LATE);
        let y = address as *mut f32;
        // SAFETY: the framework keeps the buffers of a kernel that failed; writing to them after
        // the launch is the fault.
        unsafe { y.copy_from_nonoverlapping(result.as_ptr(), result.len()) };
    });
    Ok(())
}

/// A megabyte of lines on standard output, and something that looks like a frame.
pub(crate) fn print_a_megabyte() {
    let line = "a plugin that prints and prints and prints and prints and prints\n";
    let text = line.repeat((1 << 20) / line.len());
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&[16, 0, 0, 0, 1, 2, 3, 4]);
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[allow(unconditional_recursion, reason = "to run out of stack is the purpose")]
fn deeper(depth: u64) -> u64 {
    let ballast = std::hint::black_box([depth; 512]);
    deeper(depth + 1) + ballast[(depth % 512) as usize]
}

/// A child in a session of its own that outlives this process.
fn leak_a_child() -> Result<(), Error> {
    let mut command = Command::new("sleep");
    command
        .arg("97.531")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: setsid is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    command
        .spawn()
        .map(|_| ())
        .map_err(|error| Error::Failed(format!("cannot start a child: {error}")))
}

/// Closes what a careless program takes for "all" descriptors.
fn close_descriptors() {
    for descriptor in 3..64 {
        // SAFETY: closing descriptors of others is the fault.
        unsafe { libc::close(descriptor) };
    }
}
