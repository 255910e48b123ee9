//! What a plan names for a platform: fetched into a folder that goes again, verified, unpacked, and looked at.

use core::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Found, Subject, Wanted, home};
use crate::{
    artifact::{self, FetchError, Part, Platform, Progress, Request, Store, info, info::Flaw, needs, source::redacted},
    commands::findings::Findings,
    decide::{
        facts::Receipt,
        plan::{Artifact, Asks, Folder, Upgrade},
    },
    home::observe,
    http::{self, Web, secrets},
};

/// One artifact may take this long.
const LONGEST_FETCH: Duration = Duration::from_mins(15);
/// The pause before the second attempt, where the host does not ask for more, and at most.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What Ubuntu 22.04 has: 2.35. Debian 12 has 2.36.
const USUAL_GLIBC: u32 = 35;
/// What executables are taken for where nobody said what they are called.
const ANY_NAME: &str = "node";

/// What is fetched with, and where to.
pub(super) struct Host<'a> {
    wanted: &'a Wanted<'a>,
    anywhere: Web,
    public: Web,
    store: Store,
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) receipt: Receipt,
    /// The executable.
    pub(super) executable: PathBuf,
    /// Bytes of the download.
    pub(super) bytes: u64,
}

impl<'a> Host<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>) -> anyhow::Result<Self> {
        const NO_CLIENT: &str = "no HTTP client can be made";
        let store = Store::below(wanted.folder.path());
        let (anywhere, public) =
            (http::web_client().context(NO_CLIENT)?, http::public_web_client().context(NO_CLIENT)?);
        Ok(Self { wanted, anywhere, public, store })
    }

    /// Looks at what a plan names for a platform; `replaced` where an operator's own binary is used instead.
    pub(super) async fn look(
        &self,
        subject: &Subject,
        platform: &Platform,
        replaced: bool,
        findings: &mut Findings,
        found: &mut Found,
    ) -> Option<Fetched> {
        let mut about = Findings::default();
        let fetched = self.fetch(subject, platform, &mut about, found).await;
        if let Some(fetched) = &fetched {
            let has = |library: &str| home::has_library(self.wanted, subject, platform, library);
            loads(&fetched.executable, &has, &mut about);
        }
        if replaced {
            about.soften();
        }
        findings.about(&platform.os_arch, about);
        fetched
    }

    async fn fetch(
        &self,
        subject: &Subject,
        platform: &Platform,
        findings: &mut Findings,
        found: &mut Found,
    ) -> Option<Fetched> {
        let home = &self.wanted.home;
        let asks = match observe::asks(home, &subject.plan.info, platform) {
            Ok(asks) => asks,
            Err(refusal) => {
                let (id, help) = of_an_entry(refusal.flaw);
                findings.error(id, refusal.reason, help);
                return None;
            }
        };
        if let Asks::Document { url } = &asks
            && !info::is_pinned(url)
        {
            let help = "put ?checksum=sha256:… behind it: whoever can change the document chooses what is run";
            findings.warning("document-unpinned", format!("the document {} has no checksum", redacted(url)), help);
        }
        // A draft is not public yet, and reports are kept where many read them.
        let named = |Artifact { url, checksum, .. }: &Artifact| Artifact {
            os_arch: platform.os_arch.clone(),
            url: secrets::file(url),
            checksum: checksum.as_deref().map(secrets::file),
        };
        let listed = if let Asks::Artifact(artifact) = &asks { Some(named(artifact)) } else { None };
        if self.wanted.args.offline {
            listed.iter().filter(|artifact| artifact.checksum.is_none()).for_each(|_| unpinned(None, findings));
            if let Asks::Document { url } = &asks {
                let message = format!("the document {} was not looked at", redacted(url));
                findings.warning("not-fetched", message, "leave --offline out: the binaries stand in the document");
                found.untold = true;
            }
            found.artifacts.extend(listed);
            return None;
        }
        let daemon = if home.daemon.is_empty() { ANY_NAME } else { &home.daemon };
        // A name that cannot be a folder is told elsewhere.
        let folder = Folder::of(&subject.plan.name, home.keep_case).or_else(|_| Folder::of("name", true)).ok()?;
        let upgrade = Upgrade { plan: subject.plan.clone(), folder, asks };
        let free = self.wanted.args.allow_private || subject.is_trusted();
        let request = Request {
            web: if free { &self.anywhere } else { &self.public },
            upgrade: &upgrade,
            platform,
            daemon_name: daemon,
            must_have_checksum: home.must_have_checksum,
            endpoint: "check",
            store: &self.store,
        };
        let bytes = AtomicU64::new(0);
        let count = |progress: Progress| bytes.store(progress.done, Relaxed);
        let fetch = async {
            let first = artifact::fetch(request, &count).await;
            match &first {
                Err(error) if error.is_passing() => {
                    let wish = error.retry_after().unwrap_or_default();
                    tokio::time::sleep(wish.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
                    artifact::fetch(request, &count).await
                }
                _ => first,
            }
        };
        match tokio::time::timeout(LONGEST_FETCH, fetch).await {
            Ok(Ok(receipt)) => {
                if receipt.artifact.checksum.is_none() {
                    unpinned(Some(&receipt.download_sha256), findings);
                }
                found.artifacts.push(named(&receipt.artifact));
                let executable = self.store.executable(&receipt, daemon);
                Some(Fetched { receipt, executable, bytes: bytes.load(Relaxed) })
            }
            Ok(Err(error)) => {
                found.artifacts.extend(listed);
                self.failed(&error, findings, &mut found.untold);
                None
            }
            Err(_) => {
                found.artifacts.extend(listed);
                let minutes = LONGEST_FETCH.as_secs() / 60;
                let message =
                    format!("it was not fetched within {minutes} minutes ({} bytes came)", bytes.load(Relaxed));
                found.untold = true;
                findings.warning("not-fetched", message, "offer it at a faster host: the halt waits for nobody");
                None
            }
        }
    }

    fn failed(&self, error: &FetchError, findings: &mut Findings, untold: &mut bool) {
        let (id, help) = match error {
            FetchError::Unusable(_) => ("checksum-unusable", "write the checksum itself, as ?checksum=sha256:…"),
            error if error.is_passing() => {
                *untold = true;
                let help = "try again later, or from another network; no HTTP proxy is asked for what is only proposed";
                return findings.warning("not-fetched", error.to_string(), help);
            }
            FetchError::Transfer(..)
            | FetchError::Unobtainable(..)
            | FetchError::Oversized(..)
            | FetchError::Refused { .. } => ("url-unreachable", "upload the file there, or correct the URL"),
            FetchError::NotPublic(..) => (
                "address-private",
                "let the plan name a public host; --allow-private fetches from your own network, and a redirect counts as well",
            ),
            FetchError::Mismatch { .. } => {
                ("checksum-wrong", "correct the checksum, which is that of the file as it is downloaded, or the file")
            }
            FetchError::DiskFull { .. } | FetchError::Disk(_) => {
                *untold = true;
                let help = "set TMPDIR to a place with room, or use --offline";
                return findings.warning("not-fetched", error.to_string(), help);
            }
            FetchError::Unfit { part, url, reason, .. } => {
                let message = format!("{url}: {reason}");
                return match part {
                    Part::Name if self.wanted.home.daemon.is_empty() => {
                        *untold = true;
                        let message =
                            format!("{url} has several files, and nobody said which of them is the executable");
                        findings.warning("daemon-name-unknown", message, "give its name with --daemon-name");
                    }
                    Part::Name => {
                        let help = "pack the executable under that name, at the top or in bin/; operators run it as DAEMON_NAME";
                        findings.error("daemon-name", message, help);
                    }
                    Part::Document => {
                        let help = "let it be {\"binaries\":{\"linux/amd64\":\"https://…?checksum=sha256:…\"}} and nothing else";
                        findings.error("document-unusable", message, help);
                    }
                    Part::Archive => {
                        let help = "pack plain files as tar.gz or zip, the executable at the top or in bin/";
                        findings.error("archive-unusable", message, help);
                    }
                    Part::Executable => {
                        findings.error(
                            "binary-unfit",
                            message,
                            "build it for this platform, 64-bit, and upload that file",
                        );
                    }
                };
            }
        };
        findings.error(id, error.to_string(), help);
    }
}

