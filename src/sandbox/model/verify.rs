//! Who is calling: the checks of a signed request, in the order of the API reference's section 3.5.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::cdn::sign::{ALGORITHM, Signable, canonical_query, hex_sha256};
use crate::domain::time::Timestamp;

use super::AccessKey;
use super::call::{Call, Refusal};

/// How far a client's clock may be off (API reference 0).
const SKEW: Duration = Duration::from_secs(15 * 60);

/// How long a nonce is remembered: a date 15 minutes ahead stays valid for 30 minutes.
const NONCE_LIFE: Duration = Duration::from_secs(31 * 60);

/// Headers without which a request isn't one.
const MANDATORY: [&str; 5] =
    ["host", "x-acs-action", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

/// The known keys and the nonces they used.
#[derive(Debug)]
pub(crate) struct Verifier {
    keys: Vec<AccessKey>,
    seen: HashSet<(String, String)>,
    /// The same nonces by age.
    ages: VecDeque<(Timestamp, (String, String))>,
}

impl Verifier {
    pub(crate) fn new(keys: Vec<AccessKey>) -> Self {
        Self { keys, seen: HashSet::new(), ages: VecDeque::new() }
    }

    pub(crate) fn set_keys(&mut self, keys: Vec<AccessKey>) {
        self.keys = keys;
    }

    /// Accepts or refuses a request; an accepted one's nonce is spent.
    pub(crate) fn verify(&mut self, call: &Call, now: Timestamp) -> Result<(), Refusal> {
        let text = call.header("authorization").ok_or_else(|| Refusal::missing("Authorization"))?;
        let claim = Claim::parse(text).ok_or_else(|| incomplete("Authorization can't be read."))?;
        claim.check_coverage(call)?;
        let key = self.keys.iter().find(|key| key.id == claim.key_id).ok_or_else(|| {
            Refusal::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        })?;
        check_token(key, call.header("x-acs-security-token"), now)?;
        check_date(call, now)?;
        let digest = hex_sha256(&call.body);
        if call.header("x-acs-content-sha256") != Some(&digest) {
            return Err(mismatch(&format!("the body's SHA-256 is {digest}")));
        }
        let query = canonical_query(&call.query_parameters());
        let headers = claim.signed_values(call);
        let signable = Signable {
            method: &call.method,
            query: &query,
            headers: &headers,
            payload_sha256: &digest,
        };
        if !signable.verify(&key.secret, claim.signature) {
            return Err(mismatch(&format!(
                "server string to sign is:{}",
                signable.string_to_sign()
            )));
        }
        let nonce = call.header("x-acs-signature-nonce").unwrap_or_default();
        let pair = (key.id.clone(), nonce.to_owned());
        self.spend(pair, now)
    }

    fn spend(&mut self, pair: (String, String), now: Timestamp) -> Result<(), Refusal> {
        while let Some((at, old)) = self.ages.front()
            && now.since(*at) > NONCE_LIFE
        {
            self.seen.remove(old);
            self.ages.pop_front();
        }
        if !self.seen.insert(pair.clone()) {
            let text = "Specified signature nonce was used already.";
            return Err(Refusal::new(400, "SignatureNonceUsed", text));
        }
        self.ages.push_back((now, pair));
        Ok(())
    }
}

/// What the `Authorization` header claims.
struct Claim<'a> {
    key_id: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let mut fields = rest.split(',').map(str::trim);
        let mut field = |name: &str| {
            let value = fields.next()?.strip_prefix(name)?.strip_prefix('=')?;
            (!value.is_empty()).then_some(value)
        };
        let key_id = field("Credential")?;
        let signed = field("SignedHeaders")?.split(';').collect();
        let signature = field("Signature")?;
        Some(Self { key_id, signed, signature })
    }

    /// Checks that the mandatory headers are there and signed, and that no `x-acs-` header was
    /// sent without being signed.
    fn check_coverage(&self, call: &Call) -> Result<(), Refusal> {
        for name in MANDATORY.iter().chain(&["x-acs-content-sha256"]) {
            if call.header(name).is_none() {
                return Err(Refusal::missing(name));
            }
        }
        let sent = call.headers.iter().map(|(name, _)| name.as_str());
        let unsigned = sent
            .filter(|name| name.starts_with("x-acs-"))
            .chain(MANDATORY)
            .find(|name| !self.signed.contains(name));
        match unsigned {
            Some(name) => Err(incomplete(&format!("The header {name} isn't signed."))),
            None => Ok(()),
        }
    }

    /// Returns the signed headers as they were sent; one that wasn't is empty.
    fn signed_values(&self, call: &Call) -> Vec<(String, String)> {
        let value = |name: &&str| call.header(name).unwrap_or_default().to_owned();
        self.signed.iter().map(|name| ((*name).to_owned(), value(name))).collect()
    }
}

fn check_token(key: &AccessKey, sent: Option<&str>, now: Timestamp) -> Result<(), Refusal> {
    let refusal = |code, text: &str| Err(Refusal::new(400, code, text));
    match (&key.token, sent) {
        (None, None) => Ok(()),
        (Some(known), Some(sent)) if known == sent => {
            if key.expires_at.is_some_and(|expires| expires <= now) {
                return refusal(
                    "InvalidSecurityToken.Expired",
                    "Specified SecurityToken is expired.",
                );
            }
            Ok(())
        }
        (Some(_), Some(_)) => {
            refusal("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        }
        (None, Some(_)) | (Some(_), None) => refusal(
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Specified SecurityToken doesn't belong to the access key.",
        ),
    }
}

fn check_date(call: &Call, now: Timestamp) -> Result<(), Refusal> {
    let text = call.header("x-acs-date").unwrap_or_default();
    let date = Timestamp::parse(text)
        // One spelling is valid: UTC, no fraction.
        .filter(|date| date.to_api() == text)
        .ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidTimeStamp.Format",
                "Specified time stamp is not well formatted.",
            )
        })?;
    if now.since(date).max(date.since(now)) > SKEW {
        let text = "Specified time stamp or date value is expired.";
        return Err(Refusal::new(400, "InvalidTimeStamp.Expired", text));
    }
    Ok(())
}

fn incomplete(text: &str) -> Refusal {
    Refusal::new(400, "IncompleteSignature", text)
}

fn mismatch(why: &str) -> Refusal {
    let text = format!("Specified signature is not matched with our calculation. {why}");
    Refusal::new(400, "SignatureDoesNotMatch", text)
}
