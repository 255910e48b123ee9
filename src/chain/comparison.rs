//! After an upgrade: whether the new binary came to the state that the network agreed on, and whether its validator signs.
//! Each question that is not answered leaves its part open.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use tendermint_rpc::endpoint::{abci_info, commit, status};

use super::{
    endpoints::{Clients, Endpoint, Kind, Source},
    number::Number,
    own_node::OwnNode,
    rpc::{Rpc, Wrapped},
};
use crate::decide::event::{Comparison, Signs};

/// Compares what the own node has at `height`, and asks whether it signs what comes after.
pub async fn compare(height: u64, own: Option<OwnNode>, others: &[Endpoint], clients: &Clients) -> Comparison {
    let mut comparison = Comparison::default();
    let Some(own) = own else { return comparison };
    // Another node may have its port.
    let Ok(latest) = own.status().await else { return comparison };
    if let Some((committed, hash)) = state(own.rpc()).await
        && committed == height
    {
        for other in others.iter().filter(|other| other.own.is_none() && other.kind == Kind::Rpc) {
            let Source::Rpc(rpc) = clients.open(other) else { continue };
            let Some(theirs) = agreed(&rpc, height + 1, &latest.chain_id).await else { continue };
            // One that differs may be wrong itself: the node is alone only where nobody agrees with it.
            let same = theirs == hash;
            if same || comparison.theirs.is_none() {
                comparison.theirs = Some((other.label.clone(), theirs));
            }
            if same {
                break;
            }
        }
        comparison.own = Some(hash);
    }
    if latest.height > height {
        comparison.signs = signs(own.rpc(), latest.height).await.unwrap_or_default();
    }
    comparison
}

/// The last height that the application committed, and the hash of its state then.
async fn state(rpc: &Rpc) -> Option<(u64, String)> {
    let answer: Wrapped<Info> = rpc.ask(abci_info::Request, "abci_info").await.ok()?;
    let hash = BASE64.decode(answer.response.last_block_app_hash?).ok()?;
    Some((answer.response.last_block_height.0, hex::encode_upper(hash)))
}

/// The state's hash in a header of this chain, which is that of the state before its block.
async fn agreed(rpc: &Rpc, height: u64, chain_id: &str) -> Option<String> {
    // It is one question after an upgrade: what refuses the first form in any way may know the second.
    let header: Header = rpc.header(height, &format!("the header at height {height}"), |_| true).await.ok()?;
    (header.height.0 == height && header.chain_id == chain_id).then(|| header.app_hash.to_ascii_uppercase())
}

async fn signs(rpc: &Rpc, height: u64) -> Option<Signs> {
    /// `BLOCK_ID_FLAG_COMMIT`: it voted for the block.
    const FOR_THE_BLOCK: u64 = 2;
    let validator = rpc.ask::<Status>(status::Request, "status").await.ok()?.validator_info;
    if validator.voting_power.0 == 0 {
        return Some(Signs::NoValidator);
    }
    let request = commit::Request { height: height.try_into().ok() };
    let answer: Commit = rpc.ask(request, &format!("the commit at height {height}")).await.ok()?;
    let mut votes = answer.signed_header.commit.signatures.iter();
    let own = |vote: &&Vote| vote.validator_address.eq_ignore_ascii_case(&validator.address);
    let signed = votes.find(own).is_some_and(|vote| vote.block_id_flag.0 == FOR_THE_BLOCK);
    Some(if signed { Signs::Yes } else { Signs::No })
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    last_block_height: Number,
    last_block_app_hash: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    chain_id: String,
    height: Number,
    app_hash: String,
}

#[derive(Deserialize)]
struct Status {
    validator_info: Validator,
}

#[derive(Deserialize)]
struct Validator {
    address: String,
    #[serde(default)]
    voting_power: Number,
}

#[derive(Deserialize)]
struct Commit {
    signed_header: SignedHeader,
}

#[derive(Deserialize)]
struct SignedHeader {
    commit: Votes,
}

#[derive(Deserialize)]
struct Votes {
    signatures: Vec<Vote>,
}

