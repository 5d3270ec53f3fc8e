//! Credentials, judged from outside: Alibaba's unchanged package for Python and refreshd find the same
//! keys in the same environments. The metadata service and STS have their real addresses, in a network
//! namespace of the test's own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use refreshd::cdn::{Keyring, Surroundings};
use refreshd::clock::SystemClock;
use refreshd::domain::credentials::{Ecs, KeySource, Place};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

/// Says to the test binary, which runs itself in the namespace, where the cases are.
const FOLDER: &str = "REFRESHD_JUDGE_FOLDER";

/// An environment in which a key is looked for.
#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    env: BTreeMap<String, String>,
    mode: String,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Found {
    Key { key: String, secret: String, token: String },
    Error { error: String },
}

/// What the two shall do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Both find the key whose id begins so.
    Key(&'static str),
    /// Neither finds one.
    None,
    /// They differ, for a known reason.
    OnlyRefreshd,
}

/// A case as it stands in the table: name, mode, variables, files below its home.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    Expected,
);

const CLI: &str = ".aliyun/config.json";
const INI: &str = ".alibabacloud/credentials.ini";
const AK: (&str, &str) = ("ACCESS_KEY_ID", "LTAIenvironment");
const SECRET: (&str, &str) = ("ACCESS_KEY_SECRET", "secret-of-LTAIenvironment");
const OIDC: [(&str, &str); 3] = [
    ("ROLE_ARN", "acs:ram::1:role/pod"),
    ("OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack"),
    ("OIDC_TOKEN_FILE", "{home}/token"),
];

const PROFILES: &str = r#"{"current": "ak", "profiles": [
  {"name": "ak", "mode": "AK", "access_key_id": "LTAIcli", "access_key_secret": "secret-of-LTAIcli"},
  {"name": "sts", "mode": "StsToken", "access_key_id": "STS.cli", "access_key_secret": "s", "sts_token": "t"},
  {"name": "role", "mode": "RamRoleArn", "access_key_id": "LTAIcli", "access_key_secret": "secret-of-LTAIcli",
   "ram_role_arn": "acs:ram::1:role/r", "ram_session_name": "named-cli", "expired_seconds": 1800,
   "policy": "{\"Version\": \"1\"}", "external_id": "ext ernal", "sts_region": "cn-hangzhou"},
  {"name": "vpc", "mode": "RamRoleArn", "access_key_id": "LTAIcli", "access_key_secret": "secret-of-LTAIcli",
   "ram_role_arn": "acs:ram::1:role/r", "sts_region": "cn-hangzhou", "enable_vpc": true},
  {"name": "ecs", "mode": "EcsRamRole", "ram_role_name": "cli-role"},
  {"name": "oidc", "mode": "OIDC", "ram_role_arn": "acs:ram::1:role/o", "oidc_provider_arn": "p",
   "oidc_token_file": "{home}/token", "role_session_name": "named-oidc"},
  {"name": "chain", "mode": "ChainableRamRoleArn", "source_profile": "role", "ram_role_arn": "acs:ram::2:role/c"},
  {"name": "chained-ecs", "mode": "ChainableRamRoleArn", "source_profile": "ecs", "ram_role_arn": "acs:ram::2:role/c"},
  {"name": "loop", "mode": "ChainableRamRoleArn", "source_profile": "loop", "ram_role_arn": "r"},
  {"name": "short", "mode": "RamRoleArn", "access_key_id": "LTAIcli", "access_key_secret": "s",
   "ram_role_arn": "r", "expired_seconds": 60},
  {"name": "external", "mode": "External", "process_command": "sh -c 'cat \"{home}/printed\"'"},
  {"name": "failing", "mode": "External", "process_command": "false"},
  {"name": "odd", "mode": "Odd"}]}"#;
