use std::cell::Cell;

use crate::cdn::sign::{Signable, canonical_query, hex_sha256};
use crate::domain::ask::Kind;

use super::fault::{CallFault, Ending, Fault, Reply};
use super::*;

const SITE: &str = "https://www.example.com";

/// A model, the time it is, and signed calls.
struct World {
    model: Model,
    now: Timestamp,
    nonce: Cell<u32>,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let now = Timestamp::parse("2026-11-22T12:00:30Z").expect("valid");
        let mut settings = Settings {
            offline: Vec::new(),
            detail: false,
            keys: vec![key("id", "secret", None), key("sts", "other", Some("a token"))],
            quota: PerKind::from_fn(|kind| match kind {
                QuotaKind::Url => 10_000,
                QuotaKind::Regex => 20,
                QuotaKind::Prefetch => 1_000,
                QuotaKind::Directory | QuotaKind::IgnoreParams | QuotaKind::Tag => 100,
            }),
            domains: Vec::new(),
            ripening: Duration::from_secs(300),
            first_task: 10_000_000_000,
        };
        change(&mut settings);
        Self { model: Model::new(settings, now), now, nonce: Cell::new(0) }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    /// Makes a call that is right in every way, parameters in a form.
    fn form(&self, action: &str, parameters: Pairs) -> Call {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(parameters);
        let mut call = self.bare(action);
        call.method = "POST".into();
        call.body = form.finish().into();
        let kind = "application/x-www-form-urlencoded";
        call.headers.push(("content-type".into(), kind.into()));
        call
    }

    /// Makes a call that is right in every way, parameters in the query.
    fn query(&self, action: &str, parameters: Pairs) -> Call {
        let pairs: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut call = self.bare(action);
        call.query = canonical_query(&pairs);
        call
    }

