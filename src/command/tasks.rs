//! `refreshd tasks`: what the CDN itself knows of recent tasks, whoever asked for them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::cdn::wire::row_type;
use crate::cdn::{Cdn, PrefetchDetail, TaskQuery};
use crate::clock::SharedClock;
use crate::config::{Account, Config};
use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::names::AccountName;
use crate::domain::path::escape;
use crate::domain::task::{TaskId, TaskRow, TaskStatus};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Failure;

use super::words::count;
use super::{ConfigArg, Exit, Failed, Printer, check, history, run};

/// How long the CDN keeps tasks (API reference 1.7); a minute is left for its clock.
const HISTORY: Duration = Duration::from_secs(3 * 86_400 - 60);

/// The action of a row that is a prefetch.
const PREFETCH: Option<&str> = Some(Action::Prefetch.as_str());

/// Arguments of `refreshd tasks`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Of which account; may be left out when there is one.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only the tasks of this id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only of this target, spelled as it was sent: `https://www.example.com/a.html`.
    #[arg(long, value_name = "URL")]
    path: Option<String>,
    /// Only of this domain.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Only of this kind. The CDN lists ignore-params refreshes by id or path only.
    #[arg(long)]
    kind: Option<Listed>,
    /// Only those that stand so.
    #[arg(long)]
    status: Option<Standing>,
    /// Only of domains in this resource group.
    #[arg(long, value_name = "ID")]
    resource_group: Option<String>,
    /// Since when: how long ago (2h), or an instant (2026-11-22T00:00:00Z). All three days that the
    /// CDN keeps by default.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// For prefetches, also how far the CDN's nodes are. It tells that to chosen accounts only.
    #[arg(long)]
    detail: bool,
    /// Write the answer as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What can be listed by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Listed {
    Url,
    Directory,
    Regex,
    Prefetch,
}

impl Listed {
    const ALL: [Self; 4] = [Self::Url, Self::Directory, Self::Regex, Self::Prefetch];

    const fn kind(self) -> (Action, Kind) {
        match self {
            Self::Url => (Action::Refresh, Kind::Url),
            Self::Directory => (Action::Refresh, Kind::Directory),
            Self::Regex => (Action::Refresh, Kind::Regex),
            Self::Prefetch => (Action::Prefetch, Kind::Url),
        }
    }
}

/// How a task may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Standing {
    Complete,
    Running,
    Failed,
    Timeout,
    Canceled,
}

impl Standing {
    /// Returns the API's word (API reference 1.7).
    const fn word(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Running => "Refreshing",
            Self::Failed => "Failed",
            Self::Timeout => "Timeout",
            Self::Canceled => "Canceled",
        }
    }
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    account: AccountName,
    /// The newest first.
    tasks: Vec<Row>,
    /// What the nodes say of each prefetch, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<Detail>>,
    /// Why the CDN does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_details: Option<String>,
}

/// A target of a task.
#[derive(Debug, Serialize)]
struct Row {
    task: TaskId,
    /// Left out for what refreshd does not ask for, such as `block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    /// The house's word for the kind, else the CDN's.
    kind: String,
    target: String,
    /// `complete`, `running` or `failed`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    created_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Detail {
    task: TaskId,
    url: String,
    success: String,
    description: String,
}

impl From<TaskRow> for Row {
    fn from(row: TaskRow) -> Self {
        let known = Kind::ALL
            .into_iter()
            .find(|kind| row.object_type.eq_ignore_ascii_case(row_type(Action::Refresh, *kind)));
        let is_prefetch = row.object_type == row_type(Action::Prefetch, Kind::Url);
        let (action, kind) = match known {
            _ if is_prefetch => (Some(Action::Prefetch), Kind::Url.as_str().to_owned()),
            Some(kind) => (Some(Action::Refresh), kind.as_str().to_owned()),
            None => (None, escape(row.object_type.as_bytes())),
        };
        let (status, percent, why) = match row.status {
            TaskStatus::Complete => ("complete", None, String::new()),
            TaskStatus::Running { percent } => ("running", Some(percent), String::new()),
            TaskStatus::Failed(why) => ("failed", None, why),
        };
        Self {
            task: TaskId(escape(row.task.0.as_bytes())),
            action: action.map(Action::as_str),
            kind,
            target: escape(row.object_path.as_bytes()),
            status,
            percent,
            why,
            created_at: row.created_at.map(Timestamp::to_api),
        }
    }
}

/// Asks the CDN, and shows its answer: exit 1 if the CDN refuses the question.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let account = account(&config, args.account.as_deref())?;
    let queries = queries(&args, clock.server_now())?;
    let cdn = run::ready_client(account, &clock).await?;
    let mut rows = Vec::new();
    for query in queries {
        rows.extend(all_pages(&cdn, query).await.map_err(|failure| refused(&failure))?);
    }
    // By kind they came one after the other; of one second they stay as the CDN lists them.
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
    let mut answer = Answer {
        account: account.name.clone(),
        tasks: rows.into_iter().map(Row::from).collect(),
        details: None,
        no_details: None,
    };
    if args.detail {
        details(&cdn, &mut answer).await?;
    }
    if args.json {
        printer.json(&answer);
    } else {
        show(&answer, args.path.is_some(), printer);
    }
    Ok(if answer.no_details.is_some() { Exit::No } else { Exit::Ok })
}

