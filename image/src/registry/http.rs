//! Requests: time limits, trust, and answers as data.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::RegistryOptions;
use crate::Error;
use crate::source::read_bounded;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Without a byte for so long, a connection counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const ERROR_BYTES_MAX: u64 = 64 << 10;
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// A success.
pub(super) struct Response {
    pub(super) url: String,
    pub(super) content_type: Option<String>,
    /// Bytes of the body, if the registry says so.
    pub(super) length: Option<u64>,
    /// The byte of the blob that the body starts at.
    pub(super) from: u64,
    pub(super) body: Box<dyn Read + Send>,
}

/// An answer that is not a failure.
pub(super) enum Answer {
    Response(Response),
    /// Status 401 and its `WWW-Authenticate` headers.
    Challenge(Vec<String>),
}

/// Makes requests to one endpoint.
pub(super) struct Client {
    agent: Agent,
}

impl Client {
    /// With `https_only`, neither a redirect nor a token service may be plain HTTP.
    pub(super) fn new(https_only: bool, ca_files: &[PathBuf]) -> Result<Self, Error> {
        let agent = Agent::config_builder()
            .proxy(super::proxy::from_environment(https_only)?)
            .http_status_as_error(false)
            .https_only(https_only)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots(ca_files)?).build())
            .build()
            .new_agent();
        Ok(Self { agent })
    }

    pub(super) fn get(
        &self,
        url: &str,
        accept: &[&str],
        from: u64,
        authorization: Option<&str>,
    ) -> Result<Answer, Error> {
        let mut request = self.agent.get(url).header(header::ACCEPT, accept.join(", "));
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = request.call().map_err(|e| failure(url, e))?;
        let (parts, body) = response.into_parts();
        let text = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let start = match parts.status {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => {
                // `bytes 7-99/100`; anything but the range that was asked for is useless.
                let range = text(header::CONTENT_RANGE).unwrap_or_default();
                if !range.starts_with(&format!("bytes {from}-")) {
                    let reason = format!("it sent the range {range:?} when asked from {from} on");
                    return Err(Error::Connection { url: url.into(), reason, transient: false });
                }
                from
            }
            // The blob is shorter than what was asked for: start again and find out.
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                return self.get(url, accept, 0, authorization);
            }
            StatusCode::UNAUTHORIZED => {
                let all = parts.headers.get_all(header::WWW_AUTHENTICATE).iter();
                let all = all.filter_map(|v| v.to_str().ok()).map(str::to_owned);
                return Ok(Answer::Challenge(all.collect()));
            }
            status => return Err(status_error(url, status, &parts.headers, body.into_reader())),
        };
        Ok(Answer::Response(Response {
            url: url.to_owned(),
            content_type: text(header::CONTENT_TYPE)
                .map(|t| t.split(';').next().unwrap_or_default().trim().to_owned()),
            length: text(header::CONTENT_LENGTH).and_then(|n| n.parse().ok()),
            from: start,
            body: Box::new(body.into_reader()),
        }))
    }

    /// A token service's answer to a GET, or to a POST of a form.
    pub(super) fn token(
        &self,
        url: &str,
        authorization: Option<&str>,
        form: Option<&str>,
    ) -> Result<Vec<u8>, Error> {
        let response = match form {
            Some(form) => self
                .agent
                .post(url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .send(form),
            None => match authorization {
                Some(value) => self.agent.get(url).header(header::AUTHORIZATION, value).call(),
                None => self.agent.get(url).call(),
            },
        };
        let shown = url.split('?').next().unwrap_or_default();
        let (parts, body) = response.map_err(|e| failure(shown, e))?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(status_error(shown, parts.status, &parts.headers, body.into_reader()));
        }
        read_bounded(body.into_reader(), TOKEN_BYTES_MAX).map_err(|e| Error::Connection {
            url: shown.to_owned(),
            reason: e.to_string(),
            transient: e.kind() != io::ErrorKind::FileTooLarge,
        })
    }
}

/// The base URL of a registry.
pub(super) fn base_of(domain: &str, options: &RegistryOptions) -> Result<String, Error> {
    if domain == "docker.io" {
        return Ok("https://registry-1.docker.io".to_owned());
    }
    if options.plain_http.iter().any(|host| host == domain) {
        return Ok(format!("http://{domain}"));
    }
    if is_loopback(domain) && speaks_http(domain)? {
        return Ok(format!("http://{domain}"));
    }
    Ok(format!("https://{domain}"))
}

fn is_loopback(domain: &str) -> bool {
    let host = match domain.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => domain.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a registry on this machine answers plain HTTP as a registry does; one that speaks TLS
/// answers such a request with an error or not at all. Nothing secret is sent.
fn speaks_http(domain: &str) -> Result<bool, Error> {
    let url = format!("http://{domain}/v2/");
    let answer = Client::new(false, &[])?.get(&url, &["*/*"], 0, None);
    Ok(matches!(answer, Ok(_) | Err(Error::Status { status: 403 | 404, .. })))
}

/// The system's certificate authorities and those of the files.
fn roots(ca_files: &[PathBuf]) -> Result<RootCerts, Error> {
    static SYSTEM: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    let system = SYSTEM.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::debug!(%error, "a certificate of the system was skipped");
        }
        loaded.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
    });
    let mut all = system.clone();
    for path in ca_files {
        all.extend(certificates(path)?);
    }
    Ok(RootCerts::from(all))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let bad = |reason: String| Error::BadCertificate { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| bad(e.to_string()))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(bad("it holds no certificate in PEM".to_owned())),
        false => Ok(found),
    }
}

fn failure(url: &str, error: ureq::Error) -> Error {
    let transient = matches!(
        &error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
    );
    let trust = matches!(&error, ureq::Error::Rustls(_) | ureq::Error::Tls(_))
        || matches!(&error, ureq::Error::Io(e) if e.get_ref().is_some_and(|inner| inner.to_string().contains("certificate")));
    let hint = match trust {
        true => {
            "; if its certificate is signed by an authority of your own, name the authority's file"
        }
        false => "",
    };
    let reason = format!("{}{hint}", crate::text::clip(&error.to_string()));
    Error::Connection { url: url.to_owned(), reason, transient: transient && !trust }
}

fn status_error(url: &str, status: StatusCode, headers: &HeaderMap, body: impl Read) -> Error {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    // Distribution specification, "Error Codes".
    let body = read_bounded(body, ERROR_BYTES_MAX).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let first = json.get("errors").and_then(|e| e.get(0));
    let message = first.and_then(|e| e.get("message").or(e.get("code"))).and_then(|m| m.as_str());
    let message = message.map_or_else(String::new, |m| format!(": {}", crate::text::clip(m)));
    if status == StatusCode::FORBIDDEN {
        let (registry, what) =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap_or((url, ""));
        return Error::Unauthorized {
            registry: registry.to_owned(),
            what: what.to_owned(),
            reason: format!("forbidden{message}"),
        };
    }
    Error::Status {
        url: url.to_owned(),
        status: status.as_u16(),
        message,
        retry_after: seconds.map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["docker.io", "127.0.0.1.example", "10.0.0.1", "[fe80::1]", "localhost.example"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
