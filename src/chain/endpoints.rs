//! Whom to ask: the own node first, then those that the operator named, each with its number, its address and the words
//! by which messages call it.

use std::{path::PathBuf, time::Duration};

use reqwest::Client;
use url::Url;

use super::{
    Dated, Latest,
    fault::Fault,
    own_node::{OwnNode, chain_id},
    proposals::{GovVersion, Page},
    rest::Rest,
    rpc::Rpc,
};
use crate::{
    decide::{
        event::{EndpointId, OWN_NODE, ProposalStatus},
        plan::Plan,
    },
    http::{self, secrets},
};

/// How long another's endpoint may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long the own node may take: it is on this machine, and a page of proposals can still take a while.
const OWN_ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// One endpoint, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number; the own node is 0, the others count from 1.
    pub id: EndpointId,
    /// What it speaks.
    pub kind: Kind,
    /// `http` or `https`.
    pub url: Url,
    /// How messages call it: scheme, host and port, and a number where several have those in common.
    pub label: String,
    /// Set for the own node alone.
    pub own: Option<Own>,
    /// The genesis file of the home for which it is asked, which tells the chain that it has to be on.
    pub genesis: Option<PathBuf>,
}

/// What more is known of the own node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its home, whose `config/node_key.json` says who it is.
    pub home: PathBuf,
    /// Its REST gateway, asked where its RPC does not answer a query.
    pub rest: Option<Url>,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CometBFT's JSON-RPC.
    Rpc,
    /// The SDK's REST gateway.
    Rest,
}

/// An address that cannot be an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address:?} is not the address of an endpoint ({reason}); write it as https://host:port/path or tcp://host:port"
)]
pub struct BadAddress {
    /// The address as it was given, without what may be secret.
    pub address: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The endpoints to ask, the own node first where its address is known.
///
/// # Errors
/// [`BadAddress`] for the first of `rpc` and `rest` that cannot be one.
pub fn list(own: Option<(Url, Own)>, rpc: &[String], rest: &[String]) -> Result<Vec<Endpoint>, BadAddress> {
    let own = own.map(|(url, own)| {
        let label = format!("the own node at {}", secrets::endpoint(&url));
        Endpoint { id: OWN_NODE, kind: Kind::Rpc, url, label, own: Some(own), genesis: None }
    });
    let mut endpoints: Vec<_> = own.into_iter().collect();
    let others = rpc.iter().map(|text| (Kind::Rpc, text)).chain(rest.iter().map(|text| (Kind::Rest, text)));
    for (number, (kind, text)) in (1..).zip(others) {
        let url = address(text)?;
        let mut label = secrets::endpoint(&url);
        let alike =
            endpoints.iter().filter(|other| secrets::endpoint(&other.url) == label && other.own.is_none()).count();
        if alike > 0 {
            label = format!("{label}#{}", alike + 1);
        }
        endpoints.push(Endpoint { id: EndpointId(number), kind, label, url, own: None, genesis: None });
    }
    Ok(endpoints)
}

/// The chain that the home tells for which they are asked. Nobody waits for a long file on the one thread that matters, nor for
/// one on a disk that is gone.
pub(super) async fn chain_of_the_home(endpoints: &[Endpoint]) -> Option<String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let genesis = endpoints.iter().find_map(|endpoint| endpoint.genesis.clone())?;
    let read = tokio::task::spawn_blocking(move || chain_id(&genesis));
    tokio::time::timeout(PATIENCE, read).await.ok()?.ok()?
}

/// An address as people write it; `tcp://` means `http://`, and so does none at all.
///
/// # Errors
/// [`BadAddress`] for what is no address, and for other schemes.
pub fn address(text: &str) -> Result<Url, BadAddress> {
    let text = text.trim();
    let absolute = match text.split_once("://") {
        None => format!("http://{text}"),
        Some(("tcp", rest)) => format!("http://{rest}"),
        Some(_) => text.to_owned(),
    };
    let bad = |reason| BadAddress { address: secrets::written_endpoint(text), reason };
    let url = Url::parse(&absolute).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(bad(format!("{other:?} is neither http, https nor tcp"))),
    }
}

/// The clients that endpoints are asked with, made once.
#[derive(Debug, Clone)]
pub struct Clients {
    own: Client,
    others: Client,
}

impl Clients {
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new() -> reqwest::Result<Self> {
        Ok(Self { own: http::own_node_client(OWN_ANSWER_LIMIT)?, others: http::endpoint_client()? })
    }

    /// The client for an endpoint.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Client {
        if endpoint.own.is_some() { self.own.clone() } else { self.others.clone() }
    }

    /// An endpoint, ready to be asked.
    #[must_use]
    pub fn open(&self, endpoint: &Endpoint) -> Source {
        let (client, url, mut label) = (self.of(endpoint), endpoint.url.clone(), endpoint.label.clone());
        label.extend(http::proxy(&url).map(|proxy| format!(", {proxy},")));
        match (&endpoint.own, endpoint.kind) {
            (Some(Own { home, rest }), _) => Source::Own {
                node: OwnNode::with_client(client.clone(), url, home.clone(), OWN_ANSWER_LIMIT),
                rest: rest.as_ref().map(|rest| {
                    let label = format!("the own node's REST at {}", secrets::endpoint(rest));
                    Rest::new(client, rest.clone(), label, OWN_ANSWER_LIMIT)
                }),
            },
            (None, Kind::Rpc) => Source::Rpc(Rpc::new(client, url, label, ANSWER_LIMIT)),
            (None, Kind::Rest) => Source::Rest(Rest::new(client, url, label, ANSWER_LIMIT)),
        }
    }
}

