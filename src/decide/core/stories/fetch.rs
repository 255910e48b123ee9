use super::{
    super::super::{
        decision::Attention,
        event::{Proposal, ProposalStatus},
        orders::{Exact, Hold},
    },
    *,
};

const PEERS: [EndpointId; 2] = [EndpointId(1), EndpointId(2)];

/// Downloads are allowed and not spread over time; the home is looked at once an hour.
fn fetching() -> Settings {
    let poll_interval = Duration::from_hours(1);
    Settings { downloads: true, jitter: Duration::ZERO, poll_interval, ..Settings::default() }
}

fn fetch(upgrade: &Upgrade, source: Option<EndpointId>) -> FetchJob {
    FetchJob::Fetch { upgrade: upgrade.clone(), source }
}

/// `upgrade-info.json` names this upgrade, and it is due.
fn due(upgrade: Upgrade, facts: &mut Facts) {
    facts.record = present(Record::new(upgrade.plan.clone(), Version::Genesis));
    facts.info = Info::Plan { upgrade, fingerprint: file(10), origin: Origin::Node };
}

impl Told {
    #[track_caller]
    fn fetches(&self, job: &FetchJob) -> &Self {
        assert_eq!(self.0.fetch.as_ref().map(|(_, job)| job), Some(job), "{:?}", self.0);
        self
    }

    #[track_caller]
    fn fetches_nothing(&self) -> &Self {
        assert_eq!(self.0.fetch, None);
        self
    }
}

#[test]
fn a_fetch_waits_for_its_share_of_the_time_that_is_left() {
    let mut scene = Scene::running(Settings { jitter: Duration::from_mins(10), seed: 500, ..fetching() });
    let v2 = fetchable("v2", HEIGHT);
    scene.is_at(90, 90);
    scene.now += 100 * SECOND;
    scene.is_at(100, 100);
    // Of the 9,000 s that are left a twentieth, and of that one half.
    let at = scene.now + 225 * SECOND;
    scene.hears(PEERS[0], scheduled(v2.clone())).wakes(at).fetches_nothing();
    scene.seconds(100).wakes(at).fetches_nothing();
    scene.now = at;
    scene.tick().fetches(&fetch(&v2, Some(PEERS[0])));
    // At the halt nothing waits.
    let mut scene = Scene::running(Settings { jitter: Duration::from_mins(10), seed: 500, ..fetching() });
    due(v2.clone(), &mut scene.facts);
    scene.tick().fetches(&fetch(&v2, None));
}

/// The old binary may go on for weeks, and the chain's next upgrade was fetched at its halt.
#[test]
fn while_a_height_that_was_named_by_hand_is_held_what_the_chain_schedules_is_fetched_and_placed() {
    let hold = Hold { folder: Some(folder("v2")), reason: String::new() };
    let v3 = fetchable("v3", 50 * HEIGHT);
    let by_hand = |holds: Vec<Hold>| {
        let mut scene = Scene::running(fetching());
        scene.is_due();
        (scene.facts.info, scene.facts.orders.holds) = (written(Origin::Operator), holds);
        scene
    };
    let mut scene = by_hand(vec![hold.clone()]);
    scene.hears(PEERS[0], scheduled(v3.clone())).fetches(&fetch(&v3, Some(PEERS[0])));
    scene.facts.stored = [receipt(&v3)].into();
    scene.fetch_ends(Outcome::Done).does(HomeJob::Place { receipt: receipt(&v3), upgrade: v3.clone() });
    by_hand(Vec::new()).hears(PEERS[0], scheduled(v3.clone())).fetches_nothing();
    // At the chain's own halt nothing else is worth the bandwidth.
    let mut scene = by_hand(vec![hold]);
    scene.facts.info = written(Origin::Node);
    scene.hears(PEERS[0], scheduled(v3)).fetches_nothing();
}

#[test]
fn what_the_own_node_has_committed_is_not_fetched_any_more() {
    let v2 = fetchable("v2", HEIGHT);
    for (committed, fetched) in [(HEIGHT - 1, true), (HEIGHT, false)] {
        let mut scene = Scene::running(fetching());
        scene.is_at(HEIGHT, committed);
        assert_eq!(scene.hears(PEERS[0], scheduled(v2.clone())).0.fetch.is_some(), fetched, "{committed}");
    }
}

