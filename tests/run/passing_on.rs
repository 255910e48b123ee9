//! What the node gets and what becomes of its end.

use std::process::Command;

use crate::home::{Home, output, text};

#[test]
fn arguments_reach_the_node_to_the_letter() {
    let home = Home::with_node(r#"for argument; do printf '<%s>\n' "$argument"; done"#);
    let args = ["--help", "--", "", "two words", "-c", "*", "--cosmovisor-config=f", "'\"$HOME", "--version", "run"];
    let ended = output(&mut home.watcher(&args));
    let expected = args.map(|arg| format!("<{arg}>\n")).concat();
    assert_eq!(text(&ended.stdout), expected, "{}", text(&ended.stderr));
    assert_eq!(text(&output(&mut home.watcher(&[])).stdout), "");
}

/// A backup of many folders failed where a service had few, and its node stayed down.
#[test]
fn as_many_files_may_be_open_as_the_service_may_have_at_all() {
    let home = Home::with_node("ulimit -Sn");
    let asked = home.watcher(&["start"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 64; ulimit -Hn 999; exec \"$0\" \"$@\""]);
    limited.arg(asked.get_program()).args(asked.get_args());
    limited.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(text(&output(&mut limited).stdout), "999\n");
}
