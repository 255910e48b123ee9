//! What the node gets and what becomes of its end.

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
