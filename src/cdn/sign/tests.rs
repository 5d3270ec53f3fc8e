//! Signing and verifying against the published vector and six made with the official clients.

use serde_json::Value;

use super::*;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("`{name}` is text"))
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let object = value.as_object().expect("an object");
    let pair =
        |(name, value): (&String, &Value)| (name.clone(), value.as_str().expect("text").to_owned());
    object.iter().map(pair).collect()
}

/// `vector` holds the request, `signed` the headers and what they sign to.
fn check(vector: &Value, signed: &Value) {
    let name = text(vector, "name");
    let query = canonical_query(&pairs(&vector["query"]));
    assert_eq!(query, text(vector, "query_string_canonical"), "{name}");
    let payload_sha256 = hex_sha256(text(vector, "body").as_bytes());
    assert_eq!(payload_sha256, text(vector, "payload_sha256"), "{name}");
    let headers = pairs(&signed["headers"]);
    let signable = Signable {
        method: text(vector, "method"),
        query: &query,
        headers: &headers,
        payload_sha256: &payload_sha256,
    };
    let (key_id, secret) = (text(vector, "access_key_id"), text(vector, "access_key_secret"));
    let signature = text(signed, "signature");
    assert_eq!(signable.canonical_request(), text(signed, "canonical_request"), "{name}");
    assert_eq!(signable.string_to_sign(), text(signed, "string_to_sign"), "{name}");
    assert_eq!(signable.signature(secret), signature, "{name}");
    assert_eq!(signable.authorization(key_id, secret), text(signed, "authorization"), "{name}");

    assert!(signable.verify(secret, signature), "{name}");
    assert!(!signable.verify("another secret", signature), "{name}");
    assert!(!signable.verify(secret, &signature[..62]), "{name}");
    assert!(!signable.verify(secret, &"zz".repeat(32)), "{name}");
    let altered = Signable { query: "Force=true", ..signable };
    assert!(!altered.verify(secret, signature), "{name}");
}

#[test]
fn all_seven_vectors_sign_and_verify() {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/signing-vectors.json"))
            .expect("JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 7);
    let mut minimal = 0;
    for vector in vectors {
        check(vector, vector);
        if vector["minimal_headers"].is_object() {
            check(vector, &vector["minimal_headers"]);
            minimal += 1;
        }
    }
    assert_eq!(minimal, 6);
}
