use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::path::escape;
use crate::domain::quota::{QuotaKind, Reported};
use crate::domain::task::TaskRow;
use crate::domain::time::Timestamp;

fn parse<T: DeserializeOwned>(value: &serde_json::Value) -> Option<T> {
    parse_json(value.to_string().as_bytes())
}

#[test]
fn words_travel_both_ways() {
    for operation in Operation::ALL {
        assert_eq!(Operation::parse(operation.as_str()), Some(*operation));
    }
    for kind in Kind::ALL {
        let word = request_type(kind);
        assert_eq!(word.and_then(parse_request_type), word.map(|_| kind));
    }
    assert_eq!(parse_request_type("ExQuery"), Some(Kind::IgnoreParams));
    assert_eq!(parse_request_type("file"), None);
    assert_eq!(row_type(Action::Prefetch, Kind::Url), "preload");
}

#[test]
fn task_ids_split_at_commas() {
    let ids: Vec<_> =
        split_task_ids("704222904, 17772470184,,").into_iter().map(|id| id.0).collect();
    assert_eq!(ids, ["704222904", "17772470184"]);
    assert!(split_task_ids("").is_empty());
}

#[test]
fn a_status_is_read_tolerantly() {
    let running = |percent| TaskStatus::Running { percent };
    let failed = |text: &str| TaskStatus::Failed(text.to_owned());
    for (status, process, description, expected) in [
        ("Complete", "100%", "", TaskStatus::Complete),
        ("complete", "", "", TaskStatus::Complete),
        ("Refreshing", "99.37%", "", running(99)),
        ("Refreshing", "12", "", running(12)),
        ("Pending", "", "", running(0)),
        ("Preloading", "300%", "", running(0)),
        ("Failed", "10%", "Origin Timeout", failed("Origin Timeout")),
        ("Failed", "10%", " ", failed("Failed")),
        ("Timeout", "0%", "", failed("Timeout")),
        ("Canceled", "0%", "", failed("Canceled")),
        ("Failed", "0%", "a\nb", failed("a\\x0ab")),
    ] {
        assert_eq!(parse_status(status, process, description), expected, "{status} {process}");
    }
}

#[test]
fn both_shapes_of_task_replies_are_read() {
    let row = json!({ "TaskId": 704_225_667_u64, "ObjectPath": "http://example.com/1.txt",
        "ObjectType": "file", "Status": "Complete", "Process": "100%",
        "CreationTime": "2014-11-27T08:23:22Z", "Description": null });
    let flat: TasksReply =
        parse(&json!({ "Tasks": [row], "TotalCount": "1", "RequestId": "A" })).expect("flat");
    let nested: TasksReply = parse(
        &json!({ "Tasks": { "CDNTask": [row] }, "TotalCount": 1, "PageNumber": 1, "PageSize": 10 }),
    )
    .expect("nested");
    assert_eq!((flat.total_count, nested.total_count), (Some(1), Some(1)));
    for reply in [flat, nested] {
        let rows: Vec<_> = reply.tasks.into_rows().into_iter().map(Task::into_row).collect();
        assert_eq!(
            rows,
            [TaskRow {
                task: TaskId("704225667".to_owned()),
                object_path: "http://example.com/1.txt".to_owned(),
                object_type: "file".to_owned(),
                status: TaskStatus::Complete,
                created_at: Timestamp::parse("2014-11-27T08:23:22Z"),
            }]
        );
    }
    let empty: TasksReply = parse(&json!({ "Tasks": {} })).expect("no row is an answer");
    assert!(empty.tasks.into_rows().is_empty());
    assert_eq!(
        parse::<TasksReply>(&json!({ "RequestId": "A" })),
        None,
        "no answer to the question"
    );
}

#[test]
fn what_is_written_is_read_back() {
    let reply = TasksReply {
        request_id: "R".to_owned(),
        tasks: Tasks::Nested { tasks: vec![Task { task_id: "1".to_owned(), ..Task::default() }] },
        total_count: Some(1),
        page_number: Some(1),
        page_size: Some(20),
    };
    let written = serde_json::to_value(&reply).expect("JSON");
    assert_eq!(written["Tasks"]["CDNTask"][0]["TaskId"], "1");
    assert_eq!(written["TotalCount"], 1);
    assert_eq!(parse::<TasksReply>(&written), Some(reply));
}

