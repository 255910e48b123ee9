//! At a terminal: what is typed reaches the node, and Ctrl-C stops it in order, twice at once.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command},
};

use nix::pty::openpty;

use crate::{
    home::{Home, LIMIT},
    orders::command,
    wait,
};

const CTRL_C: &[u8] = b"\x03";

/// Starts the program in the foreground of a terminal of its own; what is written to the other end is typed.
fn typed(watcher: &Command) -> (File, Child) {
    let terminal = openpty(None, None).expect("there are terminals");
    let slave = || OwnedFd::try_clone(&terminal.slave).expect("there are descriptors");
    let mut session = Command::new("setsid");
    session.args(["--ctty", "--wait"]).arg(watcher.get_program()).args(watcher.get_args());
    session.env_clear().envs(watcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
    session.stdin(slave()).stdout(slave()).stderr(slave());
    let child = session.spawn().expect("setsid is there");
    (terminal.master.into(), child)
}

/// Reads the screen until this is on it.
fn shows(screen: &mut File, text: &str) {
    let (mut shown, mut buffer) = (String::new(), [0; 1024]);
    while !shown.contains(text) {
        let length = screen.read(&mut buffer).expect("the terminal is open");
        shown += &String::from_utf8_lossy(&buffer[..length]);
    }
}

fn ended(session: &mut Child) -> Option<i32> {
    wait::until("the session ends", LIMIT, || session.try_wait().expect("it is our child")).code()
}

#[test]
fn a_passphrase_is_typed_into_the_node_and_ctrl_c_stops_it_in_order() {
    let home = Home::with_node(
        "say() { echo \"$*\" >> \"$DAEMON_HOME/calls\"; }\nprintf 'passphrase: '\nread -r word\ntrap 'say stopped; exit 0' \
         INT\nsay \"heard $word\"\nwhile :; do sleep 0.05; done",
    );
    let (mut keys, mut session) = typed(&home.watcher(&["start"]));
    keys.write_all(b"open sesame\n").expect("somebody reads");
    home.wait_for_call("heard open sesame");
    keys.write_all(CTRL_C).expect("somebody reads");
    assert_eq!(ended(&mut session), Some(0));
    assert_eq!(home.calls().last().map(String::as_str), Some("stopped"));
}

#[test]
fn a_node_that_will_not_stop_ends_at_the_second_ctrl_c() {
    let home = Home::with_node("trap '' INT TERM\necho runs >> \"$DAEMON_HOME/calls\"\nwhile :; do sleep 0.05; done");
    let (mut keys, mut session) = typed(&home.watcher(&["start"]));
    home.wait_for_call("runs");
    keys.write_all(CTRL_C).expect("somebody reads");
    shows(&mut keys, "passed on to the node");
    assert!(session.try_wait().expect("it is our child").is_none(), "it waits for the node");
    keys.write_all(CTRL_C).expect("somebody reads");
    ended(&mut session);
    wait::until("no node is left", LIMIT, || home.nodes().is_empty().then_some(()));
}

#[test]
fn a_rollback_is_asked_for_and_only_yes_means_yes() {
    let home = Home::halting();
    home.is_upgraded();
    for (answer, code) in [("\n", 1), ("no\n", 1), ("y\n", 0)] {
        assert!(!home.at("cosmovisor/watcher/ruling.json").exists());
        let (mut terminal, mut session) = typed(&command(&home, &["rollback"]));
        shows(&mut terminal, "Do it? [y/N]");
        terminal.write_all(answer.as_bytes()).expect("somebody reads");
        assert_eq!(ended(&mut session), Some(code), "{answer:?}");
    }
    // The next start does it.
    let mut watcher = home.start(&[]);
    home.wait_for_log("are as before it");
    assert_eq!((home.current().as_str(), home.count("start v2")), ("genesis", 1));
    assert_eq!(watcher.stop().code(), Some(75));
}
