//! A node that does nothing but write down when it began, and is gone at the first SIGTERM. `swap.rs` has rustc make a static
//! binary of it, so that what is measured is the supervisor and not the dynamic linker.

use std::{env, fs::File, io::Write as _, thread, time::SystemTime};

fn main() {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
    match env::args().nth(1).as_deref() {
        Some("start") => {
            let home = env::var("DAEMON_HOME").expect("a supervisor sets it");
            let mut log = File::options().create(true).append(true).open(home + "/starts").expect("the home can be written");
            log.write_all(format!("{began}\n").as_bytes()).expect("the home can be written");
            loop {
                thread::park();
            }
        }
        Some("status") => println!(r#"{{"sync_info":{{"latest_block_height":"1000000000"}}}}"#),
        _ => {}
    }
}
