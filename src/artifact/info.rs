//! Reads what a plan's info says about binaries. The convention is cosmovisor's: JSON with a map from platform to URL, or
//! the URL of such a document; in the wild it is as often blank or prose. Pure text in, an answer out, but for
//! [`local_document`].

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use url::Url;

pub use super::source::{Flaw, Refusal};
use super::{checksum::shortened, source::Source};
use crate::{
    decide::plan::{Artifact, Asks},
    home::read_small,
    http::secrets,
    json::{self, member},
};

/// The platform that binaries are wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Operating system and architecture in Go's words: `linux/amd64`.
    pub os_arch: String,
}

impl Platform {
    /// The platform that this program runs on.
    #[must_use]
    pub fn host() -> Self {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self { os_arch: format!("{os}/{arch}") }
    }
}

/// What a plan's info asks a machine to run.
#[must_use]
pub fn asks(info: &str, platform: &Platform, must_have_checksum: bool) -> Asks {
    read(info, platform, must_have_checksum).unwrap_or_else(Refusal::into_asks)
}

impl Refusal {
    /// What a plan asks for that is refused.
    #[must_use]
    pub fn into_asks(self) -> Asks {
        let Self { flaw, reason } = self;
        match flaw {
            Flaw::Blank | Flaw::NotParsable | Flaw::NoBinaries => Asks::Nothing { reason },
            _ => Asks::Unusable { reason },
        }
    }
}

/// The same, with what is wrong told apart. One bad entry does not spoil the others: only the entry for `platform` (else
/// `any`) is looked at.
///
/// # Errors
/// [`Refusal`] where nothing is asked for, or nothing that can be had.
pub fn read(info: &str, platform: &Platform, must_have_checksum: bool) -> Result<Asks, Refusal> {
    let info = info.trim();
    if !is_reference(info) {
        return binaries(info, platform, must_have_checksum).map(Asks::Artifact);
    }
    let refused = |refusal: Refusal| {
        refusal.flaw.because(format!("the plan's info is a reference that is not followed: {refusal}"))
    };
    Source::parse(info, must_have_checksum).map(|_| Asks::Document { url: info.to_owned() }).map_err(refused)
}

/// The file on this machine that an info names: an absolute path, or a `file` URL without a host.
#[must_use]
pub fn local_file(info: &str) -> Option<PathBuf> {
    let info = info.trim();
    if !is_reference(info) {
        return None;
    }
    if info.starts_with('/') {
        return Some(info.into());
    }
    Url::parse(info).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok())
}

/// What a document on this machine asks it to run.
///
/// # Errors
/// As [`read`]; it lists binaries or is unusable.
pub fn local_document(path: &Path, platform: &Platform, must_have_checksum: bool) -> Result<Asks, Refusal> {
    const LONGEST: u64 = 1 << 20;
    let bytes = read_small(path, LONGEST).map_err(|error| {
        let reason = format!("the plan's info is {}: {error}", path.display());
        Flaw::Url.because(reason)
    })?;
    document(&bytes, platform, must_have_checksum).map(Asks::Artifact).map_err(|refusal| match refusal.flaw {
        Flaw::Blank | Flaw::NotParsable | Flaw::NoBinaries => Flaw::NoMap.because(refusal.reason),
        _ => refusal,
    })
}

/// What a fetched document asks a machine to run. It must list binaries itself: references are followed once.
///
/// # Errors
/// As [`read`].
pub fn document(bytes: &[u8], platform: &Platform, must_have_checksum: bool) -> Result<Artifact, Refusal> {
    let text = core::str::from_utf8(bytes).map_err(|_| Flaw::NotParsable.because("the document is not UTF-8 text"))?;
    binaries(text.trim(), platform, must_have_checksum).map_err(|refusal| match refusal.flaw {
        flaw @ (Flaw::Blank | Flaw::NotParsable | Flaw::NoBinaries) => {
            flaw.because(format!("the document lists no binaries: {refusal}"))
        }
        _ => refusal,
    })
}

/// Whether a URL of a plan says which content it has to have.
#[must_use]
pub fn is_pinned(url: &str) -> bool {
    Source::parse(url, false).is_ok_and(|source| source.checksum.is_some())
}

