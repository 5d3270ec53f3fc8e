use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::credentials::{Ecs, KeyFiles, KeySource, Place, Role, SESSION};

/// A machine of a test's own: a home, an environment, a clock.
struct World {
    home: tempfile::TempDir,
    clock: Arc<ManualClock>,
    around: Surroundings,
}

impl World {
    fn new(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let environment = environment
            .iter()
            .map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned()))
            .collect();
        let around = Surroundings {
            environment,
            home: Some(home.path().to_owned()),
            // Nothing listens there.
            metadata: Url::parse("http://127.0.0.1:1").ok(),
            ..Surroundings::default()
        };
        let now = Timestamp::parse("2026-11-22T04:00:00Z").expect("valid");
        Self { home, clock: ManualClock::new(now, 7), around }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, text).expect("written");
        path
    }

    fn keyring(&self, place: Place) -> Keyring {
        self.keyring_of(KeySource::at(place))
    }

    fn keyring_of(&self, source: KeySource) -> Keyring {
        Keyring::new(source, self.around.clone(), self.clock.clone())
    }

    async fn error(&self, place: Place) -> CredentialError {
        self.keyring(place).try_renew(false).await.1.expect_err("no key")
    }

    async fn key(&self, place: Place) -> Credentials {
        let keyring = self.keyring(place);
        keyring.try_renew(false).await.1.expect("a key");
        keyring.key().expect("a key")
    }
}

/// Answers each call with the next of some bodies, and keeps what was asked; then it is gone.
fn serve(answers: Vec<(u16, String)>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().expect("a call");
            let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
            let mut text = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                let is_end = line == "\r\n";
                text.push_str(&line);
                if is_end {
                    break;
                }
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent).expect("a body");
            text.push_str(&String::from_utf8(sent).expect("text"));
            asked.lock().expect("not poisoned").push(text);
            let length = body.len();
            let date = "Sun, 22 Nov 2026 04:00:00 GMT";
            let head =
                format!("HTTP/1.1 {status} X\r\ndate: {date}\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + &body).as_bytes()).expect("written");
        }
    });
    (url.parse().expect("a URL"), seen)
}

fn temporary(name: &str, expiration: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"STS.{name}","AccessKeySecret":"secret-{name}",
        "SecurityToken":"token-{name}","Expiration":"{expiration}"}}"#
    )
}

fn chain() -> Place {
    Place::Chain { profile: None, ecs: Ecs::default(), uri: None }
}

fn files(world: &World) -> KeyFiles {
    KeyFiles {
        key_id: world.write("id", "LTAIfake\n"),
        secret: world.write("secret", "sEcret\r\n\n"),
        security_token: None,
    }
}

