//! A systemd unit file and its drop-ins, as far as they say how a node is started: systemd.syntax(7), systemd.exec(5),
//! systemd.service(5).

use std::{collections::BTreeMap, fs, io, path::PathBuf, time::Duration};

use super::setting::Setting;

/// What `systemd` waits for a service to stop where nothing is said.
pub(super) const DEFAULT_STOP: Duration = Duration::from_secs(90);

/// A service.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Its name: `gaiad.service`.
    pub(super) name: String,
    /// The variables it sets, and where.
    pub(super) variables: BTreeMap<String, Setting>,
    /// `ExecStart=` as written.
    pub(super) start: Option<String>,
    /// `User=`.
    pub(super) user: Option<String>,
    /// `KillMode=`.
    pub(super) kill_mode: Option<String>,
    /// `TimeoutStopSec=`; zero where there is no limit.
    pub(super) stop_limit: Option<Duration>,
    /// `Restart=`.
    pub(super) restart: Option<String>,
    /// What could not be followed, and where.
    pub(super) problems: Vec<String>,
}

impl Unit {
    /// Reads the unit file, then its drop-ins in the order given.
    ///
    /// # Errors
    /// Where one of them cannot be read.
    pub(super) fn read(files: &[PathBuf]) -> io::Result<Self> {
        let mut unit = Self::default();
        let name = files.first().and_then(|file| file.file_name());
        unit.name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut environment_files = Vec::new();
        for file in files {
            let shown = file.display();
            // systemd skips the mark that some editors put first.
            let text = fs::read_to_string(file).map_err(|error| io::Error::other(format!("{shown}: {error}")))?;
            let mut section = String::new();
            for (number, line) in logical_lines(text.trim_start_matches('\u{feff}')) {
                if let Some(name) = line.strip_prefix('[') {
                    name.trim_end_matches(']').clone_into(&mut section);
                } else if let (Some((key, value)), "Service") = (line.split_once('='), section.as_str()) {
                    let place = format!("{shown}:{number}");
                    unit.take(key.trim(), value.trim(), &place, &mut environment_files);
                }
            }
        }
        // They come after all that is set in the unit itself, wherever they are named.
        for (path, place) in environment_files {
            unit.read_variables(&path, &place);
        }
        Ok(unit)
    }

    /// The words of `ExecStart=`, its variables put in: the program, then its arguments.
    pub(super) fn words(&self) -> Vec<String> {
        let start = self.start.as_deref().unwrap_or_default().trim_start_matches(PREFIXES);
        let value = |name: &str| self.variables.get(name).map(|setting| setting.value.as_str()).unwrap_or_default();
        let words = split(start).unwrap_or_default();
        let put_in = |word: String| match word.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => value(name).split_whitespace().map(str::to_owned).collect(),
            None => vec![with_variables(&resolved(&word), &value)],
        };
        words.into_iter().flat_map(put_in).collect()
    }

    /// `ExecStart=` with another program where cosmovisor is, the rest as written; none where it is not plain to see which word
    /// that is: in a script, or within a line that a shell reads.
    pub(super) fn start_with(&self, program: &str) -> Option<String> {
        let start = self.start.as_deref()?;
        let line = start.trim_start_matches(PREFIXES);
        let (prefixes, line) = (&start[..start.len() - line.len()], line.trim_start());
        let mut at = 0;
        for piece in line.split_inclusive(char::is_whitespace) {
            let (before, word) = (&line[..at], piece.trim_end());
            let rest = &line[at + word.len()..];
            // Within quotes it may be a line for a shell; the program itself may stand in a pair.
            let in_a_pair = before.is_empty() && word.chars().next().is_some_and(|first| word.ends_with(first));
            if word.contains(['\'', '"', '\\']) && !in_a_pair {
                return None;
            }
            // A folder may have that name as well.
            if is_runner(word) && (before.is_empty() || rest.split_whitespace().next() == Some("run")) {
                return Some(format!("{prefixes}{before}{program}{rest}"));
            }
            if before.is_empty() && !WRAPPERS.contains(&base(word)) {
                return None;
            }
            at += piece.len();
        }
        None
    }

    fn take(&mut self, key: &str, value: &str, place: &str, environment_files: &mut Vec<(String, String)>) {
        let some = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "Environment" if value.is_empty() => self.variables.clear(),
            "Environment" => {
                for (name, value) in split(value).unwrap_or_default().iter().filter_map(|word| word.split_once('=')) {
                    self.set(name, &resolved(value), place);
                }
            }
            "EnvironmentFile" if value.is_empty() => environment_files.clear(),
            "EnvironmentFile" => environment_files.push((value.to_owned(), place.to_owned())),
            "ExecStart" => self.start = some(value),
            "User" => self.user = some(value),
            "KillMode" => self.kill_mode = some(value),
            "Restart" => self.restart = some(value),
            "TimeoutStopSec" | "TimeoutSec" => self.stop_limit = span(value),
            _ => return,
        }
        if split(value).is_none() {
            self.problems.push(format!("{place}: {key}= has a quote that does not end"));
        }
        if let Some((_, after)) = value.replace("%%", "").split_once('%') {
            let specifier: String = after.chars().take(1).collect();
            self.problems.push(format!("{place}: systemd puts something in the place of %{specifier} in {key}="));
        }
    }

    fn read_variables(&mut self, named: &str, place: &str) {
        let path = named.trim_start_matches('-');
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.starts_with('-') => return,
            Err(error) => return self.problems.push(format!("{place}: EnvironmentFile={named}: {error}")),
        };
        for (number, line) in logical_lines(text.trim_start_matches('\u{feff}')) {
            let Some((name, value)) = line.split_once('=') else { continue };
            let place = format!("{path}:{number}");
            match split(value) {
                Some(words) => self.set(name.trim(), &words.join(" "), &place),
                None => self.problems.push(format!("{place}: a quote does not end")),
            }
        }
    }

    fn set(&mut self, name: &str, value: &str, origin: &str) {
        self.variables.insert(name.to_owned(), Setting { value: value.to_owned(), origin: origin.to_owned() });
    }
}

