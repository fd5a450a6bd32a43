//! Memory that this process owns and another one can map: of the host, and of a GPU.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use serde_json::{Value, json};

use crate::connection::close_device_memory;

/// Zeroed memory in whole pages, readable and writable here and in every process that maps it.
///
/// While it exists, an address in it can be told to another process: it is in this process's table
/// of shared memories.
#[derive(Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    bytes: usize,
    id: u64,
    // Keeps the file open that the other side opens by its path.
    _file: OwnedFd,
}

// SAFETY: it owns its memory, like a boxed slice.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Memory of at least this many bytes, and at least one page; page-aligned.
    ///
    /// # Errors
    /// Where the system does not grant it.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = bytes
            .max(1)
            .checked_next_multiple_of(page)
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let file = memfd_create(
            "evo-buffer",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        ftruncate(&file, bytes as u64)?;
        // The other side can open the file and must not cut it: our own access would then fail.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping of a file that is as long as the mapping, at an address that the
        // system chooses; nothing else is touched.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        let base = NonNull::new(base.cast::<u8>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut table = table();
        let id = table.new_id();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let region = Region {
            id,
            bytes,
            place: Place::Host { path },
        };
        table.regions.insert(base.as_ptr() as usize, region);
        table.alive.insert(id);
        Ok(Self {
            base,
            bytes,
            id,
            _file: file,
        })
    }

    /// The first byte.
    pub fn pointer(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The number of bytes: what was asked for, rounded up to whole pages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        table().remove(self.base.as_ptr() as usize, self.id);
        // SAFETY: mapped in `new` with this length, and nobody uses it any more.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Memory of a GPU that was allocated elsewhere in this process, as long as it is shared.
///
/// While this exists, an address in the memory can be told to another process, as with
/// [`SharedMemory`]. Host and device share one range of addresses, so that one table holds both.
#[derive(Debug)]
pub struct SharedDeviceMemory {
    address: u64,
    id: u64,
}

impl SharedDeviceMemory {
    /// Shares an allocation: its address and size, the handle that another process opens (the 64
    /// bytes of a `CUipcMemHandle`), and the device's UUID.
    ///
    /// It must be dropped before the allocation is freed: CUDA does not define what happens to one
    /// that another process still has open, so that dropping this has all of them close it.
    pub fn new(address: u64, bytes: usize, handle: &[u8; 64], device: &str) -> Self {
        let mut table = table();
        let id = table.new_id();
        let region = Region {
            id,
            bytes,
            place: Place::Device {
                handle: BASE64.encode(handle),
                device: device.to_owned(),
            },
        };
        table.regions.insert(address as usize, region);
        table.alive.insert(id);
        Self { address, id }
    }
}

impl Drop for SharedDeviceMemory {
    fn drop(&mut self) {
        table().remove(self.address as usize, self.id);
        close_device_memory(self.id);
    }
}

/// A shared memory, as another process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    /// Never given twice, unlike the number of a descriptor.
    pub(crate) id: u64,
    pub(crate) bytes: usize,
    place: Place,
}

/// Where a shared memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// On the host: a file to map.
    Host { path: String },
    /// On the GPU with this UUID: a handle to open, in base64.
    Device { handle: String, device: String },
}

impl Region {
    /// Whether it is memory of a GPU.
    pub(crate) fn is_on_device(&self) -> bool {
        matches!(self.place, Place::Device { .. })
    }

    /// How the other side is told of it.
    pub(crate) fn document(&self) -> Value {
        let (id, bytes) = (self.id, self.bytes);
        match &self.place {
            Place::Host { path } => json!({ "id": id, "path": path, "bytes": bytes }),
            Place::Device { handle, device } => {
                json!({ "id": id, "cuda_ipc": handle, "device": device, "bytes": bytes })
            }
        }
    }
}

struct Table {
    /// By the address of the first byte.
    regions: BTreeMap<usize, Region>,
    alive: BTreeSet<u64>,
    last_id: u64,
}

impl Table {
    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn remove(&mut self, address: usize, id: u64) {
        self.regions.remove(&address);
        self.alive.remove(&id);
    }
}

fn table() -> MutexGuard<'static, Table> {
    static TABLE: Mutex<Table> = Mutex::new(Table {
        regions: BTreeMap::new(),
        alive: BTreeSet::new(),
        last_id: 0,
    });
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shared memory that a buffer lies in as a whole, and where in it.
pub(crate) fn locate(pointer: *const u8, bytes: usize) -> Option<(Region, usize)> {
    let address = pointer as usize;
    let table = table();
    let (base, region) = table.regions.range(..=address).next_back()?;
    let offset = address - base;
    let end = offset.checked_add(bytes)?;
    (end <= region.bytes).then(|| (region.clone(), offset))
}

/// Takes the memories that no longer exist out of a set, and returns them.
pub(crate) fn take_gone(known: &mut BTreeSet<u64>) -> Vec<u64> {
    let table = table();
    let gone: Vec<u64> = known.difference(&table.alive).copied().collect();
    known.retain(|id| table.alive.contains(id));
    gone
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_written_here_is_seen_through_the_path() {
        let memory = SharedMemory::new(5000).unwrap();
        assert_eq!(memory.bytes() % rustix::param::page_size(), 0);
        // SAFETY: inside the memory.
        unsafe { memory.pointer().add(4999).write(7) };
        let (region, offset) = locate(memory.pointer().wrapping_add(4990), 10).unwrap();
        assert_eq!((region.bytes, offset), (memory.bytes(), 4990));
        let mut read = [0; 10];
        let document = region.document();
        let file = fs::File::open(document["path"].as_str().unwrap()).unwrap();
        file.read_exact_at(&mut read, offset as u64).unwrap();
        assert_eq!(read, [0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn memory_of_a_gpu_is_told_by_its_handle_for_as_long_as_it_is_shared() {
        // An address that nothing on the host has: the upper half is the kernel's.
        let address = 0xffff_8000_0000_0000u64;
        let shared = SharedDeviceMemory::new(address, 4096, &[7; 64], "GPU-1");
        let (region, offset) = locate((address + 256) as *const u8, 100).unwrap();
        assert!(region.is_on_device());
        let document = region.document();
        assert_eq!(offset, 256);
        assert_eq!(document["device"], "GPU-1");
        assert_eq!(
            BASE64
                .decode(document["cuda_ipc"].as_str().unwrap())
                .unwrap(),
            [7; 64]
        );
        assert!(locate((address + 4000) as *const u8, 100).is_none());
        drop(shared);
        assert!(locate((address + 256) as *const u8, 100).is_none());
    }

    #[test]
    fn only_what_lies_inside_as_a_whole_is_found_and_only_while_it_exists() {
        let memory = SharedMemory::new(1).unwrap();
        let (pointer, bytes) = (memory.pointer(), memory.bytes());
        assert!(locate(pointer, bytes).is_some());
        assert!(locate(pointer, bytes + 1).is_none());
        assert!(locate(pointer, usize::MAX).is_none());
        let on_the_stack = 0u8;
        assert!(locate(&on_the_stack, 1).is_none());
        let mut known: BTreeSet<u64> = [memory.id].into();
        assert!(take_gone(&mut known).is_empty());
        let id = memory.id;
        drop(memory);
        assert_eq!(take_gone(&mut known), [id]);
        assert!(known.is_empty());
    }
}
