use serde_json::json;

use super::*;

fn shown(facts: &Value) -> BTreeMap<String, Progress> {
    BTreeMap::from([("www".to_owned(), Progress::of(facts, 20_000_000))])
}

#[test]
fn what_is_left_is_said_with_its_time() {
    let facts = json!({
        "state": "watching", "files": 1_000_000, "directories": 40_000,
        "undigested": 250_000, "undigested_bytes": 4_100_000_000_u64,
    });
    let shown = shown(&facts);
    assert_eq!(
        render(&shown, true),
        ["www: [###############.....]  75 % of 1,000,000 files have a digest, 3 min 25 s left"]
    );
    assert_eq!(
        render(&shown, false),
        [
            "www: 1,000,000 files in 40,000 directories, 250,000 files (4.1 GB) without a digest yet: \
          3 min 25 s left at 20 MB a second"
        ]
    );
    let compared = Progress { comparing: Some(12_000), ..shown["www"].clone() };
    let compared = BTreeMap::from([("www".to_owned(), compared)]);
    assert!(render(&compared, true)[0].ends_with("75 % comparing: 12,000 files seen"));
    assert!(render(&compared, false)[0].contains(", comparing: 12,000 files seen, 250,000 files"));
    assert!(shown["www"].is_open());
}

#[test]
fn an_end_is_an_end() {
    let facts = json!({ "state": "watching", "files": 1, "directories": 1, "undigested": 0 });
    let shown = shown(&facts);
    assert_eq!(render(&shown, true), ["www: 1 file in 1 directory, all digested"]);
    assert!(!shown["www"].is_open());
}

#[test]
fn a_baseline_of_nothing_divides_by_nothing() {
    let facts = json!({ "state": "baseline", "files": 0, "directories": 0 });
    let shown = shown(&facts);
    assert!(render(&shown, true)[0].contains("0 %"));
    assert!(shown["www"].is_open());
}
