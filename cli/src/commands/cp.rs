//! `kiln cp`

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use agent::{
    Channel, Connection, FailureKind, FileInfo, Frame, Input, MAX_DATA, Output, ProtocolError,
    Reply, Request, decode_message,
};
use anyhow::{Context, bail};
use clap::Parser;

use crate::{Home, agent_link::Agent, control::Client, launch, record::Machines, unpack::unpack};

/// Copy files between a machine that runs and the host
///
/// One of the two places is in a machine, written MACHINE:PATH. `-` is a tar stream on standard input or output.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Keep numeric owners
    #[arg(short, long)]
    archive: bool,
    /// Follow the source if it is a symbolic link
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Where from
    source: String,
    /// Where to
    destination: String,
}

const FILE_TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    match (in_machine(&args.source), in_machine(&args.destination)) {
        (Some((machine, path)), None) => copy_out(args, &client(machine)?, path)?,
        (None, Some((machine, path))) => copy_in(args, &client(machine)?, path)?,
        (Some(_), Some(_)) => bail!("cannot copy between machines; copy to the host first"),
        (None, None) => bail!("neither place is in a machine; write one as MACHINE:PATH"),
    }
    Ok(0)
}

/// Splits `MACHINE:PATH`; a path of the host starts with `/` or `.`, or has no colon.
fn in_machine(place: &str) -> Option<(&str, &str)> {
    if place.starts_with(['/', '.']) {
        return None;
    }
    place.split_once(':')
}

fn client(name: &str) -> anyhow::Result<Client> {
    launch::running(&Machines::open(&Home::open()?)?.find(name)?)
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.into() } else { format!("/{path}") }
}

fn copy_out(args: &Args, client: &Client, path: &str) -> anyhow::Result<()> {
    let mut agent = Agent::connect(client)?;
    let request = Request::CopyOut { path: absolute(path), follow: args.follow_link };
    let Reply::File(info) = agent.call(&request)? else {
        bail!("the guest's agent did not send {path}");
    };
    let mut stream = ArchiveReader { agent, bytes: io::Cursor::default(), over: false };
    if args.destination == "-" {
        io::copy(&mut stream, &mut io::stdout().lock())?;
        return Ok(());
    }
    let destination = Path::new(&args.destination);
    let (directory, name) = place(&info, destination, path.ends_with("/."))?;
    let rename = |path: &Path| renamed(path, &info.name, name.as_deref());
    unpack(&mut stream, &directory, args.archive, rename)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// Where an archive goes on the host: into which directory, and as what if not under its own name.
fn place(
    info: &FileInfo,
    destination: &Path,
    content_only: bool,
) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    if destination.is_dir() {
        let name = content_only.then(PathBuf::new);
        return Ok((destination.into(), name));
    }
    if info.mode & FILE_TYPE == DIRECTORY && destination.symlink_metadata().is_ok() {
        bail!("cannot copy a directory over the file {}", destination.display());
    }
    let slash = destination.as_os_str().as_encoded_bytes().ends_with(b"/");
    if slash && info.mode & FILE_TYPE != DIRECTORY {
        bail!("{} is no directory", destination.display());
    }
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if !parent.is_dir() {
        bail!("the directory {} does not exist", parent.display());
    }
    let name = destination.file_name().context("the destination has no name")?;
    Ok((parent.into(), Some(name.into())))
}

/// Replaces the first component of an entry's path.
fn renamed(path: &Path, from: &str, to: Option<&Path>) -> PathBuf {
    match (to, path.strip_prefix(from)) {
        (Some(to), Ok(rest)) if rest.as_os_str().is_empty() => to.into(),
        (Some(to), Ok(rest)) => to.join(rest),
        _ => path.into(),
    }
}

