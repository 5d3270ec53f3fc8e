//! Why a delivery is not believed.

/// Why a delivery is not believed: for the operator's log, never for the answer. It repeats neither a
/// secret nor a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is not there.
    #[error(
        "there is no `{0}`: is the hook's provider right, and does the sender know the secret?"
    )]
    Missing(String),
    /// A header says nothing, as those of a sender without a secret do.
    #[error("`{0}` is empty: give the sender the hook's secret")]
    Empty(String),
    /// A header is there more than once: two readers could judge different ones.
    #[error("`{0}` is there more than once")]
    Twice(String),
    /// A header can't be what it should be.
    #[error("`{header}` is not {what}")]
    Malformed {
        /// Its name.
        header: String,
        /// What it should be.
        what: &'static str,
    },
    /// No secret of the hook makes this signature, or is this token.
    #[error("`{0}` fits none of the hook's secrets: compare them with the sender's")]
    Mismatch(String),
    /// It was signed too long ago, or is yet to be signed.
    #[error(
        "it was signed {seconds} s {}: it is sent a second time, or one of the clocks is wrong",
        if *.ago { "ago" } else { "from now" }
    )]
    Stale {
        /// By how much.
        seconds: u64,
        /// Whether that is past.
        ago: bool,
    },
    /// A form has no field `payload`, or several.
    #[error("the form has not one field `payload`: have the sender post JSON")]
    Form,
}

impl Refused {
    /// Returns one word that is the same for all refusals of a kind: what they are counted by.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Empty(_) => "empty",
            Self::Twice(_) => "twice",
            Self::Malformed { .. } => "malformed",
            Self::Mismatch(_) => "mismatch",
            Self::Stale { .. } => "stale",
            Self::Form => "form",
        }
    }
}
