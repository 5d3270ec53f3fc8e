//! The default chain: the places in their documented order, the first with a key wins (API
//! reference 4.1).

use std::collections::BTreeMap;

use super::fetch::Fetcher;
use super::{CredentialError, Fetched};
use crate::domain::credentials::{Ecs, Place};

/// The environment, an OIDC role, the CLI's file, the INI file, the metadata service, a URI.
pub(super) fn places(profile: Option<&String>, ecs: &Ecs, uri: Option<&url::Url>) -> [Place; 6] {
    [
        Place::Environment,
        Place::Oidc,
        Place::Cli { profile: profile.cloned() },
        Place::Ini { profile: profile.cloned() },
        Place::Ecs(ecs.clone()),
        Place::Uri(uri.cloned()),
    ]
}

impl Fetcher<'_> {
    /// Returns the first place that has a key, with it; an error says of each why it has none. Of the
    /// files read, those of the places that were passed by are remembered only when no place has one.
    pub(super) async fn first(
        &self,
        places: &[Place],
    ) -> Result<(Place, Fetched), CredentialError> {
        let mut reasons = Vec::new();
        let mut passed = BTreeMap::new();
        let mut may_pass = false;
        for place in places {
            match self.place(place).await {
                Ok(fetched) => return Ok((place.clone(), fetched)),
                Err(error) => {
                    may_pass |= error.may_pass;
                    reasons.push(error.message);
                    passed.append(&mut self.files_read());
                }
            }
        }
        *self.files_read() = passed;
        let message =
            format!("no place has an access key; looked in this order: {}", reasons.join("; "));
        Err(CredentialError { message, may_pass })
    }
}
