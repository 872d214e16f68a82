//! Extended attributes in their on-disk form (`struct erofs_xattr_ibody_header` and
//! `struct erofs_xattr_entry`): a header without shared entries, then entries padded to 4 bytes.

use super::format::{XATTR_AREA_MAX, XATTR_ENTRY, XATTR_HEADER, XATTR_PREFIXES};

/// A full name and its value.
pub(crate) type Xattr = (Box<[u8]>, Box<[u8]>);

/// Why attributes cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XattrError {
    /// Linux has no such namespace, so no file system could hold the attribute.
    Namespace,
    /// The name is empty or over 255 bytes, or the value is over 65,535.
    Length,
    /// All attributes of the inode together take more than 256 KiB.
    Total,
}

/// Encodes attributes; their names must differ. No attributes give an empty area.
pub(crate) fn encode(xattrs: &[Xattr]) -> Result<Box<[u8]>, XattrError> {
    if xattrs.is_empty() {
        return Ok(Box::default());
    }
    let mut area = vec![0; XATTR_HEADER];
    for (name, value) in xattrs {
        let (index, suffix) = split(name).ok_or(XattrError::Namespace)?;
        let suffix_len = u8::try_from(suffix.len()).map_err(|_| XattrError::Length)?;
        let value_len = u16::try_from(value.len()).map_err(|_| XattrError::Length)?;
        area.push(suffix_len);
        area.push(index);
        area.extend(value_len.to_le_bytes());
        area.extend_from_slice(suffix);
        area.extend_from_slice(value);
        area.resize(area.len().next_multiple_of(4), 0);
    }
    if area.len() > XATTR_AREA_MAX {
        return Err(XattrError::Total);
    }
    Ok(area.into())
}

/// The index of the longest prefix, and what follows it. The two ACL names are whole: nothing may
/// follow them; after the others something must.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    XATTR_PREFIXES.iter().find_map(|(prefix, index)| {
        let suffix = name.strip_prefix(*prefix)?;
        let whole = !prefix.ends_with(b".");
        (whole == suffix.is_empty()).then_some((*index, suffix))
    })
}

/// The reverse of [`encode`]; `None` when the area is damaged.
pub(crate) fn decode(area: &[u8]) -> Option<Vec<Xattr>> {
    let mut xattrs = Vec::new();
    if area.is_empty() {
        return Some(xattrs);
    }
    let mut rest = area.get(XATTR_HEADER..)?;
    if area[4] != 0 {
        return None;
    }
    while !rest.is_empty() {
        let header = rest.get(..XATTR_ENTRY)?;
        let name_len = usize::from(header[0]);
        let value_len = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let (prefix, _) = XATTR_PREFIXES.iter().find(|(_, index)| *index == header[1])?;
        let name = rest.get(XATTR_ENTRY..XATTR_ENTRY + name_len)?;
        let value = rest.get(XATTR_ENTRY + name_len..)?.get(..value_len)?;
        xattrs.push(([*prefix, name].concat().into(), value.into()));
        let used = (XATTR_ENTRY + name_len + value_len).next_multiple_of(4);
        rest = rest.get(used..)?;
    }
    Some(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &[u8]) -> Xattr {
        (name.as_bytes().into(), value.into())
    }

    #[test]
    fn areas_read_back() {
        let all = vec![
            pair("user.a", b""),
            pair("security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0]),
            pair("system.posix_acl_access", &[2, 0, 0, 0]),
            pair("trusted.overlay.opaque", b"y"),
        ];
        let area = encode(&all).unwrap();
        assert_eq!(area.len() % 4, 0);
        assert_eq!(decode(&area).unwrap(), all);
        assert_eq!(decode(&[]).unwrap(), []);
        assert!(encode(&[]).unwrap().is_empty());
    }

    #[test]
    fn limits() {
        let one = |name: &str, len| encode(&[pair(name, &vec![0; len])]);
        assert_eq!(one("com.apple.x", 1), Err(XattrError::Namespace));
        assert_eq!(one("user.", 1), Err(XattrError::Namespace));
        assert_eq!(one("system.posix_acl_accessory", 1), Err(XattrError::Namespace));
        assert_eq!(one("user.a", 65_536), Err(XattrError::Length));
        assert_eq!(one(&format!("user.{}", "n".repeat(256)), 1), Err(XattrError::Length));
        assert!(one(&format!("user.{}", "n".repeat(255)), 65_535).is_ok());
        let many: Vec<_> = (0..5).map(|i| pair(&format!("user.{i}"), &[0; 65_535])).collect();
        assert_eq!(encode(&many), Err(XattrError::Total));
    }

    #[test]
    fn damage_is_noticed() {
        let area = encode(&[pair("user.abc", b"value")]).unwrap();
        for cut in 1..area.len() {
            assert!(decode(&area[..cut]).is_none() || cut == XATTR_HEADER, "{cut}");
        }
    }
}
