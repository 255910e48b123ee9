use ::core::time::Duration;
use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::*;
use crate::decide::{event::EndpointId, plan::Asks};

fn plan(name: &str) -> Plan {
    Plan { name: name.into(), height: 100, info: String::new() }
}

fn v2() -> Folder {
    Folder::of("v2", false).unwrap()
}

#[test]
fn each_note_is_as_loud_as_what_it_takes_somebody_to_do() {
    use Level::{Error, Info, Warning};
    let proposal = |status, actions| Proposal { id: 7, status, voting_end: None, actions };
    let asks = Asks::Nothing { reason: String::new() };
    let scheduled = |left, waits| {
        let upgrade = Upgrade { plan: plan("v2"), folder: v2(), asks: asks.clone() };
        Note::Scheduled { upgrade, left, belief: Belief::Claimed, waits }
    };
    let missing = |urgency, left| Note::Missing {
        plan: plan("v2"),
        folder: v2(),
        reason: "downloads are off".into(),
        urgency,
        left,
    };
    let lacks = "has no binary: place it at $DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME (downloads are off)";
    let failure = Failure {
        state: FailureState::RollingBack,
        folder: v2(),
        sha256: String::new(),
        file: crate::decide::facts::Fingerprint::default(),
        reason: "it crashed".into(),
        restored: false,
    };
    let pause = Duration::from_secs(2);
    let hours = Some((40, Some(Duration::from_hours(2))));
    let lacks = [
        format!("upgrade \"v2\" at height 100 {lacks}"),
        format!("upgrade \"v2\" at height 100, 40 blocks from now {lacks}"),
    ];
    let told: Vec<(Note, Level, &str)> = vec![
        (
            Note::Proposal(proposal(ProposalStatus::Voting, vec![Action::Cancel, Action::Schedule(plan("v\n2"))])),
            Info,
            "proposal 7 is being voted on: cancels the scheduled upgrade, upgrade \"v\\n2\" at height 100",
        ),
        (
            Note::Over(proposal(ProposalStatus::Deposit, vec![Action::Cancel])),
            Info,
            "proposal 7 is over (carried out, rejected or withdrawn): cancels the scheduled upgrade",
        ),
        (scheduled(None, None), Info, "upgrade \"v2\" at height 100 is scheduled; claimed"),
        (
            scheduled(hours, Some(2)),
            Info,
            "upgrade \"v2\" at height 100 is scheduled, 40 blocks from now (about 2 h 0 min); claimed, and not fetched before 2 \
             endpoints say so (WATCHER_QUORUM)",
        ),
        (
            Note::Disputed(Dispute { plan: plan("v2"), by: vec![EndpointId(1)], against: vec![EndpointId(2)] }),
            Warning,
            "endpoints contradict each other on whether upgrade \"v2\" at height 100 is scheduled",
        ),
        (missing(Urgency::Day, None), Warning, &lacks[0]),
        (missing(Urgency::Hours, Some((40, None))), Error, &lacks[1]),
        (
            Note::Proven { plan: plan("v2"), verdict: Verdict::Signing },
            Info,
            "upgrade \"v2\" at height 100: the validator signs again",
        ),
        (
            Note::Ended(Version::Upgrade(v2()), NodeExit::Signal(1)),
            Info,
            "the node (upgrades/v2) ended: signal: hangup",
        ),
        (Note::Ended(Version::Genesis, NodeExit::Signal(16)), Info, "the node (genesis) ended: signal: signal 16"),
        (
            Note::Waits { trouble: Trouble::Locked, said: "LOCK".into(), pause },
            Error,
            "the node cannot run: another process has its databases open (LOCK); it is started again in 2s",
        ),
        (
            Note::UpgradeFailed { plan: plan("v2"), failure, way_back: "; there is none".into() },
            Error,
            "upgrade \"v2\" at height 100 failed: it crashed; data, configuration and `current` are brought back as they were \
             before it; there is none",
        ),
    ];
    for (note, level, text) in told {
        assert_eq!((note.level(), note.to_string().as_str()), (level, text), "{note:?}");
    }
}

#[test]
fn a_name_from_the_chain_is_cut_at_two_hundred_characters() {
    let name = "ä".repeat(200);
    assert_eq!(Described(&plan(&name)).to_string(), format!("\"{name}\" at height 100"));
    assert_eq!(Described(&plan(&format!("{name}x"))).to_string(), format!("\"{name}\"… at height 100"));
}

#[test]
fn a_duration_is_told_in_the_two_units_that_matter() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (8 * 86_400 + 7_200, "8 d 2 h"),
    ] {
        assert_eq!(Rough(Duration::from_secs(seconds)).to_string(), text);
    }
}
