//! What the client makes of odd answers, over real connections: each is a success or a failure that is
//! judged as it should be.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use refreshd::cdn::{
    Accepted, Cdn, Client, ClientConfig, Keyring, Submission, Surroundings, TaskQuery,
};
use refreshd::clock::SystemClock;
use refreshd::domain::ask::{Kind, Target};
use refreshd::domain::credentials::{KeyFiles, KeySource, Place};
use refreshd::domain::intent::Action;
use refreshd::domain::prefetch::PrefetchOptions;
use refreshd::domain::quota::{QuotaKind, Reported};
use refreshd::domain::task::{TaskId, TaskStatus};
use refreshd::domain::verdict::{Failure, Reached, Scope, Verdict, judge};

const JSON: &str = "application/json;charset=utf-8";
const XML: &str = "text/xml;charset=utf-8";
const HTML: &str = "text/html";

/// Answers one request, and ends.
fn serve(status: u16, kind: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         x-acs-request-id: HEAD\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(&stream);
        let mut rest = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                rest = length.trim().parse().expect("a length");
            }
            line.clear();
        }
        reader.read_exact(&mut vec![0; rest]).expect("a body");
        stream.write_all(answer.as_bytes()).expect("it is read");
    });
    address
}

async fn client(api: SocketAddr) -> Client {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, name).expect("a file");
        path
    };
    let files = KeyFiles { key_id: write("id"), secret: write("secret"), security_token: None };
    let source = KeySource::at(Place::Files(files));
    let keyring = Keyring::new(source, Surroundings::default(), SystemClock::shared());
    let endpoint = format!("http://{api}").parse().expect("a URL");
    let config = ClientConfig::new(endpoint);
    let client = Client::new(&config, keyring, SystemClock::shared()).expect("a client");
    client.begin().await.1.expect("a key");
    client
}

async fn submit(action: Action, api: SocketAddr) -> Result<Accepted, Failure> {
    let submission = Submission {
        action,
        kind: Kind::Url,
        force: false,
        targets: vec![Target::new(Kind::Url, "https://www.example.com/")],
        prefetch: PrefetchOptions::default(),
    };
    client(api).await.submit(&submission).await
}

