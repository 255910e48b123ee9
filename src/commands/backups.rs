//! `watcher backups`: what there is, whether it is whole, and bringing it back or removing it by hand.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, bail};
use jiff::Zoned;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    cli::{BackupArgs, BackupCommand, Format},
    decide::{
        facts::{Current, NodeLock, RecordFact},
        plan::Plan,
    },
    exit::{Ending, Failure},
    home::{
        Home,
        backup::{self, Completion, Means, Reset, estimate, keep, restore, verify},
        current, lock, record,
    },
    persona::Persona,
    process::signals::Signals,
    supervisor::progress::of_copying,
};

/// Does what is said of backups.
///
/// # Errors
/// Where the configuration is wrong, there is no such backup, or the disk does not let it be done.
pub fn backups(file: Option<&Path>, args: BackupArgs) -> anyhow::Result<Ending> {
    let home = super::configured(Persona::Watcher, file)?.home;
    if let Some(flaw) = backup::flaw(&home) {
        tracing::warn!("{flaw}");
    }
    for away in backup::away(&home) {
        tracing::warn!("{}", backup::whereabouts(&home, &away));
    }
    let format = args.format;
    match args.command {
        BackupCommand::List { next } => list(&home, next, format),
        BackupCommand::Verify { name } => verified(&home, name.as_deref(), format),
        BackupCommand::Restore { name, yes } => restored(&home, name.as_deref(), yes, format),
        BackupCommand::Prune { names, force } => pruned(&home, &names, force, format),
    }
}

fn list(home: &Home, next: bool, format: Format) -> anyhow::Result<Ending> {
    let all = backup::all(home);
    // That the next one cannot be made is no reason to show none.
    let next = next.then(|| estimate::estimate(home, false, &AtomicBool::new(false))).transpose();
    let (next, failed) = next.map_or_else(|error| (None, Some(error)), |next| (next.flatten(), None));
    if format == Format::Json {
        let entry = |backup: &Completion| {
            json!({
                "name": name(backup), "path": backup.path,
                "plan": { "name": backup.plan.name, "height": backup.plan.height },
                "means": backup.means, "made": backup.made, "seconds": seconds(backup.milliseconds),
                "bytes_copied": backup.bytes, "bytes_shared": backup.shared, "bytes_pinned": keep::pinned(backup),
                "stays": stays(backup).1.map(|left| left.as_secs()),
            })
        };
        let next = next.map(|next| {
            json!({
                "place": next.place, "files": next.files, "bytes_to_copy": next.bytes, "bytes_shared": next.shared,
                "bytes_free": next.free, "seconds": next.time.as_secs_f64(),
            })
        });
        let all: Vec<_> = all.iter().map(entry).collect();
        let problem = failed.as_ref().map(ToString::to_string).or_else(|| backup::flaw(home));
        told(&json!({ "backups": all, "next": next, "problem": problem }))?;
        return failed.map_or(Ok(Ending::Fine), |error| Err(error.into()));
    }
    let mut text = String::new();
    if all.is_empty() {
        text.push_str("there is no backup\n");
    }
    for backup in &all {
        let (plan, path) = (&backup.plan, backup.path.display());
        let (copied, shared) = (Bytes(backup.bytes), Bytes(backup.shared));
        let _ = writeln!(text, "{}  before {:?} at height {}, {}", name(backup), plan.name, plan.height, backup.made);
        let _ = writeln!(text, "  at       {path}");
        let seconds = seconds(backup.milliseconds);
        let _ = writeln!(text, "  made     in {seconds} s: {copied} copied, {shared} shared with the node");
        let _ = writeln!(text, "  holds    {} that nothing else holds", Bytes(keep::pinned(backup)));
        let _ = writeln!(text, "  stays    {}", stays(backup).0);
    }
    if let Some(next) = next {
        let (place, copied, shared, free) =
            (next.place.display(), Bytes(next.bytes), Bytes(next.shared), Bytes(next.free));
        let (files, time) = (next.files, next.time.as_secs_f64());
        let _ = writeln!(
            text,
            "one made now  takes about {time:.2} s: {copied} to copy, {shared} to share, {files} files; {free} are free in {place}"
        );
    }
    say(&text)?;
    failed.map_or(Ok(Ending::Fine), |error| Err(error.into()))
}

