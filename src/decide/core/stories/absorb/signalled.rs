//! Requests to stop.

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
