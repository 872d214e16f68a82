//! Images for these tests: busybox from Debian, with more users and files, in many configurations.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::common::layout;

/// Prints its arguments, each in brackets.
const SHOW: &str = "#!/bin/sh\nfor argument; do printf '[%s]' \"$argument\"; done; echo\n";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv/web:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nadm:x:4:web\nlog:x:9:web,nobody\nweb:x:34:\nnogroup:x:65534:\n";

/// An OCI layout with one tag for each configuration.
pub(crate) struct Images(tempfile::TempDir);

impl Images {
    pub(crate) fn new() -> Self {
        let images = Self(tempfile::tempdir().unwrap());
        let target = images.0.path();
        let base = layout();
        fs::create_dir_all(target.join("blobs/sha256")).unwrap();
        for blob in fs::read_dir(base.join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            fs::copy(blob.path(), target.join("blobs/sha256").join(blob.file_name())).unwrap();
        }
        let read = |path: &str| -> Value {
            serde_json::from_slice(&fs::read(base.join(path)).unwrap()).unwrap()
        };
        let blob_of = |descriptor: &Value| {
            read(&descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/"))
        };
        let base_manifest = blob_of(&read("index.json")["manifests"][0]);
        let more = put(target, &layer(), "application/vnd.oci.image.layer.v1.tar");
        let layers = json!([base_manifest["layers"][0], more]);
        let diff_ids = json!([base_manifest["layers"][0]["digest"], more["digest"]]);
        let manifests: Vec<Value> = configurations()
            .into_iter()
            .map(|(tag, architecture, config)| {
                let config = json!({
                    "architecture": architecture, "os": "linux", "config": config,
                    "rootfs": { "type": "layers", "diff_ids": diff_ids },
                });
                let config = put_json(target, &config, "application/vnd.oci.image.config.v1+json");
                let media_type = "application/vnd.oci.image.manifest.v1+json";
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
                });
                let mut manifest = put_json(target, &manifest, media_type);
                manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
                manifest
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(target.join("index.json"), index.to_string()).unwrap();
        fs::write(target.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        images
    }

    /// The reference of the image with this tag.
    pub(crate) fn reference(&self, tag: &str) -> String {
        format!("oci-layout:{}:{tag}", self.0.path().display())
    }
}

/// Tag, architecture and configuration of each image.
fn configurations() -> Vec<(String, &'static str, Value)> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut all = vec![
        ("plain".to_owned(), "arm64", json!({ "Env": [path], "Cmd": ["sh"] })),
        ("foreign".to_owned(), "amd64", json!({ "Env": [path], "Cmd": ["sh"] })),
        (
            "web".to_owned(),
            "arm64",
            json!({
                "Env": ["A=image", "B=image"], "User": "web", "WorkingDir": "/srv/web/made",
                "StopSignal": "SIGUSR1", "Labels": { "tier": "image", "kind": "test" },
                "Cmd": ["show", "c"],
            }),
        ),
        ("owner".to_owned(), "arm64", json!({ "User": "33:log", "Cmd": ["id", "-G"] })),
    ];
    // The two forms of the Dockerfile's instructions, as its reference says what becomes of them.
    let forms = |exec: &str| {
        [
            ("none", Value::Null),
            ("shell", json!(["/bin/sh", "-c", format!("show {exec}")])),
            ("exec", json!(["show", exec])),
        ]
    };
    for (entry_form, entry) in forms("e") {
        for (cmd_form, cmd) in forms("c") {
            let tag = format!("{entry_form}-{cmd_form}");
            all.push((tag, "arm64", json!({ "Entrypoint": entry, "Cmd": cmd })));
        }
    }
    all
}

fn put_json(layout: &Path, value: &Value, media_type: &str) -> Value {
    put(layout, value.to_string().as_bytes(), media_type)
}

/// Writes a blob and returns its descriptor.
fn put(layout: &Path, bytes: &[u8], media_type: &str) -> Value {
    let digest = image::Digest::of(bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

fn layer() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, owner: (u64, u64), text: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(0);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    };
    let (file, directory) = (tar::EntryType::Regular, tar::EntryType::Directory);
    add("etc/passwd", file, 0o644, (0, 0), PASSWD);
    add("etc/group", file, 0o644, (0, 0), GROUP);
    add("bin/show", file, 0o755, (0, 0), SHOW);
    add("bin/no-interpreter", file, 0o755, (0, 0), "#!/none/such\n");
    add("bin/no-program", file, 0o755, (0, 0), "\0plain text\n");
    add("srv/", directory, 0o755, (0, 0), "");
    add("srv/web/", directory, 0o755, (33, 34), "");
    add("srv/file", file, 0o644, (0, 0), "text\n");
    archive.into_inner().unwrap()
}
