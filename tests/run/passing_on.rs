//! What the node gets and what becomes of its end.

use std::{io::Write as _, process::Stdio};

use crate::home::{Home, NAME, each, output, text};

#[test]
fn arguments_reach_the_node_to_the_letter() {
    let home = Home::with_node(r#"for argument; do printf '<%s>\n' "$argument"; done"#);
    let args = ["--help", "--", "", "two words", "-c", "*", "--cosmovisor-config=f", "'\"$HOME", "--version", "run"];
    let ended = output(&mut home.watcher(&args));
    let expected = args.map(|arg| format!("<{arg}>\n")).concat();
    assert_eq!(text(&ended.stdout), expected, "{}", text(&ended.stderr));
    assert_eq!(text(&output(&mut home.watcher(&[])).stdout), "");
}

#[test]
fn standard_streams_are_the_nodes_own() {
    let home = Home::with_node("cat\necho 'a complaint' >&2");
    let mut watcher = home.watcher(&["start"]);
    watcher.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = watcher.spawn().expect("watcher can be started");
    child.stdin.take().expect("it is a pipe").write_all(b"what is said to it\n").expect("the node reads");
    let ended = child.wait_with_output().expect("the node ends with its input");
    assert_eq!(text(&ended.stdout), "what is said to it\n");
    assert!(text(&ended.stderr).lines().any(|line| line == "a complaint"), "{}", text(&ended.stderr));
    assert!(ended.status.success());
}

#[test]
fn the_node_works_in_the_cosmovisor_folder_with_the_environment_but_for_what_is_watchers() {
    let home = Home::with_node("pwd -P\nenv");
    let mut watcher = home.watcher(&[]);
    watcher.env("NODED_MONIKER", "two words").env("COSMOVISOR_DISABLE_RECASE", "false");
    watcher.env("WATCHER_LOG", "info").env("WATCHER_NO_SUCH", "1").env("NOTIFY_SOCKET", "/run/socket");
    let ended = output(&mut watcher);
    let stdout = text(&ended.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.first().copied(), home.at("cosmovisor").to_str(), "{}", text(&ended.stderr));
    let daemon_home = format!("DAEMON_HOME={}", home.path.display());
    let daemon_name = format!("DAEMON_NAME={NAME}");
    for passed in [&daemon_home, &daemon_name, "NODED_MONIKER=two words", "COSMOVISOR_DISABLE_RECASE=false"] {
        assert!(lines.contains(&passed), "{passed} is missing: {lines:?}");
    }
    for kept in ["WATCHER_", "NOTIFY_SOCKET"] {
        assert!(!lines.iter().any(|line| line.starts_with(kept)), "{kept} is there: {lines:?}");
    }
}

#[test]
fn the_nodes_end_is_the_end_and_is_told() {
    let cases = [
        ("exit 0", ("exit 0", 0, "exit status 0")),
        ("exit 7", ("exit 7", 1, "exit status 7")),
        ("killed", ("kill -KILL $$", 1, "signal: killed")),
        ("terminated by somebody else", ("kill -TERM $$", 1, "signal: terminated")),
    ];
    each(&cases, |(script, code, said)| {
        let ended = output(&mut Home::with_node(script).watcher(&["start"]));
        assert_eq!(ended.status.code(), Some(*code));
        assert!(text(&ended.stderr).contains(said), "{}", text(&ended.stderr));
        assert_eq!(text(&ended.stdout), "");
    });
}
