use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect();
    Answer { status, headers, body: body.as_bytes().to_vec() }
}

#[test]
fn the_longest_wait_counts_up_to_two_minutes() {
    for (headers, expected) in [
        (&[("x-acs-retry-after", "1500")][..], Some(1_500)),
        (&[("x-acs-retry-after", "0")], None),
        (&[("x-acs-retry-after", "-5")], None),
        (&[("x-acs-retry-after", "soon")], None),
        (&[("x-acs-retry-after", "999999999")], Some(120_000)),
        (&[("retry-after", "7")], Some(7_000)),
        (&[("retry-after", "Sun, 22 Nov 2026 00:00:00 GMT")], None),
        (
            &[
                ("x-ratelimit-user-api", "Limit:10,Remain:0,TimeLeft:2000"),
                ("x-ratelimit-user", "TimeLeft: 3000"),
            ],
            Some(3_000),
        ),
        (&[], None),
    ] {
        let refused = read(&answer(503, headers, "{\"Code\":\"Throttling\"}"), &[]);
        assert_eq!(refused.retry_after, expected.map(Duration::from_millis), "{headers:?}");
        assert_eq!(refused.code.as_deref(), Some("Throttling"));
    }
}

#[test]
fn what_was_signed_is_not_shown() {
    let body = r#"{"Code":"SignatureDoesNotMatch","RequestId":"R","Message":"Specified signature is not matched with our calculation. server String to Sign is:POST x-acs-security-token:tOken"}"#;
    let message = read(&answer(400, &[], body), &[]).message;
    assert!(message.starts_with("Specified signature is not matched"), "{message}");
    assert!(!message.contains("tOken"), "{message}");

    let body = r#"{"Code":"InvalidSecurityToken.Malformed","Message":"bad token tOken"}"#;
    assert_eq!(read(&answer(400, &[], body), &["", "tOken"]).message, "bad token [redacted]");
}

#[test]
fn a_page_of_a_proxy_has_no_code() {
    let headers = [("content-type", "text/html"), ("x-acs-request-id", "H")];
    let refused = read(&answer(502, &headers, "<html><body>Bad Gateway</body></html>"), &[]);
    assert_eq!(refused.code, None);
    assert_eq!(refused.request_id.as_deref(), Some("H"));
    assert_eq!(refused.message, "HTTP 502 (text/html) without an error code");
    assert_eq!(refused.reached, Reached::Answered(502));
}
