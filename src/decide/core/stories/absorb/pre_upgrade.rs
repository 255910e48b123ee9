//! The code with which `pre-upgrade` ended.

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
