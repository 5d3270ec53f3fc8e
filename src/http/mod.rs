//! This room makes HTTP clients: the only place that says how requests travel.
//!
//! Enters: whom to ask, and through which proxy. Leaves: the beginnings of a client, for who asks to say
//! how long an answer may take.
//! **Invariant:** no request is sent twice behind the caller's back, and no redirect is followed.

use std::time::Duration;

use url::Url;

use crate::domain::endpoint::Proxy;

/// How refreshd introduces itself.
const USER_AGENT: &str = concat!("refreshd/", env!("CARGO_PKG_VERSION"));

/// How many connections wait for the next call, and for how long. A server that closes what is idle
/// gives it 5 s at least (common ones: 5 to 75 s), and no router forgets a connection so soon: one
/// that waits here is alive.
const KEPT: (usize, Duration) = (4, Duration::from_secs(4));

/// Returns the beginnings of a client for the host of `url` that sends each request once; `connect` is how
/// long connecting may take.
///
/// It keeps connections for a moment, because the layer below (hyper-util's pool, which reqwest gives
/// no switch for) sends a request again only where hyper hands it back: it was still queued, none of
/// it encoded, when the kept connection turned out to be closed. Once hyper has begun to encode it,
/// it is gone, and whatever happens to it is reported. So nobody reads a request twice, and an error
/// while connecting means that nothing was written. Both would end with HTTP/2, which retries
/// streams, and with TLS early data: neither is on. Redirects are answers like others, and a
/// proxy is used only where one is configured.
pub fn builder(
    url: &Url,
    proxy: &Proxy,
    connect: Duration,
) -> Result<reqwest::ClientBuilder, reqwest::Error> {
    install_tls();
    let builder = reqwest::Client::builder()
        .connect_timeout(connect)
        .user_agent(USER_AGENT)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(KEPT.0)
        .pool_idle_timeout(KEPT.1)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only();
    let builder = match (url.scheme(), proxy) {
        // Plain http goes to this machine or beside it: through no proxy, and not failing for want of
        // the system's CA certificates.
        ("http", _) => return Ok(builder.no_proxy().https_only(false).tls_certs_only([])),
        (_, Proxy::None) => builder.no_proxy(),
        (_, Proxy::Through(proxy)) => {
            builder.no_proxy().proxy(reqwest::Proxy::all(proxy.as_str())?)
        }
        (_, Proxy::Environment) => builder,
    };
    Ok(builder.https_only(true).tls_version_min(reqwest::tls::Version::TLS_1_2))
}

/// Returns the beginnings of a client that asks this machine only, over a socket or plain http.
pub fn local_client() -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder().no_proxy().http1_only().tls_certs_only([])
}

/// Makes ring the one TLS provider of the process.
fn install_tls() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
