//! One home, one node: whatever becomes of `watcher`, and however many are started.

use nix::sys::signal::Signal;

use crate::{
    census::Census,
    home::{Home, LIMIT, NAME, ended, output, signal, text},
    orders::command,
    wait,
};

/// A home whose node is started by this script.
fn behind(script: &str) -> Home {
    let home = Home::halting();
    home.script("real/noded", "version=genesis\n. \"$DAEMON_HOME/node.sh\"\n");
    home.script("cosmovisor/genesis/bin/noded", script);
    home
}

#[test]
fn a_second_watcher_is_refused_with_the_pid_of_the_first() {
    let home = Home::halting();
    let mut first = home.start(&[]);
    home.wait_until_ready();
    let second = output(&mut home.watcher(&["start"]));
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    for named in [format!("pid {}", first.pid()), home.path.display().to_string()] {
        assert!(said.contains(&named), "{named:?} is not named: {said}");
    }
    assert_eq!((home.nodes().len(), home.calls().len()), (1, 1));
    assert!(first.stop().success());
    let mut third = home.start(&[]);
    home.wait_until_ready();
    assert_eq!(home.count("start genesis"), 2, "the place is free again");
    assert!(third.stop().success());
}

/// The configuration alone was read, and who listens at that address was called dead, or another node.
#[test]
fn a_node_is_asked_where_its_own_arguments_have_it_listen() {
    let home = Home::halting();
    home.write("config/config.toml", "[rpc]\nladdr = \"tcp://127.0.0.1:2\"\n");
    let path = home.path.to_str().expect("it is text");
    let asked = || {
        [&["upcoming"][..], &["check", "--offline"]].map(|words| {
            let told = output(command(&home, words).args(["--home", path]));
            text(&told.stdout) + &text(&told.stderr)
        })
    };
    assert!(asked().iter().all(|told| told.contains("at http://127.0.0.1:2 cannot be reached")));
    let mut watcher = home.start_with(&["start", "--rpc.laddr", "tcp://127.0.0.1:1"], &[]);
    home.wait_until_ready();
    let told = asked();
    assert!(told.iter().all(|told| told.contains("at http://127.0.0.1:1 cannot be reached")), "{told:?}");
    watcher.stop();
}

#[test]
fn a_node_behind_a_script_that_waits_for_it_is_stopped_by_the_next_start_and_by_a_stop() {
    // The signal at the end of `watcher` reaches this script, and not the node that it started.
    let home = behind("\"$DAEMON_HOME/real/noded\" \"$@\"\n");
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    let census = Census::of(&home.path, NAME);
    signal(&watcher, Signal::SIGKILL);
    ended(&mut watcher);
    assert_eq!(home.count("stop genesis"), 0, "the node did not hear of it");

    let mut watcher = home.start(&[]);
    wait::until("the next node starts", LIMIT, || (home.count("start genesis") == 2).then_some(()));
    assert_eq!(home.calls(), ["start genesis", "stop genesis", "start genesis"]);
    home.wait_for_log("a node runs on although what started it has ended");
    let count = census.end();
    assert_eq!((count.most_at_once, home.nodes().len()), (1, 1), "{count:?}");
    // A stop ends the script, and must not leave the node behind either.
    watcher.stop();
    assert_eq!((home.nodes(), home.count("stop genesis")), (Vec::new(), 2));
}

/// `watcher` ended with what it had started, and the node ran on alone.
#[test]
fn a_node_that_puts_itself_into_the_background_does_not_outlive_watcher() {
    let home = behind("\"$DAEMON_HOME/real/noded\" \"$@\" & sleep 1; exit 3\n");
    let mut watcher = home.start(&[]);
    home.wait_until_ready();
    assert_eq!(ended(&mut watcher).code(), Some(1));
    assert_eq!((home.nodes(), home.count("stop genesis")), (Vec::new(), 1));
}
