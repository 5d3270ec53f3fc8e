//! One fetch: from a description to a key.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

use super::{CredentialError, Credentials, Fetched, Habit, Surroundings};
use crate::clock::Clock;
use crate::domain::credentials::{Ecs, KeySource, Place, Role};

/// How large a file may be; tokens, the longest single values, have a few KB.
const LIMIT: u64 = 256 * 1024;

/// By which a file is known again: device, inode, size, and both times.
pub(super) type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// Returns by what a file is known again; nothing when there is none.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let of = |it: Metadata| {
        let modified = (it.mtime(), it.mtime_nsec());
        (it.dev(), it.ino(), it.size(), modified, (it.ctime(), it.ctime_nsec()))
    };
    path.metadata().ok().map(of)
}

/// What a file of profiles asks for.
pub(super) enum Recipe {
    /// A key, as it is.
    Key(Credentials),
    /// The role of the ECS instance.
    Ecs(Ecs),
    /// A role for the token of an identity provider.
    Oidc(OidcRole),
    /// A role, assumed with another key.
    Role(Box<Recipe>, Role, Region),
    /// What a command prints.
    Process(String),
}

/// A role for the token of an identity provider.
pub(super) struct OidcRole {
    pub(super) role: Role,
    pub(super) provider: String,
    pub(super) token_file: PathBuf,
    pub(super) region: Region,
}

/// Which of STS's addresses is asked.
#[derive(Default)]
pub(super) struct Region {
    pub(super) name: Option<String>,
    pub(super) vpc: Option<bool>,
}

/// One fetch. It remembers which files it read.
pub(super) struct Fetcher<'a> {
    pub(super) source: &'a KeySource,
    pub(super) around: &'a Surroundings,
    pub(super) clock: &'a dyn Clock,
    pub(super) read: Mutex<BTreeMap<PathBuf, Option<Stamp>>>,
}

impl Fetcher<'_> {
    /// Assumes the role of the description, if there is one, with a key that was found.
    pub(super) async fn on_top(&self, base: Fetched) -> Result<Fetched, CredentialError> {
        match &self.source.role {
            None => Ok(base),
            Some(role) => self.assume(base, role, &Region::default()).await,
        }
    }

    /// Fetches from one place that is no chain.
    pub(super) async fn place(&self, place: &Place) -> Result<Fetched, CredentialError> {
        let (name, recipe) = match place {
            Place::Chain { .. } => return Err(CredentialError::lasting("a chain in a chain")),
            Place::Files(files) => ("files".to_owned(), self.files(files)),
            Place::Environment => ("environment".to_owned(), self.environment()),
            Place::Cli { profile } => self.cli(profile.as_deref()),
            Place::Ini { profile } => self.ini(profile.as_deref()),
            Place::Oidc => ("OIDC role".to_owned(), self.oidc_of_environment()),
            Place::Ecs(ecs) => ("ECS metadata".to_owned(), Ok(Recipe::Ecs(ecs.clone()))),
            Place::Uri(uri) => {
                let name = "credentials URI".to_owned();
                let fetched = self.uri(uri.as_ref()).await.map_err(|error| error.at(&name))?;
                return Ok(Fetched { source: name, ..fetched });
            }
        };
        let fetched = match recipe {
            Ok(recipe) => self.make(recipe).await,
            Err(error) => Err(error),
        };
        fetched
            .map(|fetched| Fetched { source: name.clone() + &fetched.source, ..fetched })
            .map_err(|error| error.at(name))
    }

    async fn make(&self, recipe: Recipe) -> Result<Fetched, CredentialError> {
        match recipe {
            Recipe::Key(credentials) => Ok(Fetched {
                credentials,
                expires_at: None,
                habit: Habit::Lasting,
                source: String::new(),
            }),
            Recipe::Ecs(ecs) => self.ecs(&ecs).await,
            Recipe::Oidc(oidc) => self.oidc(&oidc).await,
            Recipe::Process(command) => self.process(&command).await,
            Recipe::Role(base, role, region) => {
                let base = Box::pin(self.make(*base)).await?;
                self.assume(base, &role, &region).await
            }
        }
    }

    fn environment(&self) -> Result<Recipe, CredentialError> {
        let value = |name| {
            self.around.variable(name).ok_or_else(|| {
                CredentialError::lasting(format!("ALIBABA_CLOUD_{name} is not set or empty"))
            })
        };
        let (id, secret) = (value("ACCESS_KEY_ID")?, value("ACCESS_KEY_SECRET")?);
        let token = self.around.variable("SECURITY_TOKEN");
        Ok(Recipe::Key(Credentials::new(id, secret, token)))
    }

    pub(super) fn files_read(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Option<Stamp>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a file, whose change is noticed from now on.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, CredentialError> {
        // Before it is read: what is written meanwhile differs from it.
        self.files_read().insert(path.to_owned(), stamp(path));
        let mut bytes = Vec::new();
        let shown = path.display();
        // Opening a pipe would wait for somebody who writes.
        if path.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(CredentialError::lasting(format!("`{shown}` is no file")));
        }
        File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(
            |error| {
                let message = format!("cannot read `{shown}`: {error}; {}", remedy(path));
                CredentialError::lasting(message)
            },
        )?;
        if bytes.len() as u64 > LIMIT {
            let message = format!("`{shown}` is longer than {} KiB", LIMIT / 1024);
            return Err(CredentialError::lasting(message));
        }
        Ok(bytes)
    }

    /// Reads a file of text.
    pub(super) fn read_text(&self, path: &Path) -> Result<String, CredentialError> {
        String::from_utf8(self.read(path)?).map_err(|_| {
            CredentialError::lasting(format!("`{}` is not text in UTF-8", path.display()))
        })
    }

    /// Returns where a file of the tools lies.
    pub(super) fn at_home(&self, below: &str) -> Result<PathBuf, CredentialError> {
        self.around.home.as_deref().map(|home| home.join(below)).ok_or_else(|| {
            let message = format!("there is no home directory to look for `{below}` in: set HOME");
            CredentialError::lasting(message)
        })
    }

    /// Returns the address of STS (API reference 4.5).
    pub(super) fn sts(&self, region: &Region) -> Result<Url, CredentialError> {
        if let Some(given) = self.around.sts.as_ref().or(self.source.sts_endpoint.as_ref()) {
            return Ok(given.clone());
        }
        let vpc = region.vpc.unwrap_or_else(|| self.around.says("VPC_ENDPOINT_ENABLED"));
        let host = match region.name.as_deref().or(self.around.variable("STS_REGION")) {
            None => "sts.aliyuncs.com".to_owned(),
            Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
                format!("{}.{name}.aliyuncs.com", if vpc { "sts-vpc" } else { "sts" })
            }
            Some(_) => {
                return Err(CredentialError::lasting(
                    "the region of STS is not a plain name like cn-hangzhou",
                ));
            }
        };
        Url::parse(&format!("https://{host}")).map_err(|error| {
            CredentialError::lasting(format!("STS has no address at `{host}`: {error}"))
        })
    }
}

fn remedy(path: &Path) -> &'static str {
    if path.is_absolute() {
        "the file must exist and be readable for the user that refreshd runs as"
    } else {
        "`%d` is known inside the systemd unit only; outside it set $CREDENTIALS_DIRECTORY to the \
         directory of the key files"
    }
}
