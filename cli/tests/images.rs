//! Commands on the image store, without a machine or with one that has ended.

#[path = "../../image/tests/common/http.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod http;
#[path = "../../image/tests/common/tars.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod tars;

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use common::{Kiln, image};
use image::Digest;
use serde_json::{Value, json};
use tars::Tar;

/// A file of the layout that [`image`] names.
fn layout_file(reference: &str, name: &str) -> Value {
    let path = reference.strip_prefix("oci-layout:").unwrap().strip_suffix(":latest").unwrap();
    serde_json::from_slice(&std::fs::read(format!("{path}/{name}")).unwrap()).unwrap()
}

fn blob(reference: &str, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
    layout_file(reference, &format!("blobs/{digest}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn progress_is_for_terminals_or_programs() {
    let image = image();
    let index = layout_file(&image, "index.json");
    let digest = &index["manifests"][0]["digest"];
    let manifest = blob(&image, &index["manifests"][0]);
    let said = format!("{image} {}\n", digest.as_str().unwrap());

    let plain = Kiln::new().output(&["pull", &image]);
    assert_eq!(String::from_utf8_lossy(&plain.stdout), said);
    assert_eq!(String::from_utf8_lossy(&plain.stderr), "", "quiet when not on a terminal");

    let events = Kiln::new().output(&["pull", "--progress", "json", &image]);
    assert_eq!(String::from_utf8_lossy(&events.stdout), said);
    let events = String::from_utf8_lossy(&events.stderr).into_owned();
    let events: Vec<Value> = events.lines().map(json).collect();
    let kinds = |wanted| events.iter().filter(move |event| event["event"] == wanted);
    assert_eq!(kinds("resolved").next().unwrap()["manifest"], *digest);
    let layer = &kinds("resolved").next().unwrap()["layers"][0];
    assert_eq!(layer["digest"], manifest["layers"][0]["digest"]);
    assert_eq!(kinds("converted").next_back().unwrap()["bytes"], manifest["layers"][0]["size"]);
    assert_eq!(kinds("done").count(), 1);
    assert_eq!(events.last().unwrap()["event"], "complete");

    // script(1) gives it a terminal.
    let kiln = Kiln::new();
    let program = env!("CARGO_BIN_EXE_kiln");
    let shown = std::process::Command::new("script")
        .args(["-qec", &format!("{program} pull {image}"), "/dev/null"])
        .env("KILN_HOME", kiln.home())
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let short = layer["digest"].as_str().unwrap().split_at(7).1.split_at(12).0;
    assert!(shown.contains(&format!("{short}: Pull complete")), "{shown:?}");
}

#[test]
fn images_are_listed_inspected_and_removed() {
    let kiln = Kiln::new();
    let image = image();
    let index = layout_file(&image, "index.json");
    let manifest = blob(&image, &index["manifests"][0]);
    let config = blob(&image, &manifest["config"]);
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let id = digest.strip_prefix("sha256:").unwrap().split_at(12).0;
    assert_eq!(kiln.text(&["images", "-q"]), "");
    // A machine that has ended still needs its image.
    kiln.text(&["run", "--name", "user", &image, "true"]);

    assert_eq!(kiln.text(&["images", "-q"]), id);
    assert_eq!(kiln.text(&["images", "-q", "--no-trunc"]), digest);
    assert!(kiln.text(&["images"]).contains(id));
    let listed = json(&kiln.text(&["images", "--format", "json"]));
    assert_eq!(
        (&listed[0]["reference"], &listed[0]["id"]),
        (&image.clone().into(), &digest.into())
    );
    let inspected = json(&kiln.text(&["inspect", id]));
    assert_eq!(inspected[0]["config"]["cmd"], config["config"]["Cmd"]);
    assert_eq!(inspected[0]["config"]["env"], config["config"]["Env"]);
    let layer = &inspected[0]["layers"][0];
    assert_eq!(layer["diff_id"], config["rootfs"]["diff_ids"][0]);
    assert_eq!(listed[0]["size"], layer["size"]);
    let file = layer["path"].as_str().unwrap();
    assert_eq!(layer["size"], std::fs::metadata(file).unwrap().len());

    for refused in [&["rmi", id][..], &["rmi", &image]] {
        let refused = kiln.output(refused);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && error.contains("is used by"), "{error}");
    }
    let pruned = json(&kiln.text(&["prune", "--all", "--format", "json"]));
    assert_eq!((&pruned["freed"], &pruned["untagged"]), (&0.into(), &Value::Array(Vec::new())));
    kiln.text(&["rm", "user"]);
    let pruned = json(&kiln.text(&["prune", "--format", "json"]));
    assert_eq!(pruned["freed"], 0, "its name still needs it");
    let removed = kiln.output(&["rmi", id]);
    let said = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(removed.status.success() && said.contains(&format!("Untagged: {image}")), "{said}");
    assert!(!std::path::Path::new(file).exists());
    let said = String::from_utf8_lossy(&removed.stderr).into_owned();
    assert!(said.contains("Total reclaimed space: ") && !said.contains(": 0B"), "{said}");
    assert!(!kiln.output(&["rmi", id]).status.success());
    assert_eq!(kiln.text(&["images", "-q"]), "");
}

/// An OCI layout of one layer, as its blobs lie in a registry, too; returns the reference.
fn tiny(dir: &Path, tar: &[u8]) -> String {
    let blob = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let config = json!({
        "os": "linux", "architecture": "arm64",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(tar)] },
    });
    let config_type = "application/vnd.oci.image.config.v1+json";
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": blob(config.to_string().as_bytes(), config_type),
        "layers": [blob(tar, "application/vnd.oci.image.layer.v1.tar")],
    });
    let manifest = blob(manifest.to_string().as_bytes(), manifest_type);
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci-layout:{}", dir.display())
}