#[tokio::test]
async fn trailing_newlines_of_key_files_are_trimmed() {
    let world = World::new(&[]);
    let mut files = files(&world);
    files.security_token = Some(files.key_id.clone());
    let key = world.key(Place::Files(files)).await;
    assert_eq!((key.key_id.as_str(), key.token()), ("LTAIfake", "LTAIfake"));
    assert_eq!(key.secret.expose_secret(), "sEcret");
    assert!(!format!("{key:?}").contains("sEcret"));
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_file_and_remedy() {
    let world = World::new(&[]);
    let files = files(&world);
    let long = "a".repeat(20_000);
    for (secret, reason) in [
        (" \n", "it is empty"),
        ("", "it is empty"),
        ("two words", "holds blanks"),
        ("two\nlines", "several lines"),
        ("schlüssel", "other than ASCII"),
        (&long, "longer than 16 KiB"),
    ] {
        world.write("secret", secret);
        let error = world.error(Place::Files(files.clone())).await;
        let text = error.to_string();
        assert!(text.contains(reason) && !error.may_pass, "{text}");
        assert!(text.contains("/secret`") && text.contains("write the value alone"), "{text}");
    }
    fs::remove_file(&files.key_id).expect("removed");
    let error = world.error(Place::Files(files)).await.to_string();
    assert!(error.contains("/id`") && error.contains("readable for the user"), "{error}");
}

#[tokio::test]
async fn the_environment_is_first_and_an_empty_variable_is_unset() {
    let pair = [("ACCESS_KEY_ID", "LTAIenv"), ("ACCESS_KEY_SECRET", "s"), ("SECURITY_TOKEN", "")];
    let world = World::new(&pair);
    world.write(".aliyun/config.json", "not read");
    let key = world.key(chain()).await;
    assert_eq!((key.key_id.as_str(), key.token()), ("LTAIenv", ""));
    let empty = World::new(&[("ACCESS_KEY_ID", ""), ("ACCESS_KEY_SECRET", "s")]);
    let error = empty.error(Place::Environment).await;
    assert_eq!(error.to_string(), "environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set or empty");
}

#[tokio::test]
async fn a_chain_without_a_key_says_of_each_place_why_in_order() {
    let world = World::new(&[]);
    let error = world.error(chain()).await;
    assert!(error.may_pass, "the metadata service may come up");
    let text = error.to_string();
    let order =
        ["environment:", "OIDC role:", "CLI profile:", "INI profile", "ECS", "credentials URI"];
    let places: Vec<_> = order.iter().map(|name| text.find(name).expect(name)).collect();
    assert!(places.is_sorted(), "{text}");
    let without = World::new(&[("ECS_METADATA_DISABLED", "true")]);
    assert!(!without.error(chain()).await.may_pass, "nothing of it changes by itself");
}

const PROFILES: &str = r#"{"current": "a", "profiles": [
    {"name": "a", "mode": "AK", "access_key_id": "LTAIa", "access_key_secret": "sa"},
    {"name": "t", "mode": "StsToken", "access_key_id": "STS.t", "access_key_secret": "st", "sts_token": "tt"},
    {"name": "l1", "mode": "ChainableRamRoleArn", "source_profile": "l2", "ram_role_arn": "r"},
    {"name": "l2", "mode": "ChainableRamRoleArn", "source_profile": "l1", "ram_role_arn": "r"},
    {"name": "sso", "mode": "CloudSSO"}, {"name": "odd", "mode": "Odd"},
    {"name": "short", "mode": "RamRoleArn", "access_key_id": "LTAI", "access_key_secret": "s",
     "ram_role_arn": "r", "expired_seconds": 60},
    {"name": "x", "mode": "External", "process_command": "tool 'one word' hush"}]}"#;

fn cli(profile: &str) -> Place {
    Place::Cli { profile: Some(profile.to_owned()) }
}

#[tokio::test]
async fn a_profile_of_the_cli_is_chosen_by_configuration_environment_and_file() {
    let world = World::new(&[("PROFILE", "t")]);
    world.write(".aliyun/config.json", PROFILES);
    let key = world.key(Place::Cli { profile: None }).await;
    assert_eq!((key.key_id.as_str(), key.token()), ("STS.t", "tt"));
    assert_eq!(world.key(cli("a")).await.key_id, "LTAIa");
    let plain = World::new(&[]);
    plain.write(".aliyun/config.json", PROFILES);
    assert_eq!(plain.key(Place::Cli { profile: None }).await.key_id, "LTAIa");
}

#[tokio::test]
async fn profiles_that_a_daemon_cannot_use_are_refused_in_words() {
    let world = World::new(&[]);
    world.write(".aliyun/config.json", PROFILES);
    for (profile, why) in [
        ("l1", "in a circle"),
        ("sso", "for which a person logs in"),
        ("odd", "which refreshd does not know"),
        ("short", "below 900"),
        ("none", "there is no profile `none`"),
    ] {
        let error = world.error(cli(profile)).await;
        assert!(error.to_string().contains(why) && !error.may_pass, "{error}");
    }
    world.write(".aliyun/config.json", "{\"profiles\": hush}");
    let error = world.error(cli("a")).await.to_string();
    assert!(error.contains("not JSON at line 1") && !error.contains("hush"), "{error}");
}

/// Plays the command of a profile.
struct Scripted(Mutex<Vec<Vec<String>>>, Result<&'static str, &'static str>);

#[async_trait]
impl Runner for Scripted {
    async fn run(&self, words: &[String], limit: Duration) -> Result<Vec<u8>, String> {
        assert_eq!(limit, Duration::from_secs(60));
        self.0.lock().expect("not poisoned").push(words.to_vec());
        self.1.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned)
    }
}

