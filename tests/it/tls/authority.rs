//! Certificates, made by openssl when a test runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// Where `openssl ca` keeps what it needs; only it can sign for a time that is over.
const SETTINGS: &str = "
[ca]
default_ca = here
[here]
database = index
new_certs_dir = made
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
";

/// Makes a CA, and by it `good`, `other`, `old` and `early`; `stranger`, by a CA that nobody knows; and
/// `alone`, by itself.
const CERTIFICATES: &str = "
names=DNS:localhost,DNS:cdn.aliyuncs.com,DNS:sts.aliyuncs.com,DNS:gateway.example
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
authority() {
  key $1
  openssl req -x509 -new -key $1.key -days 2 -subj /CN=$1 -addext basicConstraints=critical,CA:TRUE -out $1.pem
}
leaf() {
  key $2
  openssl req -new -key $2.key -subj /CN=$2 -addext subjectAltName=$3 -out $2.csr
  openssl ca -config settings -batch -notext -cert $1.pem -keyfile $1.key -in $2.csr -out $2.pem \
    -startdate $4 -enddate $5
}
: >index
: >none.pem
mkdir none made
authority ca
authority unknown
leaf ca good $names 20200101000000Z 20991231000000Z
leaf ca other DNS:other.example 20200101000000Z 20991231000000Z
leaf ca old $names 20200101000000Z 20200201000000Z
leaf ca early $names 20990101000000Z 20991231000000Z
leaf unknown stranger $names 20200101000000Z 20991231000000Z
key alone
openssl req -x509 -new -key alone.key -days 2 -subj /CN=localhost -addext subjectAltName=$names \
  -addext basicConstraints=CA:FALSE -out alone.pem
";

/// A folder of certificates: `NAME.pem` and `NAME.key`; `ca.pem` is to be known, `none.pem` and the
/// directory `none` are empty.
pub(super) struct Authority(TempDir);

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("settings"), SETTINGS).expect("written");
        let made = Command::new("sh")
            .args(["-euc", CERTIFICATES])
            .current_dir(folder.path())
            .output()
            .expect("sh");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl is installed: {said}");
        Self(folder)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }
}

/// Returns what a server needs to show the certificate of a name.
pub(super) fn shown(folder: &Path, name: &str) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key.expect("a key"))
        .expect("they belong together");
    Arc::new(config)
}
