//! The words of findings, as an operator reads them.

use std::os::unix::fs::PermissionsExt;

use super::finding::Level;
use super::*;
use crate::domain::own::CdnDomain;
use crate::domain::verdict::{Failure, Reached};

const UNIT: &str = "LoadState=loaded
ExecStart={ path=/usr/bin/refreshd ; argv[]=/usr/bin/refreshd run --config /etc/refreshd/refreshd.toml ; ignore_errors=no }
User=refreshd
ProtectHome=yes
PrivateTmp=yes
ProtectSystem=strict
StateDirectory=refreshd
ReadWritePaths=
";

fn config(state: &str, root: &str) -> Config {
    let text = format!(
        "state_dir = \"{state}\"\n[account.main]\nendpoint = \"https://cdn.aliyuncs.com\"\n\
         access_key_id_file = \"/k/id\"\naccess_key_secret_file = \"/k/secret\"\n\
         [origin.www]\nroot = \"{root}\"\ndomains = [\"https://www.example.com\"]\n"
    );
    Config::parse(&text, Path::new(super::super::DEFAULT_CONFIG), None).expect("it is good")
}

#[test]
fn the_limits_are_judged_by_what_is_needed() {
    let small = kernel::Limits {
        watches: ("fs.inotify.max_user_watches", 8_192),
        instances: 4,
        queue: 1_024,
    };
    insta::assert_snapshot!(finding::render(&small.findings(40_000, 3)));
    let roomy = kernel::Limits {
        watches: ("fs.inotify.max_user_watches", 524_288),
        instances: 128,
        queue: 16_384,
    };
    insta::assert_snapshot!(finding::render(&roomy.findings(40_000, 3)));
}

#[test]
fn the_unit_is_judged_by_what_it_hides() {
    let unit = Unit::parse(UNIT, "").expect("loaded");
    let hidden = config("/data/refreshd", "/home/alice/site");
    assert!(unit.is_about(&hidden));
    insta::assert_snapshot!(finding::render(&unit.findings(&hidden)));
    let fine = config("/var/lib/refreshd", "/srv/www");
    insta::assert_snapshot!(finding::render(&unit.findings(&fine)));
    assert_eq!(Unit::parse("LoadState=not-found\nUser=\n", ""), None);
}

#[test]
fn the_shipped_unit_hands_over_the_key_files_where_no_drop_in_takes_them_away() {
    let text = include_str!("../../../systemd/refreshd.service");
    let hands = |text: &str, name: &str| {
        let file = Path::new("/etc/refreshd/credentials").join(name);
        Unit::parse(UNIT, text).expect("loaded").hands(name, &file)
    };
    for name in ["access_key_id", "access_key_secret"] {
        assert!(hands(text, name), "{name}");
        assert!(!hands(&format!("{text}\n[Service]\nLoadCredential=\n"), name), "{name}");
    }
    assert!(!hands(text, "another"));
}

#[test]
fn what_sends_no_events_is_named() {
    use crate::source::mounts::Mounts;
    let table = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        40 27 0:50 / /srv/www rw shared:7 - nfs4 host:/www rw\n\
        41 40 0:51 / /srv/www/media rw - fuse.sshfs host: rw\n\
        42 40 0:52 / /srv/www/.git rw - fuse.sshfs host: rw\n";
    let mut findings = Vec::new();
    for root in ["/srv/www", "/srv/docs"] {
        let config = config("/var/lib/refreshd", root);
        let origin = config.origins.values().next().expect("one");
        let place = mounts::judge(&Mounts::parse(table), Path::new(root));
        findings.extend(tree::events(origin, place));
    }
    insta::assert_snapshot!(finding::render(&findings));
}

#[test]
fn a_full_disk_and_a_wrong_clock_are_said() {
    let mut findings = place::room(5_000_000, Some(3));
    findings.extend(place::room(150_000_000, None));
    findings.extend(place::room(90_000_000_000, Some(1_000_000)));
    findings.extend([-3_700, 75, 59].map(cdn::time));
    findings.extend(
        [("no", false), ("yes", false), ("", true), ("", false)]
            .map(|(answer, set)| clock::judge(answer, set)),
    );
    insta::assert_snapshot!(finding::render(&findings));
}

