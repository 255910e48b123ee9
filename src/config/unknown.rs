//! Names that look as if they were meant for this program and are not known to it.

use super::{
    file::File,
    variables::{VARIABLES, Variable},
};

/// What to say of each, of the environment's and of a file's.
pub(super) fn advice(names: &[String], file: Option<&File>) -> Vec<String> {
    let ours = |name: &&String| ["DAEMON_", "COSMOVISOR_", "WATCHER_"].iter().any(|prefix| name.starts_with(prefix));
    let keys: Vec<String> = file.into_iter().flat_map(File::keys).map(str::to_uppercase).collect();
    let known = |name: &&String| VARIABLES.iter().any(|variable| variable.name == name.as_str());
    names.iter().filter(ours).chain(&keys).filter(|name| !known(name)).map(|name| about(name)).collect()
}

fn about(name: &str) -> String {
    let shared = |other: &Variable| other.name.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    let nearest = VARIABLES.iter().max_by_key(|variable| shared(variable));
    let prefix = name.find('_').map_or(0, |place| place + 1);
    match nearest.filter(|variable| shared(variable) > prefix + 2) {
        Some(variable) => {
            format!("{name} is not a variable of watcher and is ignored; did you mean {}?", variable.name)
        }
        None => format!("{name} is not a variable of watcher and is ignored"),
    }
}
