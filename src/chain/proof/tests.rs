//! A lying endpoint changes one thing after the other, and nothing wrong is ever taken for proven.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tendermint::Hash;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use url::Url;

use super::{
    Choice, Point, Proof, Prover, Proving, Trust,
    forge::{Forge, Validator, stored_json, wrapped},
    merkle::Stored,
};
use crate::{
    chain::{
        endpoints::{Clients, Source, list},
        fault::Fault,
        liar::{Liar, json as text, node},
        poller,
        rpc::Rpc,
    },
    decide::{
        decision::Attention,
        event::{Heard, News},
        plan::{Asks, Folder, Plan, Upgrade},
    },
    http,
};

const DAY: Duration = Duration::from_hours(24);

fn rpc(url: &Url) -> Rpc {
    let limit = Duration::from_secs(20);
    Rpc::new(http::own_node_client(limit).unwrap(), url.clone(), String::from("https://rpc"), limit)
}

fn v2() -> Plan {
    Plan { name: "v2".into(), height: 1000, info: "{}".into() }
}

fn one(_: u64) -> Vec<Validator> {
    vec![(1, 10)]
}

fn four(_: u64) -> Vec<Validator> {
    vec![(1, 40), (2, 30), (3, 20), (4, 10)]
}

/// Scheduled from height 40 on.
fn scheduled_at_40(height: u64) -> Option<Plan> {
    (height >= 40).then(v2)
}

const CALM: Forge = Forge { validators: four, plan: scheduled_at_40, latest: 60 };

async fn honest(forge: &Forge) -> Liar {
    let forge = forge.clone();
    Liar::telling(move |question, parameters| wrapped(&forge.answer(question, parameters))).await
}

fn trusting(point: Option<Point>) -> Arc<Trust> {
    trusting_for(point, DAY, None)
}

fn trusting_for(point: Option<Point>, period: Duration, file: Option<PathBuf>) -> Arc<Trust> {
    Arc::new(Trust::new(Choice { point, period, ..Choice::default() }, file, false))
}

async fn prove(url: &Url, trust: &Arc<Trust>, latest: u64) -> Result<Option<Proof>, Fault> {
    Prover::new(Arc::clone(trust)).prove(&rpc(url), false, latest).await
}

#[tokio::test]
async fn a_plan_and_its_absence_are_proven_from_a_trusted_header() {
    let liar = honest(&CALM).await;
    let mut prover = Prover::new(trusting(Some(CALM.point(5))));
    for (latest, plan) in [(40, None), (41, Some(v2())), (41, Some(v2())), (60, Some(v2()))] {
        let proof = prover.prove(&rpc(&liar.url), false, latest).await.unwrap().unwrap();
        assert_eq!((proof.height, proof.plan), (latest - 1, plan));
        let age = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() - proof.time;
        assert!(age.abs_diff((60 - latest) * 60_000) < 20_000, "{age}");
    }
    assert_eq!(liar.count("validators"), 1, "those who sign are known from then on");
    assert_eq!((liar.count("commit"), liar.count("/store")), (5, 4));
    for young in [0, 1, 2] {
        assert_eq!(
            prover.prove(&rpc(&liar.url), false, young).await,
            Ok(None),
            "nothing is asked of a chain's first blocks"
        );
    }
}