fn copy_in(args: &Args, client: &Client, path: &str) -> anyhow::Result<()> {
    let path = absolute(path);
    let there = match Agent::connect(client)?.call(&Request::Stat { path: path.clone() }) {
        Ok(Reply::File(info)) => Some(info),
        Err(ProtocolError::Failed(failure)) if failure.kind == FailureKind::NoSuchFile => None,
        Ok(other) => bail!("the guest's agent answered {other:?}"),
        Err(error) => return Err(error.into()),
    };
    if there.is_none() && path.ends_with('/') && !Path::new(&args.source).is_dir() {
        bail!("the directory {path} does not exist in the machine");
    }
    let is_directory =
        there.is_some_and(|info| info.mode & FILE_TYPE == DIRECTORY || info.link_target.is_some());
    let source = Path::new(&args.source);
    let (directory, name) = if is_directory || args.source == "-" {
        let content_only = args.source.ends_with("/.");
        let own = || source.canonicalize().ok().and_then(|p| p.file_name().map(PathBuf::from));
        (path, if content_only { Some(PathBuf::new()) } else { own() })
    } else {
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", "/"));
        (if parent.is_empty() { "/".into() } else { parent.into() }, Some(name.into()))
    };
    let mut agent = Agent::connect(client)?;
    let request = Request::CopyIn { path: directory, owners: args.archive || args.source == "-" };
    agent.call(&request).and_then(Reply::done)?;
    let mut writer = ArchiveWriter { agent, offset: 0 };
    if args.source == "-" {
        io::copy(&mut io::stdin().lock(), &mut writer)?;
    } else {
        let name = name.with_context(|| format!("{} has no name", args.source))?;
        pack(&mut writer, source, &name, args.follow_link)?;
    }
    let mut agent = writer.agent;
    agent.send(|agent| agent.send_message(&Input::Finished))?;
    let Frame::Message(body) = agent.receive()? else {
        bail!("the guest's agent did not say how the copy went");
    };
    Ok(decode_message::<Reply>(&body)?.done()?)
}

fn pack(to: &mut ArchiveWriter, source: &Path, name: &Path, follow: bool) -> anyhow::Result<()> {
    let metadata = if follow { fs::metadata(source) } else { fs::symlink_metadata(source) };
    let metadata = metadata.with_context(|| format!("cannot read {}", source.display()))?;
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(MAX_DATA, to));
    tar.follow_symlinks(false);
    let packed = if metadata.is_dir() {
        append_all(&mut tar, name, source)
    } else {
        tar.follow_symlinks(follow);
        tar.append_path_with_name(source, name)
    };
    packed.with_context(|| format!("cannot copy {}", source.display()))?;
    tar.into_inner()?.flush()?;
    Ok(())
}

/// A directory and all that is in it, but for sockets, which no archive can hold.
fn append_all(tar: &mut tar::Builder<impl Write>, name: &Path, source: &Path) -> io::Result<()> {
    if !name.as_os_str().is_empty() {
        tar.append_dir(name, source)?;
    }
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (kind, name, path) = (entry.file_type()?, name.join(entry.file_name()), entry.path());
        if kind.is_dir() {
            append_all(tar, &name, &path)?;
        } else if kind.is_socket() {
            eprintln!("kiln: {} is a socket and was left out", path.display());
        } else {
            tar.append_path_with_name(&path, &name)?;
        }
    }
    Ok(())
}

/// The archive that the agent sends.
struct ArchiveReader {
    agent: Agent,
    bytes: io::Cursor<Vec<u8>>,
    over: bool,
}

impl Read for ArchiveReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.bytes.read(into)?;
            if count > 0 || self.over || into.is_empty() {
                return Ok(count);
            }
            match self.agent.receive().map_err(io::Error::other)? {
                Frame::Data { channel: Channel::Archive, bytes, .. } => {
                    self.bytes = io::Cursor::new(bytes)
                }
                Frame::Data { .. } => {}
                Frame::Message(body) => match decode_message(&body).map_err(io::Error::other)? {
                    Output::Finished(None) => self.over = true,
                    Output::Finished(Some(failure)) => {
                        return Err(io::Error::other(failure.message));
                    }
                    Output::StdinTaken(_) | Output::Exited(_) => {}
                },
            }
        }
    }
}

/// The archive that the agent unpacks.
struct ArchiveWriter {
    agent: Agent,
    offset: u64,
}

impl Write for ArchiveWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(MAX_DATA)];
        let offset = self.offset;
        let send = |agent: &mut Connection<_>| agent.send_data(Channel::Archive, offset, bytes);
        self.agent.send(send).map_err(io::Error::other)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        assert_eq!(in_machine("web:/etc/passwd"), Some(("web", "/etc/passwd")));
        for host in ["/tmp/a:b", "./a:b", "file", "../x:y"] {
            assert_eq!(in_machine(host), None, "{host}");
        }
    }
}
