//! What endpoints say.

use super::*;

fn silent(reason: &str) -> News {
    News::Failed { reason: reason.into(), silent: true }
}

#[test]
fn only_the_own_node_tells_its_heights_and_only_both_together() {
    let block = |committed| News::Block { height: 9, time: 1, catching_up: false, committed };
    for (endpoint, committed, latest) in
        [(OWN_NODE, Some(8), Some(9)), (OWN_NODE, None, None), (EndpointId(1), Some(8), None)]
    {
        let mut scene = Scene::running(Settings::default());
        scene.hears(endpoint, block(committed));
        assert_eq!((scene.life().latest, scene.life().committed), (latest, latest.and(committed)));
    }
}

#[test]
fn what_is_wrong_with_an_endpoint_is_told_once_and_a_node_that_does_not_run_cannot_answer() {
    let mut scene = Scene::running(Settings::default());
    scene.hears(EndpointId(1), silent("refused")).says(&["refused"]);
    scene.hears(EndpointId(1), silent("refused")).says(&[]);
    scene.hears(EndpointId(2), silent("refused")).says(&["refused"]);
    scene.hears(EndpointId(2), silent("it was at 98765, now at 98764")).says(&["it was at 98765, now at 98764"]);
    scene.hears(EndpointId(2), silent("it was at 98766, now at 98764")).says(&[]);
    scene.hears(EndpointId(2), silent("HTTP 401")).says(&["HTTP 401"]);
    scene.hears(EndpointId(2), silent("HTTP 502")).says(&["HTTP 502"]);
    scene.hears(OWN_NODE, silent("no answer")).says(&["no answer"]);
    let mut scene = Scene::new(Settings::default());
    scene.core.begin(HomeJob::Ask, &mut Decision::default());
    scene.hears(OWN_NODE, silent("no answer")).says(&[]);
    scene.hears(EndpointId(1), silent("no answer")).says(&["no answer"]);
}

#[test]
fn a_proposal_is_told_when_it_moves_on_and_when_it_is_over() {
    let actions = [Action::Cancel].into();
    let ends = |voting_end| Proposal { id: 3, status: ProposalStatus::Voting, voting_end, actions };
    let proposal = ends(Some(1_900_000_000_000));
    let news = |proposals: &[&Proposal]| News::Proposals { proposals: proposals.iter().copied().cloned().collect() };
    let is_voted_on = "proposal 3 is being voted on: cancels the scheduled upgrade";
    let mut scene = Scene::running(Settings::default());
    scene.hears(EndpointId(1), news(&[&proposal])).says(&[is_voted_on]);
    scene.hears(EndpointId(1), news(&[&proposal])).says(&[]);
    let later = Proposal { voting_end: Some(1_900_000_000_001), ..proposal };
    scene.hears(EndpointId(1), news(&[&later])).says(&[is_voted_on]);
    let over = "proposal 3 is over (carried out, rejected or withdrawn): cancels the scheduled upgrade";
    scene.hears(EndpointId(1), news(&[])).says(&[over]);
}

fn height(height: u64) -> News {
    News::Block { height, time: 1, catching_up: false, committed: None }
}

#[test]
fn a_plan_is_told_once_and_again_when_it_is_withdrawn_and_when_it_comes_back() {
    let mut scene = Scene::running(Settings::default());
    let none = || News::Scheduled { height: 2, upgrade: None, applied: None };
    let there = || News::Scheduled { height: 2, upgrade: Some(upgrade("v2", HEIGHT)), applied: None };
    scene.hears(EndpointId(1), height(2));
    let first = scene.hears(EndpointId(1), there()).0.notes;
    assert!(first[0].to_string().starts_with("upgrade \"v2\" at height 1000 is scheduled"), "{first:?}");
    scene.hears(EndpointId(1), there()).says(&[]);
    assert_eq!(scene.core.known_since.get(&plan("v2", HEIGHT)), Some(&scene.now));
    let gone =
        "upgrade \"v2\" at height 1000 is cancelled, replaced or rescheduled; what was staged for it is not used";
    scene.hears(EndpointId(1), none()).says(&[gone]);
    assert!(scene.core.known_since.is_empty());
    assert_eq!(scene.hears(EndpointId(1), there()).0.notes, first, "all is told anew");
    // Nobody has cancelled what the node skips.
    scene.core.settings.skip_heights = [HEIGHT].into();
    let skipped =
        "upgrade \"v2\" at height 1000 is given up: the node is told to skip its height (--unsafe-skip-upgrades)";
    scene.hears(EndpointId(1), none()).says(&[skipped]);
}