/// An endpoint that can be asked, whatever it speaks.
#[derive(Debug, Clone)]
pub enum Source {
    /// The own node: believed only if it is the one of the home.
    Own {
        /// Its RPC.
        node: OwnNode,
        /// Its REST gateway, the second way.
        rest: Option<Rest>,
    },
    /// Another's RPC.
    Rpc(Rpc),
    /// Another's REST gateway.
    Rest(Rest),
}

/// Asks the RPC, and the own node's REST gateway where its RPC fails.
macro_rules! ask {
    ($source:expr, $method:ident ( $($argument:expr),* )) => {
        match $source {
            Source::Rpc(rpc) => rpc.$method($($argument),*).await,
            Source::Rest(rest) => rest.$method($($argument),*).await,
            Source::Own { node, rest } => match (node.rpc().$method($($argument),*).await, rest) {
                (Err(fault), Some(rest)) if node.is_behind(rest).await => rest.$method($($argument),*).await.map_err(|_| fault),
                (answer, _) => answer,
            },
        }
    };
}

impl Source {
    /// Where it is.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn latest(&self) -> Result<Latest, Fault> {
        match self {
            Self::Own { node, .. } => node.status().await,
            Self::Rpc(rpc) => rpc.status().await,
            Self::Rest(rest) => rest.latest().await,
        }
    }

    /// Its RPC, where it speaks that.
    pub(super) fn rpc(&self) -> Option<&Rpc> {
        match self {
            Self::Own { node, .. } => Some(node.rpc()),
            Self::Rpc(rpc) => Some(rpc),
            Self::Rest(_) => None,
        }
    }

    /// The height that the application committed, asked of the own node alone.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn committed(&self) -> Result<Option<u64>, Fault> {
        match self {
            Self::Own { node, .. } => node.rpc().abci_info().await.map(Some),
            _ => Ok(None),
        }
    }

    /// The plan scheduled in x/upgrade.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn current_plan(&self) -> Result<Dated<Option<Plan>>, Fault> {
        ask!(self, current_plan())
    }

    /// The height at which the plan of this name was applied; 0 for never.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn applied_plan(&self, name: &str) -> Result<u64, Fault> {
        ask!(self, applied_plan(name))
    }

    /// One page of the proposals in a status, or of all, newest first.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn proposals(
        &self,
        gov: GovVersion,
        status: Option<ProposalStatus>,
        limit: u64,
        key: &[u8],
    ) -> Result<Page, Fault> {
        ask!(self, proposals(gov, status, limit, key))
    }

    /// The proposal of a number.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn proposal(&self, gov: GovVersion, id: u64) -> Result<Page, Fault> {
        ask!(self, proposal(gov, id))
    }

    /// The time of a block, milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`Fault`] where there is no such answer.
    pub async fn header_time(&self, height: u64) -> Result<u64, Fault> {
        ask!(self, header_time(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::liar::{ID, Liar, NODE_KEY, json};

    /// Another node on the machine may have its port.
    #[tokio::test]
    async fn the_own_nodes_gateway_is_believed_only_where_it_is_that_of_the_home() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("config")).unwrap();
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        let rpc = Liar::saying(501, b"").await;
        for (id, believed) in [(ID, true), ("00", false)] {
            let info = format!(r#"{{"default_node_info":{{"default_node_id":"{id}"}}}}"#);
            let rest = Liar::telling(move |path, _| {
                json(if path.ends_with("node_info") { &info } else { r#"{"plan":null}"# })
            })
            .await;
            let own = Own { home: home.path().to_owned(), rest: Some(rest.url.clone()) };
            let own = list(Some((rpc.url.clone(), own)), &[], &[]).unwrap();
            let source = Clients::new().unwrap().open(&own[0]);
            assert_eq!(source.current_plan().await.is_ok(), believed, "{id}");
        }
    }

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, url) in [
            ("https://rpc.example.org:443/prefix", "https://rpc.example.org/prefix"),
            (" tcp://127.0.0.1:26657 ", "http://127.0.0.1:26657/"),
            ("localhost:26657", "http://localhost:26657/"),
            ("http://user:secret@host/?key=k", "http://user:secret@host/?key=k"),
        ] {
            assert_eq!(address(text).unwrap().as_str(), url);
        }
        for (text, shown) in [
            ("", ""),
            ("unix:///run/node.sock", "unix:///…"),
            ("ftp://host", "ftp://host"),
            ("https://u:secret@ho st/", "https://ho st/…"),
            ("u:secret@h:99999", "h:99999"),
            ("https://h:99999/secret?key=secret", "https://h:99999/…"),
        ] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{shown:?} is not")) && error.contains("https://host:port"), "{error}");
        }
    }

    #[test]
    fn the_own_node_is_number_0_and_endpoints_of_one_host_are_told_apart() {
        let own = Own { home: PathBuf::from("/home"), rest: None };
        let rpc = ["https://u:secret@example.org/rpc/?key=secret", "https://example.org/secret"].map(String::from);
        let rest = ["https://example.org", "https://example.org/rest"].map(String::from);
        let endpoints = list(Some((address("127.0.0.1:26657").unwrap(), own)), &rpc, &rest).unwrap();
        let told: Vec<_> = endpoints.iter().map(|e| (e.id.0, e.kind, e.label.as_str())).collect();
        assert_eq!(
            told,
            [
                (0, Kind::Rpc, "the own node at http://127.0.0.1:26657"),
                (1, Kind::Rpc, "https://example.org/…"),
                (2, Kind::Rpc, "https://example.org/…#2"),
                (3, Kind::Rest, "https://example.org"),
                (4, Kind::Rest, "https://example.org/…#3"),
            ]
        );
        assert_eq!(list(None, &rpc, &[]).unwrap()[0].id, EndpointId(1));
        assert!(list(None, &rpc, &[String::from("gopher://x")]).is_err());
    }
}
