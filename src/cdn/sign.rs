//! ACS3-HMAC-SHA256, Alibaba Cloud's request signature, version 3 (API reference, section 3).
//!
//! The same functions sign in the client and verify in the sandbox.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};

/// The name that opens the `Authorization` header and the string to sign.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// RFC 3986 unreserved characters stay; everything else is encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Joins parameters into the canonical query: sorted by name, both sides percent-encoded as UTF-8 with
/// upper-case digits, unreserved characters as they are. The URL is sent
/// with exactly this text.
#[must_use]
pub fn canonical_query(parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort();
    let mut text = String::new();
    for (name, value) in sorted {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(percent_encode(name.as_bytes(), UNRESERVED));
        text.push('=');
        text.extend(percent_encode(value.as_bytes(), UNRESERVED));
    }
    text
}

/// Returns the lower-case hexadecimal SHA-256 of `bytes`.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// The canonical query; empty when there is none.
    pub query: &'a str,
    /// The signed headers: names in lower case, in any order.
    pub headers: &'a [(String, String)],
    /// The hexadecimal SHA-256 of the body.
    pub payload_sha256: &'a str,
}

impl Signable<'_> {
    /// Returns the names of the signed headers, sorted, joined by `;`.
    #[must_use]
    pub fn signed_headers(&self) -> String {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.join(";")
    }

    /// Returns the canonical request. The path is `/`: this API has no other.
    #[must_use]
    pub fn canonical_request(&self) -> String {
        let mut sorted: Vec<_> = self.headers.iter().collect();
        sorted.sort();
        let mut text = format!("{}\n/\n{}\n", self.method, self.query);
        for (name, value) in sorted {
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
        let _ = write!(text, "\n{}\n{}", self.signed_headers(), self.payload_sha256);
        text
    }

    /// Returns the string to sign.
    #[must_use]
    pub fn string_to_sign(&self) -> String {
        format!("{ALGORITHM}\n{}", hex_sha256(self.canonical_request().as_bytes()))
    }

    /// Returns the lower-case hexadecimal signature under `secret`.
    #[must_use]
    pub fn signature(&self, secret: &str) -> String {
        hex(&self.mac(secret).finalize().into_bytes())
    }

    /// Returns the `Authorization` header's value.
    #[must_use]
    pub fn authorization(&self, key_id: &str, secret: &str) -> String {
        format!(
            "{ALGORITHM} Credential={key_id},SignedHeaders={},Signature={}",
            self.signed_headers(),
            self.signature(secret)
        )
    }

    /// Returns whether `signature` is right under `secret`, in constant time.
    #[must_use]
    pub fn verify(&self, secret: &str, signature: &str) -> bool {
        unhex(signature).is_some_and(|bytes| self.mac(secret).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, secret: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key length");
        mac.update(self.string_to_sign().as_bytes());
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
    bytes.iter().flat_map(digits).map(char::from).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests;
