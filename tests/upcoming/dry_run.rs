//! `watcher run --dry-run` tells what `run` would do, and touches nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use watcher::decide::plan::Plan;

use crate::world::{HEIGHT, NAME, World, artifact, assert_told, passed, plan, voted_on, watcher};

const FAR: u64 = HEIGHT + 1_258;

fn dry_run(world: &World, more: &[(&str, &str)]) -> String {
    let home = world.home.to_str().expect("a plain path");
    let variables = [&[("DAEMON_HOME", home), ("DAEMON_NAME", NAME)], more].concat();
    let before = everything_in(&world.home);
    let told = watcher(&["run", "--dry-run", "start", "--home", home], &variables).quietly().to_owned();
    assert_eq!(everything_in(&world.home), before, "nothing is touched");
    told
}

/// Each file and folder with its size and the time of its last change.
fn everything_in(folder: &Path) -> Vec<(String, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let metadata = entry.metadata().expect("it is there");
        found.push((entry.path().display().to_string(), metadata.len(), metadata.modified().expect("a time")));
        if metadata.is_dir() {
            found.extend(everything_in(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn what_would_be_fetched_is_told_with_its_place_and_time() {
    let world = World::with(vec![passed(plan("v2", FAR)), voted_on(plan("v3", FAR + 500))]);
    world.place_binary("genesis");
    assert_told!(dry_run(&world, &[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), ("WATCHER_DOWNLOAD_JITTER", "90s")]));
}

#[test]
fn what_nobody_would_fetch_is_told_with_the_reason() {
    let prose = Plan { info: "see the forum".into(), ..plan("v3", FAR + 500) };
    let world = World::with(vec![passed(plan("v2", FAR)), voted_on(prose)]);
    world.place_binary("genesis");
    assert_told!(dry_run(&world, &[("UNSAFE_SKIP_BACKUP", "true")]));
}

#[test]
fn what_is_there_already_is_told_apart() {
    let [own, ours, other] = ["v2", "v3", "v4"].map(|name| plan(name, FAR));
    let world = World::with([&own, &ours, &other].map(|plan| voted_on(plan.clone())).to_vec());
    world.place_binary("genesis");
    world.place_binary("upgrades/v2");
    world.place_with_receipt(&ours, artifact("v3"));
    world.place_with_receipt(&other, artifact("something-else"));
    fs::write(world.home.join("data/upgrade-info.json"), r#"{"name":"v1","height":7}"#).expect("the home is there");
    assert_told!(dry_run(&world, &[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), ("WATCHER_DOWNLOAD_JITTER", "0s")]));
}

/// It was called staged, and used as it is, while `run` waits for another one.
#[test]
fn an_own_binary_whose_copy_broke_off_is_told_as_what_the_upgrade_waits_for() {
    let world = World::with(vec![passed(plan("v2", FAR))]);
    world.place_binary("genesis");
    let binary = world.place_binary("upgrades/v2");
    let program = fs::read(env!("CARGO_BIN_EXE_watcher")).expect("it is there");
    fs::write(&binary, &program[..4096]).expect("the home can be written");
    let before = SystemTime::now() - Duration::from_mins(1);
    fs::File::options().append(true).open(&binary).and_then(|file| file.set_modified(before)).expect("it is ours");
    let (told, cut) = (dry_run(&world, &[]), format!("{} is an ELF that is cut off", binary.display()));
    for part in ["state     scheduled by proposal 1\n", &format!("problem   {cut}"), &format!("v2: would wait: {cut}")]
    {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
}

#[test]
fn without_an_answer_the_home_is_told_all_the_same() {
    let world = World::with(vec![]);
    world.place_binary("genesis");
    let home = world.home.to_str().expect("a plain path");
    let laddr = "--rpc.laddr=tcp://127.0.0.1:1";
    let variables = [("DAEMON_HOME", home), ("DAEMON_NAME", NAME)];
    // Whoever is asked, a script learns whether the node would be started.
    let other = [("DAEMON_HOME", home), ("DAEMON_NAME", NAME), ("WATCHER_RPC", "127.0.0.1:1")];
    for variables in [&variables[..], &other] {
        let told = watcher(&["run", "--dry-run", "start", laddr], variables);
        assert_eq!((told.code, told.stdout.contains("upcoming  not known, and the node")), (Some(0), true), "{told:?}");
        assert!(told.stdout.starts_with(&format!("home      {home}\n")), "{told:?}");
        assert!(told.stderr.contains("the own node at http://127.0.0.1:1 cannot be reached"), "{told:?}");
    }
}
