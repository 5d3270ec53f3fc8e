//! A service that answers with a key (API reference 4.4).

use reqwest::Method;
use url::Url;

use super::fetch::Fetcher;
use super::http::{FAR, call};
use super::{CredentialError, Fetched, Habit, answer};
use crate::domain::endpoint::Proxy;

impl Fetcher<'_> {
    /// Asks the service at `given`, else the one that the environment names.
    pub(super) async fn uri(&self, given: Option<&Url>) -> Result<Fetched, CredentialError> {
        let uri = match (given, self.around.variable("CREDENTIALS_URI")) {
            (Some(given), _) => given.clone(),
            (None, None) => {
                let message = "ALIBABA_CLOUD_CREDENTIALS_URI is not set or empty";
                return Err(CredentialError::lasting(message));
            }
            (None, Some(text)) => Url::parse(text)
                .ok()
                .filter(|uri| matches!(uri.scheme(), "http" | "https") && uri.has_host())
                .ok_or_else(|| {
                    let message =
                        "ALIBABA_CLOUD_CREDENTIALS_URI is no address like http://host/path";
                    CredentialError::lasting(message)
                })?,
        };
        let answer = call(Method::GET, &uri, &[], String::new(), (FAR, &Proxy::None)).await?;
        let host = uri.host_str().unwrap_or_default();
        if answer.status != 200 {
            let message = format!("{host} says HTTP {}", answer.status);
            return Err(CredentialError::passing(message));
        }
        let body = answer::json(&answer.body)
            .map_err(|error| CredentialError::passing(format!("{host} answers: {error}")))?;
        if answer::text(&body, "Code") != Some("Success") {
            let message = format!("{host} does not answer with the code Success");
            return Err(CredentialError::passing(message));
        }
        answer::temporary(&body, Habit::Session)
    }
}