const PRINTED: (&str, &str) = (
    "printed",
    r#"{"mode": "StsToken", "access_key_id": "STS.printed", "access_key_secret": "s",
    "sts_token": "t", "expiration": "2099-01-01T00:00:00Z"}"#,
);
const SECTIONS: &str = "\
; a comment
[default]
type = access_key  # a trailing comment
access_key_id = LTAIini
access_key_secret: secret-of-LTAIini
[role]
type = ram_role_arn
access_key_id = LTAIini
access_key_secret = secret-of-LTAIini
role_arn = acs:ram::1:role/i
role_session_name = named-ini
policy = {}
[oidc]
type = oidc_role_arn
role_arn = acs:ram::1:role/io
oidc_provider_arn = p
oidc_token_file_path = {home}/token
role_session_name = named-ini
[ecs]
type = ecs_ram_role
role_name = ini-role
[odd]
type = odd
";
const TOKEN: (&str, &str) = ("token", "header.payload.signature");
const NO_ECS: (&str, &str) = ("ECS_METADATA_DISABLED", "true");
const NO_CLI: (&str, &str) = ("CLI_PROFILE_DISABLED", "true");
const BOTH: &[(&str, &str)] = &[(CLI, PROFILES), (INI, SECTIONS), TOKEN, PRINTED];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("env AK", "v2", &[AK, SECRET], BOTH, Expected::Key("LTAIenvironment")),
    ("env STS", "v2", &[AK, SECRET, ("SECURITY_TOKEN", "tok en")], &[], Expected::Key("LTAIenvironment")),
    ("env empty token", "v2", &[AK, SECRET, ("SECURITY_TOKEN", "")], &[], Expected::Key("LTAIenvironment")),
    ("env empty id", "off", &[("ACCESS_KEY_ID", ""), SECRET, NO_ECS], &[], Expected::None),
    ("env without secret", "v2", &[AK], BOTH, Expected::Key("LTAIcli")),
    ("env before OIDC", "v2", &[AK, SECRET, OIDC[0], OIDC[1], OIDC[2]], &[TOKEN], Expected::Key("LTAIenvironment")),
    ("OIDC before CLI", "v2", &OIDC, BOTH, Expected::Key("STS.")),
    ("OIDC session and region", "v2",
        &[OIDC[0], OIDC[1], OIDC[2], ("ROLE_SESSION_NAME", "named-pod"), ("STS_REGION", "cn-hangzhou")], &[TOKEN], Expected::Key("STS.")),
    ("OIDC by VPC", "v2",
        &[OIDC[0], OIDC[1], OIDC[2], ("STS_REGION", "cn-hangzhou"), ("VPC_ENDPOINT_ENABLED", "true")], &[TOKEN], Expected::Key("STS.")),
    ("OIDC without its token", "v2", &OIDC, &[(CLI, PROFILES)], Expected::Key("LTAIcli")),
    ("OIDC half", "v2", &[OIDC[0], OIDC[1]], BOTH, Expected::Key("LTAIcli")),
    ("CLI before INI", "v2", &[], BOTH, Expected::Key("LTAIcli")),
    ("CLI sts", "v2", &[("PROFILE", "sts")], BOTH, Expected::Key("STS.cli")),
    ("CLI role", "v2", &[("PROFILE", "role")], &[(CLI, PROFILES)], Expected::Key("STS.")),
    ("CLI role by VPC", "v2", &[("PROFILE", "vpc")], &[(CLI, PROFILES)], Expected::Key("STS.")),
    ("CLI ecs", "v2", &[("PROFILE", "ecs")], &[(CLI, PROFILES)], Expected::Key("STS.metadata-cli-role")),
    ("CLI oidc", "v2", &[("PROFILE", "oidc")], &[(CLI, PROFILES), TOKEN], Expected::Key("STS.")),
    ("CLI chain", "v2", &[("PROFILE", "chain")], &[(CLI, PROFILES)], Expected::Key("STS.")),
    ("CLI chain over ecs", "v2", &[("PROFILE", "chained-ecs")], &[(CLI, PROFILES)], Expected::Key("STS.")),
    ("CLI loop", "off", &[("PROFILE", "loop"), NO_ECS], &[(CLI, PROFILES)], Expected::None),
    ("CLI short session", "off", &[("PROFILE", "short"), NO_ECS], &[(CLI, PROFILES)], Expected::None),
    ("CLI external", "v2", &[("PROFILE", "external")], &[(CLI, PROFILES), PRINTED], Expected::Key("STS.printed")),
    ("CLI external fails", "off", &[("PROFILE", "failing"), NO_ECS], &[(CLI, PROFILES)], Expected::None),
    ("CLI odd mode", "v2", &[("PROFILE", "odd")], &[(CLI, PROFILES)], Expected::Key("STS.metadata-own-role")),
    ("CLI unknown profile", "off", &[("PROFILE", "none"), NO_ECS], BOTH, Expected::None),
    ("CLI malformed", "v2", &[], &[(CLI, "{"), (INI, SECTIONS)], Expected::Key("LTAIini")),
    ("CLI disabled", "v2", &[NO_CLI], BOTH, Expected::Key("LTAIini")),
    ("INI role", "v2", &[NO_CLI, ("PROFILE", "role")], BOTH, Expected::Key("STS.")),
    ("INI oidc", "v2", &[NO_CLI, ("PROFILE", "oidc")], BOTH, Expected::Key("STS.")),
    ("INI ecs", "v2", &[NO_CLI, ("PROFILE", "ecs")], BOTH, Expected::Key("STS.metadata-ini-role")),
    ("INI odd type", "off", &[NO_CLI, ("PROFILE", "odd"), NO_ECS], BOTH, Expected::None),
    ("INI of a variable", "v2", &[NO_CLI, ("CREDENTIALS_FILE", "{home}/other")],
        &[(INI, SECTIONS), ("other", "[default]\ntype=access_key\naccess_key_id=LTAIother\naccess_key_secret=s\n")], Expected::Key("LTAIother")),
    ("INI of a variable is missing", "off", &[NO_CLI, ("CREDENTIALS_FILE", "{home}/none"), NO_ECS], &[(INI, SECTIONS)], Expected::None),
    ("INI before ECS", "v2", &[], &[(INI, SECTIONS)], Expected::Key("LTAIini")),
    ("ECS", "v2", &[], &[], Expected::Key("STS.metadata-own-role")),
    ("ECS role given", "v2", &[("ECS_METADATA", "given-role")], &[], Expected::Key("STS.metadata-given-role")),
    ("ECS without tokens", "v1", &[], &[], Expected::Key("STS.metadata-own-role")),
    ("ECS with broken tokens", "tokens-broken", &[], &[], Expected::Key("STS.metadata-own-role")),
    ("ECS v1 forbidden", "v1", &[("IMDSV1_DISABLED", "true")], &[], Expected::None),
    ("ECS v1 forbidden, tokens broken", "tokens-broken", &[("IMDSV1_DISABLED", "TRUE")], &[], Expected::None),
    ("ECS v1 forbidden, v2 works", "v2", &[("IMDSV1_DISABLED", "true")], &[], Expected::Key("STS.metadata-own-role")),
    ("ECS disabled", "v2", &[NO_ECS], &[], Expected::None),
    ("ECS before URI", "v2", &[("CREDENTIALS_URI", "http://127.0.0.1:8080/key")], &[], Expected::Key("STS.metadata-own-role")),
    ("URI", "off", &[("CREDENTIALS_URI", "http://127.0.0.1:8080/key")], &[], Expected::Key("STS.uri-key")),
    ("URI without ECS", "v2", &[NO_ECS, ("CREDENTIALS_URI", "http://127.0.0.1:8080/key")], &[], Expected::Key("STS.uri-key")),
    ("URI fails", "off", &[("CREDENTIALS_URI", "http://127.0.0.1:8080/bad")], &[], Expected::None),
    ("nothing at all", "off", &[], &[], Expected::None),
    // Alibaba's package for Node reads this file, the one for Python does not know it.
    ("INI without its suffix", "off", &[NO_ECS], &[(".alibabacloud/credentials", SECTIONS)], Expected::OnlyRefreshd),
    // The package reads values as Python's templates, in which a lone percent sign is an error.
    ("INI with a percent sign", "off", &[NO_ECS], &[(INI, "[default]\ntype=access_key\naccess_key_id=LTAI\naccess_key_secret=a%b\n")], Expected::OnlyRefreshd),
];