#[test]
fn quota_figures_are_strings_or_numbers_or_missing() {
    let reply: QuotaReply = parse(&json!({ "UrlQuota": "2000", "UrlRemain": 1996,
        "blockRemain": "5", "dirRemain": "", "RequestId": "Q" }))
    .expect("a quota");
    assert_eq!((reply.url_quota, reply.url_remain), (Some(2000), Some(1996)));
    assert_eq!((reply.block_remain, reply.dir_remain, reply.dir_quota), (Some(5), None, None));
    let written = serde_json::to_value(&reply).expect("JSON");
    assert_eq!(written["UrlQuota"], "2000");
    let odd = json!({ "UrlQuota": "many", "UrlRemain": -1, "DirQuota": 99.5, "DirRemain": null,
        "RegexQuota": 20, "RegexRemain": "7" });
    let reply: QuotaReply = parse(&odd).expect("a quota");
    assert_eq!([QuotaKind::Url, QuotaKind::Directory].map(|kind| reply.of(kind)), [None, None]);
    assert_eq!(reply.of(QuotaKind::Regex), Some(Reported { quota: 20, remain: 7 }));
}

#[test]
fn submit_replies_hold_one_of_two_ids() {
    let refresh: SubmitReply =
        parse(&json!({ "RefreshTaskId": 704_222_904, "requestId": "R" })).expect("a reply");
    assert_eq!(refresh.refresh_task_id.as_deref(), Some("704222904"));
    assert_eq!((refresh.request_id.as_str(), refresh.push_task_id), ("R", None));
}

/// Writes a body as the API does for callers that do not ask for JSON.
fn xml(error: &ErrorBody) -> String {
    let escape = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&apos;")
    };
    format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>{}</RequestId>\
         <HostId>{}</HostId><Code>{}</Code><Message>{}</Message></Error>",
        escape(&error.request_id),
        escape(&error.host_id),
        escape(&error.code),
        escape(&error.message),
    )
}

#[test]
fn error_bodies_are_json_or_xml() {
    let expected = |request: &str| ErrorBody {
        request_id: request.to_owned(),
        host_id: "cdn.aliyuncs.com".to_owned(),
        code: "MissingParameter".to_owned(),
        message: "a \"b\" <c> & d's".to_owned(),
        recommend: None,
    };
    let error = expected("R1");
    assert_eq!(ErrorBody::parse(xml(&error).as_bytes()), Some(error.clone()));
    let written = serde_json::to_vec(&error).expect("JSON");
    assert_eq!(ErrorBody::parse(&written), Some(error));
    let lower = br#"{"code":"Throttling","message":"slow","requestId":"R2"}"#;
    assert_eq!(ErrorBody::parse(lower).map(|error| error.request_id), Some("R2".to_owned()));
    let other_root =
        b"<RefreshObjectCachesResponse><Code>Throttling</Code></RefreshObjectCachesResponse>";
    assert_eq!(ErrorBody::parse(other_root).map(|error| error.code), Some("Throttling".to_owned()));
}

#[test]
fn what_is_no_error_body_gives_none() {
    for body in [
        &b""[..],
        b"<html><body><Code>x</Code></body></html>",
        b"502 Bad Gateway",
        b"{\"Code\":\"\"}",
        b"{}",
        b"<Error><Code>cut",
        b"\xff\xfe",
        b"[1]",
        b"null",
    ] {
        assert_eq!(ErrorBody::parse(body), None, "{}", escape(body));
    }
}

#[test]
fn foreign_text_is_capped_and_on_one_line() {
    let long = foreign_text(&"é\n".repeat(400));
    assert!(long.len() <= 512 && long.ends_with('…') && !long.contains('\n'));
    assert_eq!(foreign_text("plain"), "plain");
}

proptest! {
    #[test]
    fn any_error_survives_its_xml(code in "[A-Za-z.]{1,20}", message in "[a-z<>&;'\" é]{0,40}") {
        // Blanks at the ends are not kept: servers indent their XML.
        let error = ErrorBody { code, message: message.trim().to_owned(), ..ErrorBody::default() };
        prop_assume!(!error.message.contains("<html"));
        prop_assert_eq!(ErrorBody::parse(xml(&error).as_bytes()), Some(error));
    }

    #[test]
    fn any_bytes_are_read_without_harm(body: Vec<u8>, text: String) {
        let _ = ErrorBody::parse(&body);
        let _ = ErrorBody::parse(text.as_bytes());
        let _ = parse_json::<TasksReply>(&body);
        let _ = parse_status(&text, &text, &text);
        let line = foreign_text(&text.repeat(50));
        prop_assert!(line.len() <= 512 && !line.contains(char::is_control));
    }
}
