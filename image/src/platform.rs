//! Platforms, as an image index names them (OCI image specification, `image-index.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An operating system, an architecture and its variant: `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// The operating system, in Go's `GOOS` names.
    pub os: String,
    /// The architecture, in Go's `GOARCH` names.
    pub architecture: String,
    /// The variant of the architecture; empty when there is none.
    pub variant: String,
}

impl Platform {
    /// `linux/arm64/v8`: what the guest is.
    pub fn guest() -> Self {
        Self::new("linux", "arm64", "v8")
    }

    /// Makes a platform, with the variant's default filled in (`arm64` is `v8`, `arm` is `v7`).
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = match (architecture, variant) {
            ("arm64" | "aarch64", "" | "8" | "v8") => ("arm64", "v8"),
            ("arm", "") => ("arm", "v7"),
            ("amd64" | "x86_64", "" | "v1") => ("amd64", ""),
            ("aarch64", v) => ("arm64", v),
            other => other,
        };
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self::guest()
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `os/architecture[/variant]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |s: &str| {
            !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        match parts[..] {
            [os, arch] if word(os) && word(arch) => Ok(Self::new(os, arch, "")),
            [os, arch, variant] if word(os) && word(arch) && word(variant) => {
                Ok(Self::new(os, arch, variant))
            }
            _ => Err(Error::BadPlatform { text: crate::text::clip(text) }),
        }
    }
}

impl TryFrom<String> for Platform {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_forms() {
        assert_eq!(Platform::default().to_string(), "linux/arm64/v8");
        assert_eq!("linux/arm64".parse::<Platform>().unwrap(), Platform::guest());
        assert_eq!("linux/aarch64".parse::<Platform>().unwrap(), Platform::guest());
        assert_eq!("linux/amd64".parse::<Platform>().unwrap().variant, "");
        assert_eq!("linux/arm/v6".parse::<Platform>().unwrap().variant, "v6");
        for bad in ["", "linux", "linux/", "/arm64", "a/b/c/d", "linux/arm 64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
