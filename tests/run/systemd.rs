//! What the service manager hears, and the unit file that goes with it.

use std::{
    fs, io,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    home::{Home, LIMIT},
    wait,
};

#[test]
fn the_service_manager_hears_what_goes_on_until_the_stop() {
    let home = Home::halting();
    let path = home.at("notify");
    let manager = UnixDatagram::bind(&path).expect("the home can be written");
    manager.set_read_timeout(Some(LIMIT)).expect("it is not zero");
    let hears = |what: &str| {
        let mut buffer = [0; 4096];
        let heard = || {
            let length = match manager.recv(&mut buffer) {
                // A read that may time out is not begun again by itself (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return None,
                heard => heard.expect("it says something within the time"),
            };
            String::from_utf8_lossy(&buffer[..length]).contains(what).then_some(())
        };
        wait::until(&format!("{what:?} is said"), LIMIT, heard);
    };
    let socket = path.to_str().expect("it is text");
    let mut watcher =
        home.start(&[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "400000"), ("UNSAFE_SKIP_BACKUP", "true")]);
    hears("READY=1");
    hears("STATUS=genesis runs");
    hears("WATCHDOG=1");
    home.halt();
    hears("STATUS=upgrades/v2 runs");
    home.expect_upgraded();
    assert!(watcher.stop().success());
    hears("STOPPING=1");
    hears("EXTEND_TIMEOUT_USEC=15000000");
}

#[test]
fn the_unit_file_is_one_that_systemd_understands() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/watcher@.service");
    let folder = Home::empty();
    // The program is not installed here, and there is no user `gaia`; the rest is as it is.
    let text = fs::read_to_string(unit).expect("it is there");
    let text = text.replace("/usr/local/bin/watcher", env!("CARGO_BIN_EXE_watcher"));
    folder.write("watcher@gaia.service", &text);
    let verified = Command::new("systemd-analyze").arg("verify").arg(folder.at("watcher@gaia.service")).output();
    let Ok(verified) = verified else {
        return crate::say::say("skipped: systemd-analyze is not here");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let about: Vec<&str> = said.lines().filter(|line| line.contains("watcher")).collect();
    assert!(verified.status.success() && about.is_empty(), "{said}");
}

#[test]
fn as_process_1_it_reaps_whoever_loses_its_parent() {
    let home = Home::with_node("(sleep 0.1 &)\nsleep 0.5\necho orphaned > \"$DAEMON_HOME/calls\"\nexec sleep 60");
    let inside = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).status();
    if !inside.is_ok_and(|status| status.success()) {
        return crate::say::say("skipped: a PID namespace of its own is not allowed here");
    }
    let watcher = home.watcher(&["start"]);
    let mut inside = Command::new("unshare");
    inside
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(watcher.get_program())
        .args(watcher.get_args());
    inside.envs(watcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut inside = inside.stderr(Stdio::null()).spawn().expect("it was just tried");
    home.wait_for_call("orphaned");
    let watcher = wait::until("watcher runs", LIMIT, || children(inside.id()).into_iter().next());
    let alone = || (children(watcher).len() == 1 && zombies(watcher) == 0).then_some(());
    wait::until("nobody but the node is left", LIMIT, alone);
    inside.kill().expect("it is our child");
    inside.wait().expect("it is our child");
}

fn children(of: u32) -> Vec<u32> {
    let path = format!("/proc/{of}/task/{of}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn zombies(of: u32) -> usize {
    let is_zombie = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    children(of).iter().filter(|pid| is_zombie(pid)).count()
}
