//! The rules for URLs of a plan: which may be fetched, what their parameters say, and how they are shown. A plan is text
//! that anybody can propose, so only http and https are ever followed, and never without a checksum over plain http.

use url::Url;

use super::checksum::{Checksum, shortened};
use crate::http::secrets;

/// What is wrong with a plan's info, or with one URL in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// There is nothing in it.
    Blank,
    /// It is neither JSON nor the URL of a document.
    NotParsable,
    /// It is JSON, and no binaries are in it.
    NoBinaries,
    /// What it calls binaries is no map from platform to URL.
    NoMap,
    /// A key of that map that is no platform.
    NoPlatform,
    /// No binary for the platform.
    NoBinary,
    /// No URL, or one of a scheme that is not fetched.
    Url,
    /// No checksum where there has to be one.
    NoChecksum,
    /// A checksum that no file can have.
    Checksum,
}

/// Something that is not as it has to be, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What.
    pub flaw: Flaw,
    /// For people.
    pub reason: String,
}

impl Flaw {
    /// A refusal for this, in these words.
    pub(super) fn because(self, reason: impl Into<String>) -> Refusal {
        Refusal { flaw: self, reason: reason.into() }
    }
}

/// A URL of a plan that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The URL as written, without its `checksum` parameter.
    pub(super) url: String,
    /// `<type>:<lower-case hex>` or `file:<url>`.
    pub(super) checksum: Option<String>,
}

impl Source {
    /// Reads a URL with an optional `checksum` parameter.
    pub(super) fn parse(written: &str, must_have_checksum: bool) -> Result<Self, Refusal> {
        let written = written.trim();
        let shown = redacted(written);
        let url = web_url(written).map_err(|reason| Flaw::Url.because(reason))?;
        let checksum = match parameter(&url, "checksum").filter(|value| !value.is_empty()) {
            Some(text) => Some(normal_checksum(&text).map_err(|reason| {
                Flaw::Checksum
                    .because(format!("malformed checksum in {shown}: {reason}; the proposal has to be corrected"))
            })?),
            None => None,
        };
        if checksum.is_none() && must_have_checksum {
            let reason = format!("{shown} has no checksum, and DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM demands one");
            return Err(Flaw::NoChecksum.because(reason));
        }
        if checksum.is_none() && url.scheme() != "https" {
            let reason = format!("{shown} has neither a checksum nor https, so nothing vouches for what it answers");
            return Err(Flaw::NoChecksum.because(reason));
        }
        Ok(Self { url: without_parameter(written, "checksum"), checksum })
    }
}

/// What a checksum demands: a digest, or the line for this file in a file of sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    Digest(Checksum),
    Sums(Url),
}

impl Demand {
    /// Reads a checksum as it stands in an artifact.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((scheme, sums)) if scheme.eq_ignore_ascii_case("file") => {
                let url = web_url(sums)?;
                if url.scheme() != "https" {
                    return Err(format!("the file of sums {} is not fetched over https", redacted(sums)));
                }
                Ok(Self::Sums(url))
            }
            _ => text.parse().map(Self::Digest).map_err(|error: super::checksum::ChecksumError| error.to_string()),
        }
    }
}

fn normal_checksum(text: &str) -> Result<String, String> {
    Ok(match Demand::parse(text)? {
        Demand::Digest(checksum) => checksum.to_string(),
        Demand::Sums(_) => format!("file:{}", text.split_once(':').map_or(text, |(_, url)| url)),
    })
}

/// An absolute http or https URL.
pub(super) fn web_url(written: &str) -> Result<Url, String> {
    let shown = redacted(written);
    let url = Url::parse(written).map_err(|error| format!("{shown:?} is not an absolute URL ({error})"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("{shown} has the scheme {other:?}; only http and https are fetched")),
    }
}

/// The URL to ask for: without the parameters that are meant for the downloader.
pub(super) fn request_url(written: &str) -> Result<Url, String> {
    web_url(&without_parameter(written, "archive"))
}

/// The first value of a query parameter, decoded.
pub(super) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The last component of a URL's path, decoded: the name that a file of sums calls the file by.
pub(super) fn file_name(url: &Url) -> String {
    secrets::decoded(url.path().rsplit('/').next().unwrap_or_default())
}

/// Removes a query parameter and leaves every other byte of the URL as the plan has it.
fn without_parameter(written: &str, name: &str) -> String {
    let (rest, fragment) = written.split_once('#').map_or((written, None), |(rest, fragment)| (rest, Some(fragment)));
    let Some((path, query)) = rest.split_once('?') else { return written.to_owned() };
    let is_it = |pair: &&str| url::form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(key, _)| key == name);
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_it(pair)).collect();
    let mut url = path.to_owned();
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    url
}

/// A URL as it may be shown: nothing secret, no endless tail, nothing that a terminal acts on.
#[must_use]
pub fn redacted(url: &str) -> String {
    fit(&secrets::file(url))
}

/// Text from outside, as it may be shown where it is not quoted.
pub(super) fn fit(text: &str) -> String {
    shortened(text).replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_checksum_parameter_is_taken_out_and_nothing_else_is_touched() {
        for (written, url, checksum) in [
            (format!("https://h/a?checksum=sha256:{HASH}"), "https://h/a", Some(format!("sha256:{HASH}"))),
            (
                format!("https://h/a?x=1&checksum={HASH}&archive=zip"),
                "https://h/a?x=1&archive=zip",
                Some(format!("sha256:{HASH}")),
            ),
            (
                format!("http://h/a%20b?checksum=SHA256%3A{}", HASH.to_uppercase()),
                "http://h/a%20b",
                Some(format!("sha256:{HASH}")),
            ),
            (
                "https://h/a?checksum=file:https://h/sums?v=1".into(),
                "https://h/a",
                Some("file:https://h/sums?v=1".into()),
            ),
            ("https://h//a?checksum=".into(), "https://h//a", None),
            (" https://h/a?b=c#d ".into(), "https://h/a?b=c#d", None),
        ] {
            let source = Source::parse(&written, false).unwrap();
            assert_eq!((source.url.as_str(), source.checksum), (url, checksum), "{written}");
        }
    }

    #[test]
    fn what_nothing_vouches_for_or_is_not_of_the_web_is_refused() {
        for (written, must, part) in [
            ("http://h/a", false, "neither a checksum nor https"),
            ("https://h/a", true, "DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM"),
            ("git::https://h/a", false, "\"git\""),
            ("file:///etc/passwd", false, "\"file\""),
            ("s3::https://h/a", false, "\"s3\""),
            ("/usr/bin/gaiad", false, "not an absolute URL"),
            ("URL1", false, "not an absolute URL"),
            ("https://h/a?checksum=sha256:zz", false, "malformed checksum"),
            ("https://h/a?checksum=file:/etc/sums", false, "malformed checksum"),
            ("https://h/a?checksum=file:http://h/sums", false, "https"),
        ] {
            let refused = Source::parse(written, must).unwrap_err().reason;
            assert!(refused.contains(part), "{written}: {refused}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redacted("https://me:secret@h/a?b"), "https://h/a?…");
        assert!(!Source::parse("http://me:secret@h/a", false).unwrap_err().reason.contains("secret"));
        assert!(!Source::parse("ftp://me:secret@h/a", false).unwrap_err().reason.contains("secret"));
    }

    #[test]
    fn a_file_is_called_by_its_decoded_name() {
        assert_eq!(file_name(&Url::parse("https://h/v1/gaiad%2Bmeta+x&y.zip?z").unwrap()), "gaiad+meta+x&y.zip");
    }
}
