//! The configuration as a file: what a newcomer copies must load.

use std::path::Path;

use refreshd::config::Config;

#[test]
fn the_shipped_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.path, path);
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.origins.len(), 1);
}

#[test]
fn a_broken_file_names_itself_and_its_lines() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("refreshd.toml");
    std::fs::write(&path, "state_dir = \"/s\"\nstatedir = 1\n[account.main\n").expect("written");
    let problems = Config::load(&path).expect_err("must be refused");
    let rows = problems.rows();
    assert!(rows.iter().all(|row| row.file == path.display().to_string()));
    assert_eq!(rows[0].line, Some(3), "{problems}");
    std::fs::write(&path, [0xff, 0xfe]).expect("written");
    let problems = Config::load(&path).expect_err("must be refused");
    assert!(problems.to_string().contains("UTF-8"), "{problems}");
}
