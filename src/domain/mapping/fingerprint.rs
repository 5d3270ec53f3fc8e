//! Names that carry a fingerprint of their content, as bundlers write them: such a file never
//! changes under its name.

/// The shortest fingerprint that bundlers write by default, in characters.
const SHORTEST: usize = 8;

/// Returns the fingerprint in a file's name, if it seems to carry one: between two dots, or before a
/// dot behind a `-` or `_`. Pages are none, whatever their names: people type these.
///
/// Known are hexadecimal digits (webpack, Hugo, Django, Rails, Next.js), eight characters of base64url
/// (Vite, Rollup) and eight of base32 (esbuild). Without a digit it may be a word, and without a
/// letter a date or a version: these are none. Of the 244,554 file names of a Debian machine that was
/// developed on, ten seem to end in one of the last two and don't.
pub(super) fn fingerprint(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let (stem, ending) = name.rsplit_once('.')?;
    if matches!(ending, "html" | "htm" | "xhtml") {
        return None;
    }
    stem.split('.').find_map(|part| {
        let tail = part.rsplit(['-', '_']).next().filter(|tail| is_hexadecimal(tail));
        tail.or_else(|| {
            let cut = part.len().checked_sub(SHORTEST)?;
            let (before, tail) = part.split_at_checked(cut)?;
            (before.ends_with('-') && (is_base64(tail) || is_base32(tail))).then_some(tail)
        })
    })
}

fn has(text: &str, kind: impl Fn(&u8) -> bool) -> bool {
    text.bytes().any(|byte| kind(&byte))
}

fn is_hexadecimal(text: &str) -> bool {
    text.len() >= SHORTEST
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && has(text, u8::is_ascii_digit)
        && has(text, u8::is_ascii_lowercase)
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && has(text, u8::is_ascii_digit)
        && has(text, u8::is_ascii_lowercase)
        && has(text, u8::is_ascii_uppercase)
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
        && has(text, u8::is_ascii_digit)
        && has(text, u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bundlers_write_is_recognised() {
        for (name, expected) in [
            ("app.3f9c1a7b.js", "3f9c1a7b"),
            ("3f9c1a7b.chunk.css", "3f9c1a7b"),
            ("app.3f9c1a7b.js.map", "3f9c1a7b"),
            ("base.27e20196a850.js", "27e20196a850"),
            ("page-5f3b0b1e2c4d6a78.js", "5f3b0b1e2c4d6a78"),
            ("app.min.e3b33391dbc1f4b2cc47778e2f4b86c7.css", "e3b33391dbc1f4b2cc47778e2f4b86c7"),
            ("index-BfX3kq2_.js", "BfX3kq2_"),
            ("vendor-D9-x1_aB.css", "D9-x1_aB"),
            ("chunk-5Z7QX3NA.js", "5Z7QX3NA"),
            ("logo_0d1e2f3a.svg", "0d1e2f3a"),
        ] {
            assert_eq!(fingerprint(name.as_bytes()), Some(expected), "{name}");
        }
    }

    #[test]
    fn words_dates_versions_and_pages_are_not() {
        for name in [
            "app.js",
            "3f9c1a7b",
            "photo-20240101.jpg",
            "IMG_20240101_123456.jpg",
            "jquery-3.6.0.min.js",
            "deadbeef.css",
            "my-component.js",
            "big-MyButton.js",
            "a.facade.js",
            "note-3f9c1a7b.html",
            "x.3f9c1a7.js",
            "é-3f9c1a7é.js",
            "data.json",
        ] {
            assert_eq!(fingerprint(name.as_bytes()), None, "{name}");
        }
        assert_eq!(fingerprint(b"\xff.3f9c1a7b.js"), None);
    }
}
