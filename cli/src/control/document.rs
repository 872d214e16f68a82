//! Whether `docs/control-api.yaml` says what the socket does: the routes, and the fields of everything that is sent.
//!
//! The document keeps to one layout, a property a line, so that it can be read here by its lines.

use std::collections::BTreeSet;

use agent::{Clock, Layer, Rlimit, RootAttributes, WindowSize, Writable};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ErrorBody, KillRequest, SnapshotReply, SnapshotRequest, StopRequest, WaitReply};
use crate::record::{Origin, PortMapping, Spec, State};

const DOCUMENT: &str = include_str!("../../../docs/control-api.yaml");

type Names = BTreeSet<String>;

/// The key of a line of the document, and how far it is indented.
fn key(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start();
    let (key, _) = text.split_once(':')?;
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/".contains(&b));
    plain.then_some((line.len() - text.len(), key))
}

/// The lines below a key of this indentation.
fn below(indentation: usize, name: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let keys = DOCUMENT.lines().filter_map(key);
    let from = keys.skip_while(move |&found| found != (indentation, name)).skip(1);
    from.take_while(move |&(deeper, _)| deeper > indentation)
}

/// The properties of a schema, and of what is described inside it.
fn documented(schema: &str) -> Names {
    const WORDS: [&str; 10] = [
        "additionalProperties",
        "description",
        "items",
        "maxProperties",
        "minProperties",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
    ];
    let keys = below(4, schema).map(|(_, key)| key).filter(|key| !WORDS.contains(key));
    keys.map(str::to_owned).collect()
}

/// The names of all fields of a value, and of what is inside it but for these fields.
fn sent(value: &impl Serialize, elsewhere: &[&str]) -> Names {
    fn collect(value: &Value, elsewhere: &[&str], into: &mut Names) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    into.insert(name.clone());
                    if !elsewhere.contains(&name.as_str()) {
                        collect(value, elsewhere, into);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, elsewhere, into)),
            _ => {}
        }
    }
    let mut names = Names::new();
    collect(&serde_json::to_value(value).unwrap(), elsewhere, &mut names);
    names
}

fn layer() -> Layer {
    Layer { device: "/dev/vda1".into(), fstype: "erofs".into() }
}

fn guest(writable: Writable) -> agent::Config {
    agent::Config {
        layers: vec![layer()],
        writable,
        root: Some(RootAttributes {
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            mtime_ns: 0,
            xattrs: vec![],
        }),
        clock: Some(Clock { unix_nanos: 0, counter: 0 }),
        ..agent::Config::default()
    }
}

fn process() -> agent::ProcessSpec {
    agent::ProcessSpec {
        tty: Some(WindowSize { rows: 1, columns: 1 }),
        rlimits: vec![Rlimit { resource: "core".into(), soft: 0, hard: 0 }],
        ..agent::ProcessSpec::default()
    }
}

fn origins() -> [Origin; 2] {
    let (kernel, initramfs, layers) = ("k", "i", vec![]);
    let (kernel, initramfs) = (kernel.into(), initramfs.into());
    let boot = Origin::Boot { kernel, initramfs, layers, writable: None };
    let Origin::Boot { kernel, initramfs, layers, .. } = boot.clone() else { unreachable!() };
    [boot, Origin::Snapshot { path: "s".into(), copy: false, kernel, initramfs, layers }]
}

fn spec() -> Spec {
    let [origin, _] = origins();
    Spec {
        id: String::new(),
        name: String::new(),
        created: jiff::Timestamp::UNIX_EPOCH,
        image: String::new(),
        digest: String::new(),
        memory: 0,
        cpus: 0,
        origin,
        guest: guest(Writable::default()),
        process: process(),
        stdin_once: false,
        ports: vec![],
        labels: [("key".to_owned(), String::new())].into(),
        auto_remove: false,
        stop_signal: 0,
        stop_timeout: 0,
        init_timeout: 0,
    }
}

#[test]
fn every_field_that_is_sent_is_documented_and_none_else() {
    let port: PortMapping = "80".parse().unwrap();
    let steps = json!({
        "state_ms": 0.0, "memory_ms": 0.0, "resources_ms": 0.0, "vm_ms": 0.0, "gic_ms": 0.0, "devices_ms": 0.0,
        "vcpus_ms": 0.0, "timer_ms": 0.0, "first_instruction_ms": 0.0, "endpoints_ms": 0.0, "thaw_ms": 0.0,
    });
    let state = State {
        restored: Some(serde_json::from_value(steps).unwrap()),
        ports: vec![port],
        ..State::created()
    };
    let writables = [Writable::default(), Writable::Disk(layer())];
    for (schema, fields) in [
        ("Spec", sent(&spec(), &["origin", "guest", "process", "labels"])),
        ("Origin", sent(&origins(), &[])),
        ("Guest", sent(&writables.map(guest), &["layers", "Disk"])),
        ("Layer", sent(&layer(), &[])),
        ("Process", sent(&process(), &[])),
        ("State", sent(&state, &["ports"])),
        ("Port", sent(&port, &[])),
        ("StopRequest", sent(&StopRequest::default(), &[])),
    ] {
        assert_eq!(documented(schema), fields, "{schema}");
    }
    // These have no schema of their own.
    let error = ErrorBody { error: String::new(), exit_code: Some(125) };
    let snapshot = SnapshotReply { bytes: 0, pause_ms: 0.0, save_ms: 0.0 };
    for fields in [
        sent(&KillRequest { signal: 1 }, &[]),
        sent(&WaitReply { exit_code: 0 }, &[]),
        sent(&SnapshotRequest { path: "s".into() }, &[]),
        sent(&snapshot, &[]),
        sent(&error, &[]),
    ] {
        let all: Names = DOCUMENT.lines().filter_map(key).map(|(_, key)| key.to_owned()).collect();
        assert!(fields.is_subset(&all), "{fields:?}");
    }
}

#[test]
fn every_route_is_documented_and_none_else() {
    let mut documented = BTreeSet::new();
    let mut path = "";
    for (indentation, key) in below(0, "paths") {
        match indentation {
            2 => path = key,
            4 => drop(documented.insert(format!("{key} {path}"))),
            _ => {}
        }
    }
    let routes = include_str!("server.rs").lines().filter_map(|line| {
        let (path, handler) = line.trim().strip_prefix(".route(\"")?.split_once("\", ")?;
        Some(format!("{} {path}", handler.split('(').next()?))
    });
    assert_eq!(documented, routes.collect::<BTreeSet<_>>());
    assert!(documented.contains("get /v1/wait"));
}
