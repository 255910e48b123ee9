//! Stories of `watcher run`, each told from outside: a home of its own whose node is a shell script, the program as its
//! operator starts it, and then what the node was asked, what lies on the disk and what the log says.

#[path = "support/census.rs"]
mod census;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/say.rs"]
mod say;
#[path = "support/supervisor.rs"]
mod supervisor;
#[path = "support/wait.rs"]
mod wait;

#[path = "run/home.rs"]
mod home;
#[path = "run/server.rs"]
mod server;

#[path = "run/downloads.rs"]
mod downloads;
#[path = "run/dry_run.rs"]
mod dry_run;
#[path = "run/failing.rs"]
mod failing;
#[path = "run/halts.rs"]
mod halts;
#[path = "run/orders.rs"]
mod orders;
#[path = "run/passing_on.rs"]
mod passing_on;
#[path = "run/restored.rs"]
mod restored;
#[path = "run/signals.rs"]
mod signals;
#[path = "run/starting.rs"]
mod starting;
#[path = "run/stray.rs"]
mod stray;
#[path = "run/swap.rs"]
mod swap;
#[path = "run/taken_over.rs"]
mod taken_over;
#[path = "run/wishes.rs"]
mod wishes;
