//! Where the own node listens, and what it began from: by its arguments, its environment, its configuration, in the order
//! in which the SDK's server (viper) lets them override each other.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use url::Url;

use crate::home::node_config::{self, NodeConfig};

/// The address of the own node's RPC: `--rpc.laddr`, `<NAME>_RPC_LADDR`, `laddr` under `[rpc]` of `config/config.toml`,
/// else CometBFT's default. An address on all interfaces is asked on the loopback one. None for a unix socket and
/// for what is no address.
#[must_use]
pub fn own_rpc_address(
    args: &[OsString],
    env: &dyn Fn(&str) -> Option<String>,
    home: &Path,
    daemon_name: &str,
) -> Option<Url> {
    let sources =
        NodeConfig { args, env, daemon_name, file: node_config::read(home, "config.toml").unwrap_or_default() };
    reachable(&sources.value("rpc.laddr").unwrap_or_else(|| String::from("tcp://127.0.0.1:26657")))
}

/// The address of the own node's REST gateway, as [`own_rpc_address`] with `api.enable` and `api.address` of
/// `config/app.toml`. None where it is not enabled, as it is not by default.
#[must_use]
pub fn own_rest_address(
    args: &[OsString],
    env: &dyn Fn(&str) -> Option<String>,
    home: &Path,
    daemon_name: &str,
) -> Option<Url> {
    let sources = NodeConfig { args, env, daemon_name, file: node_config::read(home, "app.toml").unwrap_or_default() };
    // Go's strconv.ParseBool.
    let enabled = matches!(sources.value("api.enable")?.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
    let address = || sources.value("api.address").unwrap_or_else(|| String::from("tcp://localhost:1317"));
    enabled.then(address).and_then(|address| reachable(&address))
}

/// The own node's genesis file, as [`own_rpc_address`] with `genesis_file`; CometBFT takes a relative one from the home.
#[must_use]
pub fn own_genesis(args: &[OsString], env: &dyn Fn(&str) -> Option<String>, home: &Path, daemon_name: &str) -> PathBuf {
    let sources =
        NodeConfig { args, env, daemon_name, file: node_config::read(home, "config.toml").unwrap_or_default() };
    home.join(sources.value("genesis_file").unwrap_or_else(|| String::from("config/genesis.json")))
}

/// A value of the own node's `config/config.toml`, or of the environment, which overrides it. `dotted` is the key, behind
/// its section where it has one.
#[must_use]
pub fn own_setting(home: &Path, daemon_name: &str, dotted: &str) -> Option<String> {
    let env = |name: &str| std::env::var(name).ok();
    let sources = NodeConfig {
        args: &[],
        env: &env,
        daemon_name,
        file: node_config::read(home, "config.toml").unwrap_or_default(),
    };
    sources.variable(dotted).or_else(|| match sources.in_file(dotted)? {
        toml::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    })
}

/// A listening address as one to ask at.
fn reachable(listening: &str) -> Option<Url> {
    let (scheme, rest) = listening.trim().split_once("://").unwrap_or(("tcp", listening.trim()));
    let scheme = match scheme {
        "tcp" | "http" => "http",
        "https" => "https",
        _ => return None,
    };
    let rest = if rest.starts_with(':') { format!("127.0.0.1{rest}") } else { rest.to_owned() };
    let mut url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
    if matches!(url.host_str()?, "0.0.0.0" | "[::]") {
        url.set_host(Some("127.0.0.1")).ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(config: &str, app: &str) -> Self {
            let home = tempfile::tempdir().unwrap();
            std::fs::create_dir(home.path().join("config")).unwrap();
            std::fs::write(home.path().join("config/config.toml"), config).unwrap();
            std::fs::write(home.path().join("config/app.toml"), app).unwrap();
            Self(home)
        }

        fn rpc(&self, args: &[&str], env: &[(&str, &str)]) -> Option<String> {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            own_rpc_address(&args, &|name| variable(env, name), self.0.path(), "my-chain.d").map(String::from)
        }

        fn rest(&self, args: &[&str], env: &[(&str, &str)]) -> Option<String> {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            own_rest_address(&args, &|name| variable(env, name), self.0.path(), "my-chain.d").map(String::from)
        }
    }

    fn variable(env: &[(&str, &str)], name: &str) -> Option<String> {
        env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_file() {
        let home = Home::with("[rpc]\nladdr = \"tcp://127.0.0.1:1\"\n", "");
        let env = [("MY_CHAIN_D_RPC_LADDR", "tcp://127.0.0.1:2")];
        let is = |port: u16| Some(format!("http://127.0.0.1:{port}/"));
        assert_eq!(home.rpc(&[], &[]), is(1));
        assert_eq!(home.rpc(&["start"], &env), is(2));
        assert_eq!(home.rpc(&[], &[("MY_CHAIN_D_RPC_LADDR", "")]), is(1));
        assert_eq!(home.rpc(&["start", "--rpc.laddr", "tcp://127.0.0.1:3"], &env), is(3));
        assert_eq!(home.rpc(&["--rpc.laddr", "tcp://127.0.0.1:3", "--rpc.laddr=tcp://127.0.0.1:4"], &env), is(4));
        assert_eq!(home.rpc(&["--", "--rpc.laddr=tcp://127.0.0.1:4"], &env), is(2));
        assert_eq!(home.rpc(&["--rpc.laddr"], &env), is(2));
        for broken in ["", "[rpc", "[rpc]\nladdr = 5", "rpc = 1"] {
            assert_eq!(Home::with(broken, "").rpc(&[], &[]), is(26657), "{broken}");
        }
    }

    #[test]
    fn the_genesis_file_is_where_the_node_has_it() {
        let (home, elsewhere) = (Home::with("", ""), Home::with("genesis_file = \"config/mine.json\"\n", ""));
        let of = |home: &Home, env: &[(&str, &str)]| {
            own_genesis(&[], &|name| variable(env, name), home.0.path(), "my-chain.d")
        };
        assert_eq!(of(&home, &[]), home.0.path().join("config/genesis.json"));
        assert_eq!(of(&elsewhere, &[]), elsewhere.0.path().join("config/mine.json"));
        assert_eq!(of(&elsewhere, &[("MY_CHAIN_D_GENESIS_FILE", "/g.json")]), Path::new("/g.json"));
    }

    #[test]
    fn an_address_to_listen_at_becomes_one_to_ask_at() {
        let home = Home::with("", "");
        for (listening, asked) in [
            ("tcp://0.0.0.0:26657", Some("http://127.0.0.1:26657/")),
            ("tcp://[::]:26657", Some("http://127.0.0.1:26657/")),
            ("tcp://[::1]:26657", Some("http://[::1]:26657/")),
            ("tcp://:26657", Some("http://127.0.0.1:26657/")),
            ("localhost:26657", Some("http://localhost:26657/")),
            ("http://10.0.0.1:80", Some("http://10.0.0.1/")),
            ("unix:///run/node.sock", None),
            ("tcp://", None),
            ("tcp://host:port", None),
        ] {
            assert_eq!(home.rpc(&["--rpc.laddr", listening], &[]).as_deref(), asked, "{listening}");
        }
    }

    #[test]
    fn the_gateway_is_asked_only_where_it_is_enabled() {
        let off = Home::with("", "[api]\nenable = false\naddress = \"tcp://0.0.0.0:1317\"\n");
        let on = Home::with("", "[api]\nenable = true\naddress = \"tcp://0.0.0.0:1318\"\n");
        assert_eq!(off.rest(&[], &[]), None);
        assert_eq!(Home::with("", "").rest(&[], &[]), None);
        assert_eq!(off.rest(&["--api.enable", "--home", "x"], &[]).as_deref(), Some("http://127.0.0.1:1317/"));
        assert_eq!(off.rest(&[], &[("MY_CHAIN_D_API_ENABLE", "1")]).as_deref(), Some("http://127.0.0.1:1317/"));
        assert_eq!(on.rest(&[], &[]).as_deref(), Some("http://127.0.0.1:1318/"));
        assert_eq!(on.rest(&["--api.enable=false"], &[]), None);
        assert_eq!(Home::with("", "").rest(&["--api.enable"], &[]).as_deref(), Some("http://localhost:1317/"));
    }
}
