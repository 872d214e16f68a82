//! What can go wrong between the two ends.

use crate::message::Failure;

/// A connection that cannot be used further, or a request that was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The byte stream failed or ended inside a frame.
    #[error("the connection to the guest agent failed: {0}; attach again")]
    Io(#[from] std::io::Error),
    /// The peer closed the stream between two frames.
    #[error("the peer closed the connection; attach again if the machine still runs")]
    Closed,
    /// The time for an answer is over.
    #[error(
        "the guest agent did not answer within {seconds} s; look at the machine's console.log, or stop the machine"
    )]
    NoAnswer {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A frame longer than the protocol allows.
    #[error(
        "the peer sent a frame of {length} bytes where at most {limit} are allowed; it does not speak this protocol"
    )]
    TooLong {
        /// The length that the header claims.
        length: usize,
        /// The most that such a frame may have.
        limit: usize,
    },
    /// A frame of a kind that nobody defined.
    #[error("the peer sent a frame of unknown kind {0:#04x}; it does not speak this protocol")]
    UnknownKind(u8),
    /// Bytes that are not the message that was due.
    #[error("the peer sent a malformed {what}: {reason}; use a kiln of the same age")]
    Malformed {
        /// The type that was due.
        what: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// A well-formed frame or reply at the wrong time.
    #[error(
        "the peer sent {got} where {expected} was due; it does not keep to the protocol: stop the machine"
    )]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// Not a kiln agent or host, or one of another age.
    #[error(
        "the peer speaks version {peer} of the agent protocol, this side {}; use a kiln of the same age",
        crate::VERSION
    )]
    Version {
        /// The peer's version.
        peer: u16,
    },
    /// The agent did not do what was asked.
    #[error("{}", .0.message)]
    Failed(Failure),
}
