//! Comma-separated values as far as three short fields need them (RFC 4180): quotes, and spaces before a field.

/// The records, each of three fields; empty lines are none.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<String>>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_end().is_empty());
    lines.map(|(index, line)| record(line).map_err(|error| format!("record on line {}: {error}", index + 1))).collect()
}

fn record(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut fields, mut rest) = (Vec::new(), Some(line.trim_end_matches('\r')));
    while let Some(text) = rest {
        let text = text.trim_start();
        let (field, after) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                text.split_once(',').map_or((text.to_owned(), None), |(field, after)| (field.to_owned(), Some(after)))
            }
        };
        fields.push(field);
        rest = after;
    }
    if fields.len() == 3 { Ok(fields) } else { Err("wrong number of fields") }
}

/// What stands before the closing quote, and what follows the comma behind it.
fn unquote(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((inside, after)) = rest.split_once('"') {
        field.push_str(inside);
        match after.chars().next() {
            None => return Ok((field, None)),
            Some(',') => return Ok((field, Some(&after[1..]))),
            Some('"') => field.push('"'),
            Some(_) => return Err("extraneous or missing \" in quoted-field"),
        }
        rest = &after[1..];
    }
    Err("extraneous or missing \" in quoted-field")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_quotes_and_leading_spaces() {
        let records = parse("v2, /a/b,10\r\n\n\"v,3\",  \"/a \"\"b\"\"\", 20\n").unwrap();
        assert_eq!(records, [["v2", "/a/b", "10"], ["v,3", "/a \"b\"", "20"]]);
        assert_eq!(parse("\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_line() {
        assert_eq!(parse("v2,/a,1\nv3,/a"), Err("record on line 2: wrong number of fields".into()));
        assert!(parse("\"v2,/a,1").is_err() && parse("\"v2\"x,/a,1").is_err() && parse("a,b,c,d").is_err());
    }
}