fn verified(home: &Home, wanted: Option<&str>, format: Format) -> anyhow::Result<Ending> {
    let all = match wanted {
        Some(wanted) => vec![named(home, Some(wanted))?],
        // Whoever asks wants one: there being none is no good news.
        None => named(home, None).map(|_| backup::all(home))?,
    };
    let looked: Vec<_> = all.iter().map(|backup| (backup, verify::verify(backup))).collect();
    let whole = looked.iter().all(|(_, flaws)| flaws.is_empty());
    if format == Format::Json {
        let flaw = |flaw: &verify::Flaw| json!({ "path": flaw.path, "reason": flaw.reason });
        let entry = |(backup, flaws): &(&Completion, Vec<verify::Flaw>)| json!({ "name": name(backup), "whole": flaws.is_empty(), "flaws": flaws.iter().map(flaw).collect::<Vec<_>>() });
        told(&json!({ "backups": looked.iter().map(entry).collect::<Vec<_>>() }))?;
    } else {
        let mut text = String::new();
        for (backup, flaws) in &looked {
            let (name, plan) = (name(backup), &backup.plan);
            let verdict = if flaws.is_empty() {
                &format!("is whole: its {} files are there as they were", backup.files)
            } else {
                "is BROKEN, and no restore takes it:"
            };
            let _ = writeln!(text, "{name}, before {:?} at height {}, {verdict}", plan.name, plan.height);
            for flaw in flaws {
                let _ = writeln!(text, "  {}: {}", flaw.path.display(), flaw.reason);
            }
        }
        text += "Looked at: that each file is there, its size, and when it was changed last. What is in the files was not read.\n";
        say(&text)?;
    }
    Ok(if whole { Ending::Fine } else { Ending::Failed })
}

fn restored(home: &Home, wanted: Option<&str>, yes: bool, format: Format) -> anyhow::Result<Ending> {
    let backup = named(home, wanted)?;
    home.prepare()?;
    // Neither a node nor a watcher may start on data that change places.
    let alone = lock::supervise(home)?;
    if lock::node(home)? == NodeLock::Held {
        bail!("a node runs on {}: stop it first", home.path.display());
    }
    let reset = restore::reset(home, &backup);
    if !yes && !agreed(&backup, reset.as_ref())? {
        bail!("nothing is changed");
    }
    if let (true, Some(reset)) = (yes, &reset) {
        tracing::warn!("{reset}");
    }
    let done = unless_asked(home, &backup, alone)?;
    if format == Format::Json {
        let signed = done.signed.map(|(height, round, step)| json!({ "height": height, "round": round, "step": step }));
        let (name, was_reset) = (name(&backup), reset.is_some());
        return told(
            &json!({ "restored": name, "failed": done.failed, "signed": signed, "signing_was_reset": was_reset }),
        );
    }
    let mut text = format!("restored {}\n", name(&backup));
    for failed in &done.failed {
        let _ = writeln!(text, "  what was there is in {}", failed.display());
    }
    if let Some((height, round, step)) = done.signed {
        let says = if reset.is_some() { "signing state is the backup's:" } else { "validator last signed" };
        let _ = writeln!(text, "  the {says} height {height}, round {round}, step {step}; that is kept");
    }
    text += &which_version(home, &backup.plan);
    say(&text)
}

/// Restores, or stops where a signal asks for that before anything is changed. Afterwards it goes on to the end.
fn unless_asked(home: &Home, backup: &Completion, alone: lock::Supervisor) -> anyhow::Result<restore::Restored> {
    let interrupted = |reason: String| Failure { ending: Ending::Interrupted, reason };
    super::wait_for(async {
        let (mut signals, stop) = (Signals::listen()?, Arc::new(AtomicBool::new(false)));
        let (home, backup, stopped) = (home.clone(), backup.clone(), stop.clone());
        let progress = of_copying("bringing the data back");
        let at = home.clone();
        let mut work =
            spawn_blocking(move || match restore::restore(&at, &backup, &Zoned::now(), &stopped, &progress) {
                Err(stopped @ restore::RestoreError::Stopped) => {
                    restore::clear(&at, &alone).context("nothing is changed, and what was half made stays there")?;
                    Err(interrupted(stopped.to_string()).into())
                }
                done => Ok(done?),
            });
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done?,
                _ = signals.next() => {}
            }
            if stop.swap(true, Ordering::Relaxed) && !restore::is_pending(&home) {
                let reason =
                    "asked twice to stop: what the restore had made ready stays there until `watcher backups prune`";
                return Err(interrupted(reason.to_owned()).into());
            }
        }
    })
}

