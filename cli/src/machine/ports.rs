//! Published ports: each TCP connection of the host becomes one inside the guest.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use agent::Request;
use anyhow::Context;

use super::supervisor::Supervisor;
use crate::record::PortMapping;

/// Connections that are carried at once; more are closed at once.
const LIMIT: usize = 4096;

/// Ports that are bound, so that they are known to be free before the guest boots.
#[derive(Debug)]
pub(super) struct Ports(Vec<(PortMapping, TcpListener)>);

impl Ports {
    /// Binds every port.
    pub(super) fn bind(mappings: &[PortMapping]) -> anyhow::Result<Self> {
        let bind = |mapping: &PortMapping| {
            let address = SocketAddr::new(mapping.address, mapping.host);
            let listener = TcpListener::bind(address).with_context(|| {
                format!("cannot publish port {} on {address}; choose a free one, or none to be given one", mapping.guest)
            })?;
            let host = listener.local_addr()?.port();
            Ok((PortMapping { host, ..*mapping }, listener))
        };
        mappings.iter().map(bind).collect::<anyhow::Result<_>>().map(Self)
    }

    /// What was bound, with the host's choice in place of 0.
    pub(super) fn mappings(&self) -> Vec<PortMapping> {
        self.0.iter().map(|(mapping, _)| *mapping).collect()
    }

    /// Accepts connections from now on.
    pub(super) fn serve(self, supervisor: &Arc<Supervisor>) -> anyhow::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        for (mapping, listener) in self.0 {
            let (supervisor, open) = (supervisor.clone(), open.clone());
            let name = format!("port {}", mapping.guest);
            thread::Builder::new().name(name).spawn(move || {
                for client in listener.incoming() {
                    match client {
                        Ok(client) => accept(client, mapping.guest, &supervisor, &open),
                        // Out of descriptors: what is open will end.
                        Err(error) => {
                            tracing::warn!(
                                "cannot accept a connection for port {}: {error}",
                                mapping.guest
                            );
                            thread::sleep(std::time::Duration::from_millis(100));
                        }
                    }
                }
            })?;
        }
        Ok(())
    }
}

fn accept(client: TcpStream, port: u16, supervisor: &Arc<Supervisor>, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::Relaxed) >= LIMIT {
        open.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!("port {port} has {LIMIT} connections; one more was closed");
        return;
    }
    let (supervisor, counter) = (supervisor.clone(), open.clone());
    let carry = move || {
        if let Err(error) = carry(client, port, &supervisor) {
            tracing::debug!("a connection to port {port} of the guest failed: {error:#}");
        }
        counter.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("connection".into()).spawn(carry) {
        open.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!("cannot carry a connection: {error}");
    }
}

fn carry(client: TcpStream, port: u16, supervisor: &Supervisor) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let mut agent = supervisor.greet_agent()?;
    agent.call(&Request::Connect { port })?.done()?;
    let guest = agent.into_stream();
    // A stream socket is a stream socket: only what both kinds do is asked of it.
    let client = UnixStream::from(OwnedFd::from(client));
    super::supervisor::splice_and_wait(client, guest)
}
