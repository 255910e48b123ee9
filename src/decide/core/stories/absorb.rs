use super::{
    super::super::{
        decision::NodeSignal,
        event::{Comparison, Proposal, ProposalStatus},
        orders::{Exact, Replacement},
        settings::OnFailure,
    },
    *,
};

/// What nobody waits for.
mod strays {
    use super::*;

    #[test]
    fn ends_of_jobs_and_runs_that_nobody_awaits_change_nothing() {
        let mut scene = Scene::running(Settings::default());
        scene.happens(Kind::JobDone { job: JobId(99), outcome: Outcome::Done }).rests();
        assert_eq!(scene.core.strays, 1);
        scene.happens(Kind::Exited { run: RunId(99), exit: code(1), words: None }).rests().says(&[]);
        assert_eq!((scene.core.strays, scene.core.running()), (2, Some(scene.life().id)));
    }
}

/// The ends of jobs.
mod ended {
    use super::*;

    #[test]
    fn a_node_that_ended_is_not_asked_any_more_and_every_other_job_goes_on() {
        let mut scene = Scene::running(Settings::default());
        scene.facts.info = written(Origin::Node);
        scene.asks();
        let run = scene.life().id;
        let told = scene.happens(Kind::Exited { run, exit: code(1), words: None });
        assert_eq!(told.0.cancel.len(), 1);
        let mut scene = Scene::halted(Settings::default());
        scene.tick().stops();
        assert!(scene.exits(code(0)).0.cancel.is_empty());
    }

    #[test]
    fn an_answer_that_did_not_come_is_a_silence() {
        for outcome in [failed("no"), Outcome::Cancelled, Outcome::Answered(NodeAnswer::default())] {
            let mut scene = Scene::running(Settings::default());
            scene.facts.info = written(Origin::Node);
            scene.asks();
            scene.now += SECOND;
            // It was written since the node began, which is silent.
            scene.ends(outcome).remembers(record());
            assert_eq!((scene.life().silent, scene.life().asked), (1, Some((file(10), scene.now))));
        }
    }

    #[test]
    fn a_failure_is_not_forgotten_because_the_node_answers() {
        let mut scene = Scene::upgraded(Settings { downloads: true, ..Settings::default() });
        let next = fetchable("v3", 5_000);
        scene.facts.stored = [receipt(&next)].into();
        scene.hears(EndpointId(1), scheduled(next.clone()));
        let place = "placing the binary failed and is tried again in";
        scene.fails().says(&[&format!("{place} 1s: it broke")]);
        scene.seconds(2).does(HomeJob::Ask);
        scene.ends(Outcome::Answered(NodeAnswer::default()));
        scene.fails().says(&[&format!("{place} 2s: it broke")]);
        scene.seconds(2);
        scene.done();
        scene.fails().says(&[&format!("{place} 1s: it broke")]);
    }

    #[test]
    fn a_start_that_was_cancelled_leaves_no_node() {
        let mut scene = Scene::new(Settings::default());
        scene.tick().starts(Version::Genesis);
        scene.ends(Outcome::Cancelled).starts(Version::Genesis);
        // What had been cancelled too late has a node.
        let run = scene.life().id;
        scene.happens(Kind::Exited { run, exit: code(4), words: None }).rests();
        scene.ends(Outcome::Cancelled).leaves(Exit::NodeEnded(code(4)));
    }

    #[test]
    fn a_start_that_failed_ends_watcher_and_leaves_no_node() {
        let mut scene = Scene::new(Settings::default());
        scene.tick().starts(Version::Genesis);
        scene.fails().leaves(Exit::NodeFailed("it broke".into()));
        assert_eq!(scene.core.running(), None);
        // Its end was heard of before that.
        let mut scene = Scene::new(Settings::default());
        scene.tick();
        scene.exits(code(4)).rests();
        scene.fails().leaves(Exit::NodeFailed("it broke".into()));
        assert!(matches!(scene.core.run, Run::Ended { .. }));
    }

    #[test]
    fn only_a_new_binary_fails_its_upgrade_by_not_starting() {
        let mut scene = Scene::new(Settings::default());
        scene.is_due();
        scene.facts.staged.clear();
        scene.facts.info = written(Origin::Operator);
        scene.tick().starts(Version::Genesis);
        scene.fails().leaves(Exit::NodeFailed("it broke".into()));
    }

