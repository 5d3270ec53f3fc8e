//! Keys in JSON, as services and commands hand them out.

use serde_json::Value;

use super::{CredentialError, Credentials, Fetched, Habit};
use crate::domain::time::Timestamp;

/// Reads JSON; an error names the place in it, and nothing of what stands there.
pub(super) fn json(bytes: &[u8]) -> Result<Value, CredentialError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        CredentialError::lasting(format!("that is not JSON at line {line}, column {column}"))
    })
}

/// Returns a text that is there and not empty.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value[key].as_str().filter(|text| !text.is_empty())
}

/// Reads `AccessKeyId`, `AccessKeySecret`, `SecurityToken` and `Expiration`, all of which a
/// temporary key has (API reference 4.3 to 4.5).
pub(super) fn temporary(value: &Value, habit: Habit) -> Result<Fetched, CredentialError> {
    let field = |key: &str| {
        text(value, key)
            .ok_or_else(|| CredentialError::passing(format!("the answer has no `{key}`")))
    };
    let expires_at = Timestamp::parse(field("Expiration")?)
        .ok_or_else(|| CredentialError::passing("the `Expiration` in the answer is no time"))?;
    Ok(Fetched {
        credentials: Credentials::new(
            field("AccessKeyId")?,
            field("AccessKeySecret")?,
            Some(field("SecurityToken")?),
        ),
        expires_at: Some(expires_at),
        habit,
        source: String::new(),
    })
}