    fn bare(&self, action: &str) -> Call {
        self.nonce.set(self.nonce.get() + 1);
        let headers = [
            ("host", "127.0.0.1:1".to_owned()),
            ("user-agent", "a test".to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-version", "2018-05-10".to_owned()),
            ("x-acs-date", self.now.to_api()),
            ("x-acs-signature-nonce", self.nonce.get().to_string()),
        ];
        Call {
            method: "GET".into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Call::default()
        }
    }

    fn send(&mut self, call: &Call) -> Answer {
        self.model.call(call, self.now, "REQUEST")
    }

    fn ask(&mut self, action: &str, parameters: Pairs) -> Answer {
        let call = signed(self.form(action, parameters), "id", "secret");
        self.send(&call)
    }

    fn refresh(&mut self, kind: &str, path: &str) -> Answer {
        let pairs = [("ObjectPath", path), ("ObjectType", kind)];
        self.ask("RefreshObjectCaches", &pairs)
    }

    fn push(&mut self, path: &str) -> Answer {
        self.ask("PushObjectCache", &[("ObjectPath", path)])
    }

    /// Lets every effect that is due succeed.
    fn apply(&mut self) -> Vec<tasks::Effect> {
        let effects = self.model.due(self.now);
        for effect in &effects {
            self.model.end(effect.row, Ok(()));
        }
        effects
    }

    fn rows(&mut self, ids: &str) -> Vec<Value> {
        let answer = self.ask("DescribeRefreshTaskById", &[("TaskId", ids)]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["Tasks"].as_array().expect("an array").clone()
    }

    fn status(&mut self, ids: &str) -> (String, String) {
        let row = &self.rows(ids)[0];
        (text(row, "Status"), text(row, "Process"))
    }

    fn remain(&mut self, field: &str) -> String {
        let answer = self.ask("DescribeRefreshQuota", &[]);
        text(&answer.body, field)
    }
}

fn key(id: &str, secret: &str, token: Option<&str>) -> AccessKey {
    AccessKey {
        id: id.into(),
        secret: secret.into(),
        token: token.map(Into::into),
        expires_at: None,
    }
}

fn set(call: &mut Call, name: &str, value: &str) {
    call.headers.retain(|(other, _)| other != name);
    call.headers.push((name.to_owned(), value.to_owned()));
}

/// Signs all headers of a call, as Alibaba's SDKs do.
fn signed(mut call: Call, id: &str, secret: &str) -> Call {
    let digest = hex_sha256(&call.body);
    set(&mut call, "x-acs-content-sha256", &digest);
    let authorization = Signable {
        method: &call.method,
        query: &call.query,
        headers: &call.headers,
        payload_sha256: &digest,
    }
    .authorization(id, secret);
    set(&mut call, "authorization", &authorization);
    call
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")).to_owned()
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["Code"].as_str().unwrap_or("none"))
}

fn ids(answer: &Answer) -> Vec<String> {
    let joined = answer.body["RefreshTaskId"]
        .as_str()
        .or_else(|| answer.body["PushTaskId"].as_str())
        .unwrap_or_else(|| panic!("{answer:?}"));
    joined.split(',').map(str::to_owned).collect()
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_signed_call_is_answered_wherever_its_parameters_are() {
    let mut world = World::new();
    let pairs = [("ObjectPath", "https://a.example/a+b%20c"), ("Force", "True")];
    let form = signed(world.form("RefreshObjectCaches", &pairs), "id", "secret");
    let query = signed(world.query("RefreshObjectCaches", &pairs), "id", "secret");
    for call in [form, query] {
        let answer = world.send(&call);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["RequestId"], "REQUEST");
    }
    let log = world.model.log();
    assert_eq!(log.accepted.len(), 2);
    assert_eq!(log.accepted[1].targets, ["https://a.example/a+b%20c"]);
}

#[test]
fn refusals_come_in_the_documented_order() {
    let mut world = World::new();
    // Each step mends the first thing that was wrong, so the next one shows.
    let mut call = world.form("Nonsense", &[]);
    set(&mut call, "x-acs-security-token", "surplus");
    assert_eq!(code(&world.send(&call)), (400, "MissingParameter"));
    set(&mut call, "authorization", "Basic abc");
    assert_eq!(code(&world.send(&call)), (400, "IncompleteSignature"));
    let claim = |names: &str, id: &str| {
        format!("ACS3-HMAC-SHA256 Credential={id},SignedHeaders={names},Signature=00")
    };
    set(&mut call, "authorization", &claim("host", "x"));
    assert_eq!(code(&world.send(&call)), (400, "MissingParameter"), "no digest");
    set(&mut call, "x-acs-content-sha256", "0");
    assert_eq!(code(&world.send(&call)), (400, "IncompleteSignature"), "uncovered");
    let all = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;\
               x-acs-signature-nonce;x-acs-version";
    set(&mut call, "authorization", &claim(all, "x"));
    assert_eq!(code(&world.send(&call)), (404, "InvalidAccessKeyId.NotFound"));
    set(&mut call, "authorization", &claim(all, "id"));
    assert_eq!(code(&world.send(&call)), (400, "InvalidSecurityToken.MismatchWithAccessKey"));
    set(&mut call, "authorization", &claim(all, "sts"));
    assert_eq!(code(&world.send(&call)), (400, "InvalidSecurityToken.Malformed"));
    set(&mut call, "x-acs-security-token", "a token");
    set(&mut call, "x-acs-date", "2026-11-22 12:00:00");
    assert_eq!(code(&world.send(&call)), (400, "InvalidTimeStamp.Format"));
    set(&mut call, "x-acs-date", "2026-11-22T12:15:31Z");
    assert_eq!(code(&world.send(&call)), (400, "InvalidTimeStamp.Expired"));
    set(&mut call, "x-acs-date", "2026-11-22T11:45:30Z");
    assert_eq!(code(&world.send(&call)), (400, "SignatureDoesNotMatch"), "digest");
    let digest = hex_sha256(&call.body);
    set(&mut call, "x-acs-content-sha256", &digest);
    let answer = world.send(&call);
    assert_eq!(code(&answer), (400, "SignatureDoesNotMatch"));
    assert!(text(&answer.body, "Message").contains("server string to sign is:ACS3"));
    call.headers.retain(|(name, _)| name != "authorization");
    let call = signed(call, "sts", "other");
    assert_eq!(code(&world.send(&call)), (404, "InvalidAction.NotFound"));
    assert_eq!(code(&world.send(&call)), (400, "SignatureNonceUsed"));
    assert_eq!(world.model.log().rejected["SignatureDoesNotMatch"], 2);
}

#[test]
fn a_temporary_key_ends_when_it_says() {
    let mut world = World::with(|settings| {
        let expires_at = Timestamp::parse("2026-11-22T12:00:40Z");
        settings.keys = vec![AccessKey { expires_at, ..key("sts", "other", Some("a token")) }];
    });
    for wanted in [(200, ""), (400, "InvalidSecurityToken.Expired")] {
        let mut call = world.form("DescribeRefreshQuota", &[]);
        set(&mut call, "x-acs-security-token", "a token");
        let answer = world.send(&signed(call, "sts", "other"));
        let code = answer.body["Code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, code.as_str()), wanted);
        world.pass(10);
    }
}

#[test]
fn a_nonce_is_remembered_as_long_as_its_date_is_valid() {
    let mut world = World::new();
    let mut call = world.form("DescribeRefreshQuota", &[]);
    set(&mut call, "x-acs-date", &world.now.plus(Duration::from_secs(900)).to_api());
    let call = signed(call, "id", "secret");
    assert_eq!(world.send(&call).status, 200);
    for (seconds, wanted) in
        [(900, "SignatureNonceUsed"), (900, "SignatureNonceUsed"), (61, "InvalidTimeStamp.Expired")]
    {
        world.pass(seconds);
        assert_eq!(code(&world.send(&call)), (400, wanted));
    }
}

#[test]
fn one_bad_line_refuses_the_request_and_costs_nothing() {
    let mut world = World::with(|settings| settings.domains = vec!["www.example.com".into()]);
    let long = format!("{SITE}/{}", "x".repeat(1_024));
    for (kind, line, wanted) in [
        ("File", "https://www.example.com/a b", "InvalidObjectPath.Malformed"),
        ("File", "https://www.example.com/ä", "InvalidObjectPath.Malformed"),
        ("File", "https://www.example.com/%2", "InvalidObjectPath.Malformed"),
        ("File", "https:///x", "InvalidObjectPath.Malformed"),
        ("File", "ftp://www.example.com/x", "InvalidObjectPath.Malformed"),
        ("File", long.as_str(), "InvalidObjectPath.Malformed"),
        ("File", "*.example.com/x", "InvalidExtensiveDomain.ValueNotSupported"),
        ("Directory", "https://www.example.com/x", "InvalidObjectPath.Malformed"),
        ("IgnoreParams", "https://www.example.com/x?y", "InvalidObjectPath.Malformed"),
        ("Trees", "https://www.example.com/x", "InvalidObjectType.Malformed"),
    ] {
        let lines = format!("{SITE}/good/\n{line}");
        let answer = world.refresh(kind, &lines);
        assert_eq!(code(&answer), (400, wanted), "{kind} {line}");
    }
    let answer = world.refresh("Regex", &format!("{SITE}/[a-f]"));
    assert_eq!(code(&answer), (400, "InvalidObjectPath.Malformed"));
    assert_eq!(code(&world.push(&format!("{SITE}/d/"))), (400, "InvalidObjectPath.Malformed"));
    let answer = world.refresh("File", "https://other.example/x");
    assert_eq!(code(&answer), (404, "InvalidDomain.NotFound"));
    assert_eq!(code(&world.refresh("File", " \n ")), (400, "MissingParameter"));
    assert_eq!(world.remain("UrlRemain"), "10000");
    assert!(world.model.log().accepted.is_empty());
    // No scheme, a port, odd case and blank lines are taken.
    let answer = world.refresh("ExQuery", "WWW.example.com:443/x\r\n\r\n www.example.com/y \r\n");
    assert_eq!(ids(&answer).len(), 2);
    assert_eq!(world.remain("IgnoreParamsRemain"), "98");
}

#[test]
fn a_refresh_by_tag_is_checked_debited_and_followed() {
    let mut world = World::with(|settings| settings.domains = vec!["www.example.com".into()]);
    let action = "RefreshObjectCacheByCacheTag";
    let site = ("DomainName", "WWW.example.com");
    let long = "x".repeat(129);
    let many = vec!["x"; 21].join(",");
    for (pairs, wanted) in [
        (vec![site], (400, "MissingParameter")),
        (vec![("CacheTag", "a")], (400, "MissingParameter")),
        (vec![site, ("CacheTag", "a,,b")], (400, "InvalidObjectPath.Malformed")),
        (vec![site, ("CacheTag", "a b")], (400, "InvalidObjectPath.Malformed")),
        (vec![site, ("CacheTag", &long)], (400, "InvalidObjectPath.Malformed")),
        (vec![site, ("CacheTag", &many)], (400, "SingleRequest.OverLimit")),
        (vec![site, ("CacheTag", "a"), ("Force", "yes")], (400, "InvalidParameter.Format")),
        (vec![("DomainName", "a/b"), ("CacheTag", "a")], (400, "InvalidObjectPath.Malformed")),
        (
            vec![("DomainName", "*.example.com"), ("CacheTag", "a")],
            (400, "InvalidExtensiveDomain.ValueNotSupported"),
        ),
        (vec![("DomainName", "a.example"), ("CacheTag", "a")], (404, "InvalidDomain.NotFound")),
    ] {
        assert_eq!(code(&world.ask(action, &pairs)), wanted, "{pairs:?}");
    }
    for word in ["Tag", "CacheTag", "tag"] {
        let answer = world.refresh(word, "a");
        assert_eq!(code(&answer), (400, "InvalidObjectType.Malformed"), "{word}");
    }
    let answer = world.ask(action, &[site, ("CacheTag", "a,b"), ("Force", "True")]);
    let task = ids(&answer).join(",");
    assert!(!task.contains(','), "{task}");
    let rows = world.rows(&task);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["Status"] == "Pending" && row["ObjectType"] == "tag"));
    world.pass(300);
    let effects = world.apply();
    let targets: Vec<_> = effects.iter().map(|effect| effect.target.text.as_str()).collect();
    assert_eq!(targets, ["https://www.example.com/#a", "https://www.example.com/#b"]);
    assert!(effects.iter().all(|effect| effect.force && effect.target.kind == Kind::Tag));
    assert!(world.rows(&task).iter().all(|row| row["Status"] == "Complete"));
    world.model.set_remaining(QuotaKind::Tag, 1, world.now);
    let answer = world.ask(action, &[site, ("CacheTag", "a,b")]);
    assert_eq!(code(&answer), (400, "QuotaExceeded.Refresh"));
    assert_eq!(world.ask(action, &[site, ("CacheTag", "a")]).status, 200);
    assert_eq!(world.remain("UrlRemain"), "10000");
}