#[tokio::test]
async fn where_validators_have_changed_the_headers_between_are_verified() {
    // Four in a row sign, and every ten blocks one of them goes.
    let moving = |height: u64| (0..4).map(|n| (u8::try_from(height / 10 + n).unwrap(), 10)).collect();
    let forge = Forge { validators: moving, plan: scheduled_at_40, latest: 600 };
    let liar = honest(&forge).await;
    let trust = trusting(Some(forge.point(5)));
    let mut prover = Prover::new(trust);
    let proof = prover.prove(&rpc(&liar.url), false, 600).await.unwrap().unwrap();
    assert_eq!(proof.plan, Some(v2()));
    let asked = liar.count("commit");
    assert!((20..90).contains(&asked), "{asked} headers");
    // From here the next one is near.
    prover.prove(&rpc(&liar.url), false, 600).await.unwrap().unwrap();
    assert_eq!(liar.count("commit"), asked + 1);

    // Everybody changes with every block: each header has to be looked at.
    let strangers = |height: u64| vec![(u8::try_from(height % 250).unwrap() + 1, 10)];
    let forge = Forge { validators: strangers, ..forge };
    let liar = honest(&forge).await;
    let fault = prove(&liar.url, &trusting(Some(forge.point(5))), 600).await.unwrap_err().to_string();
    assert!(fault.contains("too far from the trusted one"), "{fault}");
    assert!(liar.count("commit") < 110);
}

#[tokio::test]
async fn what_is_trusted_dies_and_a_header_that_was_verified_since_lives_on() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("header.json");
    let liar = honest(&CALM).await;
    // Blocks are a minute apart: height 5 is 55 minutes old.
    let trust = |period, file| trusting_for(Some(CALM.point(5)), Duration::from_mins(period), file);
    let fault = prove(&liar.url, &trust(50, None), 60).await.unwrap_err().to_string();
    assert!(fault.contains("longer ago than WATCHER_TRUST_PERIOD") && fault.contains("counts as claimed"), "{fault}");
    prove(&liar.url, &trust(600, Some(file.clone())), 60).await.unwrap().unwrap();
    assert!(file.exists());
    let proof = prove(&liar.url, &trust(50, Some(file.clone())), 60).await.unwrap().unwrap();
    assert_eq!(proof.plan, Some(v2()));

    // What was verified from another block is not trusted, nor what cannot be read.
    let other = trusting_for(Some(CALM.point(7)), Duration::from_mins(50), Some(file.clone()));
    assert!(prove(&liar.url, &other, 60).await.is_err());
    let whole = std::fs::read_to_string(&file).unwrap();
    for broken in [String::new(), "{}".into(), whole.replace("\"power\":\"40\"", "\"power\":\"41\"")] {
        assert_ne!(broken, whole);
        std::fs::write(&file, broken).unwrap();
        assert!(prove(&liar.url, &trust(50, Some(file.clone())), 60).await.is_err());
    }
}

#[tokio::test]
async fn the_own_node_is_the_root_where_no_other_is_named() {
    let (own, other) = (honest(&CALM).await, honest(&CALM).await);
    let trust = trusting(None);
    assert_eq!(prove(&other.url, &trust, 60).await, Ok(None), "there is nothing yet to prove it from");
    let proof = Prover::new(Arc::clone(&trust)).prove(&rpc(&own.url), true, 50).await.unwrap().unwrap();
    assert_eq!(proof.plan, Some(v2()));
    assert_eq!(prove(&other.url, &trust, 60).await.unwrap().unwrap().plan, Some(v2()));
    assert_eq!(prove(&other.url, &trust, 49).await, Ok(None), "it lags behind what is trusted");

    // The own node's chain begins anew, and others are verified from there.
    let anew = Forge { validators: one, plan: |_| None, latest: 30 };
    let (own, other) = (honest(&anew).await, honest(&anew).await);
    for _ in 0..2 {
        Prover::new(Arc::clone(&trust)).prove(&rpc(&own.url), true, 20).await.unwrap().unwrap();
        assert_eq!(prove(&other.url, &trust, 30).await.unwrap().unwrap().plan, None);
    }
    Prover::new(Arc::clone(&trust)).prove(&rpc(&honest(&CALM).await.url), true, 60).await.unwrap().unwrap();

    // Another chain of the same name: at that height, and further.
    let forked = Forge { validators: one, plan: |_| None, latest: 60 };
    let other = honest(&forked).await;
    for latest in [60, 61] {
        let fault = prove(&other.url, &trust, latest).await.unwrap_err().to_string();
        assert!(fault.starts_with("https://rpc proves nothing"), "{fault}");
    }
}

