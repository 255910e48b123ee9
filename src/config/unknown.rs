//! Names that look as if they were meant for this program and are not known to it.

use super::{
    file::File,
    variables::{VARIABLES, Variable},
};

/// What to say of each, of the environment's and of a file's.
pub(super) fn advice(names: &[String], file: Option<&File>) -> Vec<String> {
    let keys: Vec<String> = file.into_iter().flat_map(File::keys).map(str::to_uppercase).collect();
    let unknown = names.iter().filter(|name| is_unknown(name)).chain(keys.iter().filter(|key| !is_known(key)));
    unknown.map(|name| about(name)).collect()
}

fn about(name: &str) -> String {
    match nearest(name) {
        Some(variable) => {
            format!("{name} is not a variable of watcher and is ignored; did you mean {}?", variable.name)
        }
        None => format!("{name} is not a variable of watcher and is ignored"),
    }
}

fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| variable.name == name)
}

/// Whether a variable of the environment is meant for this program, and is none of its own.
pub(crate) fn is_unknown(name: &str) -> bool {
    ["DAEMON_", "COSMOVISOR_", "WATCHER_", "UNSAFE_SKIP_"].iter().any(|prefix| name.starts_with(prefix))
        && !is_known(name)
}

/// The variable whose name is most like this one, where one is at all: a third of it may differ.
pub(crate) fn nearest(name: &str) -> Option<&'static Variable> {
    let (distance, variable) =
        VARIABLES.iter().map(|variable| (distance(name, variable.name), variable)).min_by_key(|it| it.0)?;
    (distance <= name.len() / 3).then_some(variable)
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (left, b) in other.bytes().enumerate() {
            let best = (diagonal + usize::from(a != b)).min(row[left] + 1).min(row[left + 1] + 1);
            diagonal = std::mem::replace(&mut row[left + 1], best);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_may_be_meant() {
        for (name, meant) in [
            ("DAEMON_ALLOW_DOWNLOAD_BINARY", Some("DAEMON_ALLOW_DOWNLOAD_BINARIES")),
            ("DAEMON_RESTART_AFTER_UPGRADES", Some("DAEMON_RESTART_AFTER_UPGRADE")),
            ("COSMOVISOR_DISABLE_RECASING", Some("COSMOVISOR_DISABLE_RECASE")),
            ("DAEMON_HOEM", Some("DAEMON_HOME")),
            ("UNSAFE_SKIP_BACKUPS", Some("UNSAFE_SKIP_BACKUP")),
            ("COSMOVISOR_UNHEARD_OF", None),
        ] {
            assert_eq!((is_unknown(name), nearest(name).map(|variable| variable.name)), (true, meant), "{name}");
        }
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("a", "a")), (3, 3, 0));
    }
}
