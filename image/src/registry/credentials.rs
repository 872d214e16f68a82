//! Credentials as Docker keeps them: `config.json`, and the helper programs it names
//! (`docker-credential-helpers`).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::Error;
use crate::source::read_bounded;

const CONFIG_BYTES_MAX: u64 = 4 << 20;
const HELPER_BYTES_MAX: u64 = 1 << 20;
/// What Docker Hub's credentials are kept under.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Who we are to a registry. Has no `Debug`, so that no log shows a secret.
pub(super) enum Credentials {
    Anonymous,
    Basic {
        user: String,
        password: String,
    },
    /// A refresh token for the registry's token service.
    IdentityToken(String),
    /// A bearer token for the registry itself.
    RegistryToken(String),
}

impl Credentials {
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, AuthEntry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The credentials for a registry's host.
pub(super) fn find(host: &str, config_dir: Option<&Path>) -> Result<Credentials, Error> {
    let failed = |reason: String| Error::Credentials { registry: host.to_owned(), reason };
    let Some(path) = config_path(config_dir) else { return Ok(Credentials::Anonymous) };
    let bytes = match std::fs::File::open(&path) {
        Ok(file) => read_bounded(file, CONFIG_BYTES_MAX),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Credentials::Anonymous),
        Err(e) => Err(e),
    };
    let bytes = bytes.map_err(|e| failed(format!("{}: {e}", path.display())))?;
    let config: DockerConfig = serde_json::from_slice(&bytes)
        .map_err(|e| failed(format!("{} is malformed: {e}", path.display())))?;
    let host = normal(host);
    let own_helper = config.cred_helpers.iter().find(|(key, _)| normal(key) == host);
    let helper = own_helper.map(|(_, helper)| helper).or(config.creds_store.as_ref());
    if let Some(helper) = helper.filter(|name| !name.is_empty()) {
        let key = if host == "docker.io" { HUB_KEY } else { host };
        if let Some(found) = ask_helper(helper, key).map_err(failed)? {
            return Ok(found);
        }
    }
    match config.auths.iter().find(|(key, _)| normal(key) == host) {
        Some((_, entry)) => from_entry(entry).map_err(failed),
        None => Ok(Credentials::Anonymous),
    }
}

fn config_path(config_dir: Option<&Path>) -> Option<PathBuf> {
    let from_env = || {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        set("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")))
    };
    config_dir.map(Path::to_owned).or_else(from_env).map(|dir| dir.join("config.json"))
}

/// The host of a key, which may be a URL; Docker Hub has several.
fn normal(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
    match rest.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn from_entry(entry: &AuthEntry) -> Result<Credentials, String> {
    let given = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
    if let Some(token) = given(&entry.identitytoken) {
        return Ok(Credentials::IdentityToken(token));
    }
    if let Some(token) = given(&entry.registrytoken) {
        return Ok(Credentials::RegistryToken(token));
    }
    if let Some(auth) = given(&entry.auth) {
        let malformed = || "its \"auth\" is not a user and a password in base64".to_owned();
        let decoded = STANDARD.decode(auth.trim()).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
        let password = password.trim_end_matches('\0');
        return Ok(Credentials::Basic { user: user.into(), password: password.into() });
    }
    match (given(&entry.username), given(&entry.password)) {
        (Some(user), Some(password)) => Ok(Credentials::Basic { user, password }),
        _ => Ok(Credentials::Anonymous),
    }
}

/// Runs `docker-credential-NAME get` with the registry on its standard input.
fn ask_helper(name: &str, key: &str) -> Result<Option<Credentials>, String> {
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(format!("{:?} cannot be a credential helper", crate::text::clip(name)));
    }
    let program = format!("docker-credential-{name}");
    let failed = |e: io::Error| format!("{program} failed: {e}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|e| {
            format!("{program} cannot be run: {e}; install it or change Docker's config.json")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input may still answer.
        let _ = stdin.write_all(key.as_bytes());
    }
    let answer = match child.stdout.take() {
        Some(stdout) => read_bounded(stdout, HELPER_BYTES_MAX).map_err(failed),
        None => Ok(Vec::new()),
    };
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    let answer = answer?;
    if !status.success() {
        let text = String::from_utf8_lossy(&answer);
        return match text.contains("credentials not found") {
            true => Ok(None),
            false => Err(format!("{program} failed: {}", crate::text::clip(text.trim()))),
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .map_err(|_| format!("{program} gave a malformed answer"))?;
    Ok(Some(match answer.username.as_str() {
        "" if answer.secret.is_empty() => Credentials::Anonymous,
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Basic { user: answer.username, password: answer.secret },
    }))
}
