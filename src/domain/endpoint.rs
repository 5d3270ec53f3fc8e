//! The address of the CDN's API: which ones may be called.

use std::net::IpAddr;

use ::url::{Host, Url};

/// Returns why `endpoint` is not one that may be called, if so: it must be https, or http to this
/// machine, with nothing behind the host.
#[must_use]
pub fn endpoint_problem(endpoint: &Url) -> Option<&'static str> {
    let is_bare = endpoint.path() == "/"
        && endpoint.query().is_none()
        && endpoint.fragment().is_none()
        && endpoint.username().is_empty()
        && endpoint.password().is_none();
    match endpoint.scheme() {
        _ if !endpoint.has_host() => Some("it names no host"),
        "https" | "http" if !is_bare => Some("it must be a scheme and a host alone"),
        "https" => None,
        "http" if is_loopback(endpoint) => None,
        "http" => Some("plain http is for this machine only: use https"),
        _ => Some("it must begin with https://"),
    }
}

/// Returns whether a URL leads to this machine only.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        None => false,
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_or_this_machine() {
        let problem = |text: &str| endpoint_problem(&text.parse().expect("a URL"));
        for good in [
            "https://cdn.aliyuncs.com",
            "https://cdn.aliyuncs.com:8443/",
            "http://127.0.0.1:80",
            "http://127.9.9.9:1",
            "http://[::1]:8080",
            "http://localhost:1",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "http://cdn.aliyuncs.com",
            "http://10.0.0.1",
            "http://localhost.example",
            "https://cdn.aliyuncs.com/api",
            "https://cdn.aliyuncs.com/?a",
            "https://user:pass@cdn.aliyuncs.com",
            "ftp://cdn.aliyuncs.com",
            "unix:/run/x",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
