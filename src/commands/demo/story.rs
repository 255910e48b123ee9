//! The chapters: each waits until something can be seen, and breaks the story off where it does not happen in time.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};

use super::{
    DAEMON, Host, NODE_LOG,
    eyes::Eyes,
    narrator::{Narrator, say},
};
use crate::home::Home;

/// How often the chain is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// How long each chapter may take: a loaded machine is slow, and a demo that hangs tells nothing.
const CHAPTER: Duration = Duration::from_secs(30);

/// Tells the story until the new binary makes blocks. The host is opened where the story comes to it, so that the
/// download's bar stands below the words that announce it.
pub(super) async fn tell(eyes: &Eyes, narrator: &Narrator, host: Host) -> anyhow::Result<()> {
    let (name, height) = (&eyes.plan.name, eyes.plan.height);
    let home = eyes.home.path.display();
    say(&format!("An upgrade of an embedded chain, carried by `watcher run`. Home: {home}\n"))?;

    let (version, at) =
        until("the node makes blocks", async || eyes.committed().await.filter(|(_, at)| *at > 1)).await?;
    narrator.tell("The chain runs", &format!("{DAEMON} {version} makes blocks; height {at}."))?;

    let proposal = until("a proposal is voted on", async || eyes.voting().await).await?;
    let title = proposal["title"].as_str().unwrap_or_default();
    let id = proposal["id"].as_str().unwrap_or_default();
    narrator.tell("A vote", &format!("Proposal {id}, {title:?}, at height {height}: the voting period runs."))?;

    let (height, at) = until("the proposal passes", async || eyes.scheduled().await).await?;
    let left = height.saturating_sub(at);
    let text = format!("The plan {name} is scheduled, {left} blocks from now. `watcher` fetches its binary:");
    narrator.tell("Passed", &text)?;

    host.open();
    let (size, at) = until("the binary is staged", async || eyes.staged().await).await?;
    let left = height.saturating_sub(at);
    let text = format!("{} MB verified and in place, {left} blocks before the height.", size / 1_000_000);
    narrator.tell("Staged", &text)?;

    let halted = until("the node halts", async || eyes.halted()).await?;
    let text = format!("{DAEMON} {version} cannot apply {name} at height {height}: it wrote upgrade-info.json.");
    narrator.tell("The halt", &text)?;

    let began = until("the next binary starts", async || eyes.began().filter(|began| *began > halted)).await?;
    let took = began.saturating_sub(halted).as_millis();
    narrator.tell("The swap", &format!("Stopped, backed up, switched, started: {took} ms after the halt."))?;

    let goes_on = async || eyes.committed().await.filter(|(version, at)| version == name && *at > height);
    let (version, at) = until("the next binary makes blocks", goes_on).await?;
    narrator.tell("Blocks again", &format!("{DAEMON} {version} has committed height {at}."))?;
    Ok(())
}

/// What is left to look at.
pub(super) fn epilogue(home: &Home) -> anyhow::Result<()> {
    let current = fs::read_link(home.current()).context("cosmovisor/current is no link")?;
    let backup = fs::read_dir(&home.path)?.filter_map(Result::ok).map(|entry| entry.file_name().into_string());
    let Some(backup) = backup.filter_map(Result::ok).find(|name| name.starts_with("data-backup")) else {
        bail!("there is no backup of data in {}", home.path.display());
    };
    let path = home.path.display();
    say(&format!("\nEverything is stopped. The home is left for a look:\n  {path}"))?;
    say(&format!("  cosmovisor/current       -> {}", current.display()))?;
    say(&format!("  {backup:<24} the data as the old binary left it"))?;
    say(&format!("  {NODE_LOG:<24} what the node logged: search it for UPGRADE"))?;
    Ok(())
}

async fn until<T>(what: &str, mut seen: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    let look = async {
        loop {
            if let Some(found) = seen().await {
                return found;
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    let found = tokio::time::timeout(CHAPTER, look).await;
    found.map_err(|_| anyhow::anyhow!("{what}: this did not happen within {} s", CHAPTER.as_secs()))
}
