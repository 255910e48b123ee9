use super::*;

const HOUR: u64 = 3_600_000;

/// What is known of a chain after it was asked for as many blocks as it wants, `most` of them, from `floor` on.
fn asked(time_of: impl Fn(u64) -> u64, newest: u64, floor: u64) -> Pace {
    let mut pace = Pace::default();
    pace.add(newest, time_of(newest));
    for _ in 0..8 {
        let Some(wanted) = pace.wanted() else { break };
        if wanted < floor { pace.is_missing(wanted) } else { pace.add(wanted, time_of(wanted)) }
    }
    pace
}

fn off(pace: &Pace, height: u64, truth: u64) -> u64 {
    let newest = pace.samples().last().unwrap().1;
    parts(pace.eta(height, newest).unwrap().at.abs_diff(truth), truth - newest)
}

#[test]
fn a_steady_chain_is_foretold_to_the_millisecond_from_few_blocks() {
    let pace = asked(|height| height * 6_000, 1_000_000, 0);
    assert_eq!(pace.samples().len(), 7);
    assert_eq!(pace.block_time(1), Some(Duration::from_secs(6)));
    let eta = pace.eta(1_100_000, 6_000_000_000).unwrap();
    assert_eq!(eta.at, 6_600_000_000);
    assert!(eta.earliest < eta.at && eta.at < eta.latest && eta.latest - eta.earliest < 20 * HOUR, "{eta:?}");
}

#[test]
fn a_pause_in_the_past_moves_nothing() {
    for ago in [20, 5_000, 50_000] {
        let truth = |height: u64| height * 6_000 + if height > 1_000_000 - ago { 10 * HOUR } else { 0 };
        let pace = asked(truth, 1_000_000, 0);
        for ahead in [600, 14_400, 100_000] {
            assert!(off(&pace, 1_000_000 + ahead, truth(1_000_000 + ahead)) < 5_000, "{ago} {ahead} {pace:?}");
        }
    }
}

#[test]
fn after_a_change_the_pace_before_it_counts_for_little() {
    let truth = |height: u64| height * 6_000 - height.saturating_sub(970_000) * 2_000;
    let pace = asked(truth, 1_000_000, 0);
    assert!(off(&pace, 1_100_000, truth(1_100_000)) < 30_000, "{pace:?}");
}

#[test]
fn a_pruned_node_is_asked_for_what_it_has() {
    for floor in [999_950, 999_000, 970_000] {
        let pace = asked(|height| height * 6_000, 1_000_000, floor);
        assert_eq!(pace.eta(1_010_000, 0).unwrap().at, 6_060_000_000, "{floor}");
        let mut told = Pace::default();
        told.add(1_000_000, 6_000_000_000);
        told.keep_above(floor);
        assert!(told.wanted().unwrap() >= floor);
    }
}

#[test]
fn a_silent_chain_comes_later_or_whoever_told_it_lags() {
    let pace = asked(|height| height * 6_000, 1_000_000, 0);
    let now = 6_000_000_000 + 3 * HOUR;
    let eta = pace.eta(1_001_000, now).unwrap();
    assert_eq!(eta.at, 6_006_000_000 + 3 * HOUR - 60_000);
    assert_eq!(eta.earliest, now);
    assert!(eta.latest > eta.at);
}

#[test]
fn blocks_heard_one_by_one_are_kept_on_every_scale() {
    let mut pace = Pace::default();
    for height in 1..=20_000 {
        pace.add(height, height * 6_000 + if height > 19_990 { HOUR } else { 0 });
    }
    assert_eq!(pace.samples().len(), SAMPLES);
    assert_eq!(pace.samples()[0].0, 1);
    let older_than = |age: u64| pace.samples().iter().filter(|(height, _)| 20_000 - height >= age).count();
    let ages = [1, 10, 30, 100, 300, 1_000, 3_000, 10_000].map(older_than);
    assert_eq!(ages, [63, 61, 58, 51, 42, 31, 20, 8]);
    assert_eq!(pace.block_time(10_000), Some(Duration::from_secs(6)));
}

#[test]
fn times_that_contradict_their_heights_do_no_harm() {
    let mut pace = Pace::default();
    for (height, time, kept) in
        [(10, 60_000, 1), (5, 30_000, 2), (7, 70_000, 1), (6, 80_000, 1), (5, 1_000, 2), (4, 80_000, 2), (8, 500, 1)]
    {
        pace.add(height, time);
        assert_eq!(pace.samples().len(), kept, "{height}");
    }
    for height in [0, 1, u64::MAX] {
        pace.add(height, u64::MAX);
        pace.is_missing(height);
        let _ = (pace.wanted(), pace.eta(u64::MAX, u64::MAX), pace.block_time(u64::MAX));
    }
}

