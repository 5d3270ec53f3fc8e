//! Settings that are legal and risky: one table of what to look for, each with its reason and what to write
//! instead.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use super::effective::place;
use super::problem::{Problem, Problems};
use super::{Account, Config, Hook, Listen, Origin, duration};
use crate::domain::credentials::{KeyFiles, Place};
use crate::domain::limits::Limits;
use crate::domain::quota::QuotaKind;

/// A risky setting.
struct Risk {
    /// Where it stands, or would: `account.main.batch`.
    key: String,
    message: String,
    help: &'static str,
}

/// Returns the mode of a file, if it can be looked at.
type Mode<'a> = &'a dyn Fn(&Path) -> Option<u32>;

/// What is looked for in a whole configuration.
type Look = fn(&Config, Mode<'_>) -> Vec<Risk>;

const LOOKS: [Look; 14] = [
    |config, _| of_accounts(config, rates),
    |config, _| of_accounts(config, reserve),
    |config, _| of_accounts(config, doubts),
    |config, mode| config.accounts.values().flat_map(|account| key_files(account, mode)).collect(),
    |config, mode| config.senders.values().flat_map(|hook| secrets(hook, mode)).collect(),
    |config, _| of_origins(config, settle),
    |config, _| of_origins(config, exclude),
    |config, _| of_origins(config, hold),
    |config, _| of_origins(config, poll),
    |config, _| of_origins(config, digests),
    |config, _| sockets(config),
    |config, _| strangers(config),
    |config, _| readers(config),
    |config, _| shared(config),
];

/// No deploy pauses so long between two files: every change would be that late.
const LONG_SETTLE: Duration = Duration::from_secs(10 * 60);
/// Beyond this a refusal or a lost answer concerns very much at once.
const LARGE_BATCH: usize = 500;
/// Beyond this a lost answer leaves its URLs stale for longer than most caches keep them.
const LONG_DOUBT: Duration = Duration::from_secs(10 * 60);
/// Comparing a large tree takes about this long.
const SHORT_POLL: Duration = Duration::from_secs(5);

/// Returns what is risky in a configuration that is in order, with its places in the `text`; `mode` tells
/// the mode of a file.
pub(super) fn risks(text: &str, config: &Config, mode: Mode<'_>) -> Option<Problems> {
    let (document, _) = DeTable::parse_recoverable(text);
    let problem = |risk: Risk| Problem {
        span: place(&document, &risk.key),
        message: risk.message,
        help: risk.help.to_owned(),
        label: "risky".to_owned(),
    };
    let risks = LOOKS.iter().flat_map(|look| look(config, mode)).map(problem);
    Problems::risky(&config.path, text, risks.collect())
}

fn of_accounts(config: &Config, look: fn(&Account, &str) -> Vec<Risk>) -> Vec<Risk> {
    let section = |account: &Account| format!("account.{}", account.name);
    config.accounts.values().flat_map(|account| look(account, &section(account))).collect()
}

fn of_origins(config: &Config, look: fn(&Origin, &str) -> Vec<Risk>) -> Vec<Risk> {
    let section = |origin: &Origin| format!("origin.{}", origin.name);
    config.origins.values().flat_map(|origin| look(origin, &section(origin))).collect()
}

/// Makes a risk unless there is none.
fn when(is_risky: bool, key: String, message: String, help: &'static str) -> Option<Risk> {
    is_risky.then_some(Risk { key, message, help })
}

fn rates(account: &Account, section: &str) -> Vec<Risk> {
    let figures = |limits: &Limits| {
        [
            ("refresh_calls", u64::from(limits.refresh_calls)),
            ("prefetch_calls", limits.prefetch_calls.into()),
            ("tasks_calls", limits.tasks_calls.into()),
            ("task_by_id_calls", limits.task_by_id_calls.into()),
            ("quota_calls", limits.quota_calls.into()),
            ("detail_calls", limits.detail_calls.into()),
            ("domains_calls", limits.domains_calls.into()),
            ("urls_per_minute", limits.urls_per_minute),
            ("directories_per_minute", limits.directories_per_minute),
        ]
    };
    let pairs = figures(&account.limits).into_iter().zip(figures(&Limits::DOCUMENTED));
    let risk = |((key, set), (_, published)): ((&str, u64), (&str, u64))| {
        let message = format!(
            "`{key}` is {set}, and {published} are published: what is beyond is refused, and all who use \
             the account are slowed down"
        );
        let help = "leave it out, unless the provider has granted this account more";
        when(set > published, format!("{section}.limits.{key}"), message, help)
    };
    pairs.filter_map(risk).collect()
}

fn reserve(account: &Account, section: &str) -> Vec<Risk> {
    let (reserve, directories) = (account.rules.reserve, account.quota[QuotaKind::Directory]);
    let none = "`reserve` is 0: ordinary changes may spend the whole day, and what was removed, or must be \
                dropped, waits until midnight (UTC+8)";
    let less = format!(
        "{reserve} percent of {directories} directory refreshes is less than one: nothing of them is kept \
         for urgent work"
    );
    let key = format!("{section}.quota.reserve");
    let risks = [
        when(reserve == 0, key.clone(), none.to_owned(), "write `reserve = 5`"),
        when(
            reserve > 0 && (1..100).contains(&(directories * reserve)),
            format!("{section}.quota.directory"),
            less,
            "write a larger `reserve`: 100 divided by the directory refreshes of a day at least",
        ),
    ];
    risks.into_iter().flatten().collect()
}

fn doubts(account: &Account, section: &str) -> Vec<Risk> {
    let risks = [
        when(
            account.batch > LARGE_BATCH,
            format!("{section}.batch"),
            format!(
                "`batch` is {}: when one answer is lost, so many asks may be paid for twice",
                account.batch
            ),
            "write `batch = 100`, unless very many URLs change each minute",
        ),
        when(
            account.doubt_gap > LONG_DOUBT,
            format!("{section}.doubt_gap"),
            format!(
                "`doubt_gap` is {}: what was in a call whose answer was lost stays stale for that long",
                duration::show(account.doubt_gap)
            ),
            "write `doubt_gap = \"60s\"`",
        ),
    ];
    risks.into_iter().flatten().collect()
}

/// Says when a file that holds a secret is open to others.
fn open(key: String, path: &Path, mode: Mode<'_>) -> Option<Risk> {
    let is_open = mode(path).is_some_and(|mode| mode & 0o007 != 0);
    let message = format!("{} may be read by every user of this machine", path.display());
    when(is_open, key, message, "chmod o= FILE, and make a new key if others use this machine")
}

fn key_files(account: &Account, mode: Mode<'_>) -> Vec<Risk> {
    let Place::Files(KeyFiles { secret, security_token, .. }) = &account.credentials.place else {
        return Vec::new();
    };
    let key = |name: &str| format!("account.{}.{name}", account.name);
    let token = security_token.as_deref();
    let token = token.and_then(|path| open(key("security_token_file"), path, mode));
    open(key("access_key_secret_file"), secret, mode).into_iter().chain(token).collect()
}

fn secrets(hook: &Hook, mode: Mode<'_>) -> Vec<Risk> {
    let key = format!("hook.{}.secret_files", hook.name);
    hook.secret_files.iter().filter_map(|path| open(key.clone(), path, mode)).collect()
}

fn settle(origin: &Origin, section: &str) -> Vec<Risk> {
    let (settle, deadline) = (origin.settle, origin.deploy_deadline);
    let key = format!("{section}.settle");
    let shown = duration::show(settle);
    let risks = [
        when(
            settle > deadline / 8,
            key.clone(),
            format!(
                "`settle` is {shown} and `deploy_deadline` {}: a deploy that is busy for so long is sent in \
                 pieces, pages before what they use",
                duration::show(deadline)
            ),
            "make `deploy_deadline` at least eight times as long as `settle`",
        ),
        when(
            settle > LONG_SETTLE,
            key,
            format!("`settle` is {shown}: every change is refreshed that much later"),
            "write a few seconds, and bracket long deploys by `refreshd deploy begin` and `end`",
        ),
    ];
    risks.into_iter().flatten().collect()
}

fn exclude(origin: &Origin, section: &str) -> Vec<Risk> {
    let globs = &origin.mapping.spec().exclude;
    let all = globs.iter().find(|glob| ["**", "*", "**/*"].contains(&glob.as_str()));
    let risk = all.map(|glob| Risk {
        key: format!("{section}.exclude"),
        message: format!("`exclude` has \"{glob}\": no file of this origin is ever refreshed"),
        help: "name what is not served, like \"drafts/**\", or remove the origin",
    });
    risk.into_iter().collect()
}

fn hold(origin: &Origin, section: &str) -> Vec<Risk> {
    let guard = &origin.guard;
    let off = [
        ("changed_percent", guard.changed_percent == 0, "a broken build changes every page"),
        ("removed_percent", guard.removed_percent == 0, "a mount that fails removes every file"),
        ("quota_percent", guard.quota_percent == 0, "one deploy may spend the quota of many days"),
        ("root", !guard.root, "one mistake empties the cache of the whole domain"),
    ];
    let risk = |(key, is_off, why): (&str, bool, &str)| {
        let message = format!("`{key}` is off: {why}, and nobody is asked");
        let help = "leave it out; what is held costs one `refreshd approve`";
        when(is_off, format!("{section}.hold.{key}"), message, help)
    };
    off.into_iter().filter_map(risk).collect()
}

fn poll(origin: &Origin, section: &str) -> Vec<Risk> {
    let every = origin.poll_every;
    let message = format!(
        "`poll_every` is {}: a large tree is compared without a pause, which keeps a disk busy",
        duration::show(every)
    );
    let risk = when(
        every < SHORT_POLL,
        format!("{section}.poll_every"),
        message,
        "write \"30s\" or more; only what sends no events is polled",
    );
    risk.into_iter().collect()
}

fn digests(origin: &Origin, section: &str) -> Vec<Risk> {
    let message = "`digest_mb_per_second` is 0: no file of a new tree is read, so that touching one counts \
                   as a change";
    let risk = when(
        origin.digest_rate == 0 && origin.root().is_some(),
        format!("{section}.digest_mb_per_second"),
        message.to_owned(),
        "write a rate that the disk doesn't feel, like 5",
    );
    risk.into_iter().collect()
}

fn sockets(config: &Config) -> Vec<Risk> {
    let sockets = [
        ("control_socket", config.control_socket.as_deref()),
        ("hooks.socket", config.hooks.socket.as_deref()),
    ];
    let below = |(key, socket): (&str, Option<&Path>)| {
        let mut roots = config.origins.values().filter_map(Origin::root);
        let root = roots.find(|root| socket.is_some_and(|socket| socket.starts_with(root)))?;
        Some(Risk {
            key: key.to_owned(),
            message: format!(
                "the socket lies below the root {}: a web server or a deploy may open or replace it",
                root.display()
            ),
            help: "put it into /run/refreshd",
        })
    };
    sockets.into_iter().filter_map(below).collect()
}

fn strangers(config: &Config) -> Vec<Risk> {
    let is_open = |address: &SocketAddr| !address.ip().is_loopback();
    let Listen::At(address) = config.hooks.listen else { return Vec::new() };
    let hooks = config.senders.values().filter(|hook| hook.sources.is_empty());
    let risk = |hook: &Hook| {
        let message = format!(
            "anybody who reaches {address} may try a signature at hook `{}`, over plain HTTP",
            hook.name
        );
        let help = "write `listen = \"127.0.0.1:8377\"` behind a web server that speaks TLS, or name the \
                    `sources`";
        when(is_open(&address), format!("hook.{}.sources", hook.name), message, help)
    };
    hooks.filter_map(risk).collect()
}

fn readers(config: &Config) -> Vec<Risk> {
    let Listen::At(address) = config.web.listen else { return Vec::new() };
    let is_open = !address.ip().is_loopback();
    let message = format!(
        "anybody who reaches {address} may read what changes where, and tokens go there over plain HTTP"
    );
    let help = "write `listen = \"127.0.0.1:8378\"` behind a web server that speaks TLS, and `read = \"token\"`";
    when(is_open, "web.listen".to_owned(), message, help).into_iter().collect()
}

fn shared(config: &Config) -> Vec<Risk> {
    let origins: Vec<&Origin> = config.origins.values().collect();
    let mut risks = Vec::new();
    for (at, origin) in origins.iter().enumerate() {
        for other in &origins[..at] {
            let mut bases = origin.mapping.bases().iter();
            let Some(base) = bases.find(|base| other.mapping.bases().contains(base)) else {
                continue;
            };
            risks.push(Risk {
                key: format!("origin.{}.domains", origin.name),
                message: format!(
                    "origins `{}` and `{}` both serve {}: only one of them can be right about a path",
                    other.name,
                    origin.name,
                    base.url()
                ),
                help: "give each the URLs that it serves, like \"https://www.example.com/blog/\"",
            });
        }
    }
    risks
}

#[cfg(test)]
mod tests;
