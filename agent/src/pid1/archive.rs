//! Copies files in and out as tar streams.
//!
//! The work is done by a child whose root is the workload's, so that no path or symbolic link of
//! the image can lead out of it. The child's stdin or stdout is the stream; on its stderr it says
//! how it went: a line feed if well, else the failure.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use agent::{
    Channel, Connection, Failure, FailureKind, FileInfo, Frame, Input, MAX_DATA, Output,
    ProtocolError, Reply, decode_message,
};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::control::Control;
use super::failure::{Explain, Outcome, failure};
use super::server::file_info;
use super::transport::Stream;
use super::{ARCHIVE, ROOT, kernel};

/// What the child is to do.
#[derive(Serialize, Deserialize)]
enum Job {
    Pack(PathBuf),
    Unpack { into: PathBuf, owners: bool },
}

/// Serves [`agent::Request::CopyOut`].
pub(crate) fn copy_out(
    connection: &mut Connection<Stream>,
    control: &Control,
    path: &str,
    follow: bool,
) -> Result<(), ProtocolError> {
    let found = control.check_configured().and_then(|()| find(path, follow));
    let started = found.and_then(|(inside, info)| Ok((info, Worker::start(&Job::Pack(inside))?)));
    let (info, mut worker) = match started {
        Ok(started) => started,
        Err(failure) => return connection.send_message(&Reply::Failed(failure)),
    };
    connection.send_message(&Reply::File(info))?;
    let mut offset = 0;
    let mut chunk = vec![0; MAX_DATA];
    loop {
        match worker.stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                connection.send_data(Channel::Archive, offset, &chunk[..count])?;
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    connection.send_message(&Output::Finished(worker.finish().err()))
}

/// Serves [`agent::Request::CopyIn`].
pub(crate) fn copy_in(
    connection: &mut Connection<Stream>,
    control: &Control,
    path: &str,
    owners: bool,
) -> Result<(), ProtocolError> {
    let started = control.check_configured().and_then(|()| {
        let (into, _) = find(path, true)?;
        Worker::start(&Job::Unpack { into, owners })
    });
    let mut worker = match started {
        Ok(worker) => worker,
        Err(failure) => return connection.send_message(&Reply::Failed(failure)),
    };
    connection.send_message(&Reply::Done)?;
    loop {
        match connection.receive()? {
            Frame::Data { channel: Channel::Archive, bytes, .. } => {
                // A child that has failed reads no more; the rest is read for it.
                if let Some(stdin) = &mut worker.stdin
                    && stdin.write_all(&bytes).is_err()
                {
                    worker.stdin = None;
                }
            }
            Frame::Message(body) if decode_message::<Input>(&body)? == Input::Finished => break,
            other => {
                return Err(ProtocolError::Unexpected {
                    expected: "an archive",
                    got: format!("{other:?}"),
                });
            }
        }
    }
    worker.stdin = None;
    let reply = worker.finish().map_or_else(Reply::Failed, |()| Reply::Done);
    connection.send_message(&reply)
}

/// Serves [`agent::Request::Stat`].
pub(crate) fn stat(path: &str) -> Outcome<FileInfo> {
    find(path, false).map(|(_, info)| info)
}

/// Looks a path up inside the root, and says what is there.
fn find(path: &str, follow: bool) -> Outcome<(PathBuf, FileInfo)> {
    if !path.starts_with('/') {
        return Err(failure(FailureKind::Invalid, format!("{path} is not an absolute path")));
    }
    let missing = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FailureKind::NoSuchFile,
            _ => FailureKind::System,
        };
        failure(kind, format!("{path} cannot be found in the guest: {error}"))
    };
    let inside = resolve(Path::new(path), follow).map_err(missing)?;
    let outside = outside(&inside);
    let metadata = fs::symlink_metadata(&outside).map_err(missing)?;
    let mut info = file_info(&outside, &metadata);
    if inside == Path::new("/") {
        info.name = "/".to_owned();
    }
    Ok((inside, info))
}

/// Where a path of the root is for PID 1.
fn outside(inside: &Path) -> PathBuf {
    Path::new(ROOT).join(inside.strip_prefix("/").unwrap_or(inside))
}

