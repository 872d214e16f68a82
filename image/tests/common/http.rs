//! A small HTTP server whose answers the test gives, to stand in front of a registry or beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// A request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// The response to one.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

/// Serves on a port of its own, which is returned, as long as the process lives.
pub(crate) fn serve(answer: impl Fn(&Asked) -> Answer + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&client);
                let Some((first, headers)) = head(&mut reader) else { return };
                let mut words = first.split(' ').map(str::to_owned);
                let mut asked = Asked {
                    method: words.next().unwrap_or_default(),
                    target: words.next().unwrap_or_default(),
                    headers,
                    body: String::new(),
                };
                let length = asked.header("content-length").and_then(|n| n.parse().ok());
                let mut body = reader.take(length.unwrap_or(0));
                body.read_to_string(&mut asked.body).unwrap();
                let Answer { status, headers, body } = answer(&asked);
                let mut out = format!("HTTP/1.1 {status} .\r\nConnection: close\r\n");
                let stated = headers.iter().any(|(name, _)| name == "content-length");
                for (name, value) in headers {
                    out += &format!("{name}: {value}\r\n");
                }
                if !stated {
                    out += &format!("Content-Length: {}\r\n", body.len());
                }
                // The client may have gone.
                let _ = (&client).write_all(&[out.as_bytes(), b"\r\n", &body].concat());
            });
        }
    });
    port
}

/// A registry whose every repository is the image of an OCI layout, under every tag.
pub(crate) fn serve_layout(layout: &Path) -> u16 {
    let layout = layout.to_owned();
    serve(move |asked| answer_from(&layout, asked))
}

/// What such a registry answers.
pub(crate) fn answer_from(layout: &Path, asked: &Asked) -> Answer {
    let what = asked.target.rsplit('/').next().unwrap_or_default();
    let blob = |digest: &str| std::fs::read(layout.join("blobs").join(digest.replace(':', "/")));
    let body = match () {
        () if asked.target == "/v2/" => Ok(Vec::new()),
        () if what.contains(':') => blob(what),
        () => std::fs::read_to_string(layout.join("index.json")).and_then(|index| {
            let (_, digest) = index.split_once("sha256:").expect("a digest");
            blob(&format!("sha256:{}", &digest[..64]))
        }),
    };
    body.map_or_else(|_| Answer::new(404, ""), |body| Answer::new(200, body))
}

/// What the server on a port of this machine answers to the same request.
pub(crate) fn forward(port: u16, asked: &Asked) -> Answer {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut out =
        format!("{} {} HTTP/1.0\r\nHost: localhost:{port}\r\n", asked.method, asked.target);
    for name in ["accept", "range", "authorization"] {
        if let Some(value) = asked.header(name) {
            out += &format!("{name}: {value}\r\n");
        }
    }
    server.write_all(format!("{out}\r\n").as_bytes()).unwrap();
    let mut reader = BufReader::new(server);
    let (first, mut headers) = head(&mut reader).expect("an answer");
    headers.retain(|(name, _)| name != "connection");
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    Answer { status: status.expect("a status"), headers, body }
}

/// The first line and the headers.
fn head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut lines = reader.lines().map_while(Result::ok);
    let first = lines.next()?;
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some((first, headers.collect()))
}
