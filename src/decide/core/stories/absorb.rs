//! Taking in what happened.

mod ended;
mod fetched;
mod pre_upgrade;
mod said;
mod signalled;

use super::{
    super::super::{
        decision::NodeSignal,
        event::{Action, Comparison, Proposal, ProposalStatus},
        orders::{Exact, Replacement},
        settings::OnFailure,
    },
    *,
};

#[test]
fn ends_of_jobs_and_runs_that_nobody_awaits_change_nothing() {
    let mut scene = Scene::running(Settings::default());
    scene.happens(Kind::JobDone { job: JobId(99), outcome: Outcome::Done }).rests();
    assert_eq!(scene.core.strays, 1);
    scene.happens(Kind::Exited { run: RunId(99), exit: code(1), words: None }).rests().says(&[]);
    assert_eq!((scene.core.strays, scene.core.running()), (2, Some(scene.life().id)));
}