/// Changes what is answered to one question.
async fn lying(forge: &Forge, about: &'static str, lie: impl Fn(u64, &mut Value) + Send + Sync + 'static) -> Liar {
    let forge = forge.clone();
    Liar::telling(move |question, parameters| {
        let mut answer = forge.answer(question, parameters);
        if question == about {
            lie(parameters["height"].as_str().unwrap().parse().unwrap(), &mut answer);
        }
        wrapped(&answer)
    })
    .await
}

#[tokio::test]
async fn keys_that_cannot_be_verified_are_unsupported_and_hinder_nothing_else() {
    let strange =
        |_, answer: &mut Value| answer["validators"][2]["pub_key"]["type"] = "cometbft/PubKeyBls12_381".into();
    let liar = lying(&CALM, "validators", strange).await;
    let named = |fault: Fault| {
        let fault = fault.to_string();
        assert!(fault.contains("unsupported") && fault.contains("cometbft/PubKeyBls12_381"), "{fault}");
    };
    named(prove(&liar.url, &trusting(Some(CALM.point(5))), 60).await.unwrap_err());
    // The own node is believed without them, and others are told why they are not.
    let trust = trusting(None);
    let proof = Prover::new(Arc::clone(&trust)).prove(&rpc(&liar.url), true, 60).await.unwrap().unwrap();
    assert_eq!(proof.plan, Some(v2()));
    named(prove(&liar.url, &trust, 60).await.unwrap_err());
}

#[tokio::test]
async fn powers_that_overflow_are_a_fault_of_who_tells_them() {
    let liar = lying(&CALM, "validators", |_, answer| {
        for place in [0, 1] {
            answer["validators"][place]["voting_power"] = "9223372036854775807".into();
        }
    });
    let fault = prove(&liar.await.url, &trusting(Some(CALM.point(5))), 60).await.unwrap_err().to_string();
    assert!(fault.starts_with("https://rpc proves nothing") && fault.contains("validators"), "{fault}");
}

#[tokio::test]
async fn more_validators_than_a_page_holds_are_read_to_the_end() {
    let many = |_| (1..=230).map(|seed| (seed, u64::from(seed))).collect();
    let forge = Forge { validators: many, plan: scheduled_at_40, latest: 60 };
    let liar = honest(&forge).await;
    assert_eq!(prove(&liar.url, &trusting(Some(forge.point(50))), 60).await.unwrap().unwrap().plan, Some(v2()));
    assert_eq!(liar.count("validators"), 3);
    let endless = lying(&forge, "validators", |_, answer| answer["total"] = "1000000000".into()).await;
    // The last page is not full, so it ends all the same.
    assert!(prove(&endless.url, &trusting(Some(forge.point(50))), 60).await.is_ok());
}

#[tokio::test]
async fn headers_that_too_few_signed_or_others_are_caught() {
    let with = |signers: &'static [Validator], data: u8| {
        lying(&CALM, "commit", move |height, answer| {
            if height == 60 {
                answer["signed_header"] = json!(CALM.signed_by(height, signers, Hash::Sha256([data; 32])));
            }
        })
    };
    let trust = || trusting(Some(CALM.point(5)));
    for (what, signers, data, holds) in [
        ("all, for another block", [(1, 40), (2, 30), (3, 20), (4, 10)].as_slice(), 9, true),
        ("70 of 100", &[(1, 40), (2, 30)], 1, true),
        ("60 of 100", &[(1, 40), (3, 20)], 1, false),
        ("nobody", &[], 1, false),
        ("one of them twice", &[(1, 40), (2, 30), (2, 30)], 1, false),
        ("strangers", &[(7, 40), (8, 30), (9, 20)], 1, false),
    ] {
        let proof = prove(&with(signers, data).await.url, &trust(), 60).await;
        assert_eq!(proof.is_ok(), holds, "{what}: {proof:?}");
    }
    // From the future, and from before.
    let early = Forge { latest: 58, ..CALM };
    let fault = prove(&honest(&early).await.url, &trusting(Some(early.point(5))), 60).await.unwrap_err().to_string();
    assert!(fault.contains("does not hold"), "{fault}");
    let liar = lying(&CALM, "commit", |height, answer| {
        if height == 60 {
            answer["signed_header"] = json!(CALM.signed(30));
        }
    });
    let fault = prove(&liar.await.url, &trust(), 60).await.unwrap_err().to_string();
    assert!(fault.contains("it is for height 30"), "{fault}");
}

