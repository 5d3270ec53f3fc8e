//! The operations that ask for work: `RefreshObjectCaches`, `RefreshObjectCacheByCacheTag` and
//! `PushObjectCache`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cdn::wire::{Operation, parse_request_type};
use crate::domain::ask::Kind;
use crate::domain::intent::Action;
use crate::domain::quota::QuotaKind;
use crate::domain::time::Timestamp;

use super::call::{Parameters, Refusal};
use super::lines::Line;
use super::{Accepted, Model, lines};

/// How many prefetches may wait in an account's queue (API reference 0).
const PREFETCH_QUEUE: usize = 100_000;

/// What one accepted call asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) action: Action,
    pub(crate) kind: Kind,
    pub(crate) force: bool,
}

/// What travelled with a wish.
struct Sent<'a> {
    lines: Vec<Line>,
    options: BTreeMap<String, String>,
    request_id: &'a str,
}

/// The parameters of a prefetch besides its targets (API reference 1.5).
const OPTIONS: [&str; 5] = ["Area", "L2Preload", "QueryHashkey", "ConsistencyHash", "WithHeader"];

/// Returns whether text is a JSON object of header names, each with a list of values.
fn are_headers(text: &str) -> bool {
    let headers = serde_json::from_str::<BTreeMap<String, Vec<String>>>(text);
    headers.is_ok_and(|headers| {
        let mut all = headers.iter();
        all.all(|(name, values)| !name.is_empty() && !values.is_empty())
    })
}

impl Model {
    pub(crate) fn refresh(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Value, Refusal> {
        let object_path = parameters.required("ObjectPath")?;
        let kind = parameters.get("ObjectType").unwrap_or("File");
        let kind = parse_request_type(kind).ok_or_else(|| {
            let text = "The specified ObjectType is invalid.";
            Refusal::new(400, "InvalidObjectType.Malformed", text)
        })?;
        // A File refresh always drops: Force has no meaning for it.
        let force = parameters.flag("Force")? || kind == Kind::Url;
        let wish = Wish { action: Action::Refresh, kind, force };
        let lines = self.lines(wish, object_path)?;
        let sent = Sent { lines, options: BTreeMap::new(), request_id };
        let ids = self.submit(Operation::RefreshObjectCaches, wish, sent, now)?;
        Ok(json!({ "RefreshTaskId": ids }))
    }

    pub(crate) fn refresh_tags(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Value, Refusal> {
        let domain = parameters.required("DomainName")?;
        let tags = parameters.required("CacheTag")?;
        let force = parameters.flag("Force")?;
        let lines = lines::read_tags(domain, tags, &self.settings.domains)?;
        let wish = Wish { action: Action::Refresh, kind: Kind::Tag, force };
        let operation = Operation::RefreshObjectCacheByCacheTag;
        let sent = Sent { lines, options: BTreeMap::new(), request_id };
        let ids = self.submit(operation, wish, sent, now)?;
        Ok(json!({ "RefreshTaskId": ids }))
    }

    pub(crate) fn push(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Value, Refusal> {
        let object_path = parameters.required("ObjectPath")?;
        if !matches!(parameters.get("Area"), None | Some("domestic" | "overseas")) {
            return Err(Refusal::format("Area"));
        }
        for name in ["L2Preload", "QueryHashkey", "ConsistencyHash"] {
            parameters.flag(name)?;
        }
        if parameters.get("WithHeader").is_some_and(|text| !are_headers(text)) {
            return Err(Refusal::format("WithHeader"));
        }
        let wish = Wish { action: Action::Prefetch, kind: Kind::Url, force: false };
        let lines = self.lines(wish, object_path)?;
        let option = |name: &&str| Some(((*name).to_owned(), parameters.get(name)?.to_owned()));
        let options = OPTIONS.iter().filter_map(option).collect();
        let sent = Sent { lines, options, request_id };
        let ids = self.submit(Operation::PushObjectCache, wish, sent, now)?;
        Ok(json!({ "PushTaskId": ids }))
    }

    fn lines(&self, wish: Wish, object_path: &str) -> Result<Vec<Line>, Refusal> {
        let kind = QuotaKind::of(wish.action, wish.kind);
        lines::read(kind, object_path, &self.settings.domains)
    }

    fn submit(
        &mut self,
        operation: Operation,
        wish: Wish,
        sent: Sent<'_>,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        let kind = QuotaKind::of(wish.action, wish.kind);
        let Sent { lines, options, request_id } = sent;
        if let Some(line) = lines.iter().find(|line| self.settings.offline.contains(&line.host)) {
            let text = format!("The domain {} is offline.", line.host);
            return Err(Refusal::new(404, "InvalidDomain.Offline", text));
        }
        if kind == QuotaKind::Prefetch && self.tasks.prefetching() + lines.len() > PREFETCH_QUEUE {
            let text = "The prefetch queue is full.";
            return Err(Refusal::new(403, "PreloadQueueFull", text));
        }
        let hosts: Vec<&str> = lines.iter().map(|line| line.host.as_str()).collect();
        self.meter.debit(kind, &hosts, now)?;
        self.seen.extend(hosts.into_iter().map(str::to_owned));
        let targets = lines.iter().map(|line| line.text.clone()).collect();
        let task_ids = self.tasks.add(wish, lines, &mut self.faults, now);
        let joined = task_ids.join(",");
        self.log.accepted.push(Accepted {
            time_micros: now.as_micros(),
            action: operation.as_str(),
            kind,
            force: wish.force,
            options,
            targets,
            task_ids,
            request_id: request_id.to_owned(),
        });
        Ok(joined)
    }
}