#[test]
fn flags_say_how_to_talk_to_registries() {
    let dir = tempfile::tempdir().unwrap();
    tiny(dir.path(), &Tar::default().add(tars::file("f"), b"content").bytes());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, layout) = (asked.clone(), dir.path().to_owned());
    let port = http::serve(move |request| {
        log.lock().unwrap().push(request.target.clone());
        http::answer_from(&layout, request)
    });
    let host = format!("localhost:{port}");
    let name = format!("{host}/image");
    let probed = || std::mem::take(&mut *asked.lock().unwrap()).contains(&"/v2/".to_owned());
    Kiln::new().text(&["pull", &name]);
    assert!(probed(), "a registry on this machine is asked what it speaks");
    Kiln::new().text(&["pull", "--plain-http", &host, "--jobs", "1", &name]);
    assert!(!probed());

    let elsewhere = "registry.invalid/image";
    let mirror = format!("registry.invalid=http://{host}");
    Kiln::new().text(&["pull", "--mirror", &mirror, elsewhere]);
    assert!(!asked.lock().unwrap().is_empty());
    let no_mirror = Kiln::new().output(&["pull", "--mirror", "registry.invalid", elsewhere]);
    let error = String::from_utf8_lossy(&no_mirror.stderr).into_owned();
    assert!(!no_mirror.status.success() && error.contains("write REGISTRY=URL"), "{error}");
}

#[test]
fn a_flag_names_a_certificate_authority() {
    let dir = tempfile::tempdir().unwrap();
    tiny(dir.path(), &Tar::default().add(tars::file("f"), b"content").bytes());
    // A web server's paths, as a registry has them.
    let files = dir.path().join("v2/image");
    std::fs::create_dir_all(files.join("manifests")).unwrap();
    std::fs::create_dir_all(files.join("blobs")).unwrap();
    for blob in std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let digest = format!("sha256:{}", blob.file_name().to_str().unwrap());
        std::fs::copy(blob.path(), files.join("blobs").join(digest)).unwrap();
    }
    let index = std::fs::read(dir.path().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let manifest = files.join("blobs").join(index["manifests"][0]["digest"].as_str().unwrap());
    std::fs::copy(manifest, files.join("manifests/latest")).unwrap();
    let config = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n\
                  [dn]\nCN=localhost\n[ext]\nsubjectAltName=DNS:localhost\n\
                  basicConstraints=CA:FALSE\n";
    std::fs::write(dir.path().join("config"), config).unwrap();
    let request = "req -x509 -newkey rsa:2048 -nodes -days 30 -config config -keyout key -out cert";
    let mut openssl = Command::new("openssl");
    openssl.args(request.split(' ')).current_dir(&dir).stderr(Stdio::null());
    assert!(openssl.status().unwrap().success());
    let serve = "import http.server, ssl\n\
                 handler = http.server.SimpleHTTPRequestHandler\n\
                 server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)\n\
                 context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
                 context.load_cert_chain('cert', 'key')\n\
                 server.socket = context.wrap_socket(server.socket, server_side=True)\n\
                 print(server.server_port, flush=True)\n\
                 server.serve_forever()";
    let mut python = Command::new("python3");
    python.args(["-c", serve]).current_dir(&dir).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = python.spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();

    let name = format!("localhost:{}/image", port.trim());
    let authority = dir.path().join("cert").display().to_string();
    let untrusted = Kiln::new().output(&["pull", &name]);
    let trusted = Kiln::new().output(&["pull", "--tls-ca", &authority, &name]);
    server.kill().unwrap();
    server.wait().unwrap();
    let error = String::from_utf8_lossy(&untrusted.stderr).into_owned();
    assert!(!untrusted.status.success() && error.contains("certificate"), "{error}");
    assert!(trusted.status.success(), "{trusted:?}");
    let missing = Kiln::new().output(&["pull", "--tls-ca", "/no/such/file", &name]);
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && error.contains("/no/such/file"), "{error}");
}

