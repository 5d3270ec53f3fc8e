//! The schema, the table, and what is effective: all from one list of keys.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::tests::{
    MINIMAL, adding, config, contradictions, example_in_full, slips_in_paths, slips_in_prefetches,
    slips_in_values, with,
};
use super::super::{effective, schema};
use super::*;

/// Has a real validator look at texts: the first error of each, if it has one.
fn judge(texts: &[String]) -> Vec<Option<String>> {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/sdk/requirements.txt installed; \
         ./tests/run sees to it",
    );
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let asked = json!({ "schema": schema(), "texts": texts }).to_string();
    child.stdin.take().expect("its input").write_all(asked.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("a list")
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let rules = EXAMPLE.lines().filter_map(|line| line.strip_prefix("#     "));
    let rules = format!("{MINIMAL}\n{}", rules.collect::<Vec<_>>().join("\n"));
    let texts = [MINIMAL.to_owned(), EXAMPLE.to_owned(), example_in_full(), rules];
    for text in &texts {
        config(text);
    }
    assert_eq!(judge(&texts), [None, None, None, None]);
}

/// What a schema can't know: ranges of durations, what a text means, and what keys mean together.
const BEYOND: &[&str] = &[
    "`state_dir` lies below the root of origin `www`",
    "`access_key_id_file` and `access_key_secret_file` name the same file",
    "`control_socket` is 108 bytes long",
    "`root` can't be `/srv/../www`: it goes up with `..`",
    "`endpoint` can't be `http://cdn.aliyuncs.com`: plain http is for this machine only: use https",
    "`endpoint` can't be `https://cdn.aliyuncs.com/v1`: it must be a scheme and a host alone",
    "`endpoint` can't be `https://cdn.aliyuncs.com.evil.example`: it is no host below aliyuncs.com, and would be asked with your access key",
    "`endpoint` can't be `https://b.example`: it must be a scheme and a host alone",
    "`endpoint` can't be `https://cdn.aliyuncs.com`: `endpoint_is_trusted` names another host",
    "`proxy` holds a user or password, which would be read here",
    "`proxy` must be http, a host and a port alone",
    "`domains`: `http://A.example/` is named twice: http and https share a cache entry",
    "`poll_first` (11m) is longer than `poll_max` (10m)",
    "`doubt_gap` is shorter than 60 s",
    "`account` names \"man\", and there is no `[account.man]`",
    "`exclude`: `a[` is not a glob: unclosed character class; missing ']'",
    "`exclude`: `/srv/www/drafts/**` begins with the root",
    "`index`: `a/b` is not a file name: write one such as `index.html`",
    "`settle` can't be \"0s\"",
    "the key files are named, and `from` says that the key is elsewhere",
    "`[account.main]` lacks `access_key_id_file`",
    "`profile` means nothing here",
    "`role_name` means nothing here",
    "`imds_v1` means nothing here",
    "`uri` means nothing here",
    "`external_id` means nothing here",
    "`policy` means nothing here",
    "`sts_endpoint` means nothing here",
    "`sts_endpoint` can't be `http://sts.aliyuncs.com`: plain http is for this machine only: use https",
    "`sts_endpoint` can't be `https://sts.example.com`: it must be a scheme and a host alone",
    "`sts_endpoint` can't be `https://sts.example.com`: it is no host below aliyuncs.com, and would be asked with your access key",
    "`duration` can't be \"1m\"",
    "`prefetch_headers` can't have \"a b\": that is no name of a header",
    "`prefetch_headers` has a value of a that is not a text of plain characters",
    "the options of a prefetch take 1020 bytes of a query, and 1000 are for them",
];

#[test]
fn the_schema_refuses_what_the_reader_refuses_as_far_as_a_schema_can() {
    let mut rows = slips_in_paths();
    rows.extend(slips_in_values());
    rows.extend(contradictions());
    rows.extend(slips_in_prefetches());
    rows.push((with("root =", "rot ="), "an unknown key"));
    rows.push((adding("", "repository = \"/srv/git\""), "root and repository"));
    let gate = format!("{MINIMAL}[origin.www.gate]\nopens = \"content\"");
    rows.push((gate, "a gate without servers"));
    rows.push((
        format!("{MINIMAL}[hook.a]\nprovider = \"generic\"\nsecret_files = [\"/s\"]"),
        "a hook without a header",
    ));
    let texts: Vec<String> = rows.iter().map(|(text, _)| text.clone()).collect();
    let verdicts = judge(&texts);
    let beyond: Vec<&str> = rows
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| verdict.is_none())
        .map(|((_, message), _)| *message)
        .collect();
    assert_eq!(beyond, BEYOND);
}

