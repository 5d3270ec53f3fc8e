//! A command line cut into words as a POSIX shell does, of which nothing else is done: no
//! variables, no patterns, no pipes.

/// Cuts a line into words; an error is a sentence.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or("a single quote is not closed")? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or("a double quote is not closed")? {
                        '"' => break,
                        '\\' => {
                            let next = letters.next().ok_or("a double quote is not closed")?;
                            if !matches!(next, '"' | '\\') {
                                word.push('\\');
                            }
                            word.push(next);
                        }
                        letter => word.push(letter),
                    }
                }
            }
            '\\' => {
                let next = letters.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if words.is_empty() { Err("it is empty") } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_does() {
        for (line, words) in [
            ("get-key", &["get-key"][..]),
            ("  a\tb\nc ", &["a", "b", "c"]),
            (r#"a 'b c' "d e""#, &["a", "b c", "d e"]),
            (r#"a'b'"c"d"#, &["abcd"]),
            (r"a\ b \' \\", &["a b", "'", "\\"]),
            (r#""a\"b\\c\d" '\' ''"#, &[r#"a"b\c\d"#, "\\", ""]),
        ] {
            assert_eq!(split(line).expect(line), words, "{line}");
        }
        for bad in ["", " ", "'a", "\"a", "a\\", "\"a\\"] {
            split(bad).expect_err(bad);
        }
    }
}
