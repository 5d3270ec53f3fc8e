//! Each risky setting, row by row.

use super::super::tests::{MINIMAL, adding, config, with};

/// A mode that nobody else may read.
const SHUT: u32 = 0o100_400;

fn told(text: &str, mode: u32) -> Vec<String> {
    let risks = config(text).risks(text, &|_| Some(mode));
    risks.map(|risks| risks.rows().into_iter().map(|row| row.message).collect()).unwrap_or_default()
}

#[test]
fn each_risky_setting_is_told_of_and_no_other() {
    let quota = |line: &str| adding(&format!("[account.main.quota]\n{line}"), "");
    let hold = |line: &str| format!("{MINIMAL}[origin.www.hold]\n{line}");
    let hook = "[hook.a]\nprovider = \"github\"\nsecret_files = [\"/s\"]\n";
    let listen = |address: &str| format!("{MINIMAL}[hooks]\nlisten = \"{address}\"\n{hook}");
    let second = "[origin.z]\nroot = \"/srv/z\"\ndomains = [\"https://www.example.com\"]";
    let rows = [
        (
            adding("[account.main.limits]\nrefresh_calls = 51", ""),
            "`refresh_calls` is 51, and 50 are",
        ),
        (
            adding("[account.main.limits]\nurls_per_minute = 10001", ""),
            "`urls_per_minute` is 10001",
        ),
        (quota("reserve = 0"), "`reserve` is 0"),
        (quota("directory = 19"), "5 percent of 19 directory refreshes is less than one"),
        (adding("batch = 501", ""), "`batch` is 501"),
        (adding("doubt_gap = \"11m\"", ""), "`doubt_gap` is 11m"),
        (adding("", "settle = \"2s\""), "`settle` is 2s and `deploy_deadline` 10s"),
        (adding("", "settle = \"7m\"\ndeploy_deadline = \"1h\""), ""),
        (adding("", "settle = \"1250ms\""), ""),
        (adding("", "exclude = [\"a\", \"**\"]"), "`exclude` has \"**\""),
        (adding("", "exclude = [\"a/**\"]"), ""),
        (hold("changed_percent = 0"), "`changed_percent` is off"),
        (hold("removed_percent = 0"), "`removed_percent` is off"),
        (hold("quota_percent = 0"), "`quota_percent` is off"),
        (hold("root = false"), "`root` is off"),
        (adding("", "poll_every = \"4s\""), "`poll_every` is 4s"),
        (adding("", "digest_mb_per_second = 0"), "`digest_mb_per_second` is 0"),
        (format!("control_socket = \"/srv/www/s\"\n{MINIMAL}"), "the socket lies below the root"),
        (format!("{MINIMAL}[hooks]\nsocket = \"/srv/www/s\""), "the socket lies below the root"),
        (listen("0.0.0.0:8377"), "anybody who reaches 0.0.0.0:8377 may try"),
        (listen("127.0.0.1:8377"), ""),
        (format!("{}sources = [\"192.0.2.0/24\"]", listen("0.0.0.0:8377")), ""),
        (
            format!("{MINIMAL}[web]\nlisten = \"0.0.0.0:8378\""),
            "anybody who reaches 0.0.0.0:8378 may read",
        ),
        (format!("{MINIMAL}[web]\nlisten = \"127.0.0.1:8378\""), ""),
        (format!("{MINIMAL}{second}"), "origins `www` and `z` both serve https://www.example.com/"),
        (MINIMAL.to_owned(), ""),
        (super::super::EXAMPLE.to_owned(), ""),
    ];
    for (text, wanted) in rows {
        let told = told(&text, SHUT);
        match wanted {
            "" => assert_eq!(told, [""; 0], "{text}"),
            wanted => assert!(told.len() == 1 && told[0].starts_with(wanted), "{wanted}: {told:?}"),
        }
    }
    let long = adding("", "settle = \"11m\"\ndeploy_deadline = \"1h\"");
    assert_eq!(told(&long, SHUT).len(), 2, "late, and in pieces");
}

#[test]
fn a_secret_that_others_may_read_is_told_of() {
    let hook = format!("{MINIMAL}[hook.a]\nprovider = \"github\"\nsecret_files = [\"/s\"]\n");
    let token = adding("", "")
        .replace("[account.main]\n", "[account.main]\nsecurity_token_file = \"/t\"\n");
    for (text, number) in [(MINIMAL.to_owned(), 1), (hook, 2), (token, 2)] {
        let told = told(&text, 0o100_644);
        assert_eq!(told.len(), number, "{told:?}");
        assert!(told.iter().all(|one| one.ends_with("may be read by every user of this machine")));
    }
    assert_eq!(told(MINIMAL, 0o100_640), [""; 0], "a group is somebody's choice");
}

#[test]
fn a_risk_is_shown_where_it_is() {
    let text = adding("batch = 900", "");
    let risks = config(&text).risks(&text, &|_| None).expect("a risk");
    insta::assert_snapshot!(risks.render(false));
    let nowhere = with("[origin.www]", "[account.main.quota]\nreserve = 0\n[origin.www]");
    assert_eq!(
        config(&nowhere).risks(&nowhere, &|_| None).expect("a risk").rows()[0].line,
        Some(8)
    );
}