/// Processes that end with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script(name: &str) -> String {
    format!("{}/tests/sdk/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn cases(folder: &Path) -> Vec<Case> {
    let case = |(name, mode, env, files, _): &Row| {
        let home = folder.join("homes").join(name.replace([' ', ','], "-"));
        let fill = |text: &str| text.replace("{home}", home.to_str().expect("plain"));
        std::fs::create_dir_all(&home).expect("a home");
        for (path, text) in *files {
            let path = home.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, fill(text)).expect("written");
        }
        let named = env.iter().map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), fill(value)));
        let home = ("HOME".to_owned(), home.display().to_string());
        let (name, mode) = ((*name).to_owned(), (*mode).to_owned());
        Case { name, mode, env: named.chain([home]).collect() }
    };
    ROWS.iter().map(case).collect()
}

/// Makes what STS shows for its names, and the authority that vouches for it.
const CERTIFICATES: &str = "
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=judge \
  -addext basicConstraints=critical,CA:TRUE 2>openssl.log
openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=sts -addext \
  subjectAltName=DNS:sts.aliyuncs.com,DNS:sts.cn-hangzhou.aliyuncs.com,DNS:sts-vpc.cn-hangzhou.aliyuncs.com 2>>openssl.log
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy \
  -out leaf.pem 2>>openssl.log
