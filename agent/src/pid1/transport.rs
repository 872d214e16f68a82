//! Where connections come from.
//!
//! A vsock stream answers to the same system calls as a unix stream, so one type serves for both,
//! and everything above can be tested on any Linux.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::kernel;

/// A bidirectional byte stream with half-close.
pub(crate) type Stream = UnixStream;

/// A vsock port that accepts connections from the host.
pub(crate) struct Listener(OwnedFd);

impl Listener {
    pub(crate) fn bind(port: u32) -> io::Result<Listener> {
        kernel::vsock_listen(port).map(Listener)
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        kernel::vsock_accept(self.0.as_fd()).map(Stream::from)
    }
}

/// Connects to a port of the host.
pub(crate) fn dial_host(port: u32) -> io::Result<Stream> {
    kernel::vsock_connect(kernel::HOST_CID, port).map(Stream::from)
}
