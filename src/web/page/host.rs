//! Under which name we are asked: whoever makes a name of its own lead here (DNS rebinding) is told nothing.

use std::net::{IpAddr, SocketAddr};

use hyper::StatusCode;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

/// Checks that a request which came to `address` asks for it, for `localhost` or for one of `hosts`.
pub(super) fn check(
    head: &Parts,
    address: SocketAddr,
    hosts: &[String],
) -> Result<(), (StatusCode, &'static str)> {
    const UNREADABLE: (StatusCode, &str) =
        (StatusCode::BAD_REQUEST, "a request has one `Host`, and that is a name or an address");
    const FOREIGN: (StatusCode, &str) = (
        StatusCode::MISDIRECTED_REQUEST,
        "this is not that host: add the name to `hosts` in [web], or ask by the address",
    );
    let mut named = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(UNREADABLE);
    };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let host = host.ok_or(UNREADABLE)?;
    // A whole URL in the first line counts more than the header (RFC 9112, 3.2.2).
    let asked = [Some(&host), head.uri.authority()];
    if asked.into_iter().flatten().all(|asked| is_ours(asked.host(), address.ip(), hosts)) {
        return Ok(());
    }
    Err(FOREIGN)
}

fn is_ours(host: &str, address: IpAddr, hosts: &[String]) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(asked) = literal.parse::<IpAddr>() {
        return asked.to_canonical() == address.to_canonical()
            || hosts.iter().any(|host| host == literal);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let names = hosts.iter().map(String::as_str).chain(["localhost"]);
    names.into_iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_answered() {
        let status = |uri: &str, hosts: &[&str], address: &str| {
            let mut request = hyper::Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            let address = SocketAddr::new(address.parse().expect("an address"), 8378);
            let ours = ["status.example.com".to_owned()];
            check(&head, address, &ours).map_err(|(status, _)| status.as_u16())
        };
        for host in
            ["127.0.0.1:8378", "127.0.0.1", "localhost:1", "LOCALHOST.", "Status.Example.com"]
        {
            assert_eq!(status("/", &[host], "127.0.0.1"), Ok(()), "{host}");
        }
        assert_eq!(status("/", &["[::1]:8378"], "::1"), Ok(()));
        assert_eq!(status("/", &["192.0.2.7"], "::ffff:192.0.2.7"), Ok(()));
        let foreign = ["evil.example", "evil.localhost", "127.0.0.2", "localhost.evil.example"];
        for host in foreign {
            assert_eq!(status("/", &[host], "127.0.0.1"), Err(421), "{host}");
        }
        assert_eq!(status("http://evil.example/", &["localhost"], "127.0.0.1"), Err(421));
        for hosts in [vec![], vec!["localhost", "localhost"], vec![""], vec!["a b"], vec!["é"]] {
            assert_eq!(status("/", &hosts, "127.0.0.1"), Err(400), "{hosts:?}");
        }
    }
}
