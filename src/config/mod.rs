//! This room reads the configuration: text in, a [`Config`] that is valid by construction out, or
//! every problem of the text at once.
//!
//! Enters: the text, its path, the credentials directory. Leaves: [`Config`] or [`Problems`].
//! **Invariant:** a [`Config`] needs no further checks but those that ask the machine (does the
//! root exist, can the key be read); defaults stand here, or with the type that has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::alarm::AlarmKind;
use crate::domain::ask::Target;
use crate::domain::credentials::KeySource;
use crate::domain::endpoint::Proxy;
use crate::domain::gate::Gate;
use crate::domain::guard::Guard;
use crate::domain::hook::{Network, Provider};
use crate::domain::limits::Limits;
use crate::domain::mapping::Mapping;
use crate::domain::names::{AccountName, HookName, OriginName};
use crate::domain::notice::{Language, Receiver};
use crate::domain::path::RelPath;
use crate::domain::plan::Policy;
use crate::domain::prefetch::{PrefetchByHost, PrefetchOptions};
use crate::domain::quota::PerKind;
use crate::domain::quota::purse::Rules;
use crate::domain::stage::Stages;
use crate::domain::verdict::Verdicts;
use crate::domain::watch::{Links, Means};

mod change;
mod credentials;
mod described;
mod duration;
mod effective;
mod gate;
mod hooks;
mod limits;
mod mapping;
mod notices;
mod origin;
mod page;
mod prefetch;
mod problem;
mod read;
mod risk;
mod schema;
mod section;
mod shape;
mod timed;
mod value;

pub use change::{Difference, Parts};
pub use described::{EXAMPLE, table};
pub use duration::parse as read_duration;
pub use effective::{Effective, effective};
pub use problem::{ProblemRow, Problems};
pub use schema::schema;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where the daemon keeps its database; absolute, below no origin's root.
    pub state_dir: PathBuf,
    /// Where commands reach the daemon; without one the daemon chooses.
    pub control_socket: Option<PathBuf>,
    /// What is logged and how.
    pub log: Log,
    /// At least one.
    pub accounts: BTreeMap<AccountName, Account>,
    /// At least one; each names an account of `accounts`.
    pub origins: BTreeMap<OriginName, Origin>,
    /// Where pushes are told of.
    pub hooks: Hooks,
    /// Who may tell of pushes over HTTP.
    pub senders: BTreeMap<HookName, Hook>,
    /// Where the page is served.
    pub web: Web,
    /// Where alarms are posted, by name.
    pub notices: BTreeMap<String, Notice>,
}

/// Where the page, `/api/v1` and `/metrics` are served: `[web]`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Web {
    /// Where.
    pub listen: Listen,
    /// Files that hold a token each: whoever sends one may change things, under the file's name.
    pub token_files: Vec<PathBuf>,
    /// Who may read.
    pub read: Readers,
    /// Names under which it may be asked besides its address and `localhost`.
    pub hosts: Vec<String>,
}

/// Who may read the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Readers {
    /// Whoever reaches it.
    #[default]
    Anyone,
    /// Whoever has a token.
    Token,
}

/// Where alarms are posted: `[notice.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its name.
    pub name: String,
    /// Whose form is posted.
    pub receiver: Receiver,
    /// The file with the URL, which is a secret.
    pub url_file: PathBuf,
    /// The file with what posts are signed with.
    pub secret_file: Option<PathBuf>,
    /// Which kinds; all when empty.
    pub alarms: Vec<AlarmKind>,
    /// In which language.
    pub language: Language,
}

/// Where pushes are told of: `[hooks]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Where HTTP requests are taken.
    pub listen: Listen,
    /// Where `refreshd hook post-receive` tells of pushes; without one the daemon chooses.
    pub socket: Option<PathBuf>,
    /// Users, by name or number, who may do so besides root, the daemon's own and a repository's owner.
    pub users: Vec<String>,
    /// How long a body may be, in bytes.
    pub body_bytes: u64,
    /// How long a client may take for its headers.
    pub header_timeout: Duration,
    /// How long it may take for its body.
    pub body_timeout: Duration,
    /// How long a connection is kept while nothing comes.
    pub idle_timeout: Duration,
    /// How many connections there are at once.
    pub connections: u64,
    /// How many of them one address has, unless it is a trusted proxy.
    pub connections_per_source: u64,
    /// Who is believed when it says for whom it asks.
    pub trusted_proxies: Vec<Network>,
}

