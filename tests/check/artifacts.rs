//! What a plan names for a platform: each way in which it cannot be had or cannot be run.

use std::{fs, future, io::Write as _, time::Duration};

use axum::Router;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    elf::{AMD64, ARM64, program},
    file_host::{Server, found},
    release::{Release, check, expect, findings, info, of_info, of_nameless, report, sha256, tar_gz},
    servers, wait,
    world::command,
};

const OWN: &[&str] = &["--allow-private", "--os-arch", "linux/amd64"];
const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";

#[test]
fn every_way_in_which_a_binary_is_of_no_use_is_told_apart() {
    let good = program(AMD64, "", &[], "");
    let with = |libraries: &[&str]| program(AMD64, GLIBC, libraries, "");
    let mut narrow = good.clone();
    narrow[4] = 1;
    let lib = |run_path: &str| {
        let binary = program(AMD64, GLIBC, &["libc.so.6", "libwasmvm.x86_64.so"], run_path);
        tar_gz(&[("bin/noded", &binary), ("lib/libwasmvm.x86_64.so", b"library")])
    };
    let good_list = |url: &str| info(&[("linux/amd64", url)]);
    let (brought, beside) = (lib("/opt:$ORIGIN/../lib"), lib(""));
    let release = Release::of(&[
        ("/good", good.clone()),
        ("/arm", program(ARM64, "", &[], "")),
        ("/narrow", narrow),
        ("/page", b"<!DOCTYPE html><p>Sign in".to_vec()),
        ("/plain", with(&["libc.so.6", "libm.so.6", "libgcc_s.so.1"])),
        ("/wasm", with(&["libwasmvm.x86_64.so", "libc.so.6"])),
        // The version of a symbol stands among the texts, wherever.
        ("/new", program(AMD64, GLIBC, &["libc.so.6"], "GLIBC_2.39")),
        ("/musl", program(AMD64, "/lib/ld-musl-x86_64.so.1", &["libc.so.6"], "")),
        ("/brought.tar.gz", brought),
        ("/beside.tar.gz", beside),
        ("/other.tar.gz", tar_gz(&[("gaiad", &good), ("README", b"x")])),
        ("/deep.tar.gz", tar_gz(&[("v2/bin/noded", &good), ("v2/README", b"x")])),
        ("/cut.tar.gz", tar_gz(&[("noded", &good), ("x", b"x")])[..40].to_vec()),
        ("/loop", Vec::new()),
        ("/endless", vec![0]),
        ("/sums", format!("{}  good\n{}  bad\n", sha256(&good), "0".repeat(64)).into_bytes()),
        ("/page.json", b"<html>".to_vec()),
    ]);
    let pinned = |path: &str| release.pinned(path);
    let zeros = "0".repeat(64);
    for (url, severity, check, says) in [
        (release.url("/good"), "warning", "checksum-missing", "has no checksum"),
        (format!("{}?checksum=sha256:{zeros}", release.url("/good")), "error", "checksum-wrong", &zeros),
        (format!("{}?checksum=sha256:{}", release.url("/good"), &zeros[1..]), "error", "checksum-malformed", "63"),
        (format!("{}?checksum=blake3:{zeros}", release.url("/good")), "error", "checksum-malformed", "blake3"),
        (format!("{}?checksum=file:{}", release.url("/bad"), release.url("/sums")), "error", "url-unreachable", "404"),
        (
            format!("{}?checksum=file:{}", release.url("/arm"), release.url("/sums")),
            "error",
            "checksum-unusable",
            "arm",
        ),
        (format!("{}?checksum=sha256:{zeros}", release.url("/gone")), "error", "url-unreachable", "404"),
        (pinned("/endless"), "error", "url-unreachable", "larger than 2147483648 bytes"),
        (pinned("/loop"), "error", "url-unreachable", "more than 10 redirects"),
        (format!("https://releases.invalid/x?checksum=sha256:{zeros}"), "error", "url-unreachable", "releases.invalid"),
        ("ftp://example.org/x".into(), "error", "url-unusable", "\"ftp\""),
        ("git::https://example.org/x".into(), "error", "url-unusable", "\"git\""),
        ("noded".into(), "error", "url-unusable", "not an absolute URL"),
        ("http://example.org/x".into(), "error", "checksum-missing", "neither a checksum nor https"),
        (pinned("/arm"), "error", "binary-unfit", "an ELF for arm64"),
        (pinned("/narrow"), "error", "binary-unfit", "32-bit"),
        (pinned("/page"), "error", "binary-unfit", "HTML"),
        (pinned("/wasm"), "error", "library-missing", "libwasmvm.x86_64.so"),
        (pinned("/beside.tar.gz"), "error", "library-missing", "libwasmvm.x86_64.so"),
        (pinned("/new"), "warning", "glibc-version", "2.39"),
        (pinned("/musl"), "error", "loader-missing", "/lib/ld-musl-x86_64.so.1"),
        (pinned("/other.tar.gz"), "error", "daemon-name", "bin/noded or noded"),
        (pinned("/deep.tar.gz"), "error", "daemon-name", "bin/noded or noded"),
        (pinned("/cut.tar.gz"), "error", "archive-unusable", "damaged"),
    ] {
        expect(&of_info(&good_list(&url), OWN), severity, check, says);
    }
    for url in [
        pinned("/good"),
        pinned("/plain"),
        pinned("/brought.tar.gz"),
        format!("{}?checksum=file:{}", release.url("/good"), release.url("/sums")),
    ] {
        let report = report(&of_info(&good_list(&url), OWN));
        assert_eq!(report["findings"], json!([]), "{url}");
        let (written, checksum) = url.split_once("?checksum=").expect("it has one");
        assert_eq!(report["artifacts"], json!([{ "os_arch": "linux/amd64", "url": written, "checksum": checksum }]));
    }
    // An info that is the URL of a document.
    let document = Release::of(&[("/list", good_list(&pinned("/good")).into_bytes()), ("/page", b"<html>".to_vec())]);
    let told = of_info(&document.pinned("/list"), OWN);
    assert_eq!(report(&told)["artifacts"][0]["url"], release.url("/good"));
    expect(&of_info(&document.url("/list"), OWN), "warning", "document-unpinned", "/list");
    expect(&of_info(&document.pinned("/page"), OWN), "error", "document-unusable", "lists no binaries");
}