#[tokio::test]
async fn an_old_proof_with_its_own_header_shows_how_old_it_is_and_with_another_header_nothing() {
    let replay = |old: u64| {
        let of = move |answer: &mut Value, height: u64| *answer = stored_json(&CALM.stored(old).0, height);
        lying(&CALM, "/store/upgrade/key", move |height, answer| of(answer, height))
    };
    let trust = || trusting(Some(CALM.point(5)));
    let fault = prove(&replay(38).await.url, &trust(), 60).await.unwrap_err().to_string();
    assert!(fault.contains("not in the application's hash"), "{fault}");
    let proof = prove(&replay(38).await.url, &trust(), 39).await.unwrap().unwrap();
    assert_eq!((proof.height, proof.plan), (38, None));
    let age = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() - proof.time;
    assert!(age > 20 * 60_000, "its header's time tells: {age}");
}

/// Every way in which one thing in an answer can be another: each leaf changed, emptied and made null, each entry of a list
/// missing, twice, and in another place.
fn lies(honest: &Value) -> Vec<(String, Value)> {
    let mut lies = Vec::new();
    walk(honest, "", &mut |path, value| {
        for (how, changed) in changes(value).into_iter().filter(|(_, changed)| changed != value) {
            let mut lie = honest.clone();
            *lie.pointer_mut(path).unwrap() = changed;
            lies.push((format!("{path} {how}"), lie));
        }
    });
    lies
}

fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| walk(field, &format!("{path}/{name}"), visit)),
        Value::Array(entries) => {
            entries.iter().enumerate().for_each(|(place, entry)| walk(entry, &format!("{path}/{place}"), visit));
        }
        _ => {}
    }
}

fn changes(value: &Value) -> Vec<(&'static str, Value)> {
    let mut changes = vec![("null", Value::Null)];
    match value {
        Value::String(said) => {
            changes.push(("empty", "".into()));
            if let Ok(number) = said.parse::<i64>() {
                changes.push(("more", number.wrapping_add(1).to_string().into()));
                changes.push(("most", i64::MAX.to_string().into()));
                changes.push(("below 0", "-1".into()));
            } else {
                // In the middle and at the ends, so that bases and dates stay what they are.
                for place in [0, said.len() / 2, said.len().saturating_sub(5)] {
                    let mut bytes = said.clone().into_bytes();
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = if *byte == b'1' { b'2' } else { b'1' };
                        changes.push(("altered", String::from_utf8(bytes).unwrap().into()));
                    }
                }
                changes.push(("longer", format!("{said}{said}").into()));
            }
        }
        Value::Number(number) => changes.push(("more", (number.as_i64().unwrap() + 1).into())),
        Value::Bool(flag) => changes.push(("not", (!flag).into())),
        Value::Array(entries) => {
            changes.push(("none", json!([])));
            if let Some(first) = entries.first() {
                changes.push(("shorter", entries[1..].into()));
                changes.push(("twice", [std::slice::from_ref(first), entries.as_slice()].concat().into()));
                changes.push(("turned", entries.iter().rev().cloned().collect()));
            }
        }
        Value::Object(_) => changes.push(("none", json!({}))),
        Value::Null => changes.push(("something", "AA==".into())),
    }
    changes
}

