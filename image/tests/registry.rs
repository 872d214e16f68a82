//! Pulls from a real registry on loopback, of images that skopeo, umoci and buildah made.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use common::registry::{Breaker, Guard, Registry, certificates};
use common::tars::{self, Tar};
use common::{layers, layout, pull, run, text};
use image::{Digest, Error, Event, Image, Platform, PullOptions, Store};

fn sample(dir: &Path) -> String {
    // Bytes that gzip cannot shrink, so that a pull takes several reads.
    let mut noise = vec![0u8; 3 << 20];
    let mut state = 1u64;
    for byte in &mut noise {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    let base = Tar::default().add(tars::dir("./"), b"").add(tars::file("noise"), &noise);
    let base = base.write(dir, "base.tar");
    let top = Tar::default().add(tars::file(".wh.noise"), b"").add(tars::file("n2"), &noise[1..]);
    let top = top.write(dir, "top.tar");
    layout(dir, &[&base, &top]).replacen("oci-layout:", "oci:", 1)
}

fn store(dir: &Path) -> Store {
    Store::open(&tempfile::tempdir_in(dir).unwrap().keep()).unwrap()
}

fn with(options: &PullOptions, store: &Store, name: &str) -> Result<Image, Error> {
    store.pull(&name.parse()?, options, &|_| {})
}

#[test]
fn by_tag_by_digest_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "some/image:v1", &[]);
    let name = format!("{}/some/image", registry.host);
    let store = store(dir.path());
    let image = pull(&store, &format!("{name}:v1")).unwrap();
    assert_eq!(image.layers.len(), 2);
    // skopeo's word on the same digest.
    let raw =
        run("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}:v1")]);
    assert_eq!(image.digest, Digest::of(raw.as_bytes()));
    assert_eq!(layers::merged(&image).len(), 2, "the root and one file");

    let events = Mutex::new(Vec::new());
    let by_digest = format!("{name}@{}", image.digest).parse().unwrap();
    let again = store.pull(&by_digest, &PullOptions::default(), &|event| {
        events.lock().unwrap().push(event);
    });
    assert_eq!(again.unwrap().layers, image.layers);
    let events = events.into_inner().unwrap();
    let present = events.iter().filter(|e| matches!(e, Event::Present { .. })).count();
    assert_eq!(present, 2, "nothing is fetched twice: {events:?}");

    let missing = pull(&store, &format!("{name}:v2")).unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let other = PullOptions { platform: Platform::new("linux", "amd64", ""), ..Default::default() };
    let wrong = with(&other, &store, &format!("{name}:v1")).unwrap_err();
    assert!(matches!(wrong, Error::WrongPlatform { .. }), "{wrong}");
}

#[test]
fn images_by_buildah_and_docker_schema_2_and_an_index() {
    common::need_root();
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    let root = dir.path().join("containers");
    let buildah = |args: &[&str]| {
        let run_root = dir.path().join("run");
        let storage =
            ["--storage-driver", "vfs", "--root", text(&root), "--runroot", text(&run_root)];
        run("buildah", &[&storage[..], args].concat()).trim().to_owned()
    };
    let file = dir.path().join("hello");
    let list = format!("{}/multi", registry.host);
    for (arch, variant) in [("amd64", ""), ("arm64", "v8")] {
        std::fs::write(&file, arch).unwrap();
        let mut from = vec!["from", "--arch", arch];
        if !variant.is_empty() {
            from.extend(["--variant", variant]);
        }
        let container = buildah(&[&from[..], &["scratch"]].concat());
        buildah(&["copy", &container, text(&file), "/dir/hello"]);
        buildah(&["config", "--arch", arch, "--cmd", "/x", "--env", "A=b c", &container]);
        buildah(&["commit", "-q", "--format", "docker", &container, &format!("local-{arch}")]);
        if arch == "amd64" {
            buildah(&["manifest", "create", "multi"]);
        }
        let mut add = vec!["manifest", "add", "--arch", arch];
        if !variant.is_empty() {
            add.extend(["--variant", variant]);
        }
        buildah(&[&add[..], &["multi", &format!("localhost/local-{arch}")]].concat());
    }
    buildah(&[
        "manifest",
        "push",
        "-q",
        "--all",
        "--tls-verify=false",
        "multi",
        &format!("docker://{list}"),
    ]);

    let store = store(dir.path());
    for (platform, content) in [("linux/arm64", "arm64"), ("linux/amd64", "amd64")] {
        let options = PullOptions { platform: platform.parse().unwrap(), ..Default::default() };
        let image = with(&options, &store, &list).unwrap();
        assert_eq!(image.config.cmd, ["/x"]);
        assert!(image.config.env.contains(&"A=b c".to_owned()));
        let tree = layers::merged(&image);
        let expected = common::tree::hash(content.as_bytes());
        assert_eq!(tree[&b"dir/hello"[..]].content, expected);
    }
    let options = PullOptions { platform: "linux/riscv64".parse().unwrap(), ..Default::default() };
    match with(&options, &store, &list).unwrap_err() {
        Error::NoSuchPlatform { available, .. } => assert!(available.contains("linux/arm64")),
        other => panic!("{other}"),
    }
}

