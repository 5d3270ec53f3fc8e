//! The file of Alibaba Cloud's command line tool, `~/.aliyun/config.json` (API reference 4.2).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::answer::{json, text};
use super::fetch::{Fetcher, OidcRole, Recipe, Region};
use super::{CredentialError, Credentials, Fetched, Habit, words};
use crate::domain::credentials::{Ecs, Role, SESSION, SHORTEST_SESSION};
use crate::domain::time::Timestamp;

const FILE: &str = ".aliyun/config.json";
/// How long a command may take (API reference 4.2).
const COMMAND: Duration = Duration::from_secs(60);

impl Fetcher<'_> {
    /// Returns what a profile asks for, under the name that people know it by.
    pub(super) fn cli(&self, profile: Option<&str>) -> (String, Result<Recipe, CredentialError>) {
        let wanted = profile.or(self.around.variable("PROFILE"));
        let name = wanted.map_or_else(String::new, |name| format!(" `{name}`"));
        match self.cli_profile(wanted) {
            Ok((name, mode, recipe)) => (format!("CLI profile `{name}` ({mode})"), Ok(recipe)),
            Err(error) => (format!("CLI profile{name}"), Err(error)),
        }
    }

    fn cli_profile(
        &self,
        wanted: Option<&str>,
    ) -> Result<(String, String, Recipe), CredentialError> {
        if self.around.says("CLI_PROFILE_DISABLED") {
            let message = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED is true";
            return Err(CredentialError::lasting(message));
        }
        let path = self.at_home(FILE)?;
        let file =
            json(&self.read(&path)?).map_err(|error| error.at(format!("`{}`", path.display())))?;
        let name = wanted.or(text(&file, "current")).ok_or_else(|| {
            let shown = path.display();
            let message =
                format!("`{shown}` names no current profile: `aliyun configure switch` does");
            CredentialError::lasting(message)
        })?;
        let mode = find(&file, name)?["mode"].as_str().unwrap_or_default().to_owned();
        let recipe = self.recipe(&file, name, &mut Vec::new())?;
        Ok((name.to_owned(), mode, recipe))
    }

    /// Returns what a profile asks for; `above` are those that build on it.
    fn recipe(
        &self,
        file: &Value,
        name: &str,
        above: &mut Vec<String>,
    ) -> Result<Recipe, CredentialError> {
        if above.iter().any(|other| other == name) {
            let message = format!("the profiles build on each other in a circle: {above:?}");
            return Err(CredentialError::lasting(message));
        }
        above.push(name.to_owned());
        let profile = find(file, name)?;
        let lacks =
            |key: &str| CredentialError::lasting(format!("the profile `{name}` has no `{key}`"));
        let field = |key: &str| text(profile, key).ok_or_else(|| lacks(key));
        let key = |token: Option<&str>| {
            let (id, secret) = (field("access_key_id")?, field("access_key_secret")?);
            Ok(Recipe::Key(Credentials::new(id, secret, token)))
        };
        let region = Region {
            name: text(profile, "sts_region").map(str::to_owned),
            vpc: profile["enable_vpc"].as_bool(),
        };
        let role = |session_name: &str| {
            let optional = |key: &str| text(profile, key).map(str::to_owned);
            let of_environment = || self.around.variable("ROLE_ARN").map(str::to_owned);
            let seconds = profile["expired_seconds"].as_u64().map(Duration::from_secs);
            let duration = seconds.unwrap_or(SESSION);
            if duration < SHORTEST_SESSION {
                let message = format!("the profile `{name}` has `expired_seconds` below 900");
                return Err(CredentialError::lasting(message));
            }
            let arn = optional("ram_role_arn").or_else(of_environment);
            Ok(Role {
                arn: arn.ok_or_else(|| lacks("ram_role_arn"))?,
                session_name: optional(session_name),
                external_id: optional("external_id"),
                policy: optional("policy"),
                duration,
            })
        };
        match profile["mode"].as_str().unwrap_or_default() {
            "AK" => key(None),
            "StsToken" => key(Some(field("sts_token")?)),
            "RamRoleArn" => {
                Ok(Recipe::Role(Box::new(key(None)?), role("ram_session_name")?, region))
            }
            "ChainableRamRoleArn" => {
                let base = self.recipe(file, field("source_profile")?, above)?;
                Ok(Recipe::Role(Box::new(base), role("ram_session_name")?, region))
            }
            "EcsRamRole" => Ok(Recipe::Ecs(Ecs {
                role_name: text(profile, "ram_role_name").map(str::to_owned),
                v1: None,
            })),
            "OIDC" => {
                let or = |key: &str, variable: &str| {
                    let found = text(profile, key).or(self.around.variable(variable));
                    found.map(str::to_owned).ok_or_else(|| lacks(key))
                };
                Ok(Recipe::Oidc(OidcRole {
                    role: role("role_session_name")?,
                    provider: or("oidc_provider_arn", "OIDC_PROVIDER_ARN")?,
                    token_file: PathBuf::from(or("oidc_token_file", "OIDC_TOKEN_FILE")?),
                    region,
                }))
            }
            "External" => Ok(Recipe::Process(field("process_command")?.to_owned())),
            mode @ ("CloudSSO" | "OAuth") => Err(CredentialError::lasting(format!(
                "the profile `{name}` has the mode {mode}, for which a person logs in; a daemon \
                 needs a key or a role: AK, RamRoleArn, EcsRamRole or OIDC"
            ))),
            mode => Err(CredentialError::lasting(format!(
                "the profile `{name}` has the mode {mode:?}, which refreshd does not know"
            ))),
        }
    }

    /// Takes the key that a command prints. The command line is not repeated: it may hold secrets.
    pub(super) async fn process(&self, command: &str) -> Result<Fetched, CredentialError> {
        let wrong = |why: &str| {
            let hint = "run it by hand as the user that refreshd runs as";
            CredentialError::passing(format!("`process_command`: {why}; {hint}"))
        };
        let words = words::split(command).map_err(wrong)?;
        let printed = self.around.runner.run(&words, COMMAND).await.map_err(|why| wrong(&why))?;
        let printed = json(&printed).map_err(|error| wrong(&format!("it prints: {error}")))?;
        let field =
            |key: &str| text(&printed, key).ok_or_else(|| wrong(&format!("it prints no `{key}`")));
        let token = text(&printed, "sts_token");
        if printed["mode"] == "StsToken" && token.is_none() {
            return Err(wrong("it prints no `sts_token`"));
        }
        let expires_at = text(&printed, "expiration").map(|expiration| {
            Timestamp::parse(expiration)
                .ok_or_else(|| wrong("the `expiration` that it prints is no time"))
        });
        Ok(Fetched {
            credentials: Credentials::new(
                field("access_key_id")?,
                field("access_key_secret")?,
                token,
            ),
            expires_at: expires_at.transpose()?,
            habit: Habit::Process,
            source: String::new(),
        })
    }
}

fn find<'v>(file: &'v Value, name: &str) -> Result<&'v Value, CredentialError> {
    let profiles = file["profiles"].as_array();
    profiles
        .into_iter()
        .flatten()
        .find(|profile| text(profile, "name") == Some(name))
        .ok_or_else(|| CredentialError::lasting(format!("there is no profile `{name}`")))
}