#[test]
fn every_platform_that_is_asked_for_must_have_a_binary() {
    let release = Release::good();
    let both = ["--allow-private", "--os-arch", "linux/amd64", "--os-arch", "linux/arm64"];
    let told = of_info(&release.info(), &both);
    let listed = report(&told)["artifacts"].as_array().expect("a list").clone();
    assert_eq!(listed.iter().map(|artifact| &artifact["os_arch"]).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
    let told = of_info(&info(&[("linux/amd64", &release.pinned("/amd64"))]), &both);
    expect(&told, "error", "binary-missing", "linux/arm64: cannot find binary");
    let any = info(&[("any", &release.pinned("/amd64"))]);
    expect(&of_info(&any, &both), "error", "binary-unfit", "linux/arm64: ");
    assert_eq!(of_info(&any, &both[..3]).code, Some(0));
    // Nobody told what the executable is called: one file can only be it.
    let archive = Release::of(&[("/x.tar.gz", tar_gz(&[("noded", b"#!/bin/sh\n"), ("README", b"")]))]);
    assert_eq!(of_nameless(&any, OWN).code, Some(0));
    let told = of_nameless(&info(&[("any", &archive.pinned("/x.tar.gz"))]), OWN);
    assert_eq!(told.code, Some(3), "{told:?}");
    expect(&told, "warning", "daemon-name-unknown", "several files");
}

#[test]
fn an_info_without_binaries_says_what_it_is_instead() {
    for (text, check, says) in [
        ("", "info-blank", "blank"),
        ("Please upgrade to v2.", "info-not-json", "not JSON"),
        ("{}", "info-no-binaries", "no \"binaries\""),
        (r#"{"binaries":[]}"#, "info-no-binaries", "not a map"),
        ("file:///etc/passwd", "url-unusable", "\"file\""),
        ("http://example.org/plan.json", "checksum-missing", "neither a checksum nor https"),
    ] {
        expect(&of_info(text, &["--offline"]), "error", check, says);
    }
    let told = of_info(&info(&[("any", &Release::good().pinned("/amd64")), ("docker", "ghcr.io/x")]), &["--offline"]);
    expect(&told, "warning", "entry-unusable", "the entry for docker");
}

#[test]
fn offline_nothing_is_fetched_and_the_rest_is_told() {
    let release = Release::good();
    let told = of_info(&info(&[("any", &release.url("/amd64"))]), &["--offline"]);
    expect(&told, "warning", "checksum-missing", "no checksum");
    assert_eq!(report(&told)["artifacts"][0]["checksum"], json!(null));
    assert_eq!(release.host.requests(), [""; 0]);
}

#[test]
fn offline_a_document_that_was_not_read_leaves_it_unknown() {
    let release = Release::good();
    let told = of_info(&release.pinned("/amd64"), &["--offline"]);
    expect(&told, "warning", "not-fetched", "was not looked at");
    assert_eq!(told.code, Some(3));
}

#[test]
fn a_draft_that_the_chain_would_refuse_is_not_ready() {
    let plan = json!({ "name": "v2", "height": "1000", "info": Release::good().info() });
    let with = |field: &str, value: serde_json::Value| {
        let mut plan = plan.clone();
        plan[field] = value;
        vec![plan]
    };
    for (plans, says) in [
        (with("height", json!("0")), "its height is \"0\""),
        (with("height", json!("12a4")), "its height is \"12a4\""),
        (with("name", json!("")), "its name is \"\""),
        (with("time", json!("2030-01-01T00:00:00Z")), "its time is \"2030-01-01T00:00:00Z\""),
        (with("upgraded_client_state", json!({ "@type": "/x" })), "a plan with upgraded_client_state"),
        (vec![plan.clone(), plan.clone()], "2 plans in one draft"),
    ] {
        let message =
            |plan| json!({ "@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "authority": "x", "plan": plan });
        let draft = json!({ "messages": plans.into_iter().map(message).collect::<Vec<_>>() });
        let told = of_info(&draft.to_string(), &["--offline"]);
        let report = report(&told);
        let mut found = findings(&report).iter().filter(|finding| finding["check"] == "plan-invalid");
        assert!(
            found.any(|finding| finding["message"].as_str().is_some_and(|it| it.contains(says))),
            "{says}: {told:?}"
        );
    }
    let told = of_info(&with("height", json!(1.5))[0].to_string(), &["--offline"]);
    expect(&told, "error", "plan-invalid", "its height is 1.5, and must be a number greater than 0");
    let told = of_info(&format!("\u{feff}{plan}"), &["--offline"]);
    expect(&told, "error", "plan-invalid", "a byte order mark");
    let none = with("time", json!("0001-01-01T00:00:00Z")).remove(0);
    let message = json!({ "@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "authority": "x", "plan": none });
    let told = of_info(&json!({ "messages": [message] }).to_string(), &["--offline"]);
    assert_eq!(told.code, Some(0), "Go writes no time so: {told:?}");
}

#[test]
fn a_host_that_cannot_be_asked_now_leaves_it_unknown_and_is_asked_twice() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port is free");
    let busy = Server::plain(|_| (503, "Retry-After: 0\r\n".to_owned(), Vec::new()));
    let late =
        Server::plain(
            |request| if request.number == 0 { (429, String::new(), Vec::new()) } else { found(b"#!/bin/sh\n") },
        );
    let checked = |base: &str, content: &[u8]| {
        of_info(&info(&[("any", &format!("{base}/x?checksum=sha256:{}", sha256(content)))]), OWN)
    };
    for (base, says) in [(format!("http://{nobody}"), "refused"), (busy.base.clone(), "the server answered 503")] {
        let told = checked(&base, b"");
        expect(&told, "warning", "not-fetched", says);
        assert_eq!(told.code, Some(3), "{told:?}");
    }
    assert_eq!(busy.requests().len(), 2);
    assert_eq!(checked(&late.base, b"#!/bin/sh\n").code, Some(0));
}

#[test]
fn nothing_secret_of_a_drafts_urls_is_told() {
    let url = "https://veiled1:veiled2@example.org/x?X-Amz-Signature=veiled3";
    let sums = format!("{url}&checksum=file:https://veiled4@example.org/sums?veiled5");
    let good = info(&[("linux/amd64", &sums), ("darwin/arm64", &url.replace("https", "http"))]);
    for text in [&good, &info(&[("any", &format!("{url}&checksum=x"))]), url, &good[1..], &good.replace('"', "")] {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(text.as_bytes()).expect("it can be written");
        let path = file.path().to_str().expect("a plain path");
        for format in ["text", "json", "github", "junit"] {
            let offline = [&["--info-file", path, "--format", format, "--offline"], OWN].concat();
            let told = check(&offline);
            assert!(told.stdout.contains("example.org"), "{told:?}");
            assert!(!told.stdout.contains("veiled") && !told.stderr.contains("veiled"), "{told:?}");
        }
    }
}

#[test]
fn a_plan_that_is_not_scheduled_leads_to_no_private_address() {
    let release = Release::good();
    let port = release.host.base.rsplit_once(':').expect("a port").1;
    let pinned = release.pinned("/amd64");
    for host in ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = pinned.replace("127.0.0.1", host);
        let told = of_info(&info(&[("any", &url)]), &["--os-arch", "linux/amd64"]);
        expect(&told, "error", "address-private", "private network");
        assert!(told.stdout.contains(port), "{told:?}");
    }
    // Whoever writes the document chooses its URLs too.
    let told = of_info(&release.pinned("/amd64"), &["--os-arch", "linux/amd64"]);
    expect(&told, "error", "address-private", "private network");
    assert_eq!(release.host.requests(), [""; 0]);
}

#[test]
fn a_draft_a_plan_and_an_info_are_taken_as_they_are_written() {
    let release = Release::good();
    let plan = json!({ "name": "v2-Next", "height": "1000", "info": release.info() });
    let message = json!({ "@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", "authority": "x", "plan": plan });
    let draft = json!({ "messages": [message], "deposit": "1stake", "title": "v2", "expedited": true });
    let transaction = json!({ "body": { "messages": [message] } });
    let nested =
        json!({ "body": { "messages": [{ "@type": "/cosmos.gov.v1.MsgSubmitProposal", "messages": [message] }] } });
    let more = json!({ "binaries": { "any": release.pinned("/amd64") }, "name": "V2", "height": 7 });
    assert_eq!(of_info(&more.to_string(), &["--offline"]).code, Some(0), "an info may say more than it has to");
    for text in [&draft, &transaction, &nested, &plan] {
        let told = of_info(&text.to_string(), &["--offline"]);
        expect(&told, "warning", "name-folder", "v2-Next: its binary lies in upgrades/v2-next");
        assert_eq!(report(&told)["artifacts"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(of_info(&draft.to_string(), &["--offline", "--name", "v2"]).code, Some(0));
    let told = of_info(r#"{"messages":[]}"#, &["--offline"]);
    assert_eq!(told.code, Some(64), "{told:?}");
    assert!(told.stderr.contains("no message schedules an upgrade"), "{told:?}");
}

#[test]
fn an_info_can_come_from_a_pipe() {
    let mut command = crate::world::command(&["check", "--info-file", "-", "--offline"], &[]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn();
    let child = child.as_mut().expect("watcher can be started");
    child.stdin.take().expect("a pipe").write_all(b"{}").expect("it reads");
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
    let told = check(&["--info-file", "/no/such"]);
    assert_eq!(told.code, Some(64));
    assert!(told.stderr.contains("--info-file /no/such"), "{told:?}");
}

/// It was left in TMPDIR, up to 2 GiB each time that a job of CI was cancelled.
#[test]
fn what_was_fetched_goes_with_a_check_that_is_interrupted() {
    let stalls = servers::Server::open(Router::new().fallback(future::pending::<()>));
    let url = format!("{}/noded?checksum=sha256:{}", stalls.url(), "0".repeat(64));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (plan, scratch) = (folder.path().join("plan"), folder.path().join("scratch"));
    fs::write(&plan, info(&[("linux/amd64", &url)])).expect("it can be written");
    fs::create_dir(&scratch).expect("it can be made");
    let [plan, temporary] = [&plan, &scratch].map(|path| path.to_str().expect("a plain path"));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let arguments = [&["check", "--info-file", plan, "--daemon-name", "noded"], OWN].concat();
        let mut check = command(&arguments, &[("TMPDIR", temporary)]).spawn().expect("watcher can be started");
        let left = || fs::read_dir(&scratch).expect("it can be listed").count();
        wait::until("it fetches", Duration::from_secs(20), || (left() > 0).then_some(()));
        let pid = Pid::from_raw(check.id().try_into().expect("a process's number"));
        kill(pid, signal).expect("it runs");
        let code = check.wait().expect("it ends").code();
        assert_eq!((code, left()), (Some(130), 0), "{signal}");
    }
}
