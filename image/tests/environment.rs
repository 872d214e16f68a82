//! What a pull finds around it: environment variables, programs in `PATH`, a disk that is full. The
//! program starts itself again with another environment.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use common::registry::{Guard, Registry};
use common::tars::{self, Tar};
use common::{layout, need_root, run, text};
use image::{PullOptions, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, home, reference] = &arguments[..]
        && word == "pull"
    {
        let store = Store::open(home.as_ref()).expect("a store");
        let mut options = PullOptions::default();
        options.registry.plain_http.push("registry.example".into());
        let reference = reference.parse().expect("a reference");
        match store.pull(&reference, &options, &|_| {}) {
            Ok(image) => println!("{}", image.layers.len()),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        return;
    }
    for (name, test) in [
        ("proxies", proxies as fn()),
        ("credential_helpers", credential_helpers),
        ("full_disk", full_disk),
    ] {
        if arguments.get(1).is_none_or(|wanted| wanted.starts_with('-') || name.contains(wanted)) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// Pulls into a store in `dir` in a process with these variables besides `PATH` and `HOME`.
fn pull(dir: &Path, reference: &str, variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir_in(dir).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["pull", text(home.path()), reference]).env_clear().env("HOME", dir);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(variables.iter().copied()).output().unwrap()
}

fn assert_pulled(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"1\n");
}

fn assert_refused(output: &Output, reason: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(reason), "{error}");
}

fn sample(dir: &Path) -> String {
    let tar = Tar::default().add(tars::file("f"), b"content").write(dir, "sample.tar");
    layout(dir, &[&tar]).replacen("oci-layout:", "oci:", 1)
}

/// A proxy that connects every host to one port of this machine, and notes what it was asked for.
fn proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            log.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let ways = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
            for (from, to) in ways {
                let (mut from, mut to) = (from.unwrap(), to.unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (own, asked)
}

fn proxies() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let (port, asked) = proxy(registry.port());
    let url = format!("http://127.0.0.1:{port}");
    // No name service knows the registry: only the proxy can reach it.
    let reference = "registry.example/image";
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        asked.lock().unwrap().clear();
        assert_pulled(&pull(dir.path(), reference, &[(variable, &url)]));
        let asked = asked.lock().unwrap();
        assert!(!asked.is_empty(), "{variable}");
        let target = "CONNECT registry.example:80 HTTP/1.1";
        assert!(asked.iter().all(|line| line == target), "{asked:?}");
    }
    // HTTPS_PROXY is for https, and NO_PROXY for none.
    asked.lock().unwrap().clear();
    for variables in [
        &[("HTTPS_PROXY", &*url)][..],
        &[("HTTP_PROXY", &url), ("NO_PROXY", "a.example, .example")],
    ] {
        assert_refused(&pull(dir.path(), reference, variables), "registry.example");
    }
    // A registry of this machine is not looked for elsewhere.
    let local = format!("{}/image", registry.host);
    assert_pulled(&pull(dir.path(), &local, &[("HTTP_PROXY", &url), ("HTTPS_PROXY", &url)]));
    assert!(asked.lock().unwrap().is_empty());
    let wrong = pull(dir.path(), reference, &[("HTTP_PROXY", "no such://")]);
    assert_refused(&wrong, "HTTP_PROXY");
}

/// A helper as Docker calls one: the registry comes on its standard input.
const HELPER: &str = r#"#!/bin/sh
test "$1" = get || exit 9
read -r registry
echo "$registry" >> "$HOME/asked"
case "$registry" in
    REGISTRY) echo '{"ServerURL":"","Username":"user","Secret":"secret: word"}' ;;
    broken.*) echo 'the key ring is locked'; exit 1 ;;
    *) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"#;