/// What becomes the program that it is given as a plain word.
const WRAPPERS: [&str; 8] = ["chrt", "env", "ionice", "nice", "numactl", "prlimit", "setpriv", "taskset"];

/// A program's name without its folder.
fn base(word: &str) -> &str {
    word.trim_matches(['\'', '"']).rsplit('/').next().unwrap_or_default()
}

/// Whether a word names cosmovisor, or what is to take its place.
pub(super) fn is_runner(word: &str) -> bool {
    !word.contains('=') && ["cosmovisor", "watcher"].contains(&base(word))
}

/// What may stand before the program in `ExecStart=`.
const PREFIXES: [char; 6] = ['@', '-', ':', '+', '!', '|'];

/// Lines with those that go on after a backslash joined, without comments, each with its number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && !goes_on) {
            continue;
        }
        let (line, more) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => {
                whole.push(' ');
                whole.push_str(line);
            }
            None => lines.push((index + 1, line.to_owned())),
        }
        goes_on = more;
    }
    lines
}

/// Words between spaces; quotes keep spaces, backslashes are those of C. None where a quote does not end.
fn split(value: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => word.get_or_insert_default().push_str(&unescaped(&mut characters)),
            (_, Some(open)) if character == open => quote = None,
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(character);
            }
            (_, None) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn unescaped(characters: &mut std::str::Chars<'_>) -> String {
    match characters.next() {
        Some('n') => "\n".into(),
        Some('t') => "\t".into(),
        Some('s') => " ".into(),
        Some(plain @ ('\\' | '"' | '\'')) => plain.into(),
        Some(other) => format!("\\{other}"),
        None => "\\".into(),
    }
}

/// With what stands for `${NAME}` and `$$`.
fn with_variables<'a>(word: &str, value: &impl Fn(&str) -> &'a str) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let braced = after.strip_prefix('{').and_then(|after| after.split_once('}')).filter(|(name, _)| is_name(name));
        rest = if let Some((name, after)) = braced {
            text.push_str(value(name));
            after
        } else {
            text.push('$');
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    text + rest
}

