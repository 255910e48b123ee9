//! Four validators of one network, one of which upgrades before the others, after them, out of block sync, or with a binary
//! that fails: it never signs twice, all four sign in the end, and it misses hardly more blocks than the node itself needs to
//! start. `cargo test --test real_chain -- --ignored --nocapture network`

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    LIMIT, TAKES_BACK, VOTE,
    chain::{Chain, get},
    logged, nodes,
    say::say,
    supervisor::{Supervisor, log_of},
    wait, wait_for_the_way_back,
};

/// Blocks until the upgrade.
const BLOCKS: u64 = 30;
/// The one that is looked at.
const SUBJECT: usize = 3;
/// So long a binary lies that takes a failed one's place before it is used.
const SETTLES: Duration = Duration::from_secs(5);
/// What a busy machine makes of twelve nodes that start one after the other.
pub(crate) const LONG: Duration = Duration::from_mins(5);

#[test]
#[ignore = "takes a minute and two processors"]
fn a_validator_of_four_upgrades_with_the_others() {
    let Some(mut network) = Network::begin(&["v2"; 4]) else { return };
    let height = network.halts();
    network.upgraded(height, &[0, 1, 2, SUBJECT]);
    network.ends_well(height, height, 0, "with the others");
}

#[test]
#[ignore = "takes a minute and two processors"]
fn a_validator_of_four_is_the_first_to_upgrade() {
    let Some(mut network) = Network::begin(&["", "", "", "v2"]) else { return };
    let height = network.halts();
    let subject = &network.chains[SUBJECT];
    wait::until("the first one has upgraded", LONG, || subject.application().filter(|its| its.version == "v2"));
    assert!(network.chains[..SUBJECT].iter().all(|chain| chain.current() == Path::new("genesis")));
    network.chains[..SUBJECT].iter().for_each(|chain| chain.place("v2", "upgrades/v2"));
    network.upgraded(height, &[0, 1, 2, SUBJECT]);
    network.ends_well(height, height, 0, "first");
}

#[test]
#[ignore = "takes a minute and two processors"]
fn a_validator_of_four_is_the_last_to_upgrade() {
    let Some(mut network) = Network::begin(&["v2", "v2", "v2", ""]) else { return };
    let height = network.halts();
    network.upgraded(height, &[0, 1, 2]);
    let subject = &network.chains[SUBJECT];
    assert_eq!(subject.current(), Path::new("genesis"));
    let since = network.chains[0].height();
    subject.place("v2", "upgrades/v2");
    network.upgraded(since, &[SUBJECT]);
    network.ends_well(height, since, 0, "last, counted from when its binary came");
}

#[test]
#[ignore = "takes a minute and two processors"]
fn a_validator_of_four_comes_to_the_upgrade_by_block_sync() {
    let Some(mut network) = Network::begin(&["v2"; 4]) else { return };
    network.chains[SUBJECT].wait_for_blocks_by("v1", 3, LONG);
    assert!(network.watchers[SUBJECT].stop().success());
    let height = network.halts();
    network.upgraded(height, &[0, 1, 2]);
    network.start(SUBJECT);
    // Until its old binary is there, nobody could swap it.
    wait::until("it comes to the halt", LONG, || network.chains[SUBJECT].upgrade_info());
    let since = network.chains[0].height();
    network.upgraded(since, &[SUBJECT]);
    let killed = logged(&network.chains[SUBJECT], "NEEDED at height");
    assert!(killed.is_some(), "the halt killed it in block sync");
    network.ends_well(height, since, since - height, "by block sync, counted from its own halt");
}

#[test]
#[ignore = "takes a minute and two processors"]
fn a_validator_of_four_fails_and_is_taken_back_while_the_others_move_on() {
    let Some(mut network) = Network::begin(&["v2", "v2", "v2", "broken"]) else { return };
    let height = network.halts();
    let subject = &network.chains[SUBJECT];
    wait_for_the_way_back(&subject.home, LONG);
    network.upgraded(height + 5, &[0, 1, 2]);
    assert_eq!(
        (subject.current().as_path(), nodes::alive(&subject.home, subject.kind.name()).len()),
        (Path::new("genesis"), 0)
    );
    fs::remove_file(subject.binary("upgrades/v2")).expect("it is there");
    subject.place("v2", "upgrades/v2");
    thread::sleep(SETTLES);
    let since = network.chains[0].height();
    network.upgraded(since, &[SUBJECT]);
    network.ends_well(
        height,
        since,
        since - height,
        "failed and taken back, counted from when another binary had lain for 5 s",
    );
}

pub(crate) struct Network {
    pub(crate) chains: [Chain; 4],
    pub(crate) watchers: Vec<Supervisor>,
    /// One network at a time: twelve nodes on two processors tell nothing.
    _alone: MutexGuard<'static, ()>,
}

