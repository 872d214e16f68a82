//! Proxies, by the environment variables that curl and Docker read.

use ureq::Proxy;

use crate::Error;

/// Hosts of this machine, which are never asked for through a proxy.
const LOCAL: [&str; 4] = ["localhost", ".localhost", "127.*", "[::1]"];

/// The proxy for `https` or `http` URLs: `HTTPS_PROXY` or `HTTP_PROXY`, else `ALL_PROXY`, in capital
/// or small letters, except for the hosts in `NO_PROXY`. A proxy that speaks HTTP is asked to
/// `CONNECT`, whatever the URL.
pub(super) fn from_environment(https: bool) -> Result<Option<Proxy>, Error> {
    choose(https, &|name| {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        set(name).or_else(|| set(&name.to_ascii_lowercase()))
    })
}

fn choose(https: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Error> {
    let names = [if https { "HTTPS_PROXY" } else { "HTTP_PROXY" }, "ALL_PROXY"];
    let Some((name, url)) = names.iter().find_map(|name| Some((name, variable(name)?))) else {
        return Ok(None);
    };
    let bad = |e: ureq::Error| Error::Connection {
        url: crate::text::clip(&url),
        reason: format!("the environment variable {name} is not the URL of a proxy: {e}"),
        transient: false,
    };
    let proxy = Proxy::new(&url).map_err(bad)?;
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    let direct = variable("NO_PROXY").unwrap_or_default();
    let direct = direct.split(',').map(str::trim).filter(|host| !host.is_empty());
    for host in direct {
        // A name stands for all below it, too.
        let host = host.strip_prefix("*.").or(host.strip_prefix('.')).unwrap_or(host);
        builder = builder.no_proxy(host).no_proxy(&format!(".{host}"));
    }
    builder = LOCAL.iter().fold(builder, |builder, host| builder.no_proxy(host));
    builder.build().map(Some).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(https: bool, variables: &[(&str, &str)]) -> Option<Proxy> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        choose(https, &variable).unwrap()
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let both = [("HTTPS_PROXY", "http://a:1"), ("HTTP_PROXY", "http://u:p@b:2")];
        assert_eq!(proxy(true, &both).unwrap().host(), "a");
        let http = proxy(false, &both).unwrap();
        assert_eq!((http.host(), http.port(), http.username()), ("b", 2, Some("u")));
        assert!(proxy(true, &both[1..]).is_none());
        assert_eq!(proxy(true, &[("ALL_PROXY", "socks5://c:3")]).unwrap().host(), "c");
        assert!(choose(true, &|_| Some("no such://".to_owned())).is_err());
    }

    #[test]
    fn some_hosts_are_asked_directly() {
        let variables =
            [("ALL_PROXY", "http://p"), ("NO_PROXY", "one.example, .two.example,*.three.example")];
        let proxy = proxy(true, &variables).unwrap();
        let direct =
            |host: &str| proxy.is_no_proxy(&format!("http://{host}:5000/v2/").parse().unwrap());
        for host in ["one.example", "a.one.example", "b.two.example", "c.three.example"] {
            assert!(direct(host), "{host}");
        }
        for host in ["localhost", "x.localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
            assert!(direct(host), "{host}");
        }
        for host in ["example", "xone.example", "docker.io", "128.0.0.1"] {
            assert!(!direct(host), "{host}");
        }
    }
}