    #[test]
    fn a_node_that_was_started_while_a_stop_was_asked_for_hears_of_it() {
        let mut scene = Scene::new(Settings::default());
        scene.tick().starts(Version::Genesis);
        let told = scene.signal();
        assert_eq!((told.0.cancel.len(), told.0.signal), (1, Some(NodeSignal::Forward(Signal::Terminate))));
        assert_eq!(scene.done().0.signal, Some(NodeSignal::Forward(Signal::Terminate)));
        scene.exits(code(0)).leaves(Exit::Fine);
        // It is over already.
        let mut scene = Scene::new(Settings::default());
        scene.tick();
        scene.signal();
        scene.exits(code(0));
        assert_eq!(scene.ends(Outcome::Started).0.signal, None);
        let mut scene = Scene::new(Settings::default());
        scene.tick();
        assert_eq!(scene.done().0.signal, None);
    }

    #[test]
    fn only_the_run_that_was_stopped_is_taken_as_reaped() {
        let mut scene = Scene::halted(Settings::default());
        scene.core.begin(HomeJob::Stop { run: RunId(77), grace: SECOND }, &mut Decision::default());
        scene.done();
        assert!(!scene.life().reaped);
    }

    #[test]
    fn a_script_that_ran_is_not_run_again_before_the_record_says_so() {
        let mut scene = Scene::new(Settings { custom_hook: true, ..Settings::default() });
        scene.is_due();
        scene.tick().does(HomeJob::CustomHook(plan("v2", HEIGHT)));
        scene.done().does(HomeJob::Switch { folder: folder("v2"), plan: plan("v2", HEIGHT) });
        scene.done().does(HomeJob::AppHook);
        scene.done().remembers(Record { starts: 1, ..hooked() });
    }

    #[test]
    fn room_that_was_found_while_nothing_was_due_is_looked_for_again() {
        let mut scene = Scene::running(Settings::default());
        scene.facts.backup = Backup::Missing;
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
        scene.done();
        assert_eq!(scene.core.roomy, None);
        scene.is_due();
        scene.tick().does(HomeJob::Room(plan("v2", HEIGHT)));
        scene.done().stops();
        assert_eq!(scene.core.roomy, Some(plan("v2", HEIGHT)));
    }

    #[test]
    fn too_little_room_is_told_and_holds_nothing_up_while_nothing_is_due() {
        let no_room = "the backup for upgrade \"v2\" at height 1000 cannot be made, and the node is not stopped before it can: it broke";
        let mut scene = Scene::running(Settings { poll_interval: Duration::from_hours(1), ..Settings::default() });
        scene.facts.backup = Backup::Missing;
        scene.facts.staged.insert(folder("v2"), Staged::Operator);
        scene.hears(EndpointId(1), scheduled(upgrade("v2", HEIGHT)));
        scene.fails().rests().says(&[no_room]).wakes(scene.now + Duration::from_hours(1));
        scene.is_due();
        scene.tick().does(HomeJob::Room(plan("v2", HEIGHT)));
        scene.fails().rests().says(&[no_room]).wakes(scene.now + SECOND);
    }

    #[test]
    fn another_binary_has_all_its_attempts_before_it() {
        let mut scene = Scene::upgraded(Settings::default());
        scene.exits(code(1));
        scene.done();
        scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
        scene.facts.record = present(Record { starts: 1, attempts: 1, ..hooked() });
        scene.seconds(5).does(HomeJob::Replace(v2()));
        scene.done().remembers(Record { starts: 1, attempts: 0, ..hooked() });
        assert_eq!(scene.core.attempt, None);
        // Nothing was counted.
        let mut scene = Scene::running(Settings::default());
        scene.facts.orders.replacement = Some(Replacement { version: v2(), at: None });
        scene.tick().does(HomeJob::Replace(v2()));
        scene.done().rests();
    }

    #[test]
    fn what_its_halt_height_means_is_asked_of_each_binary_anew() {
        let exact = Exact { name: "v9".into(), folder: folder("v9"), height: HEIGHT, missed: false };
        let mut scene = Scene::new(Settings::default());
        scene.facts.orders.exact = Some(exact);
        scene.tick().does(HomeJob::Generation);
        scene.fails();
        assert_eq!(scene.core.generation, Some((Version::Genesis, None)));
        for job in [HomeJob::Replace(v2()), HomeJob::Choose(v2())] {
            scene.core.home = Lane::Idle;
            scene.core.generation = Some((Version::Genesis, Some(true)));
            scene.core.begin(job, &mut Decision::default());
            scene.done();
            assert_eq!(scene.core.generation, None);
        }
    }

