//! Pulling from registries: OCI distribution specification 1.1, "Pull", and Docker's token
//! authentication (`distribution/docs/spec/auth`).

mod auth;
mod credentials;
mod http;
mod proxy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::manifest::{Descriptor, MANIFEST_BYTES_MAX, MANIFEST_TYPES};
use crate::reference::RegistryReference;
use crate::source::{Body, Source, check_digest, read_bounded};
use crate::{Digest, Error};

use http::{Client, Response};

/// How registries are talked to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// Registries (`host[:port]`) to talk plain HTTP to. Those on a loopback address are asked
    /// which they speak.
    pub plain_http: Vec<String>,
    /// Files with certificate authorities in PEM to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// Base URLs (`https://host[:port]`) to try before a registry, by the registry's host.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Docker's configuration directory; by default `$DOCKER_CONFIG`, else `~/.docker`.
    pub docker_config: Option<PathBuf>,
}

/// Attempts of one request; progress starts the count anew.
pub(crate) const ATTEMPTS: u32 = 5;

/// How long to wait before attempt `attempt` (the first is 0): twice as long each time, or as long
/// as the registry says, but at most a minute.
pub(crate) fn back_off(attempt: u32, error: &Error) -> Duration {
    let own = Duration::from_millis(250) * 2u32.saturating_pow(attempt.min(6));
    // Different processes should not come back at the same moment.
    let spread = Duration::from_millis(u64::from(std::process::id()) % 100);
    error.retry_after().unwrap_or(own + spread).min(Duration::from_secs(60))
}

/// One repository of a registry, and its mirrors.
pub(crate) struct Registry {
    reference: RegistryReference,
    /// Mirrors first, the registry itself last.
    endpoints: Vec<Endpoint>,
    /// The endpoint to ask; those before it failed.
    active: AtomicUsize,
}

struct Endpoint {
    /// `https://host[:port]`.
    base: String,
    /// The host that credentials are kept under.
    host: String,
    client: Client,
    /// The value of the Authorization header that was accepted last.
    authorization: Mutex<Option<String>>,
    docker_config: Option<PathBuf>,
}

impl Registry {
    pub(crate) fn new(
        reference: &RegistryReference,
        options: &RegistryOptions,
    ) -> Result<Self, Error> {
        let domain = reference.domain();
        let mut bases: Vec<String> = options
            .mirrors
            .get(domain)
            .into_iter()
            .flatten()
            .map(|mirror| mirror.trim_end_matches('/').to_owned())
            .collect();
        bases.push(http::base_of(domain, options)?);
        let endpoints = bases.into_iter().map(|base| {
            let host = base.split_once("://").map_or(&*base, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default().to_owned();
            Ok(Endpoint {
                client: Client::new(base.starts_with("https://"), &options.ca_files)?,
                host,
                base,
                authorization: Mutex::new(None),
                docker_config: options.docker_config.clone(),
            })
        });
        Ok(Self {
            reference: reference.clone(),
            endpoints: endpoints.collect::<Result<_, Error>>()?,
            active: AtomicUsize::new(0),
        })
    }

    /// Asks the endpoints one after the other, until what one answers is acceptable.
    fn get<T>(
        &self,
        what: &str,
        accept: &[&str],
        from: u64,
        read: impl Fn(Response, usize) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let at = self.active.load(Ordering::Relaxed);
            let answer = self.endpoints[at].get(&self.reference, what, accept, from);
            match answer.and_then(|response| read(response, at)) {
                Err(error) if self.leave(at, &error) => {}
                outcome => return outcome,
            }
        }
    }

    /// A manifest by tag or digest, and its media type. It has that digest if one is expected.
    fn get_manifest(
        &self,
        name: &str,
        expected: Option<&Digest>,
    ) -> Result<(Vec<u8>, Option<String>), Error> {
        let what = format!("manifests/{name}");
        let mut attempt = 0;
        loop {
            let outcome = self.get(&what, &MANIFEST_TYPES, 0, |response, _| {
                let bytes = read_bounded(response.body, MANIFEST_BYTES_MAX).map_err(|e| {
                    let transient = e.kind() != std::io::ErrorKind::FileTooLarge;
                    Error::Connection { url: response.url, reason: e.to_string(), transient }
                })?;
                expected.map_or(Ok(()), |digest| check_digest(&bytes, digest))?;
                Ok((bytes, response.content_type))
            });
            match outcome {
                Err(error) if error.is_transient() && attempt + 1 < ATTEMPTS => {
                    let wait = back_off(attempt, &error);
                    tracing::warn!(%error, ?wait, "trying again");
                    std::thread::sleep(wait);
                    attempt += 1;
                }
                Err(Error::Status { status: 404, message, .. }) => {
                    return Err(Error::NotFound {
                        reference: self.reference.to_string(),
                        reason: format!("the registry has no such manifest{message}"),
                    });
                }
                other => return other,
            }
        }
    }
}

impl Source for Registry {
    fn top(&self) -> Result<(Vec<u8>, Option<String>), Error> {
        match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => self.get_manifest(&digest.to_string(), Some(digest)),
            (None, tag) => self.get_manifest(tag.unwrap_or("latest"), None),
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let digest = &descriptor.digest;
        Ok(self.get_manifest(&digest.to_string(), Some(digest))?.0)
    }

    fn blob(&self, blob: &Descriptor, from: u64) -> Result<Body, Error> {
        let what = format!("blobs/{}", blob.digest);
        self.get(&what, &["*/*"], from, |response, place| match response.length {
            Some(length) if length != blob.size - response.from => Err(Error::WrongSize {
                digest: blob.digest.clone(),
                expected: blob.size,
                actual: response.from.saturating_add(length),
            }),
            _ => Ok(Body { reader: response.body, from: response.from, place }),
        })
    }

    fn leave(&self, place: usize, error: &Error) -> bool {
        if place + 1 == self.endpoints.len() {
            return false;
        }
        let mirror = &self.endpoints[place].base;
        tracing::warn!(%error, mirror, "the mirror failed; trying the next source");
        self.active.fetch_max(place + 1, Ordering::Relaxed);
        true
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn demanded(&self) -> Option<&Digest> {
        self.reference.digest()
    }
}

impl Endpoint {
    /// One request, with a second attempt after the registry has said how to authenticate.
    fn get(
        &self,
        reference: &RegistryReference,
        what: &str,
        accept: &[&str],
        from: u64,
    ) -> Result<Response, Error> {
        let url = format!("{}/v2/{}/{what}", self.base, reference.path());
        let known = self.authorization.lock().map(|a| a.clone()).unwrap_or_default();
        match self.client.get(&url, accept, from, known.as_deref())? {
            http::Answer::Response(response) => Ok(response),
            http::Answer::Challenge(challenges) => {
                let config = self.docker_config.as_deref();
                let credentials = credentials::find(&self.host, config)?;
                let scope = format!("repository:{}:pull", reference.path());
                let authorization =
                    auth::authorize(&self.client, &self.host, &challenges, &scope, &credentials)?;
                match self.client.get(&url, accept, from, Some(&authorization))? {
                    http::Answer::Response(response) => {
                        if let Ok(mut known) = self.authorization.lock() {
                            *known = Some(authorization);
                        }
                        Ok(response)
                    }
                    http::Answer::Challenge(_) => Err(Error::Unauthorized {
                        registry: self.host.clone(),
                        what: reference.path().to_owned(),
                        reason: match credentials.is_anonymous() {
                            true => "it wants credentials".to_owned(),
                            false => "it does not accept the credentials".to_owned(),
                        },
                    }),
                }
            }
        }
    }
}