fn account<'c>(config: &'c Config, named: Option<&str>) -> Result<&'c Account, Failed> {
    let mut known = config.accounts.values();
    let found = match named {
        Some(name) => known.find(|account| account.name.as_str() == name),
        None if config.accounts.len() == 1 => known.next(),
        None => None,
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = config.accounts.keys().map(AccountName::as_str).collect();
        let message = match named {
            Some(name) => format!("no account `{name}`; there are: {}", known.join(", ")),
            None => format!("name the account with --account ({})", known.join(", ")),
        };
        Failed::new(Exit::Usage, message)
    })
}

/// Returns the questions to put: one, or one for each kind where the CDN wants a kind named.
fn queries(args: &Args, now: Timestamp) -> Result<Vec<TaskQuery>, Failed> {
    let since = args.since.as_deref().map(|text| history::since(text, now)).transpose()?;
    if since.is_some_and(|since| now.since(since) > HISTORY + Duration::from_secs(60)) {
        let message = "the CDN keeps tasks for three days: write --since 3d at most";
        return Err(Failed::new(Exit::Usage, message));
    }
    let query = TaskQuery {
        task: args.id.clone().map(TaskId),
        path: args.path.clone(),
        kind: args.kind.map(Listed::kind),
        domain: args.domain.clone(),
        status: args.status.map(Standing::word),
        resource_group: args.resource_group.clone(),
        window: since.map(|since| {
            (since.max(now.minus(HISTORY)), now.max(since).plus(Duration::from_secs(60)))
        }),
        page: 1,
    };
    if query.kind.is_some() || (query.domain.is_none() && query.status.is_none()) {
        return Ok(vec![query]);
    }
    let of = |listed: Listed| TaskQuery { kind: Some(listed.kind()), ..query.clone() };
    Ok(Listed::ALL.map(of).into())
}

async fn all_pages(cdn: &dyn Cdn, mut query: TaskQuery) -> Result<Vec<TaskRow>, Failure> {
    let mut rows = Vec::new();
    loop {
        let page = cdn.tasks(&query).await?;
        let is_empty = page.rows.is_empty();
        rows.extend(page.rows);
        if is_empty || rows.len() as u64 >= page.total {
            return Ok(rows);
        }
        query.page += 1;
    }
}

/// Asks for the details of each prefetch, until the CDN says that it tells this account none.
async fn details(cdn: &dyn Cdn, answer: &mut Answer) -> Result<(), Failed> {
    let prefetches = answer.tasks.iter().filter(|row| row.action == PREFETCH);
    let ids: BTreeSet<TaskId> = prefetches.map(|row| row.task.clone()).collect();
    let mut told = Vec::new();
    for task in ids {
        match cdn.prefetch_detail(&task).await {
            Ok(details) => told.extend(details.into_iter().map(|detail| {
                let PrefetchDetail { url, success, description } = detail;
                Detail { task: task.clone(), url, success, description }
            })),
            Err(Failure { code: Some(code), message, .. }) => {
                answer.no_details = Some(format!(
                    "{code}: {message}; the CDN tells them to accounts on a list of its own only, \
                     which your contact there can put you on"
                ));
                break;
            }
            Err(failure) => return Err(refused(&failure)),
        }
    }
    answer.details = Some(told);
    Ok(())
}

fn refused(failure: &Failure) -> Failed {
    let request = failure.request_id.as_ref();
    let request = request.map_or_else(String::new, |id| format!(" (request id {id})"));
    match &failure.code {
        Some(code) => {
            let message =
                format!("the CDN refuses the question: {code}: {}{request}", failure.message);
            Failed::new(Exit::No, message)
        }
        None => {
            Failed::new(Exit::Io, format!("no answer of the CDN: {}{request}", failure.message))
        }
    }
}

/// Narrower than this, a target has a line of its own.
const NARROW: usize = 110;

fn show(answer: &Answer, by_path: bool, printer: &mut Printer) {
    if answer.tasks.is_empty() {
        printer.line("the CDN lists no such task of the last three days");
        if by_path {
            printer.line(
                "(--path finds a target in the spelling it was sent in; refreshd sends https://)",
            );
        }
        return;
    }
    let is_narrow = printer.width().is_some_and(|width| width < NARROW);
    let id = answer.tasks.iter().map(|row| row.task.0.len()).max().unwrap_or_default();
    for row in &answer.tasks {
        let created = row.created_at.as_deref().unwrap_or("-");
        let what = match row.action {
            PREFETCH => "prefetch",
            _ => row.kind.as_str(),
        };
        let status = row.percent.map_or_else(|| row.status.to_owned(), |part| format!("{part} %"));
        let front = format!("{created:20}  {what:13}  {status:8}  {:id$}", row.task.0);
        if is_narrow {
            printer.line(front.trim_end());
            printer.line(&format!("  {}", row.target));
        } else {
            printer.line(&format!("{front}  {}", row.target));
        }
        if !row.why.is_empty() {
            printer.line(&format!("  why: {}", row.why));
        }
    }
    let failed = answer.tasks.iter().filter(|row| row.status == "failed").count() as u64;
    let running = answer.tasks.iter().filter(|row| row.status == "running").count() as u64;
    let all = count(answer.tasks.len() as u64, "task");
    printer.line(&format!("{all}, {running} running, {failed} failed"));
    show_details(answer, printer);
}

fn show_details(answer: &Answer, printer: &mut Printer) {
    for detail in answer.details.iter().flatten() {
        let Detail { task, url, success, description } = detail;
        printer.line(&format!("prefetch {task}: {url}: on {success} of the nodes; {description}"));
    }
    if let Some(why) = &answer.no_details {
        printer.line(&format!("no details of prefetches: {why}"));
    } else if answer.details.as_ref().is_some_and(Vec::is_empty) {
        printer
            .line("there are no details, for none of these is a prefetch that the CDN still knows");
    }
}
