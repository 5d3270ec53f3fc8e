//! `[account.NAME.limits]`: what the CDN takes.

use super::section::{Findings, Section};
use super::value;
use crate::domain::limits::Limits;
use crate::domain::url::MAX_LENGTH;

/// No provider takes more of anything at once: a larger figure is a slip of the keyboard.
const MOST: u64 = 1_000_000;

/// Reads the section; what it doesn't say is as documented.
pub(super) fn read(section: Option<Section<'_>>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::DOCUMENTED;
    let Some(mut section) = section else {
        return limits;
    };
    let calls = [
        ("refresh_calls", &mut limits.refresh_calls),
        ("prefetch_calls", &mut limits.prefetch_calls),
        ("tag_calls", &mut limits.tag_calls),
        ("tasks_calls", &mut limits.tasks_calls),
        ("task_by_id_calls", &mut limits.task_by_id_calls),
        ("quota_calls", &mut limits.quota_calls),
        ("detail_calls", &mut limits.detail_calls),
        ("domains_calls", &mut limits.domains_calls),
    ];
    for (key, calls) in calls {
        let read = section.or(key, u64::from(*calls), value::count(1..=10_000), findings);
        *calls = u32::try_from(read).unwrap_or(*calls);
    }
    let sizes = [
        ("urls_per_request", &mut limits.urls_per_request, MOST),
        ("directories_per_request", &mut limits.directories_per_request, MOST),
        ("regexes_per_request", &mut limits.regexes_per_request, MOST),
        ("ignore_params_per_request", &mut limits.ignore_params_per_request, MOST),
        ("tags_per_request", &mut limits.tags_per_request, MOST),
        ("prefetches_per_request", &mut limits.prefetches_per_request, MOST),
        ("domains_per_request", &mut limits.domains_per_request, MOST),
        ("url_bytes", &mut limits.url_bytes, MAX_LENGTH as u64),
        ("tag_bytes", &mut limits.tag_bytes, MAX_LENGTH as u64),
        ("query_bytes", &mut limits.query_bytes, MOST),
        ("body_bytes", &mut limits.body_bytes, 100 * MOST),
        ("ids_per_call", &mut limits.ids_per_call, MOST),
    ];
    for (key, size, most) in sizes {
        let read = section.or(key, *size as u64, value::count(1..=most), findings);
        *size = usize::try_from(read).unwrap_or(*size);
    }
    let minutes = [
        ("urls_per_minute", &mut limits.urls_per_minute),
        ("directories_per_minute", &mut limits.directories_per_minute),
    ];
    for (key, amount) in minutes {
        *amount = section.or(key, *amount, value::count(1..=1_000 * MOST), findings);
    }
    section.finish(findings);
    limits
}