echo '127.0.0.1 localhost sts.aliyuncs.com sts.cn-hangzhou.aliyuncs.com sts-vpc.cn-hangzhou.aliyuncs.com' >hosts
";

/// Gives the real addresses to this machine alone, and becomes the stand-in.
const INSIDE: &str = "
ip link set lo up
ip address add 100.100.100.200/32 dev lo
mount --bind \"$1/hosts\" /etc/hosts
exec \"$2\" \"$3\" \"$1\"
";

fn lines(output: &Output, mark: &str) -> Vec<Found> {
    let text = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{problem}");
    text.lines()
        .filter_map(|line| line.strip_prefix(mark))
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

#[test]
fn refreshd_and_alibabas_own_package_find_the_same_keys() {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/sdk/requirements.txt installed; \
         ./tests/run makes one and sets it",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let cases = cases(path);
    std::fs::write(path.join("cases.json"), serde_json::to_string(&cases).expect("JSON"))
        .expect("written");
    let made = Command::new("sh").args(["-euc", CERTIFICATES]).current_dir(path).status();
    assert!(made.expect("sh").success(), "openssl is installed");
    let mut standin = Killed(
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "sh", "-euc"])
            .args([INSIDE, "sh"])
            .arg(path)
            .args([&python, &script("standin.py")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is installed"),
    );
    let mut line = String::new();
    let said = standin.0.stdout.take().expect("a pipe");
    BufReader::new(said).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n", "the stand-in runs as root, in namespaces of its own");
    let pid = standin.0.id().to_string();
    let inside = |command: &[&str]| {
        Command::new("nsenter")
            .args(["--target", &pid, "--net", "--mount", "--"])
            .args(command)
            .env(FOLDER, path)
            .env("SSL_CERT_FILE", path.join("ca.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("nsenter is installed")
    };
    let folder = path.to_str().expect("plain");
    let theirs = lines(&inside(&[&python, &script("resolve.py"), folder]), "");
    let binary: PathBuf = std::env::current_exe().expect("the test binary");
    let binary = binary.to_str().expect("plain");
    let own = ["--ignored", "--exact", "judge::inside_each_case_is_resolved", "--nocapture"];
    let ours = lines(&inside(&[&[binary][..], &own].concat()), "resolved ");
    assert_eq!((theirs.len(), ours.len()), (ROWS.len(), ROWS.len()));
    let mut wrong = Vec::new();
    for ((row, theirs), ours) in ROWS.iter().zip(&theirs).zip(&ours) {
        let is_good = match (row.4, theirs, ours) {
            (Expected::Key(begin), Found::Key { key, .. }, _) => {
                key.starts_with(begin) && theirs == ours
            }
            (Expected::None, Found::Error { .. }, Found::Error { .. })
            | (Expected::OnlyRefreshd, Found::Error { .. }, Found::Key { .. }) => true,
            _ => false,
        };
        if !is_good {
            wrong.push(format!("{}:\n  package:  {theirs:?}\n  refreshd: {ours:?}", row.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The part of the test above that runs in the namespace; alone it has nothing to do.
#[tokio::test]
#[ignore = "it is run by the test above"]
async fn inside_each_case_is_resolved() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let cases = std::fs::read_to_string(folder.join("cases.json")).expect("the cases");
    let cases: Vec<Case> = serde_json::from_str(&cases).expect("JSON");
    // What the harness writes before the first line ends with it.
    println!();
    for case in cases {
        std::fs::write(folder.join("mode"), &case.mode).expect("written");
        let around = Surroundings {
            home: case.env.get("HOME").map(PathBuf::from),
            environment: case.env,
            ..Surroundings::of_process()
        };
        let place = Place::Chain { profile: None, ecs: Ecs::default(), uri: None };
        let keyring = Keyring::new(KeySource::at(place), around, SystemClock::shared());
        let (_, result) = keyring.try_renew(false).await;
        let found = match (result, keyring.key()) {
            (Ok(()), Some(key)) => Found::Key {
                secret: key.secret.expose_secret().to_owned(),
                token: key.token().to_owned(),
                key: key.key_id,
            },
            (result, _) => Found::Error { error: format!("{result:?}") },
        };
        println!("resolved {}", serde_json::to_string(&found).expect("JSON"));
    }
}
