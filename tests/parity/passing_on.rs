//! Rows 13 and 14: which words behind `run` are the node's.

use crate::{
    home::Home,
    link::{Told, bare, cosmovisor, link, path},
};

/// A node that prints its arguments, each in brackets.
const PRINTS: &str = "printf '[%s]' \"$@\"";

/// What reaches the node, with logs off.
fn reaches(home: &Home, args: &[&str]) -> String {
    let told = Told::of(cosmovisor(home, args).env("COSMOVISOR_DISABLE_LOGS", "true"));
    assert_eq!(told.stderr, "");
    told.fine().to_owned()
}

#[test]
fn row_13_the_file_is_taken_in_two_words_anywhere_and_nothing_else_is() {
    let home = Home::with_node(PRINTS);
    home.write("c.toml", &format!("daemon_home = '{}'\ndaemon_name = 'noded'\n", home.path.display()));
    let file = home.at("c.toml");
    let file = path(&file);
    for args in [
        ["run", "--cosmovisor-config", file, "start", "-x"],
        ["run", "start", "-Cosmovisor-CONFIG", file, "-x"],
        ["run", "start", "-x", "--COSMOVISOR-config", file],
        ["--cosmovisor-config", file, "run", "start", "-x"],
    ] {
        // Home and name are in the file alone, and the file is read.
        let told = Told::of(bare(link(&home), &home, &args).env("COSMOVISOR_DISABLE_LOGS", "true"));
        assert_eq!(told.fine(), "[start][-x]", "{args:?}");
    }
    // An empty name is no file: then the environment is the configuration.
    assert_eq!(reaches(&home, &["run", "--cosmovisor-config", "", "start"]), "[start]");
    let required = "failed to parse cosmovisor config: --cosmovisor-config requires an argument";
    Told::of(&mut cosmovisor(&home, &["run", "start", "--cosmovisor-config"])).refused(&[required]);
    let equals = format!("--cosmovisor-config={file}");
    assert_eq!(reaches(&home, &["run", "start", &equals]), format!("[start][{equals}]"));
    assert_eq!(reaches(&home, &["run", "-c", file, "start"]), format!("[-c][{file}][start]"));
    assert_eq!(reaches(&home, &["-c", file, "run", "start"]), format!("[-c][{file}][start]"));
}

#[test]
fn row_14_help_is_the_nodes_and_without_arguments_there_are_none() {
    let home = Home::with_node(PRINTS);
    assert_eq!(reaches(&home, &["run", "--help"]), "[--help]");
    assert_eq!(reaches(&home, &["run", "--dry-run", "-h", "--", "a b", ""]), "[--dry-run][-h][--][a b][]");
    assert_eq!(reaches(&home, &["run"]), "[]", "printf prints its format once without arguments");
}
