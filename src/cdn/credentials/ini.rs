//! The INI file of Alibaba Cloud's SDKs (API reference 4.2).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fetch::{Fetcher, OidcRole, Recipe, Region};
use super::{CredentialError, Credentials};
use crate::domain::credentials::{Ecs, Role, SESSION};

/// Where the Python SDK looks, and then where the one for Node does.
const FILES: [&str; 2] = [".alibabacloud/credentials.ini", ".alibabacloud/credentials"];

impl Fetcher<'_> {
    /// Returns what a profile asks for, under the name that people know it by.
    pub(super) fn ini(&self, profile: Option<&str>) -> (String, Result<Recipe, CredentialError>) {
        let name = profile.or(self.around.variable("PROFILE")).unwrap_or("default");
        (format!("INI profile `{name}`"), self.ini_profile(name))
    }

    fn ini_profile(&self, name: &str) -> Result<Recipe, CredentialError> {
        let path = if let Some(path) = self.around.variable("CREDENTIALS_FILE") {
            PathBuf::from(path)
        } else {
            let [python, node] = FILES;
            let (python, node) = (self.at_home(python)?, self.at_home(node)?);
            if !python.exists() && node.exists() { node } else { python }
        };
        let in_file = |error: CredentialError| error.at(format!("`{}`", path.display()));
        let text = self.read_text(&path)?;
        let section = section(&text, name).map_err(CredentialError::lasting).map_err(in_file)?;
        let field = |key: &str| {
            let value = section.get(key).filter(|value| !value.is_empty());
            value.cloned().ok_or_else(|| {
                in_file(CredentialError::lasting(format!("[{name}] has no `{key}`")))
            })
        };
        // What a profile leaves out may stand in the environment.
        let or = |key: &str, variable: &str| {
            field(key)
                .or_else(|error| self.around.variable(variable).map(str::to_owned).ok_or(error))
        };
        let key = || {
            let (id, secret) = (field("access_key_id")?, field("access_key_secret")?);
            Ok(Recipe::Key(Credentials::new(&id, &secret, None)))
        };
        let role = || {
            Ok(Role {
                arn: or("role_arn", "ROLE_ARN")?,
                session_name: field("role_session_name").ok(),
                external_id: None,
                policy: field("policy").ok(),
                duration: SESSION,
            })
        };
        match field("type")?.as_str() {
            "access_key" => key(),
            "ram_role_arn" => Ok(Recipe::Role(Box::new(key()?), role()?, Region::default())),
            "oidc_role_arn" => Ok(Recipe::Oidc(OidcRole {
                role: role()?,
                provider: or("oidc_provider_arn", "OIDC_PROVIDER_ARN")?,
                token_file: or("oidc_token_file_path", "OIDC_TOKEN_FILE")?.into(),
                region: Region::default(),
            })),
            "ecs_ram_role" => Ok(Recipe::Ecs(Ecs { role_name: field("role_name").ok(), v1: None })),
            "rsa_key_pair" => Err(in_file(CredentialError::lasting(format!(
                "[{name}] has the type rsa_key_pair, which refreshd can't sign with; use \
                 access_key, ram_role_arn, oidc_role_arn or ecs_ram_role"
            )))),
            other => Err(in_file(CredentialError::lasting(format!(
                "[{name}] has the type {other:?}, which refreshd does not know"
            )))),
        }
    }
}

/// Reads a section: keys in lower case; an error is a sentence that repeats no value.
fn section(text: &str, wanted: &str) -> Result<BTreeMap<String, String>, String> {
    let mut section = None;
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let name = header.split_once(']').map(|(name, _)| name);
            let name = name.ok_or_else(|| format!("line {} begins a section badly", at + 1))?;
            inside = name == wanted;
            if inside && section.replace(BTreeMap::new()).is_some() {
                return Err(format!("there are two sections [{wanted}]"));
            }
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return Err(format!("line {} is no `key = value`", at + 1));
        };
        let value = value.split('#').next().unwrap_or_default().trim();
        if inside && let Some(section) = &mut section {
            section.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    section.ok_or_else(|| format!("there is no section [{wanted}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_keys_and_values_without_comments() {
        let text = "# all\n[default]\n  type = access_key\n; mark\nAccess_Key_Id: abc # trailing\n\n\
                    [other]\nsecret=x=y\n";
        let default = section(text, "default").expect("there");
        assert_eq!(default["type"], "access_key");
        assert_eq!(default["access_key_id"], "abc");
        assert_eq!(default.len(), 2);
        assert_eq!(section(text, "other").expect("there")["secret"], "x=y");
    }

    #[test]
    fn what_is_no_section_is_said_without_its_values() {
        for (text, why) in [
            ("", "no section [a]"),
            ("[b]\n", "no section [a]"),
            ("[a]\nhush\n", "line 2 is no"),
            ("[a\n", "line 1 begins"),
            ("[a]\n[a]\n", "two sections"),
        ] {
            let error = section(text, "a").expect_err(text);
            assert!(error.contains(why) && !error.contains("hush"), "{error}");
        }
    }
}
