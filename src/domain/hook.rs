//! Hooks: who may tell of pushes, and how that is proved.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The longest body that any hook may be allowed: what GitHub sends at most (25 MiB, general knowledge).
pub const LONGEST_BODY: usize = 25 << 20;

/// Whose deliveries a hook takes: it is configured, never guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// GitHub: `X-Hub-Signature-256` over the raw body, JSON or form.
    GitHub,
    /// GitLab with a secret token, which proves less than a signature: `X-Gitlab-Token`.
    GitLabToken,
    /// GitLab with a signing token: as Standard Webhooks.
    GitLab,
    /// Gitea: `X-Gitea-Signature` over the payload.
    Gitea,
    /// Forgejo: `X-Forgejo-Signature` over the payload.
    Forgejo,
    /// Gogs: `X-Gogs-Signature` over the payload.
    Gogs,
    /// Bitbucket Cloud: `X-Hub-Signature` over the raw body.
    Bitbucket,
    /// Bitbucket Data Center: the same, with another payload.
    BitbucketServer,
    /// Standard Webhooks with a payload of our own form.
    StandardWebhooks,
    /// An HMAC-SHA256 of the body, or of `TIMESTAMP.BODY`, with a payload of our own form.
    Generic(Generic),
}

impl Provider {
    /// The providers that need no further settings, by the word used in the configuration.
    pub const NAMED: [(&'static str, Self); 9] = [
        ("github", Self::GitHub),
        ("gitlab", Self::GitLab),
        ("gitlab-token", Self::GitLabToken),
        ("gitea", Self::Gitea),
        ("forgejo", Self::Forgejo),
        ("gogs", Self::Gogs),
        ("bitbucket", Self::Bitbucket),
        ("bitbucket-server", Self::BitbucketServer),
        ("standard-webhooks", Self::StandardWebhooks),
    ];

    /// Returns the word used in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, provider)| provider == self);
        named.map_or("generic", |(word, _)| word)
    }
}

/// How a generic hook is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generic {
    /// The header that holds the signature, in lower case.
    pub header: String,
    /// What stands before it there: `sha256=`, or nothing.
    pub prefix: String,
    /// How it is written.
    pub encoding: Encoding,
    /// The header that holds when it was signed, in seconds since 1970: then `TIMESTAMP.BODY` is signed.
    pub timestamp: Option<String>,
    /// The header that holds the delivery's id.
    pub id: Option<String>,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In hexadecimal digits.
    Hex,
    /// In base64.
    Base64,
}

/// How far a signed time may lie from now, either way (Standard Webhooks: 5 minutes).
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A network: an address, and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address; none when it is neither, or has bits
    /// set beyond its length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, Some(bits.parse::<u8>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let network = Self { address, bits: bits.unwrap_or(most) };
        (network.bits <= most && network.first(address) == value(address)).then_some(network)
    }

    /// Returns whether an address lies in the network; an IPv4 address that is written as IPv6 counts as
    /// what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.first(address) == value(self.address)
    }

    fn first(&self, address: IpAddr) -> u128 {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let rest = u32::from(most - self.bits.min(most));
        value(address).checked_shr(rest).and_then(|kept| kept.checked_shl(rest)).unwrap_or(0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_begins_as_it_does() {
        let is_in = |network: &str, address: &str| {
            let network = Network::parse(network).expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(is_in("192.0.2.0/24", "192.0.2.255") && !is_in("192.0.2.0/24", "192.0.3.0"));
        assert!(is_in("192.0.2.7", "192.0.2.7") && !is_in("192.0.2.7", "192.0.2.6"));
        assert!(is_in("0.0.0.0/0", "8.8.8.8") && !is_in("0.0.0.0/0", "::1"));
        assert!(is_in("2001:db8::/32", "2001:db8:ffff::1") && is_in("::/0", "2001:db8::"));
        assert!(is_in("192.0.2.0/24", "::ffff:192.0.2.1"), "IPv4 that came over IPv6");
        for bad in ["192.0.2.1/24", "192.0.2.0/33", "::/129", "example.com", "1.2.3", "", "/8"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
