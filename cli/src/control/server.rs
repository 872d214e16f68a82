//! The machine's side of its control socket.

use std::{
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{FromRequest, Request, State as Extract},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{net::UnixListener, sync::oneshot};

use super::{AGENT, ErrorBody, KillRequest, STDIO, SnapshotRequest, StopRequest, WaitReply};
use crate::{exit::Exit, machine::Supervisor};

/// The longest path of a unix socket on any supported host, in bytes: macOS's.
const SOCKET_PATH_LIMIT: usize = 103;

/// A control socket that is being served.
#[derive(Debug)]
pub(crate) struct Server {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    /// Answers what was asked, and no more.
    pub(crate) fn finish(self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// How long a client may take to read its last answer.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Serves the control socket in a machine's directory on a thread of its own.
pub(crate) fn serve(directory: &Path, supervisor: Arc<Supervisor>) -> anyhow::Result<Server> {
    let path = directory.join("control.sock");
    let len = path.as_os_str().len();
    anyhow::ensure!(
        len <= SOCKET_PATH_LIMIT,
        "the control socket's path {} has {len} bytes and {SOCKET_PATH_LIMIT} are allowed; set KILN_HOME to a shorter one",
        path.display()
    );
    // Left behind by a process that was killed; the machine's lock says that none lives.
    let _ = std::fs::remove_file(&path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let router = Router::new()
        .route("/v1/machine", get(machine))
        .route("/v1/start", post(start))
        .route("/v1/stop", post(stop))
        .route("/v1/kill", post(kill))
        .route("/v1/wait", get(wait))
        .route("/v1/pause", post(pause))
        .route("/v1/unpause", post(unpause))
        .route("/v1/snapshot", post(snapshot))
        .route("/v1/attach", get(attach))
        .route("/v1/agent", get(agent))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is no such resource") })
        .method_not_allowed_fallback(|| async {
            refused(StatusCode::METHOD_NOT_ALLOWED, "this resource has no such method")
        })
        .with_state(supervisor);
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new().name("control".into()).spawn(move || {
        runtime.block_on(async {
            let (told, tell) = oneshot::channel();
            let over = async move {
                // A dropped sender is the end as well.
                let _ = stopped.await;
                let _ = told.send(());
            };
            let serve = axum::serve(listener, router).with_graceful_shutdown(over).into_future();
            let limit = async {
                let _ = tell.await;
                tokio::time::sleep(LAST_ANSWER).await;
            };
            tokio::select! {
                served = serve => if let Err(error) = served {
                    tracing::error!("the control socket failed: {error}");
                },
                () = limit => {}
            }
        });
        // What still waits in a request has nobody left to answer.
        runtime.shutdown_background();
    })?;
    Ok(Server { stop, thread })
}

type Shared = Extract<Arc<Supervisor>>;

async fn machine(Extract(supervisor): Shared) -> Response {
    Json(json!({ "spec": supervisor.spec(), "state": supervisor.state() })).into_response()
}

async fn start(Extract(supervisor): Shared) -> Response {
    respond(supervisor, |supervisor| supervisor.start_when_asked()).await
}

async fn stop(Extract(supervisor): Shared, Body(request): Body<StopRequest>) -> Response {
    respond(supervisor, move |supervisor| supervisor.stop(&request)).await
}

async fn kill(Extract(supervisor): Shared, Body(request): Body<KillRequest>) -> Response {
    respond(supervisor, move |supervisor| supervisor.signal(request.signal)).await
}

async fn wait(Extract(supervisor): Shared) -> Response {
    // Not on a thread of its own: any number of clients may wait, as long as the machine lives.
    let mut end = supervisor.end();
    match end.wait_for(Option::is_some).await.map(|status| *status) {
        Ok(Some(exit_code)) => Json(WaitReply { exit_code }).into_response(),
        Ok(None) | Err(_) => failure(&anyhow::anyhow!("the machine ended without a status")),
    }
}

async fn pause(Extract(supervisor): Shared) -> Response {
    respond(supervisor, |supervisor| supervisor.set_paused(true)).await
}

async fn unpause(Extract(supervisor): Shared) -> Response {
    respond(supervisor, |supervisor| supervisor.set_paused(false)).await
}

async fn snapshot(Extract(supervisor): Shared, Body(request): Body<SnapshotRequest>) -> Response {
    respond(supervisor, move |supervisor| supervisor.snapshot(&request)).await
}

async fn attach(Extract(supervisor): Shared, request: Request) -> Response {
    switch(request, STDIO, move |stream| supervisor.attach(stream))
}

async fn agent(Extract(supervisor): Shared, request: Request) -> Response {
    let connecting = supervisor.clone();
    match tokio::task::spawn_blocking(move || connecting.connect_agent()).await {
        Ok(Ok(guest)) => {
            switch(request, AGENT, move |stream| crate::machine::splice(stream, guest))
        }
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&error.into()),
    }
}

/// Does something that blocks, and answers with its JSON.
async fn respond<T: serde::Serialize + Send + 'static>(
    supervisor: Arc<Supervisor>,
    work: impl FnOnce(&Supervisor) -> anyhow::Result<T> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&supervisor)).await {
        Ok(Ok(reply)) => Json(reply).into_response(),
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&error.into()),
    }
}

/// A JSON body; what is none is refused as everything else is.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refused(rejection.status(), rejection.body_text())),
        }
    }
}

fn refused(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(ErrorBody { error: error.into(), exit_code: None })).into_response()
}

fn failure(error: &anyhow::Error) -> Response {
    let exit_code = error.downcast_ref::<Exit>().map(|exit| exit.status);
    let body = ErrorBody { error: format!("{error:#}"), exit_code };
    (StatusCode::CONFLICT, Json(body)).into_response()
}

/// Answers that the connection is now something else, and hands it over when the answer has been sent.
fn switch(
    mut request: Request,
    protocol: &'static str,
    then: impl FnOnce(UnixStream) -> anyhow::Result<()> + Send + 'static,
) -> Response {
    let asked = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if asked != Some(protocol) {
        let error = format!("ask for an upgrade to {protocol}");
        return refused(StatusCode::UPGRADE_REQUIRED, error);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = match upgrade.await.map(upgrade::downcast::<TokioIo<tokio::net::UnixStream>>) {
            Ok(Ok(parts)) if parts.read_buf.is_empty() => parts.io.into_inner().into_std(),
            _ => {
                return tracing::warn!(
                    "a client spoke out of turn while its connection was upgraded"
                );
            }
        };
        let result = stream.and_then(|stream| stream.set_nonblocking(false).map(|()| stream));
        if let Err(error) = result.map_err(Into::into).and_then(then) {
            tracing::warn!("an upgraded connection ended: {error:#}");
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}
