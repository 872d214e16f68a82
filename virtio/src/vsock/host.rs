//! The host's side: connecting to guest ports, listening on host ports, and a unix socket that
//! does both for other processes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Error;
use crate::device::{Doorbell, HostBell};

/// Connections that wait to be accepted.
const BACKLOG: usize = 128;

/// What a caller of [`VsockHost::connect`] waits for.
pub(super) type Answer = SyncSender<io::Result<UnixStream>>;

/// A connection that the host asks for.
pub(super) struct Wanted {
    number: u64,
    pub(super) guest_port: u32,
    /// The device's end.
    pub(super) ours: UnixStream,
    /// The caller's end.
    pub(super) theirs: UnixStream,
    pub(super) answer: Answer,
}

#[derive(Default)]
struct State {
    wanted: VecDeque<Wanted>,
    /// Connections asked for so far.
    asked: u64,
    listeners: HashMap<u32, SyncSender<Incoming>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: HostBell,
}

/// A handle to the host's side of a socket device. Clones are handles to the same device.
///
/// Streams are unix sockets, so they can be polled, shut down and handed to other processes.
#[derive(Clone, Default)]
pub struct VsockHost(Arc<Shared>);

impl std::fmt::Debug for VsockHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VsockHost").finish_non_exhaustive()
    }
}

/// A connection that a guest process made.
#[derive(Debug)]
pub struct Incoming {
    /// The stream.
    pub stream: UnixStream,
    /// The guest's port.
    pub guest_port: u32,
}

/// Accepts the connections to one host port. Dropping it closes the port.
#[derive(Debug)]
pub struct VsockListener {
    port: u32,
    host: VsockHost,
    incoming: Receiver<Incoming>,
}

impl VsockHost {
    /// Connects to a port of the guest, waiting for the guest's driver and its answer.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there, `TimedOut` if no answer comes in time, or the
    /// operating system's if there is no descriptor left.
    pub fn connect(&self, guest_port: u32, timeout: Duration) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (answer, answered) = sync_channel(1);
        let number = {
            let mut state = self.lock();
            state.asked += 1;
            let number = state.asked;
            state.wanted.push_back(Wanted { number, guest_port, ours, theirs, answer });
            number
        };
        self.0.bell.ring();
        match answered.recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                // A device that stands still has not taken it, and is not to find thousands.
                self.lock().wanted.retain(|wanted| wanted.number != number);
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Listens on a host port.
    ///
    /// # Errors
    /// `AddrInUse` if somebody does already.
    pub fn listen(&self, port: u32) -> io::Result<VsockListener> {
        let (sender, incoming) = sync_channel(BACKLOG);
        let mut state = self.lock();
        if state.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listeners.insert(port, sender);
        Ok(VsockListener { port, host: self.clone(), incoming })
    }

    /// The device rings here from now on.
    pub(super) fn attach(&self, doorbell: &Arc<Doorbell>) {
        self.0.bell.attach(doorbell);
    }

    pub(super) fn take_wanted(&self) -> VecDeque<Wanted> {
        std::mem::take(&mut self.lock().wanted)
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> u64 {
        self.lock().asked
    }

    pub(super) fn listener(&self, port: u32) -> Option<SyncSender<Incoming>> {
        self.lock().listeners.get(&port).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VsockListener {
    /// The next connection, waiting for it.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn accept(&self, timeout: Duration) -> io::Result<Incoming> {
        self.incoming.recv_timeout(timeout).map_err(|_| io::ErrorKind::TimedOut.into())
    }
}

impl Drop for VsockListener {
    fn drop(&mut self) {
        self.host.lock().listeners.remove(&self.port);
    }
}

/// The unix socket of a device. A client writes `CONNECT <port>\n` and reads `OK <host port>\n`;
/// a guest's connection to host port P, where no process of this program listens, goes to the
/// socket `<path>_P`.
#[derive(Debug)]
pub struct VsockSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl VsockSocket {
    /// Binds the socket. It is removed when this is dropped.
    ///
    /// # Errors
    /// If the path is taken or not writable.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let error = |source| Error::Socket {
            what: format!(
                "the socket {} could not be made; choose a path that does not exist, in a directory that does",
                path.display()
            ),
            source,
        };
        let listener = UnixListener::bind(path).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Connects to the process that listens for a host port.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
        let mut path = self.path.clone().into_os_string();
        path.push(format!("_{port}"));
        // A listener whose backlog is full must not hold up the other streams.
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        connect(&socket, &SocketAddrUnix::new(Path::new(&path))?)?;
        Ok(socket.into())
    }
}

impl Drop for VsockSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
