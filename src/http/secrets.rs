//! What of an address may be shown. It may hold a password, a token in its query, or a key in its path; logs, reports and
//! receipts are read by more people than those who may have them. A plan that is on the chain is public: what scripts and
//! `watcher` itself read of it (the list as JSON, `upgrade-info.json`, receipts, the record) has it to the letter.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use url::{Url, form_urlencoded};

/// A shorter part of an address is no secret, and hiding it would make holes in words.
const SHORTEST: usize = 4;

/// An endpoint by scheme, host and port: providers put a customer's key anywhere in its path.
#[must_use]
pub fn endpoint(url: &Url) -> String {
    let more = url.path() != "/" || url.query().is_some();
    origin(url) + if more { "/…" } else { "" }
}

/// The same of an address as it is written, which may have no scheme, or be none.
#[must_use]
pub fn written_endpoint(written: &str) -> String {
    if !written.contains("://") {
        return written_endpoint(&format!("http://{written}")).replacen("http://", "", 1);
    }
    match Url::parse(written) {
        Ok(url) if url.has_host() => endpoint(&url),
        _ => malformed(written),
    }
}

/// The URL of a file: its path tells which file it is, its query may hold a signature, and is not needed for that. A checksum
/// is `file:` and such a URL, or has nothing to hide.
#[must_use]
pub fn file(written: &str) -> String {
    if let Some(sums) = written.strip_prefix("file:").filter(|sums| sums.contains("://")) {
        return format!("file:{}", file(sums));
    }
    match Url::parse(written) {
        Ok(url) if url.has_host() => {
            let more = url.query().or(url.fragment()).is_some();
            if !more && url.username().is_empty() && url.password().is_none() {
                return written.to_owned();
            }
            origin(&url) + url.path() + if more { "?…" } else { "" }
        }
        _ => malformed(written),
    }
}

/// A text with URLs of files in it.
#[must_use]
pub fn text(text: &str) -> String {
    let piece = |piece: &str| if piece.contains("://") { file(piece) } else { piece.to_owned() };
    let is_end = |c: char| c.is_whitespace() || c == '"';
    text.split_inclusive(is_end)
        .map(|part| {
            let inner = part.trim_end_matches(is_end);
            piece(inner) + &part[inner.len()..]
        })
        .collect()
}

/// What was said by whoever was asked at an address, without what it says again of that. What was cut may end within it.
pub(crate) fn hidden(said: &str, asked: &Url) -> String {
    let mut secrets: Vec<String> = asked.path().split('/').map(str::to_owned).collect();
    secrets.push(asked.path().trim_end_matches('/').to_owned());
    secrets.extend([Some(asked.username()), asked.password(), asked.query()].into_iter().flatten().map(str::to_owned));
    let meant: Vec<String> = secrets.iter().map(|secret| decoded(secret)).collect();
    secrets.extend(meant);
    let [user, password] = [asked.username(), asked.password().unwrap_or_default()].map(decoded);
    secrets.push(BASE64.encode(format!("{user}:{password}")));
    secrets.extend(asked.query_pairs().map(|(_, value)| value.into_owned()));
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut said = secrets.iter().fold(said.to_owned(), |said, secret| said.replace(secret.as_str(), "…"));
    let cut = |secret: &String| {
        let starts = secret.char_indices().map(|(at, _)| &secret[..at]).filter(|start| start.len() >= SHORTEST);
        starts.rev().find(|start| said.ends_with(start)).map(str::len)
    };
    if let Some(cut) = secrets.iter().filter_map(cut).max() {
        said.truncate(said.len() - cut);
        said.push('…');
    }
    said
}

fn origin(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What is no URL, as far as it is surely no secret: a password may hold anything, `/` and `?` too.
fn malformed(written: &str) -> String {
    let text = written.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.rsplit('@').next().unwrap_or_default().to_owned();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_host = (has_port || host.ends_with(']')) && !path.contains('@');
    format!("{scheme}://{}{}", if is_host { host } else { "…" }, if path.is_empty() { "" } else { "/…" })
}

/// Percent-encoded text as it was meant.
pub(crate) fn decoded(text: &str) -> String {
    let as_value = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(as_value.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (written, as_endpoint, as_file) in [
            ("https://h/v1/key/", "https://h/…", "https://h/v1/key/"),
            ("https://h:8080", "https://h:8080", "https://h:8080"),
            ("https://u:p@h/a?b#c", "https://h/…", "https://h/a?…"),
            ("https://u:se@cret@h", "https://h", "https://h/"),
            ("https://token@[::1]:8080?key", "https://[::1]:8080/…", "https://[::1]:8080/?…"),
            ("https:/u:p@h/a", "https/…", "https://h/a"),
            // What is no URL.
            ("https://u:p@ho st/a?b", "https://ho st/…", "https://ho st/…"),
            ("https://u:p/w@h/a", "https://…/…", "https://…/…"),
            ("https://u:p?w@h/a", "https://…", "https://…"),
            ("https://u:p", "https://…", "https://…"),
            ("git::https://u:p@h/a", "git::https://h/…", "git::https://h/…"),
            ("u:p@h/a?b", "h/…", "h/a"),
            ("file:https://u:p@h/a?b", "file:https://h/…", "file:https://h/a?…"),
            ("noded", "noded", "noded"),
        ] {
            assert_eq!(
                (written_endpoint(written).as_str(), file(written).as_str()),
                (as_endpoint, as_file),
                "{written}"
            );
        }
        let prose = "{\"any\": \"https://u:p@h/a?b\", x:https://h/c?d }\nIs it? u@h";
        assert_eq!(text(prose), "{\"any\": \"https://h/a?…\", x:https://h/… }\nIs it? u@h");
    }

    #[test]
    fn what_is_said_again_of_an_address_is_hidden_also_where_it_was_cut() {
        let asked = Url::parse("https://user:pa%40word@h/v1/key1/?token=to%2Fken").unwrap();
        for (said, shown) in [
            ("Cannot POST /v1/key1/", "Cannot POST …/"),
            ("no key1 in v1", "no … in v1"),
            ("pa%40word, pa@word, user", "…, …, …"),
            ("token=to%2Fken or to/ken", "… or …"),
            ("Basic dXNlcjpwYUB3b3Jk", "Basic …"),
            ("Bearer pa%40w", "Bearer …"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(hidden(said, &asked), shown);
        }
    }
}
