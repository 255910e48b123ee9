//! The configuration file: TOML, JSON or YAML, by its extension. Every key is optional, and its case does not matter.

mod yaml;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};

use super::{ConfigError, go_text};
use crate::home::version::located;

/// What stands in a configuration file.
#[derive(Debug, Clone, Default)]
pub struct File(BTreeMap<String, Value>);

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// Where it is not there, its extension is none of those that are known, or it cannot be understood.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (shown, wrong) = (path.display(), |text: String| ConfigError(vec![text]));
        let missing = |error| wrong(format!("config not found: at {shown} : stat {shown}: {}", go_text(&error)));
        fs::metadata(path).map_err(missing)?;
        let failed = |reason: String| wrong(format!("failed to read config file: {reason}"));
        let text = fs::read_to_string(path).map_err(|error| failed(format!("{shown}: {error}")))?;
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let parsed: Result<Map<String, Value>, String> = match extension.as_str() {
            "toml" => toml::from_str(&text).map_err(|error| located(&error, &text)),
            "json" => serde_json::from_str(&text).map_err(|error| format!(": {error}")),
            "yaml" | "yml" => yaml::parse(&text).map_err(|reason| format!(", {reason}")),
            other => return Err(failed(format!("Unsupported Config Type {other:?}"))),
        };
        let keys = parsed.map_err(|reason| failed(format!("While parsing config: {shown}{reason}")))?;
        let mut known = BTreeMap::new();
        for (key, value) in keys {
            let lower = key.to_lowercase();
            if known.insert(lower.clone(), value).is_some() {
                return Err(failed(format!(
                    "While parsing config: {shown}: {lower} stands there twice, in another case"
                )));
            }
        }
        Ok(Self(known))
    }

    /// The value of a key in lower case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Every key, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
