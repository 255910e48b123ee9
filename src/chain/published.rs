//! Answers of nodes as others published them: each is read by the question it answers, and refused by the others.

use serde_json::{Value, json};

use super::{
    endpoints::{Clients, Source, list},
    fault::Cause,
    liar::{self, Liar},
};

#[tokio::test]
async fn every_answer_is_read_or_refused_with_the_reason() {
    let rows = include_str!("../../fixtures/answers/published.jsonl").lines();
    let mut right = 0;
    for row in rows.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (text, file) = (row["answer"].to_string(), &row["file"]);
        let liar = Liar::telling(move |question, _| match question {
            "header" => liar::json(r#"{"error":{"code":-32601,"message":"Method not found"}}"#),
            _ => liar::json(text.clone()),
        })
        .await;
        let url = [liar.url.to_string()];
        let endpoints = if row["rest"] == true { list(None, &[], &url) } else { list(None, &url, &[]) }.unwrap();
        let source = Clients::new().unwrap().open(&endpoints[0]);
        // What is no answer to a question is not taken for one, and the fault says what came instead.
        let refused = |cause: Cause| assert!(matches!(cause, Cause::Unreadable { .. }), "{file}: {cause}");
        match (source.latest().await, row.get("latest")) {
            (Ok(found), Some(expected)) => {
                assert_eq!(json!([found.chain_id, found.height, found.catching_up]), *expected, "{file}");
            }
            (Err(fault), None) => refused(fault.cause),
            (found, expected) => panic!("{file}: {found:?}, not {expected:?}"),
        }
        if let (Source::Rpc(rpc), Some(expected)) = (&source, row["committed"].as_u64()) {
            assert_eq!(rpc.abci_info().await, Ok(expected), "{file}");
        } else if let Some(expected) = row.get("plan") {
            let found = source.current_plan().await.unwrap().value;
            assert_eq!(json!(found.map(|plan| (plan.name, plan.height))), *expected, "{file}");
        } else {
            refused(source.current_plan().await.unwrap_err().cause);
        }
        if let Some(height) = row["answer"]["result"]["block"]["header"]["height"].as_str() {
            let time = row["answer"]["result"]["block"]["header"]["time"].as_str().unwrap();
            let time: jiff::Timestamp = time.parse().unwrap();
            let found = source.header_time(height.parse().unwrap()).await;
            assert_eq!(found, Ok(time.as_millisecond().try_into().unwrap()), "{file}");
        }
        right += 1;
    }
    assert_eq!(right, 15);
}
