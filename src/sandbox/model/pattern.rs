//! The regex of a refresh: `[0-9]`, `[a-z]`, `[^/]*` and `.*`; everything else is literal
//! (API reference 1.4).

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text that stands for itself.
    Literal(&'a str),
    /// One of the permitted forms, which is also a regular expression.
    Form(&'static str),
}

const FORMS: [&str; 4] = ["[0-9]", "[a-z]", "[^/]*", ".*"];

/// Takes an expression apart; none when it uses anything that isn't permitted.
pub(crate) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut literal = 0;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let form = FORMS.into_iter().find(|form| text[at..].starts_with(form));
        if let Some(form) = form {
            pieces.push(Piece::Literal(&text[literal..at]));
            pieces.push(Piece::Form(form));
            at += form.len();
            literal = at;
        } else if "[]*\\^|{}".contains(next) {
            return None;
        } else {
            at += next.len_utf8();
        }
    }
    pieces.push(Piece::Literal(&text[literal..]));
    pieces.retain(|piece| *piece != Piece::Literal(""));
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_forms_are_permitted() {
        assert_eq!(
            pieces("http://a.example/[0-9][a-z].*.jpg"),
            Some(vec![
                Piece::Literal("http://a.example/"),
                Piece::Form("[0-9]"),
                Piece::Form("[a-z]"),
                Piece::Form(".*"),
                Piece::Literal(".jpg"),
            ])
        );
        assert!(pieces("http://a.example/[^/]*/x(1)+?y=$").is_some());
        for bad in ["/[a-f]", "/a*", "/[0-9]*", r"/\d", "/a|b", "/x{2}", "/[^/]", "^/"] {
            assert_eq!(pieces(bad), None, "{bad}");
        }
    }
}
