//! An embedded chain whose blocks the test itself makes, and the home and servers of its one node.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use watcher::sim::{
    chain::Chain,
    home::{Addresses, Home},
    server::{self, Site},
};

use crate::servers::{Server, listener};

/// The network of one node, which listens until the value is dropped.
pub(crate) struct Network {
    pub(crate) site: Arc<Site>,
    pub(crate) rpc: Server,
    pub(crate) rest: Server,
    asked: Arc<Asked>,
}

/// At which heights the RPC was asked.
#[derive(Default)]
struct Asked {
    /// For the scheduled plan.
    plan: AtomicU64,
    /// The same, once that answer has led to a further question.
    heard: AtomicU64,
    /// How often each question was asked, and the bytes that were answered.
    served: Mutex<BTreeMap<String, (u64, u64)>>,
}

impl Network {
    /// Makes the node's home in a folder and opens its RPC, websocket and REST.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    pub(crate) fn open(root: &Path, chain: Chain) -> Self {
        let (rpc, rest) = (listener(), listener());
        let address = |listener: &std::net::TcpListener| listener.local_addr().expect("it listens");
        let addresses = Addresses { rpc: address(&rpc), rest: address(&rest) };
        let home = Home::create(root, &chain, addresses).expect("the folder can be written");
        let key = home.public_key().expect("the home was just made");
        let site = Arc::new(Site::new(chain, "v1", key, addresses));
        let asked = Arc::new(Asked::default());
        let notes = (Arc::clone(&site), Arc::clone(&asked));
        let noting = from_fn(move |request: Request, next: Next| {
            let (site, asked) = notes.clone();
            async move { note(request, next, &site, &asked).await }
        });
        let rpc = Server::at(rpc, server::rpc(Arc::clone(&site)).layer(noting));
        let rest = Server::at(rest, server::rest(Arc::clone(&site)));
        Self { site, rpc, rest, asked }
    }

    /// The greatest height of a scheduled plan, or of none, that somebody has heard: asked for, and then gone on.
    pub(crate) fn heard_at(&self) -> u64 {
        self.asked.heard.load(SeqCst)
    }
}

impl Network {
    /// Each question, how often it was asked, and the bytes that were answered.
    pub(crate) fn served(&self) -> Vec<(String, u64, u64)> {
        let served = self.asked.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter().map(|(question, (requests, bytes))| (question.clone(), *requests, *bytes)).collect()
    }
}

async fn note(request: Request, next: Next, site: &Site, asked: &Asked) -> Response {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/websocket" {
        return next.run(Request::from_parts(head, body)).await;
    }
    let body = to_bytes(body, 1 << 20).await.expect("a question is short");
    let is_for = |path: &str| body.windows(path.len()).any(|part| part == path.as_bytes());
    if is_for("Query/CurrentPlan") {
        asked.plan.fetch_max(site.chain().committed, SeqCst);
    } else if is_for("Query/Proposals") {
        asked.heard.fetch_max(asked.plan.load(SeqCst), SeqCst);
    }
    let call: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let question = call["params"]["path"].as_str().or(call["method"].as_str()).unwrap_or(head.uri.path()).to_owned();
    let (answer, content) = next.run(Request::from_parts(head, Body::from(body))).await.into_parts();
    let content = to_bytes(content, usize::MAX).await.expect("the answer is in memory");
    let mut served = asked.served.lock().unwrap_or_else(PoisonError::into_inner);
    let count = served.entry(question).or_default();
    *count = (count.0 + 1, count.1 + content.len() as u64);
    Response::from_parts(answer, Body::from(content))
}
