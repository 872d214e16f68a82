//! Conversations with the agent of a machine that runs.

use std::{io::Write, os::unix::net::UnixStream};

use agent::{Connection, Hello, ProcessId, ProcessSpec, Reply, Request};
use anyhow::bail;

use crate::{
    control::{self, Client},
    exit::{Exit, KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND},
    session::{self, Ended, Stdio},
};

/// A new connection to the agent behind this control socket.
pub(crate) fn connect(client: &Client) -> anyhow::Result<Connection<UnixStream>> {
    let stream = client.upgrade("/v1/agent", control::AGENT)?;
    let (connection, _) = Connection::open(stream, &Hello::new("kiln"))?;
    Ok(connection)
}

/// Asks the agent for one thing.
pub(crate) fn call(client: &Client, request: &Request) -> anyhow::Result<Reply> {
    connect(client)?.call(request).map_err(explain)
}

/// A failure of the agent, with the exit status that Docker's users expect of it.
pub(crate) fn explain(error: agent::ProtocolError) -> anyhow::Error {
    let agent::ProtocolError::Failed(failure) = error else { return error.into() };
    let status = match failure.kind {
        agent::FailureKind::CommandNotFound => NOT_FOUND,
        agent::FailureKind::CommandNotExecutable => NOT_EXECUTABLE,
        _ => KILN_FAILED,
    };
    Exit::new(status, failure.message).into()
}

/// Starts one more process and carries its stdio until it ends.
pub(crate) fn exec(
    client: &Client,
    spec: ProcessSpec,
    stdio: Stdio,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let id = new_id()?;
    let mut connection = connect(client)?;
    let Reply::Started { .. } = connection.call(&Request::Exec { id, spec }).map_err(explain)?
    else {
        bail!("the guest's agent did not start the process");
    };
    let attach = Request::Attach { id, stdout: Some(0), stderr: Some(0) };
    let Reply::Attached(_) = connection.call(&attach)? else {
        bail!("the guest's agent did not attach to the process");
    };
    let ended = session::run(connection.into_stream(), stdio, out, err)?;
    if let Ended::Exited(_) = ended {
        // The machine may have ended with this very process.
        let _ = call(client, &Request::Remove { id });
    }
    Ok(ended)
}

/// Starts one more process whose stdio nobody carries.
pub(crate) fn exec_detached(client: &Client, spec: ProcessSpec) -> anyhow::Result<()> {
    call(client, &Request::Exec { id: new_id()?, spec }).map(drop)
}

fn new_id() -> anyhow::Result<ProcessId> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    // The low ones are the machine's own.
    Ok(ProcessId::from_le_bytes(bytes) | 1 << 32)
}