#[test]
fn a_request_has_its_limits() {
    let mut world = World::new();
    let url = |n: usize| format!("{SITE}/{n}");
    let directory = |n: usize| format!("{SITE}/{n}/");
    let domain = |n: usize| format!("http://d{n}.example/");
    for (kind, lines, wanted) in [
        ("File", many(1_001, url), "InvalidObjectPath.Size.Malformed"),
        ("File", many(11, domain), "SingleRequest.OverLimit"),
        ("Directory", many(101, directory), "SingleRequest.OverLimit"),
        ("IgnoreParams", many(101, url), "SingleRequest.OverLimit"),
        ("Regex", many(2, url), "SingleRequest.OverLimit"),
    ] {
        assert_eq!(code(&world.refresh(kind, &lines)), (400, wanted), "{kind}");
    }
    let answer = world.push(&many(101, url));
    assert_eq!(code(&answer), (400, "InvalidObjectPath.ExceedsMaximum"));
    assert_eq!(world.refresh("File", &many(1_000, url)).status, 200);
    assert_eq!(world.refresh("File", &many(10, domain)).status, 200);
    assert_eq!(world.push(&many(100, url)).status, 200);
    assert_eq!(world.push(&many(11, |n| format!("http://d{n}.example/x"))).status, 200);
}

