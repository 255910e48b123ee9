//! `watcher rollback` and `watcher resume`: the operator's word on an upgrade. It is a file in the home, which the running
//! `watcher` obeys, or the next one.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::tell;
use crate::{
    cli::RollbackArgs,
    config::Config,
    decide::{
        facts::{FailureState, Record, RecordFact, Verdict},
        orders::Ruling,
    },
    exit::Ending,
    home::{backup, observe, orders, record, upgrade_info},
    persona::Persona,
};

/// Orders that the last upgrade is taken back.
///
/// # Errors
/// Where the configuration is wrong, there is nothing to take back or nothing to go back to, nobody can be asked, or the home
/// cannot be written.
pub fn rollback(file: Option<&Path>, args: &RollbackArgs) -> anyhow::Result<Ending> {
    let config = super::configured(Persona::Watcher, file)?;
    let record = last_upgrade(&config)?;
    let (home, name) = (&config.home, &record.plan.name);
    // Also where no more backups are wanted.
    let Some(backup) = backup::of(home, &record.plan).filter(|_| !record.outdated) else {
        let away = backup::away(home).into_iter().rfind(|away| record.is_of(&away.plan) && !record.outdated);
        let remedy = away.map(|away| backup::whereabouts(home, &away));
        bail!(
            "there is no complete backup of before upgrade {name:?} to go back to: {}; else the way on is another binary (`watcher \
             replace`) or, where it has failed, `watcher resume`",
            remedy.as_deref().unwrap_or("mount its disk where it has one of its own")
        );
    };
    if !upgrade_info::read(home).is_some_and(|plan| record.is_of(&plan)) {
        bail!(
            "{} does not name upgrade {name:?} any more, and nobody can tell that these are its data; its backup is there: stop \
             the node, and `watcher backups restore {}` brings it back",
            home.upgrade_info().display(),
            backup.path.file_name().unwrap_or_default().display()
        );
    }
    if record.failure.as_ref().is_some_and(|failure| failure.state == FailureState::RolledBack) {
        bail!("upgrade {name:?} is taken back already; `watcher resume` has it go on");
    }
    if let Some(why) = observe::no_version_before(home, &record) {
        bail!("upgrade {name:?} is not taken back: {why}");
    }
    // The node is stopped for it, so that what could be brought back is looked at before.
    let flaws = backup::verify::verify(&backup);
    if let Some(flaw) = flaws.first() {
        bail!(
            "the backup of before upgrade {name:?} is not what it was, and nothing is taken back: {}: {} (`watcher backups \
             verify` tells all)",
            flaw.path.display(),
            flaw.reason
        );
    }
    let mut told = format!(
        "upgrade {name:?} at height {} is taken back: the node is stopped, data and configuration come back from the backup \
         that was made before it, and cosmovisor/current points at {} again. What is there now is kept beside it under \
         another name, the signer's state stays the higher one, and no node is started until `watcher resume`.\n",
        record.plan.height, record.from
    );
    let signed = observe::signed_height(home).ok().flatten().is_some_and(|height| height > record.plan.height);
    if record.verdict != Verdict::Pending || signed {
        told += "Its height is committed: every block since then has to be fetched and executed once more.\n";
    }
    told.extend(backup::restore::reset(home, &backup).map(|reset| format!("But {reset}.\n")));
    super::say(Persona::Watcher, told)?;
    if !args.yes && !super::is_wanted()? {
        bail!("nothing was done");
    }
    orders::write_ruling(home, Some(Ruling::Rollback)).with_context(|| cannot_write(&config))?;
    tell(
        "ordered: a running `watcher` does it now, else the next one does when it is started, unless `watcher resume` withdraws it",
    )
}

/// Orders that an upgrade that failed goes on.
///
/// # Errors
/// Where the configuration is wrong, none has failed, or the home cannot be written.
pub fn resume(file: Option<&Path>) -> anyhow::Result<Ending> {
    let config = super::configured(Persona::Watcher, file)?;
    let record = last_upgrade(&config)?;
    let name = &record.plan.name;
    let withdraws = record.failure.is_none() && orders::read(&config.home).ruling == Some(Ruling::Rollback);
    if withdraws {
        orders::write_ruling(&config.home, None).with_context(|| cannot_write(&config))?;
        return tell(&format!("the order to take upgrade {name:?} back is withdrawn"));
    }
    let Some(failure) = &record.failure else { bail!("upgrade {name:?} has not failed: there is nothing to resume") };
    orders::write_ruling(&config.home, Some(Ruling::Resume)).with_context(|| cannot_write(&config))?;
    tell(&format!("upgrade {name:?} goes on, which failed before: {}", failure.reason))
}

fn last_upgrade(config: &Config) -> anyhow::Result<Record> {
    match record::read(&config.home) {
        RecordFact::Present(record) if record.plan.height > 0 => Ok(record),
        RecordFact::Unreadable => bail!("{} cannot be understood", config.home.record().display()),
        RecordFact::Present(_) | RecordFact::Absent => bail!("no upgrade was carried out here"),
    }
}

fn cannot_write(config: &Config) -> String {
    format!("cannot write in {}", config.home.own().display())
}
