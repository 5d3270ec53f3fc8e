//! The role of an ECS instance, by its metadata service in the hardened mode: with a token, which
//! a request that was forged on the machine would not have (API reference 4.3).

use reqwest::Method;
use url::Url;

use super::fetch::Fetcher;
use super::http::{NEAR, call};
use super::{CredentialError, Fetched, Habit, answer};
use crate::domain::credentials::{Ecs, Place};
use crate::domain::endpoint::Proxy;

const TOKEN: &str = "/latest/api/token";
const ROLE: &str = "/latest/meta-data/ram/security-credentials/";
/// How long a token may be used, in seconds; a fresh one is asked for each time.
const TOKEN_LASTS: &str = "21600";

impl Fetcher<'_> {
    /// Asks for the keys of the instance's role.
    pub(super) async fn ecs(&self, ecs: &Ecs) -> Result<Fetched, CredentialError> {
        if self.around.says("ECS_METADATA_DISABLED") {
            let message = "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true";
            return Err(CredentialError::lasting(message));
        }
        let service = self.around.metadata.as_ref().ok_or_else(|| {
            CredentialError::lasting("the address of the metadata service is not known")
        })?;
        // A profile of a file has no word for it: what is said of the chain holds there, too.
        let of_chain = match &self.source.place {
            Place::Chain { ecs, .. } => ecs.v1,
            _ => None,
        };
        let v1 = ecs.v1.or(of_chain).unwrap_or_else(|| !self.around.says("IMDSV1_DISABLED"));
        let token = match token(service).await {
            Ok(token) => Some(token),
            Err(_) if v1 => None,
            Err(error) => return Err(error),
        };
        let result = self.of_role(service, ecs, token.as_deref()).await;
        if result.is_err() && v1 && token.is_some() {
            return self.of_role(service, ecs, None).await;
        }
        result
    }

    async fn of_role(
        &self,
        service: &Url,
        ecs: &Ecs,
        token: Option<&str>,
    ) -> Result<Fetched, CredentialError> {
        let given = ecs.role_name.as_deref().or(self.around.variable("ECS_METADATA"));
        let role = match given {
            Some(role) => role.to_owned(),
            None => get(service, ROLE, token).await?.trim().to_owned(),
        };
        if role.is_empty() || !role.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) {
            return Err(CredentialError::passing("the instance has no role of a plain name"));
        }
        let body = get(service, &format!("{ROLE}{role}"), token).await?;
        let body = answer::json(body.as_bytes())?;
        if answer::text(&body, "Code") != Some("Success") {
            let message = format!("the service has no key for the role `{role}`");
            return Err(CredentialError::passing(message));
        }
        answer::temporary(&body, Habit::Metadata)
    }
}

async fn token(service: &Url) -> Result<String, CredentialError> {
    let lasts = ("X-aliyun-ecs-metadata-token-ttl-seconds".to_owned(), TOKEN_LASTS.to_owned());
    ask(Method::PUT, service, TOKEN, &[lasts]).await
}

async fn get(service: &Url, path: &str, token: Option<&str>) -> Result<String, CredentialError> {
    let token = token.map(|token| ("X-aliyun-ecs-metadata-token".to_owned(), token.to_owned()));
    ask(Method::GET, service, path, token.as_slice()).await
}

async fn ask(
    method: Method,
    service: &Url,
    path: &str,
    headers: &[(String, String)],
) -> Result<String, CredentialError> {
    let mut url = service.clone();
    url.set_path(path);
    let answer = call(method, &url, headers, String::new(), (NEAR, &Proxy::None)).await?;
    if answer.status != 200 {
        let message = format!("the metadata service says HTTP {} to {path}", answer.status);
        return Err(CredentialError::passing(message));
    }
    String::from_utf8(answer.body)
        .map_err(|_| CredentialError::passing("the metadata service's answer is not text"))
}