#[derive(Deserialize)]
struct Vote {
    #[serde(default)]
    block_id_flag: Number,
    #[serde(default)]
    validator_address: String,
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::{
        super::{
            endpoints,
            liar::{ID, Liar, NODE_KEY, json},
        },
        *,
    };

    /// A node at 7 whose state is `AB`, that has voting power or none, and block 8 with these votes.
    async fn own(latest: u64, power: u64, flag: u64) -> (Liar, tempfile::TempDir, OwnNode) {
        let liar = Liar::telling(move |question, _| {
            json(match question {
                "status" => format!(
                    r#"{{"result":{{"node_info":{{"id":"{ID}","network":"n"}},"sync_info":{{"latest_block_height":"{latest}"}},
                    "validator_info":{{"address":"CC","voting_power":"{power}"}}}}}}"#
                ),
                "abci_info" => {
                    r#"{"result":{"response":{"last_block_height":"7","last_block_app_hash":"qw=="}}}"#.to_owned()
                }
                _ => format!(
                    r#"{{"result":{{"signed_header":{{"commit":{{"signatures":[{{"block_id_flag":1,"validator_address":""}},
                    {{"block_id_flag":{flag},"validator_address":"CC"}}]}}}}}}}}"#
                ),
            })
        })
        .await;
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("config")).unwrap();
        fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        let own = OwnNode::new(liar.url.clone(), home.path().to_owned(), Duration::from_secs(5)).unwrap();
        (liar, home, own)
    }

    /// The node of a chain whose header at 8 has this hash. Tendermint 0.34 has blocks alone.
    async fn other(chain_id: &'static str, hash: &'static str) -> Liar {
        Liar::telling(move |question, _| match question {
            "block" => json(format!(
                r#"{{"result":{{"block":{{"header":{{"chain_id":"{chain_id}","height":"8","app_hash":"{hash}"}}}}}}}}"#
            )),
            _ => json(r#"{"error":{"code":-32601,"message":"Method not found"}}"#),
        })
        .await
    }

    #[tokio::test]
    async fn a_state_differs_only_where_nobody_on_the_chain_has_the_same() {
        let clients = Clients::new().unwrap();
        let (stranger, wrong, right) = (other("m", "CD").await, other("n", "CD").await, other("n", "AB").await);
        for (asked, theirs) in [
            (vec![&stranger], None),
            (vec![&stranger, &wrong], Some("CD")),
            (vec![&stranger, &wrong, &right], Some("AB")),
            (vec![&right, &wrong], Some("AB")),
        ] {
            let urls: Vec<_> = asked.iter().map(|liar| liar.url.to_string()).collect();
            let others = endpoints::list(None, &urls, &[]).unwrap();
            let (_liar, _home, own) = own(7, 1, 2).await;
            let compared = compare(7, Some(own), &others, &clients).await;
            assert_eq!(compared.theirs.as_ref().map(|(_, hash)| hash.as_str()), theirs);
            assert_eq!(compared.own.as_deref(), Some("AB"));
        }
    }

    #[tokio::test]
    async fn states_and_votes_are_compared() {
        let clients = Clients::new().unwrap();
        for (hash, same) in [("ab", true), ("CD", false)] {
            let other = other("n", hash).await;
            let others = endpoints::list(None, &[other.url.to_string()], &[]).unwrap();
            let (_liar, _home, own) = own(7, 1, 2).await;
            let Comparison { own, theirs, signs } = compare(7, Some(own), &others, &clients).await;
            assert_eq!(
                (own.as_deref() == theirs.as_ref().map(|(_, hash)| hash.as_str()), signs),
                (same, Signs::Unknown)
            );
            assert_eq!((own.as_deref(), theirs.is_some()), (Some("AB"), true));
        }
        for (power, flag, signs) in [(1, 2, Signs::Yes), (1, 1, Signs::No), (0, 2, Signs::NoValidator)] {
            let (_liar, _home, own) = own(8, power, flag).await;
            assert_eq!(compare(6, Some(own), &[], &clients).await, Comparison { signs, ..Comparison::default() });
        }
        assert_eq!(compare(7, None, &[], &clients).await, Comparison::default());
    }
}
