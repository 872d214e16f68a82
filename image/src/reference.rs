//! Image references: what a person types after `pull`.
//!
//! Names of images in registries follow the grammar of the distribution project
//! (`github.com/distribution/reference`), with Docker's defaults: no domain means `docker.io`, a
//! single path component there means `library/…`, neither tag nor digest means `latest`. Local
//! images are written `oci-layout:DIR[:TAG]`, `oci-archive:FILE[:TAG]` and
//! `docker-archive:FILE[:TAG]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error};

/// The longest name, domain included, that the grammar allows.
const NAME_MAX: usize = 255;
/// The longest tag that the grammar allows.
const TAG_MAX: usize = 128;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// An image in a registry.
    Registry(RegistryReference),
    /// An image in a directory or file of this machine.
    Local(LocalReference),
}

/// An image in a registry: `domain/path[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The form of a local image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocalKind {
    /// A directory in the OCI image layout.
    OciLayout,
    /// An uncompressed tar of an OCI image layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

impl LocalKind {
    /// The word before the colon.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::OciLayout => "oci-layout",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
        }
    }
}

/// An image in a directory or file of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalReference {
    /// The form.
    pub kind: LocalKind,
    /// The directory or file.
    pub path: PathBuf,
    /// Which of the images in it; `None` when there is only one.
    pub tag: Option<String>,
}

impl RegistryReference {
    /// The registry's host, with its port if one was given; `docker.io` by default.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The name without tag and digest, as people write it: Docker Hub's default parts left out.
    pub fn familiar_name(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            ("docker.io", Some(rest)) if !rest.contains('/') => rest.to_owned(),
            ("docker.io", _) => self.path.clone(),
            _ => format!("{}/{}", self.domain, self.path),
        }
    }
}

impl Reference {
    /// The same reference, with a local path that does not depend on the working directory.
    pub(crate) fn absolute(&self) -> Self {
        match self {
            Self::Local(local) => {
                let path = std::path::absolute(&local.path).unwrap_or_else(|_| local.path.clone());
                Self::Local(LocalReference { path, ..local.clone() })
            }
            registry => registry.clone(),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        for kind in [LocalKind::OciLayout, LocalKind::OciArchive, LocalKind::DockerArchive] {
            if let Some(rest) = text.strip_prefix(kind.scheme()).and_then(|r| r.strip_prefix(':')) {
                return parse_local(kind, rest, text).map(Self::Local);
            }
        }
        parse_registry(text).map(Self::Registry)
    }
}

fn bad(text: &str, reason: &'static str) -> Error {
    Error::BadReference { text: crate::text::clip(text), reason }
}

fn parse_local(kind: LocalKind, rest: &str, whole: &str) -> Result<LocalReference, Error> {
    let (path, tag) = match rest.rsplit_once(':') {
        // A colon may belong to the path: it does when the path with it exists.
        Some((path, tag)) if !tag.contains('/') && !Path::new(rest).exists() => (path, Some(tag)),
        _ => (rest, None),
    };
    if path.is_empty() || path.contains('\0') {
        return Err(bad(whole, "the path is missing"));
    }
    if tag.is_some_and(str::is_empty) {
        return Err(bad(whole, "the tag after the colon is missing"));
    }
    Ok(LocalReference { kind, path: path.into(), tag: tag.map(str::to_owned) })
}

fn parse_registry(text: &str) -> Result<RegistryReference, Error> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            let digest = digest
                .parse()
                .map_err(|_| bad(text, "what follows '@' is not a sha256 or sha512 digest"))?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        return Err(bad(text, "a tag is 1 to 128 letters, digits, '_', '.' and '-'"));
    }
    let (domain, path) = split_domain(name);
    let path = match (domain, path.contains('/')) {
        ("docker.io", false) => format!("library/{path}"),
        _ => path.to_owned(),
    };
    if !is_domain(domain) {
        return Err(bad(text, "the registry's host is not a host name with an optional port"));
    }
    if !path.split('/').all(is_path_component) {
        return Err(bad(
            text,
            "a repository is made of lower-case letters and digits, separated by '.', '_', '__' or '-'",
        ));
    }
    if domain.len() + 1 + path.len() > NAME_MAX {
        return Err(bad(text, "the name is longer than 255 characters"));
    }
    if tag.is_none() && digest.is_none() && is_hex_identifier(text) {
        return Err(bad(text, "64 hexadecimal digits are an image identifier, not a name"));
    }
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, None) => Some("latest".to_owned()),
        (None, Some(_)) => None,
    };
    Ok(RegistryReference { domain: domain.to_owned(), path, tag, digest })
}

