//! `watcher run` follows a chain: what is scheduled is staged before its height, what moves is followed, and nobody talks it
//! into anything. The chain's blocks and the release host's answers are the test's own doing; the node is a script.

#[path = "follow/host.rs"]
mod host;
#[path = "follow/liars.rs"]
mod liars;
#[path = "follow/measure.rs"]
mod measure;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/own_name.rs"]
mod own_name;
#[path = "follow/quorum.rs"]
mod quorum;
#[path = "follow/reminders.rs"]
mod reminders;
#[path = "support/say.rs"]
mod say;
#[path = "follow/secrets.rs"]
mod secrets;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "REST is asked in other tests")]
mod sim_network;
#[path = "follow/staging.rs"]
mod staging;
#[path = "support/supervisor.rs"]
mod supervisor;
#[path = "follow/transfers.rs"]
mod transfers;
#[path = "follow/votes.rs"]
mod votes;
#[path = "support/wait.rs"]
mod wait;
#[path = "follow/world.rs"]
mod world;