/// Its node ended with every block from there on, and nothing said why.
#[test]
fn that_the_binary_of_an_upgrade_to_come_runs_already_is_told_once() {
    let early = "upgrade \"v2\" at height 1000 is to come, and upgrades/v2 runs already: once the chain has scheduled it, a \
                 node of the SDK refuses to run with its binary (BINARY UPDATED BEFORE TRIGGER): until then point \
                 cosmovisor/current at the version before it, or at a build that does not know this upgrade";
    let is_told = |told: &Told| told.0.notes.iter().any(|note| note.to_string() == early);
    let proposed = |status| {
        let actions = [Action::Schedule(plan("v2", HEIGHT))].into();
        News::Proposals { proposals: [Proposal { id: 3, status, voting_end: None, actions }].into() }
    };
    let there = || scheduled(upgrade("v2", HEIGHT));
    let runs = |change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::running(Settings::default());
        scene.facts.current = Current::Version(v2());
        change(&mut scene);
        scene
    };
    let mut scene = runs(&|_| {});
    assert!(!is_told(&scene.hears(EndpointId(1), proposed(ProposalStatus::Deposit))), "anybody can do that");
    assert!(is_told(&scene.hears(EndpointId(1), proposed(ProposalStatus::Voting))));
    assert!(!is_told(&scene.hears(EndpointId(1), there())), "once");
    assert!(is_told(&runs(&|_| {}).hears(EndpointId(1), there())));
    let used_up = |scene: &mut Scene| scene.facts.marker = Some(Marker { name: "v2".into(), height: 5 });
    let proposed_again = runs(&used_up).hears(EndpointId(1), proposed(ProposalStatus::Voting));
    assert!(!is_told(&proposed_again), "the way back that it names would run the old binary on new data");
    for other in [
        &(|scene: &mut Scene| scene.facts.current = Current::Version(Version::Genesis)) as &dyn Fn(&mut Scene),
        &|scene| scene.facts.info = written(Origin::Node),
        &|scene| scene.facts.record = present(passed()),
        &|scene| drop(scene.is_at(HEIGHT, HEIGHT)),
    ] {
        assert!(!is_told(&runs(other).hears(EndpointId(1), there())));
    }
}

#[test]
fn a_lie_that_nobody_was_told_of_is_not_withdrawn_and_what_else_was_told_stays_told() {
    let says = |upgrade| News::Scheduled { height: 3, upgrade, applied: None };
    let mut scene = Scene::running(Settings::default());
    scene.hears(OWN_NODE, height(3));
    scene.hears(OWN_NODE, says(Some(upgrade("v3", 500))));
    scene.hears(EndpointId(1), height(3));
    scene.hears(EndpointId(1), silent("refused")).says(&["refused"]);
    let lie = scene.hears(EndpointId(1), says(Some(upgrade("v2", HEIGHT))));
    assert!(!lie.0.notes.iter().any(|note| note.to_string().contains("is scheduled")), "{:?}", lie.0.notes);
    let told = scene.hears(EndpointId(1), says(Some(upgrade("v3", 500))));
    assert!(!told.0.notes.iter().any(|note| note.to_string().contains("is cancelled")), "{:?}", told.0.notes);
    scene.hears(EndpointId(1), silent("refused")).says(&[]);
}

#[test]
fn a_plan_that_others_still_say_is_not_withdrawn() {
    let mut scene = Scene::running(Settings::default());
    for endpoint in [1, 2] {
        scene.hears(EndpointId(endpoint), height(2));
        scene.hears(
            EndpointId(endpoint),
            News::Scheduled { height: 2, upgrade: Some(upgrade("v2", HEIGHT)), applied: None },
        );
    }
    scene.now += SECOND;
    let told = scene.hears(EndpointId(2), News::Scheduled { height: 3, upgrade: None, applied: None });
    assert!(!told.0.notes.iter().any(|note| note.to_string().contains("is cancelled")), "{:?}", told.0.notes);
    assert!(scene.core.known_since.contains_key(&plan("v2", HEIGHT)));
}

#[test]
fn how_many_have_to_say_it_is_told_with_it_while_they_do_not() {
    let mut scene = Scene::running(Settings { quorum: 2, ..Settings::default() });
    let there = || News::Scheduled { height: 2, upgrade: Some(upgrade("v2", HEIGHT)), applied: None };
    scene.hears(EndpointId(1), height(2));
    let waits = "and not fetched before 2 endpoints say so (WATCHER_QUORUM)";
    let told = scene.hears(EndpointId(1), there()).0.notes[0].to_string();
    assert!(told.ends_with(waits), "{told}");
    scene.hears(EndpointId(2), height(2));
    let told = scene.hears(EndpointId(2), there()).0.notes[0].to_string();
    assert!(!told.ends_with(waits) && told.contains("is scheduled"), "{told}");
}

#[test]
fn no_more_plans_are_remembered_than_there_is_room_for() {
    let mut scene = Scene::running(Settings::default());
    scene.core.known_since = (0..499).map(|height| (plan("v", height), SECOND)).collect();
    scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
    assert_eq!(scene.core.known_since.len(), 500);
    scene.hears(EndpointId(2), scheduled(upgrade("v3", HEIGHT)));
    assert_eq!(scene.core.known_since.len(), 1);
}