#[test]
fn the_answers_of_the_cdn_are_told_apart() {
    let config = config("/var/lib/refreshd", "/srv/www");
    let account = config.accounts.values().next().expect("one");
    let refusal = |status, code: Option<&str>, message: &str| {
        Err(Failure {
            reached: status,
            code: code.map(str::to_owned),
            message: message.to_owned(),
            retry_after: None,
            request_id: None,
        })
    };
    let answers = [
        refusal(Reached::Answered(400), Some("SignatureDoesNotMatch"), "The signature is wrong."),
        refusal(Reached::Answered(404), Some("InvalidAccessKeyId.NotFound"), "No such key."),
        refusal(Reached::Answered(403), Some("Forbidden.RAM"), "Not authorized."),
        refusal(Reached::Answered(400), Some("CdnServiceNotFound"), "It is not open."),
        refusal(Reached::Answered(400), Some("Throttling.User"), "Slow down."),
        refusal(Reached::Nothing, None, "dns error"),
    ];
    let findings: Vec<Finding> = answers.iter().map(|told| cdn::key(account, told)).collect();
    insta::assert_snapshot!(finding::render(&findings));
}

#[test]
fn domains_that_the_account_cannot_refresh_are_named() {
    let config = config("/var/lib/refreshd", "/srv/www");
    let account = "main".into();
    let listed = |name: &str, status: &str| CdnDomain { name: name.into(), status: status.into() };
    let refusal = Failure {
        reached: Reached::Answered(403),
        code: Some("Forbidden.RAM".to_owned()),
        message: "Not authorized.".to_owned(),
        retry_after: None,
        request_id: None,
    };
    let answers = [
        Ok(vec![listed("www.example.com", "online")]),
        Ok(vec![listed("www.example.com", "offline")]),
        Ok(vec![listed("example.com", "online")]),
        Ok(Vec::new()),
        Err(refusal.clone()),
        Err(Failure { code: None, message: "dns error".to_owned(), ..refusal }),
    ];
    let hosts = config.hosts(&account);
    let findings: Vec<Finding> =
        answers.iter().flat_map(|answer| cdn::domains(&account, &hosts, answer)).collect();
    insta::assert_snapshot!(finding::render(&findings));
}

#[test]
fn what_a_daemon_says_of_itself_is_repeated() {
    let status = serde_json::json!({
        "version": "0.0.1",
        "origins": {
            "docs": { "state": "watching", "note": "", "advice": "raise the limit: sysctl …" },
            "far": { "state": "polling", "polled": [{ "path": ".", "why": "nfs4 sends no events" }] },
            "www": { "state": "unavailable", "note": "the root /srv/www does not exist" },
        },
        "accounts": { "main": { "note": "the CDN can't be reached" } },
        "held": [{}],
    });
    let findings = daemon(&status, Some(7));
    let text = finding::render(&findings).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
}

#[test]
fn hooks_that_nobody_reaches_or_that_prove_little_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret\n").expect("a file");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let found = |listen: &str, hook: &str| {
        let text = format!(
            "state_dir = \"/nowhere\"\n[account.main]\nendpoint = \"http://127.0.0.1:9\"\n\
             [origin.www]\nroot = \"/srv/www\"\ndomains = [\"https://www.example.com\"]\n\
             [hooks]\nlisten = \"{listen}\"\n{hook}"
        );
        let config = Config::parse(&text, Path::new("x.toml"), None);
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let found = hooks::look(&config, &Who::own());
        found.into_iter().map(|one| (one.level, one.what)).collect::<Vec<_>>()
    };
    let hook = |provider: &str| {
        let secret = secret.display();
        format!("[hook.h]\nprovider = \"{provider}\"\nsecret_files = [\"{secret}\"]\n")
    };
    let well = (Level::Ok, "they are there, and closed to others".to_owned());
    assert_eq!(found("", ""), []);
    assert_eq!(found("127.0.0.1:1", &hook("github")), std::slice::from_ref(&well));
    let unheard = (Level::Broken, "there are hooks, and nothing listens for them".to_owned());
    assert_eq!(found("", &hook("github")), [unheard, well.clone()]);
    let open = (Level::Advice, "0.0.0.0:1 is open to others, without TLS".to_owned());
    let weak = (Level::Advice, "its token proves who sends, not what is sent".to_owned());
    assert_eq!(found("0.0.0.0:1", &hook("gitlab-token")), [open, well, weak]);
    let idle = (Level::Advice, "something listens for hooks, and there are none".to_owned());
    assert_eq!(found("127.0.0.1:1", ""), [idle]);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let (level, what) = found("127.0.0.1:1", &hook("github")).remove(0);
    assert_eq!(level, Level::Broken);
    assert!(what.contains("is open to every user of this machine"), "{what}");
}
