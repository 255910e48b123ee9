//! What plans, documents, sums and files say.

use std::fs;

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use watcher::{
    artifact::{
        Platform,
        checksum::{Checksum, find_sum},
        info,
        inspect::inspect,
    },
    config::{duration, file::File},
    decide::plan::Asks,
    home::{upgrade_info, version},
};

use crate::{bent, cases, in_company, in_time, is_fit};

fn refused_in_few_words(asks: &Asks) -> bool {
    match asks {
        Asks::Nothing { reason } | Asks::Unusable { reason } => is_fit(reason),
        Asks::Artifact(_) | Asks::Document { .. } => true,
    }
}

#[test]
fn plans_seen_in_the_wild_that_are_bent_are_read_or_refused_in_few_words() {
    let _company = in_company();
    let rows = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/plans/expected.jsonl")).lines();
    let infos: Vec<String> = rows
        .map(|row| serde_json::from_str::<serde_json::Value>(row).expect("a row is JSON"))
        .map(|row| row["info"].as_str().expect("it has an info").to_owned())
        .collect();
    let platform = Platform { os_arch: "linux/amd64".into() };
    let strategy = (select(infos), bent::bends(), bent::cuts(), any::<bool>());
    let run = |(info, bends, cuts, strict): (String, Vec<_>, Vec<_>, bool)| {
        let bytes = bent::bytes(bent::json(&info, &bends).as_bytes(), &cuts);
        let text = String::from_utf8_lossy(&bytes);
        let document =
            || info::document(&bytes, &platform, strict).map_or_else(info::Refusal::into_asks, Asks::Artifact);
        for asks in in_time(|| [info::asks(&text, &platform, strict), document()]) {
            prop_assert!(refused_in_few_words(&asks), "{:.300}", format!("{asks:?}"));
        }
        for (key, refusal) in in_time(|| info::bad_entries(&text)) {
            prop_assert!(key.chars().count() <= 201 && is_fit(&refusal.reason), "{:.300}", refusal.reason);
        }
        let plan = format!(r#"{{"name":"v2","height":7,"info":{}}}"#, serde_json::Value::from(text));
        let bytes = bent::bytes(bent::json(&plan, &bends).as_bytes(), &cuts[cuts.len().saturating_sub(1)..]);
        if let Err(error) = in_time(|| upgrade_info::parse(&bytes)) {
            prop_assert!(is_fit(&error.to_string()), "{:.300}", error.to_string());
        }
        Ok(())
    };
    TestRunner::new(cases(2_000)).run(&strategy, run).unwrap();
}

#[test]
fn sums_that_are_bent_are_found_or_refused_in_few_words() {
    let _company = in_company();
    let (a, b) = ("ab".repeat(32), "cd".repeat(64));
    let sums = format!("{a}  gaiad\nSHA512 (gaiad) = {b}\n{b} *gaiad-arm64\nMD5 (other) = {a}\n");
    let strategy = (bent::cuts(), bent::cuts());
    let run = |(cuts, more): (Vec<_>, Vec<_>)| {
        let bytes = bent::bytes(&bent::bytes(sums.as_bytes(), &cuts), &more);
        let text = String::from_utf8_lossy(&bytes);
        for name in ["gaiad", "", "\u{1b}[2J", &"x".repeat(9_000)] {
            if let Err(error) = in_time(|| find_sum(&text, name)) {
                prop_assert!(is_fit(&error.to_string()), "{:.300}", error.to_string());
            }
        }
        for line in text.lines() {
            if let Err(error) = line.trim().parse::<Checksum>() {
                prop_assert!(is_fit(&error.to_string()), "{:.300}", error.to_string());
            }
        }
        Ok(())
    };
    TestRunner::new(cases(1_000)).run(&strategy, run).unwrap();
}

#[test]
fn files_of_the_operator_that_are_bent_are_read_or_refused() {
    const FILES: [(&str, &str); 4] = [
        ("toml", "daemon_home = \"/h\"\ndaemon_poll_interval = 300\n[a.b]\nc = [1, {d = 2020-01-01T00:00:00Z}]\n"),
        (
            "json",
            r#"{"daemon_home":"/h","DAEMON_NAME":"gaiad","unsafe_skip_backup":true,"daemon_poll_interval":"300ms"}"#,
        ),
        ("yaml", "---\ndaemon_home: /h # here\ndaemon_name: 'it''s'\ndaemon_poll_interval: \"300ms\"\nx: -1\n"),
        ("watcher.toml", "arguments = [\"--x\"]\n[env]\nA = \"b\"\n"),
    ];
    let _company = in_company();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let strategy = (select(&FILES[..]), bent::bends(), bent::cuts());
    let run = |((kind, text), bends, cuts): ((&str, &str), Vec<_>, Vec<_>)| {
        let path = folder.path().join(if kind.contains('.') { kind.to_owned() } else { format!("config.{kind}") });
        fs::write(&path, bent::bytes(bent::json(text, &bends).as_bytes(), &cuts)).expect("the folder can be written");
        in_time(|| drop((File::read(&path), version::read(folder.path()))));
        in_time(|| drop(text.split_whitespace().map(duration::parse).collect::<Vec<_>>()));
        Ok(())
    };
    TestRunner::new(cases(1_000)).run(&strategy, run).unwrap();
}

#[test]
fn executables_that_are_bent_are_told_apart_in_few_words() {
    let _company = in_company();
    let own = fs::read(std::env::current_exe().expect("it runs")).expect("it can be read");
    let mut universal = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2, 1, 0, 0, 7];
    universal.resize(4096, 0);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("binary");
    let heads = [own[..4096].to_vec(), universal, b"#!/bin/sh\n".to_vec(), b"#! \xff\n".to_vec()];
    let strategy = (select(heads.to_vec()), bent::cuts(), select(&["linux/amd64", "darwin/arm64", "", "/"][..]));
    let run = |(head, cuts, os_arch): (Vec<u8>, Vec<_>, &str)| {
        fs::write(&path, bent::bytes(&head, &cuts)).expect("the folder can be written");
        if let Err(error) = in_time(|| inspect(&path, &Platform { os_arch: os_arch.to_owned() })) {
            prop_assert!(is_fit(&error.to_string()), "{:.300}", error.to_string());
        }
        Ok(())
    };
    TestRunner::new(cases(1_000)).run(&strategy, run).unwrap();
}