/// With what stands for `%%`; other specifiers are told.
fn resolved(value: &str) -> String {
    value.replace("%%", "%")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A time span as systemd.time(7) has it; zero for `infinity`. None for anything else, which systemd leaves out as well.
fn span(value: &str) -> Option<Duration> {
    if value == "infinity" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut rest = value.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (amount, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "ms" | "msec" => 1e-3,
            "us" | "usec" | "µs" => 1e-6,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return None,
        };
        seconds += amount.parse::<f64>().ok()? * unit;
        rest = after.trim_start();
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> Unit {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("env"), "# a comment\nFROM_FILE='single quoted'\nTWICE=file\nexport=\"a b\"\n")
            .unwrap();
        let write = |(index, text): (usize, &&str)| {
            let path = folder.path().join(format!("{index}.service"));
            fs::write(&path, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
            path
        };
        let files: Vec<PathBuf> = files.iter().enumerate().map(write).collect();
        Unit::read(&files).unwrap()
    }

    fn values(unit: &Unit) -> Vec<(&str, &str)> {
        unit.variables.iter().map(|(name, setting)| (name.as_str(), setting.value.as_str())).collect()
    }

    #[test]
    fn variables_are_read_with_the_quotes_of_systemd() {
        let unit = of(&[
            "\u{feff}[Unit]\nEnvironment=NOT=here\n[Service]\nEnvironment=A=1 \"B=two words\" 'C=it''s' D=\\x \\\n  # \
                         within\n  \"E=a\\tb\"\n; a comment\nEnvironment=F=50%%\nEnvironment=\"A=2\"\n",
        ]);
        let expected = [("A", "2"), ("B", "two words"), ("C", "its"), ("D", "\\x"), ("E", "a\tb"), ("F", "50%")];
        assert_eq!(values(&unit), expected);
        assert!(unit.problems.is_empty() && unit.variables["B"].origin.ends_with("0.service:4"), "{unit:?}");
        assert!(unit.variables["A"].origin.ends_with(":9"));
    }

    #[test]
    fn files_of_variables_come_last_and_drop_ins_take_back() {
        let unit = of(&[
            "[Service]\nEnvironmentFile=FOLDER/env\nEnvironment=TWICE=unit\nEnvironmentFile=-/no/such\nExecStart=/bin/a run\n",
            "[Service]\nExecStart=\nExecStart=@/bin/watcher run start\nUser=gaia\nEnvironmentFile=/no/such\n",
        ]);
        assert_eq!(values(&unit), [("FROM_FILE", "single quoted"), ("TWICE", "file"), ("export", "a b")]);
        assert_eq!(
            (unit.words().as_slice(), unit.user.as_deref()),
            (["/bin/watcher", "run", "start"].map(String::from).as_slice(), Some("gaia"))
        );
        assert_eq!(unit.start_with("/w").as_deref(), Some("@/w run start"));
        assert!(unit.problems.len() == 1 && unit.problems[0].contains("EnvironmentFile=/no/such"), "{unit:?}");
        let unit = of(&[
            "[Service]\nEnvironment=A=1\nEnvironmentFile=FOLDER/env\n",
            "[Service]\nEnvironment=\nEnvironmentFile=\n",
        ]);
        assert!(unit.variables.is_empty() && unit.problems.is_empty());
    }

    #[test]
    fn variables_are_put_into_the_command_line() {
        let unit = of(&[
            "[Service]\nEnvironment=HOME_DIR=/a MORE=\"--x 1\"\nExecStart=cosmovisor run --home ${HOME_DIR}/b $MORE '$$5' %i \"c d\n",
        ]);
        assert_eq!(unit.problems.len(), 2, "{unit:?}");
        let unit = of(&[
            "[Service]\nEnvironment=HOME_DIR=/a \"MORE=--x 1\"\nExecStart=cosmovisor run --home ${HOME_DIR}/b $MORE '$$5' \"c d\"\n",
        ]);
        assert_eq!(unit.words(), ["cosmovisor", "run", "--home", "/a/b", "--x", "1", "$5", "c d"]);
    }

    #[test]
    fn another_program_takes_the_place_of_cosmovisor_where_that_is_a_plain_word() {
        for (start, there) in [
            ("-/opt/cosmovisor  run 'a b'", Some("-/w  run 'a b'")),
            ("\"/opt/cosmovisor\" run start", Some("/w run start")),
            ("/usr/bin/env A=/cosmovisor cosmovisor run start", Some("/usr/bin/env A=/cosmovisor /w run start")),
            ("/usr/bin/nice -n 5 /bin/cosmovisor run x", Some("/usr/bin/nice -n 5 /w run x")),
            ("env -C /srv/cosmovisor cosmovisor run", Some("env -C /srv/cosmovisor /w run")),
            ("/bin/sh -c 'exec cosmovisor run start'", None),
            ("/bin/sh -c cosmovisor run", None),
            ("env bash -c \"cosmovisor run start\"", None),
            ("/opt/start.sh /opt/cosmovisor run", None),
            ("é\"/cosmovisor run", None),
            ("env other run", None),
        ] {
            let unit = Unit { start: Some(start.to_owned()), ..Unit::default() };
            assert_eq!(unit.start_with("/w").as_deref(), there, "{start}");
        }
    }

    #[test]
    fn time_spans_are_those_of_systemd() {
        for (text, seconds) in
            [("90", 90.0), ("2min 30s", 150.0), ("1h", 3600.0), ("1.5 min", 90.0), ("500ms", 0.5), ("infinity", 0.0)]
        {
            assert_eq!(span(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert!(span("soon").is_none() && span("").is_none() && span("5 parsecs").is_none());
    }
}
