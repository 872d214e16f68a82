//! Hostile text made fit for an error message.

/// At most 200 characters of `text`, control characters escaped.
pub(crate) fn clip(text: &str) -> String {
    let mut out: String = text.chars().take(200).flat_map(printable).collect();
    if text.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

/// A file name of any bytes, clipped and escaped.
pub(crate) fn clip_bytes(name: &[u8]) -> String {
    clip(&String::from_utf8_lossy(&name[..name.len().min(1000)]))
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let keep = !c.is_control();
    keep.then_some(c).into_iter().chain((!keep).then(|| c.escape_default()).into_iter().flatten())
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(super::clip("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(super::clip(&"é".repeat(500)).chars().count(), 201);
        assert_eq!(super::clip_bytes(b"x\xff"), "x\u{fffd}");
    }
}