/// Follows every symbolic link of a path as if [`ROOT`] were `/`.
fn resolve(path: &Path, follow_last: bool) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut resolved = PathBuf::from("/");
    let mut rest: Vec<PathBuf> = components(path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&part);
        let last = rest.is_empty();
        match fs::read_link(outside(&next)) {
            Ok(target) if follow_last || !last => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                rest.extend(components(&target));
            }
            _ => resolved = next,
        }
    }
    Ok(resolved)
}

/// Components that matter, the last one first.
fn components(path: &Path) -> Vec<PathBuf> {
    use std::path::Component;
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

/// A child that packs or unpacks.
struct Worker {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: std::process::ChildStderr,
}

impl Worker {
    fn start(job: &Job) -> Outcome<Worker> {
        let what = "start the copy";
        let mut order = Vec::new();
        ciborium::into_writer(job, &mut order).explain(what)?;
        let order: String = order.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut child = Command::new("/proc/self/exe")
            .arg0(ARCHIVE)
            .arg(order)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .explain(what)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failure(FailureKind::System, "the copy has no stdio"));
        };
        // The reaper learns of its end.
        Ok(Worker { stdin: child.stdin.take(), stdout, stderr })
    }

    /// Waits for the child's last word.
    fn finish(mut self) -> Outcome<()> {
        drop(self.stdin.take());
        let mut word = Vec::new();
        self.stderr.read_to_end(&mut word).explain("hear how the copy went")?;
        match word.split_last() {
            Some((b'\n', [])) => Ok(()),
            _ => Err(ciborium::from_reader::<Failure, _>(word.as_slice()).unwrap_or_else(|_| {
                failure(FailureKind::System, "the copy ended before its time; is memory short?")
            })),
        }
    }
}

/// The child.
pub(crate) fn main() {
    let mut word = Vec::new();
    match work() {
        Ok(()) => word.push(b'\n'),
        Err(failure) => drop(ciborium::into_writer(&failure, &mut word)),
    }
    let _ = io::stderr().write_all(&word);
}

fn work() -> Outcome<()> {
    let order = std::env::args().nth(1).unwrap_or_default();
    let bytes: Vec<u8> = (0..order.len() / 2)
        .filter_map(|i| u8::from_str_radix(order.get(2 * i..2 * i + 2)?, 16).ok())
        .collect();
    let job: Job = ciborium::from_reader(bytes.as_slice()).explain("understand what to copy")?;
    rustix::process::chroot(ROOT).explain("enter the root")?;
    rustix::process::chdir("/").explain("enter the root")?;
    let take = |number| kernel::inherited(number).explain("find the stream");
    match job {
        Job::Pack(path) => pack(&path, take(1)?).explain(format_args!("read {}", path.display())),
        Job::Unpack { into, owners } => {
            unpack(&into, owners, take(0)?).explain(format_args!("write to {}", into.display()))
        }
    }
}

fn pack(path: &Path, to: OwnedFd) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(MAX_DATA, File::from(to)));
    archive.follow_symlinks(false);
    archive.sparse(false);
    let name = path.file_name().map_or_else(|| PathBuf::from("."), PathBuf::from);
    add(&mut archive, path, &name)?;
    archive.into_inner()?.flush()
}

fn add(archive: &mut tar::Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    if kind.is_file() {
        return add_file(archive, path, name);
    }
    archive.append_path_with_name(path, name)?;
    if kind.is_dir() {
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            match add(archive, &entry.path(), &name.join(entry.file_name())) {
                // Gone since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// Adds a regular file with the size that it has now, whoever writes to it meanwhile.
fn add_file(archive: &mut tar::Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    archive.append_data(&mut header, name, of_length(file, metadata.len()))
}

/// So many bytes of `content`: what is beyond is left out, and what is missing is zero, as GNU tar has it.
fn of_length(content: impl Read, length: u64) -> impl Read {
    content.chain(io::repeat(0)).take(length)
}

fn unpack(into: &Path, owners: bool, from: OwnedFd) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(MAX_DATA, File::from(from));
    let mut archive = tar::Archive::new(&mut stream);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners);
    archive.set_overwrite(true);
    archive.unpack(into)?;
    // What follows the end mark belongs to the stream.
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_the_length_that_was_promised() {
        let read = |content: &[u8], length| {
            let mut bytes = Vec::new();
            of_length(content, length).read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(read(b"grown", 3), b"gro");
        assert_eq!(read(b"cut", 5), b"cut\0\0");
        assert_eq!(read(b"same", 4), b"same");
    }
}
