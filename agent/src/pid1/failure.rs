//! Failures as the protocol reports them.

use std::fmt::Display;

use agent::{Failure, FailureKind};

/// A result whose error goes to the host as it is.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// A failure of this kind.
pub(crate) fn failure(kind: FailureKind, message: impl Display) -> Failure {
    Failure { kind, message: message.to_string() }
}

/// Turns a refusal of the kernel into a sentence: "cannot `what`: `error`".
pub(crate) trait Explain<T> {
    fn explain(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Explain<T> for Result<T, E> {
    fn explain(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| failure(FailureKind::System, format!("cannot {what}: {error}")))
    }
}
