//! Authentication: RFC 7235 challenges, Basic, and Docker's bearer tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credentials::Credentials;
use super::http::Client;
use crate::Error;

/// A scheme and its parameters.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The value of the Authorization header that answers one of the challenges.
pub(super) fn authorize(
    client: &Client,
    registry: &str,
    challenges: &[String],
    scope: &str,
    credentials: &Credentials,
) -> Result<String, Error> {
    let refused = |reason: &str| Error::Unauthorized {
        registry: registry.to_owned(),
        what: scope.to_owned(),
        reason: reason.to_owned(),
    };
    let challenges: Vec<_> = challenges.iter().flat_map(|header| parse(header)).collect();
    if let Some(bearer) = challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case("bearer")) {
        return bearer_token(client, registry, bearer, scope, credentials);
    }
    if challenges.iter().any(|c| c.scheme.eq_ignore_ascii_case("basic")) {
        return basic(credentials).ok_or_else(|| refused("it wants a user name and a password"));
    }
    Err(refused("it wants a kind of authentication that is not supported"))
}

fn basic(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::Basic { user, password } => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        _ => None,
    }
}

fn bearer_token(
    client: &Client,
    registry: &str,
    challenge: &Challenge,
    scope: &str,
    credentials: &Credentials,
) -> Result<String, Error> {
    let refused = |reason: String| Error::Unauthorized {
        registry: registry.to_owned(),
        what: scope.to_owned(),
        reason,
    };
    if let Credentials::RegistryToken(token) = credentials {
        return header(token).ok_or_else(|| refused("the configured token is malformed".into()));
    }
    let realm = challenge.get("realm").unwrap_or_default();
    if !realm.starts_with("https://") && !realm.starts_with("http://") {
        return Err(refused("it names no service that gives tokens".into()));
    }
    let service = challenge.get("service").unwrap_or_default();
    let scope = challenge.get("scope").unwrap_or(scope);
    let query = format!("service={}&scope={}", encode(service), encode(scope));
    let answer = match credentials {
        Credentials::IdentityToken(token) => {
            let form = format!(
                "grant_type=refresh_token&client_id=kiln&{query}&refresh_token={}",
                encode(token)
            );
            client.token(realm, None, Some(&form))
        }
        _ => {
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{separator}{query}");
            client.token(&url, basic(credentials).as_deref(), None)
        }
    };
    let bytes = answer.map_err(|e| match e {
        Error::Status { status: 400..=404, message, .. } => {
            refused(format!("its token service says no{message}"))
        }
        other => other,
    })?;
    let answer: TokenAnswer = serde_json::from_slice(&bytes)
        .map_err(|_| refused("its token service gives a malformed answer".into()))?;
    let token = answer.token.or(answer.access_token).unwrap_or_default();
    header(&token).ok_or_else(|| refused("its token service gives no token".into()))
}

fn header(token: &str) -> Option<String> {
    let visible = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    visible.then(|| format!("Bearer {token}"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads a `WWW-Authenticate` header (RFC 7235, section 4.1), which may hold several challenges.
fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        match rest.strip_prefix('=').filter(|_| !challenges.is_empty()) {
            Some(after) => {
                let value;
                (value, rest) = parse_value(after);
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                }
            }
            None => {
                rest = rest.strip_prefix('=').unwrap_or(rest);
                if !word.is_empty() {
                    let scheme = word.to_owned();
                    challenges.push(Challenge { scheme, parameters: Vec::new() });
                }
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    challenges
}

/// A token, or a quoted string with its escapes undone, and what follows.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let parsed = parse(header);
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].get("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(parsed[0].get("scope"), Some("repository:a/b:pull,push"));

        let two = parse(r#"Basic realm="a \"b\" c", Bearer realm=x,service=y"#);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].get("realm"), Some("a \"b\" c"));
        assert_eq!((&*two[1].scheme, two[1].get("service")), ("Bearer", Some("y")));
        assert!(parse("").is_empty());
    }

    #[test]
    fn percent_encoding() {
        assert_eq!(encode("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }

    proptest! {
        #[test]
        fn any_header_is_read(text in ".{0,200}") {
            parse(&text);
        }
    }
}
