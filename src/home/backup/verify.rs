//! Whether a backup is still what it was when it was made.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Completion, FILES, signing,
    work::{State, Way, Work},
};

/// How a file is noted that shares its blocks.
const CLONE: &str = "clone";

/// What is wrong with a backup, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub reason: String,
}

/// Holds each file against what was noted of it: its size, and when its content changed last.
#[must_use]
pub fn verify(backup: &Completion) -> Vec<Flaw> {
    let files = backup.path.join(FILES);
    let flaw = |path: &Path, reason: String| Flaw { path: path.to_owned(), reason };
    let text = match fs::read_to_string(&files) {
        Ok(text) => text,
        Err(error) => return vec![flaw(&files, format!("{}: nobody knows which files there were", unread(&error)))],
    };
    let mut flaws = Vec::new();
    let count = text.lines().count();
    if count != backup.files {
        flaws.push(flaw(&files, format!("names {count} files, and there were {}", backup.files)));
    }
    for line in text.lines() {
        let Some((_, size, modified, path)) = named(backup, line) else {
            flaws.push(flaw(&files, format!("has a line that cannot be understood: {line}")));
            continue;
        };
        match fs::symlink_metadata(&path) {
            Err(error) => flaws.push(flaw(&path, unread(&error))),
            Ok(meta) if meta.len() != size => {
                flaws.push(flaw(&path, format!("has {} bytes, and had {size}", meta.len())));
            }
            Ok(meta) if State::from(&meta).modified != modified => {
                flaws.push(flaw(&path, "was changed since".to_owned()));
            }
            Ok(_) => {}
        }
    }
    if let Err(error) = signing::read(&backup.path.join(signing::KEPT)) {
        flaws.push(flaw(&backup.path.join(signing::KEPT), error.reason));
    }
    flaws
}

/// Why there is nothing to look at: for people.
fn unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is missing".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// The files that were made to share their blocks with the node's.
pub(super) fn clones(backup: &Completion) -> Vec<PathBuf> {
    let text = fs::read_to_string(backup.path.join(FILES)).unwrap_or_default();
    let files = text.lines().filter_map(|line| named(backup, line));
    files.filter(|(way, ..)| *way == CLONE).map(|(.., path)| path).collect()
}

/// How a file was saved, its size, when its content changed last, and where it is.
fn named<'a>(backup: &Completion, line: &'a str) -> Option<(&'a str, u64, i64, PathBuf)> {
    let (way, size, modified, path) = serde_json::from_str::<(_, _, _, PathBuf)>(line).ok()?;
    Some((way, size, modified, backup.path.join(path)))
}

/// What is noted of each file.
pub(super) fn listed(work: &Work) -> Vec<u8> {
    let mut text = Vec::new();
    for file in &work.files {
        let way = match file.way {
            Way::Clone | Way::Cloned => CLONE,
            Way::Link => "link",
            Way::Copy | Way::Copied => "copy",
        };
        // Writing to memory does not fail; a path that is no text is told by `verify`.
        let path = file.to.to_string_lossy();
        let _ = serde_json::to_writer(&mut text, &(way, file.state.size, file.state.modified, path));
        let _ = text.write_all(b"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::backup::tests::*;

    #[test]
    fn a_shortened_list_of_files_is_a_flaw() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        fs::write(home.data().join("state"), "before").unwrap();
        let done = taken(&home, 5);
        assert_eq!(verify(&done), []);
        fs::write(done.path.join(FILES), "").unwrap();
        assert_eq!(verify(&done).len(), 1);
    }
}
