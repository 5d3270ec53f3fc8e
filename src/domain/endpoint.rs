//! The address of the CDN's API: which ones may be called, and by which way.

use std::net::IpAddr;

use ::url::{Host, Url};

/// How calls travel to the CDN's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Directly, whatever the environment says.
    #[default]
    None,
    /// Through this one: http, a host and a port, no password.
    Through(Url),
    /// As `https_proxy` and `no_proxy` of the environment say.
    Environment,
}

/// Returns why `endpoint` is not one that may be called, if so: it must be https, or http to this
/// machine, with nothing behind the host, and be Alibaba Cloud's own or this machine's, or the very
/// host that is `trusted`. The access key signs what is sent there.
#[must_use]
pub fn endpoint_problem(endpoint: &Url, trusted: Option<&str>) -> Option<&'static str> {
    let is_bare = endpoint.path() == "/"
        && endpoint.query().is_none()
        && endpoint.fragment().is_none()
        && endpoint.username().is_empty()
        && endpoint.password().is_none();
    // Nothing but the whole host, as the URL is read, says that it is meant.
    let is_another = trusted.is_some_and(|trusted| Some(trusted) != endpoint.host_str());
    match endpoint.scheme() {
        _ if !endpoint.has_host() => Some("it names no host"),
        _ if is_another => Some("`endpoint_is_trusted` names another host"),
        "https" | "http" if !is_bare => Some("it must be a scheme and a host alone"),
        "https" if is_own(endpoint) || is_loopback(endpoint) || trusted.is_some() => None,
        "https" => {
            Some("it is no host below aliyuncs.com, and would be asked with your access key")
        }
        "http" if is_loopback(endpoint) => None,
        "http" => Some("plain http is for this machine only: use https"),
        _ => Some("it must begin with https://"),
    }
}

/// Returns whether a URL's host is one of Alibaba Cloud's API: a name below aliyuncs.com, in
/// letters, digits and hyphens.
fn is_own(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    let plain = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_plain) && !label.starts_with("xn--")
    };
    name.strip_suffix(".aliyuncs.com").is_some_and(|front| front.split('.').all(plain))
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

    fn problem(text: &str, trusted: Option<&str>) -> Option<String> {
        match text.parse() {
            Ok(url) => endpoint_problem(&url, trusted).map(str::to_owned),
            Err(error) => Some(format!("no URL: {error}")),
        }
    }

    #[test]
    fn only_alibabas_hosts_and_this_machine_get_the_key() {
        for good in [
            "https://cdn.aliyuncs.com",
            "https://CDN.AliyunCS.com",
            "https://cdn.ap-southeast-1.aliyuncs.com",
            "https://cdn.aliyuncs.com:8443/",
            "https://127.0.0.1:8443",
            "http://127.0.0.1:80",
            "http://127.9.9.9:1",
            "http://[::1]:8080",
            "http://localhost:1",
        ] {
            assert_eq!(problem(good, None), None, "{good}");
        }
        for bad in [
            "http://cdn.aliyuncs.com",
            "http://10.0.0.1",
            "http://localhost.example",
            "https://cdn.aliyuncs.com/api",
            "https://cdn.aliyuncs.com/?a",
            "https://cdn.aliyuncs.com/#a",
            "https://user:pass@cdn.aliyuncs.com",
            "ftp://cdn.aliyuncs.com",
            "unix:/run/x",
            // Other hosts that look like it.
            "https://aliyuncs.com",
            "https://.aliyuncs.com",
            "https://cdn..aliyuncs.com",
            "https://cdn.aliyuncs.com.",
            "https://cdn.aliyuncs.com.evil",
            "https://cdn.aliyuncs.com.evil.example",
            "https://evilaliyuncs.com",
            "https://cdn-aliyuncs.com",
            "https://cdn.aliyuncs.co",
            "https://aliyuncs.com@evil.example",
            "https://cdn.aliyuncs.com:x@evil.example",
            "https://evil.example/cdn.aliyuncs.com",
            "https://evil.example\\@cdn.aliyuncs.com",
            "https://evil.example#.aliyuncs.com",
            "https://evil.example?.aliyuncs.com",
            "https://cdn.\u{430}liyuncs.com",
            "https://xn--cdn-7cd.aliyuncs.com",
            "https://c_n.aliyuncs.com",
            "https://%63dn.evil.example",
            // Addresses in every spelling.
            "https://10.0.0.1",
            "https://0x0a.1",
            "https://167772161",
            "https://[::ffff:10.0.0.1]",
            "https://[2001:db8::1]",
            "http://0x0a.1",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(problem(bad, None).is_some(), "{bad}");
        }
    }

    #[test]
    fn another_host_is_trusted_in_words_and_by_its_whole_name_only() {
        let gateway = "https://cdn.gateway.example:8443";
        assert_eq!(problem(gateway, Some("cdn.gateway.example")), None);
        assert_eq!(problem("https://10.0.0.1", Some("10.0.0.1")), None);
        assert_eq!(problem("https://cdn.aliyuncs.com", Some("cdn.aliyuncs.com")), None);
        for other in ["", "gateway.example", "CDN.gateway.example", "cdn.gateway.example:8443", "*"]
        {
            let why = problem(gateway, Some(other));
            assert_eq!(why.as_deref(), Some("`endpoint_is_trusted` names another host"), "{other}");
        }
        // Trust is no leave to speak plainly, or to go elsewhere than one was told.
        assert!(problem("http://cdn.gateway.example", Some("cdn.gateway.example")).is_some());
        assert!(problem("https://u@cdn.gateway.example", Some("cdn.gateway.example")).is_some());
        assert!(problem("https://cdn.aliyuncs.com", Some("cdn.gateway.example")).is_some());
    }
}
