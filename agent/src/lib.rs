//! The protocol between a host and PID 1 of a kiln guest.
//!
//! The binary of this package is PID 1 of the guest; this library is what both ends agree on, and
//! it knows neither virtual machines nor Linux.
//!
//! # Transport
//! Any reliable byte stream; in a machine it is virtio-vsock. The agent listens on port
//! [`DEFAULT_PORT`] (the kernel command line's `kiln.port=N` changes it), and once it is ready it
//! also dials the same port of the host (CID 2), so that a host that listens need not poll. Either
//! way the connection is served alike; a host that does not listen loses nothing.
//!
//! # A connection
//! Each side first sends a [`Hello`], for which the other need not wait; [`Connection::open`] does it. Then the host sends one
//! [`Request`] after another and reads one [`Reply`] for each, in order. Some requests turn the
//! connection into something else once their reply was a success:
//!
//! | request | then |
//! |---|---|
//! | [`Request::Attach`] | the stdio of one process: [`Input`] and stdin data from the host, [`Output`] and output data from the guest |
//! | [`Request::CopyOut`] | a tar stream on [`Channel::Archive`] from the guest, closed by [`Output::Finished`] |
//! | [`Request::CopyIn`] | a tar stream on [`Channel::Archive`] from the host, closed by [`Input::Finished`], answered by [`Reply::Done`] or [`Reply::Failed`] |
//! | [`Request::Connect`] | the raw bytes of one TCP connection inside the guest; half-close works both ways |
//!
//! Requests that wait ([`Request::Wait`], [`Request::AwaitListener`], [`Request::Shutdown`]) hold
//! up their own connection only: open one more for what must not wait.
//!
//! # Frames
//! See [`Frame`]. A message is CBOR, whose field names let an older agent (inside a snapshot) and a
//! newer host understand each other: fields are only ever added, with a default.
//!
//! # Output is owned by the guest
//! The agent keeps each stream's bytes until the host acknowledges their offset
//! ([`Input::Ack`]), at most [`OUTPUT_WINDOW`] of them; beyond that the process blocks in `write`,
//! as on a full pipe; when the process has ended, what its pipe still holds ([`OUTPUT_REST`]) comes on top. So a host that loses its connection attaches again and misses nothing.
//!
//! # Example
//! ```
//! use agent::{Connection, Hello, Reply, Request};
//! use std::os::unix::net::UnixStream;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (host, guest) = UnixStream::pair()?;
//! let agent = std::thread::spawn(move || -> Result<(), agent::ProtocolError> {
//!     let mut guest = Connection::open(guest, &Hello::new("agent"))?;
//!     let Request::Ping = guest.receive_message()? else { panic!() };
//!     guest.send_message(&Reply::Done)
//! });
//! let mut host = Connection::open(host, &Hello::new("host"))?;
//! host.call(&Request::Ping)?.done()?;
//! agent.join().unwrap()?;
//! # Ok(())
//! # }
//! ```

mod config;
mod connection;
mod error;
mod frame;
mod message;

pub use config::{
    Clock, Config, DEFAULT_SHM_SIZE, Layer, MAX_LAYERS, ProcessSpec, Rlimit, RootAttributes,
    WindowSize, Writable,
};
pub use connection::Connection;
pub use error::ProtocolError;
pub use frame::{
    Channel, Frame, MAX_DATA, MAX_MESSAGE, decode_message, encode_message, read_frame, write_data,
    write_message,
};
pub use message::{
    Attached, Exit, ExitStatus, Failure, FailureKind, FileInfo, Hello, Input, Output, ProcessId,
    ProcessInfo, Reply, Request, Stats,
};

/// Version of the protocol that this library speaks. Two peers use the lower of their versions;
/// this first version is what everybody speaks.
pub const VERSION: u16 = 1;

/// The vsock port the agent listens on, and dials on the host, unless the kernel command line says
/// `kiln.port=N`.
pub const DEFAULT_PORT: u32 = 1024;

/// Unacknowledged bytes the agent holds for each output stream of a process.
pub const OUTPUT_WINDOW: usize = 256 * 1024;

/// Bytes that it holds beyond that once the process has ended: what was left in its pipe, whose capacity the kernel bounds
/// so (pipe(7), `pipe-max-size`). An end is told although nobody has read the output before it.
pub const OUTPUT_REST: usize = 1024 * 1024;

/// Bytes of stdin the host may have sent beyond the last [`Output::StdinTaken`].
pub const STDIN_WINDOW: usize = 256 * 1024;
