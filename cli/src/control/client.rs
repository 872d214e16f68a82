//! The client's side of a control socket.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};

use super::ErrorBody;

/// Longest reply that is read, in bytes.
const REPLY_LIMIT: usize = 16 << 20;

/// Talks to one machine's control socket; blocks.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why a machine did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody answers at the socket.
    #[error("the machine does not answer at {socket} ({source}); it may have just ended")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The connection broke or carried something else.
    #[error("the machine broke off the conversation: {0}; it may have just ended")]
    Broken(String),
    /// The machine refused.
    #[error("{}", .0.error)]
    Refused(ErrorBody),
}

impl Client {
    /// A client of the machine whose directory this is.
    pub fn new(directory: &Path) -> Self {
        Self { socket: directory.join("control.sock") }
    }

    /// Waits until the machine accepts connections, at most so long, and only while `alive` says that it may still come.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub fn wait_ready(
        &self,
        limit: Duration,
        mut alive: impl FnMut() -> bool,
    ) -> Result<(), ControlError> {
        let deadline = Instant::now() + limit;
        loop {
            match UnixStream::connect(&self.socket) {
                Ok(_) => return Ok(()),
                Err(source) if Instant::now() > deadline || !alive() => {
                    return Err(ControlError::Unreachable { socket: self.socket.clone(), source });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Asks for something and decodes the JSON of the reply; a reply without content decodes as `null`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ControlError> {
        block_on(async {
            let response = self.send(method, path, body, None).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), REPLY_LIMIT);
            let bytes = body.collect().await.map_err(broken)?.to_bytes();
            if !status.is_success() {
                return Err(refused(status, &bytes));
            }
            let json = if bytes.is_empty() { &b"null"[..] } else { &bytes[..] };
            serde_json::from_slice(json).map_err(broken)
        })
    }

    /// Turns a connection into a stream of `protocol`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn upgrade(&self, path: &str, protocol: &'static str) -> Result<UnixStream, ControlError> {
        block_on(async {
            let mut response = self.send(Method::GET, path, &(), Some(protocol)).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let status = response.status();
                let body = Limited::new(response.into_body(), REPLY_LIMIT);
                let bytes = body.collect().await.map_err(broken)?.to_bytes();
                return Err(refused(status, &bytes));
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
            let parts = upgraded
                .downcast::<TokioIo<tokio::net::UnixStream>>()
                .map_err(|_| ControlError::Broken("the stream is of another kind".into()))?;
            if !parts.read_buf.is_empty() {
                return Err(ControlError::Broken("it spoke out of turn".into()));
            }
            let stream = parts.io.into_inner().into_std().map_err(broken)?;
            stream.set_nonblocking(false).map_err(broken)?;
            Ok(stream)
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        upgrade: Option<&'static str>,
    ) -> Result<Response<Incoming>, ControlError> {
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ControlError::Unreachable { socket: self.socket.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "kiln")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(protocol) = upgrade {
            request =
                request.header(header::CONNECTION, "upgrade").header(header::UPGRADE, protocol);
        }
        let bytes = Bytes::from(serde_json::to_vec(body).map_err(broken)?);
        let request = request.body(Full::new(bytes)).map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

fn refused(status: StatusCode, bytes: &[u8]) -> ControlError {
    let fallback =
        || ErrorBody { error: format!("the machine answered {status}"), exit_code: None };
    ControlError::Refused(serde_json::from_slice(bytes).unwrap_or_else(|_| fallback()))
}

fn broken(error: impl std::fmt::Display) -> ControlError {
    ControlError::Broken(error.to_string())
}

fn block_on<T>(work: impl Future<Output = Result<T, ControlError>>) -> Result<T, ControlError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(broken)?
        .block_on(work)
}