/// The entries of an info, or of a document, that cosmovisor refuses the whole plan for, each by its key. They are in
/// nobody's way here unless a machine needs that very entry.
#[must_use]
pub fn bad_entries(text: &str) -> Vec<(String, Refusal)> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_platform =
        |key: &str| key == "any" || key.split_once('/').is_some_and(|(os, arch)| is_word(os) && is_word(arch));
    if json::is_bloated(text.as_bytes()) {
        return Vec::new();
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(text.trim()) else { return Vec::new() };
    let Some(Value::Object(binaries)) = member(&fields, "binaries") else { return Vec::new() };
    let bad = |(key, value): (&String, &Value)| {
        let refusal = if is_platform(key) {
            source(value, false).err()?
        } else {
            Flaw::NoPlatform.because("it is no platform in the words of Go, as linux/amd64 is")
        };
        Some((shortened(key), refusal))
    };
    binaries.iter().filter_map(bad).collect()
}

/// A local path, or a URI of any scheme. With white space inside it is prose: `Note: upgrade to v5`.
fn is_reference(info: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let has_scheme = info.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme));
    (info.starts_with('/') || has_scheme) && !info.contains(char::is_whitespace)
}

/// What cannot be read is told in the words that people know from cosmovisor, and behind them in ours.
fn binaries(text: &str, platform: &Platform, must_have_checksum: bool) -> Result<Artifact, Refusal> {
    let none = |why: &str| Err(Flaw::NoBinaries.because(format!("{}: {why}", not_found(platform))));
    if text.is_empty() {
        return Err(Flaw::Blank.because("cannot parse upgrade info: plan info must not be blank"));
    }
    if json::is_bloated(text.as_bytes()) {
        let reason = format!("the plan's info has more parts than one can need: {:?}", shortened(&secrets::text(text)));
        return Err(Flaw::NotParsable.because(reason));
    }
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => return none("the plan's info is null"),
        Ok(other) => {
            let kind = kind(&other);
            return Err(Flaw::NotParsable.because(format!(
                "could not parse plan info: json: cannot unmarshal {kind} into Go value of type plan.Info: it is not an \
                 object with \"binaries\""
            )));
        }
        Err(error) => {
            let (why, shown) = (go_words(text).unwrap_or_else(|| error.to_string()), shortened(&secrets::text(text)));
            let reason = format!("could not parse plan info: {why}: it is not JSON: {shown:?}");
            return Err(Flaw::NotParsable.because(reason));
        }
    };
    match member(&fields, "binaries") {
        None | Some(Value::Null) => none("the plan's info has no \"binaries\""),
        Some(Value::Object(binaries)) if binaries.is_empty() => none("\"binaries\" is empty"),
        Some(Value::Object(binaries)) => choose(binaries, platform, must_have_checksum),
        Some(other) => {
            let kind = kind(other);
            let reason = format!(
                "could not parse plan info: json: cannot unmarshal {kind} into Go struct field Info.binaries of type \
                 plan.BinaryDownloadURLMap: \"binaries\" is not a map from platform to URL"
            );
            Err(Flaw::NoMap.because(reason))
        }
    }
}

fn not_found(Platform { os_arch }: &Platform) -> String {
    format!("cannot find binary for os/arch: neither {os_arch}, nor any")
}

/// What Go calls a kind of JSON.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What Go says of text that does not even begin as JSON does.
fn go_words(text: &str) -> Option<String> {
    let first = text.chars().next().filter(char::is_ascii_graphic)?;
    let begins = first.is_ascii_digit() || "{[\"-tfn".contains(first);
    (!begins).then(|| format!("invalid character {first:?} looking for beginning of value"))
}

fn choose(binaries: &Map<String, Value>, platform: &Platform, must_have_checksum: bool) -> Result<Artifact, Refusal> {
    let Platform { os_arch } = platform;
    let (key, value) = [os_arch.as_str(), "any"]
        .into_iter()
        .find_map(|key| binaries.get(key).map(|value| (key, value)))
        .ok_or_else(|| Flaw::NoBinary.because(not_found(platform)))?;
    let refused = |refusal: Refusal| refusal.flaw.because(format!("the entry for {key}: {refusal}"));
    let Source { url, checksum } = source(value, must_have_checksum).map_err(refused)?;
    Ok(Artifact { os_arch: key.to_owned(), url, checksum })
}

