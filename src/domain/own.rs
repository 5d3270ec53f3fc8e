//! Whether the hosts that are refreshed are domains of the account's.

use std::collections::BTreeSet;

use serde::Serialize;

use super::names::OriginName;
use super::verdict::Failure;

/// A domain of the account's, as the CDN lists it (API reference 1.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdnDomain {
    /// Its name; one that begins with `.` stands for every domain below it.
    pub name: String,
    /// The CDN's word for its state: `online`, `offline`, …
    pub status: String,
}

impl CdnDomain {
    /// Returns whether it serves a host. What a wildcard stands for is of any depth.
    fn serves(&self, host: &str) -> bool {
        let name = self.name.strip_prefix('*').unwrap_or(&self.name);
        if name.starts_with('.') {
            let (host, name) = (host.to_ascii_lowercase(), name.to_ascii_lowercase());
            return host.len() > name.len() && host.ends_with(&name);
        }
        name.eq_ignore_ascii_case(host)
    }

    /// Returns whether refreshes of it are refused. A state that is not known is none.
    fn is_down(&self) -> bool {
        const DOWN: [&str; 6] =
            ["offline", "stopping", "deleting", "checking", "check_failed", "configure_failed"];
        DOWN.iter().any(|word| self.status.eq_ignore_ascii_case(word))
    }
}

/// A host of an origin that the account can't refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// Whose host it is.
    pub origin: OriginName,
    /// The host.
    pub domain: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

/// Says why it could not be told whose the domains are.
#[must_use]
pub fn unchecked(answer: &Result<Vec<CdnDomain>, Failure>) -> Option<String> {
    let why = match answer {
        Ok(domains) if !domains.is_empty() => return None,
        Ok(_) => {
            "the CDN lists none to this key; if there are any, let its user see them".to_owned()
        }
        Err(Failure { code: Some(code), message, .. }) => {
            format!("{code}: {message} (the question takes the RAM action cdn:DescribeUserDomains)")
        }
        Err(failure) => format!("no answer of the CDN: {}", failure.message),
    };
    Some(why)
}

/// Returns which of `hosts`, each with its origin, the account's `domains` don't serve.
#[must_use]
pub fn unserved(hosts: &BTreeSet<(OriginName, String)>, domains: &[CdnDomain]) -> Vec<Unserved> {
    let judge = |(origin, host): &(OriginName, String)| {
        let exact = domains.iter().find(|domain| domain.name.eq_ignore_ascii_case(host));
        let found = exact.or_else(|| domains.iter().find(|domain| domain.serves(host)));
        let (what, mend) = match found {
            None => (
                "it is not a domain of this account".to_owned(),
                format!(
                    "correct `domains` or `account` of `[origin.{origin}]`, or add it in the CDN's \
                     console; if it is there, the key may not see it"
                ),
            ),
            Some(domain) if domain.is_down() => (
                format!("it is {} on the CDN", domain.status),
                "enable it in the CDN's console".to_owned(),
            ),
            Some(_) => return None,
        };
        Some(Unserved { origin: origin.clone(), domain: host.clone(), what, mend })
    };
    hosts.iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_served_by_its_own_domain_or_by_a_wildcard_above_it() {
        let domain = |(name, status): (&str, &str)| CdnDomain {
            name: name.to_owned(),
            status: status.to_owned(),
        };
        let domains = [
            ("www.a.example", "online"),
            (".wild.example", "online"),
            ("own.wild.example", "offline"),
            ("*.star.example", "configuring"),
            ("down.example", "Check_Failed"),
            ("odd.example", "a_word_of_2027"),
        ]
        .map(domain);
        for (host, wanted) in [
            ("www.a.example", None),
            ("WWW.A.example", None),
            ("a.example", Some("it is not a domain of this account")),
            ("x.www.a.example", Some("it is not a domain of this account")),
            ("x.wild.example", None),
            ("y.x.wild.example", None),
            ("wild.example", Some("it is not a domain of this account")),
            ("notwild.example", Some("it is not a domain of this account")),
            ("own.wild.example", Some("it is offline on the CDN")),
            ("x.star.example", None),
            ("down.example", Some("it is Check_Failed on the CDN")),
            ("odd.example", None),
        ] {
            let hosts = [(OriginName::from("www"), host.to_owned())].into();
            let found = unserved(&hosts, &domains);
            assert_eq!(found.first().map(|one| one.what.as_str()), wanted, "{host}");
            assert!(found.iter().all(|one| one.domain == host && !one.mend.is_empty()));
        }
    }
}