#[test]
fn the_quota_is_counted_by_line_and_refills_at_midnight_utc_plus_8() {
    let mut world = World::with(|settings| settings.quota[QuotaKind::Directory] = 3);
    world.now = Timestamp::parse("2026-11-22T15:59:59Z").expect("valid");
    assert_eq!(world.refresh("Directory", "a.example/1/\na.example/1/").status, 200);
    let two = "a.example/2/\na.example/3/";
    assert_eq!(code(&world.refresh("Directory", two)), (400, "QuotaExceeded.Refresh"));
    assert_eq!(world.remain("DirRemain"), "1", "refused whole");
    assert_eq!(world.remain("DirQuota"), "3");
    world.pass(1);
    assert_eq!(world.remain("DirRemain"), "3");
    assert_eq!(world.refresh("Directory", two).status, 200);
    world.model.set_remaining(QuotaKind::Prefetch, 0, world.now);
    assert_eq!(code(&world.push("a.example/x")), (400, "QuotaExceeded.Preload"));
    world.model.set_remaining(QuotaKind::Prefetch, 5_000, world.now);
    assert_eq!(world.remain("PreloadQuota"), "5000");
}

#[test]
fn a_domain_has_its_minute() {
    let mut world = World::with(|settings| settings.quota = PerKind::from_fn(|_| 100_000));
    let urls = |host: &str| many(1_000, |n| format!("{host}/{n}"));
    for _ in 0..10 {
        assert_eq!(world.refresh("File", &urls("a.example")).status, 200);
    }
    let answer = world.refresh("File", "a.example/x");
    assert_eq!(code(&answer), (400, "QuotaPerMinuteExceeded.Refresh"));
    assert_eq!(world.refresh("File", &urls("b.example")).status, 200);
    let directories = many(100, |n| format!("a.example/{n}/"));
    assert_eq!(world.refresh("Directory", &directories).status, 200);
    let answer = world.refresh("Directory", "a.example/x/");
    assert_eq!(code(&answer), (400, "QuotaPerMinuteExceeded.Refresh"));
    world.pass(30);
    assert_eq!(world.refresh("File", "a.example/x").status, 200);
    assert_eq!(world.refresh("Directory", "a.example/x/").status, 200);
}