fn credential_helpers() {
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = dir.path().join("htpasswd");
    std::fs::write(&htpasswd, run("htpasswd", &["-nbB", "user", "secret: word"])).unwrap();
    let guard = Guard { htpasswd: Some(htpasswd), ..Guard::default() };
    let registry = Registry::start(dir.path(), &guard);
    registry.push(&sample(dir.path()), "image", &["--dest-creds", "user:secret: word"]);
    let helper = dir.path().join("docker-credential-test.helper");
    std::fs::write(&helper, HELPER.replace("REGISTRY", &registry.host)).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", text(dir.path()), std::env::var("PATH").unwrap());

    // `~/.docker/config.json`, as `docker login` writes it.
    let docker = dir.path().join(".docker");
    std::fs::create_dir(&docker).unwrap();
    let reference = format!("{}/image", registry.host);
    let with = |config: serde_json::Value| {
        std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
        pull(dir.path(), &reference, &[("PATH", &path)])
    };
    let own = serde_json::json!({ &registry.host: "test.helper" });
    let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap_or_default();
    let host = &registry.host;
    assert_pulled(&with(serde_json::json!({ "credHelpers": own })));
    assert!(asked().lines().count() > 0 && asked().lines().all(|line| line == host), "{}", asked());
    assert_pulled(&with(serde_json::json!({ "credsStore": "test.helper" })));
    // A registry's own helper comes before the store of all.
    let both = serde_json::json!({ "credHelpers": own, "credsStore": "is-not-installed" });
    assert_pulled(&with(both));
    let neither = serde_json::json!({ "credHelpers": { "other.example": "test.helper" } });
    assert_refused(&with(neither), "log in");
    assert_refused(&with(serde_json::json!({ "credsStore": "../evil" })), "../evil");
    assert_refused(&with(serde_json::json!({ "credsStore": "is-not-installed" })), "install");

    // $DOCKER_CONFIG takes the place of ~/.docker.
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let config = serde_json::json!({ "credsStore": "test.helper" }).to_string();
    std::fs::write(elsewhere.join("config.json"), config).unwrap();
    let variables = [("PATH", &*path), ("DOCKER_CONFIG", text(&elsewhere))];
    assert_pulled(&pull(dir.path(), &reference, &variables));

    // What a helper says goes into the error; that it knows nothing is none.
    std::fs::write(&helper, HELPER.replace("broken.*", host)).unwrap();
    assert_refused(&pull(dir.path(), &reference, &variables), "the key ring is locked");
    std::fs::write(&helper, HELPER).unwrap();
    assert_refused(&pull(dir.path(), &reference, &variables), "log in");
}

/// A file system in memory of so many bytes, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "none", text(at)]);
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy", text(self.0)]);
    }
}

/// Wherever the space ends, in a blob or in a layer, no half of either is left, and with more space
/// the same pull comes through.
fn full_disk() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    // Bytes that do not compress: the blob is as large as the layer.
    let noise: Vec<u8> =
        (0..3u32 << 20).map(|n| (n.wrapping_mul(n ^ 0x9e37_79b9) >> 11) as u8).collect();
    let tar = Tar::default().add(tars::file("noise"), &noise).write(dir.path(), "noise.tar");
    let layout = layout(dir.path(), &[&tar]);
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&layout.replacen("oci-layout:", "oci:", 1), "image", &[]);
    let place = dir.path().join("disk");
    std::fs::create_dir(&place).unwrap();
    // Room for half a blob, for a blob and half a layer, for half a layer.
    let remote = format!("{}/image", registry.host);
    for (size, reference) in [("1500k", &remote), ("4500k", &remote), ("1500k", &layout)] {
        let _disk = SmallDisk::mount(&place, size);
        let home = place.join("home");
        let store = Store::open(&home).unwrap();
        let error = common::pull(&store, reference).unwrap_err().to_string();
        assert!(error.contains("No space left") && error.contains("free some space"), "{error}");
        let images = home.join("images");
        for kind in ["partial/sha256", "tmp", "tags", "layers/diff/sha256", "layers/chain/sha256"] {
            let left = std::fs::read_dir(images.join(kind)).unwrap().count();
            assert_eq!(left, 0, "{kind} after a disk of {size} was full");
        }
        assert!(store.verify().unwrap().damage.is_empty());
        run("mount", &["-o", "remount,size=16m", text(&place)]);
        assert_eq!(common::pull(&store, reference).unwrap().layers.len(), 1);
    }
}
