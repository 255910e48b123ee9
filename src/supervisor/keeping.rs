//! Looks from time to time how the node does, so that a checkpoint goes once nobody can need it any more.

use std::time::Duration;

use crate::{
    chain::own_node::OwnNode,
    home::{Home, backup::keep},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_mins(10);

/// Looks without end.
pub(super) async fn look(home: Home, own_node: OwnNode) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(height) = own_node.ask().await.committed else { continue };
        let (home, now) = (home.clone(), super::wall_clock() / 1_000);
        match tokio::task::spawn_blocking(move || keep::look(&home, now, height)).await {
            Ok(Ok(dropped)) => dropped.iter().for_each(|backup| {
                tracing::info!(path = %backup.path.display(), "dropped a checkpoint: its upgrade has passed and blocks are made");
            }),
            Ok(Err(error)) => tracing::warn!(%error, "checkpoints that are not needed stay"),
            Err(error) => tracing::warn!(%error, "a defect in watcher"),
        }
    }
}