#[tokio::test]
async fn a_submission_is_accepted_whatever_the_form_of_its_ids() {
    for (action, body, ids) in [
        (Action::Refresh, r#"{"RefreshTaskId":"704222904","RequestId":"R"}"#, &["704222904"][..]),
        (Action::Refresh, r#"{"RefreshTaskId":17772470184,"RequestId":"R"}"#, &["17772470184"]),
        (Action::Refresh, r#"{"RefreshTaskId":"1, 2,","RequestId":"R"}"#, &["1", "2"]),
        (Action::Refresh, r#"{"refreshTaskId":"1","requestId":"R"}"#, &["1"]),
        (
            Action::Refresh,
            r#"{"Odd":{"a":[1]},"RefreshTaskId":"1","RequestId":"R","Code":"OK"}"#,
            &["1"],
        ),
        (Action::Refresh, r#"{"RefreshTaskId":"1","RequestId":null}"#, &["1"]),
        (Action::Prefetch, r#"{"PushTaskId":95240001,"RequestId":"R"}"#, &["95240001"]),
        (Action::Prefetch, "\n {\"pushTaskId\":\"1\",\"RequestId\":\"R\"} \n", &["1"]),
    ] {
        // What the content type says is no matter.
        for (status, kind) in [(200, JSON), (201, HTML), (299, XML)] {
            let accepted = submit(action, serve(status, kind, body)).await.expect(body);
            let tasks: Vec<&str> = accepted.tasks.iter().map(|task| task.0.as_str()).collect();
            assert_eq!(tasks, ids, "{body}");
        }
    }
}

const THROTTLED: Verdict = Verdict::Later { after: None, scope: Scope::Rate };
const PAGE: &str =
    "<!DOCTYPE html><html><head><title>502</title></head><body><Code>x</Code></body></html>";

type Refused = (u16, &'static str, &'static str, Option<&'static str>, Verdict);

/// Status, content type and body; the code that is read, and what that means.
const REFUSALS: &[Refused] = &[
    (
        400,
        JSON,
        r#"{"RequestId":"R","HostId":"h","Code":"InvalidObjectPath.Malformed","Message":"m","Recommend":"r"}"#,
        Some("InvalidObjectPath.Malformed"),
        Verdict::Split,
    ),
    (
        400,
        JSON,
        r#"{"code":"QuotaExceeded.Refresh","message":"m","requestId":"R"}"#,
        Some("QuotaExceeded.Refresh"),
        Verdict::NextDay,
    ),
    (
        403,
        JSON,
        r#"{"Code":"Forbidden.RAM","Message":"m","RequestId":"R","AccessDeniedDetail":{"AuthAction":"cdn:x"}}"#,
        Some("Forbidden.RAM"),
        Verdict::Forbidden,
    ),
    (
        400,
        JSON,
        r#"{"Code":"Throttling.User","Message":null,"RequestId":null}"#,
        Some("Throttling.User"),
        THROTTLED,
    ),
    (
        503,
        XML,
        "<Error><RequestId>R</RequestId><HostId>h</HostId><Code>Throttling</Code><Message>m</Message></Error>",
        Some("Throttling"),
        THROTTLED,
    ),
    (
        404,
        XML,
        "<?xml version='1.0' encoding='UTF-8'?>\n<Error>\n  <Code>InvalidAccessKeyId.NotFound</Code>\n  <RequestId>R</RequestId>\n</Error>\n",
        Some("InvalidAccessKeyId.NotFound"),
        Verdict::Renew,
    ),
    (
        400,
        XML,
        "<RefreshObjectCachesResponse><Code>MissingParameter</Code><Message><![CDATA[a & b]]></Message></RefreshObjectCachesResponse>",
        Some("MissingParameter"),
        Verdict::Never,
    ),
    // The content type may lie.
    (
        400,
        HTML,
        r#"{"Code":"InvalidObjectPath.Malformed"}"#,
        Some("InvalidObjectPath.Malformed"),
        Verdict::Split,
    ),
    (
        400,
        JSON,
        "<Error><Code>MissingParameter</Code></Error>",
        Some("MissingParameter"),
        Verdict::Never,
    ),
    // A code of its own, and one that is a number.
    (
        400,
        JSON,
        r#"{"Code":"NeverSeenBefore","Message":"m"}"#,
        Some("NeverSeenBefore"),
        Verdict::Split,
    ),
    (400, JSON, r#"{"Code":40012,"Message":7}"#, Some("40012"), Verdict::Split),
    // 5xx and what is none of the API's: nobody knows.
    (
        500,
        JSON,
        r#"{"Code":"InternalError","Message":"m"}"#,
        Some("InternalError"),
        Verdict::Unknown,
    ),
    (502, HTML, PAGE, None, Verdict::Unknown),
    (403, HTML, PAGE, None, Verdict::Unknown),
    (400, JSON, "{}", None, Verdict::Unknown),
    (400, JSON, "", None, Verdict::Unknown),
    (400, JSON, r#"{"Code":"Cut"#, None, Verdict::Unknown),
    (302, HTML, "", None, Verdict::Unknown),
    // A success that says nothing, or something else.
    (200, JSON, "", None, Verdict::Unknown),
    (200, JSON, "{}", None, Verdict::Unknown),
    (200, JSON, "null", None, Verdict::Unknown),
    (200, JSON, "[]", None, Verdict::Unknown),
    (200, HTML, PAGE, None, Verdict::Unknown),
    (200, JSON, r#"{"RefreshTaskId":"","RequestId":"R"}"#, None, Verdict::Unknown),
    (
        200,
        JSON,
        r#"{"Code":"InternalError","Message":"m","RequestId":"R"}"#,
        Some("InternalError"),
        Verdict::Unknown,
    ),
    (
        200,
        JSON,
        r#"{"Code":"QuotaExceeded.Refresh","Message":"m"}"#,
        Some("QuotaExceeded.Refresh"),
        Verdict::Unknown,
    ),
    (200, JSON, r#"{"Code":"Throttling","Message":"m"}"#, Some("Throttling"), THROTTLED),
    (
        200,
        XML,
        "<Error><Code>InternalError</Code></Error>",
        Some("InternalError"),
        Verdict::Unknown,
    ),
];

#[tokio::test]
async fn each_refusal_is_understood_in_whatever_form_it_comes() {
    for (status, kind, body, code, verdict) in REFUSALS {
        let (status, code) = (*status, *code);
        let failure = submit(Action::Refresh, serve(status, kind, body)).await.expect_err(body);
        assert_eq!(failure.reached, Reached::Answered(status), "{body}");
        assert_eq!(failure.code.as_deref(), code, "{body}");
        assert_eq!(judge(&failure), *verdict, "{status} {body}");
        let id = if body.contains(r#":"R""#) || body.contains(">R<") { "R" } else { "HEAD" };
        let told = failure.request_id.as_deref();
        assert!(told == Some(id) || (told, status) == (Some("HEAD"), 200), "{told:?}: {body}");
        assert!(status != 200 || failure.message.contains("the CDN agreed"), "{failure:?}");
    }
}

#[tokio::test]
async fn rows_of_tasks_are_read_in_every_form_and_never_taken_for_none() {
    let ids = [TaskId("1".to_owned())];
    let row = |status: &str, process: &str| {
        format!(
            r#"{{"TaskId":1,"ObjectPath":"http://a/x","ObjectType":"file","Status":{status},"Process":{process},"More":[],"CreationTime":"2026-11-22T04:05:06Z","Description":null}}"#
        )
    };
    let running = |percent| TaskStatus::Running { percent };
    for (status, process, wanted) in [
        (r#""Complete""#, r#""100%""#, TaskStatus::Complete),
        (r#""Refreshing""#, "99.37", running(99)),
        (r#""Refreshing""#, "7", running(7)),
        (r#""Refreshing""#, "-1", running(0)),
        (r#""Preloading""#, r#""12.5""#, running(12)),
        ("null", "null", running(0)),
        ("3", r#""""#, running(0)),
        (r#""Timeout""#, r#""0%""#, TaskStatus::Failed("Timeout".to_owned())),
    ] {
        let row = row(status, process);
        for body in [
            format!(r#"{{"Tasks":[{row}],"TotalCount":"1"}}"#),
            format!(r#"{{"tasks":{{"CDNTask":[{row}]}},"totalCount":1.5}}"#),
        ] {
            let rows = client(serve(200, JSON, &body)).await.tasks_by_id(&ids).await.expect(&body);
            assert_eq!(
                (rows.len(), &rows[0].status, &rows[0].task),
                (1, &wanted, &ids[0]),
                "{body}"
            );
            assert!(rows[0].created_at.is_some());
        }
    }
    for body in ["", "{}", r#"{"RequestId":"R"}"#, r#"{"Code":"InternalError"}"#, "<html></html>"] {
        let answer = client(serve(200, JSON, body)).await.tasks(&TaskQuery::default()).await;
        assert_eq!(judge(&answer.expect_err(body)), Verdict::Unknown, "{body}");
        let answer = client(serve(200, JSON, body)).await.domains().await;
        assert_eq!(judge(&answer.expect_err(body)), Verdict::Unknown, "{body}");
        let answer = client(serve(200, JSON, body)).await.quota().await;
        assert_eq!(judge(&answer.expect_err(body)), Verdict::Unknown, "{body}");
        let answer = client(serve(200, JSON, body)).await.prefetch_detail(&ids[0]).await;
        assert_eq!(judge(&answer.expect_err(body)), Verdict::Unknown, "{body}");
    }
}

#[tokio::test]
async fn figures_are_strings_or_numbers_and_an_odd_one_hides_no_other() {
    let body = r#"{"UrlQuota":"2000","UrlRemain":1996,"dirQuota":"100","dirRemain":" 99 ","RegexQuota":"many","RegexRemain":"1","PreloadQuota":500,"blockRemain":-3}"#;
    let quota = client(serve(200, JSON, body)).await.quota().await.expect("a quota");
    assert_eq!(quota[QuotaKind::Url], Some(Reported { quota: 2000, remain: 1996 }));
    assert_eq!(quota[QuotaKind::Directory], Some(Reported { quota: 100, remain: 99 }));
    assert_eq!([QuotaKind::Regex, QuotaKind::Prefetch].map(|kind| quota[kind]), [None, None]);
    let body = r#"{"Domains":{"PageData":[{"DomainName":".a.example","DomainStatus":null,"DomainId":7}]},"TotalCount":"1"}"#;
    let domains = client(serve(200, JSON, body)).await.domains().await.expect("domains");
    assert_eq!((domains.len(), domains[0].name.as_str()), (1, ".a.example"));
    let body = r#"{"UrlDetails":[{"TaskId":7,"Domain":"a.example","Urls":[{"Url":"/x","Success":47.5,"Description":null}]}]}"#;
    let details =
        client(serve(200, JSON, body)).await.prefetch_detail(&TaskId("7".to_owned())).await;
    let details = details.expect("details");
    assert_eq!((details[0].url.as_str(), details[0].success.as_str()), ("a.example/x", "47.5"));
}
