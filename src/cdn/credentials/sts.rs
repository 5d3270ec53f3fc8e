//! Roles: their keys come from STS, for another key or for the token of an identity provider (API
//! reference 4.5).

use std::path::PathBuf;

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use secrecy::ExposeSecret as _;
use url::Url;

use super::fetch::{Fetcher, OidcRole, Recipe, Region};
use super::http::{FAR, call};
use super::{CredentialError, Fetched, Habit, answer};
use crate::cdn::sign::{Signable, canonical_query, hex_sha256};
use crate::cdn::transport::{Answer, host_header};
use crate::cdn::wire::FORM;
use crate::cdn::{refusal, skew};
use crate::domain::credentials::{Role, SESSION};

const VERSION: &str = "2015-04-01";
/// Under which name a role is assumed unless somebody says otherwise.
const NAME: &str = "refreshd";

impl Fetcher<'_> {
    /// Assumes a role with a key, in a call that is signed like those of the CDN.
    pub(super) async fn assume(
        &self,
        base: Fetched,
        role: &Role,
        region: &Region,
    ) -> Result<Fetched, CredentialError> {
        let mut parameters = self.session(role);
        if let Some(external_id) = &role.external_id {
            parameters.push(("ExternalId", external_id.clone()));
        }
        let url = self.sts(region)?;
        let body = form(&parameters);
        let (key, payload) = (&base.credentials, hex_sha256(body.as_bytes()));
        let nonce = format!("{:016x}{:016x}", self.clock.random(), self.clock.random());
        let mut headers = vec![
            (HOST.to_string(), host_header(&url)),
            ("x-acs-action".to_owned(), "AssumeRole".to_owned()),
            ("x-acs-version".to_owned(), VERSION.to_owned()),
            ("x-acs-date".to_owned(), self.clock.server_now().to_api()),
            ("x-acs-signature-nonce".to_owned(), nonce),
            ("x-acs-content-sha256".to_owned(), payload.clone()),
            (CONTENT_TYPE.to_string(), FORM.to_owned()),
        ];
        if !key.token().is_empty() {
            headers.push(("x-acs-security-token".to_owned(), key.token().to_owned()));
        }
        let signable =
            Signable { method: "POST", query: "", headers: &headers, payload_sha256: &payload };
        let authorization = signable.authorization(&key.key_id, key.secret.expose_secret());
        headers.push((ACCEPT.to_string(), "application/json".to_owned()));
        headers.push((AUTHORIZATION.to_string(), authorization));
        let secrets = [&key.key_id, key.secret.expose_secret(), key.token()];
        let fetched = self.ask(&role.arn, &url, &headers, body, &secrets).await?;
        Ok(Fetched { source: base.source + &fetched.source, ..fetched })
    }

    /// Makes a call for the keys of a role; a refusal has its code, and its message without `secrets`.
    async fn ask(
        &self,
        arn: &str,
        url: &Url,
        headers: &[(String, String)],
        body: String,
        secrets: &[&str],
    ) -> Result<Fetched, CredentialError> {
        let answer = call(Method::POST, url, headers, body, (FAR, &self.around.proxy)).await;
        let received_at = self.clock.steady();
        let fetched = answer.and_then(|answer| {
            let (keys, speaks) = keys(&answer, secrets);
            // Without a key no call to the CDN would ever tell how wrong our clock is.
            if speaks {
                skew::learn(self.clock, &answer.headers, received_at);
            }
            keys
        });
        fetched
            .map(|fetched| Fetched { source: format!(", role {arn}"), ..fetched })
            .map_err(|error| error.at(format!("role {arn}")))
    }

    /// Returns the role that the environment describes.
    pub(super) fn oidc_of_environment(&self) -> Result<Recipe, CredentialError> {
        let value = |name: &str| {
            self.around.variable(name).map(str::to_owned).ok_or_else(|| {
                CredentialError::lasting(format!("ALIBABA_CLOUD_{name} is not set or empty"))
            })
        };
        Ok(Recipe::Oidc(OidcRole {
            role: Role {
                arn: value("ROLE_ARN")?,
                session_name: None,
                external_id: None,
                policy: None,
                duration: SESSION,
            },
            provider: value("OIDC_PROVIDER_ARN")?,
            token_file: PathBuf::from(value("OIDC_TOKEN_FILE")?),
            region: Region::default(),
        }))
    }

    /// Assumes a role with the token of an identity provider, which is read anew each time, for it
    /// is rotated. The call is not signed: the token is what proves it.
    pub(super) async fn oidc(&self, oidc: &OidcRole) -> Result<Fetched, CredentialError> {
        let token = self.read_text(&oidc.token_file)?;
        let mut parameters = self.session(&oidc.role);
        parameters.push(("OIDCProviderArn", oidc.provider.clone()));
        parameters.push(("OIDCToken", token.trim().to_owned()));
        let mut url = self.sts(&oidc.region)?;
        let common = [
            ("Action", "AssumeRoleWithOIDC".to_owned()),
            ("Version", VERSION.to_owned()),
            ("Format", "JSON".to_owned()),
            ("Timestamp", self.clock.server_now().to_api()),
        ];
        url.set_query(Some(&form(&common)));
        let headers = [
            (CONTENT_TYPE.to_string(), FORM.to_owned()),
            (ACCEPT.to_string(), "application/json".to_owned()),
        ];
        self.ask(&oidc.role.arn, &url, &headers, form(&parameters), &[token.trim()]).await
    }

    /// Returns what every session is asked with.
    fn session(&self, role: &Role) -> Vec<(&'static str, String)> {
        let name = role.session_name.as_deref().or(self.around.variable("ROLE_SESSION_NAME"));
        let mut parameters = vec![
            ("RoleArn", role.arn.clone()),
            ("RoleSessionName", name.unwrap_or(NAME).to_owned()),
            ("DurationSeconds", role.duration.as_secs().to_string()),
        ];
        if let Some(policy) = &role.policy {
            parameters.push(("Policy", policy.clone()));
        }
        parameters
    }
}

fn form(parameters: &[(&str, String)]) -> String {
    let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    canonical_query(&parameters.iter().map(owned).collect::<Vec<_>>())
}

/// Reads the answer of STS, and whether it is one of STS at all.
fn keys(answer: &Answer, secrets: &[&str]) -> (Result<Fetched, CredentialError>, bool) {
    if answer.status != 200 {
        let refused = refusal::read(answer, secrets);
        let speaks = refused.code.is_some();
        let code = refused.code.unwrap_or_else(|| format!("HTTP {}", answer.status));
        let message = format!("STS refuses: {code}: {}", refused.message);
        return (Err(CredentialError::passing(message)), speaks);
    }
    let keys = answer::json(&answer.body)
        .map_err(|error| CredentialError::passing(format!("STS answers: {error}")))
        .and_then(|body| answer::temporary(&body["Credentials"], Habit::Session));
    let speaks = keys.is_ok();
    (keys, speaks)
}
