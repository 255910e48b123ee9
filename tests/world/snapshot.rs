//! Data that come from elsewhere, and what whoever brings them has to do beside that.

use watcher::decide::{
    facts::{Origin, Record, Verdict, Version},
    plan::Folder,
    settings::OnFailure,
};

use super::{
    chain::folder,
    disk::{Binary, Content, Place},
    history::Carries,
    machine::World,
    node::Data,
};

impl World {
    /// The data are those of so many blocks after the network's last upgrade, or before it.
    pub fn snapshot(&mut self, after: i8, carries: Carries) {
        // Nobody does that in the middle of an upgrade, or to a node that runs.
        let under_way = |world: &Self| world.disk.record().is_some_and(|record| record.verdict == Verdict::Pending);
        if !self.past.named.is_empty() || under_way(self) {
            return;
        }
        if !self.stands_still() || under_way(self) {
            return;
        }
        let last = self.chain.applied.last().map_or(self.chain.height, |plan| plan.height);
        let height = last.saturating_add_signed(after.into()).clamp(10, self.chain.height);
        let mut passed = self.chain.applied.iter().rev().filter(|plan| plan.height <= height);
        let plan = match carries {
            Carries::Nothing => None,
            Carries::Last => passed.next(),
            Carries::Earlier => passed.nth(1),
        };
        match plan.cloned() {
            Some(plan) => self.disk.write_info(Content::Plan(plan), Origin::Node),
            None => self.disk.change(Place::Info, |home| home.info = None),
        }
        self.disk.sync(&Place::Info);
        self.data = Data { committed: height, block: height, identity: None, ..self.data };
        self.makes_databases();
        self.past.restored = true;
    }

    /// As the node's own `rollback` does: the file stays, and says that its height has come.
    pub fn set_back(&mut self, blocks: u8) {
        let at_its_height = |world: &Self| {
            let under_way = |record: &&Record| record.verdict == Verdict::Pending && record.failure.is_none();
            world.disk.record().filter(under_way).is_some_and(|record| world.data.committed + 1 == record.plan.height)
        };
        // Nobody listens to a node whose end is its operator's.
        let heard = self.setup.on_failure != OnFailure::Leave && self.past.named.is_empty();
        if !heard || !at_its_height(self) {
            return;
        }
        if !self.stands_still() || !at_its_height(self) {
            return;
        }
        let height = self.data.committed + 1;
        // A binary that comes before its plan is scheduled does not say that it is too new.
        let is_scheduled = |at: &u64| self.chain.scheduled_at(*at).is_some_and(|plan| plan.height == height);
        let before = (1..=u64::from(blocks)).map(|blocks| height - 1 - blocks).take_while(is_scheduled).last();
        let Some(before) = before else { return };
        self.data = Data { committed: before, block: before, ..self.data };
        self.past.set_back = Some(height);
    }

    /// Stops everything, and tells whether it stopped.
    fn stands_still(&mut self) -> bool {
        self.asks_to_stop();
        self.step_until(|world| world.watcher.is_none() && world.process.is_none())
    }

    /// Whoever brings data from elsewhere has the version that they need, and can link it.
    pub fn operator_links(&mut self) {
        let number = self.chain.version_at(self.data.committed);
        let Some(plan) = number.checked_sub(1).and_then(|at| self.chain.applied.get(at)) else {
            return self.point(&Version::Genesis);
        };
        let folder = folder(&plan.name);
        self.operator_builds(&folder);
        self.point(&Version::Upgrade(folder));
    }

    /// They are past an upgrade whose binary never came, and `watcher` asks for it.
    pub fn operator_places_what_is_asked_for(&mut self) {
        let asked_for = self.disk.plan().filter(|plan| self.past.restored && plan.height <= self.data.committed);
        if let Some(folder) = asked_for.map(|plan| folder(&plan.name)) {
            self.operator_builds(&folder);
        }
    }

    /// A build of the operator is where there is none.
    pub fn operator_builds(&mut self, folder: &Folder) {
        if self.disk.staged(folder).is_none() {
            let file = self.disk.create(None);
            self.disk.stage(folder.clone(), Binary { file, receipt: None });
        }
    }
}
