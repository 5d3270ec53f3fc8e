//! The four calls to the kernel that no safe binding offers: make a group, mark a file system, name a
//! directory by a handle, open what a handle names.
//!
//! This is the only file of unsafe code. What the kernel writes is read elsewhere, in safe code.
#![expect(unsafe_code, reason = "no crate binds fanotify with names together with file handles")]

use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

/// What is heard: no opens, no reads and no closes after reading, so that neither a web server nor
/// our own digests make events. MODIFY is heard beside `CLOSE_WRITE` because a truncation by path,
/// and a writer that keeps its file open, say nothing else; the kernel merges repeated ones.
const MASK: u64 = libc::FAN_CLOSE_WRITE
    | libc::FAN_MODIFY
    | libc::FAN_ATTRIB
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_ONDIR;

/// The longest file handle, in bytes: `MAX_HANDLE_SZ` of `name_to_handle_at(2)`.
pub(super) const MAX_HANDLE: u8 = 128;

/// A file handle as the kernel lays it out, with room for the longest.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    length: c_uint,
    kind: c_int,
    bytes: [u8; MAX_HANDLE as usize],
}

impl Handle {
    /// Takes a handle's type and bytes; nothing when they are more than a handle may have.
    pub(super) fn new(kind: c_int, bytes: &[u8]) -> Option<Self> {
        let mut handle = Self {
            length: c_uint::try_from(bytes.len()).ok()?,
            kind,
            bytes: [0; MAX_HANDLE as usize],
        };
        handle.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(handle)
    }

    fn as_kernel(&mut self) -> *mut libc::file_handle {
        ptr::from_mut(self).cast()
    }
}

/// Makes a group that reports directories by handle and what is in them by name, and whose queue
/// has no end but the memory.
pub(super) fn group() -> io::Result<OwnedFd> {
    let flags = libc::FAN_CLASS_NOTIF
        | libc::FAN_REPORT_DFID_NAME
        | libc::FAN_CLOEXEC
        | libc::FAN_NONBLOCK
        | libc::FAN_UNLIMITED_QUEUE;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    owned(unsafe { libc::fanotify_init(flags, 0) })
}

/// Marks the file system that a directory lies on, or takes the mark away.
pub(super) fn mark(group: impl AsFd, directory: impl AsFd, add: bool) -> io::Result<()> {
    let change = if add { libc::FAN_MARK_ADD } else { libc::FAN_MARK_REMOVE };
    let (group, directory) = (group.as_fd().as_raw_fd(), directory.as_fd().as_raw_fd());
    let flags = change | libc::FAN_MARK_FILESYSTEM;
    // SAFETY: both descriptors are open for the length of the call; a null path means the directory
    // itself, and no other memory is touched.
    match unsafe { libc::fanotify_mark(group, flags, MASK, directory, ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the handle of a directory.
pub(super) fn handle(directory: impl AsFd) -> io::Result<Handle> {
    let mut handle = Handle { length: MAX_HANDLE.into(), kind: 0, bytes: [0; MAX_HANDLE as usize] };
    let mut mount: c_int = 0;
    let directory = directory.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string; `handle` is laid out as the kernel's struct, followed
    // by the room that its `length` promises; `mount` is a valid place for a number. All outlive
    // the call.
    let answer = unsafe {
        libc::name_to_handle_at(
            directory,
            c"".as_ptr(),
            handle.as_kernel(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    if answer == 0 { Ok(handle) } else { Err(io::Error::last_os_error()) }
}

/// Opens what a handle names, as a place without contents. `mount` is any open file of its file
/// system: the path of what is opened is seen from that file's mount.
pub(super) fn open(mount: impl AsFd, mut handle: Handle) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: `handle` is laid out as the kernel's struct, its `length` is at most the room that
    // follows, and it outlives the call; `mount` is open for as long.
    owned(unsafe { libc::open_by_handle_at(mount.as_fd().as_raw_fd(), handle.as_kernel(), flags) })
}

fn owned(answer: c_int) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}