#[test]
fn flags_say_what_is_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let image = tiny(dir.path(), &Tar::default().add(tars::file("/f"), &[7; 5000]).bytes());
    let refused = |flags: &[&str], reason: &str| {
        let output = Kiln::new().output(&[&["pull"], flags, &[&image]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(reason), "{flags:?}: {error}");
    };
    refused(&[], "absolute");
    refused(&["--absolute-names", "--layer-limit", "4k"], "the limit of 4096 bytes");
    refused(&["--absolute-names", "--layer-limit", "4 potatoes"], "--layer-limit");
    Kiln::new().text(&["pull", "--absolute-names", "--layer-limit", "8k", &image]);
}

#[test]
fn a_damaged_image_is_listed_and_pulled_again() {
    let dir = tempfile::tempdir().unwrap();
    let kiln = Kiln::new();
    let good = tempfile::tempdir().unwrap();
    let other = tiny(good.path(), &Tar::default().add(tars::file("g"), b"g").bytes());
    let image = tiny(dir.path(), &Tar::default().add(tars::file("f"), b"content").bytes());
    kiln.text(&["pull", &other]);
    kiln.text(&["pull", &image]);
    let inspected = json(&kiln.text(&["inspect", &image]));
    let layer = inspected[0]["layers"][0]["path"].as_str().unwrap();
    std::fs::write(layer, b"").unwrap();
    let listed = json(&kiln.text(&["images", "--format", "json"]));
    let complete = |reference: &str| {
        let all = listed.as_array().unwrap();
        all.iter().find(|one| one["reference"] == reference).unwrap()["complete"].clone()
    };
    assert_eq!((complete(&other), complete(&image)), (true.into(), false.into()));

    // Each of the failures is told, and what was found is shown.
    let inspected = kiln.output(&["inspect", &image, "neither", &other]);
    let error = String::from_utf8_lossy(&inspected.stderr).into_owned();
    assert!(!inspected.status.success() && error.contains("pull it again"), "{error}");
    assert!(error.contains("neither") && error.contains("kiln images"), "{error}");
    assert_eq!(json(&String::from_utf8_lossy(&inspected.stdout))[0]["reference"], *other);
    let removed = kiln.output(&["rmi", "one", "two"]);
    let error = String::from_utf8_lossy(&removed.stderr).into_owned();
    assert!(error.contains("\"one\"") && error.contains("\"two\""), "{error}");

    kiln.text(&["pull", &image]);
    assert_eq!(json(&kiln.text(&["inspect", &image]))[0]["layers"][0]["path"], layer);
}

/// `--pull` and `--platform` of `run`, docs.docker.com/reference/cli/docker/container/run.
#[test]
fn a_run_pulls_as_it_is_told() {
    let kiln = Kiln::new();
    let image = image();
    let run = |flags: &[&str]| {
        let args = [&["run", "--rm"], flags, &[image.as_str(), "echo", "ran"]].concat();
        let output = kiln.output(&args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = run(&["--pull", "never"]);
    assert!(status == Some(125) && said.contains("--pull=never"), "{said}");
    let (status, said) = run(&["--pull", "always"]);
    assert_eq!(status, Some(0), "{said}");
    let pulled = || json(&kiln.text(&["inspect", &image]))[0]["pulled"].clone();
    let first = pulled();
    assert_eq!(run(&["--pull", "never"]).0, Some(0));
    assert_eq!(pulled(), first, "nothing was pulled");
    // The record tells the second of a pull.
    let seconds = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    while Some(seconds()) <= first.as_u64() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run(&["--pull", "always"]).0, Some(0));
    assert_ne!(pulled(), first, "it was pulled again");
    assert_eq!(run(&["--platform", "linux/arm64"]).0, Some(0));
    let (status, said) = run(&["--platform", "linux/amd64"]);
    assert!(status == Some(125) && said.contains("amd64"), "{said}");
    let (status, said) = run(&["--platform", "a/b/c/d"]);
    assert!(status == Some(125), "{said}");
}