#[test]
fn what_must_be_there_is_what_the_reader_misses() {
    for (section, required) in super::super::schema::REQUIRED {
        for name in required {
            let pattern =
                if section.is_empty() { (*name).to_owned() } else { format!("{section}.{name}") };
            assert!(keys().contains_key(&pattern), "{pattern}");
        }
    }
}

#[test]
fn every_key_is_told_and_shown() {
    for (pattern, key) in keys() {
        let is_section = matches!(key.form, Form::Family | Form::Table);
        assert!(!key.prose.is_empty() || is_section, "{pattern} is told");
        let is_inside = ["origin.*.rewrite", "origin.*.query", "account.*.verdict"];
        let is_inside = is_inside.iter().any(|list| pattern.starts_with(&format!("{list}.")));
        let is_value = matches!(key.form, Form::One(_) | Form::List(_));
        assert!(key.shown.is_some() || is_inside || !is_value, "{pattern} is shown");
    }
    let batch = &keys()["account.*.batch"];
    assert_eq!(batch.default(), Some("100"));
    assert!(batch.prose.starts_with("How many asks "), "{}", batch.prose);
    assert_eq!(keys()["control_socket"].default(), None);
    let delay = &keys()["origin.*.gate.delay"];
    assert_eq!((delay.default(), delay.shown.as_deref()), (None, Some("\"30s\"")));
}

#[test]
fn every_default_is_what_holds_when_it_is_written() {
    let plain = config(MINIMAL);
    for (pattern, key) in keys() {
        let (front, name) = pattern.rsplit_once('.').unwrap_or(("", &pattern));
        let Some(value) = key.default() else { continue };
        let line = format!("{name} = {value}");
        let text = match front {
            "" => format!("{line}\n{MINIMAL}"),
            "account.*" => {
                adding("", "").replace("[account.main]\n", &format!("[account.main]\n{line}\n"))
            }
            "origin.*" => adding("", &line),
            "hook.*" | "notice.*" | "account.*.credentials" => continue,
            section => {
                let section =
                    section.replace("account.*", "account.main").replace("origin.*", "origin.www");
                format!("{MINIMAL}\n[{section}]\n{line}\n")
            }
        };
        assert_eq!(config(&text), plain, "{pattern}");
    }
}

#[test]
fn what_is_effective_says_where_it_comes_from() {
    let text = adding("poll_first = \"20m\"\n[account.main.quota]\nurl = 5", "settle = \"2s\"");
    let rows = effective(&text);
    let row = |key: &str| {
        let row = rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("{key}"));
        (row.value.as_deref(), row.from, row.line)
    };
    let line = |wanted: &str| text.lines().position(|line| line == wanted).map(|at| at + 1);
    let settle = line("settle = \"2s\"");
    assert_eq!(row("origin.www.settle"), (Some("\"2s\""), "file", settle));
    assert_eq!(row("account.main.quota.url"), (Some("5"), "file", line("url = 5")));
    assert_eq!(row("account.main.quota.regex"), (Some("20"), "default", None));
    assert_eq!(row("account.main.limits.quota_calls"), (Some("20"), "default", None));
    assert_eq!(row("account.main.poll_max"), (Some("\"20m\""), "follows", None));
    assert_eq!(row("origin.www.account"), (Some("\"main\""), "follows", None));
    assert_eq!(row("control_socket"), (None, "environment", None));
    assert_eq!(row("origin.www.repository"), (None, "unset", None));
    assert_eq!(row("hooks.listen"), (Some("\"\""), "default", None));
    assert_eq!(row("origin.www.domains").0, Some("[\"https://www.example.com\"]"));
    assert!(!rows.iter().any(|row| row.key.contains("rewrite.") || row.key.contains('*')));
    assert!(rows.iter().all(|row| !row.key.starts_with("hook.")), "there is none");
}

/// `refreshd check --schema` and `--keys` make these files.
#[test]
fn what_is_generated_is_up_to_date() {
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let schema_file: Value = serde_json::from_str(&file("config.schema.json")).unwrap_or_default();
    assert!(schema_file == schema(), "refreshd check --schema > docs/config.schema.json");
    assert!(file("configuration.md") == table(), "refreshd check --keys > docs/configuration.md");
}
