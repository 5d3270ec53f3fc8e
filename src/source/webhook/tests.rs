use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::domain::hook::{Encoding, Generic, Provider};
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_774_000_000);
const EVERYBODY: &str = "It's a Secret to Everybody";
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const JEFE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
const JEFES: &[u8] = b"what do ya want for nothing?";

/// A vector of the Standard Webhooks suites.
const GO: Signed = Signed {
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    at: 1_614_265_330,
    body: br#"{"test": 2432232314}"#,
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};

#[derive(Clone, Copy)]
struct Signed {
    secret: &'static str,
    id: &'static str,
    at: i64,
    body: &'static [u8],
    signature: &'static str,
}

impl Signed {
    fn verify(self, provider: &Provider, now: i64) -> Result<Verified, Refused> {
        let at = self.at.to_string();
        let headers = [
            ("webhook-id", self.id),
            ("webhook-timestamp", &at),
            ("webhook-signature", self.signature),
        ];
        let now = Timestamp::from_seconds(now);
        verify(provider, &secrets(provider, &[self.secret]), &of(&headers), self.body, now)
    }
}

fn secrets(provider: &Provider, texts: &[&str]) -> Secrets {
    let texts = texts.iter().map(|text| (*text).into()).collect();
    Secrets::read(provider, texts).expect("secrets")
}