/// What is to be known where `current` is not what the data were made by: a restore by hand leaves it as it is.
fn which_version(home: &Home, plan: &Plan) -> String {
    let before = match record::read(home) {
        RecordFact::Present(record) if record.is_of(plan) => Some(record.from),
        _ => None,
    };
    let current = match current::read(home) {
        Current::Version(version) if before.as_ref() == Some(&version) => return String::new(),
        Current::Version(version) => version.to_string(),
        Current::Absent | Current::Broken { .. } => "what it is".to_owned(),
    };
    let of = before.map_or_else(|| format!("the version before {:?}", plan.name), |before| before.to_string());
    format!(
        "  cosmovisor/current stays {current}, and the data are of {of}: `watcher run` chooses that by what the node says at its \
         first start; or link it yourself\n"
    )
}

/// Says what will be done, and asks.
fn agreed(backup: &Completion, reset: Option<&Reset>) -> anyhow::Result<bool> {
    let mut text = format!("{} will be brought back to:\n", name(backup));
    for part in &backup.parts {
        let _ = writeln!(text, "  {}", part.live.display());
    }
    text.push_str("What is there is renamed and nothing is deleted. Keys and the signing state stay.\n");
    text.extend(reset.map(|reset| format!("But {reset}.\n")));
    say(&text)?;
    super::is_wanted()
}

fn pruned(home: &Home, names: &[String], force: bool, format: Format) -> anyhow::Result<Ending> {
    let mut left = Vec::new();
    let gone = if names.is_empty() {
        // While another works on the home, they may be its own.
        if !restore::left(home).is_empty()
            && let Ok(alone) = lock::supervise(home)
        {
            left = restore::clear(home, &alone)?;
        }
        keep::prune(home)?
    } else {
        let away = backup::away(home);
        let lost = |wanted: &String| away.iter().find(|backup| is_meant(backup, wanted)).cloned();
        let gone = names.iter().map(|wanted| lost(wanted).map_or_else(|| named(home, Some(wanted)), Ok));
        let gone = gone.collect::<Result<Vec<_>, _>>()?;
        let (all, record) = (backup::all(home), record::read(home));
        let another = |plan: &Plan| all.iter().any(|other| other.plan == *plan && !gone.contains(other));
        let needed = |backup: &&Completion| !keep::has_passed(&record, &backup.plan) && !another(&backup.plan);
        if let Some(only) = gone.iter().find(needed).filter(|_| !force) {
            let (name, plan) = (name(only), &only.plan.name);
            bail!(
                "{name} is the only way back from upgrade {plan:?}, which has not passed: nothing is removed without --force"
            );
        }
        gone.iter().try_for_each(|backup| keep::remove(home, backup))?;
        gone
    };
    let removed: Vec<_> = gone.iter().map(name).chain(left.iter().map(|path| path.display().to_string())).collect();
    if format == Format::Json {
        return told(&json!({ "removed": removed }));
    }
    match removed.join(", ") {
        names if names.is_empty() => say("nothing is to be removed\n"),
        names => say(&format!("removed: {names}\n")),
    }
}

/// A backup by its name, or the newest.
fn named(home: &Home, wanted: Option<&str>) -> anyhow::Result<Completion> {
    let mut all = backup::all(home);
    let names = all.iter().map(name).collect::<Vec<_>>().join(", ");
    let place = all.iter().rposition(|backup| wanted.is_none_or(|wanted| is_meant(backup, wanted)));
    match (place, wanted) {
        (Some(place), _) => Ok(all.swap_remove(place)),
        (None, None) => bail!("there is no backup"),
        (None, Some(wanted)) if names.is_empty() => bail!("there is no backup {wanted}, and no other"),
        (None, Some(wanted)) => bail!("there is no backup {wanted}; there are: {names}"),
    }
}

/// Whether a backup is meant by its name, or by its path as `list` prints it; shells put a slash behind either.
fn is_meant(backup: &Completion, wanted: &str) -> bool {
    Path::new(wanted) == backup.path || Path::new(wanted) == Path::new(&name(backup))
}

/// How long a backup stays, in words, and the time where it is known.
fn stays(backup: &Completion) -> (String, Option<std::time::Duration>) {
    if backup.means == Means::Copy {
        return ("until you remove it".to_owned(), None);
    }
    let left = backup.health.left();
    let hours = left.as_secs().div_ceil(3_600);
    (format!("until its upgrade has passed and blocks were made for {hours} h more, or space gets short"), Some(left))
}

fn name(backup: &Completion) -> String {
    backup.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

/// An amount for people.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match UNITS.iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => write!(f, "{}.{} {unit}", self.0 / size, self.0 % size * 10 / size),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

fn told(value: &Value) -> anyhow::Result<Ending> {
    say(&format!("{value:#}\n"))
}

fn say(text: &str) -> anyhow::Result<Ending> {
    super::say(Persona::Watcher, text)?;
    Ok(Ending::Fine)
}