impl Network {
    /// The homes of four, once there is no other network.
    pub(crate) fn of_four() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { chains: Chain::four(VOTE)?, watchers: Vec::new(), _alone: alone })
    }

    /// Four nodes that make blocks, each under `watcher`, with these versions in the place of v2.
    fn begin(placed: &[&str; 4]) -> Option<Self> {
        let mut network = Self::of_four()?;
        for (chain, version) in network.chains.iter().zip(placed).filter(|(_, version)| !version.is_empty()) {
            chain.place(version, "upgrades/v2");
        }
        network.watchers =
            network.chains.iter().map(|chain| Supervisor::start(&chain.home, chain.kind.name(), TAKES_BACK)).collect();
        Some(network)
    }

    fn start(&mut self, number: usize) {
        let chain = &self.chains[number];
        self.watchers[number] = Supervisor::start(&chain.home, chain.kind.name(), TAKES_BACK);
    }

    /// Votes the upgrade through, and waits for the halt. Gives its height.
    fn halts(&self) -> u64 {
        let height = self.chains[0].propose("v2", BLOCKS, "");
        wait::until("the network halts", LONG, || self.chains[0].upgrade_info());
        height
    }

    /// Waits until these have upgraded and made blocks above a height.
    fn upgraded(&self, height: u64, which: &[usize]) {
        for number in which {
            self.chains[*number].wait_for_blocks_by("v2", height + 2, LONG);
        }
    }

    /// All four sign, and nobody ever twice; and the subject has missed hardly more blocks since it could begin than its node
    /// misses where it is just started, as far behind the others.
    fn ends_well(&mut self, halt: u64, since: u64, behind: u64, story: &str) {
        let (all, missed) = (self.missed(halt), self.missed(since));
        let floor = self.floor(behind);
        say(&format!(
            "{story}: {all} blocks missed since the halt at {halt}, {missed} since {since}; {floor} by a mere restart {behind} \
             blocks behind"
        ));
        let last = self.nobody_signed_twice();
        say(&format!("{story}: no evidence in {last} blocks, no conflicting vote in four logs"));
        assert!(missed <= floor + 1, "{missed} missed, {floor} by a mere restart");
    }

    /// Stops all four. Gives how many blocks there are, and no evidence in any.
    pub(crate) fn nobody_signed_twice(&mut self) -> u64 {
        let last = self.chains[0].height();
        for height in 1..=last {
            let block = get(self.chains[0].port, &format!("/block?height={height}")).expect("the node answers");
            let evidence = block["result"]["block"]["evidence"]["evidence"].as_array().expect("it is a list");
            assert!(evidence.is_empty(), "evidence in block {height}: {evidence:?}");
        }
        for (chain, watcher) in self.chains.iter().zip(&mut self.watchers) {
            assert!(watcher.stop().success());
            let log = fs::read(log_of(&chain.home)).expect("the log is there");
            let log = String::from_utf8_lossy(&log).to_lowercase();
            assert!(!log.contains("conflicting vote"), "{}", chain.home.display());
        }
        last
    }

    /// How many blocks from a height on lack the subject's signature, up to where all four sign again.
    pub(crate) fn missed(&self, since: u64) -> usize {
        let addresses = self.chains.each_ref().map(address);
        let signers = |height: u64| {
            // What the next block says of it is final.
            let commit = get(self.chains[0].port, &format!("/commit?height={height}"))?;
            commit["result"]["canonical"].as_bool().filter(|canonical| *canonical)?;
            let signatures = commit["result"]["signed_header"]["commit"]["signatures"].as_array()?.clone();
            let signed = |address: &String| signatures.iter().any(|its| its["validator_address"] == **address);
            Some(addresses.each_ref().map(signed))
        };
        let (mut height, mut missed, mut row) = (since + 1, 0, 0);
        wait::until("all four sign, three blocks in a row", LONG, || {
            while let Some(signed) = signers(height) {
                missed += usize::from(!signed[SUBJECT]);
                row = if signed == [true; 4] { row + 1 } else { 0 };
                height += 1;
            }
            (row >= 3).then_some(missed)
        })
    }

    /// The most blocks that are missed where the subject's node is just stopped and started again, without `watcher`, once the
    /// others have made so many blocks, or up to three more; counted from that start. Without the subject every fourth height
    /// waits for a proposal in vain (`timeout_propose`), some five seconds, and the others follow in less than one each: how
    /// many are made while a node starts depends on whose turn it is.
    fn floor(&mut self, behind: u64) -> usize {
        assert!(self.watchers[SUBJECT].stop().success());
        let subject = &self.chains[SUBJECT];
        let node =
            || Supervisor::spawn(Command::new(subject.binary("upgrades/v2")), &subject.home, subject.kind.name(), &[]);
        let mut running = node();
        subject.wait_for_blocks_by("v2", self.chains[0].height() + 1, LONG);
        self.missed(self.chains[0].height());
        // Chance: before it dials a peer a node waits for up to three seconds (CometBFT's `dialRandomizerIntervalMilliseconds`).
        let restarts = [0, 1, 2, 3, 0, 1, 2, 3].map(|turn| {
            let mut since = self.chains[0].height();
            assert!(running.stop().success());
            if behind > 0 {
                self.chains[0].wait_for_blocks_by("v2", since + behind + turn, LONG);
                since = self.chains[0].height();
            }
            running = node();
            self.missed(since)
        });
        assert!(running.stop().success());
        self.start(SUBJECT);
        let subject = &self.chains[SUBJECT];
        subject.wait_for_blocks_by("v2", self.chains[0].height(), LIMIT);
        self.missed(self.chains[0].height());
        restarts.into_iter().max().unwrap_or_default()
    }
}

/// As which the validator signs.
fn address(chain: &Chain) -> String {
    let key = fs::read(chain.home.join("config/priv_validator_key.json")).expect("the home is written");
    let key: Value = serde_json::from_slice(&key).expect("it is JSON");
    key["address"].as_str().expect("it is text").to_owned()
}