#[test]
fn a_fetch_that_failed_is_made_again_after_a_pause_and_another_artifact_does_not_wait_for_it() {
    let mut scene = Scene::running(fetching());
    let [v2, v3] = [fetchable("v2", HEIGHT), fetchable("v3", 2 * HEIGHT)];
    scene.hears(PEERS[0], scheduled(v2.clone())).fetches(&fetch(&v2, Some(PEERS[0])));
    for pause in [1, 2, 4] {
        let at = scene.now + Duration::from_secs(pause);
        let again =
            format!("fetching the binary of upgrade \"v2\" failed and is tried again in {pause}s: no such host");
        scene.fetch_ends(failed("no such host")).says(&[&again]).wakes(at).fetches_nothing();
        scene.after(Duration::from_millis(pause * 1_000 - 1)).wakes(at).fetches_nothing();
        scene.after(Duration::from_millis(1)).fetches(&fetch(&v2, Some(PEERS[0])));
    }
    scene.hears(PEERS[1], scheduled(v3.clone()));
    scene.fetch_ends(failed("no such host")).fetches(&fetch(&v3, Some(PEERS[1])));
}

#[test]
fn one_endpoint_is_believed_or_as_many_as_are_asked_for_or_the_own_node_alone() {
    let v2 = fetchable("v2", HEIGHT);
    let fetched = |quorum, endpoints: &[EndpointId]| {
        let mut scene = Scene::running(Settings { quorum, ..fetching() });
        for endpoint in endpoints {
            scene.hears(*endpoint, scheduled(v2.clone()));
        }
        matches!(scene.core.fetch.job(), Some(FetchJob::Fetch { .. }))
    };
    let [one, two] = PEERS;
    for (quorum, endpoints, believed) in [
        (1, [one].as_slice(), true),
        (2, &[one], false),
        (2, &[one, two], true),
        (3, &[one, two], false),
        (3, &[OWN_NODE], true),
    ] {
        assert_eq!(fetched(quorum, endpoints), believed, "{quorum} {endpoints:?}");
    }
}

#[test]
fn at_the_halt_a_fetch_goes_on_if_it_is_for_what_is_due() {
    let mut scene = Scene::running(fetching());
    let v2 = fetchable("v2", HEIGHT);
    scene.hears(PEERS[0], scheduled(v2.clone()));
    due(v2, &mut scene.facts);
    assert_eq!(scene.tick().0.cancel, []);
    // The file says otherwise.
    due(Upgrade { asks: Asks::Artifact(artifact("elsewhere")), ..fetchable("v2", HEIGHT) }, &mut scene.facts);
    assert_eq!(scene.tick().0.cancel.len(), 1);
}

#[test]
fn a_fetch_for_what_is_not_scheduled_any_more_is_given_up() {
    let mut scene = Scene::running(fetching());
    scene.hears(PEERS[0], scheduled(fetchable("v2", HEIGHT)));
    let nothing = News::Scheduled { height: 2, upgrade: None, applied: None };
    assert_eq!(scene.hears(PEERS[0], nothing).0.cancel.len(), 1);
}

#[test]
fn what_was_staged_is_hashed_once_again_when_it_changed_and_when_its_height_is_near() {
    let mut scene = Scene::running(fetching());
    let v2 = fetchable("v2", HEIGHT);
    let verify = || FetchJob::Verify(folder("v2"));
    scene.facts.staged.insert(folder("v2"), Staged::Ours(receipt(&v2)));
    scene.hears(PEERS[0], scheduled(v2.clone())).fetches(&verify());
    let ready = "upgrade \"v2\" at height 1000 is staged and verified in upgrades/v2";
    scene.fetch_ends(Outcome::Done).says(&[ready]).fetches_nothing();
    scene.facts.staged.insert(folder("v2"), Staged::Ours(Receipt { file: file(51), ..receipt(&v2) }));
    scene.tick().fetches(&verify());
    scene.fetch_ends(Outcome::Done).says(&[]).fetches_nothing();
    scene.is_at(949, 949).fetches_nothing();
    // At the halt it would keep the node waiting.
    let facts = scene.facts.clone();
    due(v2, &mut scene.facts);
    scene.tick().fetches_nothing();
    scene.facts = facts;
    scene.is_at(950, 950).fetches(&verify());
    scene.fetch_ends(Outcome::Done).says(&[]).fetches_nothing();
    scene.is_at(951, 951).fetches_nothing();
}

#[test]
fn what_was_staged_for_something_else_is_fetched_anew() {
    let mut scene = Scene::running(fetching());
    let v2 = fetchable("v2", HEIGHT);
    let other = Receipt { artifact: artifact("elsewhere"), ..receipt(&v2) };
    scene.facts.staged.insert(folder("v2"), Staged::Ours(other));
    scene.hears(PEERS[0], scheduled(v2.clone())).fetches(&fetch(&v2, Some(PEERS[0])));
}

