//! The client's side of a control socket.

use std::{
    io::{self, Read, Write},
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
pub(crate) struct Client {
    socket: PathBuf,
}

/// Why a machine did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ControlError {
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
    pub(crate) fn new(directory: &Path) -> Self {
        Self { socket: directory.join("control.sock") }
    }

    /// Waits until the machine accepts connections, at most so long, and only while `alive` says that it may still come.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub(crate) fn wait_ready(
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
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Asks for something and decodes the JSON of the reply; a reply without content decodes as `null`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ControlError> {
        block_on(async {
            let response = self.send(method, path, body).await?;
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
    pub(crate) fn upgrade(
        &self,
        path: &str,
        protocol: &'static str,
    ) -> Result<UnixStream, ControlError> {
        let unreachable =
            |source| ControlError::Unreachable { socket: self.socket.clone(), source };
        let mut stream = UnixStream::connect(&self.socket).map_err(unreachable)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: kiln\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).map_err(broken)?;
        let head = read_head(&mut stream)?;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(&head).map_err(broken)?;
        let status = StatusCode::from_u16(response.code.unwrap_or(0)).map_err(broken)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(stream);
        }
        let length =
            response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|h| str::from_utf8(h.value).ok()?.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        stream.take(length).take(REPLY_LIMIT as u64).read_to_end(&mut body).map_err(broken)?;
        Err(refused(status, &body))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response<Incoming>, ControlError> {
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ControlError::Unreachable { socket: self.socket.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "kiln")
            .header(header::CONTENT_TYPE, "application/json");
        let bytes = Bytes::from(serde_json::to_vec(body).map_err(broken)?);
        let request = request.body(Full::new(bytes)).map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// Reads up to the end of a response's head, and not a byte more: what follows is the upgraded stream's.
fn read_head(stream: &mut UnixStream) -> Result<Vec<u8>, ControlError> {
    /// Longest head that is read, in bytes.
    const LIMIT: usize = 8 << 10;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(broken)?;
        head.push(byte[0]);
        if head.len() > LIMIT {
            return Err(ControlError::Broken("its answer has no end".into()));
        }
    }
    Ok(head)
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