/// Where a listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Listen {
    /// Nowhere.
    #[default]
    Nowhere,
    /// At this address.
    At(SocketAddr),
    /// At the socket that systemd hands over.
    Systemd,
}

/// Who may tell of pushes: `[hook.NAME]`, at `/hooks/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// Whose deliveries it takes.
    pub provider: Provider,
    /// Files that hold a secret each; at least one.
    pub secret_files: Vec<PathBuf>,
    /// The origins that its pushes concern.
    pub origins: Vec<OriginName>,
    /// From where; anywhere when empty.
    pub sources: Vec<Network>,
}

/// What holds the files of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A directory; absolute.
    Root(PathBuf),
    /// A git repository, which is served somewhere else.
    Repository(Repository),
}

/// A git repository whose pushes are an origin's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Where it is: bare, or a clone; absolute.
    pub path: PathBuf,
    /// From where its commits are fetched: a URL or the name of a remote. None: somebody else sees to
    /// that.
    pub fetch_from: Option<String>,
}

/// What is logged and how: `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Log {
    /// From which level on.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// How serious a line must be to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// Also what may come to need one.
    Warn,
    /// Also what refreshd does.
    #[default]
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All levels, the quietest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Returns the word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One Alibaba Cloud account: `[account.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// The CDN's API: https, or http to this machine.
    pub endpoint: url::Url,
    /// The endpoint's host, repeated where it is none of Alibaba Cloud's: it gets signed calls.
    pub endpoint_is_trusted: Option<String>,
    /// Which way calls go there.
    pub proxy: Proxy,
    /// Where its access key comes from.
    pub credentials: KeySource,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many asks one call carries at most: 1 to 1,000.
    pub batch: usize,
    /// When a job is first looked at after its acceptance.
    pub poll_first: Duration,
    /// What the gap between two looks at a job grows to; at least `poll_first`.
    pub poll_max: Duration,
    /// How long it is between two questions about tasks while there are few of them.
    pub poll_gap: Duration,
    /// When a task that never appears or never ends is given up; at least `poll_max`.
    pub poll_give_up: Duration,
    /// The gap between two looks for a call whose answer never came; at least 60 s, except to
    /// this machine.
    pub doubt_gap: Duration,
    /// What a day may cost, in asks; the smaller of this and the CDN's answer counts.
    pub quota: PerKind<u64>,
    /// What the CDN takes in a second, a request and a minute.
    pub limits: Limits,
    /// What of that is kept for whom, and the cap on wide refreshes.
    pub rules: Rules,
    /// Whether and how wide asks stand for URLs.
    pub cover: Cover,
    /// What the CDN's codes mean.
    pub verdicts: Verdicts,
}

/// When a directory or a regex stands for URLs: `[account.NAME.cover]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Whether URLs are ever widened.
    pub policy: Policy,
    /// How long a changed URL may stay stale to spare one unchanged object a revalidation.
    pub spare: Duration,
    /// Expressions to try besides those found in the URLs.
    pub expressions: Vec<Target>,
}

impl Default for Cover {
    fn default() -> Self {
        Self { policy: Policy::Cover, spare: read::SPARE, expressions: Vec::new() }
    }
}

