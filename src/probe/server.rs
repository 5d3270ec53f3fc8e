//! One web server of an origin, asked by its own address for the hosts that visitors name.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HOST};
use url::{Host, Url};

use crate::domain::endpoint::Proxy;
use crate::domain::gate::Servers;
use crate::domain::index::Digest;
use crate::domain::url::CanonicalUrl;
use crate::http::builder;

/// A web server can't be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("no client for the web server {server} can be made: {source}")]
pub struct ServerError {
    server: String,
    source: reqwest::Error,
}

/// What a web server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The status.
    pub status: u16,
    /// How many bytes came, as far as they were read.
    pub length: u64,
    /// The digest of these bytes.
    pub digest: Digest,
}

/// A web server of an origin.
#[derive(Clone, Debug)]
pub struct Server {
    url: Url,
    client: reqwest::Client,
}

/// Leads every name to one server: so TLS asks for the host that visitors name.
struct Toward(String, u16);

impl Resolve for Toward {
    fn resolve(&self, _: Name) -> Resolving {
        let to = (self.0.clone(), self.1);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host(to).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Server {
    /// Returns the web servers of a gate.
    pub fn all(servers: &Servers) -> Result<Vec<Self>, ServerError> {
        let one = |url: &Url| {
            Self::new(url, servers.timeout)
                .map_err(|source| ServerError { server: shown(url), source })
        };
        servers.urls.iter().map(one).collect()
    }

    fn new(url: &Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        let toward = Toward(host, url.port_or_known_default().unwrap_or_default());
        let builder = builder(url, &Proxy::None, timeout)?.timeout(timeout);
        let client = builder.dns_resolver(std::sync::Arc::new(toward)).build()?;
        Ok(Self { url: url.clone(), client })
    }

    /// Returns the server as it is configured, without a `/` at the end.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.url)
    }

    /// Asks for what visitors have at `url`, and for no more than the answer's beginning.
    async fn ask(&self, url: &CanonicalUrl) -> Result<reqwest::Response, reqwest::Error> {
        let path = url.as_str().splitn(4, '/').nth(3).unwrap_or_default();
        let request = if self.url.scheme() == "https" {
            // To no port of its own: it goes where the resolver says.
            self.client.get(format!("https://{}/{path}", url.host()))
        } else {
            self.client.get(format!("{}/{path}", self.name())).header(HOST, url.host())
        };
        request.header(ACCEPT_ENCODING, "identity").send().await
    }

    /// Asks for what visitors have at `url`; of more than `most` bytes only the beginning is read. An error
    /// says why there is no answer.
    pub async fn served(&self, url: &CanonicalUrl, most: u64) -> Result<Served, String> {
        let mut hasher = blake3::Hasher::new();
        let (mut length, told) = (0, |error| told(error));
        let mut response = self.ask(url).await.map_err(told)?;
        let status = response.status().as_u16();
        while status == 200
            && length <= most
            && let Some(piece) = response.chunk().await.map_err(told)?
        {
            length += piece.len() as u64;
            hasher.update(&piece);
        }
        let mut first = [0; 16];
        first.copy_from_slice(hasher.finalize().as_bytes().get(..16).unwrap_or(&[0; 16]));
        Ok(Served { status, length, digest: Digest(first) })
    }

    /// Asks for what visitors have at `url`: the status, and at most `most` bytes of the body. An error says
    /// why there is no answer.
    pub async fn body(&self, url: &CanonicalUrl, most: usize) -> Result<(u16, Vec<u8>), String> {
        let mut response = self.ask(url).await.map_err(told)?;
        let mut body = Vec::new();
        while body.len() < most
            && let Some(piece) = response.chunk().await.map_err(told)?
        {
            body.extend_from_slice(&piece);
        }
        body.truncate(most);
        Ok((response.status().as_u16(), body))
    }
}

fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Says what went wrong, down to its cause, without the URL.
fn told(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no whole answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}
