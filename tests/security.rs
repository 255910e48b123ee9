//! SECURITY.md promises nothing that no test holds.

use std::{fs, path::Path};

#[test]
fn every_test_that_the_threat_model_names_is_there_and_every_line_names_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("it is there");
    let mut named = 0;
    for line in text.lines() {
        let before = named;
        let mut source = None;
        // What stands between backticks: a source file, then tests in it.
        for quoted in line.split('`').skip(1).step_by(2) {
            if quoted.contains('/') && Path::new(quoted).extension().is_some_and(|extension| extension == "rs") {
                source =
                    Some(fs::read_to_string(root.join(quoted)).unwrap_or_else(|error| panic!("{quoted}: {error}")));
            } else if let Some(source) = &source {
                assert!(source.contains(&format!("fn {quoted}(")), "{quoted} is not there: {line}");
                named += 1;
            }
        }
        assert!(named > before || !line.starts_with("| **"), "no test holds this: {line}");
    }
    assert!(named > 30, "the table is read: {named}");
}
