//! A node's home as the embedded node keeps it: the files that a real node has and that `watcher` reads, and the chain's
//! state in `data/chain.json`, so that a node that is started again goes on where the last one stopped.

use std::{
    fs::{self, File},
    io::{Seek, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::chain::Chain;
use crate::decide::plan::Plan;

/// Where the node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// RPC and websocket: `[rpc] laddr` of config.toml.
    pub rpc: SocketAddr,
    /// REST: `[api] address` of app.toml.
    pub rest: SocketAddr,
}

/// The home of an embedded node.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// Makes a home with a new node key and a chain at its start. The folder may exist.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn create(root: &Path, chain: &Chain, addresses: Addresses) -> Result<Self> {
        let home = Self(root.to_path_buf());
        for folder in ["config", "data/application.db"] {
            fs::create_dir_all(root.join(folder))
                .with_context(|| format!("cannot make a node's home in {}", root.display()))?;
        }
        let key = BASE64_STANDARD.encode(new_key()?);
        home.replace(
            "config/node_key.json",
            &json!({"priv_key": {"type": "tendermint/PrivKeyEd25519", "value": key}}),
        )?;
        let Addresses { rpc, rest } = addresses;
        home.write("config/config.toml", format!("moniker = \"demo\"\n\n[rpc]\nladdr = \"tcp://{rpc}\"\n").as_bytes())?;
        home.write("config/app.toml", format!("[api]\nenable = true\naddress = \"tcp://{rest}\"\n").as_bytes())?;
        home.store(chain)?;
        Ok(home)
    }

    /// The home in a folder.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self(root.to_path_buf())
    }

    /// The folder, or a file in it.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// The chain as it was last stored.
    ///
    /// # Errors
    /// Where `data/chain.json` is missing or not ours.
    pub fn chain(&self) -> Result<Chain> {
        serde_json::from_slice(&self.read("data/chain.json")?).context("data/chain.json is not an embedded chain")
    }

    /// Stores the chain, and the height that the validator has signed: it signs a block before the block is applied.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn store(&self, chain: &Chain) -> Result<()> {
        let signed =
            json!({"height": chain.saved.to_string(), "round": 0, "step": if chain.saved == 0 { 0 } else { 3 }});
        self.replace("data/priv_validator_state.json", &signed)?;
        self.replace("data/chain.json", &serde_json::to_value(chain)?)
    }

    /// Writes `data/upgrade-info.json` as the SDK does at a halt: the zero time, `info` only where there is one, Go's
    /// escapes, and not by a rename, so that a reader can meet it empty.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn dump_upgrade_info(&self, plan: &Plan) -> Result<()> {
        let quoted = |text: &str| {
            ["&", "<", ">"].iter().fold(json!(text).to_string(), |json, special| {
                json.replace(special, &format!("\\u{:04x}", special.as_bytes()[0]))
            })
        };
        let info = if plan.info.is_empty() { String::new() } else { format!(",\"info\":{}", quoted(&plan.info)) };
        let (name, height) = (quoted(&plan.name), plan.height);
        let text = format!("{{\"name\":{name},\"time\":\"0001-01-01T00:00:00Z\",\"height\":{height}{info}}}");
        self.write("data/upgrade-info.json", text.as_bytes())
    }

    /// Where the node is to listen, from config.toml and app.toml.
    ///
    /// # Errors
    /// Where one of them is missing or names no address.
    pub fn addresses(&self) -> Result<Addresses> {
        let address = |file: &str, section: &str, key: &str| {
            let text = String::from_utf8(self.read(file)?)?;
            let table: toml::Table = text.parse().with_context(|| format!("{file} is not TOML"))?;
            let value = table.get(section).and_then(|it| it.get(key)).and_then(toml::Value::as_str).unwrap_or_default();
            value
                .trim_start_matches("tcp://")
                .parse()
                .with_context(|| format!("[{section}] {key} of {file}: {value:?}"))
        };
        let rpc = address("config/config.toml", "rpc", "laddr")?;
        Ok(Addresses { rpc, rest: address("config/app.toml", "api", "address")? })
    }

    /// The public key in `config/node_key.json`; the validator of this chain has the same one.
    ///
    /// # Errors
    /// Where the file holds no Ed25519 key.
    pub fn public_key(&self) -> Result<[u8; 32]> {
        let file: Value = serde_json::from_slice(&self.read("config/node_key.json")?)?;
        let key = BASE64_STANDARD.decode(file["priv_key"]["value"].as_str().unwrap_or_default())?;
        key.get(32..).and_then(|public| public.try_into().ok()).context("config/node_key.json holds no Ed25519 key")
    }

    /// Takes the lock that keeps two nodes off one database, and notes in it when this process took it, in microseconds
    /// since the Unix epoch. It is held until the file is dropped.
    ///
    /// # Errors
    /// Where another process holds it.
    pub fn lock(&self) -> Result<File> {
        let path = self.path("data/application.db/LOCK");
        let mut file = File::options().create(true).truncate(false).write(true).open(&path)?;
        if file.try_lock().is_err() {
            bail!("failed to initialize database: {} is held by another process", path.display());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", now.as_micros())?;
        Ok(file)
    }

    fn read(&self, file: &str) -> Result<Vec<u8>> {
        fs::read(self.path(file)).with_context(|| format!("cannot read {}", self.path(file).display()))
    }

    fn write(&self, file: &str, content: &[u8]) -> Result<()> {
        fs::write(self.path(file), content).with_context(|| format!("cannot write {}", self.path(file).display()))
    }

    fn replace(&self, file: &str, content: &Value) -> Result<()> {
        let fresh = format!("{file}.new");
        self.write(&fresh, &serde_json::to_vec_pretty(content)?)?;
        fs::rename(self.path(&fresh), self.path(file)).with_context(|| format!("cannot replace {file}"))
    }
}

