//! The control socket of a machine: HTTP/1.1 and JSON on a unix socket that only its owner can open.
//!
//! `docs/control-api.yaml` describes it as OpenAPI.

mod api;
mod client;
#[cfg(test)]
mod document;
mod server;

pub use api::SnapshotReply;
pub(crate) use api::{ErrorBody, KillRequest, SnapshotRequest, StopRequest, WaitReply};
pub(crate) use client::{Client, ControlError};
pub(crate) use server::serve;

/// What an upgraded connection to `/v1/attach` speaks: the frames of an attached process.
pub(crate) const STDIO: &str = "kiln-stdio";
/// What an upgraded connection to `/v1/agent` speaks: the protocol of the guest's agent.
pub(crate) const AGENT: &str = "kiln-agent";
