//! Writes the archive format of an initramfs: "newc" cpio, as the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it.

/// An archive under construction. Entries appear in the order they are added; owners are root,
/// times zero, so that the same entries always give the same bytes.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    next_inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    pub(crate) fn new() -> Archive {
        Archive { bytes: Vec::new(), next_inode: 1 }
    }

    pub(crate) fn directory(&mut self, name: &str, permissions: u32) -> &mut Archive {
        self.entry(name, DIRECTORY | permissions, (0, 0), &[])
    }

    pub(crate) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> &mut Archive {
        self.entry(name, REGULAR | permissions, (0, 0), content)
    }

    pub(crate) fn character_device(
        &mut self,
        name: &str,
        permissions: u32,
        (major, minor): (u32, u32),
    ) -> &mut Archive {
        self.entry(name, CHARACTER_DEVICE | permissions, (major, minor), &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.next_inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        std::mem::take(&mut self.bytes)
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> &mut Archive {
        let size = u32::try_from(content.len()).expect("an initramfs file is under 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("a name is short");
        let fields = [
            self.next_inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // modification time
            size,
            0, // device major
            0, // device minor
            major,
            minor,
            name_size,
            0, // checksum, unused in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        self.next_inode += 1;
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn gnu_cpio_lists_what_was_written() {
        if crate::run::find("cpio").is_none() {
            return;
        }
        let archive = Archive::new()
            .directory("dev", 0o755)
            .character_device("dev/console", 0o600, (5, 1))
            .file("init", 0o755, b"12345")
            .finish();
        let mut child = Command::new("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let words: Vec<Vec<&str>> =
            listing.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][0], "drwxr-xr-x");
        assert_eq!((words[1][0], words[1][4], words[1][5]), ("crw-------", "5,", "1"));
        assert_eq!((words[2][0], words[2][4], words[2].last()), ("-rwxr-xr-x", "5", Some(&"init")));
    }
}
