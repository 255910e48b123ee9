use super::{
    super::super::{
        event::{Comparison, Signs},
        facts::Verdict,
    },
    *,
};

/// v2 runs and has committed its height, and nobody knows more of it.
fn passes(settings: Settings) -> Scene {
    let mut scene = Scene::upgraded(settings);
    scene.is_at(HEIGHT + 1, HEIGHT).remembers(verdict(Verdict::Passed));
    scene
}

fn compared(own: &str, theirs: &str, signs: Signs) -> Outcome {
    let theirs = Some(("a peer".into(), theirs.into()));
    Outcome::Compared(Comparison { own: Some(own.into()), theirs, signs })
}

/// That was not answered.
fn unknown(signs: Signs) -> Outcome {
    Outcome::Compared(Comparison { signs, ..Comparison::default() })
}

fn verdict(verdict: Verdict) -> Record {
    Record { verdict, starts: 1, ..passed() }
}

fn compares(told: &Told) {
    assert!(matches!(told.0.fetch, Some((_, FetchJob::Compare(HEIGHT)))), "{:?}", told.0);
}

#[test]
fn the_network_s_state_is_asked_for_seldomer_each_time_and_makes_the_upgrade_agreed() {
    let mut scene = passes(Settings { poll_interval: Duration::from_hours(1), ..Settings::default() });
    compares(&scene.done());
    for pause in [1, 2, 4] {
        let at = scene.now + Duration::from_secs(pause);
        let told = scene.fetch_ends(unknown(Signs::Unknown));
        assert_eq!(told.rests().wakes(at).0.fetch, None);
        compares(&scene.seconds(pause));
    }
    let agreed = "upgrade \"v2\" at height 1000: the state after it is the network's";
    // Its validator is waited for.
    let told = scene.fetch_ends(compared("A", "A", Signs::No));
    compares(told.remembers(verdict(Verdict::Agreed)).says(&[agreed]));
    scene.done();
    scene.fetch_ends(unknown(Signs::Unknown)).rests();
    compares(&scene.seconds(1));
    let signs = "upgrade \"v2\" at height 1000: the validator signs again";
    scene.fetch_ends(unknown(Signs::Yes)).remembers(verdict(Verdict::Signing)).says(&[signs]);
    scene.done().rests();
    assert_eq!(scene.fetch_ends(unknown(Signs::Yes)).rests().0.fetch, None, "that is all");
}

/// It was told twenty times on a full disk.
#[test]
fn what_cannot_be_written_down_is_told_once_and_so_is_why() {
    let mut scene = passes(Settings::default());
    scene.done();
    let agreed = "upgrade \"v2\" at height 1000: the state after it is the network's";
    let fails = |scene: &mut Scene, room| scene.ends(failed(&format!("it is full, {room} bytes are left")));
    let full = "writing the record failed and is tried again in 1s: it is full, 0 bytes are left";
    scene.is_at(HEIGHT + 2, HEIGHT + 1).remembers(verdict(Verdict::Agreed)).says(&[agreed]);
    fails(&mut scene, 0).says(&[full]);
    for room in [4096, 0] {
        scene.seconds(2).remembers(verdict(Verdict::Agreed)).says(&[]);
        fails(&mut scene, room).says(&[]);
    }
    // It is something else now.
    scene.seconds(4).says(&[]);
    assert_eq!(scene.fails().0.notes.len(), 1);
    scene.seconds(5).says(&[]);
    scene.done();
    // What comes again is told again.
    scene.fetch_ends(unknown(Signs::Yes)).remembers(verdict(Verdict::Signing));
    fails(&mut scene, 0).says(&[full]);
}

#[test]
fn a_signature_that_was_seen_with_the_state_counts_at_once() {
    let mut scene = passes(Settings::default());
    scene.done();
    scene.fetch_ends(compared("A", "A", Signs::Yes)).remembers(verdict(Verdict::Agreed));
    scene.done().remembers(verdict(Verdict::Signing));
}

#[test]
fn a_node_that_votes_on_nothing_has_nothing_left_to_show() {
    let mut scene = passes(Settings::default());
    scene.done();
    scene.fetch_ends(compared("A", "A", Signs::NoValidator)).remembers(verdict(Verdict::Agreed));
    scene.done().rests();
    assert_eq!(scene.fetch_ends(unknown(Signs::NoValidator)).rests().0.fetch, None);
}

#[test]
fn another_state_than_the_network_s_is_a_fork_until_a_block_on_top_of_it_is_applied() {
    let mut scene = passes(Settings::default());
    scene.done();
    let told = scene.fetch_ends(compared("A", "B", Signs::No));
    compares(told.remembers(verdict(Verdict::Forked)).says(&[
        "upgrade \"v2\" at height 1000 has forked: after it the own state is A, and a peer says that the network's is B; nothing \
         is taken back by itself: compare the binary with what others run",
    ]));
    scene.done().rests();
    scene.is_at(HEIGHT + 2, HEIGHT + 1).remembers(verdict(Verdict::Agreed));
}

#[test]
fn only_of_a_node_that_runs_and_has_committed_the_height_it_is_asked_how_it_goes() {
    // Another `watcher` saw it pass.
    let mut scene = Scene::new(Settings { crash_restarts: 1, ..Settings::default() });
    scene.facts.current = Current::Version(v2());
    scene.facts.record = present(passed());
    scene.tick();
    assert_eq!(scene.done().0.fetch, None);
    assert_eq!(scene.is_at(HEIGHT, HEIGHT - 1).0.fetch, None);
    compares(&scene.is_at(HEIGHT, HEIGHT));
    scene.fetch_ends(unknown(Signs::Unknown));
    // It crashed, and comes back in a second.
    scene.now += SECOND / 2;
    assert_eq!(scene.exits(code(2)).0.fetch, None);
    scene.core.comparing = super::super::Retry::default();
    assert_eq!(scene.tick().rests().0.fetch, None);
}

#[test]
fn a_home_on_which_nothing_was_upgraded_has_nothing_to_show() {
    let mut scene = Scene::running(Settings::default());
    assert_eq!(scene.is_at(5, 5).rests().0.fetch, None);
}
