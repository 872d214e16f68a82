//! A real registry (`docker-registry`) on a loopback port, and a relay that breaks connections.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
