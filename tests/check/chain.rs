//! What is coming on a chain: which plans are looked at, their names and heights, and endpoints that differ.

use axum::http::StatusCode;
use serde_json::Value;
use watcher::sim::chain::{Action, Proposal};

use crate::{
    file_host::CERTIFICATE,
    release::{Release, check, expect, findings, report},
    servers::Server,
    world::{HEIGHT, Told, World, chain, passed, voted_on, watcher},
};

/// Six-second blocks: four days.
const FAR: u64 = HEIGHT + 4 * 14_400;
const AMD64: &[&str] = &["--daemon-name", "noded", "--os-arch", "linux/amd64", "--format", "json"];

fn of(world: &World, arguments: &[&str]) -> Told {
    check(&[&["--rpc", &world.network.rpc.url()], AMD64, arguments].concat())
}

#[test]
fn a_scheduled_plan_may_lead_into_the_operators_network_and_a_proposed_one_may_not() {
    let release = Release::good();
    let world = World::with(vec![passed(release.plan("v2", FAR))]);
    let told = of(&world, &[]);
    assert_eq!(report(&told)["findings"], serde_json::json!([]), "{told:?}");
    assert_eq!(release.host.requests().len(), 1);

    let world = World::with(vec![voted_on(release.plan("v2", FAR))]);
    expect(&of(&world, &[]), "error", "address-private", "v2: linux/amd64: ");
    assert_eq!(release.host.requests().len(), 1, "it is not asked");
    assert_eq!(of(&world, &["--allow-private"]).code, Some(0));
}

/// It was ready, and nothing was coming, for whoever looks at exit codes.
#[test]
fn a_gateway_that_passes_on_nothing_of_what_is_scheduled_is_no_word_of_the_chain() {
    let status = r#"{"result":{"node_info":{"network":"demo-1"},"sync_info":{"latest_block_height":"120",
        "latest_block_time":"2026-01-01T00:00:00Z"}}}"#;
    let not_found = r#"{"error":{"code":-32601,"message":"Method not found"}}"#;
    for (code, said) in [(404, "404 page not found"), (405, ""), (501, ""), (200, not_found)] {
        let code = StatusCode::from_u16(code).expect("a status");
        let gateway = Server::open(axum::Router::new().fallback(move |body: String| async move {
            if body.contains(r#""status""#) { (StatusCode::OK, status) } else { (code, said) }
        }));
        let told = check(&[&["--rpc", &gateway.url()], AMD64].concat());
        assert_eq!(told.code, Some(3), "{told:?}");
        assert!(told.stdout.contains("nobody answered what is scheduled"), "{told:?}");
        assert_eq!(watcher(&["upcoming", "--rpc", &gateway.url()], &[]).code, Some(1));
    }
}

#[test]
fn names_and_heights_that_the_chain_or_a_disk_will_not_take_are_found() {
    let release = Release::good();
    let plan = |name: &str, height: u64| release.plan(name, height);
    let soon = HEIGHT + 2 * 14_400;
    for (proposals, severity, check, says) in [
        (vec![voted_on(plan("v2", HEIGHT + 10))], "error", "height-before-vote", "before the vote ends"),
        (vec![voted_on(plan("v2", soon + 600))], "warning", "height-soon", "is expected 1 h"),
        (vec![voted_on(plan("v2", HEIGHT))], "error", "height-passed", "at 120"),
        (vec![voted_on(plan("..", FAR))], "error", "name-unusable", "\"..\""),
        (vec![voted_on(plan("V2 Next", FAR))], "warning", "name-folder", "upgrades/v2%20next"),
    ] {
        let world = World::with(proposals);
        expect(&of(&world, &["--offline"]), severity, check, says);
    }
    let world = World::with(vec![voted_on(plan("v2", FAR)), voted_on(plan("V2", FAR))]);
    let told = of(&world, &["--offline"]);
    let shared = |finding: &&Value| finding["check"] == "name-shared";
    assert_eq!(findings(&report(&told)).iter().filter(shared).count(), 2, "{told:?}");

    let mut used = chain("demo-1", vec![voted_on(plan("v2", FAR))]);
    used.applied.insert("v2".into(), 50);
    expect(&of(&World::of(used), &["--offline"]), "error", "name-used", "applied at height 50");
}

#[test]
fn what_nobody_decided_on_turns_no_check_red() {
    let release = Release::good();
    let spam = Proposal { vote_at: 1_000_000, ..voted_on(release.plan("..", FAR)) };
    let cancel = Proposal { action: Action::Cancel, ..Proposal::upgrade(release.plan("", 0), 50, 6_000) };
    let world = World::with(vec![passed(release.plan("v2", FAR)), cancel, spam]);
    let told = of(&world, &[]);
    let report = report(&told);
    let checks: Vec<_> = findings(&report).iter().filter_map(|finding| finding["check"].as_str()).collect();
    assert_eq!((told.code, checks), (Some(0), vec!["plan-superseded", "proposal-in-deposit"]), "{told:?}");
    expect(&of(&world, &["--name", "..", "--offline"]), "error", "name-unusable", "..");
    // Whoever waits for it learns that it does not come.
    expect(&of(&world, &["--name", "v2"]), "error", "plan-missing", "no such upgrade");
    expect(&of(&world, &["--name", "v9"]), "error", "plan-missing", "no such upgrade");
    expect(&of(&world, &["--name", "..", "--height", "7"]), "error", "plan-missing", "no such upgrade");

    let told = of(&World::with(vec![]), &[]);
    assert!(told.code == Some(0) && told.stdout.contains("nothing-coming"), "{told:?}");
}

