//! A log that others may fill without filling the disk: two files of at most so many bytes.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Bytes after which a file is closed and a new one begun.
const FILE_LIMIT: u64 = 1 << 20;

/// Writes a file; what is older is in the file with `.1` behind its name, and what is older than that is gone.
#[derive(Debug)]
pub(crate) struct RotatedLog {
    path: PathBuf,
    file: File,
    len: u64,
}

impl RotatedLog {
    /// Begins the log at `path`.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path: path.into(), file, len: 0 })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut older = OsString::from(&self.path);
        older.push(".1");
        fs::rename(&self.path, older)?;
        self.file = File::create(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

impl Write for RotatedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len >= FILE_LIMIT {
            self.rotate()?;
        }
        let most = (FILE_LIMIT - self.len).min(bytes.len() as u64);
        let count = self.file.write(&bytes[..most as usize])?;
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_talks_without_end_fills_two_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatedLog::create(&directory.path().join("console.log")).unwrap();
        for round in 0..50_u8 {
            log.write_all(&vec![round; 100_000]).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["console.log", "console.log.1"]);
        let mut kept = fs::read(directory.path().join("console.log.1")).unwrap();
        assert_eq!(kept.len() as u64, FILE_LIMIT);
        kept.extend(fs::read(directory.path().join("console.log")).unwrap());
        let all: Vec<u8> = (0..50).flat_map(|round| vec![round; 100_000]).collect();
        assert!(all.ends_with(&kept));
    }
}
