//! One endpoint, asked again and again, and what of its answers is news.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::Client;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::cadence::{Backoff, Pace, chance};
use crate::{
    chain::{
        Latest,
        endpoints::{Endpoint, Kind, Source},
        fault::{Cause, Fault},
        proof::{Proof, Proving},
        proposals::Reader,
        websocket,
    },
    decide::{
        decision::Attention,
        event::{Heard, News, Proposal},
        plan::{Plan, Upgrade},
    },
    http::secrets,
};

/// How long the proposals may take, in however many answers: meanwhile nothing is heard of blocks.
const READING_LIMIT: Duration = Duration::from_mins(1);

/// The chain that is followed: the own node's, else the one that the home tells, else that of whoever answered first.
#[derive(Debug, Default)]
pub(super) struct ChainId {
    certain: OnceLock<String>,
    guessed: OnceLock<String>,
}

impl ChainId {
    /// With the one that the home tells.
    pub(super) fn told(home: Option<String>) -> Self {
        Self { certain: OnceLock::new(), guessed: home.map(OnceLock::from).unwrap_or_default() }
    }

    /// The chain that is expected of an endpoint which says it is on `found`.
    fn expected(&self, found: &str, own: bool) -> &str {
        if own {
            return self.certain.get_or_init(|| found.to_owned());
        }
        self.certain.get().unwrap_or_else(|| self.guessed.get_or_init(|| found.to_owned()))
    }
}

/// Why a round ended early.
enum Stop {
    Fault(Fault),
    /// Nobody listens any more.
    Unheard,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Follows one endpoint.
pub(super) struct Follower<U> {
    endpoint: Endpoint,
    source: Source,
    client: Client,
    chain_id: Arc<ChainId>,
    upgrade_of: Arc<U>,
    heard: mpsc::Sender<Heard>,
    proving: Proving,
    reader: Reader,
    pub(super) reading_limit: Duration,
    /// Which node answers.
    node: Option<String>,
    /// The greatest height it told.
    highest: u64,
    /// The last block that was told with all that belongs to it.
    told: Option<News>,
    /// The last plan it told; asked after once it is no longer scheduled.
    believed: Option<Plan>,
    proposals: Option<Vec<Proposal>>,
    /// When proposals were last asked for.
    asked_proposals: Option<Instant>,
    /// The last reason of each question's failure, so that each is told once, and since when it fails.
    failures: BTreeMap<&'static str, Failure>,
}

/// A question that is not answered.
struct Failure {
    since: Instant,
    /// The last reason that was told.
    told: Option<String>,
}

impl<U: Fn(Plan) -> Option<Upgrade> + Send + Sync + 'static> Follower<U> {
    pub(super) fn new(
        endpoint: Endpoint,
        source: Source,
        client: Client,
        chain_id: Arc<ChainId>,
        proving: Proving,
        upgrade_of: Arc<U>,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        Self {
            endpoint,
            source,
            client,
            chain_id,
            upgrade_of,
            heard,
            proving,
            reader: Reader::default(),
            reading_limit: READING_LIMIT,
            node: None,
            highest: 0,
            told: None,
            believed: None,
            proposals: None,
            asked_proposals: None,
            failures: BTreeMap::new(),
        }
    }

    /// Asks until nobody listens.
    pub(super) async fn run(mut self, mut attention: watch::Receiver<Attention>) {
        let pace = Pace::of(&self.endpoint);
        let mut backoff = Backoff::new(pace);
        let (announce, mut announced) = mpsc::channel(8);
        let mut subscription = JoinSet::new();
        loop {
            let now = *attention.borrow_and_update();
            while subscription.try_join_next().is_some() {}
            if self.endpoint.kind == Kind::Rest || !pace.wants_announcements(now) {
                subscription.abort_all();
            } else if subscription.is_empty() {
                subscription.spawn(announcing(self.client.clone(), self.endpoint.url.clone(), pace, announce.clone()));
            }
            let failed = match self.round(now).await {
                Ok(()) => None,
                Err(Stop::Unheard) => return,
                Err(Stop::Fault(fault)) => Some(fault),
            };
            let pause = match &failed {
                None => {
                    backoff.reset();
                    pace.pause(now, chance())
                }
                Some(fault) => backoff.next(fault.retry_after()),
            };
            let pause = tokio::time::sleep(pause);
            tokio::select! {
                () = pause => {}
                // After a failure the pause holds, whatever is announced.
                Some(()) = announced.recv(), if failed.is_none() => while announced.try_recv().is_ok() {},
                // The last word on attention holds where nobody is left to change it.
                Ok(()) = attention.changed(), if failed.is_none() => {}
                () = self.heard.closed() => return,
            }
        }
    }

    /// One look: where it is, and, where that is new, what is scheduled and proposed there.
    async fn round(&mut self, attention: Attention) -> Result<(), Stop> {
        match self.look().await {
            Ok(new_block) => {
                self.failures.remove("block");
                self.look_at_proposals(attention, new_block).await
            }
            Err(stop) => {
                // Told again once it answers, so that whoever heard of the failure hears of its end.
                self.told = None;
                if let Stop::Fault(fault) = &stop {
                    self.failed("block", fault).await?;
                }
                Err(stop)
            }
        }
    }

