//! Files in and out as tar streams.

use std::io::{Cursor, Read};

use agent::{
    Channel, Failure, FailureKind, Frame, Input, MAX_DATA, Output, ProcessSpec, ProtocolError,
    Reply, Request, decode_message,
};

use crate::common::in_its_own_process;
use crate::host::{Guest, IDLE, shell};

fn copy_out(guest: &Guest, path: &str, follow: bool) -> Result<Vec<u8>, Failure> {
    let mut connection = guest.connect();
    match connection.call(&Request::CopyOut { path: path.to_owned(), follow }) {
        Ok(Reply::File(_)) => {}
        Err(ProtocolError::Failed(failure)) => return Err(failure),
        other => panic!("{other:?}"),
    }
    let mut archive = Vec::new();
    loop {
        match connection.receive().unwrap() {
            Frame::Data { channel: Channel::Archive, offset, bytes } => {
                assert_eq!(offset, archive.len() as u64);
                archive.extend(bytes);
            }
            Frame::Message(body) => match decode_message(&body).unwrap() {
                Output::Finished(None) => return Ok(archive),
                Output::Finished(Some(failure)) => return Err(failure),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn copy_in(guest: &Guest, path: &str, archive: &[u8]) -> Result<(), ProtocolError> {
    let mut connection = guest.connect();
    connection.call(&Request::CopyIn { path: path.to_owned(), owners: true })?.done()?;
    let mut offset = 0;
    for chunk in archive.chunks(MAX_DATA) {
        connection.send_data(Channel::Archive, offset, chunk)?;
        offset += chunk.len() as u64;
    }
    connection.send_message(&Input::Finished)?;
    connection.receive_message::<Reply>()?.done()
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o640);
    header.set_uid(33);
    header.set_gid(4);
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header
}

#[test]
fn files_arrive_as_they_were_sent() {
    in_its_own_process("copies::files_arrive_as_they_were_sent", || {
        let guest = Guest::with(IDLE);
        let content: Vec<u8> = (0..5_000_000_u32).map(|i| (i / 7) as u8).collect();
        let mut builder = tar::Builder::new(Vec::new());
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(120));
        let mut regular = header(tar::EntryType::Regular, content.len() as u64);
        builder.append_data(&mut regular, &long, content.as_slice()).unwrap();
        let mut link = header(tar::EntryType::Symlink, 0);
        builder.append_link(&mut link, "link", "/etc/passwd").unwrap();
        copy_in(&guest, "/home", &builder.into_inner().unwrap()).unwrap();

        assert_eq!(
            guest.sh(&format!("stat -c '%a %u %g %Y %s' /home/{long}; readlink /home/link")),
            "640 33 4 1000000000 5000000\n/etc/passwd\n"
        );
        let archive = copy_out(&guest, &format!("/home/{long}"), false).unwrap();
        assert_eq!(names(&archive), ["f".repeat(120)]);
        let mut archive = tar::Archive::new(Cursor::new(archive));
        let mut back = Vec::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_end(&mut back).unwrap();
        assert!(back == content);

        // A directory, in order; a link, itself or followed, never out of the root.
        guest.sh("mkdir -p /home/t/b /home/t/a; echo 1 > /home/t/a/x; ln -s x /home/t/a/y");
        let archive = copy_out(&guest, "/home/t", false).unwrap();
        let names_of = |archive: &[u8]| -> Vec<String> {
            names(archive).iter().map(|name| name.trim_end_matches('/').to_owned()).collect()
        };
        assert_eq!(names_of(&archive), ["t", "t/a", "t/a/x", "t/a/y", "t/b"]);
        assert_eq!(names(&copy_out(&guest, "/etc/absolute", false).unwrap()), ["absolute"]);
        assert_eq!(names(&copy_out(&guest, "/etc/absolute", true).unwrap()), ["passwd"]);
        assert_eq!(names(&copy_out(&guest, "/etc/climbing", true).unwrap()), ["group"]);

        // Files that others write to, or take away, while they are copied.
        guest.sh("mkdir /home/live; for i in 1 2 3; do seq 1 99999 > /home/live/$i; done");
        let id = guest.fresh_id();
        let script = "cd /home/live; while :; do seq 1 9999 >> 1; : > 2; touch a; rm a; done";
        let spec = ProcessSpec { detached: true, ..shell(script) };
        guest.call(&Request::Exec { id, spec }).unwrap();
        for _ in 0..3 {
            let archive = copy_out(&guest, "/home/live", false).unwrap();
            let mut names = names_of(&archive);
            names.retain(|name| name != "live/a");
            assert_eq!(names, ["live", "live/1", "live/2", "live/3"]);
        }
        guest.call(&Request::Signal { id, signal: 9 }).unwrap();

        // What cannot be copied.
        assert_eq!(copy_out(&guest, "/nowhere", false).unwrap_err().kind, FailureKind::NoSuchFile);
        assert_eq!(copy_out(&guest, "passwd", false).unwrap_err().kind, FailureKind::Invalid);
        assert_eq!(copy_out(&guest, "/etc/loop", true).unwrap_err().kind, FailureKind::System);
        assert!(copy_in(&guest, "/nowhere", b"").is_err());
        assert!(copy_in(&guest, "/home", &[7; 2000]).is_err());

        // An archive that wants to leave the directory does not.
        let mut builder = tar::Builder::new(Vec::new());
        let mut link = header(tar::EntryType::Symlink, 0);
        builder.append_link(&mut link, "out", "/etc").unwrap();
        let mut regular = header(tar::EntryType::Regular, 3);
        builder.append_data(&mut regular, "out/planted", b"abc".as_slice()).unwrap();
        assert!(copy_in(&guest, "/home", &builder.into_inner().unwrap()).is_err());
        assert_eq!(guest.sh("ls /etc/planted 2>&1 | grep -c 'No such'"), "1\n");

        let Reply::File(info) =
            guest.call(&Request::Stat { path: "/etc/absolute".to_owned() }).unwrap()
        else {
            panic!("no file");
        };
        assert_eq!(info.link_target.as_deref(), Some("/etc/passwd"));
        assert_eq!(info.mode & 0o170_000, 0o120_000);
    });
}
