//! Extended headers (POSIX.1-2017, `pax`, "pax Extended Header").

use super::sparse::EXTENTS_MAX;
use super::{TarError, Xattr};

/// The most bytes of one extended header, and of what all of an entry's headers leave: room for
/// 256 KiB of attributes and then some.
pub(super) const PAX_MAX: u64 = 1 << 20;

/// The most that global headers may leave: it is copied for each entry.
const GLOBAL_MAX: u64 = 4 << 10;

/// The records that matter to a layer; `None` where there was none.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<(i64, u32)>,
    /// Names without `SCHILY.xattr.`, in order; a later value of a name replaces an earlier one.
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

/// `GNU.sparse.*` of the formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths by turns, of 0.0 and 0.1.
    pub(super) numbers: Vec<u64>,
    pub(super) seen: bool,
}

impl Pax {
    /// Adds the records of one extended header: `length key=value\n`, any number of times.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        let bad = TarError::Field { field: "pax header" };
        while !bytes.is_empty() {
            let Some(space) = bytes.iter().take(20).position(|b| *b == b' ') else {
                return Err(bad);
            };
            let length = decimal(&bytes[..space])
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > space + 1 && *n <= bytes.len() && bytes[n - 1] == b'\n');
            let Some(length) = length else { return Err(bad) };
            let record = &bytes[space + 1..length - 1];
            bytes = &bytes[length..];
            let Some(equals) = record.iter().position(|b| *b == b'=') else { return Err(bad) };
            self.record(&record[..equals], &record[equals + 1..])?;
        }
        match self.kept() > PAX_MAX {
            true => Err(TarError::TooLong { field: "set of pax headers", limit: PAX_MAX }),
            false => Ok(()),
        }
    }

    /// Adds the records of a global header, for the entries to come.
    pub(super) fn add_global(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.add(bytes)?;
        if self.sparse.seen || self.sparse.name.is_some() {
            return Err(TarError::Field { field: "global pax header (it has a sparse map)" });
        }
        match self.kept() > GLOBAL_MAX {
            true => {
                Err(TarError::TooLong { field: "set of global pax headers", limit: GLOBAL_MAX })
            }
            false => Ok(()),
        }
    }

    /// Bytes of names and values.
    fn kept(&self) -> u64 {
        let names = [&self.path, &self.link, &self.sparse.name].into_iter().flatten();
        let xattrs = self.xattrs.iter().map(|(name, value)| name.len() + value.len());
        names.map(Vec::len).chain(xattrs).sum::<usize>() as u64
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let number = |field| decimal(value).ok_or(TarError::Field { field });
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            // An empty value takes an earlier record back.
            b"size" | b"uid" | b"gid" | b"mtime" if value.is_empty() => match key {
                b"size" => self.size = None,
                b"uid" => self.uid = None,
                b"gid" => self.gid = None,
                _ => self.mtime = None,
            },
            b"size" => self.size = Some(number("size")?),
            b"uid" => self.uid = Some(signed(value, "owner")?),
            b"gid" => self.gid = Some(signed(value, "group")?),
            b"mtime" => {
                let field = "modification time";
                self.mtime = Some(time(value).ok_or(TarError::Field { field })?);
            }
            b"GNU.sparse.major" => self.sparse.set(|s, n| s.major = Some(n), value)?,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.set(|s, n| s.real_size = Some(n), value)?;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.set(|s, n| s.numbers.push(n), value)?;
            }
            b"GNU.sparse.map" => {
                for part in value.split(|b| *b == b',').filter(|part| !part.is_empty()) {
                    self.sparse.set(|s, n| s.numbers.push(n), part)?;
                }
            }
            b"GNU.sparse.name" => self.sparse.name = name(value)?,
            _ => {
                if let Some(xattr) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(xattr, value)?;
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), TarError> {
        if name.is_empty() || name.contains(&0) {
            return Err(TarError::Field { field: "extended attribute" });
        }
        let known = self.xattrs.iter().position(|(known, _)| **known == *name);
        match known {
            Some(index) => self.xattrs[index].1 = value.into(),
            None if self.xattrs.len() < 4096 => self.xattrs.push((name.into(), value.into())),
            None => return Err(TarError::TooLong { field: "list of attributes", limit: 4096 }),
        }
        Ok(())
    }
}

impl PaxSparse {
    fn set(&mut self, set: impl FnOnce(&mut Self, u64), value: &[u8]) -> Result<(), TarError> {
        let number = decimal(value).ok_or(TarError::Field { field: "sparse map" })?;
        if self.numbers.len() >= 2 * EXTENTS_MAX {
            return Err(TarError::TooLong { field: "sparse map", limit: EXTENTS_MAX as u64 });
        }
        self.seen = true;
        set(self, number);
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    if value.contains(&0) {
        return Err(TarError::Field { field: "name (it has a NUL)" });
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn signed(text: &[u8], field: &'static str) -> Result<i64, TarError> {
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(TarError::Field { field })
}

/// Seconds with an optional fraction, rounded down to the nanosecond.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let ns = nine.fold(0u32, |n, digit| n * 10 + u32::from(digit - b'0'));
    match whole.starts_with('-') && ns > 0 {
        false => Some((seconds, ns)),
        true => Some((seconds.checked_sub(1)?, 1_000_000_000 - ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(b"1350244992.023960108"), Some((1_350_244_992, 23_960_108)));
        assert_eq!(time(b"1350244992.3"), Some((1_350_244_992, 300_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Some((-1, 500_000_000)));
        assert_eq!(time(b"5"), Some((5, 0)));
        assert_eq!(time(b"1.0000000019"), Some((1, 1)));
        assert_eq!(time(b"."), None);
        assert_eq!(time(b"1.-5"), None);
    }

    #[test]
    fn records() {
        let mut pax = Pax::default();
        pax.add(b"30 mtime=1350244992.023960108\n13 path=a\xffbc\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\xffbc"[..]));
        pax.add(b"27 SCHILY.xattr.user.x=a\n\x00\n").unwrap();
        assert_eq!(pax.xattrs[0], (b"user.x"[..].into(), b"a\n\x00"[..].into()));
        for bad in [
            &b"5 a=\n"[..],
            b"x a=b\n",
            b"99 path=a\n",
            b"11 path=ab",
            b"6 a=b\n6 ab\n",
            b"12 path=a\x00b\n",
            b"3 \n",
            b"0 a=b\n",
            b"99999999999999999999999 a=b\n",
        ] {
            let outcome = Pax::default().add(bad);
            assert!(outcome.is_err() || bad == b"5 a=\n", "{bad:?}");
        }
    }
}