/// The id of what concerns an info as a whole.
pub(super) const fn of_the_info(flaw: Flaw) -> Option<&'static str> {
    match flaw {
        Flaw::Blank => Some("info-blank"),
        Flaw::NotParsable => Some("info-not-json"),
        Flaw::NoBinaries | Flaw::NoMap => Some("info-no-binaries"),
        _ => None,
    }
}

/// The id of what concerns one entry, and what to do.
const fn of_an_entry(flaw: Flaw) -> (&'static str, &'static str) {
    match flaw {
        Flaw::Url => ("url-unusable", "write an absolute URL of https (http only with a checksum)"),
        Flaw::NoChecksum => {
            ("checksum-missing", "put ?checksum=sha256:… behind the URL, with the digest of the file there")
        }
        Flaw::Checksum => ("checksum-malformed", "write it as ?checksum=sha256: and 64 hex digits"),
        _ => ("binary-missing", "add an entry for it, or one for `any`"),
    }
}

fn unpinned(sha256: Option<&str>, findings: &mut Findings) {
    let message = "the URL has no checksum: whoever can change the file chooses what is run";
    let help = format!("put ?checksum=sha256:{} behind the URL", sha256.unwrap_or("…"));
    findings.warning("checksum-missing", message, help);
}

/// Whether a host can load a program that has nothing special, but what `has` says.
pub(super) fn loads(executable: &Path, has: &dyn Fn(&str) -> bool, findings: &mut Findings) {
    let needs = match needs(executable) {
        Ok(needs) => needs,
        Err(error) => {
            let help = "build it anew: the loader would not understand it either";
            return findings.error("binary-unfit", error.to_string(), help);
        }
    };
    if let Some(loader) = needs.foreign_loader() {
        let message = format!("it is loaded by {loader}, which ordinary hosts do not have");
        findings.error("loader-missing", message, "link it statically, or against the GNU C library");
    }
    if let Some(minor) = needs.glibc.filter(|minor| *minor > USUAL_GLIBC) {
        let message = format!("it needs version 2.{minor} of the GNU C library, and many hosts have 2.{USUAL_GLIBC}");
        findings.warning("glibc-version", message, "link it statically, or build it on an older distribution");
    }
    let foreign: Vec<&str> = needs.foreign().filter(|library| !has(library)).collect();
    if !foreign.is_empty() {
        let message = format!("it needs {}, which a bare host lacks", foreign.join(", "));
        let help = "link it statically (for libwasmvm: the tag `muslc` with libwasmvm_muslc.a), or have every operator \
                    install that very version of the library first";
        findings.error("library-missing", message, help);
    }
}
