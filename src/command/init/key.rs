//! Where the access key is, and whether the CDN takes it.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::Args;
use super::ask::Dialog;
use crate::cdn::Surroundings;
use crate::clock::SharedClock;
use crate::command::doctor::finding::{Finding, Level};
use crate::command::doctor::unit::Unit;
use crate::command::doctor::who::Who;
use crate::command::{Exit, Failed, doctor, run};
use crate::config::Config;
use crate::domain::credentials::{KeySource, Place};

/// Names of the two files, as the unit knows them.
pub(super) const NAMES: [&str; 2] = ["access_key_id", "access_key_secret"];

/// Where the access key is.
pub(super) enum Key {
    /// In two files that are there.
    Files([PathBuf; 2]),
    /// Typed, and to be written into files of this directory.
    Typed { id: String, secret: SecretString, directory: PathBuf },
    /// As `from` of `[account.NAME.credentials]` says.
    From(String),
}

impl Key {
    /// Asks where it is.
    pub(super) fn ask(args: &Args, dialog: &mut Dialog<'_>) -> Result<Self, Failed> {
        if let Some(files) = args.key_files() {
            return Ok(Self::Files(files.map_err(|why| Failed::new(Exit::Usage, why))?));
        }
        if let Some(from) = &args.credentials_from {
            return Ok(Self::From(from.clone()));
        }
        let kept = NAMES.map(|name| args.credentials_dir.join(name));
        let is_kept = kept.iter().all(|file| file.exists());
        let is_told =
            Surroundings::of_process().environment.contains_key("ALIBABA_CLOUD_ACCESS_KEY_ID");
        if dialog.is_silent() {
            return match (is_kept, is_told) {
                (true, _) => Ok(Self::Files(kept)),
                (false, true) => Ok(Self::From("environment".to_owned())),
                _ => Err(Failed::new(
                    Exit::Usage,
                    "say where the access key is: --access-key-id-file and --access-key-secret-file, or \
                     --credentials-from",
                )),
            };
        }
        let directory = args.credentials_dir.display();
        for line in [
            "",
            "Where is the access key of a RAM user that may refresh?",
            &format!(
                "  1  I paste it now; it is written to {directory}, readable by its owner alone"
            ),
            "  2  in two files that are there",
            "  3  in the daemon's environment (ALIBABA_CLOUD_ACCESS_KEY_ID and its like)",
            "  4  it is the role of this ECS instance",
            "  5  wherever Alibaba Cloud's SDKs find one",
        ] {
            dialog.printer.line(line);
        }
        let usual = if is_kept {
            "2"
        } else if is_told {
            "3"
        } else {
            "1"
        };
        let choice = dialog.ask("Which", "", (None, Some(usual)), |answer| {
            ["1", "2", "3", "4", "5"]
                .into_iter()
                .find(|known| *known == answer)
                .ok_or_else(|| "answer 1, 2, 3, 4 or 5".to_owned())
        })?;
        Ok(match choice {
            "1" if is_kept => {
                let question = format!("There are key files in {directory}; use them");
                if !dialog.agree(&format!("{question} (y/n)"))? {
                    let message =
                        format!("move the files in {directory} away first; nothing is overwritten");
                    return Err(Failed::new(Exit::No, message));
                }
                Self::Files(kept)
            }
            "1" => Self::typed(args, dialog)?,
            "2" => {
                let mut files = NAMES.into_iter().zip(&kept).map(|(name, usual)| {
                    let usual = usual.to_string_lossy();
                    dialog.ask(&format!("File of the {name}"), "", (None, Some(&usual)), file)
                });
                let mut next = || files.next().unwrap_or_else(|| Err(Failed::new(Exit::No, "")));
                Self::Files([next()?, next()?])
            }
            "3" => Self::From("environment".to_owned()),
            "4" => Self::From("ecs".to_owned()),
            _ => Self::From("chain".to_owned()),
        })
    }

    /// Asks for a key to be kept in files.
    fn typed(args: &Args, dialog: &mut Dialog<'_>) -> Result<Self, Failed> {
        let id = dialog.ask("Access key id", "", (None, None), |answer| {
            let is_plain = answer.bytes().all(|byte| byte.is_ascii_graphic());
            if answer.is_empty() || !is_plain {
                return Err("paste it alone, as the console shows it".to_owned());
            }
            Ok(answer.to_owned())
        })?;
        let secret = dialog.secret("Access key secret (not shown)")?;
        Ok(Self::Typed { id, secret, directory: args.credentials_dir.clone() })
    }

