//! Who the own node is.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::home::read_small;

#[derive(Deserialize)]
struct NodeKey {
    priv_key: PrivateKey,
}

#[derive(Deserialize)]
struct PrivateKey {
    value: String,
}

/// The node's id as CometBFT derives it: the first 20 bytes of SHA-256 of the public half of the ed25519 key in
/// `config/node_key.json`, lower-case hex. None where that file is absent or is no such key.
#[must_use]
pub fn node_id(home: &Path) -> Option<String> {
    const LARGEST: u64 = 64 << 10;
    const SEED: usize = 32;
    const KEY_PAIR: usize = 64;
    const ADDRESS: usize = 20;
    let json = read_small(&home.join("config/node_key.json"), LARGEST).ok()?;
    let key: NodeKey = serde_json::from_slice(&json).ok()?;
    let pair = BASE64.decode(key.priv_key.value).ok().filter(|pair| pair.len() == KEY_PAIR)?;
    Some(hex::encode(&Sha256::digest(&pair[SEED..])[..ADDRESS]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::liar::{ID, NODE_KEY};

    #[test]
    fn the_id_is_the_one_the_node_prints() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(node_id(home.path()), None);
        std::fs::create_dir(home.path().join("config")).unwrap();
        for (key, id) in [(NODE_KEY, Some(ID)), ("", None), ("{}", None), (r#"{"priv_key":{"value":"AAAA"}}"#, None)] {
            std::fs::write(home.path().join("config/node_key.json"), key).unwrap();
            assert_eq!(node_id(home.path()).as_deref(), id, "{key}");
        }
    }
}