fn of(headers: &[(&str, &str)]) -> Headers {
    Headers::new(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

/// Judges a delivery with one header and one secret.
fn judge(
    provider: &Provider,
    secret: &str,
    header: (&str, &str),
    body: &[u8],
) -> Result<Verified, Refused> {
    verify(provider, &secrets(provider, &[secret]), &of(&[header]), body, NOW)
}

fn hmac(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn generic(encoding: Encoding, timestamp: Option<&str>) -> Provider {
    Provider::Generic(Generic {
        header: "x-signature".to_owned(),
        prefix: String::new(),
        encoding,
        timestamp: timestamp.map(str::to_owned),
        id: Some("x-id".to_owned()),
    })
}

#[test]
fn published_signatures_are_right_and_no_bit_of_body_or_signature_may_differ() {
    let adnanh = "sha256=f417af3a21bd70379b5796d5f013915e7029f62c580fb0f500f59a35a6f04c89";
    let atlassian = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    let first = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
    let rows: [(Provider, &str, &str, &str, &[u8]); 8] = [
        (Provider::GitHub, EVERYBODY, "X-Hub-Signature-256", GITHUB, b"Hello, World!"),
        (Provider::GitHub, "secret", "X-Hub-Signature-256", adnanh, br#"{"a": "z"}"#),
        (Provider::Bitbucket, EVERYBODY, "X-Hub-Signature", atlassian, b"Hello World!"),
        (Provider::BitbucketServer, EVERYBODY, "X-Hub-Signature", atlassian, b"Hello World!"),
        (Provider::Gitea, "Jefe", "X-Gitea-Signature", JEFE, JEFES),
        (Provider::Forgejo, "Jefe", "X-Forgejo-Signature", JEFE, JEFES),
        (Provider::Gogs, "Jefe", "X-Gogs-Signature", JEFE, JEFES),
        (generic(Encoding::Hex, None), &"\x0b".repeat(20), "X-Signature", first, b"Hi There"),
    ];
    for (provider, secret, header, signature, body) in rows {
        let verified = judge(&provider, secret, (header, signature), body);
        assert_eq!(verified, Ok(Verified { key: None, event: "push".to_owned() }));
        let wrong = judge(&provider, "another", (header, signature), body);
        assert_eq!(wrong, Err(Refused::Mismatch(header.to_ascii_lowercase())));
        for at in 0..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            let judged = judge(&provider, secret, (header, signature), &flipped);
            assert_eq!(judged.expect_err("flipped").word(), "mismatch");
        }
        let start = signature.len() - 64;
        for at in start..signature.len() {
            let digit = signature.as_bytes()[at];
            let other = if digit == b'0' { "1" } else { "0" };
            let flipped = format!("{}{other}{}", &signature[..at], &signature[at + 1..]);
            let judged = judge(&provider, secret, (header, &flipped), body);
            assert_eq!(judged.expect_err("flipped").word(), "mismatch");
        }
    }
}

#[test]
fn a_signature_is_32_bytes_in_the_one_header_of_its_provider() {
    let digits = &GITHUB[7..];
    for (headers, word) in [
        (vec![], "missing"),
        (vec![("x-hub-signature-256", "")], "empty"),
        (vec![("x-hub-signature-256", "sha256=")], "empty"),
        (vec![("x-hub-signature-256", digits)], "malformed"),
        (vec![("x-hub-signature-256", &GITHUB[..GITHUB.len() - 2])], "malformed"),
        (vec![("x-hub-signature-256", &format!("{GITHUB}00"))], "malformed"),
        (vec![("x-hub-signature-256", &GITHUB.replace('7', "+"))], "malformed"),
        (vec![("x-hub-signature-256", &GITHUB.replacen("sha256", "sha1", 1))], "malformed"),
        (vec![("x-hub-signature-256", &format!("{GITHUB}, {GITHUB}"))], "malformed"),
        (vec![("x-hub-signature-256", GITHUB), ("X-Hub-Signature-256", GITHUB)], "twice"),
        // GitHub's old header, with a right SHA-1 and with a right SHA-256.
        (vec![("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")], "missing"),
        (vec![("x-hub-signature", GITHUB)], "missing"),
    ] {
        let secrets = secrets(&Provider::GitHub, &[EVERYBODY]);
        let judged = verify(&Provider::GitHub, &secrets, &of(&headers), b"Hello, World!", NOW);
        let refused = judged.expect_err(word);
        assert_eq!(refused.word(), word, "{headers:?}");
        assert!(!refused.to_string().contains(&digits[..16]), "{refused}");
    }
    let upper = GITHUB.to_ascii_uppercase().replacen("SHA", "sha", 1);
    let header = ("x-hub-signature-256", upper.as_str());
    judge(&Provider::GitHub, EVERYBODY, header, b"Hello, World!").expect("the same 32 bytes");
    // The same digits are refused under another provider's name: no provider is guessed.
    for provider in [Provider::Gitea, Provider::Bitbucket, Provider::Gogs, Provider::GitLabToken] {
        let header = ("x-hub-signature-256", GITHUB);
        let refused = judge(&provider, EVERYBODY, header, b"Hello, World!").expect_err("guessed");
        assert_eq!(refused.word(), "missing");
    }
}

#[test]
fn each_provider_names_the_headers_of_which_one_must_be_there() {
    let others = [generic(Encoding::Hex, None)];
    let all = Provider::NAMED.iter().map(|(_, provider)| provider).chain(&others);
    for provider in all {
        let long = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let none = verify(provider, &secrets(provider, &[long]), &of(&[]), b"{}", NOW);
        assert_eq!(none.expect_err("nothing").word(), "missing");
        assert!(must_have(provider).iter().all(|name| name.to_ascii_lowercase() == *name));
    }
}

#[test]
fn any_live_secret_fits_and_one_that_was_taken_away_does_not() {
    let live = |texts: &[&str]| {
        let header = [("x-hub-signature-256", GITHUB)];
        let secrets = secrets(&Provider::GitHub, texts);
        verify(&Provider::GitHub, &secrets, &of(&header), b"Hello, World!", NOW).is_ok()
    };
    assert!(live(&["the new one", EVERYBODY]) && live(&[EVERYBODY, "the new one"]));
    assert!(live(&[&format!("{EVERYBODY}\n")]) && live(&[&format!("{EVERYBODY}\r\n")]));
    assert!(!live(&["the new one"]) && !live(&[&format!("{EVERYBODY} ")]));
}

#[test]
fn secrets_are_read_whole_or_refused_and_never_shown() {
    let read = |provider: &Provider, text: &str| {
        Secrets::read(provider, vec![text.into()]).map(|secrets| format!("{secrets:?}"))
    };
    for text in ["", "\n", "\r\n", "abc", "abc\n"] {
        assert_eq!(read(&Provider::GitHub, text).expect_err(text), BadSecret::Short);
    }
    for text in ["whsec_", "whsec_YWI="] {
        assert_eq!(read(&Provider::GitLab, text).expect_err(text), BadSecret::Short);
    }
    for text in ["whsec_!", "It's a Secret", "whsec_whsec_", "whsec_MfKQ 9r8G"] {
        assert_eq!(read(&Provider::StandardWebhooks, text).expect_err(text), BadSecret::Base64);
    }
    assert_eq!(Secrets::read(&Provider::GitHub, vec![]).expect_err("none"), BadSecret::None);
    let shown = read(&Provider::GitHub, "canary canary").expect("a secret");
    assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    let headers = of(&[("X-Gitlab-Token", "canary")]);
    assert_eq!(format!("{headers:?}"), r#"{"x-gitlab-token"}"#);
}

#[test]
fn a_token_is_the_secret_and_nothing_like_it() {
    let is_right = |token: &str| {
        judge(&Provider::GitLabToken, EVERYBODY, ("X-Gitlab-Token", token), b"{}").is_ok()
    };
    assert!(is_right(EVERYBODY));
    for wrong in ["", "It's", "It's a Secret to Everybody ", "it's a secret to everybody", "\0"] {
        assert!(!is_right(wrong), "{wrong}");
    }
    let judged = |texts: &[&str], tokens: &[&str]| {
        let headers: Vec<_> = tokens.iter().map(|token| ("x-gitlab-token", *token)).collect();
        let secrets = secrets(&Provider::GitLabToken, texts);
        let verified = verify(&Provider::GitLabToken, &secrets, &of(&headers), b"{}", NOW);
        verified.map_err(|refused| refused.word()).map(|_| ())
    };
    assert_eq!(judged(&["the new one", EVERYBODY], &[EVERYBODY]), Ok(()));
    assert_eq!(judged(&[EVERYBODY, "the new one"], &[EVERYBODY]), Ok(()));
    assert_eq!(judged(&["the new one"], &[EVERYBODY]), Err("mismatch"));
    assert_eq!(judged(&[EVERYBODY], &[EVERYBODY, "other"]), Err("twice"));
}

#[test]
fn standard_webhooks_are_signed_with_id_and_time_five_minutes_either_way() {
    let rust = Signed {
        secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        at: 1_649_367_553,
        body: br#"{"email":"test@example.com","username":"test_user"}"#,
        signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    };
    let gitlab = Signed {
        secret: "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=",
        id: "msg_1",
        at: 1_774_000_000,
        body: br#"{"object_kind":"push"}"#,
        signature: "v1,AR57IU4+Pv+XXVmX2EkYDKuD7lsPcWWtTaLIzri094A=",
    };
    for (provider, signed) in [
        (Provider::StandardWebhooks, GO),
        (Provider::StandardWebhooks, rust),
        (Provider::GitLab, gitlab),
    ] {
        for by in [-300, -1, 0, 1, 300] {
            let verified = signed.verify(&provider, signed.at + by).expect("right and fresh");
            assert_eq!(verified.key.as_deref(), Some(signed.id));
        }
        for by in [-301, 301, -86_400, 86_400] {
            let refused = signed.verify(&provider, signed.at + by).expect_err("not fresh");
            assert_eq!(refused, Refused::Stale { seconds: by.unsigned_abs(), ago: by > 0 });
        }
        let wrong = [
            Signed { at: signed.at + 1, ..signed },
            Signed { id: "msg_2", ..signed },
            Signed { body: b"{}", ..signed },
            Signed { secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAA", ..signed },
        ];
        for wrong in wrong {
            let refused = wrong.verify(&provider, signed.at).expect_err("another");
            assert_eq!(refused.word(), "mismatch");
        }
    }
}

#[test]
fn of_several_signatures_one_fits_and_what_is_none_never_does() {
    let wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let judged = |signature: &str| {
        let signature = String::leak(signature.to_owned());
        let verified = Signed { signature, ..GO }.verify(&Provider::StandardWebhooks, GO.at);
        verified.map_err(|refused| refused.word()).map(|_| ())
    };
    let v2 = wrong.replacen("v1", "v2", 1);
    assert_eq!(judged(&format!("{wrong} {v2} {} {wrong}", GO.signature)), Ok(()));
    assert_eq!(judged(&format!("v1, v1a,AAAA {}", GO.signature)), Ok(()));
    assert_eq!(judged(wrong), Err("mismatch"));
    assert_eq!(judged(""), Err("empty"));
    let bare = GO.signature.replacen("v1,", "", 1);
    let other = GO.signature.replacen("v1", "v2", 1);
    // 31 and 33 bytes; padding that hides bits; a comma for the space.
    let (short, long) = (format!("v1,{}g==", "A".repeat(41)), format!("v1,{}", "A".repeat(44)));
    let hidden = GO.signature.replacen("OE=", "OF=", 1);
    let comma = format!("{},{wrong}", GO.signature);
    for odd in ["v1,", "v1", ",", " ", "v1, v1,", &bare, &other, &short, &long, &hidden, &comma] {
        assert_eq!(judged(odd), Err("malformed"), "{odd}");
    }
}

#[test]
fn all_three_headers_of_standard_webhooks_must_be_there_once() {
    let (provider, at) = (Provider::StandardWebhooks, GO.at.to_string());
    let all = [
        ("webhook-id", GO.id),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", GO.signature),
    ];
    let secrets = secrets(&provider, &[GO.secret]);
    let now = Timestamp::from_seconds(GO.at);
    let judged = |headers: &[(&str, &str)]| {
        verify(&provider, &secrets, &of(headers), GO.body, now).map_err(|refused| refused.word())
    };
    judged(&all).expect("all three");
    for (at, (name, value)) in all.into_iter().enumerate() {
        let mut others = all.to_vec();
        others.remove(at);
        assert_eq!(judged(&others), Err("missing"), "{name}");
        assert_eq!(judged(&[&others[..], &[(name, "")]].concat()), Err("empty"), "{name}");
        assert_eq!(judged(&[&all[..], &[(name, value)]].concat()), Err("twice"), "{name}");
    }
    for odd in ["now", "-1", "+1614265330", "1614265330.0", " 1614265330", "99999999999999999999"] {
        let odd = [all[0], ("webhook-timestamp", odd), all[2]];
        assert_eq!(judged(&odd), Err("malformed"), "{odd:?}");
    }
    for odd in ["a b", "a\u{e9}", &"a".repeat(201)] {
        let odd = [("webhook-id", odd), all[1], all[2]];
        assert_eq!(judged(&odd), Err("malformed"), "{odd:?}");
    }
}

#[test]
fn a_form_is_signed_as_a_whole_by_github_and_by_its_payload_elsewhere() {
    let json = r#"{"zen":"a & b = ü"}"#;
    let form: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", json).finish();
    let kind = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    let (of_form, of_json) =
        (hex(&hmac(b"Jefe", form.as_bytes())), hex(&hmac(b"Jefe", json.as_bytes())));
    let judged = |provider: &Provider, header: &str, signature: &str, body: &str| {
        let headers = of(&[kind, (header, signature), ("X-GitHub-Event", "ping")]);
        let secrets = secrets(provider, &["Jefe"]);
        verify(provider, &secrets, &headers, body.as_bytes(), NOW).map_err(|refused| refused.word())
    };
    let github = |digits: &str| {
        judged(&Provider::GitHub, "X-Hub-Signature-256", &format!("sha256={digits}"), &form)
    };
    assert!(github(&of_form).is_ok_and(|verified| verified.event == "ping"));
    assert_eq!(github(&of_json), Err("mismatch"));
    for (provider, header) in [
        (Provider::Gitea, "X-Gitea-Signature"),
        (Provider::Forgejo, "X-Gitea-Signature"),
        (Provider::Gogs, "X-Gogs-Signature"),
    ] {
        judged(&provider, header, &of_json, &form).expect("the payload's");
        assert_eq!(judged(&provider, header, &of_form, &form), Err("mismatch"));
        for odd in ["", "payloads=1", &format!("{form}&{form}")] {
            assert_eq!(judged(&provider, header, &of_json, odd), Err("form"), "{odd}");
        }
    }
}

#[test]
fn forgejos_own_header_is_judged_where_it_is_there() {
    let wrong = "0".repeat(64);
    let judged = |headers: &[(&str, &str)]| {
        let secrets = secrets(&Provider::Forgejo, &["Jefe"]);
        let verified = verify(&Provider::Forgejo, &secrets, &of(headers), JEFES, NOW);
        verified.map_err(|refused| refused.word()).map(|_| ())
    };
    let (own, giteas) = ("X-Forgejo-Signature", "X-Gitea-Signature");
    assert_eq!(judged(&[(own, JEFE), (giteas, &wrong)]), Ok(()));
    assert_eq!(judged(&[(giteas, JEFE)]), Ok(()));
    assert_eq!(judged(&[(own, &wrong), (giteas, JEFE)]), Err("mismatch"));
    assert_eq!(judged(&[(own, ""), (giteas, JEFE)]), Err("empty"));
}

#[test]
fn a_generic_hook_is_signed_as_it_is_configured() {
    let body = br#"{"ref":"refs/heads/main"}"#;
    let base64 = |bytes: &[u8]| base64::Engine::encode(&secrets::BASE64, bytes);
    let at = NOW.as_seconds() - 300;
    let timed = format!("{at}.{}", str::from_utf8(body).expect("text"));
    let provider = generic(Encoding::Base64, Some("x-time"));
    let judged = |signature: &str, at: i64| {
        let at = at.to_string();
        let headers = of(&[("X-Signature", signature), ("X-Time", &at), ("X-Id", "7")]);
        let secrets = secrets(&provider, &["Jefe"]);
        verify(&provider, &secrets, &headers, body, NOW).map_err(|refused| refused.word())
    };
    let right = base64(&hmac(b"Jefe", timed.as_bytes()));
    assert!(judged(&right, at).is_ok_and(|verified| verified.key.as_deref() == Some("7")));
    assert_eq!(judged(&right, at + 1), Err("mismatch"));
    assert_eq!(judged(&base64(&hmac(b"Jefe", body)), at), Err("mismatch"));
    let late = timed.replacen(&at.to_string(), &(at - 1).to_string(), 1);
    assert_eq!(judged(&base64(&hmac(b"Jefe", late.as_bytes())), at - 1), Err("stale"));
    let signature = base64(&hmac(b"Jefe", body));
    let untimed = generic(Encoding::Base64, None);
    judge(&untimed, "Jefe", ("X-Signature", &signature), body).expect("without a time");
    let hex = hex(&hmac(b"Jefe", body));
    let refused = judge(&untimed, "Jefe", ("X-Signature", &hex), body).expect_err("hex");
    assert_eq!(refused.word(), "malformed");
}

#[test]
fn a_delivery_has_its_senders_id_which_is_short_and_visible() {
    let token = ("X-Gitlab-Token", EVERYBODY);
    let key = |headers: &[(&str, &str)], body: &[u8]| {
        let headers = of(&[&[token], headers].concat());
        let secrets = secrets(&Provider::GitLabToken, &[EVERYBODY]);
        let judged = verify(&Provider::GitLabToken, &secrets, &headers, body, NOW);
        judged.map(|verified| verified.key.unwrap_or_default())
    };
    let idempotency = ("Idempotency-Key", "i");
    assert_eq!(key(&[], b"{}").as_deref(), Ok(""));
    assert_eq!(key(&[("X-Gitlab-Event-UUID", "u"), idempotency], b"{}").as_deref(), Ok("i"));
    let of = |body| key(&[("X-Gitlab-Event-UUID", "u")], body).expect("an id");
    assert!(of(b"{}").starts_with("u+") && of(b"{}") == of(b"{}") && of(b"{}") != of(b"{} "));
    for odd in ["a b", "a\tb", "\u{1b}[0m", &"a".repeat(201)] {
        let refused = key(&[("Idempotency-Key", odd)], b"{}").expect_err(odd);
        assert_eq!(refused.word(), "malformed");
    }
    let github = ("X-Hub-Signature-256", GITHUB);
    for (name, value, word) in [
        ("X-GitHub-Delivery", "", "empty"),
        ("X-GitHub-Delivery", "a b", "malformed"),
        ("X-GitHub-Event", "a\nb", "malformed"),
    ] {
        let headers = self::of(&[github, (name, value)]);
        let secrets = secrets(&Provider::GitHub, &[EVERYBODY]);
        let judged = verify(&Provider::GitHub, &secrets, &headers, b"Hello, World!", NOW);
        assert_eq!(judged.expect_err(name).word(), word);
    }
}
