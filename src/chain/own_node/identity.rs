//! Who the own node is, and on which chain.

use std::{
    fmt,
    fs::{self, File},
    io::{BufReader, Read as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
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

/// The chain's id in a genesis file; none where there is none, or none that can be read. The file may hold the whole state of a
/// chain, and have the id behind it: no more is read than is needed, and none of it is kept.
#[must_use]
pub fn chain_id(genesis: &Path) -> Option<String> {
    const LARGEST: u64 = 1 << 30;
    /// CometBFT's `MaxChainIDLen`.
    const LONGEST: usize = 50;
    // A pipe in its place would never end.
    let file = fs::metadata(genesis).ok().filter(fs::Metadata::is_file).and_then(|_| File::open(genesis).ok())?;
    let mut found = None;
    let file = BufReader::with_capacity(1 << 16, file.take(LARGEST));
    // Not to read on is an error as well, and so is what is broken behind the id.
    let _ = serde_json::Deserializer::from_reader(file).deserialize_map(FirstChainId(&mut found));
    found.filter(|id| (1..=LONGEST).contains(&id.len()))
}

/// Takes the id from a genesis, and stops there.
struct FirstChainId<'a>(&'a mut Option<String>);

impl<'de> Visitor<'de> for FirstChainId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a genesis")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "chain_id" {
                *self.0 = Some(map.next_value()?);
                break;
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufWriter, Write as _};

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

    #[test]
    fn the_chain_is_the_one_of_the_genesis_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("genesis.json");
        assert_eq!((chain_id(&path), chain_id(home.path())), (None, None));
        let longest = "c".repeat(50);
        for (genesis, expected) in [
            (r#"{"genesis_time":"","chain_id":"local-1","app_state":{}}"#, Some("local-1")),
            (r#"{"app_state":{"chain_id":"inner-1","a":["}",{"\"":1}]},"chain_id":"local-1"}"#, Some("local-1")),
            (r#"{"chain_id":"local-1","app_state":{"cut"#, Some("local-1")),
            (&format!(r#"{{"chain_id":"{longest}"}}"#), Some(&*longest)),
            (&format!(r#"{{"chain_id":"{longest}c"}}"#), None),
            (r#"{"app_state":{"cut"#, None),
            (r#"{"chain_id":"loc"#, None),
            (r#"{"chain_id":""}"#, None),
            (r#"{"chain_id":7}"#, None),
            (r#"{"app_state":{"chain_id":"inner-1"}}"#, None),
            (r#"["chain_id","local-1"]"#, None),
            ("\0\u{1}", None),
            ("", None),
        ] {
            fs::write(&path, genesis).unwrap();
            assert_eq!(chain_id(&path).as_deref(), expected, "{genesis}");
        }
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(chain_id(&path), None, "nobody writes into the pipe");
    }

    #[test]
    fn the_id_behind_the_state_of_a_large_chain_is_found() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("genesis.json");
        let mut file = BufWriter::new(File::create(&path).unwrap());
        file.write_all(br#"{"app_state":{"bank":["#).unwrap();
        io::copy(&mut io::repeat(b'[').take(1 << 20), &mut file).unwrap();
        io::copy(&mut io::repeat(b']').take(1 << 20), &mut file).unwrap();
        for _ in 0..100_000 {
            file.write_all(br#",{"address":"cosmos1qqqsyqcyq5rqwzqf","coins":[{"amount":"1"}]}"#).unwrap();
        }
        file.write_all(br#"]},"chain_id":"local-1"}"#).unwrap();
        file.into_inner().unwrap();
        assert_eq!(chain_id(&path).as_deref(), Some("local-1"));
    }
}