#[test]
fn one_block_alone_foretells_nothing() {
    let mut pace = Pace::default();
    pace.add(7, 1_000);
    pace.add(7, 9_000);
    assert_eq!(pace.eta(9, 0), None);
}

/// What is known is these blocks.
fn known(samples: &[(u64, u64)]) -> Pace {
    let mut pace = Pace::default();
    for (height, time) in samples {
        pace.add(*height, *time);
    }
    pace
}

#[test]
fn the_interval_is_what_chance_and_the_weeks_ahead_can_do_and_wider_where_the_chain_was_restless() {
    // Of the pace: 1 % for 10,000 blocks, 1 % for what is never known, and by the square root of 0.0992 weeks, which is 0.315,
    // a fiftieth less and a 25th more; or an eighth and a fifth.
    for (pause, earliest, latest) in [(0, 58_422_060, 61_955_880), (10 * HOUR, 56_437_740, 64_979_580)] {
        let truth = |height: u64| height * 6_000 + if height > 950_000 { pause } else { 0 };
        let eta = asked(truth, 1_000_000, 0).eta(1_010_000, 0).unwrap();
        let ahead = [eta.earliest, eta.at, eta.latest].map(|at| at - truth(1_000_000));
        assert_eq!(ahead, [earliest, 60_000_000, latest], "{pause}");
    }
}

#[test]
fn stretches_that_differ_widen_the_interval_and_count_by_the_blocks_that_lie_ahead() {
    // 90,000 blocks of 6 s, then 10,000 of 6.3 s.
    let pace = known(&[(900_000, 0), (990_000, 540_000_000), (1_000_000, 603_000_000)]);
    let outlook = |ahead| pace.outlook(ahead).map(|outlook| [outlook.fastest, outlook.pace, outlook.slowest]);
    // Of 80,000 blocks: off by 4.35 % and by 0.62 %, half of the former as it is a quarter of what lies ahead, so by 0.82 %.
    assert_eq!(outlook(40_000), Some([5_772_200, 6_037_500, 6_379_101]));
    assert_eq!(pace.block_time(5_000), Some(Duration::from_millis(6_300)));
}

#[test]
fn each_octave_of_age_has_a_vote_on_the_pace() {
    let pace = known(&[(1, 0), (10_001, 70_000_000), (11_001, 76_000_000), (11_101, 76_500_000)]);
    assert_eq!(pace.consensus(), Some(6_000_000), "10,000 blocks of 7 s, 1,000 of 6 s, 100 of 5 s");
    let block_time = |ahead| pace.block_time(ahead).map(|time| time.as_millis());
    assert_eq!([1, 50, 100].map(block_time), [5_000, 5_000, 5_500].map(Some));
}

#[test]
fn the_day_and_chance_within_few_blocks_are_tolerated() {
    let tolerance = |blocks| Stretch { end: 0, age: 0, blocks, pace: 0 }.tolerance();
    assert_eq!([1, 100, 10_000].map(tolerance), [4_083_333, 483_333, 123_333]);
    assert_eq!([parts(1, 3), parts(3, 1), parts(u64::MAX, 1)], [333_333, 3_000_000, u64::MAX]);
}

#[test]
fn a_block_is_asked_for_only_where_it_is_a_quarter_further_back() {
    for (floor, wanted) in [(874, Some(874)), (875, None), (100, Some(500))] {
        let mut pace = known(&[(900, 0), (1_000, 600_000)]);
        pace.keep_above(floor);
        assert_eq!(pace.wanted(), wanted, "{floor}");
    }
}

#[test]
fn the_middle_of_an_odd_stretch_is_asked_for_where_it_is_long_enough_to_be_told_from_chance() {
    // Blocks of 6 s with a pause in one stretch: 16,000 blocks that are 57,540 or 57,539 millionths off, of which half of
    // 115,079 is tolerated, and 100 that are far off.
    for (after, pause, wanted) in
        [(996_000, 5_523_840, Some(988_000)), (996_000, 5_523_744, None), (1_000_000, 400_000, None)]
    {
        let time = |height| height * 6_000 + if height >= after { pause } else { 0 };
        let mut pace = known(&[900_000, 980_000, 996_000, 999_900, 1_000_000].map(|height| (height, time(height))));
        pace.keep_above(900_000);
        assert_eq!(pace.wanted(), wanted, "{after} {pause}");
        pace.keep_above(988_001);
        assert_eq!(pace.wanted(), None, "nobody has it");
    }
}
