use std::fs;

use super::*;

fn files(directory: &Path, key_id: &[u8], secret: &[u8]) -> CredentialFiles {
    let files = CredentialFiles {
        key_id: directory.join("id"),
        secret: directory.join("secret"),
        security_token: None,
    };
    fs::write(&files.key_id, key_id).expect("written");
    fs::write(&files.secret, secret).expect("written");
    files
}

#[test]
fn trailing_newlines_are_trimmed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = files(directory.path(), b"LTAIfake\n", b"sEcret\r\n\n");
    files.security_token = Some(directory.path().join("id"));
    let credentials = files.read().expect("a key");
    assert_eq!(credentials.key_id, "LTAIfake");
    assert_eq!(credentials.secret.expose_secret(), "sEcret");
    let token = credentials.security_token.as_ref().expect("a token");
    assert_eq!(token.expose_secret(), "LTAIfake");
    assert!(!format!("{credentials:?}").contains("sEcret"));
}

#[test]
fn what_is_no_key_is_refused_with_file_and_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = vec![b'a'; 20_000];
    for (secret, reason) in [
        (&b" \n"[..], "it is empty"),
        (b"", "it is empty"),
        (b"two words", "holds blanks"),
        (b"two\nlines", "several lines"),
        ("schlüssel".as_bytes(), "other than ASCII"),
        (&long, "longer than 16 KiB"),
    ] {
        let error = files(directory.path(), b"id", secret).read().expect_err("refused").to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("/secret`") && error.contains("write the value alone"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named_with_a_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path(), b"id", b"secret");
    fs::remove_file(&files.key_id).expect("removed");
    let error = files.read().expect_err("missing").to_string();
    assert!(error.contains("/id`") && error.contains("readable for the user"), "{error}");
}

#[test]
fn a_changed_key_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = files(directory.path(), b"id", b"secret").read().expect("a key");
    assert!(before.is_same(&before.clone()));
    let after = files(directory.path(), b"id", b"other").read().expect("a key");
    assert!(!before.is_same(&after));
}