    /// Where it is; true if that is new.
    async fn look(&mut self) -> Result<bool, Stop> {
        let latest = self.source.latest().await?;
        self.check(&latest)?;
        let Latest { height, time, catching_up, node_id, .. } = latest;
        if let Some(id) = node_id.filter(|id| self.node.as_ref() != Some(id)) {
            self.node = Some(id.clone());
            self.tell(News::Node(id)).await?;
        }
        let block = News::Block { height, time, catching_up, committed: self.source.committed().await? };
        if self.told.as_ref() == Some(&block) {
            return Ok(false);
        }
        self.tell(block.clone()).await?;
        self.look_at_schedule(height).await?;
        self.told = Some(block);
        Ok(true)
    }

    /// An endpoint of another chain, or one that fell back, is not listened to. The own node may fall back: its data can
    /// be restored.
    fn check(&mut self, latest: &Latest) -> Result<(), Fault> {
        let fault =
            |cause| Err(Fault { endpoint: self.endpoint.label.clone(), question: "its latest block".into(), cause });
        let expected = self.chain_id.expected(&latest.chain_id, self.endpoint.own.is_some());
        if expected != latest.chain_id {
            return fault(Cause::OtherChain { expected: expected.to_owned(), found: latest.chain_id.clone() });
        }
        if latest.height < self.highest && self.endpoint.own.is_none() {
            return fault(Cause::WentBack { was: self.highest });
        }
        self.highest = latest.height;
        Ok(())
    }

    async fn look_at_schedule(&mut self, latest: u64) -> Result<(), Stop> {
        let answer = self.source.current_plan().await?;
        let said = answer.value.clone();
        let mut applied = None;
        if let Some(believed) = self.believed.as_ref().filter(|believed| Some(*believed) != answer.value.as_ref()) {
            let name = believed.name.clone();
            applied = self.source.applied_plan(&name).await.ok().map(|height| (name, height));
        }
        let upgrade = answer.value.clone().and_then(|plan| (self.upgrade_of)(plan));
        // Where it does not say at which height it read, the latest is taken: that can make less of a null plan, not more.
        let news = News::Scheduled { height: answer.height.unwrap_or(latest), upgrade, applied: applied.clone() };
        self.tell(news).await?;
        // One that was cancelled stays asked after: the answer may be lost, and costs one question a block.
        if answer.value.is_some() || applied.is_some_and(|(_, height)| height > 0) {
            self.believed = answer.value;
        }
        self.look_at_proof(latest, said.as_ref()).await
    }

    /// Whether what it says is proven. Where it is not, it counts all the same.
    async fn look_at_proof(&mut self, latest: u64, said: Option<&Plan>) -> Result<(), Stop> {
        match self.proving.look(&self.source, latest, said).await {
            Ok(None) => Ok(()),
            Ok(Some(Proof { height, time, plan })) => {
                self.failures.remove("proof");
                let upgrade = plan.and_then(|plan| (self.upgrade_of)(plan));
                self.tell(News::Proven { height, until: self.proving.until(time), upgrade }).await
            }
            Err(fault) => self.failed("proof", &fault).await,
        }
    }

    /// Proposals are only a forecast: where they cannot be read, the rest goes on, unless fewer questions are asked for.
    async fn look_at_proposals(&mut self, attention: Attention, new_block: bool) -> Result<(), Stop> {
        let age = self.asked_proposals.map(|asked| asked.elapsed());
        let pace = Pace::of(&self.endpoint);
        if !pace.wants_proposals(attention, age, new_block, self.failures.contains_key("proposals")) {
            return Ok(());
        }
        self.asked_proposals = Some(Instant::now());
        let reading = self.reader.read(&self.source, self.highest, self.believed.as_slice());
        let read = tokio::time::timeout(self.reading_limit, reading).await.unwrap_or_else(|_| {
            let (endpoint, question) = (self.endpoint.label.clone(), "its proposals".into());
            Err(Fault { endpoint, question, cause: Cause::Slow(self.reading_limit) })
        });
        let proposals = match read {
            Ok(proposals) => proposals,
            Err(fault) => {
                self.failed("proposals", &fault).await?;
                return if matches!(fault.cause, Cause::Throttled(_)) { Err(fault.into()) } else { Ok(()) };
            }
        };
        self.failures.remove("proposals");
        if self.proposals.as_ref() == Some(&proposals) {
            return Ok(());
        }
        self.proposals = Some(proposals.clone());
        self.tell(News::Proposals { proposals }).await
    }

    async fn failed(&mut self, question: &'static str, fault: &Fault) -> Result<(), Stop> {
        let stranger = matches!(fault.cause, Cause::OtherNode { .. } | Cause::OtherChain { .. });
        let patience = if stranger { Duration::ZERO } else { Pace::of(&self.endpoint).patience() };
        let failure = self.failures.entry(question).or_insert_with(|| Failure { since: Instant::now(), told: None });
        let reason = fault.to_string();
        if failure.since.elapsed() < patience || failure.told.as_ref() == Some(&reason) {
            return Ok(());
        }
        failure.told = Some(reason.clone());
        self.tell(News::Failed { reason, silent: question == "block" }).await
    }

    async fn tell(&self, news: News) -> Result<(), Stop> {
        self.heard.send(Heard { endpoint: self.endpoint.id, news }).await.map_err(|_| Stop::Unheard)
    }
}

/// Keeps a subscription alive for as long as it is wanted.
async fn announcing(client: Client, url: url::Url, pace: Pace, announce: mpsc::Sender<()>) {
    let mut backoff = Backoff::new(pace);
    loop {
        let began = Instant::now();
        let Err(ended) = websocket::subscribe(&client, &url, &announce).await else { return };
        let ended = secrets::hidden(&ended.to_string(), &url);
        tracing::debug!(ended, "announcements of blocks ended; the endpoint is polled");
        if began.elapsed() > Duration::from_mins(1) {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next(None)).await;
    }
}