#[tokio::test]
async fn a_command_is_run_without_a_shell_and_its_words_are_not_repeated() {
    let mut world = World::new(&[]);
    world.write(".aliyun/config.json", PROFILES);
    let printed = r#"{"mode": "StsToken", "access_key_id": "STS.x", "access_key_secret": "s",
        "sts_token": "t", "expiration": "2026-11-22T05:00:00Z"}"#;
    let runner = Arc::new(Scripted(Mutex::default(), Ok(printed)));
    world.around.runner = runner.clone();
    assert_eq!(world.key(cli("x")).await.key_id, "STS.x");
    assert_eq!(*runner.0.lock().expect("not poisoned"), [["tool", "one word", "hush"]]);
    for (answer, why) in [
        (Ok("{\"access_key_id\": \"quiet\"}"), "prints no `access_key_secret`"),
        (Ok("{quiet"), "not JSON at line 1"),
        (Err("it failed (exit status: 1)"), "exit status: 1"),
    ] {
        world.around.runner = Arc::new(Scripted(Mutex::default(), answer));
        let error = world.error(cli("x")).await.to_string();
        assert!(error.contains(why), "{error}");
        assert!(!error.contains("hush") && !error.contains("quiet"), "{error}");
    }
}

#[tokio::test]
async fn a_real_command_is_cut_short_when_it_prints_or_lasts_too_long() {
    let run = async |line: &str, limit: u64| {
        let words = words::split(line).expect("words");
        SystemRunner.run(&words, Duration::from_millis(limit)).await
    };
    let printed = run("printf '%s' \"a $b\"", 60_000).await;
    assert_eq!(printed.expect("runs"), b"a $b", "no shell reads it");
    assert!(run("no-such-program-here", 60_000).await.expect_err("none").contains("started"));
    assert!(run("false", 60_000).await.expect_err("fails").contains("exit status: 1"));
    assert!(run("yes", 60_000).await.expect_err("long").contains("prints more than"));
    assert!(run("sleep 1000", 1).await.expect_err("slow").contains("did not end"));
}

const ECS: Place = Place::Ecs(Ecs { role_name: None, v1: None });

#[tokio::test]
async fn the_metadata_service_is_asked_with_a_token() {
    let mut world = World::new(&[]);
    let key = temporary("ecs", "2026-11-22T10:00:00Z");
    let (url, seen) = serve(vec![(200, "tok".into()), (200, "my-role".into()), (200, key)]);
    world.around.metadata = Some(url);
    let keyring = world.keyring(ECS);
    let renewed = keyring.renew(false).await;
    assert_eq!(renewed.facts.source, "ECS metadata");
    // Each hour, though the key lasts for six.
    assert_eq!(renewed.next, world.clock.server_now().plus(Duration::from_secs(3600)));
    let seen = seen.lock().expect("not poisoned");
    let head = |at: usize| seen[at].lines().next().unwrap_or_default().to_owned();
    assert_eq!(head(0), "PUT /latest/api/token HTTP/1.1");
    assert_eq!(head(2), "GET /latest/meta-data/ram/security-credentials/my-role HTTP/1.1");
    let token = |at: usize| seen[at].contains("x-aliyun-ecs-metadata-token: tok");
    assert!(token(1) && token(2), "{seen:?}");
    assert!(seen[0].contains("x-aliyun-ecs-metadata-token-ttl-seconds: 21600"), "{seen:?}");
}

#[tokio::test]
async fn without_a_token_the_metadata_service_is_asked_only_where_that_is_allowed() {
    let key = temporary("v1", "2026-11-22T10:00:00Z");
    let answers = || vec![(403, String::new()), (200, "r".to_owned()), (200, key.clone())];
    let mut world = World::new(&[]);
    world.around.metadata = Some(serve(answers()).0);
    assert_eq!(world.key(ECS).await.key_id, "STS.v1");
    world.around.metadata = Some(serve(answers()).0);
    let strict = Place::Ecs(Ecs { role_name: None, v1: Some(false) });
    let error = world.error(strict).await;
    assert!(error.may_pass && error.to_string().contains("HTTP 403"), "{error}");
    let mut strict = World::new(&[("IMDSV1_DISABLED", "True")]);
    strict.around.metadata = Some(serve(answers()).0);
    strict.error(ECS).await;
}

