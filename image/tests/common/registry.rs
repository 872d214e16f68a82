//! A real registry (`docker-registry`) on a loopback port, and a relay that breaks connections.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::http::{self, Answer};
use super::{run, text};

/// A registry, stopped when dropped.
pub(crate) struct Registry {
    child: Child,
    /// `localhost:PORT`
    pub(crate) host: String,
}

/// What guards it.
#[derive(Default)]
pub(crate) struct Guard {
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// An htpasswd file.
    pub(crate) htpasswd: Option<PathBuf>,
    /// Where its token service is, and whose tokens it believes: a certificate.
    pub(crate) tokens: Option<(String, PathBuf)>,
}

impl Registry {
    pub(crate) fn start(dir: &Path, guard: &Guard) -> Self {
        // Another process may take the port between the two steps; then the registry ends.
        for _ in 0..10 {
            let port = free_port();
            let mut config = format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nlog:\n  level: error\n\
                 http:\n  addr: 127.0.0.1:{port}\n  secret: x\n",
                text(&dir.join("registry"))
            );
            if let Some((certificate, key)) = &guard.tls {
                let (certificate, key) = (text(certificate), text(key));
                config += &format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
            }
            if let Some(file) = &guard.htpasswd {
                config +=
                    &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", text(file));
            }
            if let Some((realm, certificate)) = &guard.tokens {
                config += &format!(
                    "auth:\n  token:\n    realm: {realm}\n    service: test service\n    \
                     issuer: test issuer\n    rootcertbundle: {}\n",
                    text(certificate)
                );
            }
            let path = dir.join(format!("registry-{port}.yml"));
            std::fs::write(&path, config).unwrap();
            let log = std::fs::File::create(dir.join("registry.log")).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&path)
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("docker-registry; run `cargo xtask setup`");
            let host = format!("localhost:{port}");
            for _ in 0..600 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, host };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not start: see {}", dir.join("registry.log").display());
    }

    pub(crate) fn port(&self) -> u16 {
        self.host.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Copies an image into the registry with skopeo.
    pub(crate) fn push(&self, from: &str, name: &str, extra: &[&str]) {
        let to = format!("docker://{}/{name}", self.host);
        let common = ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"];
        run("skopeo", &[&common[..], extra, &[from, &to]].concat());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate authority and a certificate of its own for `localhost`.
pub(crate) fn certificates(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let path = |name: &str| dir.join(name);
    let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
    let (certificate, key, request) = (path("cert.pem"), path("cert.key"), path("cert.csr"));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca_args = [
        &["req", "-x509", "-subj", "/CN=test authority", "-days", "30"][..],
        &new_key,
        &["-keyout", text(&ca_key), "-out", text(&ca)],
    ];
    run("openssl", &ca_args.concat());
    let request_args = [
        &["req", "-new", "-subj", "/CN=localhost"][..],
        &new_key,
        &["-keyout", text(&key), "-out", text(&request)],
    ];
    run("openssl", &request_args.concat());
    let extensions = path("cert.ext");
    std::fs::write(&extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    let sign = ["x509", "-req", "-days", "30", "-CAcreateserial", "-in", text(&request)];
    let signed = ["-CA", text(&ca), "-CAkey", text(&ca_key), "-out", text(&certificate)];
    run("openssl", &[&sign[..], &signed, &["-extfile", text(&extensions)]].concat());
    (ca, certificate, key)
}

/// A service that gives tokens for a registry (`distribution/docs/spec/auth`): to `user` with the
/// password `secret: word`, or to who has the refresh token `refresh`.
pub(crate) struct TokenService {
    /// For [`Guard::tokens`].
    pub(crate) guard: (String, PathBuf),
    /// What was asked for: method and scope.
    pub(crate) asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl TokenService {
    pub(crate) fn start(dir: &Path) -> Self {
        let (certificate, key) = (dir.join("tokens.pem"), dir.join("tokens.key"));
        let subject = ["req", "-x509", "-subj", "/CN=tokens", "-days", "30", "-newkey", "rsa:2048"];
        let files = ["-nodes", "-keyout", text(&key), "-out", text(&certificate)];
        run("openssl", &[&subject[..], &files].concat());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (place, log, pem) = (dir.to_owned(), asked.clone(), certificate.clone());
        let basic = format!("Basic {}", STANDARD.encode("user:secret: word"));
        let port = http::serve(move |request| {
            let query = request.target.split_once('?').map_or("", |(_, query)| query);
            let form = if request.method == "POST" { &request.body } else { query };
            let field = |name| {
                let fields = form.split('&').filter_map(|field| field.split_once('='));
                fields.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next()
            };
            let scope = field("scope").unwrap_or_default();
            log.lock().unwrap().push((request.method.clone(), scope.clone()));
            let known = request.header("authorization") == Some(&basic)
                || field("refresh_token").as_deref() == Some("refresh");
            if !known || field("service").as_deref() != Some("test service") {
                return Answer::new(401, r#"{"errors":[{"message":"who are you?"}]}"#);
            }
            let token = token(&place, &pem, &key, &scope);
            // Each of the two names that the specification has for it.
            let name = if request.method == "POST" { "access_token" } else { "token" };
            Answer::new(200, serde_json::json!({ name: token }).to_string())
        });
        Self { guard: (format!("http://localhost:{port}/token"), certificate), asked }
    }
}

/// A JSON web token (RFC 7519) with the access that was asked for, signed with RS256.
fn token(dir: &Path, certificate: &Path, key: &Path, scope: &str) -> String {
    let pem = std::fs::read_to_string(certificate).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let [kind, name, actions] = scope.splitn(3, ':').collect::<Vec<_>>()[..] else {
        panic!("{scope}");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = serde_json::json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] });
    let claims = serde_json::json!({
        "iss": "test issuer", "aud": "test service", "sub": "user", "jti": "1",
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
        "access": [{ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }],
    });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let place = tempfile::tempdir_in(dir).unwrap();
    let (input, output) = (place.path().join("input"), place.path().join("output"));
    std::fs::write(&input, &signed).unwrap();
    let sign = ["dgst", "-sha256", "-sign", text(key), "-out", text(&output), text(&input)];
    run("openssl", &sign);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(std::fs::read(output).unwrap()))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().replace('+', " ");
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        out.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        out += &rest.replace('+', " ");
    }
    out
}

/// Passes connections on to a port, and cuts each after so many bytes of answers while it may.
pub(crate) struct Breaker {
    pub(crate) port: u16,
    pub(crate) cuts: Arc<AtomicU64>,
}

impl Breaker {
    /// Cuts the first `cuts` connections that bring more than `after` bytes.
    pub(crate) fn start(to: u16, after: u64, cuts: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicU64::new(cuts));
        let shared = left.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let left = shared.clone();
                std::thread::spawn(move || relay(client, to, after, &left));
            }
        });
        Self { port, cuts: left }
    }
}

fn relay(client: TcpStream, to: u16, after: u64, left: &AtomicU64) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    let (mut from_server, mut to_client) = (server, client);
    let mut buffer = [0; 16 << 10];
    let mut total = 0;
    while let Ok(n @ 1..) = from_server.read(&mut buffer) {
        total += n as u64;
        let take = |n: u64| n.checked_sub(1);
        if total > after && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            break;
        }
        if to_client.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to_client.shutdown(std::net::Shutdown::Both);
    let _ = from_server.shutdown(std::net::Shutdown::Both);
}