#[test]
fn tls_with_a_private_authority_and_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, certificate, key) = certificates(dir.path());
    let htpasswd = dir.path().join("htpasswd");
    // bcrypt, which the registry demands; htpasswd(1) is in apache2-utils.
    let line = run("htpasswd", &["-nbB", "user", "secret: word"]);
    std::fs::write(&htpasswd, line).unwrap();
    let guard = Guard { tls: Some((certificate, key)), htpasswd: Some(htpasswd) };
    let registry = Registry::start(dir.path(), &guard);
    registry.push(&sample(dir.path()), "private", &["--dest-creds", "user:secret: word"]);
    let name = format!("{}/private", registry.host);
    let store = store(dir.path());

    let untrusted = pull(&store, &name).unwrap_err().to_string();
    assert!(untrusted.contains("authority"), "{untrusted}");

    let mut options = PullOptions::default();
    options.registry.ca_files.push(ca);
    let docker = |json: String| -> PathBuf {
        let config = tempfile::tempdir_in(dir.path()).unwrap().keep();
        std::fs::write(config.join("config.json"), json).unwrap();
        config
    };
    options.registry.docker_config = Some(docker("{}".into()));
    let anonymous = with(&options, &store, &name).unwrap_err();
    assert!(matches!(anonymous, Error::Unauthorized { .. }), "{anonymous}");

    use base64::Engine as _;
    let auth = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let auths = |text: &str| {
        docker(format!(
            r#"{{"auths":{{"https://{}":{{"auth":"{}"}}}}}}"#,
            registry.host,
            auth(text)
        ))
    };
    options.registry.docker_config = Some(auths("user:wrong"));
    let wrong = with(&options, &store, &name).unwrap_err();
    assert!(matches!(wrong, Error::Unauthorized { .. }), "{wrong}");
    options.registry.docker_config = Some(auths("user:secret: word"));
    assert_eq!(with(&options, &store, &name).unwrap().layers.len(), 2);

    options.registry.docker_config = Some(docker(r#"{"credsStore":"is-not-installed"}"#.into()));
    let helper = with(&options, &store, &name).unwrap_err();
    assert!(matches!(helper, Error::Credentials { .. }), "{helper}");
}

#[test]
fn a_broken_connection_is_resumed_by_range() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let breaker = Breaker::start(registry.port(), 1 << 20, 4);
    let name = format!("127.0.0.1:{}/image", breaker.port);
    let store = store(dir.path());
    let fetched = Mutex::new(Vec::new());
    let retries = Mutex::new(0);
    let image = store.pull(&name.parse().unwrap(), &PullOptions::default(), &|event| match event {
        Event::Fetched { layer, bytes, .. } => fetched.lock().unwrap().push((layer, bytes)),
        Event::Retrying { .. } => *retries.lock().unwrap() += 1,
        _ => {}
    });
    assert_eq!(image.unwrap().layers.len(), 2);
    assert_eq!(breaker.cuts.load(Ordering::SeqCst), 0, "the relay cut all it could");
    assert_eq!(*retries.lock().unwrap(), 4);
    for layer in 0..2 {
        let fetched = fetched.lock().unwrap();
        let bytes: Vec<u64> =
            fetched.iter().filter(|(l, _)| *l == layer).map(|(_, b)| *b).collect();
        assert!(bytes.is_sorted(), "what had come was not fetched again: {bytes:?}");
    }
}

#[test]
fn a_pull_resumes_what_an_earlier_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    // It never gets beyond the first MiB of anything, however often it tries.
    let breaker = Breaker::start(registry.port(), 1 << 20, u64::MAX);
    let store = store(dir.path());
    let mut options = PullOptions { parallel: 1, ..PullOptions::default() };
    let origin = format!("{}/image", registry.host);
    options.registry.mirrors.insert(
        registry.host.clone(),
        vec!["http://127.0.0.1:1".into(), format!("http://127.0.0.1:{}", breaker.port)],
    );
    // Each attempt makes progress, so the pull comes through in the end, a MiB at a time.
    let first = Mutex::new(None);
    let image = store.pull(&origin.parse().unwrap(), &options, &|event| {
        if let Event::Retrying { reason, .. } = event {
            first.lock().unwrap().get_or_insert(reason);
        }
    });
    assert_eq!(image.unwrap().layers.len(), 2);
    assert!(first.into_inner().unwrap().is_some());
}

#[test]
fn pruning_keeps_what_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let reference = sample(dir.path()).replacen("oci:", "oci-layout:", 1);
    let store = store(dir.path());
    let image = pull(&store, &reference).unwrap();
    let paths: Vec<PathBuf> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let all_there = || paths.iter().all(|path| path.exists());

    store.prune(true).unwrap();
    assert!(all_there(), "a living process uses it");
    store.pin("container-1", &[&image]).unwrap();
    drop(image);
    store.prune(true).unwrap();
    assert!(all_there(), "a pin uses it");
    match store.remove(&reference, None, false).unwrap_err() {
        Error::InUse { owners, .. } => assert_eq!(owners, "container-1"),
        other => panic!("{other}"),
    }
    store.remove(&reference, None, true).unwrap();
    assert!(all_there() && store.tags().unwrap().is_empty());
    store.unpin("container-1").unwrap();
    let pruned = store.prune(false).unwrap();
    assert!(!paths.iter().any(|path| path.exists()));
    assert!(pruned.freed > 6 << 20, "{pruned:?}");
    assert!(matches!(store.remove(&reference, None, false), Err(Error::NoSuchImage { .. })));
    assert!(store.pin("../x", &[]).is_err());
}
