//! Pulls from a real registry on loopback, of images that skopeo, umoci and buildah made.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::http::{self, Answer, Asked};
use common::registry::{Breaker, Guard, Registry, TokenService, certificates};
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
    let guard =
        Guard { tls: Some((certificate, key)), htpasswd: Some(htpasswd), ..Guard::default() };
    let registry = Registry::start(dir.path(), &guard);
    registry.push(&sample(dir.path()), "private", &["--dest-creds", "user:secret: word"]);
    let name = format!("{}/private", registry.host);
    let store = store(dir.path());

    let untrusted = pull(&store, &name).unwrap_err().to_string();
    assert!(untrusted.contains("authority"), "{untrusted}");

    let mut options = PullOptions::default();
    options.registry.ca_files.push(ca);
    options.registry.docker_config = Some(docker(dir.path(), "{}"));
    let anonymous = with(&options, &store, &name).unwrap_err();
    assert!(matches!(anonymous, Error::Unauthorized { .. }), "{anonymous}");

    let auths = |text| docker(dir.path(), &auths(&format!("https://{}", registry.host), text));
    options.registry.docker_config = Some(auths("user:wrong"));
    let wrong = with(&options, &store, &name).unwrap_err();
    assert!(matches!(wrong, Error::Unauthorized { .. }), "{wrong}");
    options.registry.docker_config = Some(auths("user:secret: word"));
    assert_eq!(with(&options, &store, &name).unwrap().layers.len(), 2);

    options.registry.docker_config =
        Some(docker(dir.path(), r#"{"credsStore":"is-not-installed"}"#));
    let helper = with(&options, &store, &name).unwrap_err();
    assert!(matches!(helper, Error::Credentials { .. }), "{helper}");
}

/// A directory with a Docker configuration in it.
fn docker(dir: &Path, json: &str) -> PathBuf {
    let config = tempfile::tempdir_in(dir).unwrap().keep();
    std::fs::write(config.join("config.json"), json).unwrap();
    config
}

/// A configuration with a user and a password for one host.
fn auths(host: &str, user_and_password: &str) -> String {
    let auth = STANDARD.encode(user_and_password);
    serde_json::json!({ "auths": { host: { "auth": auth } } }).to_string()
}

#[test]
fn tokens() {
    let dir = tempfile::tempdir().unwrap();
    let service = TokenService::start(dir.path());
    let guard = Guard { tokens: Some(service.guard), ..Guard::default() };
    let registry = Registry::start(dir.path(), &guard);
    registry.push(&sample(dir.path()), "team/image", &["--dest-creds", "user:secret: word"]);
    let name = format!("{}/team/image", registry.host);
    let pull = |config: &str| {
        service.asked.lock().unwrap().clear();
        let mut options = PullOptions::default();
        options.registry.docker_config = Some(docker(dir.path(), config));
        with(&options, &store(dir.path()), &name)
    };
    for refused in ["{}".to_owned(), auths(&registry.host, "user:wrong")] {
        match pull(&refused) {
            Err(Error::Unauthorized { reason, .. }) => {
                assert!(reason.contains("who are you?"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let scope = "repository:team/image:pull";
    assert_eq!(pull(&auths(&registry.host, "user:secret: word")).unwrap().layers.len(), 2);
    // One token does for manifest, configuration and layers.
    assert_eq!(*service.asked.lock().unwrap(), [("GET".to_owned(), scope.to_owned())]);

    // `docker login` of some registries leaves a token to get tokens with, and nothing else.
    let identity =
        serde_json::json!({ "auths": { &registry.host: { "identitytoken": "refresh" } } });
    assert_eq!(pull(&identity.to_string()).unwrap().layers.len(), 2);
    assert_eq!(*service.asked.lock().unwrap(), [("POST".to_owned(), scope.to_owned())]);
}

#[test]
fn mirrors_come_first_and_may_lack_things() {
    let dir = tempfile::tempdir().unwrap();
    let (origin_dir, mirror_dir) = (dir.path().join("origin"), dir.path().join("mirror"));
    for dir in [&origin_dir, &mirror_dir] {
        std::fs::create_dir(dir).unwrap();
    }
    let origin = Registry::start(&origin_dir, &Guard::default());
    let mirror = Registry::start(&mirror_dir, &Guard::default());
    let layout = sample(dir.path());
    mirror.push(&layout, "in/both", &[]);
    origin.push(&layout, "in/both", &[]);
    origin.push(&layout, "in/origin", &[]);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, port) = (asked.clone(), origin.port());
    let counted = http::serve(move |request| {
        log.lock().unwrap().push(request.target.clone());
        http::forward(port, request)
    });
    let mut options = PullOptions::default();
    let mirror = format!("http://{}/", mirror.host);
    options.registry.mirrors.insert(format!("localhost:{counted}"), vec![mirror]);
    with(&options, &store(dir.path()), &format!("localhost:{counted}/in/both")).unwrap();
    let of_images = |asked: &Vec<String>| asked.iter().filter(|url| *url != "/v2/").count();
    assert_eq!(of_images(&asked.lock().unwrap()), 0, "the mirror has it");
    with(&options, &store(dir.path()), &format!("localhost:{counted}/in/origin")).unwrap();
    assert_eq!(of_images(&asked.lock().unwrap()), 4, "manifest, configuration, two layers");
}

/// Mirrors that answer, but badly: the registry itself is asked then.
#[test]
fn mirrors_that_send_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let port = registry.port();
    let raw = format!("docker://{}/image", registry.host);
    let digest =
        Digest::of(run("skopeo", &["inspect", "--raw", "--tls-verify=false", &raw]).as_bytes());
    let is_layer = |answer: &Answer| answer.body.len() > 1 << 20;
    let wrong_byte = |answer: &mut Answer| answer.body[100] ^= 1;
    type Change = Box<dyn Fn(&Asked, &mut Answer) + Send + Sync>;
    let changes: [(&str, Change); 7] = [
        ("a manifest that is another", {
            Box::new(move |asked, answer| {
                if asked.target.contains("/manifests/") {
                    wrong_byte(answer);
                }
            })
        }),
        ("a manifest that breaks off", {
            Box::new(|asked, answer| {
                if asked.target.contains("/manifests/") {
                    answer.body.truncate(10);
                }
            })
        }),
        ("a configuration that is another", {
            Box::new(move |asked, answer| {
                if asked.target.contains("/blobs/") && !is_layer(answer) {
                    wrong_byte(answer);
                }
            })
        }),
        ("a configuration that breaks off", {
            Box::new(move |asked, answer| {
                if asked.target.contains("/blobs/") && !is_layer(answer) {
                    answer.body.truncate(10);
                }
            })
        }),
        ("layers that are others", {
            Box::new(move |_, answer| {
                if is_layer(answer) {
                    wrong_byte(answer);
                }
            })
        }),
        ("layers that break off at once, wherever they are resumed", {
            Box::new(move |asked, answer| {
                if asked.header("range").is_some() {
                    answer.body.clear();
                } else if is_layer(answer) {
                    answer.body.truncate(1 << 20);
                }
            })
        }),
        ("layers that are shorter, and say so", {
            Box::new(move |_, answer| {
                if is_layer(answer) {
                    answer.body.truncate(1 << 20);
                    answer.headers.retain(|(name, _)| name != "content-length");
                }
            })
        }),
    ];
    for (what, change) in changes {
        let change = Arc::new(change);
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let mirror = http::serve(move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            let mut answer = http::forward(port, request);
            change(request, &mut answer);
            answer
        });
        let mut options = PullOptions::default();
        let mirrors = vec![format!("http://localhost:{mirror}")];
        options.registry.mirrors.insert(registry.host.clone(), mirrors);
        let store = store(dir.path());
        let name = format!("{}/image@{digest}", registry.host);
        let image = with(&options, &store, &name).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(image.layers.len(), 2, "{what}");
        assert!(asked.load(Ordering::SeqCst) > 0, "{what}");
        assert!(store.verify().unwrap().damage.is_empty(), "{what}");
    }
}

/// A registry that sends something else than what was asked for, or too little, or too much.
#[test]
fn what_comes_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let port = registry.port();
    let raw = format!("docker://{}/image", registry.host);
    let digest =
        Digest::of(run("skopeo", &["inspect", "--raw", "--tls-verify=false", &raw]).as_bytes());
    let pull = |change: fn(&Asked, &mut Answer)| {
        let front = http::serve(move |request| {
            let mut answer = http::forward(port, request);
            change(request, &mut answer);
            answer
        });
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        let store = Store::open(home.path()).unwrap();
        // One at a time: a layer that is stopped because of another keeps what it has, to resume.
        let options = PullOptions { parallel: 1, ..PullOptions::default() };
        let name = format!("localhost:{front}/image@{digest}");
        let error = with(&options, &store, &name).unwrap_err();
        for kind in ["partial/sha256", "tmp", "tags"] {
            let left = std::fs::read_dir(home.path().join("images").join(kind)).unwrap().count();
            assert_eq!(left, 0, "{kind} after {error}");
        }
        assert!(store.verify().unwrap().damage.is_empty());
        error
    };
    let manifest = pull(|asked, answer| {
        if asked.target.contains("/manifests/") {
            answer.body.push(b' ');
            answer.headers.retain(|(name, _)| name != "content-length");
        }
    });
    assert!(matches!(manifest, Error::WrongDigest { .. }), "{manifest}");
    let huge = pull(|asked, answer| {
        if asked.target.contains("/manifests/") {
            answer.body.resize(5 << 20, b' ');
            answer.headers.retain(|(name, _)| name != "content-length");
        }
    });
    assert!(matches!(huge, Error::Connection { transient: false, .. }), "{huge}");
    let layer = pull(|asked, answer| {
        if asked.target.contains("/blobs/") && answer.body.len() > 1 << 20 {
            answer.body[1 << 20] ^= 1;
        }
    });
    assert!(matches!(layer, Error::WrongDigest { .. }), "{layer}");
    let long = pull(|asked, answer| {
        if asked.target.contains("/blobs/") {
            answer.body.push(0);
            answer.headers.retain(|(name, _)| name != "content-length");
        }
    });
    assert!(matches!(long, Error::WrongSize { .. }), "{long}");
    let config = pull(|asked, answer| {
        if asked.target.contains("/blobs/") && answer.body.starts_with(b"{") {
            answer.body[1] = b'x';
        }
    });
    assert!(matches!(config, Error::WrongDigest { .. }), "{config}");
}

/// Answers that mean "later".
#[test]
fn requests_are_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let port = registry.port();
    let count = Arc::new(AtomicU64::new(0));
    let seen = count.clone();
    let front = http::serve(move |request| {
        // Each third answer is the true one.
        let number = seen.fetch_add(1, Ordering::SeqCst);
        let mut answer = match number % 3 {
            0 => Answer::new(503, ""),
            1 => Answer::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#),
            _ => return http::forward(port, request),
        };
        answer.headers.push(("retry-after".into(), "0".into()));
        answer
    });
    // The question whether it speaks HTTP is not repeated.
    count.store(2, Ordering::SeqCst);
    let store = store(dir.path());
    let options = PullOptions { parallel: 1, ..PullOptions::default() };
    assert_eq!(
        with(&options, &store, &format!("localhost:{front}/image")).unwrap().layers.len(),
        2
    );
    assert_eq!(count.load(Ordering::SeqCst), 2 + 1 + 3 * 4);
}

/// Such a one sends the whole blob when asked for its rest.
#[test]
fn a_registry_without_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()), "image", &[]);
    let port = registry.port();
    let front = http::serve(move |request| {
        let mut whole = request.clone();
        whole.headers.retain(|(name, _)| name != "range");
        let mut answer = http::forward(port, &whole);
        // Its own length is stated, so the client sees that the rest is missing.
        if answer.body.len() > 1 << 20 && request.header("range").is_none() {
            answer.body.truncate(1 << 20);
        }
        answer
    });
    let store = store(dir.path());
    let image = pull(&store, &format!("localhost:{front}/image")).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert!(store.verify().unwrap().damage.is_empty());
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
    let port = registry.port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    // While it is broken, it sends the first MiB of a layer, and then nothing but excuses.
    let front = http::serve(move |request| {
        let range = request.header("range").map(str::to_owned);
        let mut answer = http::forward(port, request);
        if request.target.contains("/blobs/") && (range.is_some() || answer.body.len() > 1 << 20) {
            log.lock().unwrap().push(range.clone());
            if state.load(Ordering::SeqCst) {
                answer.body.truncate(1 << 20);
                if range.is_some() {
                    answer = Answer::new(503, "");
                    answer.headers.push(("retry-after".into(), "0".into()));
                }
            }
        }
        answer
    });
    let options = PullOptions { parallel: 1, ..PullOptions::default() };
    let name = format!("localhost:{front}/image");
    let rest = Some("bytes=1048576-".to_owned());
    for damage in [false, true] {
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        let store = Store::open(home.path()).unwrap();
        broken.store(true, Ordering::SeqCst);
        let error = with(&options, &store, &name).unwrap_err();
        assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
        let partial = std::fs::read_dir(home.path().join("images/partial/sha256")).unwrap();
        let partial: Vec<PathBuf> = partial.map(|entry| entry.unwrap().path()).collect();
        let [partial] = &partial[..] else { panic!("{partial:?}") };
        let mut bytes = std::fs::read(partial).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        if damage {
            bytes[1000] ^= 1;
            std::fs::write(partial, bytes).unwrap();
        }
        broken.store(false, Ordering::SeqCst);
        asked.lock().unwrap().clear();
        assert_eq!(with(&options, &store, &name).unwrap().layers.len(), 2);
        let asked = asked.lock().unwrap();
        let expected = match damage {
            // The other layer is fetched whole.
            false => vec![rest.clone(), None],
            true => vec![rest.clone(), None, None],
        };
        assert_eq!(*asked, expected, "the rest, and all of it only where the start was damaged");
        assert!(store.verify().unwrap().damage.is_empty());
    }
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
