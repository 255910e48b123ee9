//! `watcher upcoming` and `watcher run --dry-run`, as the person or the script at the terminal meets them.

#[path = "upcoming/agreement.rs"]
mod agreement;
#[path = "upcoming/dry_run.rs"]
mod dry_run;
#[path = "upcoming/endpoints.rs"]
mod endpoints;
#[path = "upcoming/hostile.rs"]
mod hostile;
#[path = "upcoming/list.rs"]
mod list;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "who heard what matters in other tests")]
mod sim_network;
#[path = "upcoming/world.rs"]
mod world;
