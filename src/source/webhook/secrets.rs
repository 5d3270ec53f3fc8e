//! The secrets of a hook.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::domain::hook::Provider;

/// The fewest bytes of a secret. Fewer are an accident, such as a file that was never filled; how many it
/// takes to be strong is for whoever makes the secret.
pub const SHORTEST_SECRET: usize = 4;

/// Base64 as RFC 4648 has it, with padding or without.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The live secrets of a hook: one, or two while one takes the other's place.
#[derive(Debug)]
pub struct Secrets(Vec<SecretSlice<u8>>);

/// Why a text is no secret of a hook; the text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// There is none at all.
    #[error("a hook without a secret would believe anybody: name a file that holds one")]
    None,
    /// It is empty, or nearly.
    #[error(
        "a secret has at least {SHORTEST_SECRET} bytes: make one, for instance with `openssl rand \
         -hex 32`, and give it to the sender too"
    )]
    Short,
    /// It is no signing secret.
    #[error(
        "the secret of such a hook is `whsec_` and base64: copy the whole of it from the sender"
    )]
    Base64,
}

impl Secrets {
    /// Reads secrets as files hold them: a newline at the end is no part of one.
    pub fn read(provider: &Provider, texts: Vec<SecretString>) -> Result<Self, BadSecret> {
        if texts.is_empty() {
            return Err(BadSecret::None);
        }
        let secrets = texts.into_iter().map(|text| {
            let text = text.expose_secret();
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let secret = match provider {
                Provider::GitLab | Provider::StandardWebhooks => {
                    let text = text.strip_prefix("whsec_").unwrap_or(text);
                    BASE64.decode(text).map_err(|_| BadSecret::Base64)?
                }
                _ => text.as_bytes().to_vec(),
            };
            if secret.len() < SHORTEST_SECRET { Err(BadSecret::Short) } else { Ok(secret.into()) }
        });
        secrets.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(secrecy::ExposeSecret::expose_secret)
    }
}