    #[test]
    fn what_fails_at_the_halt_ends_watcher_or_is_tried_again_as_its_operator_chose() {
        let by = |on_upgrade_failure| Settings { on_upgrade_failure, custom_hook: true, ..Settings::default() };
        let waits = |what: &str, remedy: &str| {
            format!(
                "upgrade \"v2\" at height 1000 stands still without a node: {what} failed: it broke; it is tried again and again: \
                 {remedy}"
            )
        };
        let backup = waits("backing up the data directory", "see to it, or start again with UNSAFE_SKIP_BACKUP=true");
        let script = waits(
            "running the custom pre-upgrade script",
            "mend the script, or start again without COSMOVISOR_CUSTOM_PREUPGRADE",
        );
        for (kept, note) in [(Backup::Missing, backup), (Backup::Complete, script)] {
            let mut scene = Scene::new(by(OnFailure::Leave));
            scene.is_due();
            scene.facts.backup = kept;
            scene.tick();
            scene.fails().leaves(Exit::UpgradeFailed("it broke".into()));
            let mut scene = Scene::new(by(OnFailure::Hold));
            scene.is_due();
            scene.facts.backup = kept;
            scene.tick();
            let mut told = scene.fails();
            for pause in [1, 2, 4, 8, 16, 30, 30] {
                let first: &[&str] = if pause == 1 { &[&note] } else { &[] };
                told.rests().says(first);
                scene.after(Duration::from_millis(pause * 1_000 - 1)).rests();
                scene.after(Duration::from_millis(1));
                told = scene.fails();
            }
            scene.seconds(600);
            scene.fails().says(&[&note]);
        }
    }

    #[test]
    fn pre_upgrade_that_cannot_be_run_ends_watcher_or_fails_the_upgrade() {
        for on_upgrade_failure in [OnFailure::Leave, OnFailure::Hold] {
            let mut scene = Scene::switched(Settings { on_upgrade_failure, ..Settings::default() });
            scene.facts.record = present(record());
            scene.tick().does(HomeJob::AppHook);
            let told = scene.fails();
            match on_upgrade_failure {
                OnFailure::Leave => told.leaves(Exit::UpgradeFailed("it broke".into())),
                _ => told.does(HomeJob::Weigh(folder("v2"))),
            };
        }
    }
}

/// The code with which `pre-upgrade` ended.
mod pre_upgrade {
    use super::*;

    fn ended(pre_upgrade_retries: i64, code: Option<i32>) -> (Scene, Told) {
        let on_upgrade_failure = OnFailure::Leave;
        let mut scene = Scene::switched(Settings { pre_upgrade_retries, on_upgrade_failure, ..Settings::default() });
        scene.facts.record = present(record());
        scene.tick().does(HomeJob::AppHook);
        let told = scene.ends(Outcome::PreUpgrade(code));
        (scene, told)
    }

    #[test]
    fn success_and_having_none_lead_on_and_so_does_what_means_nothing() {
        let goes_on = || Record { app_hook_done: true, starts: 1, ..record() };
        for code in [0, 1] {
            ended(0, Some(code)).1.remembers(goes_on()).says(&[]);
        }
        let odd = "pre-upgrade ended with exit code 7, which means nothing to watcher; the upgrade goes on";
        ended(0, Some(7)).1.remembers(goes_on()).says(&[odd]);
        let killed = "pre-upgrade was ended by a signal; the upgrade goes on";
        ended(0, None).1.remembers(goes_on()).says(&[killed]);
    }

    #[test]
    fn thirty_refuses_and_thirty_one_is_tried_again_so_often() {
        let refused = Exit::UpgradeFailed("pre-upgrade command failed : exit status 30".into());
        ended(5, Some(30)).1.leaves(refused);
        let (mut scene, told) = ended(2, Some(31));
        told.does(HomeJob::AppHook).says(&["pre-upgrade command failed. retrying (attempt 1)"]);
        scene
            .ends(Outcome::PreUpgrade(Some(31)))
            .does(HomeJob::AppHook)
            .says(&["pre-upgrade command failed. retrying (attempt 2)"]);
        let over = "pre-upgrade command failed. reached max attempt of retries - 2";
        scene.ends(Outcome::PreUpgrade(Some(31))).leaves(Exit::UpgradeFailed(over.into()));
    }
}

