//! `refreshd simulate` with the real binary, on small made-up histories.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a configuration of which nothing else exists on this machine.
struct Bench(TempDir);

impl Bench {
    fn new(account: &str) -> Self {
        let bench = Self(tempfile::tempdir().expect("a temporary folder"));
        let text = format!(
            "state_dir = \"/nowhere/state\"\n[account.main]\nendpoint = \"https://cdn.aliyuncs.com\"\n\
             access_key_id_file = \"/nowhere/id\"\naccess_key_secret_file = \"/nowhere/secret\"\n\
             {account}\n[origin.www]\nroot = \"/nowhere/www\"\n\
             domains = [\"https://www.example.com\"]\n"
        );
        bench.write("refreshd.toml", text.as_bytes());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("written");
        self.path(name)
    }

    fn run(&self, history: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_refreshd"))
            .arg("simulate")
            .arg("--config")
            .arg(self.path("refreshd.toml"))
            .arg("--history")
            .arg(history)
            .args(more)
            .output()
            .expect("the command runs")
    }

    fn json(&self, history: &Path, more: &[&str]) -> Value {
        let output = self.run(history, &[more, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A day of very little, all of it for everybody.
const TIGHT: &str = "[account.main.quota]\nurl = 20\ndirectory = 2\nregex = 1\nignore_params = 2\n\
                     reserve = 0";
const EVERY_POLICY: [&str; 2] = ["--policy", "per-url,threshold:5,cover"];
/// 2025-11-22, two hours after a day of the CDN began.
const MORNING: i64 = 1_763_748_000;
const DAY: i64 = 86_400;

/// A change set of pages in a few directories, all of the same kind.
fn set(time: i64, kind: &str, directories: std::ops::Range<u32>, pages: u32) -> String {
    let paths = directories.flat_map(|at| (0..pages).map(move |page| format!("d{at}/{page}.html")));
    let changes: Vec<Value> = paths.map(|path| serde_json::json!([kind, path])).collect();
    serde_json::json!({ "time": time, "changes": changes }).to_string()
}

/// A site of sixty pages that is made, rebuilt as a whole twice, edited, and shrunk.
fn site() -> String {
    let lines = [
        set(MORNING, "A", 0..6, 10),
        set(MORNING + 30 * DAY, "M", 0..6, 10),
        set(MORNING + 40 * DAY, "M", 2..3, 4),
        set(MORNING + 60 * DAY, "M", 0..6, 10),
        set(MORNING + 60 * DAY + 3_600, "M", 0..2, 10),
        set(MORNING + 80 * DAY, "D", 4..6, 10),
    ];
    lines.join("\n") + "\n"
}

#[test]
fn no_policy_overspends_a_day_or_leaves_a_change_uncovered() {
    let bench = Bench::new(TIGHT);
    let history = bench.write("history.jsonl", site().as_bytes());
    let answers = bench.json(&history, &EVERY_POLICY);
    let policies: Vec<&Value> = answers.as_array().expect("a list").iter().collect();
    assert_eq!(policies.len(), 3, "{answers}");
    for answer in &policies {
        assert_eq!((&answer["overspent_days"], &answer["uncovered"]), (&0.into(), &0.into()));
        assert_eq!((&answer["changes"], &answer["targets"]), (&224.into(), &224.into()));
        let days = answer["days"].as_u64().expect("days");
        let most = [("url", 20), ("directory", 2), ("regex", 1), ("ignore_params", 2)];
        for (kind, limit) in most.iter().chain(&[("prefetch", 0)]) {
            let spent = answer["spent"][kind].as_u64().expect("spent");
            assert!(spent <= limit * days, "{kind}: {answer}");
        }
        let lag = &answer["lag_seconds"];
        assert!(lag["p50"].as_u64() >= Some(1), "it settles first: {answer}");
    }
    let [per_url, _, cover] = policies[..] else { panic!("{answers}") };
    let mean = |answer: &Value| answer["lag_seconds"]["mean"].as_f64().expect("a mean");
    assert!(mean(cover) < mean(per_url), "{answers}");
    assert_eq!(per_url["collateral"], serde_json::json!({ "soft": 0, "forced": 0 }));
    assert!(per_url["parked_max"].as_u64() > cover["parked_max"].as_u64(), "{answers}");
}

#[test]
fn the_answer_has_the_promised_keys_and_the_same_input_gives_the_same_bytes() {
    let bench = Bench::new(TIGHT);
    let history = bench.write("history.jsonl", site().as_bytes());
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let one = bench.json(&history, &[]);
    let promised = [
        "changes",
        "collateral",
        "days",
        "held",
        "lag_seconds",
        "overspent_days",
        "parked_max",
        "policy",
        "spent",
        "targets",
        "uncovered",
        "unmapped",
    ];
    assert_eq!(keys(&one), promised);
    assert_eq!(keys(&one["lag_seconds"]), ["max", "mean", "p50", "p90", "p99"]);
    assert_eq!(keys(&one["collateral"]), ["forced", "soft"]);
    assert_eq!(
        keys(&one["spent"]),
        ["directory", "ignore_params", "prefetch", "regex", "tag", "url"]
    );
    let plots = ["one.svg", "two.svg"].map(|name| bench.path(name));
    let answers = plots.each_ref().map(|plot| {
        let plot = plot.to_str().expect("plain");
        let more = ["--spare", "0s,30m,6h", "--plot", plot];
        text(&bench.run(&history, &[EVERY_POLICY.as_slice(), &more].concat()))
    });
    assert_eq!(answers[0], answers[1]);
    for heading in ["per-url", "threshold:5", "cover 0s", "cover 30m", "cover 6h"] {
        assert!(answers[0].contains(heading), "{}", answers[0]);
    }
    let plots = plots.map(|plot| std::fs::read_to_string(plot).expect("drawn"));
    assert_eq!(plots[0], plots[1]);
    assert_eq!(plots[0].matches("<circle").count(), 5, "{}", plots[0]);
}

#[test]
fn a_compressed_history_is_read_as_the_plain_one() {
    let bench = Bench::new(TIGHT);
    let plain = bench.write("history.jsonl", site().as_bytes());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(site().as_bytes()).expect("compressed");
    let bytes = gzip.finish().expect("compressed");
    let compressed = bench.write("any-name", &bytes);
    assert_eq!(bench.json(&plain, &[]), bench.json(&compressed, &[]));
    let cut = bench.write("cut.gz", &bytes[..bytes.len() / 2]);
    let output = bench.run(&cut, &[]);
    assert_eq!(output.status.code(), Some(74), "{}", text(&output));
    assert!(text(&output).contains("was it cut short?"), "{}", text(&output));
}

#[test]
fn every_bad_line_is_named_with_its_number_and_remedy() {
    let bench = Bench::new("");
    let lines = [
        r#"{"time": 100, "changes": [["A", "a.html"]]}"#,
        "",
        r#"{"time": 100.5, "changes": []}"#,
        r#"{"time": 100, "changes": [["X", "a.html"]]}"#,
        r#"{"time": 99, "changes": [["M", "a.html"]]}"#,
        r#"{"time": 100, "changes": [["M", "../a"]]}"#,
        r#"{"time": 100, "changes": [["M"]]}"#,
        r#"{"time": 100}"#,
        "nonsense",
        r#"{"time": 100, "changes": [["D", "a.html"]], "deploy": "d1"}"#,
    ];
    let history = bench.write("history.jsonl", lines.join("\r\n").as_bytes());
    let output = bench.run(&history, &[]);
    assert_eq!(output.status.code(), Some(74));
    let said = text(&output);
    for problem in [
        "line 3: `time` is no whole number of seconds\n",
        "line 4: [\"X\",\"a.html\"] begins with no kind of change: A (added), M (modified) or D",
        "line 5: it is older than the line before; write the oldest first\n",
        "line 6: [\"M\",\"../a\"] does not end in a path below the root",
        "line 7: [\"M\"] does not end in a path",
        "line 8: `changes` is no list\n",
        "line 9: it is not JSON: ",
        "a line is {\"time\": unix seconds, \"changes\": ",
    ] {
        assert!(said.contains(problem), "`{problem}` in {said}");
    }
    assert_eq!(said.lines().count(), 8, "{said}");
    let output = bench
        .run(&bench.write("good.jsonl", format!("{}\n{}", lines[0], lines[9]).as_bytes()), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = bench.run(&bench.write("empty.jsonl", b""), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("the history has no line"), "{}", text(&output));
}

#[test]
fn what_a_guard_would_hold_is_counted_and_goes_out_at_once() {
    let bench = Bench::new("");
    let lines = [
        set(MORNING, "A", 0..60, 10),
        set(MORNING + DAY, "M", 0..60, 10),
        set(MORNING + 2 * DAY, "M", 0..1, 10),
    ];
    let history = bench.write("history.jsonl", lines.join("\n").as_bytes());
    let answer = bench.json(&history, &[]);
    assert_eq!(answer["held"], 1, "a rebuild of all of a site: {answer}");
    assert_eq!(answer["lag_seconds"]["max"], 1, "{answer}");
    assert_eq!(answer["parked_max"], 0, "{answer}");
}

#[test]
fn usage_is_explained() {
    let bench = Bench::new("");
    let history = bench.write("history.jsonl", site().as_bytes());
    for (more, said) in [
        (["--policy", "best"], "write `cover`, `per-url` or `threshold:N`"),
        (["--spare", "3"], "the time has no unit after `3`; write it as `3h`"),
        (["--origin", "ww"], "there is no origin `ww`; known: www"),
    ] {
        let output = bench.run(&history, &more);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains(said), "{}", text(&output));
    }
}
