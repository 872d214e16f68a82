//! The user-mode network: Ethernet frames in and out