/// What says nothing that matters: it is not looked at, or follows from the rest.
const IMMATERIAL: &[&str] = &[
    "/canonical",
    "/signed_header/commit/round",
    "/block_height",
    "/count",
    "/total",
    "/address",
    "/validators turned",
    "/signatures turned",
    "/block_id_flag more",
    "/proposer_priority",
    "/response/key",
    "/response/height",
    "/response/log",
    "/response/info",
    "/response/index",
    "/response/codespace",
];

/// Tells each lie about one question, and returns those with which the truth was proven all the same.
async fn tell_all(truth: &Proof, point: &Point, latest: u64, about: &str, honest: Vec<(String, Value)>) -> Vec<String> {
    let asked = honest.iter().find(|(question, _)| question == about).unwrap().1.clone();
    let lies = lies(&asked);
    assert!(lies.len() > 20, "{about}: {} lies", lies.len());
    let lie: Arc<Mutex<Value>> = Arc::default();
    let (told, about_whom) = (Arc::clone(&lie), about.to_owned());
    let liar = Liar::telling(move |question, parameters| {
        let question = keyed(question, parameters);
        let honest = || honest.iter().find(|(it, _)| *it == question).map(|(_, answer)| answer.clone());
        // What a lie makes it ask beyond that, nobody knows.
        wrapped(&if question == about_whom { told.lock().unwrap().clone() } else { honest().unwrap_or_default() })
    })
    .await;
    let mut unharmed = Vec::new();
    for (what, changed) in lies {
        *lie.lock().unwrap() = changed;
        let trust = trusting_for(Some(point.clone()), 365 * 100 * DAY, None);
        match prove(&liar.url, &trust, latest).await {
            Ok(Some(proof)) => {
                assert_eq!((&proof, truth.height), (truth, proof.height), "{about}: {what}");
                unharmed.push(what);
            }
            Ok(None) => panic!("{about}: {what} is no reason to say nothing"),
            Err(fault) => assert!(fault.to_string().starts_with("https://rpc "), "{fault}"),
        }
    }
    unharmed
}

