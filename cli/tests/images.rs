//! Commands on the image store, without a machine or with one that has ended.

mod common;

use common::{Kiln, image};
use serde_json::Value;

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
    assert_eq!(run(&["--pull", "always"]).0, Some(0));
    assert_ne!(pulled(), first, "it was pulled again");
    assert_eq!(run(&["--platform", "linux/arm64"]).0, Some(0));
    let (status, said) = run(&["--platform", "linux/amd64"]);
    assert!(status == Some(125) && said.contains("amd64"), "{said}");
    let (status, said) = run(&["--platform", "a/b/c/d"]);
    assert!(status == Some(125), "{said}");
}