    /// Returns the files that it is, or will be, in.
    pub(super) fn files(&self) -> Option<[PathBuf; 2]> {
        match self {
            Self::Files(files) => Some(files.clone()),
            Self::Typed { directory, .. } => Some(NAMES.map(|name| directory.join(name))),
            Self::From(_) => None,
        }
    }

    /// Returns the directory of its files, where the unit hands both to the daemon under their names.
    pub(super) fn handed(&self, unit: Option<&Unit>) -> Option<PathBuf> {
        let files = self.files()?;
        let mut pairs = NAMES.iter().zip(&files);
        let is_handed = unit.is_some_and(|unit| pairs.all(|(name, file)| unit.hands(name, file)));
        is_handed.then(|| files[0].parent().map(Path::to_owned))?
    }

    /// Returns how the configuration names it. What the unit hands to the daemon is named as it is there.
    pub(super) fn lines(&self, unit: Option<&Unit>) -> String {
        let Some(files) = self.files() else {
            let Self::From(from) = self else { return String::new() };
            return format!(
                "[account.main.credentials]\n# Where the access key is.\nfrom = \"{from}\"\n"
            );
        };
        let is_handed = self.handed(unit).is_some();
        let comment = if is_handed {
            "# The files of the access key, as the unit hands them to the daemon.\n"
        } else {
            "# The files of the access key, one line each.\n"
        };
        let mut text = comment.to_owned();
        for (name, file) in NAMES.into_iter().zip(&files) {
            let written = if is_handed { format!("%d/{name}") } else { file.display().to_string() };
            let _ = writeln!(text, "{name}_file = {}", serde_json::Value::from(written));
        }
        text
    }

    /// Asks the CDN whether it takes the key: by a question for the quota, which changes nothing.
    pub(super) async fn try_it(&self, config: &Config, clock: &SharedClock) -> Vec<Finding> {
        let Some(account) = config.accounts.values().next() else { return Vec::new() };
        let mut account = account.clone();
        let mut around = Surroundings::of_process();
        if let Self::Typed { id, secret, .. } = self {
            // It is in no file yet: it is handed over as an environment would.
            account.credentials = KeySource::at(Place::Environment);
            around = Surroundings::default();
            let family = "ALIBABA_CLOUD_ACCESS_KEY";
            around.environment = [
                (format!("{family}_ID"), id.clone()),
                (format!("{family}_SECRET"), secret.expose_secret().to_owned()),
            ]
            .into();
        }
        let hosts = config.hosts(&account.name);
        match run::client_around(&account, around, clock) {
            Ok(client) => {
                doctor::try_key(&account, &hosts, (clock, &client), &Who::own(), false).await
            }
            Err(failed) => vec![Finding::broken("credential", failed.message)],
        }
    }
}

/// Returns whether the CDN, or this machine, refuses the key.
pub(super) fn is_refused(findings: &[Finding]) -> bool {
    let about_key = |finding: &&Finding| finding.about.starts_with("credential");
    findings.iter().filter(about_key).any(|finding| finding.level == Level::Broken)
}

/// Reads the path of a file that holds something.
pub(super) fn file(answer: &str) -> Result<PathBuf, String> {
    let path = super::absolute(answer)?;
    match path.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.size() > 0 => Ok(path),
        Ok(metadata) if metadata.is_file() => Err("it is empty".to_owned()),
        Ok(_) => Err("it is no file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Says what the daemon's user can't do with the key files.
pub(super) fn shortcoming(files: &[PathBuf], who: &Who) -> Option<String> {
    let is_shut = |path: &&PathBuf| {
        let metadata = path.metadata();
        metadata.is_ok_and(|metadata| !who.may_read(path, &metadata))
            || who.stopped_at(path).is_some()
    };
    let shut: &Path = files.iter().find(is_shut)?;
    Some(format!(
        "{} can't be read by {}: chown it, or let the unit hand it over by LoadCredential=",
        shut.display(),
        who.title()
    ))
}