#[tokio::test]
async fn a_role_is_assumed_with_a_signed_call_and_a_refusal_holds_no_secret() {
    let mut world =
        World::new(&[("ACCESS_KEY_ID", "LTAIbase"), ("ACCESS_KEY_SECRET", "hush-secret")]);
    let role = Role {
        arn: "acs:ram::1:role/r".into(),
        session_name: None,
        external_id: Some("ext".into()),
        policy: Some("{}".into()),
        duration: SESSION,
    };
    let source = KeySource { role: Some(role), ..KeySource::at(Place::Environment) };
    let body = format!("{{\"Credentials\": {}}}", temporary("role", "2026-11-22T05:00:00Z"));
    let refusal = r#"{"Code":"SignatureDoesNotMatch","Message":"server string to sign is:LTAIbase hush-secret"}"#;
    let (url, seen) = serve(vec![(200, body), (400, refusal.into())]);
    world.around.sts = Some(url);
    let keyring = world.keyring_of(source.clone());
    let renewed = keyring.renew(false).await;
    assert_eq!(renewed.facts.source, "environment, role acs:ram::1:role/r");
    // A quarter of an hour before it expires.
    assert_eq!(renewed.next, world.clock.server_now().plus(Duration::from_secs(45 * 60)));
    let call = seen.lock().expect("not poisoned")[0].clone();
    assert!(call.contains("x-acs-action: AssumeRole\r\n"), "{call}");
    assert!(call.contains("ACS3-HMAC-SHA256 Credential=LTAIbase,SignedHeaders="), "{call}");
    let form = "DurationSeconds=3600&ExternalId=ext&Policy=%7B%7D&RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr&RoleSessionName=refreshd";
    assert!(call.ends_with(form), "{call}");
    assert!(!call.contains("hush"), "{call}");
    let error = world.keyring_of(source).try_renew(false).await.1.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("SignatureDoesNotMatch") && error.may_pass, "{text}");
    assert!(!text.contains("hush") && !text.contains("LTAIbase"), "{text}");
}

#[tokio::test]
async fn the_token_of_an_identity_provider_is_read_each_time() {
    let mut world = World::new(&[("ROLE_ARN", "r"), ("OIDC_PROVIDER_ARN", "p")]);
    let file = world.write("token", "jwt-one");
    let name = "ALIBABA_CLOUD_OIDC_TOKEN_FILE".to_owned();
    world.around.environment.insert(name, file.display().to_string());
    let body =
        |name| (200, format!("{{\"Credentials\": {}}}", temporary(name, "2026-11-22T05:00:00Z")));
    let (url, seen) = serve(vec![body("one"), body("two")]);
    world.around.sts = Some(url);
    let keyring = world.keyring(Place::Oidc);
    assert!(keyring.renew(false).await.is_new);
    world.write("token", "jwt-two, longer");
    assert!(keyring.renew(false).await.is_new, "the file has changed");
    let seen = seen.lock().expect("not poisoned");
    assert!(seen[0].contains("OIDCToken=jwt-one&"), "{seen:?}");
    assert!(seen[1].contains("OIDCToken=jwt-two%2C%20longer&"), "{seen:?}");
    assert!(!seen[0].contains("uthorization"), "{seen:?}");
}

#[tokio::test]
async fn sts_is_asked_where_region_and_network_say() {
    for (environment, host) in [
        (&[][..], "sts.aliyuncs.com"),
        (&[("STS_REGION", "cn-hangzhou")], "sts.cn-hangzhou.aliyuncs.com"),
        (
            &[("STS_REGION", "cn-hangzhou"), ("VPC_ENDPOINT_ENABLED", "TRUE")],
            "sts-vpc.cn-hangzhou.aliyuncs.com",
        ),
        (&[("VPC_ENDPOINT_ENABLED", "true")], "sts.aliyuncs.com"),
    ] {
        let world = World::new(environment);
        let source = KeySource::at(Place::Oidc);
        let fetcher = fetch::Fetcher {
            source: &source,
            around: &world.around,
            clock: &*world.clock,
            read: Mutex::default(),
        };
        let url = fetcher.sts(&fetch::Region::default()).expect("an address");
        assert_eq!(url.host_str(), Some(host));
        assert_eq!(url.scheme(), "https");
    }
}

