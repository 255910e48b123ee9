//! Which plans are looked at, and how far each of them got.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Found, Wanted, chain::Chain};
use crate::{
    chain::{proposals::drafted, survey::SCHEDULED},
    commands::{
        findings::Findings,
        upcoming::{Entry, EtaTimes, Moment, State, text},
    },
    decide::{agreement::Belief, event::Action, plan::Plan},
    home::upgrade_info,
};

const REFUSED: &str = "correct the draft: the chain refuses such a plan";

/// A plan that is looked at.
pub(super) struct Subject {
    pub(super) plan: Plan,
    /// How far it got; none where it is not on the chain yet.
    pub(super) state: Option<State>,
    pub(super) voting_end: Option<Moment>,
    pub(super) eta: Option<EtaTimes>,
    belief: Belief,
    disputed: bool,
    proposal: Option<u64>,
}

impl Subject {
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.state, Some(State::Scheduled | State::Staged))
    }

    /// Whether it may lead into the operator's own network: the chain has decided on it, and nobody denies that.
    pub(super) fn is_trusted(&self) -> bool {
        self.is_scheduled() && !self.disputed
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        if self.plan.name.is_empty() { "the plan".to_owned() } else { text::name(&self.plan.name) }
    }

    /// What is said of it at the head of the report.
    pub(super) fn shown(&self, chain: Option<&Chain>) -> String {
        let height = if self.plan.height > 0 { format!(" at height {}", self.plan.height) } else { String::new() };
        let chain = chain.map(|chain| format!(" on {}", text::name(&chain.list.chain_id))).unwrap_or_default();
        let by = self.proposal.map(|id| format!(" (proposal {id})")).unwrap_or_default();
        let state = match self.state {
            None => "not proposed yet",
            Some(State::Deposit) => "in deposit",
            Some(State::Voting) => "voted on",
            Some(State::Passed) => "passed",
            Some(State::Scheduled | State::Staged) => "scheduled",
        };
        let belief = if self.is_scheduled() { format!(", {}", self.belief) } else { String::new() };
        format!("{}{height}{chain}: {state}{by}{belief}", self.name())
    }

    fn of(entry: &Entry, chain: &Chain) -> Self {
        let plan = Plan { name: entry.name.clone(), height: entry.height, info: entry.info.clone() };
        Self {
            disputed: chain.is_disputed(&plan),
            plan,
            belief: entry.belief,
            state: Some(entry.state),
            voting_end: entry.voting_end_time,
            eta: entry.eta.clone(),
            proposal: entry.proposal_id,
        }
    }

    fn draft(plan: Plan) -> Self {
        let belief = Belief::Claimed;
        Self { plan, state: None, voting_end: None, eta: None, belief, disputed: false, proposal: None }
    }
}

/// The text of a file, or of stdin.
pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    const LARGEST: u64 = 4 << 20;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    let length = read.with_context(|| format!("--info-file {}", path.display()))?;
    if length as u64 > LARGEST {
        bail!("--info-file {} has more than {LARGEST} bytes, which no chain takes", path.display());
    }
    Ok(text)
}