/// The first component is a domain if it has a dot, a colon or an upper-case letter, or is
/// `localhost`; otherwise the whole name is a path on Docker Hub.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            match first {
                "index.docker.io" => ("docker.io", path),
                _ => (first, path),
            }
        }
        _ => ("docker.io", name),
    }
}

fn is_hex_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let bytes = component.as_bytes();
    let mut rest = bytes;
    loop {
        let run = rest.iter().take_while(|b| word(**b)).count();
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        let separator = rest.iter().take_while(|b| !word(**b)).count();
        match &rest[..separator] {
            [] => return true,
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|b| *b == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(r) => r.fmt(f),
            Self::Local(r) => r.fmt(f),
        }
    }
}

impl fmt::Display for RegistryReference {
    /// The full form, every default written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LocalReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.scheme(), self.path.display())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    /// Cases of the distribution project's `normalize_test.go` and `reference_test.go`.
    #[test]
    fn docker_grammar_and_defaults() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (text, want) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.25", "docker.io/library/nginx:1.25"),
            ("fnichol/nginx", "docker.io/fnichol/nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx:a", "docker.io/library/nginx:a"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b:t", "localhost:5000/a/b:t"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("test.com:8080/foo--bar", "test.com:8080/foo--bar:latest"),
            ("foo_bar.com/a__b", "docker.io/library/x:latest"),
            ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
            ("Uppercase.example/lower", "Uppercase.example/lower:latest"),
            (
                "b.gcr.io/test.example.com/my-app:test.example.com",
                "b.gcr.io/test.example.com/my-app:test.example.com",
            ),
        ] {
            if text == "foo_bar.com/a__b" {
                assert!(text.parse::<Reference>().is_err());
                continue;
            }
            assert_eq!(full(text), want);
            assert_eq!(full(want), want, "the full form reads back");
        }
        assert_eq!(full(&format!("nginx@{digest}")), format!("docker.io/library/nginx@{digest}"));
        assert_eq!(full(&format!("a.b:1/nginx:t@{digest}")), format!("a.b:1/nginx:t@{digest}"));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            ":justtag",
            "@sha256:ffff",
            "repo@sha256:ffff",
            "Uppercase:tag",
            "test:5000/Uppercase/lowercase:tag",
            "aa/asdf$$^/aa",
            "a//b",
            "-foo/bar",
            "foo/bar-",
            "foo/bar.",
            "foo/b..ar",
            "foo/b___ar",
            "foo/b._ar",
            "a:tag with space",
            "localhost:99999/a",
            "[fe80::1%eth0]:5000/a",
            "nginx:../../x",
            "nginx\0",
            "oci-layout:",
            "docker-archive:",
            &"0f".repeat(32),
            &"a".repeat(256),
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn local_forms() {
        let parse = |t: &str| match t.parse().unwrap() {
            Reference::Local(l) => (l.kind.scheme(), l.path, l.tag),
            Reference::Registry(r) => panic!("{r}"),
        };
        assert_eq!(parse("oci-layout:/x/y"), ("oci-layout", "/x/y".into(), None));
        assert_eq!(parse("oci-layout:d:v1"), ("oci-layout", "d".into(), Some("v1".into())));
        assert_eq!(parse("docker-archive:a:b/c.tar"), ("docker-archive", "a:b/c.tar".into(), None));
        assert_eq!(parse("oci-archive:f.tar:t"), ("oci-archive", "f.tar".into(), Some("t".into())));
    }

    #[test]
    fn familiar_names() {
        for (text, want) in [
            ("nginx", "nginx"),
            ("a/b", "a/b"),
            ("docker.io/library/a", "a"),
            ("quay.io/a/b:c", "quay.io/a/b"),
        ] {
            match text.parse().unwrap() {
                Reference::Registry(r) => assert_eq!(r.familiar_name(), want),
                Reference::Local(_) => unreachable!(),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs_and_what_parses_reads_back(text in ".{0,80}") {
            if let Ok(r) = text.parse::<Reference>() {
                prop_assert_eq!(r.to_string().parse::<Reference>().unwrap(), r);
            }
        }

        #[test]
        fn near_valid_text(text in "[a-zA-Z0-9._/:@-]{0,60}") {
            if let Ok(r) = text.parse::<Reference>() {
                prop_assert_eq!(r.to_string().parse::<Reference>().unwrap(), r);
            }
        }
    }
}