#[tokio::test]
async fn an_old_key_is_used_until_it_expires_while_no_new_one_can_be_had() {
    let mut world = World::new(&[]);
    let (url, _) = serve(vec![
        (200, temporary("one", "2026-11-22T05:00:00Z")),
        (500, String::new()),
        (500, String::new()),
        (200, temporary("two", "2026-11-22T07:00:00Z")),
    ]);
    world.around.environment.insert("ALIBABA_CLOUD_CREDENTIALS_URI".into(), url.to_string());
    world.around.metadata = None;
    let keyring = world.keyring(chain());
    let begun = keyring.renew(false).await;
    assert!(begun.is_new);
    let wait = begun.next.since(world.clock.server_now());
    assert_eq!(wait, Duration::from_secs(45 * 60));
    world.clock.advance(wait);
    let failed = keyring.renew(false).await;
    assert!(failed.facts.trouble.contains("HTTP 500"), "{failed:?}");
    assert_eq!(failed.next, world.clock.server_now().plus(Duration::from_secs(60)));
    assert_eq!(keyring.key().expect("still good").key_id, "STS.one");
    world.clock.advance(Duration::from_secs(15 * 60));
    assert!(keyring.key().is_none(), "it has expired");
    keyring.renew(false).await;
    world.clock.advance(Duration::from_secs(60));
    let mended = keyring.renew(false).await;
    assert!(mended.is_new && mended.facts.trouble.is_empty(), "{mended:?}");
    assert_eq!(keyring.key().expect("a new one").key_id, "STS.two");
}

#[tokio::test]
async fn a_key_of_the_metadata_service_is_kept_and_asked_for_again_soon() {
    let mut world = World::new(&[]);
    let key = temporary("ecs", "2026-11-22T04:30:00Z");
    let (url, _) = serve(vec![(200, "t".into()), (200, "r".into()), (200, key)]);
    world.around.metadata = Some(url);
    let keyring = world.keyring(ECS);
    keyring.renew(false).await;
    world.clock.advance(Duration::from_secs(3600));
    for failures in 1..=12_u32 {
        let renewed = keyring.renew(true).await;
        let wait = renewed.next.since(world.clock.server_now());
        let most = Duration::from_millis(100 << (failures - 1)).max(Duration::from_secs(10));
        assert!(wait >= Duration::from_secs(1) && wait <= most, "{failures}: {wait:?}");
        assert!(wait <= Duration::from_secs(60), "{wait:?}");
    }
    assert_eq!(keyring.key().expect("kept").key_id, "STS.ecs");
}

#[tokio::test]
async fn the_place_of_a_chain_is_kept_until_its_key_is_refused() {
    let world = World::new(&[]);
    world.write(
        ".alibabacloud/credentials",
        "[default]\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = s\n",
    );
    let keyring = world.keyring(chain());
    keyring.renew(false).await;
    assert_eq!(keyring.key().expect("a key").key_id, "LTAIini");
    world.write(".aliyun/config.json", PROFILES);
    world.clock.advance(Duration::from_secs(3600));
    assert!(!keyring.renew(false).await.is_new, "a place that appears later is not noticed");
    assert!(keyring.renew(true).await.is_new, "unless the CDN refuses the key");
    assert_eq!(keyring.key().expect("a key").key_id, "LTAIa");
}

const HOUR: Duration = Duration::from_secs(3600);

/// A world whose clock is hours off from the one that [`serve`] shows.
fn off(hours: i64) -> World {
    let mut world = World::new(&[("ACCESS_KEY_ID", "LTAIbase"), ("ACCESS_KEY_SECRET", "s")]);
    let now = world.clock.now().as_micros() + hours * 3_600_000_000;
    world.clock = ManualClock::new(Timestamp::from_micros(now), 7);
    world
}

#[tokio::test]
async fn a_clock_hours_off_keeps_nobody_from_a_roles_key() {
    for hours in [-2, 2] {
        let mut world = off(hours);
        let body = format!("{{\"Credentials\": {}}}", temporary("role", "2026-11-22T05:00:00Z"));
        let refusal = r#"{"Code":"InvalidTimeStamp.Expired","Message":"too old"}"#;
        let (url, seen) = serve(vec![(400, refusal.into()), (200, body)]);
        world.around.sts = Some(url);
        let role = Role {
            arn: "acs:ram::1:role/r".into(),
            session_name: None,
            external_id: None,
            policy: None,
            duration: SESSION,
        };
        let source = KeySource { role: Some(role), ..KeySource::at(Place::Environment) };
        let keyring = world.keyring_of(source);
        let wait = keyring.renew(false).await.next.since(world.clock.server_now());
        assert!(wait <= Duration::from_secs(60), "{wait:?}");
        world.clock.advance(wait);
        assert!(keyring.renew(false).await.is_new);
        assert_eq!(keyring.key().expect("a key").key_id, "STS.role");
        let seen = seen.lock().expect("not poisoned");
        assert!(seen[1].contains("x-acs-date: 2026-11-22T04:01:00Z"), "{}", seen[1]);
    }
}

