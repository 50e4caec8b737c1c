//! Fetches packages of Debian, through the mirror this host's own apt is set to,
//! and unpacks them below `target/`: the statically linked shells for riscv64 and
//! amd64, and Go's compiler for a stress program. Nothing of the host's apt state
//! is used or changed: lists, caches and status are private folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use rivix_testsuite::paths;

use crate::shell;

const SUITE: &str = "trixie";
const SHELLS: [&str; 3] = ["busybox-static", "bash-static", "zsh-static"];
const MACHINES: [&str; 2] = ["riscv64", "amd64"];

/// The unpacked packages.
pub(crate) struct Guests {
    pub(crate) top: PathBuf,
}

impl Guests {
    pub(crate) fn busybox(&self, machine: &str) -> PathBuf {
        self.first(machine, &["usr/bin/busybox", "bin/busybox"])
    }

    pub(crate) fn bash(&self, machine: &str) -> PathBuf {
        self.first(machine, &["usr/bin/bash-static", "bin/bash-static"])
    }

    pub(crate) fn zsh(&self, machine: &str) -> PathBuf {
        self.first(machine, &["usr/bin/zsh-static", "bin/zsh-static"])
    }

    fn first(&self, machine: &str, names: &[&str]) -> PathBuf {
        let folder = self.top.join(machine);
        let found = names.iter().map(|n| folder.join(n)).find(|p| p.exists());
        found.unwrap_or_else(|| folder.join(names[0]))
    }
}

/// The packages, fetched unless an earlier run did.
pub(crate) fn guests() -> Result<Guests> {
    let top = paths::target().join("debian-guests");
    let guests = Guests { top: top.clone() };
    if MACHINES
        .iter()
        .all(|m| guests.busybox(m).exists() && guests.bash(m).exists() && guests.zsh(m).exists())
    {
        return Ok(guests);
    }
    for machine in MACHINES {
        let packages = SHELLS.map(|name| format!("{name}:{machine}"));
        fetch(&top.join(machine), &packages)?;
    }
    for machine in MACHINES {
        for program in [guests.busybox(machine), guests.bash(machine)] {
            ensure!(
                program.exists(),
                "{} is not in the package",
                program.display()
            );
        }
    }
    Ok(guests)
}

/// Unpacks the packages, each `name:machine` or `name`, into `folder`.
pub(crate) fn fetch(folder: &Path, packages: &[String]) -> Result<()> {
    let mirror = mirror()?;
    println!("fetching {} of Debian {SUITE} ...", packages.join(", "));
    let apt = paths::target().join("debian-apt");
    let debs = tempfile::tempdir_in(private_folders(&apt)?)?;
    let signed = mirror
        .signed_by
        .as_ref()
        .map(|s| format!(" signed-by={s}"))
        .unwrap_or_default();
    fs::write(
        apt.join("sources.list"),
        format!(
            "deb [arch={}{signed}] {} {SUITE} main\n",
            MACHINES.join(","),
            mirror.uri
        ),
    )?;
    let options = [
        ("Dir::Etc::sourcelist", apt.join("sources.list")),
        ("Dir::Etc::sourceparts", PathBuf::from("-")),
        ("Dir::Etc::preferences", PathBuf::from("-")),
        ("Dir::State", apt.join("state")),
        ("Dir::State::lists", apt.join("lists")),
        ("Dir::State::status", apt.join("state/status")),
        ("Dir::Cache", apt.join("cache")),
        ("APT::Architecture", PathBuf::from("riscv64")),
        ("APT::Architectures", PathBuf::from("riscv64,amd64")),
        ("APT::Get::List-Cleanup", PathBuf::from("0")),
        ("Acquire::Languages", PathBuf::from("none")),
        (
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
            PathBuf::from("false"),
        ),
        // The private folders belong to whoever runs this.
        ("APT::Sandbox::User", PathBuf::from("root")),
    ];
    let apt_get = |arguments: &[String]| {
        let mut command = Command::new("apt-get");
        for (key, value) in &options {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        command
            .args(["-q"])
            .args(arguments)
            .current_dir(debs.path());
        shell::step(&mut command)
    };
    ensure!(
        apt_get(&["update".into()])?,
        "apt-get update against the host's mirror failed for {SUITE}"
    );
    let download: Vec<String> = std::iter::once("download".to_owned())
        .chain(packages.iter().cloned())
        .collect();
    ensure!(apt_get(&download)?, "apt-get download failed");
    // Unpacked beside its place and renamed, so that nobody takes half of it for
    // the whole.
    let top = folder.parent().unwrap_or(folder);
    fs::create_dir_all(top)?;
    let unpacked = tempfile::tempdir_in(top)?;
    for deb in fs::read_dir(debs.path())? {
        let deb = deb?.path();
        ensure!(
            shell::step(
                Command::new("dpkg")
                    .arg("-x")
                    .arg(&deb)
                    .arg(unpacked.path())
            )?,
            "cannot unpack {}",
            deb.display()
        );
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let unpacked = unpacked.keep();
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))?;
    fs::rename(unpacked, folder)?;
    Ok(())
}

