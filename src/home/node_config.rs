//! What the node is set to: by its arguments, its environment, its files, in the order in which the SDK's server (viper) lets
//! them override each other.

use std::{ffi::OsString, io, path::Path};

use super::{read_small, unless_missing};

/// A file of the node's configuration, its keys in lower case, as viper finds them. One that is missing has what it does not
/// say by default, as for the node.
///
/// # Errors
/// Where it cannot be read or understood: what it says may matter. The node does not start with it either.
pub(crate) fn read(home: &Path, name: &str) -> io::Result<toml::Table> {
    const LARGEST: u64 = 1 << 20;
    let Some(text) = unless_missing(read_small(&home.join("config").join(name), LARGEST))? else {
        return Ok(toml::Table::new());
    };
    let table: toml::Table = String::from_utf8_lossy(&text)
        .trim_start_matches('\u{feff}')
        .parse()
        .map_err(|error: toml::de::Error| io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned()))?;
    Ok(lower(table))
}

fn lower(table: toml::Table) -> toml::Table {
    let lower = |(key, value): (String, toml::Value)| match value {
        toml::Value::Table(inner) => (key.to_lowercase(), toml::Value::Table(lower(inner))),
        value => (key.to_lowercase(), value),
    };
    table.into_iter().map(lower).collect()
}

/// One of the node's files, and what comes before it.
pub(crate) struct NodeConfig<'a> {
    /// The node's arguments.
    pub(crate) args: &'a [OsString],
    /// The node's environment.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    /// `DAEMON_NAME`, with which its variables begin.
    pub(crate) daemon_name: &'a str,
    /// What [`read`] gave.
    pub(crate) file: toml::Table,
}

impl NodeConfig<'_> {
    /// A setting by its key, behind its section where it has one.
    pub(crate) fn value(&self, dotted: &str) -> Option<String> {
        self.argument(&format!("--{dotted}")).or_else(|| self.variable(dotted)).or_else(|| {
            Some(match self.in_file(dotted)? {
                toml::Value::String(text) => text.clone(),
                toml::Value::Boolean(value) => value.to_string(),
                _ => return None,
            })
        })
    }

    /// What the file alone says.
    pub(crate) fn in_file(&self, dotted: &str) -> Option<&toml::Value> {
        match dotted.split_once('.') {
            Some((section, key)) => self.file.get(section)?.get(key),
            None => self.file.get(dotted),
        }
    }

    /// The last one wins; `--flag value` and `--flag=value`, and a flag that is a switch alone means true.
    fn argument(&self, flag: &str) -> Option<String> {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--").collect();
        let mut found = None;
        for (at, arg) in args.iter().enumerate() {
            if arg == flag {
                let switch = flag.ends_with(".enable");
                found = if switch { Some(String::from("true")) } else { args.get(at + 1).map(ToString::to_string) };
            } else if let Some(value) = arg.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
                found = Some(value.to_owned());
            }
        }
        found
    }

    /// What the environment says. The SDK gives viper the executable's name as prefix and replaces `.` and `-`; an empty
    /// variable counts as unset.
    pub(crate) fn variable(&self, dotted: &str) -> Option<String> {
        let name = format!("{}_{dotted}", self.daemon_name).to_uppercase().replace(['-', '.'], "_");
        (self.env)(&name).filter(|value| !value.is_empty())
    }
}
