//! The operations about an account's domains, and about the details of a prefetch.

use serde_json::{Value, json};

use crate::cdn::wire::{DOMAINS_PAGE, DetailReply, Domain, DomainDetail, UrlDetail};
use crate::domain::intent::Action;
use crate::domain::time::Timestamp;

use super::Model;
use super::call::{Parameters, Refusal};
use super::describe::malformed_task_id;
use super::tasks::Row;

/// How many names one question may give (API reference 1.11).
const NAMES: usize = 50;

impl Model {
    /// Lists domains: those that were named, else those that were asked for.
    pub(crate) fn describe_domains(&self, parameters: &Parameters) -> Result<Value, Refusal> {
        let page = parameters.number("PageNumber", 1, 100_000)?;
        let size = parameters.number("PageSize", 20, DOMAINS_PAGE.into())?;
        parameters.flag("CheckDomainShow")?;
        let names: Vec<String> = parameters
            .get("DomainName")
            .map(|names| names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect())
            .unwrap_or_default();
        if names.len() > NAMES {
            return Err(Refusal::format("DomainName"));
        }
        let fits: fn(&str, &str) -> bool = match parameters.get("DomainSearchType") {
            None | Some("full_match") => |domain, name| domain == name,
            Some("fuzzy_match") => |domain, name| domain.contains(name),
            Some("pre_match") => |domain, name| domain.starts_with(name),
            Some("suf_match") => |domain, name| domain.ends_with(name),
            Some(_) => return Err(Refusal::format("DomainSearchType")),
        };
        let settings = &self.settings;
        let all: Vec<&String> = if settings.domains.is_empty() {
            self.seen.iter().collect()
        } else {
            settings.domains.iter().collect()
        };
        let state = |name: &String| {
            if settings.offline.contains(name) { "offline" } else { "online" }
        };
        let wanted = |name: &&String| {
            (names.is_empty() || names.iter().any(|part| fits(name, part)))
                && parameters.get("DomainStatus").is_none_or(|status| status == state(name))
        };
        let found: Vec<&String> = all.into_iter().filter(wanted).collect();
        let skip = usize::try_from((page - 1) * size).unwrap_or(usize::MAX);
        let shown = found.iter().skip(skip).take(usize::try_from(size).unwrap_or(20));
        let shown: Vec<Domain> = shown
            .map(|name| Domain {
                domain_name: (*name).clone(),
                domain_status: state(name).to_owned(),
                cdn_type: "web".to_owned(),
                coverage: "global".to_owned(),
                cname: format!("{name}.sandbox.invalid"),
            })
            .collect();
        Ok(json!({
            "Domains": { "PageData": shown },
            "PageNumber": page,
            "PageSize": size,
            "TotalCount": found.len(),
        }))
    }

    /// Tells how far a prefetch is. Which code an account gets that is not on the list is documented
    /// nowhere; this one says what it means.
    pub(crate) fn describe_detail(
        &self,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        if !self.settings.detail {
            let text = "The account is not in the whitelist of this operation.";
            return Err(Refusal::new(403, "Forbidden", text));
        }
        let task: u64 = parameters.required("TaskId")?.parse().map_err(|_| malformed_task_id())?;
        let rows: Vec<&Row> = self
            .tasks
            .shown(now)
            .filter(|row| row.task == task && row.effect.action == Action::Prefetch)
            .collect();
        let url = |row: &&Row| {
            let progress = row.progress(self.tasks.ripening, now);
            let path = row.effect.target.text.split_once(&row.host).map_or("", |(_, path)| path);
            let description = match progress.status {
                "Complete" => "Successfully preloaded",
                _ => &progress.description,
            };
            UrlDetail {
                url: path.to_owned(),
                success: Some(if progress.status == "Failed" {
                    "0%".into()
                } else {
                    progress.process
                }),
                description: description.to_owned(),
            }
        };
        // An id is of one domain.
        let details = rows.first().map(|first| {
            let words: Vec<&str> =
                rows.iter().map(|row| row.progress(self.tasks.ripening, now).status).collect();
            let status =
                ["Refreshing", "Pending", "Failed"].into_iter().find(|word| words.contains(word));
            let status = match status {
                Some("Pending") => "Refreshing",
                Some(word) => word,
                None => "Complete",
            };
            DomainDetail {
                task_id: Some(task.to_string()),
                domain: first.host.clone(),
                status: status.to_owned(),
                process: Some(first.progress(self.tasks.ripening, now).process),
                ret_code: Some("0".to_owned()),
                creation_time: first.created.to_api(),
                end_time: String::new(),
                urls: rows.iter().map(url).collect(),
            }
        });
        let url_details: Vec<DomainDetail> = details.into_iter().collect();
        let total_count = Some(url_details.len() as u64);
        Ok(json!(DetailReply { request_id: String::new(), url_details, total_count }))
    }
}