#[test]
fn nothing_is_said_or_done_for_a_binary_that_is_current_already() {
    let own = "upgrade \"v2\" at height 1000: upgrades/v2 holds a binary without a receipt; it is taken as yours and used as it \
               is";
    let mut scene = Scene::halted(Settings::default());
    scene.tick().says(&[own]);
    Scene::switched(Settings::default()).tick().says(&[]);
}

#[test]
fn what_is_missing_is_told_for_each_plan_and_at_the_halt_again_and_again() {
    let lacks = |name: &str, height, when: &str, why: &str| {
        format!(
            "upgrade \"{name}\" at height {height}{when} has no binary: place it at \
             $DAEMON_HOME/cosmovisor/upgrades/{name}/bin/$DAEMON_NAME ({why})"
        )
    };
    let off = "binary not present, downloading disabled: DAEMON_ALLOW_DOWNLOAD_BINARIES is not true";
    let mut scene = Scene::running(Settings::default());
    let told = scene.hears(PEERS[0], scheduled(upgrade("v2", HEIGHT)));
    let v2 = lacks("v2", HEIGHT, "", "no binaries");
    assert_eq!(told.0.notes.last().map(ToString::to_string), Some(v2.clone()));
    let told = scene.hears(PEERS[1], scheduled(fetchable("v3", 2_000)));
    assert_eq!(told.0.notes.last().map(ToString::to_string), Some(lacks("v3", 2_000, "", off)));
    // The halt is another step, and there time is all that counts.
    due(upgrade("v2", HEIGHT), &mut scene.facts);
    scene.tick().says(&[&v2]);
    scene.seconds(199).says(&[]);
    scene.seconds(1).says(&[&v2]);
    scene.seconds(599).says(&[]);
    scene.seconds(1).says(&[&v2]);
    // What is being fetched is not missing.
    let mut scene = Scene::running(fetching());
    due(fetchable("v2", HEIGHT), &mut scene.facts);
    scene.tick().says(&[]);
}

#[test]
fn every_block_is_looked_at_where_something_is_near_and_while_a_new_binary_has_not_passed() {
    let relaxed = Attention::Relaxed;
    assert_eq!(Scene::running(Settings::default()).tick().0.attention, relaxed);
    // A height.
    let mut scene = Scene::running(Settings::default());
    scene.hears(PEERS[0], scheduled(upgrade("v2", HEIGHT)));
    assert_eq!([899, 900].map(|at| scene.is_at(at, at).0.attention), [relaxed, Attention::EveryBlock]);
    // It was near for ever, also once it had passed.
    assert_eq!([999, 1000].map(|at| scene.is_at(at, at).0.attention), [Attention::EveryBlock, relaxed]);
    // One that comes within a minute, on a chain that makes ten blocks a second.
    let mut scene = Scene::running(Settings::default());
    scene.hears(PEERS[0], scheduled(upgrade("v2", HEIGHT)));
    let began = scene.now;
    let attention = [100, 400, 401].map(|height: u32| {
        scene.now = began + Duration::from_millis(100) * height;
        scene.is_at(height.into(), height.into()).0.attention
    });
    assert_eq!(attention, [relaxed, relaxed, Attention::EveryBlock]);
    // The end of a vote.
    let mut scene = Scene::running(Settings::default());
    let wall = 1_700_000_000_000 + u64::try_from(scene.now.as_millis()).unwrap();
    let vote =
        Proposal { id: 1, status: ProposalStatus::Voting, voting_end: Some(wall + 121_000), actions: Vec::new() };
    assert_eq!(scene.hears(PEERS[0], News::Proposals { proposals: [vote].into() }).0.attention, relaxed);
    assert_eq!(scene.seconds(1).0.attention, Attention::EveryBlock);
    // A height that the operator named.
    let mut scene = Scene::running(Settings::default());
    scene.facts.orders.exact = Some(Exact { name: "v2".into(), folder: folder("v2"), height: HEIGHT, missed: false });
    assert_eq!([899, 900].map(|at| scene.is_at(at, at).0.attention), [relaxed, Attention::EveryBlock]);
    // At the halt itself there is nothing to hear.
    assert_eq!(Scene::halted(Settings::default()).tick().0.attention, relaxed);
    assert_eq!(Scene::upgraded(Settings::default()).tick().0.attention, Attention::EveryBlock);
}
