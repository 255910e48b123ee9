//! `watcher run --dry-run` tells and does not touch.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use crate::home::{Home, output, text};

/// Every file and folder with its size, mode and times.
fn listing(folder: &Path) -> Vec<String> {
    let meta = fs::symlink_metadata(folder).expect("it is there");
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    let mut lines = vec![format!("{} {:o} {} {times:?}", folder.display(), meta.mode(), meta.len())];
    if meta.is_dir() {
        let entries = fs::read_dir(folder).expect("it can be read").flatten();
        lines.extend(entries.flat_map(|entry| listing(&entry.path())));
    }
    lines.sort();
    lines
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let home = Home::halting();
    home.write("data/upgrade-info.json", &home.read("plan.json"));
    home.mode("cosmovisor/genesis/bin/noded", 0o600);
    let before = listing(&home.path);
    let ended = output(&mut home.watcher(&["--dry-run", "start"]));
    assert_eq!(listing(&home.path), before);
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    let place = home.path.display();
    for line in [
        format!("home      {place}"),
        "current   absent; `run` would link it to genesis".to_owned(),
        "halt      data/upgrade-info.json asks for v2 at height 10".to_owned(),
        format!("backup    the node is saved to {place} before a switch"),
    ] {
        assert!(stdout.lines().any(|told| told == line), "{line:?} is not told:\n{stdout}{stderr}");
    }
    let ended = output(home.watcher(&["--dry-run", "start"]).env("WATCHER_BACKUP_PATHS", "no/such"));
    let wrong = text(&ended.stdout);
    let told = format!(
        "backup    `run` would wait before a switch: WATCHER_BACKUP_PATHS names {place}/no/such, which is not there: "
    );
    assert!(wrong.lines().any(|line| line.starts_with(&told) && line.contains("take it out")), "{wrong}");
    let unknown = "upcoming  not known, and the node does not run: ";
    assert!(ended.status.success() && stdout.contains(unknown), "{stdout}{stderr}");
}

#[test]
fn a_dry_run_tells_an_upgrade_that_is_held_and_one_that_is_past() {
    let home = Home::halting();
    let halt = || {
        let told = text(&output(&mut home.watcher(&["--dry-run", "start"])).stdout);
        told.lines().find(|line| line.starts_with("halt")).unwrap_or_default().to_owned()
    };
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    home.write("cosmovisor/watcher/holds.json", r#"[{"folder": "v2", "reason": ""}]"#);
    home.halt();
    home.wait_for_log("is due and held");
    assert_eq!(
        halt(),
        "halt      data/upgrade-info.json asks for v2 at height 10, which is held until `watcher release v2`"
    );
    fs::remove_file(home.at("cosmovisor/watcher/holds.json")).expect("it is there");
    home.expect_upgraded();
    home.wait_for_log("has passed");
    watcher.stop();
    assert_eq!(halt(), "halt      none; data/upgrade-info.json is still of v2 at height 10, which is past");
}

#[test]
fn what_run_would_refuse_to_start_is_told_with_its_exit_code() {
    for (binary, linked) in [("genesis/bin/noded", false), ("genesis/bin/noded", true), ("upgrades/v2/bin/noded", true)]
    {
        let home = Home::halting();
        home.remove(&format!("cosmovisor/{binary}"));
        if linked {
            let version = binary.trim_end_matches("/bin/noded");
            symlink(version, home.at("cosmovisor/current")).expect("the home can be written");
        }
        let ended = output(&mut home.watcher(&["--dry-run", "start"]));
        let told = text(&ended.stdout);
        let current = told.lines().find(|line| line.starts_with("current")).unwrap_or_default();
        assert!(current.contains("`run` would refuse to start: ") && current.contains(binary), "{told}");
        let run = output(&mut home.watcher(&["start"]));
        assert_eq!((ended.status.code(), run.status.code()), (Some(1), Some(1)), "{binary}: {told}{run:?}");
    }
}
