//! What an operator reads of a call that could not be made: what happened, and what to do.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use rustls::CertificateError as Certificate;

/// Returns an error with its causes; where there was no connection, also what a person can do.
pub(super) fn told(error: &reqwest::Error) -> String {
    if !error.is_connect() {
        return [error.to_string(), causes(error)].concat();
    }
    // Before the first cause stand two layers, which only say that there was no connection.
    let causes = error.source().map(causes).unwrap_or_default();
    format!("no connection{causes}; {}", remedy(error))
}

/// Says why HTTPS cannot be prepared. The system's certificates are all that it takes from outside.
pub(super) fn unprepared(error: &reqwest::Error) -> String {
    format!(
        "cannot prepare HTTPS{}; install the system's CA certificates (on Debian: ca-certificates), or \
         let SSL_CERT_FILE name a file of them",
        causes(error)
    )
}

fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

fn remedy(error: &reqwest::Error) -> &'static str {
    let mut source = error.source();
    while let Some(cause) = source {
        // Its type has no name outside of its library.
        if cause.to_string().starts_with("tunnel error") {
            return "does the proxy of the configuration or the environment run, and allow this?";
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            match (of_tls(error), error.kind()) {
                (Some(error), _) => return tls(error),
                (None, io::ErrorKind::ConnectionRefused) => {
                    return "nothing listens there, or a firewall refuses it";
                }
                _ => {}
            }
        }
        source = cause.source();
    }
    if error.is_dns() {
        "is the name right, and does this machine's name server answer?"
    } else {
        "does a firewall or the route stop it? `proxy` names a way around"
    }
}

/// Returns the error of TLS within one of I/O; `source` passes by what lies within.
fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| of_tls(inner.downcast_ref()?))
}

fn tls(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return "does a server for TLS 1.2 or 1.3 listen there?";
    };
    match wrong {
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the certificate is another host's: is the name right, and does it lead to its machine?"
        }
        Certificate::Expired
        | Certificate::ExpiredContext { .. }
        | Certificate::NotValidYet
        | Certificate::NotValidYetContext { .. } => {
            "is this machine's clock right? Else the server needs a new certificate"
        }
        _ => {
            "no CA that this machine knows vouches for the server: if it is the right one, add its CA \
             to the system's certificates, or to a file that SSL_CERT_FILE names"
        }
    }
}
