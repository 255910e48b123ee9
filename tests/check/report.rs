//! The four forms of a report.

use watcher::decide::plan::Plan;

use crate::{
    release::{Release, check, info},
    servers::Server,
    world::{HEIGHT, World, assert_told, passed, voted_on},
};

const FORMATS: [&str; 4] = ["text", "json", "github", "junit"];

#[test]
fn an_upgrade_that_will_work_is_ready_in_every_form() {
    let release = Release::good();
    let world = World::with(vec![passed(release.plan("v2", HEIGHT + 57_600))]);
    for format in FORMATS {
        let told = check(&[
            "--rpc",
            &world.network.rpc.url(),
            "--daemon-name",
            "noded",
            "--os-arch",
            "linux/amd64",
            "--format",
            format,
        ]);
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
        let shown = told.stdout.replace(&release.pinned("/amd64")[release.url("/amd64").len() + 17..], "[sha256]");
        assert_told!(shown);
        well_formed(format, &told.stdout);
    }
}

#[test]
fn what_would_break_an_upgrade_is_told_with_its_remedy_in_every_form() {
    let url = format!("https://127.0.0.1:1/noded<b>?checksum=sha256:{}", "ab".repeat(32));
    let hostile = "plan9/386\n::error::x ##[error]]]></testcase>";
    let info = info(&[("linux/amd64", &url), (hostile, "https://example.org/x")]);
    let world = World::with(vec![voted_on(Plan { name: "V2 \u{1b}[31m<\n::x".into(), height: HEIGHT + 29_400, info })]);
    let platforms = ["--os-arch", "linux/amd64", "--os-arch", "linux/arm64"];
    for format in FORMATS {
        let rpc = world.network.rpc.url();
        let told = check(&[&["--rpc", &rpc, "--daemon-name", "noded", "--format", format][..], &platforms].concat());
        assert_eq!((told.code, told.stderr.as_str()), (Some(2), ""), "{told:?}");
        assert!(!told.stdout.contains('\u{1b}'), "no terminal, no colour, and nobody else's either: {told:?}");
        assert_told!(told.stdout);
        well_formed(format, &told.stdout);
    }
}

#[test]
fn what_cannot_be_told_is_neither() {
    let silent = Server::saying(200, "");
    for format in FORMATS {
        let told = check(&["--rpc", &silent.url(), "--format", format]);
        assert_eq!((told.code, told.stderr.as_str()), (Some(3), ""), "{told:?}");
        assert_told!(told.stdout);
        well_formed(format, &told.stdout);
    }
}

/// What the readers of a form rely on.
fn well_formed(format: &str, report: &str) {
    match format {
        "json" => assert!(serde_json::from_str::<serde_json::Value>(report).is_ok(), "{report}"),
        "github" => {
            let known = ["::error title=", "::warning title=", "::notice title=", "ready", "not ready", "cannot tell"];
            for line in report.lines() {
                assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
            }
        }
        "junit" => balanced(report),
        _ => assert!(
            report.lines().all(|line| !line.trim_start().starts_with("::") && !line.contains("##[")),
            "{report}"
        ),
    }
}

/// Whether every tag of an XML text is closed in order, and no text or attribute holds one.
fn balanced(xml: &str) {
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("it says what it is");
    let mut open = Vec::new();
    while let Some((text, tag)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "{tag}");
        rest = after;
        let name = tag.trim_matches('/').split(' ').next().expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{xml}");
    for (_, entity) in xml.split('&').skip(1).map(|part| ("", part.split(';').next().unwrap_or_default())) {
        assert!(["amp", "lt", "gt", "quot", "apos"].contains(&entity), "{entity}");
    }
}
