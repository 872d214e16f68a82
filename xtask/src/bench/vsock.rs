//! A stream to the guest and back: vsock on kiln against a virtio-serial port on QEMU, whose own
//! vsock needs a host kernel module. The program in the guest is the same.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::machine::{Guest, Session, arguments};
use super::pairs;

const LENGTH: usize = 64 << 20;
/// Round trips of one byte.
const TRIPS: usize = 2000;

pub(super) fn run(count: usize) -> Result<()> {
    let guest = Guest::build()?;
    let (ours, theirs) = (guest.path("vsock"), guest.path("serial"));
    let kiln = arguments(&[&"--vsock", &ours]);
    let chardev = format!("socket,id=c,server=on,wait=off,path={}", theirs.display());
    let qemu = arguments(&[
        &"-device",
        &"virtio-serial-device",
        &"-chardev",
        &chardev,
        &"-device",
        &"virtserialport,chardev=c,name=echo",
    ]);
    let on_kiln = |measure: fn(UnixStream) -> Result<f64>| {
        // A machine before it was killed, and could not take its socket away.
        let _ = std::fs::remove_file(&ours);
        let mut session = Session::start(guest.on_kiln("vsock", &kiln))?;
        session.wait_for("bench listens")?;
        measure(connect(&ours)?)
    };
    let on_qemu = |measure: fn(UnixStream) -> Result<f64>| {
        let mut session = Session::start(guest.on_qemu("serial", &qemu))?;
        session.wait_for("bench listens")?;
        measure(UnixStream::connect(&theirs)?)
    };
    pairs("64 MiB to the guest and back", count, || on_kiln(bulk), || on_qemu(bulk))?;
    pairs("2000 round trips of a byte", count, || on_kiln(trips), || on_qemu(trips))?;
    Ok(())
}

/// Through kiln's socket to the guest's port.
fn connect(socket: &Path) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"CONNECT 1024\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.last() != Some(&b'\n') {
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    ensure!(answer.starts_with(b"OK "), "the guest refused the connection");
    Ok(stream)
}

fn bulk(stream: UnixStream) -> Result<f64> {
    let begin = Instant::now();
    let mut reader = stream.try_clone()?;
    let reading = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        let mut left = LENGTH;
        while left > 0 {
            let most = left.min(buffer.len());
            match reader.read(&mut buffer[..most])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(())
    });
    let piece = vec![7; 1 << 16];
    for _ in 0..LENGTH / piece.len() {
        (&stream).write_all(&piece)?;
    }
    reading.join().expect("the reader does not panic")?;
    Ok(begin.elapsed().as_secs_f64())
}

fn trips(mut stream: UnixStream) -> Result<f64> {
    let mut byte = [1];
    let begin = Instant::now();
    for _ in 0..TRIPS {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
    }
    Ok(begin.elapsed().as_secs_f64())
}
