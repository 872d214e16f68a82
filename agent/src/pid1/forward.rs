//! TCP inside the guest: connections from the host, and who listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use agent::{Connection, FailureKind, Reply};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use super::failure::{Outcome, failure};
use super::transport::Stream;

/// Joins the connection with a port of the guest until both directions have ended.
pub(crate) fn run(mut connection: Connection<Stream>, port: u16) {
    let target = match connect(port) {
        Ok(target) => target,
        Err(failure) => {
            let _ = connection.send_message(&Reply::Failed(failure));
            return;
        }
    };
    if connection.send_message(&Reply::Done).is_err() {
        return;
    }
    // Either end may go at any time, and then there is nothing more to do.
    let _ = join(&connection.into_stream(), &target);
}

fn connect(port: u16) -> Outcome<TcpStream> {
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = addresses.map(|address| SocketAddr::new(address, port));
    let stream = TcpStream::connect(addresses.as_slice()).map_err(|error| {
        failure(
            FailureKind::Refused,
            format!("nothing in the guest takes connections to port {port}: {error}"),
        )
    })?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Copies both ways between two sockets until both directions have ended.
fn join(one: &impl AsFd, other: &impl AsFd) -> rustix::io::Result<()> {
    let (one, other) = (one.as_fd(), other.as_fd());
    rustix::io::ioctl_fionbio(one, true)?;
    rustix::io::ioctl_fionbio(other, true)?;
    let mut ways = [Way::new(one, other), Way::new(other, one)];
    loop {
        let wishes: Vec<_> = ways.iter_mut().filter_map(Way::go_on).collect();
        if wishes.is_empty() {
            return Ok(());
        }
        let mut fds: Vec<_> = wishes.iter().map(|(fd, flags)| PollFd::new(fd, *flags)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One direction.
struct Way<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    /// What was read and not written yet begins at `written`. The memory is touched as it is needed.
    bytes: Vec<u8>,
    written: usize,
}

impl<'a> Way<'a> {
    /// Bytes moved at once.
    const CHUNK: usize = 64 * 1024;

    fn new(from: BorrowedFd<'a>, to: BorrowedFd<'a>) -> Self {
        Self { from, to, bytes: Vec::with_capacity(Self::CHUNK), written: 0 }
    }

    /// Copies without waiting, but leaves the other direction its turn; what to wait for, unless it has ended.
    fn go_on(&mut self) -> Option<(BorrowedFd<'a>, PollFlags)> {
        const TURN: usize = 16;
        for _ in 0..TURN {
            let moved = match self.next() {
                None => return None,
                Some((to, PollFlags::OUT)) => {
                    rustix::net::send(to, &self.bytes[self.written..], SendFlags::NOSIGNAL)
                        .map(|count| self.written += count)
                }
                Some((from, _)) => {
                    self.bytes.clear();
                    self.written = 0;
                    match rustix::io::read(from, spare_capacity(&mut self.bytes)) {
                        Ok(0) => Err(Errno::PIPE),
                        read => read.map(drop),
                    }
                }
            };
            match moved {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    // It fails for a socket whose other end is gone.
                    let _ = rustix::net::shutdown(self.to, Shutdown::Write);
                    self.bytes = Vec::new();
                }
            }
        }
        self.next()
    }

    /// What comes next: to write what was read, or to read; nothing after the end, when there is no buffer.
    fn next(&self) -> Option<(BorrowedFd<'a>, PollFlags)> {
        match self.bytes.len() {
            _ if self.bytes.capacity() == 0 => None,
            read if self.written < read => Some((self.to, PollFlags::OUT)),
            _ => Some((self.from, PollFlags::IN)),
        }
    }
}

/// Whether a table of /proc/net/tcp or tcp6 has a listener on this port (proc_net_tcp.rst).
pub(crate) fn listens(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        let local_port = local.and_then(|address| address.rsplit_once(':')).map(|(_, port)| port);
        state == Some(LISTEN)
            && local_port.is_some_and(|hex| u16::from_str_radix(hex, 16) == Ok(port))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{self, TcpListener};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn our_own_kernel_s_table_shows_a_listener_and_not_a_client() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(listens(&table, port));
        assert!(!listens(&table, client.local_addr().unwrap().port()));
    }

    /// More than all buffers on the way hold goes both ways at once, and each direction ends by itself.
    #[test]
    fn both_directions_are_carried_to_their_ends() {
        const LEN: usize = 4 << 20;
        let pattern = |salt: usize| (0..LEN).map(|i| (i * 31 / 7 + salt) as u8).collect::<Vec<_>>();
        let (left, inner_left) = UnixStream::pair().unwrap();
        let (right, inner_right) = UnixStream::pair().unwrap();
        let joined = thread::spawn(move || join(&inner_left, &inner_right));
        let talk = |mut stream: UnixStream, salt| {
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let sent = thread::spawn(move || {
                    writer.write_all(&pattern(salt)).unwrap();
                    writer.shutdown(net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                sent.join().unwrap();
                got
            })
        };
        let (one, other) = (talk(left, 1), talk(right, 2));
        assert!(one.join().unwrap() == pattern(2));
        assert!(other.join().unwrap() == pattern(1));
        joined.join().unwrap().unwrap();
    }

    #[test]
    fn an_end_that_is_gone_ends_both_directions() {
        let (mut left, inner_left) = UnixStream::pair().unwrap();
        let (right, inner_right) = UnixStream::pair().unwrap();
        let joined = thread::spawn(move || {
            join(&inner_left, &inner_right).unwrap();
        });
        drop(right);
        // Whether or not it is noticed before the end.
        let _ = left.write_all(&[0; 4096]);
        assert_eq!(left.read(&mut [0; 16]).unwrap_or(0), 0);
        drop(left);
        joined.join().unwrap();
    }
}
