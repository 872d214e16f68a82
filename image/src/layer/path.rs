//! Names in archives, taken apart.

use super::EntryProblem;

/// `NAME_MAX` and `PATH_MAX` (less its NUL) of Linux.
const COMPONENT_MAX: usize = 255;
pub(super) const PATH_MAX: usize = 4095;

/// The components of an entry's name or a hard link's target; none for the root.
pub(super) fn components(path: &[u8], absolute: bool) -> Result<Vec<&[u8]>, EntryProblem> {
    if path.starts_with(b"/") && !absolute {
        return Err(EntryProblem::Absolute);
    }
    if path.len() > PATH_MAX {
        return Err(EntryProblem::NameTooLong);
    }
    if path.contains(&0) {
        return Err(EntryProblem::Nul);
    }
    let parts: Vec<_> = split(path).collect();
    if parts.contains(&&b".."[..]) {
        return Err(EntryProblem::DotDot);
    }
    match parts.iter().any(|part| part.len() > COMPONENT_MAX) {
        true => Err(EntryProblem::NameTooLong),
        false => Ok(parts),
    }
}

/// Components without the empty ones and `.`.
pub(super) fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// What the image specification (`layer.md`, "Whiteouts") reads in a base name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// Not a marker.
    None,
    /// The name that is gone.
    Whiteout(&'a [u8]),
    /// Everything below the directory is gone.
    Opaque,
    /// AUFS's own bookkeeping, which is no file of the image.
    Bookkeeping,
}

impl<'a> Marker<'a> {
    pub(super) fn of(name: &'a [u8]) -> Result<Self, EntryProblem> {
        match name.strip_prefix(b".wh.") {
            None => Ok(Self::None),
            Some(b".wh..opq") => Ok(Self::Opaque),
            Some(rest) if rest.starts_with(b".wh.") => Ok(Self::Bookkeeping),
            Some(b"" | b"." | b"..") => Err(EntryProblem::EmptyWhiteout),
            Some(gone) => Ok(Self::Whiteout(gone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(components(b"./a//b/./c/", false).unwrap(), [b"a", b"b", b"c"]);
        assert!(components(b"./", false).unwrap().is_empty());
        assert!(matches!(components(b"/a", false), Err(EntryProblem::Absolute)));
        assert_eq!(components(b"/a", true).unwrap(), [b"a"]);
        assert!(matches!(components(b"a/../b", true), Err(EntryProblem::DotDot)));
        assert!(components(b"a..b/...", false).is_ok());
        assert!(components(&[b'n'; 255], false).is_ok());
        assert!(matches!(components(&[b'n'; 256], false), Err(EntryProblem::NameTooLong)));
        assert!(matches!(components(&b"n/".repeat(2048), false), Err(EntryProblem::NameTooLong)));
    }

    #[test]
    fn markers() {
        assert_eq!(Marker::of(b"a").unwrap(), Marker::None);
        assert_eq!(Marker::of(b".wh.a").unwrap(), Marker::Whiteout(b"a"));
        assert_eq!(Marker::of(b".wh..a").unwrap(), Marker::Whiteout(b".a"));
        assert_eq!(Marker::of(b".wh..wh..opq").unwrap(), Marker::Opaque);
        assert_eq!(Marker::of(b".wh..wh.plnk").unwrap(), Marker::Bookkeeping);
        assert!(Marker::of(b".wh.").is_err() && Marker::of(b".wh...").is_err());
    }
}