/// Beside the home lane.
mod fetched {
    use super::*;

    /// A fetch for this upgrade is under way.
    fn fetching(upgrade: &Upgrade) -> Scene {
        let mut scene = Scene::running(Settings {
            downloads: true,
            jitter: Duration::ZERO,
            poll_interval: Duration::from_hours(1),
            ..Settings::default()
        });
        let told = scene.hears(EndpointId(1), scheduled(upgrade.clone()));
        assert!(matches!(told.0.fetch, Some((_, FetchJob::Fetch { .. }))), "{:?}", told.0);
        scene
    }

    #[test]
    fn a_fetch_that_fails_is_tried_again_seldomer_each_time_and_faster_once_it_is_due() {
        let v2 = fetchable("v2", HEIGHT);
        let mut scene = fetching(&v2);
        let again =
            |pause| format!("fetching the binary of upgrade \"v2\" failed and is tried again in {pause}s: it broke");
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let told = scene.fetch_ends(failed("it broke"));
            told.says(&[&again(pause)]).wakes(scene.now + Duration::from_secs(pause));
            assert_eq!(scene.seconds(pause - 1).0.fetch, None);
            assert!(scene.seconds(1).0.fetch.is_some());
        }
        scene.facts.info = Info::Plan { upgrade: v2, fingerprint: file(10), origin: Origin::Node };
        scene.facts.record = present(record());
        scene.fetch_ends(failed("it broke")).says(&[&again(5)]);
    }

    #[test]
    fn the_other_side_may_say_when_to_come_back() {
        let mut scene = fetching(&fetchable("v2", HEIGHT));
        let later = Outcome::Failed { reason: "busy".into(), retry_after: Some(Duration::from_mins(1)) };
        scene.fetch_ends(later).says(&["fetching the binary of upgrade \"v2\" failed and is tried again in 60s: busy"]);
    }

    #[test]
    fn a_fetch_that_works_is_forgotten_as_a_failure() {
        let v2 = fetchable("v2", HEIGHT);
        let mut scene = fetching(&v2);
        scene.fetch_ends(failed("it broke"));
        scene.seconds(1);
        scene.facts.stored = [receipt(&v2)].into();
        scene.fetch_ends(Outcome::Done).does(HomeJob::Place { receipt: receipt(&v2), upgrade: v2 });
        assert!(scene.core.fetching.is_empty());
    }

    #[test]
    fn no_more_failures_are_remembered_than_there_is_room_for() {
        let mut scene = fetching(&fetchable("v2", HEIGHT));
        scene.core.fetching =
            (0..31).map(|number| (number.to_string(), super::super::super::Retry::default())).collect();
        scene.fetch_ends(failed("it broke"));
        assert_eq!(scene.core.fetching.len(), 32);
        scene.seconds(1);
        scene.fetch_ends(failed("it broke"));
        assert_eq!(scene.core.fetching.len(), 1);
    }

    #[test]
    fn a_binary_that_is_hashed_is_told_once_to_be_ready() {
        let v2 = fetchable("v2", HEIGHT);
        let mut scene = fetching(&v2);
        scene.fetch_ends(Outcome::Done);
        scene.facts.staged.insert(folder("v2"), Staged::Ours(receipt(&v2)));
        let verifies = |told: Told| assert!(matches!(told.0.fetch, Some((_, FetchJob::Verify(_)))), "{:?}", told.0);
        let ready = "upgrade \"v2\" at height 1000 is staged and verified in upgrades/v2";
        scene.core.fetch = Lane::Idle;
        verifies(scene.tick());
        scene
            .fetch_ends(failed("it broke"))
            .says(&["hashing the binary in upgrades/v2 failed and is tried again in 1s: it broke"]);
        verifies(scene.seconds(1));
        let told = scene.fetch_ends(Outcome::Done);
        told.says(&[ready]);
        assert_eq!(told.0.fetch, None);
        assert!(scene.core.fetching.is_empty());
        // Near its height it is hashed once more, and nothing new is said.
        verifies(scene.is_at(HEIGHT - 50, HEIGHT - 51));
        let told = scene.fetch_ends(Outcome::Done);
        told.says(&[]);
        assert_eq!(told.0.fetch, None);
    }

    #[test]
    fn how_the_node_stands_beside_the_network_is_kept() {
        let mut scene = Scene::running(Settings::default());
        scene.core.begin_fetch(FetchJob::Compare(7), scene.now, &mut Decision::default());
        let comparison = Comparison { own: Some("a".into()), ..Comparison::default() };
        scene.fetch_ends(Outcome::Compared(comparison.clone()));
        assert_eq!(scene.core.compared, comparison);
        scene.core.begin_fetch(FetchJob::Compare(7), scene.now, &mut Decision::default());
        scene
            .fetch_ends(failed("it broke"))
            .says(&["comparing the state after height 7 failed and is tried again in 1s: it broke"]);
    }
}

