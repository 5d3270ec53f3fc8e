use std::fmt::Write as _;

use super::*;

fn told() -> Told {
    Told {
        key: "changes.held/www-1".to_owned(),
        severity: Severity::Error,
        since: Some(Timestamp::from_seconds(1_800_000_000)),
        what: "waiting for a person: 3 intents of origin www: <b>a \"fifth\" vanished".to_owned(),
        remedy: "refreshd approve www-1 lets them go".to_owned(),
        see: "changes-held".to_owned(),
    }
}

fn made(receiver: Receiver, language: Language, event: Event, secret: Option<&str>) -> Post {
    let url = Url::parse("https://example.com/hook?access_token=t").expect("a URL");
    let now = Timestamp::from_seconds(1_800_000_060);
    post((receiver, language), &url, secret, (event, &told()), "id-1", now)
}

#[test]
fn each_receiver_has_its_form() {
    let mut all = String::new();
    for (word, receiver) in Receiver::WORDS {
        for (tongue, language) in Language::WORDS {
            for event in [Event::Raised, Event::Ended] {
                let post = made(*receiver, *language, event, Some("s3cret"));
                let _ = writeln!(all, "{word} {tongue} {event:?}\n{}", post.url);
                for (name, value) in &post.headers {
                    let _ = writeln!(all, "{name}: {value}");
                }
                let _ = writeln!(all, "{}\n", post.body);
            }
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn without_a_secret_nothing_is_signed() {
    for (_, receiver) in Receiver::WORDS {
        let post = made(*receiver, Language::English, Event::Raised, None);
        assert_eq!(post.url.query(), Some("access_token=t"));
        assert!(!post.body.contains("sign\""), "{}", post.body);
        assert!(post.headers.iter().all(|(name, _)| *name != "webhook-signature"));
    }
}

#[test]
fn a_refusal_within_a_200_is_a_failure() {
    use Receiver::{DingTalk, Feishu, Generic, Slack};
    assert_eq!(judge(DingTalk, 200, br#"{"errcode":0,"errmsg":"ok"}"#), Ok(()));
    let refused = judge(DingTalk, 200, b"{\"errcode\":310000,\"errmsg\":\"sign\\nnot match\"}");
    assert_eq!(refused, Err("it refused: 310000: sign\\nnot match".to_owned()));
    assert_eq!(judge(Feishu, 200, br#"{"code":0,"msg":"success"}"#), Ok(()));
    assert!(judge(Feishu, 200, br#"{"code":19021,"msg":"sign match fail"}"#).is_err());
    assert!(judge(Feishu, 200, b"<html>").is_err());
    assert_eq!(judge(Slack, 200, b"ok"), Ok(()));
    assert_eq!(judge(Generic, 204, b""), Ok(()));
    for status in [302, 404, 500] {
        assert_eq!(judge(Generic, status, b""), Err(format!("it answered {status}")));
    }
}
