//! What goes on, in one line.

use alloc::{
    format,
    string::{String, ToString},
};

use super::{
    super::{
        decision::HomeJob,
        facts::{Facts, Record, RecordFact, Staged},
        run::Run,
    },
    Core,
    absorb::name_of,
    pending,
};

impl Core {
    /// What goes on, in one line for people: what runs, and what comes next or is under way.
    #[must_use]
    pub fn status(&self, facts: &Facts) -> String {
        let runs = match &self.run {
            Run::Alive(life) => match life.height() {
                Some(height) => format!("{} runs at height {height}", life.version),
                None => format!("{} runs", life.version),
            },
            Run::Never | Run::Ended { .. } => String::from("no node runs"),
        };
        let job = self.home.job().filter(|job| !matches!(job, HomeJob::Ask | HomeJob::Greet));
        let what = if let RecordFact::Present(Record { plan, failure: Some(failure), .. }) = &facts.record {
            format!("upgrade {} at {} failed: {}", plan.name, plan.height, failure.state)
        } else if let Some(upgrade) = pending(facts) {
            let doing = match &self.stands_still {
                Some(failed) => failed,
                None if self.runs_new(facts) => "waiting until its height is committed",
                None => job.map_or("waiting", name_of),
            };
            format!("upgrade {} at {}: {doing}", upgrade.plan.name, upgrade.plan.height)
        } else if let Some(next) = self.knowledge.scheduled().into_iter().find(|next| self.is_ahead(next, facts)) {
            let staged = !matches!(facts.staged.get(&next.folder), None | Some(Staged::None | Staged::Arriving));
            let staged = if staged { "its binary is there" } else { "its binary is NOT there" };
            format!("next upgrade {} at {}, {staged}", next.plan.name, next.plan.height)
        } else {
            match (job, &self.run) {
                (Some(job), _) => name_of(job).to_string(),
                (None, Run::Ended { exit, .. }) => format!("it ended with {exit}"),
                (None, _) if self.knowledge.knows_the_schedule() => String::from("no upgrade is scheduled"),
                (None, _) => String::from("what is scheduled is not known"),
            }
        };
        format!("{runs}; {what}")
    }
}
