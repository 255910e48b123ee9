//! `data/upgrade-info.json`: what x/upgrade writes at a halt. Read as Go's JSON decoder would read it, and a little more
//! kindly: keys in any case, unknown keys ignored, a height as number or string.

use serde_json::Value;
use std::{
    fmt, fs,
    io::{self, Read as _},
};

use super::{Home, SMALL, read_small, sync_folder, unless_missing, write_with_mode};
use crate::{decide::plan::Plan, json::member};

/// The file's name.
pub const FILE: &str = "upgrade-info.json";
/// No plan is longer than this; a longer file is not read into memory.
pub const LONGEST: u64 = 1 << 20;

/// Why the content is no plan. The texts name the value and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPlan(String);

impl fmt::Display for NotAPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a file with these permissions is an operator's. A node writes it 0600 or 0644; cosmovisor's `add-upgrade` leaves it
/// executable. A node that writes into that one leaves it so as well: where the plan has an info, it is the chain's.
#[must_use]
pub const fn is_by_hand(mode: u32) -> bool {
    mode & BY_HAND != 0
}

const BY_HAND: u32 = 0o111;

/// Has the file in which an operator named a plan be a node's again once that plan has passed.
///
/// # Errors
/// As the file system gives them.
pub fn give_back(home: &Home, plan: &Plan) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    // Another file may take its place meanwhile.
    let Some(file) = unless_missing(fs::File::open(home.upgrade_info()))? else { return Ok(()) };
    let meta = file.metadata()?;
    let mode = meta.permissions().mode();
    let mut content = Vec::new();
    (&file).take(LONGEST).read_to_end(&mut content)?;
    let is_it = parse(&content).is_ok_and(|named| named.is_alike(plan));
    if is_it && is_by_hand(mode) {
        let mode = mode & 0o666;
        let strange = meta.uid() != fs::metadata(home.data())?.uid();
        // The node could not write its next plan into a file of root's.
        if strange || file.set_permissions(fs::Permissions::from_mode(mode)).is_err() {
            write_with_mode(&home.upgrade_info(), &mut content.as_slice(), mode, false)?;
        }
    }
    Ok(())
}

/// The plan in a home's file, where there is one that can be understood.
#[must_use]
pub fn read(home: &Home) -> Option<Plan> {
    parse(&read_small(&home.upgrade_info(), SMALL).ok()?).ok()
}

/// Makes the file outlive a power cut as it is: its node does not.
///
/// # Errors
/// As the file system gives them, also where there is no such file.
pub fn sync(home: &Home) -> io::Result<()> {
    fs::File::open(home.upgrade_info())?.sync_all()?;
    sync_folder(&home.data())
}

/// Reads a plan. The rules are those of the SDK's `Plan.ValidateBasic`: a name, a height above 0, no time.
///
/// # Errors
/// [`NotAPlan`], also for content that is only half there.
pub fn parse(bytes: &[u8]) -> Result<Plan, NotAPlan> {
    if bytes.is_empty() {
        return Err(NotAPlan(String::from("it is empty; is it half written?")));
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| NotAPlan(format!("{error}; is it half written? It starts with {:?}", beginning(bytes))))?;
    let Value::Object(object) = value else {
        return Err(NotAPlan(format!("it is not a JSON object but {:?}", beginning(bytes))));
    };
    let name = match member(&object, "name") {
        Some(Value::String(name)) if !name.is_empty() => name.clone(),
        other => return Err(NotAPlan(format!("its name is {}, and must be a text that is not empty", shown(other)))),
    };
    let height = match member(&object, "height") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let Some(height) = height.filter(|height| (1..=i64::MAX.cast_unsigned()).contains(height)) else {
        let height = shown(member(&object, "height"));
        return Err(NotAPlan(format!("its height is {height}, and must be a number greater than 0")));
    };
    match member(&object, "time") {
        None | Some(Value::Null) => {}
        Some(Value::String(time)) if time.is_empty() || time.starts_with("0001-01-01T00:00:00") => {}
        other => return Err(NotAPlan(format!("its time is {}; upgrades by time do not exist any more", shown(other)))),
    }
    let info = match member(&object, "info") {
        Some(Value::String(info)) => info.clone(),
        None | Some(Value::Null) => String::new(),
        other => return Err(NotAPlan(format!("its info is {}, and must be a text", shown(other)))),
    };
    Ok(Plan { name, height, info })
}

/// The content as x/upgrade writes it, with the zero time; `info` is left out where it is empty.
#[must_use]
pub fn render(plan: &Plan) -> String {
    as_go_escapes(serde_json::to_string(&Content::of(plan)))
}

/// Several plans as a list, indented.
#[must_use]
pub fn render_list(plans: &[Plan]) -> String {
    as_go_escapes(serde_json::to_string_pretty(&plans.iter().map(Content::of).collect::<Vec<_>>()))
}

#[derive(serde::Serialize)]
struct Content<'a> {
    name: &'a str,
    time: &'static str,
    height: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    info: &'a str,
}

impl<'a> Content<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self { name: &plan.name, time: "0001-01-01T00:00:00Z", height: plan.height, info: &plan.info }
    }
}

/// Go's encoder escapes these, and they stand in texts only.
fn as_go_escapes(json: serde_json::Result<String>) -> String {
    let text = json.unwrap_or_else(|_| unreachable!("texts and numbers are always JSON"));
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_string(), |value| beginning(value.to_string().as_bytes()))
}

fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).replace(char::is_control, "\u{fffd}");
    if bytes.len() > SHOWN { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use serde::Deserialize;

    use super::*;
    use crate::decide::plan::Folder;

    #[derive(Deserialize)]
    struct Row {
        file: String,
        text: String,
        plan: Option<Plan>,
        #[serde(default)]
        refusal: String,
    }

    /// x/upgrade writes its next plan into it and leaves its permissions, and was taken for the operator.
    #[test]
    fn a_file_that_an_operator_wrote_is_a_nodes_again_once_its_plan_has_passed() {
        use crate::home::{orders, tests::home_with};

        let (_keep, home) = home_with(&["genesis"]);
        let plan = |name: &str| Plan { name: name.into(), height: 5, info: String::new() };
        give_back(&home, &plan("v2")).unwrap();
        orders::name(&home, &plan("v2"), None).unwrap();
        let by_hand = || is_by_hand(fs::metadata(home.upgrade_info()).unwrap().mode());
        give_back(&home, &plan("v1")).unwrap();
        assert!(by_hand());
        give_back(&home, &Plan { info: "as the chain has it".into(), ..plan("v2") }).unwrap();
        assert!(!by_hand());
    }

    /// Anybody else than root has no second user.
    #[test]
    fn a_file_of_roots_is_the_nodes_to_write_once_its_plan_has_passed() {
        use crate::home::{orders, tests::home_with};

        const NOBODY: u32 = 65_534;
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (_keep, home) = home_with(&["genesis"]);
        let plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        orders::name(&home, &plan, None).unwrap();
        std::os::unix::fs::chown(home.data(), Some(NOBODY), Some(NOBODY)).unwrap();
        give_back(&home, &plan).unwrap();
        let given = fs::metadata(home.upgrade_info()).unwrap();
        assert_eq!((given.uid(), given.mode() & 0o777), (NOBODY, 0o644));
    }

    #[test]
    fn files_seen_in_the_wild_are_read_as_x_upgrade_reads_them() {
        let rows = include_str!("../../fixtures/plans/upgrade-info.jsonl").lines();
        let mut right = 0;
        for row in rows.map(|line| serde_json::from_str::<Row>(line).unwrap()) {
            match (parse(row.text.as_bytes()), row.plan) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{}", row.file),
                (Err(refused), None) => {
                    // Both name the member that is wrong first.
                    let member = row.refusal.split(' ').next().unwrap();
                    assert!(refused.to_string().contains(member), "{}: {refused}", row.file);
                }
                (found, expected) => panic!("{}: {found:?}, not {expected:?}", row.file),
            }
            right += 1;
        }
        assert_eq!(right, 9);
    }

    #[derive(Deserialize)]
    struct Named {
        name: String,
        height: u64,
        /// Whether x/upgrade takes such a plan; none where its height is not known.
        valid: Option<bool>,
        /// Its folder in lower case, and in its own.
        folders: [String; 2],
    }

    #[test]
    fn names_seen_in_the_wild_lie_where_cosmovisor_looks_for_them() {
        let rows = include_str!("../../fixtures/plans/names.jsonl").lines();
        let mut right = 0;
        for row in rows.map(|line| serde_json::from_str::<Named>(line).unwrap()) {
            // A plan without a name has no folder.
            let folder =
                |keep_case| Folder::of(&row.name, keep_case).map_or(String::new(), |folder| folder.to_string());
            assert_eq!([folder(false), folder(true)], row.folders, "{}", row.name);
            let plan = Plan { name: row.name.clone(), height: row.height, info: String::new() };
            let taken = parse(render(&plan).as_bytes()).is_ok();
            assert!(row.valid.is_none_or(|valid| valid == taken), "{} at {}", row.name, row.height);
            right += 1;
        }
        assert_eq!(right, 228);
    }

    #[test]
    fn what_nodes_and_people_write_is_read() {
        let plan = |name: &str, height, info: &str| Plan { name: name.into(), height, info: info.into() };
        for (text, expected) in [
            (r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":5,"info":"x"}"#, plan("v2", 5, "x")),
            (r#"{"name":"v2","height":5}"#, plan("v2", 5, "")),
            (r#"{"Name":"v2","HEIGHT":"5","more":[]}"#, plan("v2", 5, "")),
            ("{\"name\":\"v2\",\"height\":5,\"info\":null}\n", plan("v2", 5, "")),
        ] {
            assert_eq!(parse(text.as_bytes()).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_with_the_reason() {
        for (text, says) in [
            (r#"{"name":"v2","hei"#, "half written"),
            (r#"{"name":"","height":5}"#, "name"),
            (r#"{"height":5}"#, "name is missing"),
            (r#"{"name":"v2","height":0}"#, "greater than 0"),
            (r#"{"name":"v2","height":-3}"#, "-3"),
            (r#"{"name":"v2","height":5} trailing"#, "trailing"),
            (r#"{"name":"v2","height":5,"time":"2026-01-01T00:00:00Z"}"#, "by time"),
            ("[]", "not a JSON object"),
            ("", "half written"),
        ] {
            let refusal = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
    }

    #[test]
    fn what_is_rendered_is_what_x_upgrade_writes() {
        let plan = Plan { name: "v2".into(), height: 5, info: String::new() };
        assert_eq!(render(&plan), r#"{"name":"v2","time":"0001-01-01T00:00:00Z","height":5}"#);
        assert_eq!(parse(render(&plan).as_bytes()), Ok(plan));
        let plan = Plan { name: "v2".into(), height: 5, info: "a&b<c>".into() };
        assert!(render(&plan).ends_with(r#""info":"a\u0026b\u003cc\u003e"}"#), "{}", render(&plan));
        assert_eq!(parse(render(&plan).as_bytes()), Ok(plan));
    }
}