/// The plans that are asked about.
///
/// # Errors
/// Where the text that was given cannot be a plan.
pub(super) fn subjects(wanted: &Wanted<'_>, chain: Option<&Chain>, found: &mut Found) -> anyhow::Result<Vec<Subject>> {
    if let Some(text) = &wanted.info {
        let info = text.strip_prefix('\u{feff}').unwrap_or(text);
        if info.len() < text.len() {
            let help = "save it as UTF-8 without one";
            let message = "--info-file begins with a byte order mark (U+FEFF), which neither the chain nor nodes take";
            found.findings.error("plan-invalid", message, help);
        }
        return drafts(wanted, info, &mut found.findings);
    }
    let args = wanted.args;
    let Some(chain) = chain else { return Ok(Vec::new()) };
    let is_meant = |entry: &&Entry| {
        args.name.as_ref().is_none_or(|name| *name == entry.name) && args.height.is_none_or(|it| it == entry.height)
    };
    let mut subjects = Vec::new();
    let meant: Vec<&Entry> = chain.list.upgrades.iter().filter(is_meant).collect();
    for entry in &meant {
        let shown = Subject::of(entry, chain).shown(None);
        match entry.state {
            // Whoever pays a few coins must not turn anybody's check red, or have it fetch something.
            State::Deposit if args.name.is_none() => {
                let message = format!("not looked at: {shown}");
                found.findings.note("proposal-in-deposit", message, "name it with --name to have it looked at");
            }
            State::Passed if !chain.list.unanswered.contains(&SCHEDULED) => {
                let message = format!("not looked at: {shown}, and {}", entry.problem.as_deref().unwrap_or_default());
                found.findings.note("plan-superseded", message, "");
            }
            _ => subjects.push(Subject::of(entry, chain)),
        }
    }
    let filtered = args.name.is_some() || args.height.is_some();
    let superseded = || meant.iter().any(|entry| entry.state == State::Passed);
    let none = meant.is_empty() || filtered && subjects.is_empty() && superseded();
    if none && chain.list.unanswered.is_empty() {
        if filtered {
            let help = "correct --name and --height, or look at what `watcher upcoming` shows";
            found.findings.error("plan-missing", "no such upgrade is coming on this chain", help);
        } else {
            found.findings.note("nothing-coming", "no upgrade is coming on this chain", "");
        }
    }
    Ok(subjects)
}

/// What x/upgrade refuses in a plan (`Plan.ValidateBasic`), and what it lets pass that cannot be meant.
fn would_be_refused(text: &str, findings: &mut Findings) {
    let draft: Value = serde_json::from_str(text).unwrap_or_default();
    let mut plans = Vec::new();
    collect(&draft, &mut plans);
    for plan in &plans {
        if let Err(error) = upgrade_info::parse(plan.to_string().as_bytes()) {
            findings.error("plan-invalid", format!("a plan that the chain refuses: {error}"), REFUSED);
        }
        if plan.get("upgraded_client_state").is_some_and(|state| !state.is_null() && state != "") {
            let message = "a plan with upgraded_client_state, which the SDK has not taken since 0.43";
            findings.error("plan-invalid", message, REFUSED);
        }
    }
    if plans.len() > 1 {
        let message =
            format!("{} plans in one draft: each replaces the one before, and the last one stays", plans.len());
        findings.error("plan-invalid", message, "leave one in it");
    }
}

/// The plans of the messages and contents that schedule an upgrade, wherever they are.
fn collect<'a>(value: &'a Value, plans: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            let schedules = fields.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.contains("Upgrade"));
            plans.extend(fields.get("plan").filter(|_| schedules));
            fields.values().for_each(|inner| collect(inner, plans));
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, plans)),
        _ => {}
    }
}

/// The plans in a text: those of a proposal's draft, one that was written by a node, or an info by itself.
fn drafts(wanted: &Wanted<'_>, text: &str, findings: &mut Findings) -> anyhow::Result<Vec<Subject>> {
    let args = wanted.args;
    let mut plans = Vec::new();
    if let Some(actions) = drafted(text) {
        let scheduled = |action| if let Action::Schedule(plan) = action { Some(plan) } else { None };
        plans.extend(actions.into_iter().filter_map(scheduled));
        let before = findings.0.len();
        would_be_refused(text, findings);
        if plans.is_empty() && findings.0.len() == before {
            bail!(
                "--info-file is a proposal or transaction in which no message schedules an upgrade by name and height"
            );
        }
    } else {
        let field = |name| serde_json::from_str::<Value>(text).is_ok_and(|value| value.get(name).is_some());
        match upgrade_info::parse(text.as_bytes()) {
            Ok(plan) if !field("binaries") => plans.push(plan),
            Err(error) if field("height") && !field("binaries") => {
                findings.error("plan-invalid", format!("a plan that the chain refuses: {error}"), REFUSED);
            }
            _ => plans.push(Plan { name: String::new(), height: 0, info: text.to_owned() }),
        }
    }
    for plan in &mut plans {
        plan.name = args.name.clone().unwrap_or_else(|| plan.name.clone());
        plan.height = args.height.unwrap_or(plan.height);
    }
    Ok(plans.into_iter().map(Subject::draft).collect())
}