#[test]
fn a_draft_is_held_against_the_chain_it_is_for() {
    let release = Release::good();
    let world = World::with(vec![]);
    let draft = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(draft.path(), release.info()).expect("it can be written");
    let path = draft.path().to_str().expect("a plain path");
    let of = |height: &str| of(&world, &["--info-file", path, "--name", "v2", "--height", height, "--offline"]);
    assert_eq!(of("1000").code, Some(0));
    expect(&of("100"), "error", "height-passed", "v2: height 100");
}

#[test]
fn endpoints_that_differ_are_named() {
    let release = Release::good();
    let of = |worlds: [&World; 2]| {
        let urls = worlds.map(|world| world.network.rpc.url());
        check(&[&["--rpc", &urls[0], "--rpc", &urls[1], "--offline"], AMD64].concat())
    };
    let told = |plan| World::with(vec![passed(plan)]);
    let (honest, twin) = (told(release.plan("v2", FAR)), told(release.plan("v2", FAR)));
    assert_eq!(of([&honest, &twin]).code, Some(0));
    let other_height = told(release.plan("v2", FAR + 1));
    let mut plan = release.plan("v2", FAR);
    plan.info += " ";
    let (other_info, nothing) = (told(plan), World::with(vec![]));
    for liar in [&other_height, &other_info, &nothing] {
        for worlds in [[&honest, liar], [liar, &honest]] {
            let told = of(worlds);
            let report = report(&told);
            let named = liar.network.rpc.url();
            let is_it =
                |finding: &&Value| finding["check"] == "endpoints-disagree" && finding.to_string().contains(&named);
            assert_eq!(findings(&report).iter().filter(is_it).count(), 1, "{told:?}");
        }
    }
    // What is denied may not lead into anybody's network.
    let urls = [&honest, &nothing].map(|world| world.network.rpc.url());
    let denied = check(&[&["--rpc", &urls[0], "--rpc", &urls[1]], AMD64].concat());
    assert!(denied.stdout.contains("address-private"), "{denied:?}");
    // One that is past the height has no plan left, and is no liar.
    let (before, after) = (told(release.plan("v2", HEIGHT + 1)), World::with(vec![]));
    {
        let mut chain = after.network.site.chain();
        chain.save(u64::MAX / 2);
        chain.apply(&[]).expect("no plan is due");
    }
    assert!(!of([&before, &after]).stdout.contains("endpoints-disagree"));
}

#[test]
fn where_nobody_answers_it_cannot_be_told() {
    let html = Server::saying(200, "<html>");
    let told = check(&[&["--rpc", &html.url()], AMD64].concat());
    assert_eq!(told.code, Some(3), "{told:?}");
    let report = report(&told);
    let checks: Vec<_> = findings(&report).iter().filter_map(|finding| finding["check"].as_str()).collect();
    assert_eq!(checks, ["endpoint-failed", "chain-silent"]);
    assert!(told.stdout.contains(&html.url()), "{told:?}");
    // The one that answers is enough, and the other is named.
    let world = World::with(vec![passed(Release::good().plan("v2", FAR))]);
    let urls = [html.url(), world.network.rpc.url()];
    let told = check(&[&["--rpc", &urls[0], "--rpc", &urls[1], "--offline"], AMD64].concat());
    expect(&told, "warning", "endpoint-failed", &urls[0]);
    assert_eq!(told.code, Some(0));
    let rest = check(&[&["--rest", &world.network.rest.url(), "--offline"], AMD64].concat());
    assert_eq!(rest.code, Some(0), "{rest:?}");
}

#[test]
fn a_wrong_command_line_ends_with_64_and_the_remedy() {
    for (arguments, words) in [
        (&[][..], "give --rpc or --rest, --home or --info-file"),
        (&["--rpc", "ftp://host"], "write it as https://host:port/path"),
        (&["--home", "/nonexistent"], "/nonexistent is not the home of a node"),
        (&["--rpc", "http://x", "--os-arch", "linux"], "linux/amd64"),
        (&["--rpc", "http://x", "--daemon-name", "../../noded"], "--daemon-name is the file name"),
        (&["--rpc", "http://x", "--format", "yaml"], "possible values: text, json, github, junit"),
    ] {
        let told = watcher(&[&["check"], arguments].concat(), &[("SSL_CERT_FILE", CERTIFICATE)]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(64), ""), "{told:?}");
        assert!(told.stderr.contains(words), "{told:?}");
    }
}
