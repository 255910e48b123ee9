//! Rows 46 to 51: from an upgrade's name to its folder, and upgrades that the node is told to skip.

use crate::{
    detection::{INFO, expect_untouched, plan},
    home::{Home, each},
};

/// Has the node halt for an upgrade of this name, and checks that the binary of this folder is started.
fn expect_folder(name: &str, folder: &str, settings: &[(&str, &str)]) {
    let home = Home::steady();
    home.script(&format!("cosmovisor/upgrades/{folder}/bin/noded"), "version=named\n. \"$DAEMON_HOME/node.sh\"\n");
    let mut watcher = home.start(settings);
    home.wait_for_call("start genesis");
    home.write(INFO, &serde_json::json!({ "name": name, "height": 9 }).to_string());
    home.wait_for_call("start named");
    assert_eq!(home.current(), format!("upgrades/{folder}"));
    assert!(watcher.stop().success());
}

#[test]
fn row_46_names_become_folders_as_in_the_reference() {
    let cases = [
        ("spaces", ("Upgrade Two", "upgrade%20two")),
        ("a slash", ("a/b", "a%2Fb")),
        ("a percent sign", ("v2%20x", "v2%2520x")),
        ("UTF-8", ("héllo", "h%C3%A9llo")),
        ("marks", ("v~1_2-3.4!*'()", "v~1_2-3.4%21%2A%27%28%29")),
        ("marks that stay", ("a+b&c=d:e@f$g", "a+b&c=d:e@f$g")),
        ("marks that do not", ("a;b,c?d#e", "a%3Bb%2Cc%3Fd%23e")),
    ];
    each(&cases, |(name, folder)| expect_folder(name, folder, &[]));
}

#[test]
fn row_47_a_name_that_would_leave_the_folder_of_upgrades_is_refused() {
    let cases = [("itself", "."), ("the folder above", "..")];
    each(&cases, |name| {
        let home = Home::steady();
        // What the reference would start.
        for place in ["cosmovisor/bin/noded", "cosmovisor/upgrades/bin/noded"] {
            home.script(place, "version=outside\n. \"$DAEMON_HOME/node.sh\"\n");
        }
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write(INFO, &plan(name, 9));
        let told = home.wait_for_log(INFO);
        assert!(told.contains(" ERR ") && told.contains(&format!("{name:?}")), "{told}");
        expect_untouched(&home, &["start genesis"], "genesis");
        home.write(INFO, &plan("v2", 10));
        home.wait_for_three_questions();
        expect_untouched(&home, &["start genesis"], "genesis");
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_48_the_case_of_a_name_is_kept_where_it_is_wanted() {
    let cases = [("lowered", ("v2", "false")), ("kept", ("V2", "true"))];
    each(&cases, |(folder, keep)| {
        let home = Home::steady();
        home.script("cosmovisor/upgrades/V2/bin/noded", "version=V2\n. \"$DAEMON_HOME/node.sh\"\n");
        let mut watcher = home.start(&[("COSMOVISOR_DISABLE_RECASE", keep)]);
        home.wait_for_call("start genesis");
        home.write(INFO, &plan("V2", 9));
        home.wait_for_call(&format!("start {folder}"));
        assert_eq!(home.current(), format!("upgrades/{folder}"));
        assert_eq!(home.read(&format!("cosmovisor/upgrades/{folder}/upgrade-info.json")), plan(folder, 9));
        assert!(watcher.stop().success());
    });
}

/// Checks that with these arguments the upgrade at height 9 is skipped: the node runs on, and this is said.
fn expect_skipped(flag: &[&str]) {
    let home = Home::steady();
    let mut watcher = home.start_with(&[&["start"], flag].concat(), &[]);
    home.wait_for_call("start genesis");
    home.write(INFO, &plan("v2", 9));
    let told = home.wait_for_log("--unsafe-skip-upgrades)");
    assert!(told.contains("\"v2\" at height 9"), "{told}");
    expect_untouched(&home, &["start genesis"], "genesis");
    assert!(watcher.stop().success());
    assert_eq!(home.calls(), ["start genesis", "stop genesis"]);
}

#[test]
fn row_49_heights_to_skip_are_a_list_up_to_the_next_flag() {
    let cases = [
        ("the first of two", (["--unsafe-skip-upgrades", "9", "6"].as_slice(), true)),
        ("behind what is no number", (&["--unsafe-skip-upgrades", "10", "as", "9"], true)),
        ("another height", (&["--unsafe-skip-upgrades", "5", "6"], false)),
        ("behind the next flag", (&["--unsafe-skip-upgrades", "5", "--x", "9"], false)),
    ];
    each(&cases, |(flag, skipped)| {
        if *skipped {
            return expect_skipped(flag);
        }
        let home = Home::steady();
        let mut watcher = home.start_with(&[&["start"], *flag].concat(), &[]);
        home.wait_for_call("start genesis");
        home.write(INFO, &plan("v2", 9));
        home.wait_for_call("start v2");
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_50_at_a_height_to_skip_the_node_runs_on() {
    expect_skipped(&["--unsafe-skip-upgrades", "5", "9"]);
}

#[test]
fn row_51_heights_to_skip_are_understood_behind_an_equals_sign() {
    let cases = [("one", ["--unsafe-skip-upgrades=9"]), ("two", ["--unsafe-skip-upgrades=5,9"])];
    each(&cases, |flag| expect_skipped(flag));
}