/// What endpoints say.
mod said {
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
        scene.hears(OWN_NODE, silent("no answer")).says(&["no answer"]);
        let mut scene = Scene::new(Settings::default());
        scene.core.begin(HomeJob::Ask, &mut Decision::default());
        scene.hears(OWN_NODE, silent("no answer")).says(&[]);
        scene.hears(EndpointId(1), silent("no answer")).says(&["no answer"]);
    }

    #[test]
    fn a_proposal_is_told_when_it_moves_on_and_when_it_is_over() {
        let actions = [super::super::super::super::event::Action::Cancel].into();
        let voted = |voting_end| Proposal { id: 3, status: ProposalStatus::Voting, voting_end, actions };
        let proposal = voted(Some(1_900_000_000_000));
        let news =
            |proposals: &[&Proposal]| News::Proposals { proposals: proposals.iter().copied().cloned().collect() };
        let votes = "proposal 3 is being voted on: cancels the scheduled upgrade";
        let mut scene = Scene::running(Settings::default());
        scene.hears(EndpointId(1), news(&[&proposal])).says(&[votes]);
        scene.hears(EndpointId(1), news(&[&proposal])).says(&[]);
        let later = Proposal { voting_end: Some(1_900_000_000_001), ..proposal };
        scene.hears(EndpointId(1), news(&[&later])).says(&[votes]);
        let over = "proposal 3 is over, and nothing comes of it (rejected, withdrawn, or it could not be carried out): cancels the \
                    scheduled upgrade";
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
}

/// Requests to stop.
mod signalled {
    use super::*;

    #[test]
    fn the_first_is_passed_on_and_the_second_kills() {
        let mut scene = Scene::running(Settings::default());
        assert_eq!(scene.signal().0.signal, Some(NodeSignal::Forward(Signal::Terminate)));
        assert_eq!(scene.signal().0.signal, Some(NodeSignal::Kill));
        assert_eq!(scene.signal().0.signal, Some(NodeSignal::Kill));
        let told = Scene::running(Settings::default()).happens(Kind::Signal(Signal::Interrupt));
        assert_eq!(told.0.signal, Some(NodeSignal::Forward(Signal::Interrupt)));
        assert_eq!(Scene::new(Settings::default()).signal().0.signal, None);
    }

    #[test]
    fn a_job_is_cancelled_once_but_for_a_stop_and_whoever_insists_asks_each_again() {
        let mut scene = Scene::new(Settings::default());
        scene.is_due();
        scene.facts.backup = Backup::Missing;
        scene.tick().does(HomeJob::BackUp(plan("v2", HEIGHT)));
        for _ in 0..3 {
            assert_eq!(scene.signal().0.cancel.len(), 1);
        }
        for stray in [false, true] {
            let mut scene = Scene::halted(Settings::default());
            if stray {
                scene.leaves_its_node(code(0), None).stops_the_stray();
            } else {
                scene.tick().stops();
            }
            assert_eq!([scene.signal().0.cancel.len(), scene.signal().0.cancel.len()], [0, 1], "{stray}");
        }
    }

    #[test]
    fn what_is_fetched_is_cancelled_once() {
        let mut scene = Scene::running(Settings::default());
        scene.core.begin_fetch(FetchJob::Verify(folder("v2")), scene.now, &mut Decision::default());
        assert_eq!([scene.signal().0.cancel.len(), scene.signal().0.cancel.len()], [1, 0]);
    }
}
