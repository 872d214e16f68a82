//! The 512-byte header block (POSIX.1-2017, `pax`, "ustar Interchange Format").

use super::TarError;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// One header block whose checksum matches.
pub(crate) struct Header(Box<[u8; BLOCK]>);

impl Header {
    /// `None` for a block of zeroes, which ends an archive.
    pub(crate) fn new(block: Box<[u8; BLOCK]>) -> Result<Option<Self>, TarError> {
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let header = Self(block);
        let stored = header.number(148, 8, "checksum")?;
        let field = 148..156;
        let byte = |(i, b): (usize, &u8)| if field.contains(&i) { b' ' } else { *b };
        let unsigned: i64 = header.0.iter().enumerate().map(|x| i64::from(byte(x))).sum();
        let signed: i64 = header.0.iter().enumerate().map(|x| i64::from(byte(x) as i8)).sum();
        // A fuzzer would spend its time on sums.
        if stored != unsigned && stored != signed && !cfg!(feature = "fuzzing") {
            return Err(TarError::Checksum);
        }
        Ok(Some(header))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The name, with ustar's prefix.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = if self.is_ustar() { self.text(345, 155) } else { b"" };
        match prefix {
            b"" => name.to_vec(),
            _ => [prefix, b"/", name].concat(),
        }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub(crate) fn mode(&self) -> Result<i64, TarError> {
        self.number(100, 8, "mode")
    }

    pub(crate) fn uid(&self) -> Result<i64, TarError> {
        self.number(108, 8, "owner")
    }

    pub(crate) fn gid(&self) -> Result<i64, TarError> {
        self.number(116, 8, "group")
    }

    pub(crate) fn size(&self) -> Result<u64, TarError> {
        let size = self.number(124, 12, "size")?;
        u64::try_from(size).map_err(|_| TarError::Field { field: "size" })
    }

    pub(crate) fn mtime(&self) -> Result<i64, TarError> {
        self.number(136, 12, "modification time")
    }

    pub(crate) fn device(&self) -> Result<(i64, i64), TarError> {
        if !self.is_ustar() && !self.is_gnu() {
            return Ok((0, 0));
        }
        Ok((self.number(329, 8, "device number")?, self.number(337, 8, "device number")?))
    }

    /// The four sparse entries in an old GNU header, whether more follow, and the real size.
    pub(crate) fn gnu_sparse(&self) -> (&[u8], bool, Result<i64, TarError>) {
        (&self.0[386..482], self.0[482] != 0, self.number(483, 12, "real size"))
    }

    fn is_ustar(&self) -> bool {
        self.0[257..263] == *b"ustar\0"
    }

    fn is_gnu(&self) -> bool {
        self.0[257..265] == *b"ustar  \0"
    }

    fn text(&self, at: usize, len: usize) -> &[u8] {
        until_nul(&self.0[at..at + len])
    }

    fn number(&self, at: usize, len: usize, field: &'static str) -> Result<i64, TarError> {
        number(&self.0[at..at + len]).ok_or(TarError::Field { field })
    }
}

/// The bytes before the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// Octal digits between spaces and NULs, or GNU's base 256: the first bit set, two's complement.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { -1 } else { 0 };
        let head = i64::from(first & 0x3f) | (start & !0x3f);
        return field[1..]
            .iter()
            .try_fold(head, |n, byte| n.checked_mul(256).map(|n| n | i64::from(*byte)));
    }
    let skip = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !skip(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(skip).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0i64, |n, byte| match byte {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777"), Some(0o77777777777));
        assert_eq!(number(b"12x4567\0"), None);
        // GNU tar manual, "Extensions": base 256 for what octal cannot hold.
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
