//! Follows the chain at every endpoint, each in a task of its own: what is wrong, slow, dead or panicking at one of them
//! is heard as its failure, and nothing else comes of it.

mod cadence;
mod follower;

use std::sync::Arc;

use tokio::{
    sync::{mpsc::Sender, watch::Receiver},
    task::{JoinError, JoinSet},
};

use self::{
    cadence::{Backoff, Pace},
    follower::{ChainId, Follower},
};
use super::{
    endpoints::{Clients, Endpoint, chain_of_the_home},
    fault::panic_words,
    proof::{Proving, Trust},
};
use crate::decide::{
    decision::Attention,
    event::{Heard, News},
    plan::{Plan, Upgrade},
};

/// Follows the chain until nobody listens any more, or the future is dropped.
///
/// All are to be on one chain: the own node's, else the one that the home tells, else that of whoever answers first. `trust` is
/// what plans are proven from. `upgrade_of` says what this machine makes of a plan; none where it cannot be carried out.
pub async fn follow(
    endpoints: Vec<Endpoint>,
    clients: Clients,
    trust: Arc<Trust>,
    upgrade_of: impl Fn(Plan) -> Option<Upgrade> + Send + Sync + 'static,
    attention: Receiver<Attention>,
    heard: Sender<Heard>,
) {
    let chain_id = ChainId::told(chain_of_the_home(&endpoints).await);
    let (chain_id, upgrade_of) = (Arc::new(chain_id), Arc::new(upgrade_of));
    let mut tasks = JoinSet::new();
    for endpoint in endpoints {
        let (clients, chain_id, upgrade_of) = (clients.clone(), Arc::clone(&chain_id), Arc::clone(&upgrade_of));
        let (attention, heard, trust) = (attention.clone(), heard.clone(), Arc::clone(&trust));
        tasks.spawn(async move {
            let start = || {
                let source = clients.open(&endpoint);
                let client = clients.of(&endpoint);
                let upgrade_of = Arc::clone(&upgrade_of);
                let (chain_id, proving) = (Arc::clone(&chain_id), Proving::new(Arc::clone(&trust)));
                Follower::new(endpoint.clone(), source, client, chain_id, proving, upgrade_of, heard.clone())
                    .run(attention.clone())
            };
            restarting(&endpoint, start, &heard).await;
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Runs a follower again each time it panics: a decoder of somebody else's may, and the chain goes on.
async fn restarting<F>(endpoint: &Endpoint, start: impl Fn() -> F, heard: &Sender<Heard>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut backoff = Backoff::new(Pace::of(endpoint));
    loop {
        let mut task = JoinSet::new();
        task.spawn(start());
        let Some(Err(error)) = task.join_next().await else { return };
        let reason = format!("{}: reading its answers failed: {}; it is asked again", endpoint.label, words(error));
        if heard.send(Heard { endpoint: endpoint.id, news: News::Failed { reason, silent: true } }).await.is_err() {
            return;
        }
        tokio::time::sleep(backoff.next(None)).await;
    }
}

fn words(error: JoinError) -> String {
    error.try_into_panic().map_or_else(|_| String::from("the task was lost"), |panic| panic_words(&*panic))
}

#[cfg(test)]
mod tests {
    use core::{
        sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        time::Duration,
    };

    use std::io;

    use axum::{
        body::{Body, Bytes},
        response::IntoResponse as _,
    };
    use futures_util::stream;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::{
        chain::{
            endpoints::{Own, list},
            liar::{Liar, NODE_KEY, node},
            proof::Choice,
        },
        decide::{
            event::EndpointId,
            plan::{Asks, Folder},
        },
    };

    /// `v2` at height 116, as recorded.
    const PLAN: &str = "ChcKAnYyEgsIgJK4w5j+////ARh0IgJoaQ==";

    fn upgrade(plan: Plan) -> Option<Upgrade> {
        let folder = Folder::of(&plan.name, false).ok()?;
        Some(Upgrade { plan, folder, asks: Asks::Nothing { reason: String::new() } })
    }

    struct Following {
        heard: mpsc::Receiver<Heard>,
        attention: watch::Sender<Attention>,
        _tasks: JoinSet<()>,
    }

    impl Following {
        fn start(
            endpoints: Vec<Endpoint>,
            upgrade_of: impl Fn(Plan) -> Option<Upgrade> + Send + Sync + 'static,
        ) -> Self {
            let ((sender, heard), (attention, watched)) = (mpsc::channel(64), watch::channel(Attention::EveryBlock));
            let mut tasks = JoinSet::new();
            let clients = Clients::new().unwrap();
            let trust = Arc::new(Trust::new(Choice::default(), None, false));
            tasks.spawn(follow(endpoints, clients, trust, upgrade_of, watched, sender));
            Self { heard, attention, _tasks: tasks }
        }

        /// The first news that fits, within a time that no sane machine needs.
        async fn until<T>(&mut self, fits: impl Fn(&Heard) -> Option<T>) -> T {
            let waiting = async {
                loop {
                    let heard = self.heard.recv().await.expect("the poller ended");
                    if let Some(found) = fits(&heard) {
                        return found;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the news that was waited for")
        }
    }

    fn failure(heard: &Heard) -> Option<String> {
        if let News::Failed { reason, .. } = &heard.news { Some(reason.clone()) } else { None }
    }

    fn block(heard: &Heard) -> Option<u64> {
        if let News::Block { height, .. } = heard.news { Some(height) } else { None }
    }

    fn others(liars: &[&Liar]) -> Vec<Endpoint> {
        list(None, &liars.iter().map(|liar| liar.url.to_string()).collect::<Vec<_>>(), &[]).unwrap()
    }

    #[tokio::test]
    async fn a_plan_is_heard_and_asked_after_once_it_is_gone() {
        let height = Arc::new(AtomicU64::new(114));
        let now = Arc::clone(&height);
        let liar = Liar::telling(move |question, _| {
            let height = now.load(SeqCst);
            node(question, "local-1", height, if height < 116 { PLAN } else { "" })
        })
        .await;
        let mut following = Following::start(others(&[&liar]), upgrade);
        assert_eq!(following.until(block).await, 114);
        let scheduled = |heard: &Heard| match &heard.news {
            News::Scheduled { height, upgrade, applied } => {
                Some((*height, upgrade.as_ref().map(|upgrade| upgrade.plan.height), applied.clone()))
            }
            _ => None,
        };
        assert_eq!(following.until(scheduled).await, (114, Some(116), None));
        let proposals = |heard: &Heard| matches!(&heard.news, News::Proposals { .. }).then_some(());
        following.until(proposals).await;
        height.store(117, SeqCst);
        assert_eq!(following.until(scheduled).await, (117, None, Some(("v2".into(), 116))));
        height.store(118, SeqCst);
        assert_eq!(following.until(scheduled).await, (118, None, None));
    }

    #[tokio::test]
    async fn the_own_node_must_be_this_homes_and_decides_on_the_chain() {
        let home = tempfile::tempdir().unwrap();
        let own = Liar::telling(|question, _| node(question, "local-1", 7, "")).await;
        let other = Liar::telling(|question, _| node(question, "other-1", 9, PLAN)).await;
        let mine = Own { home: home.path().to_owned(), rest: None };
        let endpoints = list(Some((own.url.clone(), mine)), &[other.url.to_string()], &[]).unwrap();
        let mut following = Following::start(endpoints, upgrade);
        let of = |id: u16| move |heard: &Heard| if heard.endpoint == EndpointId(id) { failure(heard) } else { None };
        assert!(following.until(of(0)).await.contains("is not the node of this home"));
        std::fs::create_dir(home.path().join("config")).unwrap();
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        let committed = |heard: &Heard| if let News::Block { committed, .. } = heard.news { committed } else { None };
        assert_eq!(following.until(committed).await, 7);
        let reason = following.until(of(1)).await;
        assert!(reason.contains("on chain \"other-1\", not \"local-1\""), "{reason}");
    }

    #[tokio::test]
    async fn while_the_own_node_is_silent_its_home_decides_on_the_chain() {
        let home = tempfile::tempdir().unwrap();
        let genesis = home.path().join("genesis.json");
        std::fs::write(&genesis, r#"{"app_state":{},"chain_id":"local-1"}"#).unwrap();
        let other = Liar::telling(|question, _| node(question, "other-1", 9, PLAN)).await;
        let good = Liar::telling(|question, _| node(question, "local-1", 5, "")).await;
        let mine = Own { home: home.path().to_owned(), rest: None };
        let silent = "http://127.0.0.1:1".parse().unwrap();
        let mut endpoints = list(Some((silent, mine)), &[&other, &good].map(|it| it.url.to_string()), &[]).unwrap();
        for endpoint in &mut endpoints {
            endpoint.genesis = Some(genesis.clone());
        }
        let mut following = Following::start(endpoints, upgrade);
        let told = |heard: &Heard| (heard.endpoint == EndpointId(1)).then(|| failure(heard).expect("it is ignored"));
        let reason = following.until(told).await;
        assert!(reason.contains("on chain \"other-1\", not \"local-1\""), "{reason}");
        let found = |heard: &Heard| (heard.endpoint == EndpointId(2)).then(|| block(heard)).flatten();
        following.until(found).await;
    }

    #[tokio::test]
    async fn a_height_that_goes_back_is_ignored_until_it_is_there_again() {
        let height = Arc::new(AtomicU64::new(50));
        let now = Arc::clone(&height);
        let liar = Liar::telling(move |question, _| node(question, "local-1", now.load(SeqCst), "")).await;
        let mut following = Following::start(others(&[&liar]), upgrade);
        assert_eq!(following.until(block).await, 50);
        height.store(40, SeqCst);
        assert!(following.until(failure).await.contains("behind height 50"));
        height.store(51, SeqCst);
        assert_eq!(
            following.until(|heard| failure(heard).map(|_| 0).or(block(heard))).await,
            51,
            "told once, then past it"
        );
    }

    #[tokio::test]
    async fn an_endpoint_that_makes_a_reader_panic_is_asked_again() {
        let liar = Liar::telling(|question, _| node(question, "local-1", 5, PLAN)).await;
        let panics = AtomicUsize::new(0);
        let mut following = Following::start(others(&[&liar]), move |plan| {
            assert!(panics.fetch_add(1, SeqCst) > 0, "a first plan is too much");
            upgrade(plan)
        });
        assert!(following.until(failure).await.contains("a first plan is too much"));
        let plan =
            |heard: &Heard| if let News::Scheduled { upgrade, .. } = &heard.news { upgrade.clone() } else { None };
        assert_eq!(following.until(plan).await.plan.height, 116);
    }

    #[tokio::test]
    async fn an_endpoint_that_asks_for_fewer_questions_is_left_alone_so_long() {
        for asked_for in ["/cosmos.gov.v1.Query/Proposals", "status"] {
            let times = Arc::new(std::sync::Mutex::new(Vec::new()));
            let own = Arc::clone(&times);
            let liar = Liar::telling(move |question, _| {
                let mut times = own.lock().unwrap();
                let first = !times.iter().any(|(earlier, _)| *earlier == question);
                times.push((question.to_owned(), std::time::Instant::now()));
                if first && question == asked_for {
                    let status = if question == "status" { 503 } else { 429 };
                    let status = axum::http::StatusCode::from_u16(status).unwrap();
                    return axum::response::IntoResponse::into_response((status, [("retry-after", "2")], "slower"));
                }
                node(question, "local-1", 5, "")
            })
            .await;
            let mut following = Following::start(others(&[&liar]), upgrade);
            let told = following.until(failure).await;
            assert!(told.contains("fewer questions") && told.contains("WATCHER_RPC"), "{told}");
            following
                .until(|heard| matches!(&heard.news, News::Proposals { .. } | News::Block { .. }).then_some(()))
                .await;
            while liar.count(asked_for) < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let times = times.lock().unwrap();
            let at = times.iter().position(|(question, _)| question == asked_for).unwrap();
            let pause = times[at + 1].1 - times[at].1;
            assert!(pause >= Duration::from_secs(2), "{asked_for}: {pause:?}");
        }
    }

    #[tokio::test]
    async fn one_endpoint_that_lies_dead_hides_no_other() {
        let html = Liar::saying(200, b"<html>").await;
        let good = Liar::telling(|question, _| node(question, "local-1", 5, "")).await;
        let mut following = Following::start(others(&[&html, &good]), upgrade);
        let found = |heard: &Heard| (heard.endpoint == EndpointId(2)).then(|| block(heard)).flatten();
        assert_eq!(following.until(found).await, 5);
    }

    /// Blocks would not be heard of for as long as page follows page.
    #[tokio::test]
    async fn proposals_are_given_up_where_their_reading_takes_too_long() {
        let liar = Liar::telling(|question, _| match question {
            "status" | "/cosmos.upgrade.v1beta1.Query/CurrentPlan" => node(question, "local-1", 5, ""),
            _ => Body::from_stream(stream::pending::<Result<Bytes, io::Error>>()).into_response(),
        })
        .await;
        let (endpoint, clients) = (others(&[&liar]).remove(0), Clients::new().unwrap());
        let ((sender, heard), (attention, watched)) = (mpsc::channel(64), watch::channel(Attention::EveryBlock));
        let (source, client) = (clients.open(&endpoint), clients.of(&endpoint));
        let proving = Proving::new(Arc::new(Trust::new(Choice::default(), None, false)));
        let upgrade_of = Arc::new(upgrade);
        let mut follower = Follower::new(endpoint, source, client, Arc::default(), proving, upgrade_of, sender);
        follower.reading_limit = Duration::from_millis(50);
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run(watched));
        let mut following = Following { heard, attention, _tasks: tasks };
        // One answer by itself may take 15 s.
        let reason = following.until(failure).await;
        assert!(reason.ends_with("gave no answer within 0 s (asked for its proposals)"), "{reason}");
    }

    #[tokio::test]
    async fn an_announced_block_is_looked_at_before_the_clock_says_so() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("config")).unwrap();
        std::fs::write(home.path().join("config/node_key.json"), NODE_KEY).unwrap();
        let height = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&height);
        let liar = Liar::telling(move |question, _| node(question, "local-1", now.load(SeqCst), "")).await;
        let mine = Own { home: home.path().to_owned(), rest: None };
        let mut following = Following::start(list(Some((liar.url.clone(), mine)), &[], &[]).unwrap(), upgrade);
        following.attention.send_replace(Attention::Relaxed);
        following.until(block).await;
        let subscribed = async {
            while liar.events.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), subscribed).await.expect("a subscription");
        let event = include_str!("../../fixtures/answers/cometbft-0.40/new-block-header.json");
        // The own node is looked at every 3 s; by the clock alone ten blocks would take 30 s.
        let began = std::time::Instant::now();
        for height_now in 2..12 {
            height.store(height_now, SeqCst);
            liar.events.send(event.to_owned()).unwrap();
            assert_eq!(following.until(block).await, height_now);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
