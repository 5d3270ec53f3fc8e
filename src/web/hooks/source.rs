//! For whom a request is made: the peer, or whom a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::domain::hook::Network;

/// The header in which a proxy appends who asked it.
const FORWARDED: &str = "x-forwarded-for";

/// Returns whether an address is in one of these networks.
pub(super) fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Returns who asks: the peer, and where it is a trusted proxy, the last address of its list that is no
/// trusted proxy too. Who is no trusted proxy may write there what it likes.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut source = peer.to_canonical();
    let lists = headers.get_all(FORWARDED).iter();
    let list: Vec<&str> =
        lists.flat_map(|list| list.to_str().unwrap_or_default().split(',')).collect();
    for entry in list.into_iter().rev() {
        if !is_in(trusted, source) {
            break;
        }
        let Some(address) = address(entry.trim()) else {
            break;
        };
        source = address.to_canonical();
    }
    source
}

/// Reads an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed_and_only_back_to_the_first_that_is_none() {
        let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|text| Network::parse(text).expect("one"));
        let asks = |peer: &str, lists: &[&str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(FORWARDED, list.parse().expect("a header"));
            }
            of(peer.parse().expect("an address"), &headers, &trusted).to_string()
        };
        assert_eq!(asks("192.0.2.1", &["198.51.100.1"]), "192.0.2.1", "no proxy of ours");
        assert_eq!(asks("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(asks("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(asks("::ffff:127.0.0.1", &["198.51.100.1:80"]), "198.51.100.1");
        assert_eq!(asks("127.0.0.1", &["203.0.113.9, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(asks("127.0.0.1", &["203.0.113.9", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(asks("127.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(asks("127.0.0.1", &["198.51.100.1, unknown"]), "127.0.0.1", "not beyond");
    }
}
