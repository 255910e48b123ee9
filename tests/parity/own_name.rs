//! The same commands under the program's own name: output on stdout, exit code 64 for settings, and help that teaches.

use crate::{
    home::{Home, NAME},
    link::{Told, bare, path},
};

fn watcher(home: &Home, args: &[&str], settings: &[(&str, &str)]) -> Told {
    let mut command = bare(env!("CARGO_BIN_EXE_watcher"), home, args);
    Told::of(command.env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME).envs(settings.iter().copied()))
}

macro_rules! assert_printed {
    ($home:expr, $text:expr) => {
        insta::with_settings!({
            filters => vec![(r"/\S*/home/?", "[home]"), (r"(?m) +(default|file|environment)$", " $1")],
            omit_expression => true,
        }, { insta::assert_snapshot!($text) })
    };
}

#[test]
fn each_value_is_shown_with_where_it_came_from() {
    let home = Home::with_node("exit 0");
    home.write(
        "c.toml",
        "daemon_restart_delay = '5s'\nwatcher_rpc = 'http://a:1, http://b:2'\ncosmovisor_timeformat_logs = ''",
    );
    let args = ["config", "-c", path(&home.at("c.toml"))].map(str::to_owned);
    let told = watcher(&home, &args.each_ref().map(String::as_str), &[("UNSAFE_SKIP_BACKUP", "true")]);
    assert_eq!(told.stderr, "");
    assert_printed!(home, told.fine());
}

#[test]
fn a_key_or_variable_that_is_unknown_is_told_and_ignored() {
    let home = Home::with_node("exit 0");
    home.write("c.toml", "daemon_restart_dely = '5s'\n");
    let file = home.at("c.toml");
    let told = watcher(&home, &["config", "-c", path(&file)], &[("DAEMON_LOG_BUFFER_SIZE", "512")]);
    told.fine();
    for said in ["DAEMON_LOG_BUFFER_SIZE is not a variable of watcher", "did you mean DAEMON_RESTART_DELAY"] {
        assert!(told.stderr.contains(said), "{told:?}");
    }
}

#[test]
fn settings_that_are_wrong_end_with_64() {
    let home = Home::with_node("exit 0");
    for command in ["config", "run", "show-upgrade-info", "version", "prepare-upgrade"] {
        let told = watcher(&home, &[command], &[("DAEMON_POLL_INTERVAL", "soon")]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(64), ""), "{command}: {told:?}");
        assert!(told.stderr.starts_with("Error: invalid: DAEMON_POLL_INTERVAL"), "{command}: {told:?}");
    }
    for silent in ["a=loud", "warning", "watcher=debug,verbose"] {
        let told = watcher(&home, &["run"], &[("WATCHER_LOG", silent)]);
        assert!(told.code == Some(64) && told.stderr.starts_with("Error: WATCHER_LOG must be"), "{told:?}");
    }
    assert_eq!(watcher(&home, &["version", "-o", "yaml"], &[]).code, Some(64));
    assert_eq!(watcher(&home, &["add-upgrade"], &[]).code, Some(64));
}

#[test]
fn what_is_asked_for_goes_to_stdout() {
    let home = Home::with_node("echo node 1");
    home.write("data/upgrade-info.json", "{}");
    let own = format!("watcher version: v{} (as cosmovisor v1.7.1)\n", env!("CARGO_PKG_VERSION"));
    for (args, stdout) in [
        (&["show-upgrade-info"][..], "{}\n"),
        (&["version"], &(own.clone() + "node 1\n")),
        (&["version", "--cosmovisor-only"], &own),
    ] {
        let told = watcher(&home, args, &[]);
        assert_eq!((told.fine(), told.stderr.as_str()), (stdout, ""), "{args:?}");
    }
    let told = watcher(&home, &["completions", "bash"], &[]);
    assert!(told.fine().contains("prepare-upgrade"));
}

#[test]
fn help_teaches_with_examples() {
    let home = Home::empty();
    let told = watcher(&home, &["help"], &[]);
    let listed =
        told.fine().lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What goes on in a second line is indented further.
    let commands = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        let told = watcher(&home, &["help", command], &[]);
        assert!(told.fine().contains(&format!("watcher {command}")) && told.stdout.contains("\nExample"), "{command}");
    }
    for command in ["", "add-upgrade", "add-batch-upgrade", "config", "init", "version"] {
        let args: Vec<&str> = ["help", command].into_iter().filter(|word| !word.is_empty()).collect();
        let told = watcher(&home, &args, &[]);
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("help_{}", command.replace('-', "_")), told.fine());
        });
    }
}
