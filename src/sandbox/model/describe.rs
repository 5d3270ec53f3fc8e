//! The operations that only ask: tasks in two shapes, and the quota.

use serde_json::{Map, Value, json};

use crate::cdn::wire::PAGE_SIZE;
use crate::domain::limits::Limits;
use crate::domain::quota::QuotaKind;
use crate::domain::time::Timestamp;

use super::Model;
use super::call::{Parameters, Refusal};
use super::tasks::{HISTORY, Row};

/// The types that can be listed (API reference 1.7).
const TYPES: [&str; 6] = ["file", "directory", "regex", "preload", "block", "unblock"];

const STATUSES: [&str; 6] = ["Complete", "Pending", "Refreshing", "Failed", "Timeout", "Canceled"];

impl Model {
    /// Lists tasks: paged, newest first, rows nested two deep.
    pub(crate) fn describe_tasks(
        &self,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let filter = Filter::read(parameters, now)?;
        let page = parameters.number("PageNumber", 1, 100_000)?;
        let size = parameters.number("PageSize", 20, PAGE_SIZE.into())?;
        let rows: Vec<&Row> = self
            .tasks
            .shown(now)
            .filter(|row| filter.passes(row) && filter.status_passes(self.status(row, now)))
            .collect();
        let skip = usize::try_from((page - 1) * size).unwrap_or(usize::MAX);
        let shown = rows.iter().skip(skip).take(usize::try_from(size).unwrap_or(100));
        let shown: Vec<Value> = shown.map(|row| self.row(row, now)).collect();
        Ok(json!({
            "Tasks": { "CDNTask": shown },
            "PageNumber": page,
            "PageSize": size,
            "TotalCount": rows.len(),
        }))
    }

    /// Lists the tasks of up to ten ids: not paged, rows nested one deep.
    pub(crate) fn describe_by_id(
        &self,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let ids: Vec<u64> = parameters
            .required("TaskId")?
            .split(',')
            .map(|id| id.trim().parse().map_err(|_| malformed_task_id()))
            .collect::<Result<_, _>>()?;
        if ids.len() > Limits::DOCUMENTED.ids_per_call {
            return Err(malformed_task_id());
        }
        let rows = self.tasks.shown(now).filter(|row| ids.contains(&row.task));
        let rows: Vec<Value> = rows.map(|row| self.row(row, now)).collect();
        Ok(json!({ "TotalCount": rows.len(), "Tasks": rows }))
    }

    /// Tells the day's quota; numbers travel as strings.
    pub(crate) fn describe_quota(&mut self, now: Timestamp) -> Value {
        let mut body = Map::new();
        let mut tell = |name: &str, quota: u64, remain: u64| {
            body.insert(format!("{name}Quota"), quota.to_string().into());
            body.insert(format!("{name}Remain"), remain.to_string().into());
        };
        for (kind, name) in [
            (QuotaKind::Url, "Url"),
            (QuotaKind::Directory, "Dir"),
            (QuotaKind::Regex, "Regex"),
            (QuotaKind::IgnoreParams, "IgnoreParams"),
            (QuotaKind::Prefetch, "Preload"),
        ] {
            let remain = self.meter.remaining(kind, now);
            tell(name, self.meter.limit(kind), remain);
        }
        // Two allowances that the sandbox has no operation for; the figures are sample values.
        tell("PreloadEdge", 20, 20);
        tell("Block", 300, 300);
        Value::Object(body)
    }

    fn status(&self, row: &Row, now: Timestamp) -> &'static str {
        row.progress(self.tasks.ripening, now).status
    }

    fn row(&self, row: &Row, now: Timestamp) -> Value {
        let progress = row.tell(self.tasks.ripening, now);
        json!({
            "TaskId": row.task.to_string(),
            // No source says what a task by tag shows there; this is the tag.
            "ObjectPath": row.effect.target.tag().unwrap_or(&row.effect.target.text),
            "ObjectType": row.object_type(),
            "Status": progress.status,
            "Process": progress.process,
            "CreationTime": row.created.to_api(),
            "Description": progress.description,
        })
    }
}

/// What a list is narrowed by.
struct Filter<'a> {
    task: Option<u64>,
    path: Option<&'a str>,
    kind: Option<&'a str>,
    domain: Option<String>,
    status: Option<&'a str>,
    window: Option<(Timestamp, Timestamp)>,
}

impl<'a> Filter<'a> {
    fn read(parameters: &'a Parameters, now: Timestamp) -> Result<Self, Refusal> {
        let task = parameters.get("TaskId").map(str::parse).transpose();
        let filter = Self {
            task: task.map_err(|_| malformed_task_id())?,
            path: parameters.get("ObjectPath"),
            kind: parameters.get("ObjectType"),
            domain: parameters.get("DomainName").map(str::to_ascii_lowercase),
            status: parameters.get("Status"),
            window: window(parameters, now)?,
        };
        let refuse = |code, text: &str| Err(Refusal::new(400, code, text));
        if filter.kind.is_none() && (filter.domain.is_some() || filter.status.is_some()) {
            return refuse(
                "MissingParameter.ObjectType",
                "ObjectType has to be given along with DomainName or Status.",
            );
        }
        if filter.kind.is_some_and(|kind| !TYPES.contains(&kind)) {
            let text = "The specified ObjectType is not supported.";
            return refuse("InvalidObjectType.ValueNotSupported", text);
        }
        if filter.status.is_some_and(|status| !STATUSES.contains(&status)) {
            let text = "The specified Status is not supported.";
            return refuse("InvalidStatus.ValueNotSupported", text);
        }
        Ok(filter)
    }

    fn passes(&self, row: &Row) -> bool {
        // The API's clock has whole seconds, so both ends of the window belong to it.
        let second = row.created.as_seconds();
        self.task.is_none_or(|task| task == row.task)
            && self.path.is_none_or(|path| path == row.effect.target.text)
            && self.kind.is_none_or(|kind| kind == row.object_type())
            && self.domain.as_ref().is_none_or(|domain| *domain == row.host)
            && self
                .window
                .is_none_or(|(from, to)| from.as_seconds() <= second && second <= to.as_seconds())
    }

    fn status_passes(&self, status: &str) -> bool {
        self.status.is_none_or(|wanted| wanted == status)
    }
}

fn window(
    parameters: &Parameters,
    now: Timestamp,
) -> Result<Option<(Timestamp, Timestamp)>, Refusal> {
    let refuse = |code, text: &str| Err(Refusal::new(400, code, text));
    let (from, to) = match (parameters.get("StartTime"), parameters.get("EndTime")) {
        (None, None) => return Ok(None),
        (Some(from), Some(to)) => (Timestamp::parse(from), Timestamp::parse(to)),
        _ => {
            return refuse("MissingParameter", "StartTime and EndTime can not be single.");
        }
    };
    let Some(from) = from else {
        return refuse("InvalidStartTime.Malformed", "StartTime is malformed.");
    };
    let Some(to) = to else {
        return refuse("InvalidEndTime.Malformed", "EndTime is malformed.");
    };
    if to <= from {
        return refuse("InvalidEndTime.Mismatch", "EndTime has to be after StartTime.");
    }
    if now.since(from) > HISTORY {
        let text = "StartTime has to be within the last three days.";
        return refuse("InvalidStartTime.ValueNotSupported", text);
    }
    Ok(Some((from, to)))
}

pub(super) fn malformed_task_id() -> Refusal {
    Refusal::new(400, "InvalidTaskId.Malformed", "The specified TaskId is malformed.")
}