#[test]
fn urls_of_a_domain_and_second_share_ids() {
    let mut world = World::new();
    let first = ids(&world.refresh("File", "a.example/1\nb.example/1\na.example/2"));
    assert_eq!(first.len(), 2);
    assert_eq!(first[0].len(), 11);
    // The same second: another request is handed the same ids.
    assert_eq!(
        ids(&world.refresh("File", "b.example/9\na.example/9")),
        [first[1].clone(), first[0].clone()]
    );
    assert_eq!(world.rows(&first[0]).len(), 3);
    assert!(!first.contains(&ids(&world.push("a.example/1"))[0]), "prefetches have their own");
    assert_eq!(ids(&world.refresh("Directory", "a.example/1/\na.example/2/")).len(), 2);
    assert_eq!(ids(&world.refresh("IgnoreParams", "a.example/1\na.example/2")).len(), 2);
    world.pass(1);
    assert!(!first.contains(&ids(&world.refresh("File", "a.example/1"))[0]));
    // Every 2,000 items of a refresh and 500 of a prefetch get their own.
    world.pass(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        seen.extend(ids(&world.refresh("File", &many(1_000, |n| format!("a.example/{n}")))));
    }
    assert_eq!(seen.len(), 3);
    seen.clear();
    for _ in 0..6 {
        seen.extend(ids(&world.push(&many(100, |n| format!("a.example/{n}")))));
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_refresh_ripens_and_is_complete_only_after_its_effect() {
    let mut world = World::new();
    let id = ids(&world.refresh("Directory", "a.example/d/")).remove(0);
    let is = |status: &str, process: &str| (status.to_owned(), process.to_owned());
    assert_eq!(world.status(&id), is("Pending", "0%"));
    world.pass(100);
    assert_eq!(world.status(&id), is("Refreshing", "33.33%"));
    assert_eq!(world.apply(), []);
    world.pass(200);
    assert_eq!(world.status(&id), is("Refreshing", "99.99%"));
    let effects = world.apply();
    assert_eq!(effects.len(), 1);
    assert!(!effects[0].force);
    assert_eq!(world.status(&id), is("Complete", "100%"));
    assert_eq!(world.apply(), [], "an effect is applied once");
}

#[test]
fn a_prefetch_begins_early_and_ends_with_its_fetch() {
    let mut world = World::new();
    let answer = world.push("a.example/1\na.example/2");
    let id = ids(&answer).remove(0);
    world.pass(30);
    let effects = world.model.due(world.now);
    assert_eq!(effects.len(), 2);
    assert!(world.model.working());
    assert_eq!(world.status(&id).0, "Refreshing");
    world.model.end(effects[0].row, Ok(()));
    world.model.end(effects[1].row, Err("Origin Timeout".into()));
    assert!(!world.model.working());
    // Newest first.
    let rows = world.rows(&id);
    let seen: Vec<_> =
        rows.iter().map(|row| (text(row, "Status"), text(row, "Description"))).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(seen, [pair("Failed", "Origin Timeout"), pair("Complete", "")]);
    assert_eq!(text(&rows[0], "ObjectType"), "preload");
}

#[test]
fn force_travels_and_a_file_is_always_dropped() {
    let mut world = World::new();
    world.refresh("File", "a.example/x");
    for force in ["TRUE", "false"] {
        let pairs = [("ObjectPath", "a.example/d/"), ("ObjectType", "Directory"), ("Force", force)];
        world.ask("RefreshObjectCaches", &pairs);
    }
    world.pass(300);
    let forces: Vec<_> = world.apply().iter().map(|effect| effect.force).collect();
    assert_eq!(forces, [true, true, false]);
    let pairs = [("ObjectPath", "a.example/d/"), ("Force", "maybe")];
    let answer = world.ask("RefreshObjectCaches", &pairs);
    assert_eq!(code(&answer), (400, "InvalidParameter.Format"));
}

#[test]
fn scripted_tasks_fail_or_never_appear() {
    let mut world = World::new();
    let description = "Internal Error".to_owned();
    let fault = |target: &str, ending| Fault::target(target, ending);
    world.model.faults.add(fault("a.example/1", Ending::Failed { description }), world.now);
    world.model.faults.add(fault("a.example/2", Ending::NoRow), world.now);
    let id = ids(&world.refresh("File", "a.example/1\na.example/2\na.example/3")).remove(0);
    world.pass(300);
    assert_eq!(world.apply().len(), 1, "the others have no effect");
    let rows = world.rows(&id);
    let seen: Vec<_> =
        rows.iter().map(|row| (text(row, "ObjectPath"), text(row, "Status"))).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(seen, [pair("a.example/3", "Complete"), pair("a.example/1", "Failed")]);
    assert_eq!(world.refresh("File", "a.example/1").status, 200);
    world.pass(300);
    assert_eq!(world.apply().len(), 1, "a fault is used up");
}

#[test]
fn a_task_may_never_end_or_be_told_of_one_question_late() {
    let mut world = World::new();
    world.model.faults.add(Fault::target("a.example/1", Ending::Never), world.now);
    world.model.faults.add(Fault::target("a.example/2", Ending::Lagging), world.now);
    let never = ids(&world.refresh("File", "a.example/1")).remove(0);
    world.pass(1);
    let lagging = ids(&world.refresh("File", "a.example/2")).remove(0);
    world.pass(300);
    assert_eq!(world.apply().len(), 1, "the other has its effect in time");
    assert_eq!(world.status(&lagging).0, "Pending", "nobody asked before");
    assert_eq!(world.status(&lagging).0, "Complete");
    world.pass(86_400);
    assert!(world.apply().is_empty());
    assert_eq!(world.status(&never), ("Refreshing".to_owned(), "99.99%".to_owned()));
}

#[test]
fn a_fault_meets_what_fits_all_that_it_names_and_lasts_as_long_as_it_says() {
    let mut world = World::new();
    let offline = || CallFault::new(Reply::error(404, "InvalidDomain.Offline"));
    let on_domain =
        CallFault { domain: Some("b.example".to_owned()), for_seconds: Some(60), ..offline() };
    let on_target = CallFault {
        target: Some("a.example/bad".to_owned()),
        times: Some(2),
        for_seconds: Some(60),
        ..offline()
    };
    let once = CallFault { action: Some("PushObjectCache".to_owned()), ..offline() };
    for fault in [on_domain, on_target, once] {
        world.model.faults.add(Fault::Call(fault), world.now);
    }
    let meets = |world: &mut World, action: &str, path: &str| {
        let call = world.form(action, &[("ObjectPath", path)]);
        world.model.faults.next_call(&call, world.now).is_some()
    };
    let met = |world: &mut World, path: &str| meets(world, "RefreshObjectCaches", path);
    assert!(!met(&mut world, "a.example/1"));
    assert!(met(&mut world, "a.example/1\nhttps://B.example:443/1"));
    assert!(met(&mut world, "a.example/1\n a.example/bad"));
    assert!(!met(&mut world, "a.example/bad2"));
    assert!(met(&mut world, "a.example/bad"));
    assert!(!met(&mut world, "a.example/bad"), "it was met twice");
    assert!(meets(&mut world, "PushObjectCache", "a.example/1"));
    assert!(!meets(&mut world, "PushObjectCache", "a.example/1"), "one call, without a word");
    world.pass(59);
    assert!(met(&mut world, "b.example/1"));
    world.pass(1);
    assert!(!met(&mut world, "b.example/1"), "its minute is over");
}

#[test]
fn both_task_questions_have_their_shape() {
    let mut world = World::new();
    let id = ids(&world.refresh("File", "http://a.example/1")).remove(0);
    let row = serde_json::json!({
        "TaskId": id, "ObjectPath": "http://a.example/1", "ObjectType": "file",
        "Status": "Pending", "Process": "0%",
        "CreationTime": "2026-11-22T12:00:30Z", "Description": "",
    });
    let answer = world.ask("DescribeRefreshTasks", &[]);
    assert_eq!(
        answer.body,
        serde_json::json!({
            "Tasks": { "CDNTask": [row] }, "PageNumber": 1, "PageSize": 20,
            "TotalCount": 1, "RequestId": "REQUEST",
        })
    );
    let answer = world.ask("DescribeRefreshTaskById", &[("TaskId", &id)]);
    assert_eq!(
        answer.body,
        serde_json::json!({ "Tasks": [row], "TotalCount": 1, "RequestId": "REQUEST" })
    );
    assert_eq!(world.rows("1,2"), Vec::<Value>::new());
    let eleven = ["1"; 11].join(",");
    let answer = world.ask("DescribeRefreshTaskById", &[("TaskId", &eleven)]);
    assert_eq!(code(&answer), (400, "InvalidTaskId.Malformed"));
}

#[test]
fn the_task_list_is_filtered_and_paged() {
    let mut world = World::new();
    world.refresh("File", &many(150, |n| format!("http://a.example/{n}")));
    world.refresh("File", "http://b.example/1");
    world.refresh("Directory", "http://a.example/d/");
    world.pass(10);
    world.push("http://a.example/1");
    let list = |world: &mut World, pairs: Pairs| {
        let answer = world.ask("DescribeRefreshTasks", pairs);
        assert_eq!(answer.status, 200, "{answer:?}");
        let rows = answer.body["Tasks"]["CDNTask"].as_array().expect("rows").len();
        (answer.body["TotalCount"].as_u64().expect("a number"), rows)
    };
    let files = ("ObjectType", "file");
    let domain = ("DomainName", "A.example");
    assert_eq!(list(&mut world, &[]), (153, 20));
    assert_eq!(list(&mut world, &[files, domain, ("PageSize", "100")]), (150, 100));
    let second = [files, domain, ("PageSize", "100"), ("PageNumber", "2")];
    assert_eq!(list(&mut world, &second), (150, 50));
    assert_eq!(list(&mut world, &[("ObjectPath", "http://a.example/1")]), (2, 2));
    assert_eq!(list(&mut world, &[files, ("Status", "Complete")]), (0, 0));
    let window = |from, to| [("StartTime", from), ("EndTime", to)];
    let (start, end) = ("2026-11-22T12:00:31Z", "2026-11-22T12:00:40Z");
    assert_eq!(list(&mut world, &window(start, end)), (1, 1));
    let refused: [(Pairs, &str); 8] = [
        (&[domain], "MissingParameter.ObjectType"),
        (&[("Status", "Failed")], "MissingParameter.ObjectType"),
        (&[("ObjectType", "File")], "InvalidObjectType.ValueNotSupported"),
        (&[("StartTime", start)], "MissingParameter"),
        (&window("x", end), "InvalidStartTime.Malformed"),
        (&window(end, start), "InvalidEndTime.Mismatch"),
        (&window("2026-11-19T12:00:30Z", end), "InvalidStartTime.ValueNotSupported"),
        (&[("PageSize", "101")], "InvalidParameter.Format"),
    ];
    for (pairs, wanted) in refused {
        let answer = world.ask("DescribeRefreshTasks", pairs);
        assert_eq!(code(&answer), (400, wanted), "{pairs:?}");
    }
    // Tasks are forgotten after three days.
    world.pass(3 * 86_400);
    assert_eq!(list(&mut world, &[]), (1, 1));
}

#[test]
fn a_domain_that_is_switched_off_is_listed_so_and_refused() {
    let mut world = World::with(|settings| {
        settings.domains = vec!["on.example".into(), "off.example".into()];
        settings.offline = vec!["off.example".into()];
    });
    assert_eq!(world.refresh("File", "https://on.example/").status, 200);
    let refused = world.refresh("File", "https://on.example/\nhttps://OFF.example/");
    assert_eq!(text(&refused.body, "Code"), "InvalidDomain.Offline");
    assert_eq!(world.remain("UrlRemain"), "9999", "it costs nothing");
    let listed = world.ask("DescribeUserDomains", &[("DomainStatus", "offline")]);
    let data = listed.body["Domains"]["PageData"].as_array().expect("an array").clone();
    assert_eq!((data.len(), text(&data[0], "DomainName")), (1, "off.example".to_owned()));
}

#[test]
fn details_of_a_prefetch_are_for_accounts_on_a_list() {
    let ask =
        |world: &mut World, task: &str| world.ask("DescribePreloadDetailById", &[("TaskId", task)]);
    let mut world = World::new();
    let refused = ask(&mut world, "1");
    assert_eq!((refused.status, text(&refused.body, "Code")), (403, "Forbidden".to_owned()));
    let mut world = World::with(|settings| settings.detail = true);
    let ids = text(&world.push("https://a.example/x").body, "PushTaskId");
    let answer = ask(&mut world, &ids);
    let row = &answer.body["UrlDetails"][0];
    assert_eq!(
        (text(row, "Status"), text(row, "Domain")),
        ("Refreshing".into(), "a.example".into())
    );
    assert_eq!(
        (text(&row["Urls"][0], "Url"), text(&row["Urls"][0], "Success")),
        ("/x".into(), "0%".into())
    );
    assert_eq!(text(&ask(&mut world, "x").body, "Code"), "InvalidTaskId.Malformed");
    assert_eq!(ask(&mut world, "1").body["TotalCount"], 0);
}