/// A named tree of files whose content CDN domains serve: `[origin.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub name: OriginName,
    /// What holds its files.
    pub tree: Tree,
    /// The whole name of the ref that is served: pushes to others change nothing. None where the disk
    /// decides and any push is a reason to look.
    pub branch: Option<String>,
    /// The directory of the repository that is served.
    pub prefix: RelPath,
    /// What its deploys have to wait for.
    pub gate: Gate,
    /// Whose domains they are.
    pub account: AccountName,
    /// How the CDN is to prefetch what it serves.
    pub prefetch: PrefetchOptions,
    /// In which order a deploy goes.
    pub stages: Stages,
    /// Which URLs its paths have, which are excluded and which are prefetched.
    pub mapping: Mapping,
    /// How long a deploy must be quiet before it closes.
    pub settle: Duration,
    /// When a deploy closes though it isn't quiet; at least `settle`.
    pub deploy_deadline: Duration,
    /// When a file that never stops changing is refreshed anyway.
    pub unstable_after: Duration,
    /// How long a path must be gone before that counts.
    pub delete_settle: Duration,
    /// How often the whole tree is compared with the index.
    pub reconcile_every: Duration,
    /// A path absent or empty for longer than this counts as changed even if its old bytes return.
    pub transient: Duration,
    /// By which means changes are heard of.
    pub watch: Means,
    /// Which links are followed.
    pub links: Links,
    /// How often what sends no events is compared with the index.
    pub poll_every: Duration,
    /// How fast the digests of a new tree are filled in, in bytes a second; 0 for never.
    pub digest_rate: u64,
    /// What of it is held for a person.
    pub guard: Guard,
}

impl Origin {
    /// Returns the directory that holds its files; none of a repository.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        match &self.tree {
            Tree::Root(root) => Some(root),
            Tree::Repository(_) => None,
        }
    }

    /// Returns the repository that holds its files, if one does.
    #[must_use]
    pub const fn repository(&self) -> Option<&Repository> {
        match &self.tree {
            Tree::Root(_) => None,
            Tree::Repository(repository) => Some(repository),
        }
    }

    /// Returns the path of a file as an operator names it: whole, or from the origin's root on; of a
    /// repository, from its `prefix` on.
    #[must_use]
    pub fn relative(&self, path: &Path) -> Option<RelPath> {
        // Joining keeps an absolute path as it is; the parts leave out `.` and a slash at the end.
        let root = match &self.tree {
            Tree::Root(root) => root.clone(),
            Tree::Repository(repository) => self.prefix.under(&repository.path),
        };
        let full: PathBuf = root.join(path).components().collect();
        RelPath::below(&root, &full)
    }
}

impl Config {
    /// Reads a configuration from text; `path` is its name in problems. A leading `%d/` or
    /// `${CREDENTIALS_DIRECTORY}/` of a path stands for `credentials`, where that is known.
    pub fn parse(text: &str, path: &Path, credentials: Option<&Path>) -> Result<Self, Problems> {
        let (config, findings) = read::config(text, path, credentials);
        match (config, Problems::gather(path, text, findings.problems)) {
            (Some(config), None) => Ok(config),
            (_, Some(problems)) => Err(problems),
            (None, None) => Err(Problems::unreadable(
                path,
                &std::io::Error::other("it is incomplete, and it can't be said how"),
            )),
        }
    }

    /// Returns the hosts that an account's origins have URLs on, each with its origin.
    #[must_use]
    pub fn hosts(&self, account: &AccountName) -> BTreeSet<(OriginName, String)> {
        let origins = self.origins.values().filter(|origin| origin.account == *account);
        let hosts = origins.flat_map(|origin| {
            origin.mapping.hosts().map(|host| (origin.name.clone(), host.to_owned()))
        });
        hosts.collect()
    }

    /// Returns how the CDN is to prefetch on each host of an account.
    #[must_use]
    pub fn prefetching(&self, account: &AccountName) -> PrefetchByHost {
        let mut hosts = PrefetchByHost::default();
        for origin in self.origins.values().filter(|origin| origin.account == *account) {
            for host in origin.mapping.hosts() {
                hosts.insert(host, &origin.prefetch);
            }
        }
        hosts
    }

    /// Returns what is risky in it, with its places in the text it was read from; `mode` tells the mode of
    /// a file, if it can be looked at.
    #[must_use]
    pub fn risks(&self, text: &str, mode: &dyn Fn(&Path) -> Option<u32>) -> Option<Problems> {
        risk::risks(text, self, mode)
    }

    /// Reads the file at `path`, with the credentials directory of this process's environment.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Problems::unreadable(path, &error))?;
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::parse(&text, path, credentials.as_deref())
    }
}

#[cfg(test)]
mod tests;
