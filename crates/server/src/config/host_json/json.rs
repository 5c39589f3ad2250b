//! JSON as the Functions host reads it: with comments and commas that nothing follows.

use serde_json::Value;

/// Reads a document. Positions in errors are those of the document.
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&plain(text.strip_prefix('\u{feff}').unwrap_or(text)))
}

/// With blanks in place of comments and of commas before a closing bracket, so that lines stay what they are.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // Where the last comma is, as long as nothing else came.
    let mut comma = None;
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('"', _) => {
                comma = None;
                plain.push(next);
                while let Some(inside) = rest.next() {
                    plain.push(inside);
                    match inside {
                        '"' => break,
                        '\\' => plain.extend(rest.next()),
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                while rest.peek().is_some_and(|skipped| *skipped != '\n') {
                    rest.next();
                }
            }
            ('/', Some('*')) => {
                rest.next();
                let mut before = ' ';
                for skipped in rest.by_ref() {
                    if skipped == '\n' {
                        plain.push('\n');
                    }
                    if (before, skipped) == ('*', '/') {
                        break;
                    }
                    before = skipped;
                }
            }
            (',', _) => {
                comma = Some(plain.len());
                plain.push(next);
            }
            ('}' | ']', _) => {
                if let Some(at) = comma.take() {
                    plain.replace_range(at..=at, " ");
                }
                plain.push(next);
            }
            _ => {
                if !next.is_whitespace() {
                    comma = None;
                }
                plain.push(next);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_last_commas_are_nothing() {
        let text = "\u{feff}{ // one\n \"a\": [1, 2, /* , */ ], /* two\n*/ \"b\": \"// \\\" , }\", }";
        assert_eq!(parse(text).unwrap(), json!({"a": [1, 2], "b": "// \" , }"}));
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for text in ["[1,,2]", "[,1]", "{\"a\":1 \"b\":2}", "/* never ends", "\"", "{\"a\":\"\\", "/"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("{\n/*\n*/\n!}").unwrap_err().line(), 4);
    }
}
