//! TCP inside the guest: connections from the host, and who listens.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};

use agent::{Connection, FailureKind, Reply};

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
    let stream = connection.into_stream();
    let (Ok(stream_clone), Ok(target_clone)) = (stream.try_clone(), target.try_clone()) else {
        return;
    };
    let inward = std::thread::Builder::new()
        .name(format!("to port {port}"))
        .stack_size(128 * 1024)
        .spawn(move || {
            pass(stream_clone, &target_clone);
            let _ = target_clone.shutdown(Shutdown::Write);
        });
    if let Ok(inward) = inward {
        pass(target, &stream);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = inward.join();
    }
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

fn pass(mut from: impl Read, mut to: impl Write) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..count]).is_err() {
            return;
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
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn our_own_kernel_s_table_shows_a_listener_and_not_a_client() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(listens(&table, port));
        assert!(!listens(&table, client.local_addr().unwrap().port()));
    }
}
