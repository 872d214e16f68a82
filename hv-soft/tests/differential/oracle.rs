//! The oracle: `qemu-aarch64-static -cpu neoverse-n1`, one process for the whole run.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::guest;
use crate::layout::*;

pub(crate) struct Oracle {
    child: Child,
    requests: UnixStream,
    shared: File,
}

/// The bytes of records.
pub(crate) fn bytes(records: &[Record]) -> &[u8] {
    // SAFETY: `Record` is `repr(C)` of integers without padding (its size is asserted), so every byte is initialised.
    unsafe { std::slice::from_raw_parts(records.as_ptr().cast(), size_of_val(records)) }
}

/// The bytes of records, to be filled.
pub(crate) fn bytes_mut(records: &mut [Record]) -> &mut [u8] {
    // SAFETY: as `bytes`; every bit pattern is a valid `Record`.
    unsafe { std::slice::from_raw_parts_mut(records.as_mut_ptr().cast(), size_of_val(records)) }
}

impl Oracle {
    /// Starts the oracle with these contents of the arena.
    pub(crate) fn start(arena: &[u8]) -> Self {
        let shared = tempfile::tempfile_in("/dev/shm").expect("a file in /dev/shm");
        shared.set_len(SHARED_SIZE).expect("room in /dev/shm for the shared memory");
        shared.write_all_at(arena, SHARED_ARENA).expect("room in /dev/shm for the arena");
        let (requests, theirs) = UnixStream::pair().expect("a pair of sockets");
        requests
            .set_read_timeout(Some(Duration::from_secs(120)))
            .expect("a timeout that is not zero");
        let child = Command::new("qemu-aarch64-static")
            .args(["-cpu", "neoverse-n1"])
            .arg(&guest::image().path)
            .stdin(Stdio::from(shared.try_clone().expect("a second descriptor")))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .expect("qemu-aarch64-static runs; Debian has it in qemu-user-static");
        Oracle { child, requests, shared }
    }

    /// Hands over a batch; [`Oracle::finish`] waits for it.
    pub(crate) fn submit(&mut self, records: &[Record]) {
        self.shared.write_all_at(bytes(records), 0).expect("the shared memory takes a batch");
        self.requests.write_all(&(records.len() as u32).to_le_bytes()).expect("the oracle listens");
    }

    /// The states after the instances of the batch that was handed over.
    pub(crate) fn finish(&mut self, records: &mut [Record]) -> Result<(), std::io::Error> {
        let mut reply = [0; 4];
        self.requests.read_exact(&mut reply)?;
        self.shared.read_exact_at(bytes_mut(records), IO_SIZE)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may be stuck in an instance.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