/// The folders apt wants; gives that for downloads.
fn private_folders(apt: &Path) -> Result<PathBuf> {
    for dir in [
        "lists/partial",
        "cache/archives/partial",
        "state",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "debs",
    ] {
        fs::create_dir_all(apt.join(dir))?;
    }
    fs::write(apt.join("state/status"), "")?;
    Ok(apt.join("debs"))
}

#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

/// The first Debian mirror in the host's apt configuration.
fn mirror() -> Result<Mirror> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|e| e.path()));
    }
    files.sort();
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        let found = match file.extension().and_then(|e| e.to_str()) {
            Some("list") => one_line_sources(&text),
            Some("sources") => deb822_sources(&text),
            _ => None,
        };
        if let Some(mut mirror) = found {
            // Trixie is signed by keys a host of another release may not list.
            let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
            if mirror.signed_by.is_none() && keyring.exists() {
                mirror.signed_by = Some(keyring.display().to_string());
            }
            return Ok(mirror);
        }
    }
    bail!(
        "no Debian mirror in /etc/apt/sources.list or sources.list.d: the static shells come from Debian {SUITE}"
    )
}

/// Is it the main archive, not the one of security updates or a third party?
fn is_main_archive(uri: &str, components: &str) -> bool {
    let uri = uri.trim_end_matches('/');
    uri.ends_with("/debian") && components.split_whitespace().any(|c| c == "main")
}

/// sources.list(5), one-line style: `deb [options] uri suite component...`
fn one_line_sources(text: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let mut rest = line.trim().strip_prefix("deb ")?.trim_start();
        let mut signed_by = None;
        if let Some(after) = rest.strip_prefix('[') {
            let (options, after) = after.split_once(']')?;
            signed_by = options
                .split_whitespace()
                .find_map(|o| o.strip_prefix("signed-by="))
                .map(str::to_owned);
            rest = after.trim_start();
        }
        let (uri, rest) = rest.split_once(char::is_whitespace)?;
        is_main_archive(uri, rest).then(|| Mirror {
            uri: uri.to_owned(),
            signed_by,
        })
    })
}

/// sources.list(5), deb822 style: paragraphs of `Key: value`.
fn deb822_sources(text: &str) -> Option<Mirror> {
    let text: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty())
        .find_map(|paragraph| {
            let field = |name: &str| {
                paragraph.iter().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name).then(|| value.trim())
                })
            };
            let is_binary = field("Types")?.split_whitespace().any(|t| t == "deb");
            let is_enabled = field("Enabled").is_none_or(|e| e != "no");
            let uri = field("URIs")?.split_whitespace().next()?;
            // An embedded key has its text on the lines below and cannot be passed on.
            let signed_by = field("Signed-By")
                .filter(|s| s.starts_with('/'))
                .map(str::to_owned);
            (is_binary && is_enabled && is_main_archive(uri, field("Components")?)).then(|| {
                Mirror {
                    uri: uri.to_owned(),
                    signed_by,
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_found() {
        #[track_caller]
        fn check(
            read: fn(&str) -> Option<Mirror>,
            text: &str,
            expect: Option<(&str, Option<&str>)>,
        ) {
            let expect = expect.map(|(uri, key)| Mirror {
                uri: uri.into(),
                signed_by: key.map(str::to_owned),
            });
            assert_eq!(read(text), expect, "{text:?}");
        }
        check(
            one_line_sources,
            "# deb http://a/debian x main\ndeb http://b/debian x main",
            Some(("http://b/debian", None)),
        );
        check(
            one_line_sources,
            "deb [arch=amd64 signed-by=/k.gpg] http://b/debian/ x contrib main",
            Some(("http://b/debian/", Some("/k.gpg"))),
        );
        check(
            one_line_sources,
            "deb http://b/debian-security x main\ndeb http://b/ubuntu x main",
            None,
        );
        let security = "Types: deb\nURIs: http://s/debian-security\nSuites: x\nComponents: main\n";
        let main = "Types: deb deb-src\n# note\nURIs: http://m/debian\nSuites: x y\nComponents: main\nSigned-By: /k.gpg\n";
        check(
            deb822_sources,
            &format!("{security}\n{main}"),
            Some(("http://m/debian", Some("/k.gpg"))),
        );
        check(
            deb822_sources,
            &format!("{security}\n{main}Enabled: no\n"),
            None,
        );
        check(deb822_sources, "", None);
    }
}