#[tokio::test]
async fn a_key_that_was_just_handed_out_is_believed_until_the_clock_is_set_right() {
    for hours in [-2, 2] {
        let world = off(hours);
        let answers = ["one", "two", "three"].map(|name| {
            let hour = 5 + u32::from(name == "three");
            (200, temporary(name, &format!("2026-11-22T0{hour}:00:00Z")))
        });
        let (url, _) = serve(answers.to_vec());
        let keyring = world.keyring(Place::Uri(Some(url)));
        keyring.renew(false).await;
        assert_eq!(keyring.key().expect("believed").key_id, "STS.one");
        world.clock.advance(Duration::from_secs(60));
        if hours > 0 {
            assert!(keyring.key().is_none(), "a minute is all that it is believed");
            keyring.renew(false).await;
            assert_eq!(keyring.key().expect("believed").key_id, "STS.two");
        }
        world.clock.learn_offset(-hours * 3_600_000_000);
        assert!(keyring.key().is_some());
        let next = keyring.renew(false).await.next;
        let stale = Timestamp::parse("2026-11-22T04:45:00Z").expect("valid");
        assert_eq!(next, stale, "{hours}");
    }
}

#[tokio::test]
async fn a_short_session_is_not_renewed_all_the_time() {
    let world = World::new(&[]);
    let (url, _) = serve(vec![(200, temporary("short", "2026-11-22T04:15:00Z"))]);
    let renewed = world.keyring(Place::Uri(Some(url))).renew(false).await;
    assert_eq!(renewed.next, world.clock.server_now().plus(Duration::from_secs(450)));
}

#[tokio::test]
async fn a_chain_whose_key_has_expired_is_looked_through_again() {
    let mut world = World::new(&[]);
    let printed =
        r#"{"access_key_id": "a", "access_key_secret": "s", "expiration": "2026-11-22T05:00:00Z"}"#;
    world.around.runner = Arc::new(Scripted(Mutex::default(), Ok(printed)));
    let profile = r#"{"current": "x", "profiles": [{"name": "x", "mode": "External", "process_command": "p"}]}"#;
    let file = world.write(".aliyun/config.json", profile);
    let keyring = world.keyring(chain());
    keyring.renew(false).await;
    assert_eq!(keyring.key().expect("a key").key_id, "a");
    fs::remove_file(file).expect("removed");
    world.write(
        ".alibabacloud/credentials",
        "[default]\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = s\n",
    );
    keyring.renew(false).await;
    assert_eq!(keyring.key().expect("still good").key_id, "a");
    world.clock.advance(HOUR);
    keyring.renew(false).await;
    world.clock.advance(Duration::from_secs(60));
    keyring.renew(false).await;
    assert_eq!(keyring.key().expect("another place's").key_id, "LTAIini");
}

#[tokio::test]
async fn what_is_said_of_a_chains_metadata_service_holds_for_a_profile_that_leads_there() {
    let mut world = World::new(&[]);
    let profile = r#"{"current": "x", "profiles": [{"name": "x", "mode": "EcsRamRole", "ram_role_name": "r"}]}"#;
    world.write(".aliyun/config.json", profile);
    let key = temporary("v1", "2026-11-22T10:00:00Z");
    let (url, seen) = serve(vec![(403, String::new()), (403, String::new()), (200, key)]);
    world.around.metadata = Some(url);
    let ecs = Ecs { role_name: None, v1: Some(false) };
    world.error(Place::Chain { profile: None, ecs, uri: None }).await;
    let seen = seen.lock().expect("not poisoned");
    assert!(seen.iter().all(|call| call.starts_with("PUT ")), "{seen:?}");
}

#[tokio::test]
async fn a_pipe_is_no_key_file() {
    let world = World::new(&[]);
    let mut files = files(&world);
    files.secret = world.home.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&files.secret).status();
    assert!(made.expect("coreutils are installed").success());
    let error = world.error(Place::Files(files)).await.to_string();
    assert!(error.contains("pipe` is no file"), "{error}");
}

#[test]
fn debug_shows_names_only() {
    let world = World::new(&[("ACCESS_KEY_SECRET", "hush")]);
    let keyring = world.keyring(chain());
    let fetched = Fetched {
        credentials: Credentials::new("quiet", "hush", Some("hush")),
        expires_at: None,
        habit: Habit::Lasting,
        source: String::new(),
    };
    let text = format!("{keyring:?} {:?} {fetched:?}", world.around);
    assert!(text.contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), "{text}");
    assert!(!text.contains("hush") && !text.contains("quiet"), "{text}");
}