/// The first 20 bytes of a key's SHA-256: a node's id in lower-case hex, a validator's address in upper case.
#[must_use]
pub fn address_of(public_key: &[u8]) -> [u8; 20] {
    let digest: [u8; 32] = Sha256::digest(public_key).into();
    std::array::from_fn(|place| digest[place])
}

/// A new Ed25519 key as `node_key.json` holds it: the seed, then the public key.
fn new_key() -> Result<Vec<u8>> {
    let mut seed = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    let key = cosmrs::tendermint::crypto::ed25519::SigningKey::try_from(&seed[..])?;
    Ok([&seed[..], key.verification_key().as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_gives_back_what_was_put_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let addresses = Addresses { rpc: "127.0.0.1:1".parse().unwrap(), rest: "127.0.0.1:2".parse().unwrap() };
        let mut chain = Chain::new("demo-1", 300, vec![]);
        let home = Home::create(folder.path(), &chain, addresses).unwrap();
        chain.save(7);
        home.store(&chain).unwrap();
        assert_eq!((home.chain().unwrap(), home.addresses().unwrap()), (chain, addresses));
        let signed: Value = serde_json::from_slice(&home.read("data/priv_validator_state.json").unwrap()).unwrap();
        assert_eq!(signed["height"], "1");
        assert_ne!(home.public_key().unwrap(), [0; 32]);
    }

    #[test]
    fn upgrade_info_is_written_byte_for_byte_as_the_sdk_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let home = Home::at(folder.path());
        for (info, end) in [("", ""), ("a \"b\" & <c>", r#","info":"a \"b\" \u0026 \u003cc\u003e""#)] {
            home.dump_upgrade_info(&Plan { name: "v2".into(), height: 25, info: info.into() }).unwrap();
            let expected = format!(r#"{{"name":"v2","time":"0001-01-01T00:00:00Z","height":25{end}}}"#);
            assert_eq!(home.read("data/upgrade-info.json").unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn two_nodes_cannot_share_a_home() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/application.db")).unwrap();
        let home = Home::at(folder.path());
        let held = home.lock().unwrap();
        assert!(home.lock().unwrap_err().to_string().contains("held by another process"));
        drop(held);
        home.lock().unwrap();
    }
}
