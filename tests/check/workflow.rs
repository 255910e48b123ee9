//! The example workflow: its very command lines, run as a runner runs them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::{
    file_host::CERTIFICATE,
    release::Release,
    world::{HEIGHT, World, passed},
};

const WORKFLOW: &str = include_str!("../../contrib/github-workflow.yml");

/// The command line of the step with this name.
fn line(step: &str) -> &'static str {
    let (_, rest) = WORKFLOW.split_once(&format!("- name: {step}\n")).expect("the workflow has this step");
    rest.trim_start().strip_prefix("run: ").and_then(|rest| rest.lines().next()).expect("it runs one line")
}

fn run(step: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let programs = Path::new(env!("CARGO_BIN_EXE_watcher")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", line(step)]).env_clear().env("PATH", path).env("SSL_CERT_FILE", CERTIFICATE);
    let Output { status, stdout, stderr } =
        shell.env("DAEMON_NAME", "noded").envs(variables.iter().copied()).output().expect("there is a shell");
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    (status.code(), String::from_utf8(stdout).expect("watcher writes UTF-8"))
}

#[test]
fn the_daily_job_is_green_as_long_as_the_binaries_are_there() {
    let release = Release::good();
    let good = World::with(vec![passed(release.plan("v2", HEIGHT + 57_600))]);
    let of = |world: &World| {
        let (rpc, rest) = (world.network.rpc.url(), world.network.rest.url());
        run("Check the chain", &[("RPC", &rpc), ("REST", &rest)])
    };
    assert_eq!(of(&good), (Some(0), "ready\n".to_owned()));
    let mut plan = release.plan("v2", HEIGHT + 57_600);
    plan.info = plan.info.replace("/arm64?", "/gone?");
    let (code, told) = of(&World::with(vec![passed(plan)]));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.starts_with("::error title=url-unreachable::v2: linux/arm64: "), "{told}");
    assert!(told.contains("404%0Ahelp: upload the file there") && told.ends_with("not ready: 1 error\n"), "{told}");
}

#[test]
fn the_job_on_pull_requests_reads_the_draft() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let draft = folder.path().join("proposal.json");
    fs::write(&draft, r#"{"messages":[{"@type":"/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade","plan":{"name":"v2","height":"9","info":"{\"binaries\":{\"linux/amd64\":\"https://127.0.0.1/x?checksum=md5:0\"}}"}}]}"#)
        .expect("the folder can be written");
    let (code, told) = run("Check the draft", &[("DRAFT", draft.to_str().expect("a plain path"))]);
    assert_eq!(code, Some(2), "{told}");
    for title in ["checksum-malformed", "binary-missing"] {
        assert!(told.contains(&format!("::error title={title}::v2: linux/")), "{told}");
    }
}