fn keyed(question: &str, parameters: &Value) -> String {
    format!("{question} {}", parameters["height"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn whatever_a_liar_changes_in_a_real_chains_answers_nothing_wrong_is_proven() {
    macro_rules! recorded {
        ($file:literal) => {
            serde_json::from_str::<Value>(include_str!(concat!("../../../fixtures/answers/proof/", $file))).unwrap()["result"].clone()
        };
    }
    let of = |question: &str, height: u64| format!("{question} {height}");
    let trusted = recorded!("commit-trusted.json");
    let header = |commit: &Value| commit["signed_header"]["header"]["height"].as_str().unwrap().parse::<u64>().unwrap();
    let hash = serde_json::from_value(trusted["signed_header"]["commit"]["block_id"]["hash"].clone()).unwrap();
    let point = Point { height: header(&trusted), hash };
    for (commit, stored, name) in [
        (recorded!("commit-none.json"), recorded!("stored-none.json"), None),
        (recorded!("commit-scheduled.json"), recorded!("stored-scheduled.json"), Some("v2")),
    ] {
        let latest = header(&commit);
        let honest = vec![
            (of("commit", point.height), trusted.clone()),
            (of("validators", point.height + 1), recorded!("validators.json")),
            (of("commit", latest), commit),
            (of("/store/upgrade/key", latest - 1), stored),
        ];
        let answers = honest.clone();
        let liar = Liar::telling(move |question, parameters| {
            let question = keyed(question, parameters);
            wrapped(&answers.iter().find(|(it, _)| *it == question).expect("nothing else is asked").1)
        })
        .await;
        let trust = trusting_for(Some(point.clone()), 365 * 100 * DAY, None);
        let truth = prove(&liar.url, &trust, latest).await.unwrap().unwrap();
        assert_eq!(truth.plan.as_ref().map(|plan| plan.name.as_str()), name);
        for (about, _) in &honest {
            let unharmed = tell_all(&truth, &point, latest, about, honest.clone()).await;
            let trusted_commit = *about == of("commit", point.height);
            let immaterial = |what: &str| {
                IMMATERIAL.iter().any(|name| what.contains(name)) || trusted_commit && what.contains("/commit")
            };
            // Three of the four are more than two thirds, so one vote is not needed; the flag says what was voted for.
            let (signed, unharmed): (Vec<_>, Vec<_>) = unharmed
                .iter()
                .filter(|what| !immaterial(what))
                .partition(|what| what.starts_with("/signed_header/commit/signatures/"));
            let signers: BTreeSet<_> = signed.iter().filter_map(|what| what.split(['/', ' ']).nth(4)).collect();
            assert!(signers.len() <= 1, "{about}: {signed:?}");
            assert_eq!(unharmed, Vec::<&String>::new(), "{about}");
        }
    }
}

#[test]
fn no_byte_of_a_proof_can_be_another() {
    let tell = |stored: &Stored| super::merkle::plan(stored, &CALM.stored(45).1);
    for (height, truth) in [(45, Some(v2())), (39, None)] {
        let (stored, app_hash) = CALM.stored(height);
        assert_eq!(super::merkle::plan(&stored, &app_hash), Ok(truth.clone()));
        let whole = [&stored.value, &stored.steps[0].data, &stored.steps[1].data, &app_hash].map(Vec::len);
        for (part, length) in whole.into_iter().enumerate() {
            for place in 0..length {
                for mask in [1_u8, 0x80, 0xff] {
                    let (mut lie, mut hash) = (stored.clone(), app_hash.clone());
                    let bytes = match part {
                        0 => &mut lie.value,
                        3 => &mut hash,
                        step => &mut lie.steps[step - 1].data,
                    };
                    bytes[place] ^= mask;
                    let told = super::merkle::plan(&lie, &hash);
                    assert!(told.is_err() || told == Ok(truth.clone()), "{part} {place}: {told:?}");
                }
            }
        }
    }
    let (stored, _) = CALM.stored(45);
    for steps in [&stored.steps[..0], &stored.steps[..1], &[stored.steps[1].clone(), stored.steps[0].clone()]] {
        let lie = Stored { steps: steps.to_vec(), ..stored.clone() };
        assert!(tell(&lie).is_err());
    }
    assert!(tell(&Stored { value: Vec::new(), ..stored.clone() }).is_err(), "what is there cannot be hidden");
    assert!(tell(&CALM.stored(39).0).is_err());
}

#[tokio::test]
async fn it_is_proven_anew_where_something_new_is_said_or_the_proof_grows_old() {
    let liar = honest(&CALM).await;
    let asked = || liar.count("commit") + liar.count("validators") + liar.count("/store");
    let source = Source::Rpc(rpc(&liar.url));
    let plan = v2();
    let within = |max_age| {
        let chosen = Choice { point: Some(CALM.point(58)), period: DAY, max_age };
        Proving::new(Arc::new(Trust::new(chosen, None, false)))
    };
    let mut proving = within(Duration::from_hours(1));
    assert_eq!(proving.look(&source, 60, Some(&plan)).await.unwrap().unwrap().plan, Some(v2()));
    let first = asked();
    assert_eq!(proving.look(&source, 60, Some(&plan)).await, Ok(None), "it says what is proven");
    assert_eq!(asked(), first);
    assert!(proving.look(&source, 60, None).await.unwrap().is_some(), "it says something else");
    assert_eq!(asked(), first + 2);
    // The block before the last is a minute old.
    let mut proving = within(Duration::from_mins(1));
    for _ in 0..2 {
        assert!(proving.look(&source, 59, Some(&plan)).await.unwrap().is_some());
    }

    let silent = Liar::saying(404, b"").await;
    let source = Source::Rpc(rpc(&silent.url));
    let mut proving = within(Duration::from_hours(1));
    assert!(proving.look(&source, 60, Some(&plan)).await.is_err());
    let first = silent.asked.lock().unwrap().len();
    assert_eq!(proving.look(&source, 60, Some(&plan)).await, Ok(None), "it is left alone for a while");
    assert_eq!(silent.asked.lock().unwrap().len(), first);
}

/// Follows an endpoint that keeps silent about the plan; the news, one after the other.
fn followed(url: &Url, period: Duration) -> (mpsc::Receiver<Heard>, JoinSet<()>) {
    let (tell, heard) = mpsc::channel(64);
    let endpoints = list(None, &[url.to_string()], &[]).unwrap();
    let upgrade_of = |plan: Plan| {
        let folder = Folder::of(&plan.name, false).ok()?;
        Some(Upgrade { plan, folder, asks: Asks::Nothing { reason: String::new() } })
    };
    let trust = trusting_for(Some(CALM.point(5)), period, None);
    let (clients, attention) = (Clients::new().unwrap(), watch::channel(Attention::Relaxed).1);
    let mut tasks = JoinSet::new();
    tasks.spawn(poller::follow(endpoints, clients, trust, upgrade_of, attention, tell));
    (heard, tasks)
}

#[tokio::test]
async fn a_follower_hears_of_what_an_endpoint_hides_or_why_it_cannot_be_proven() {
    let liar = Liar::telling(|question, parameters| match question {
        "commit" | "validators" | "/store/upgrade/key" => wrapped(&CALM.answer(question, parameters)),
        _ => node(question, "forged-1", 60, ""),
    })
    .await;
    for (period, what) in [(DAY, "proven"), (Duration::from_mins(50), "longer ago than WATCHER_TRUST_PERIOD")] {
        let (mut heard, _tasks) = followed(&liar.url, period);
        let mut said = Vec::new();
        while !said.iter().any(|it: &String| it.contains(what)) {
            let limit = Duration::from_secs(20);
            let heard = tokio::time::timeout(limit, heard.recv()).await.expect("it is heard in time").unwrap();
            said.push(match heard.news {
                News::Scheduled { height, upgrade, .. } => format!("at {height} {upgrade:?} is claimed"),
                News::Proven { height, upgrade, .. } => format!("at {height} {} is proven", upgrade.unwrap().plan.name),
                News::Failed { reason, silent } => format!("{silent} {reason}"),
                _ => continue,
            });
        }
        assert_eq!(said[0], "at 60 None is claimed", "what it says counts all the same");
        assert!(said[1] == "at 59 v2 is proven" || said[1].starts_with("false http"), "{said:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_knows_nothing_of_proofs_is_named() {
    for (said, words) in [
        (r#"{"error":{"code":-32601,"message":"Method not found"}}"#, "does not serve the question"),
        (r#"{"result":{}}"#, "does not answer in the form"),
    ] {
        let liar = Liar::telling(move |_, _| text(said)).await;
        let fault = prove(&liar.url, &trusting(Some(CALM.point(5))), 60).await.unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}");
    }
    let liar = lying(&CALM, "/store/upgrade/key", |_, answer| {
        *answer =
            json!({"response": {"code": 18, "log": "proof is unexpectedly empty; ensure height has not been pruned"}});
    });
    let fault = prove(&liar.await.url, &trusting(Some(CALM.point(5))), 60).await.unwrap_err().to_string();
    assert!(fault.contains("pruned"), "{fault}");
    let liar = lying(&CALM, "/store/upgrade/key", |_, answer| {
        answer["response"]["proofOps"]["ops"][0]["type"] = "iavl:v".into();
    });
    let fault = prove(&liar.await.url, &trusting(Some(CALM.point(5))), 60).await.unwrap_err().to_string();
    assert!(fault.contains("unsupported"), "{fault}");
}
