//! The keys of a section `[origin.NAME]` that say how the CDN is to prefetch.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::origin::Placed;
use super::section::{Findings, Found, Section, Wrong, kind_of};
use super::shape::Shape;
use super::value;
use crate::domain::prefetch::{Area, PrefetchOptions};

/// Reads the options; they stand where the section does.
pub(super) fn options(
    section: &mut Section<'_>,
    findings: &mut Findings,
) -> Found<PrefetchOptions> {
    let span = section.span();
    let mut flag = |key| section.or(key, false, value::boolean, findings);
    let (l2, query_hashkey) = (flag("prefetch_l2"), flag("prefetch_query_hashkey"));
    let consistency_hash = flag("prefetch_consistency_hash");
    let area = section.or("prefetch_area", None, area, findings);
    let headers = section.get("prefetch_headers", headers, findings);
    let place = headers.as_ref().map_or_else(|| span.clone(), |headers| headers.span.clone());
    let headers = headers.map_or_else(BTreeMap::new, |headers| headers.value);
    let options = PrefetchOptions { area, l2, query_hashkey, consistency_hash, headers };
    if options.encoded_length() > PrefetchOptions::LONGEST {
        let message = format!(
            "the options of a prefetch take {} bytes of a query, and {} are for them",
            options.encoded_length(),
            PrefetchOptions::LONGEST
        );
        let help = "write fewer or shorter `prefetch_headers`";
        findings.refuse(place, "too much", Wrong::new(message, help));
    }
    Found { value: options, span }
}

fn area(value: &DeValue<'_>) -> Result<Option<Area>, Wrong> {
    let areas = Area::ALL.map(|area| (area.as_str(), Some(area)));
    value::choice(value, &[("everywhere", None), areas[0], areas[1]])
}

/// Reads a table of header names, each with its values.
fn headers(value: &DeValue<'_>) -> Result<BTreeMap<String, Vec<String>>, Wrong> {
    let help = "write it like { \"Accept-Encoding\" = [\"gzip\", \"br\"] }; [\" \"] sends none";
    let wrong = |message: String| Wrong::new(message, help);
    let table = value
        .as_table()
        .ok_or_else(|| wrong(format!("is a table of headers, not {}", kind_of(value))))
        .map_err(|wrong| wrong.taking(Shape::Headers))?;
    let header = |name: &str, values: &DeValue<'_>| {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(wrong(format!("can't have \"{name}\": that is no name of a header")));
        }
        let values = values.as_array().filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| wrong(format!("needs a list of values for {name}")))?;
        let text = |value: &toml::Spanned<DeValue<'_>>| {
            let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            let text = value.get_ref().as_str().filter(|text| !text.is_empty());
            text.filter(|text| text.bytes().all(plain)).map(str::to_owned)
        };
        let values: Option<Vec<String>> = values.iter().map(text).collect();
        values.ok_or_else(|| {
            wrong(format!("has a value of {name} that is not a text of plain characters"))
        })
    };
    table
        .iter()
        .map(|(name, values)| {
            let name = name.get_ref();
            Ok((name.to_string(), header(name, values.get_ref())?))
        })
        .collect()
}

/// Refuses a second origin that wants a host prefetched in another way.
pub(super) fn differently(placed: &Placed, other: &Placed, findings: &mut Findings) {
    let (origin, first) = (&placed.origin, &other.origin);
    if origin.prefetch == first.prefetch || origin.account != first.account {
        return;
    }
    let mut hosts = origin.mapping.hosts();
    if let Some(host) = hosts.find(|host| first.mapping.hosts().any(|other| other == *host)) {
        let message = format!(
            "`[origin.{}]` and `[origin.{}]` both serve {host} and have it prefetched in different ways",
            first.name, origin.name
        );
        let help = "give both the same `prefetch_area`, `prefetch_l2`, `prefetch_query_hashkey`, \
                    `prefetch_consistency_hash` and `prefetch_headers`";
        findings.refuse(placed.prefetch.clone(), "the second of them", Wrong::new(message, help));
    }
}