fn source(value: &Value, must_have_checksum: bool) -> Result<Source, Refusal> {
    let written = value.as_str().ok_or_else(|| Flaw::Url.because("it is not a text"))?;
    Source::parse(written, must_have_checksum)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// Any endpoint may say where the document is, and a pipe that nobody writes to would have held up everything.
    #[test]
    fn a_document_on_this_machine_that_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refusal = local_document(&pipe, &linux(), false).unwrap_err();
        assert!(refusal.reason.ends_with("it is not a file"), "{}", refusal.reason);
    }

    fn linux() -> Platform {
        Platform { os_arch: "linux/amd64".into() }
    }

    #[derive(Deserialize)]
    struct Row {
        id: String,
        info: String,
        document: Option<String>,
        expect: BTreeMap<String, Expected>,
    }

    #[derive(Deserialize)]
    struct Expected {
        lenient: Verdict,
        strict: String,
        #[serde(default = "one")]
        times: u32,
    }

    const fn one() -> u32 {
        1
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Verdict {
        Error(String),
        Reference { reference: String, checksum: Option<String> },
        Binary { url: String, checksum: Option<String> },
    }

    /// Where the rules here differ from those that the table was computed with, and why.
    fn differs_on_purpose(row: &Row, platform: &Platform, strict: bool) -> Option<&'static str> {
        let os_arch = platform.os_arch.as_str();
        match row.id.as_str() {
            "gridiron-placeholder" | "dcl-case-4-lots_of_binary_files" if os_arch == "linux/amd64" => {
                Some("a word that is no absolute URL can never be fetched")
            }
            "kaiyo-1-prop-25" => Some("a URL followed by prose is prose"),
            "sdk-issue-16476" if os_arch == "linux/arm64" => Some("the table drops the checksum that the URL has"),
            _ if strict && answer(row, platform, true) == answer(row, platform, false) => {
                Some("a checksum that is missing from the entry of another platform is of no concern to this one")
            }
            _ => None,
        }
    }

    fn answer(row: &Row, platform: &Platform, must_have_checksum: bool) -> Result<Asks, Refusal> {
        match (read(&row.info, platform, must_have_checksum)?, &row.document) {
            (Asks::Document { .. }, Some(text)) => {
                document(text.as_bytes(), platform, must_have_checksum).map(Asks::Artifact)
            }
            (other, _) => Ok(other),
        }
    }

    /// The table's words for what is wrong.
    fn words(flaw: Flaw) -> &'static [&'static str] {
        match flaw {
            Flaw::Blank => &["blank"],
            Flaw::NotParsable | Flaw::NoMap => &["not-parsable"],
            Flaw::NoBinaries => &["no-binaries"],
            // The reference looks at all entries first, those of other platforms too.
            Flaw::NoBinary => &["no-binary-for-platform", "invalid-platform-key", "missing-checksum"],
            Flaw::NoPlatform => &["invalid-platform-key"],
            // What is not fetched can have a bad checksum besides, or none.
            Flaw::Url => &["invalid-url", "malformed-checksum", "missing-checksum"],
            Flaw::NoChecksum => &["missing-checksum"],
            Flaw::Checksum => &["malformed-checksum", "reference-malformed-checksum"],
        }
    }

    fn agrees(verdict: &Verdict, answer: &Result<Asks, Refusal>) -> bool {
        match (verdict, answer) {
            (Verdict::Error(word), Err(refusal)) => words(refusal.flaw).contains(&word.as_str()),
            (Verdict::Reference { reference, checksum }, Ok(Asks::Document { url })) => {
                Source::parse(url, false) == Ok(Source { url: reference.clone(), checksum: checksum.clone() })
            }
            (Verdict::Binary { url, checksum }, Ok(Asks::Artifact(artifact))) => {
                Source::parse(url, false).is_ok_and(|source| source.url == artifact.url)
                    && artifact.checksum == *checksum
            }
            _ => false,
        }
    }

    #[test]
    fn plans_seen_in_the_wild_are_read_as_the_reference_reads_them() {
        let rows = include_str!("../../fixtures/plans/expected.jsonl").lines();
        let (mut right, mut on_purpose) = (0, 0);
        for row in rows.map(|line| serde_json::from_str::<Row>(line).unwrap()) {
            for (os_arch, expected) in &row.expect {
                let platform = Platform { os_arch: os_arch.clone() };
                let lenient = agrees(&expected.lenient, &answer(&row, &platform, false));
                let strict = match expected.strict.as_str() {
                    "same" => agrees(&expected.lenient, &answer(&row, &platform, true)),
                    word => agrees(&Verdict::Error(word.into()), &answer(&row, &platform, true)),
                };
                for (agreed, strictly) in [(lenient, false), (strict, true)] {
                    if agreed {
                        right += expected.times;
                    } else {
                        let reason = differs_on_purpose(&row, &platform, strictly);
                        assert!(
                            reason.is_some(),
                            "{} {os_arch} strict={strictly}: {:?}",
                            row.id,
                            answer(&row, &platform, strictly)
                        );
                        on_purpose += expected.times;
                    }
                }
            }
        }
        assert_eq!((right, on_purpose), (1217, 7));
    }

    #[test]
    fn text_that_names_no_binaries_asks_for_nothing() {
        for info in [
            "",
            " \n",
            "{}",
            "[]",
            "null",
            "7",
            "\"x\"",
            "{\"binaries\":{}}",
            "{\"binaries\":null}",
            "Upgrade to v5",
            "Note: see the forum",
            "v5.0.0-rc1",
            "https://h/v5, commit 89470bd",
            "{\"binaries\":",
        ] {
            assert!(matches!(asks(info, &linux(), true), Asks::Nothing { .. }), "{info}");
        }
    }

    #[test]
    fn what_is_listed_but_cannot_be_used_is_named() {
        for (info, part) in [
            ("/etc/passwd", "not an absolute URL"),
            ("file:///etc/passwd", "\"file\""),
            ("git::https://h/repo", "\"git\""),
            ("http://h/plan.json", "neither a checksum nor https"),
            (r#"{"binaries":["https://h/a"]}"#, "not a map"),
            (r#"{"binaries":{"Linux/AMD64":"https://h/a"}}"#, "neither linux/amd64, nor any"),
            (r#"{"binaries":{"linux/amd64":7,"any":"https://h/a"}}"#, "not a text"),
            (r#"{"binaries":{"any":"ftp://h/a"}}"#, "\"ftp\""),
        ] {
            match asks(info, &linux(), false) {
                Asks::Unusable { reason } => assert!(reason.contains(part), "{info}: {reason}"),
                other => panic!("{info}: {other:?}"),
            }
        }
        let nested = document(b"https://h/plan.json", &linux(), false);
        assert!(nested.is_err_and(|refusal| refusal.reason.starts_with("the document lists no binaries")));
    }

    #[test]
    fn the_key_of_the_platform_wins_over_any_and_case_does_not_matter_for_binaries() {
        let info = r#"{"Binaries":{"any":"https://h/any","linux/amd64":" https://h/own ","docker":"ghcr.io/x"}}"#;
        for (os_arch, key, url) in
            [("linux/amd64", "linux/amd64", "https://h/own"), ("linux/arm64", "any", "https://h/any")]
        {
            let artifact = Artifact { os_arch: key.into(), url: url.into(), checksum: None };
            assert_eq!(asks(info, &Platform { os_arch: os_arch.into() }, false), Asks::Artifact(artifact));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", entry in "[a-z:/?#&=%@+ ]*") {
            let _ = asks(&text, &linux(), true);
            let _ = bad_entries(&serde_json::json!({"binaries": {&text: entry, "a/b": entry}}).to_string());
            let _ = asks(&entry, &linux(), false);
            let _ = asks(&serde_json::json!({"binaries": {"any": entry}}).to_string(), &linux(), false);
            let _ = document(text.as_bytes(), &linux(), false);
        }
    }
}
