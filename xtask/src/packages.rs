//! What comes from Debian: programs, Xen's source, a kernel for dom0.
//!
//! Programs are installed from the machine's own sources. Xen 4.20's source is in a later Debian than the machine may
//! run, so it is found through an apt configuration of our own below `target/`, made from the archive addresses the
//! machine already trusts: the machine's apt never sees that release, and nothing of it is ever installed.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{run, ui};

/// Packages that the build of Xen and the boot need.
pub(crate) const BOOT: &[&str] = &[
    "binutils",
    "bison",
    "busybox-static",
    "flex",
    "gcc",
    "kmod",
    "libc6-dev",
    "make",
    "pciutils",
    "python3-minimal",
    "qemu-system-x86",
    "xz-utils",
];

/// The release whose source package `xen` is a 4.20.
const XEN_RELEASE: &str = "trixie";

/// The source tarball that this project is developed with.
const XEN_PINNED: &str = "df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3";

/// Installs what is missing of these packages.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    let missing = missing(names)?;
    if missing.is_empty() {
        return Ok(());
    }
    ui::say(format!("installing Debian packages: {}", missing.join(" ")));
    let log = run::directory(run::target().join("boot/logs"))?.join("apt.log");
    let _ = fs::remove_file(&log);
    let root = run::output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        run::logged(&mut command, &log)
    };
    apt(&["update"]).context("apt cannot refresh its lists")?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(missing.iter().map(String::as_str));
    apt(&args).with_context(|| format!("apt cannot install {}", missing.join(" ")))
}

fn missing(names: &[&str]) -> Result<Vec<String>> {
    ensure!(Path::new("/usr/bin/dpkg-query").exists(), "this needs Debian: there is no dpkg-query here");
    // dpkg-query fails when any name is unknown to it, and still lists the others.
    let out = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(names)
        .output()
        .context("cannot run dpkg-query")?;
    let installed = String::from_utf8_lossy(&out.stdout).into_owned();
    let has = |name: &str| installed.lines().any(|l| l.split_once(' ') == Some((name, "installed")));
    Ok(names.iter().filter(|n| !has(n)).map(|n| (*n).to_owned()).collect())
}

/// One archive that the machine's own apt uses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
    uri: String,
    release: String,
    signed_by: Option<String>,
}

/// Reads `apt-get indextargets` lines of the form `URI|RELEASE|COMPONENT|SIGNED_BY`.
fn archives(text: &str) -> Vec<Archive> {
    let line = |line: &str| {
        let mut fields = line.split('|');
        let (uri, release, component) = (fields.next()?, fields.next()?, fields.next()?);
        // apt leaves an unset field as its own name.
        let signed_by = fields.next().filter(|s| s.starts_with('/')).map(str::to_owned);
        (component == "main").then(|| Archive { uri: uri.to_owned(), release: release.to_owned(), signed_by })
    };
    text.lines().filter_map(line).collect()
}

/// The private source list: binaries of the machine's own release, sources of [`XEN_RELEASE`].
fn source_list(machine: &[Archive], codename: &str, keyring: Option<&str>) -> Result<String> {
    let find = |release: &str| machine.iter().find(|a| a.release == release);
    let main = find(codename).with_context(|| format!("apt has no {codename} main archive configured"))?;
    let security = find(&format!("{codename}-security"));
    let mut list = String::new();
    let mut add = |kind: &str, archive: &Archive, release: &str| {
        let key =
            archive.signed_by.as_deref().or(keyring).map_or(String::new(), |k| format!("[signed-by={k}] "));
        let _ = writeln!(list, "{kind} {key}{} {release} main", archive.uri);
    };
    add("deb", main, codename);
    add("deb-src", main, XEN_RELEASE);
    if let Some(security) = security {
        add("deb", security, &format!("{codename}-security"));
        add("deb-src", security, &format!("{XEN_RELEASE}-security"));
    }
    Ok(list)
}

/// The private apt configuration, with fresh lists.
struct Apt {
    config: PathBuf,
}

impl Apt {
    fn open() -> Result<Self> {
        let dir = run::directory(run::target().join("cache/apt"))?;
        for sub in ["lists/partial", "archives/partial", "etc"] {
            run::directory(dir.join(sub))?;
        }
        let text = run::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)",
            "Created-By: Packages",
        ]))?;
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release
            .lines()
            .find_map(|l| l.strip_prefix("VERSION_CODENAME="))
            .context("/etc/os-release names no VERSION_CODENAME")?;
        let keyring =
            Some("/usr/share/keyrings/debian-archive-keyring.gpg").filter(|k| Path::new(k).exists());
        fs::write(dir.join("sources.list"), source_list(&archives(&text), codename, keyring)?)?;
        let at = dir.display();
        let config = dir.join("apt.conf");
        fs::write(
            &config,
            format!(
                "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"{at}/etc\";\n\
                 Dir::State::Lists \"{at}/lists\";\nDir::Cache \"{at}\";\nAPT::Get::List-Cleanup \"0\";\n\
                 APT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n"
            ),
        )?;
        let apt = Self { config };
        ui::say("asking the Debian archive what it has (an apt configuration of our own)");
        run::output(apt.command("apt-get").arg("update")).context("cannot fetch the archive's index")?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }

    /// Downloads a file and checks it against the hash that the signed index gives.
    fn fetch(&self, file: &Remote, to: &Path) -> Result<()> {
        ui::say(format!("downloading {}", file.name));
        let partial = to.with_extension("part");
        let _ = fs::remove_file(&partial);
        run::output(
            self.command("/usr/lib/apt/apt-helper")
                .arg("download-file")
                .arg(&file.uri)
                .arg(&partial)
                .arg(&file.hash),
        )
        .with_context(|| format!("cannot download {}", file.uri))?;
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o644))?;
        fs::rename(&partial, to)?;
        Ok(())
    }
}

/// A line of `--print-uris`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remote {
    uri: String,
    name: String,
    hash: String,
}

/// Reads `'URI' NAME SIZE HASH` lines.
fn remotes(text: &str) -> Vec<Remote> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let uri = fields.next()?.strip_prefix('\'')?.strip_suffix('\'')?.to_owned();
        let (name, _size, hash) = (fields.next()?.to_owned(), fields.next()?, fields.next()?.to_owned());
        Some(Remote { uri, name, hash })
    };
    text.lines().filter_map(line).collect()
}

fn downloads() -> Result<PathBuf> {
    run::directory(run::target().join("cache/downloads"))
}

/// A file already downloaded whose name starts and ends so; the newest by name if there are several.
fn cached(start: &str, end: &str) -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(downloads()?)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(start) && name.ends_with(end)
        })
        .collect();
    found.sort();
    Ok(found.pop())
}

/// Xen 4.20's source tarball: the pinned one, or the newest 4.20 that the archive still has.
pub(crate) fn xen_source() -> Result<PathBuf> {
    if let Some(path) = cached("xen_4.20", ".orig.tar.xz")? {
        return Ok(path);
    }
    let apt = Apt::open()?;
    let stanzas = run::output(apt.command("apt-cache").args(["showsrc", "--only-source", "xen"]))?;
    let mut offers = Vec::new();
    for version in
        stanzas.lines().filter_map(|l| l.strip_prefix("Version: ")).filter(|v| v.starts_with("4.20."))
    {
        let uris =
            run::output(apt.command("apt-get").args(["source", "--print-uris", &format!("xen={version}")]))?;
        offers.extend(remotes(&uris).into_iter().filter(|r| r.name.ends_with(".orig.tar.xz")));
    }
    let pinned = format!("SHA256:{XEN_PINNED}");
    offers.sort_by(|a, b| a.name.cmp(&b.name));
    let newest =
        offers.last().with_context(|| format!("{XEN_RELEASE} has no source of Xen 4.20 any more"))?;
    let chosen = offers.iter().find(|r| r.hash == pinned).unwrap_or_else(|| {
        ui::say(format!("the pinned source of Xen is gone from the archive; taking {}", newest.name));
        newest
    });
    ensure!(chosen.hash.starts_with("SHA256:"), "the index gives no SHA-256 for {}", chosen.name);
    let to = downloads()?.join(&chosen.name);
    apt.fetch(chosen, &to)?;
    Ok(to)
}

/// Debian's kernel package, not installed: dom0 boots it.
pub(crate) fn kernel() -> Result<PathBuf> {
    if let Some(path) = cached("linux-image-", ".deb")? {
        return Ok(path);
    }
    let apt = Apt::open()?;
    let depends = run::output(apt.command("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let Some(name) = depends.lines().find_map(|l| l.trim().strip_prefix("Depends: linux-image-")) else {
        bail!("linux-image-amd64 depends on no kernel:\n{depends}");
    };
    let name = format!("linux-image-{name}");
    let uris = run::output(apt.command("apt-get").args(["download", "--print-uris", &name]))?;
    let file = remotes(&uris).pop().with_context(|| format!("apt gives no address for {name}"))?;
    let to = downloads()?.join(&file.name);
    apt.fetch(&file, &to)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_machines_archives() {
        let found = archives(
            "http://a/debian/|bookworm|main|$(SIGNED_BY)\nhttp://a/debian/|bookworm|contrib|\nhttp://s/|bookworm-security|main|/k.gpg\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].signed_by, None);
        assert_eq!(found[1].signed_by.as_deref(), Some("/k.gpg"));
    }

    #[test]
    fn builds_the_private_list_from_them() {
        let machine =
            archives("http://a/|bookworm|main|$(SIGNED_BY)\nhttp://s/|bookworm-security|main|/k.gpg\n");
        let list = source_list(&machine, "bookworm", Some("/d.gpg")).unwrap();
        assert!(list.contains("deb [signed-by=/d.gpg] http://a/ bookworm main\n"));
        assert!(list.contains("deb-src [signed-by=/k.gpg] http://s/ trixie-security main\n"));
        assert!(source_list(&machine, "sid", None).is_err());
    }

    #[test]
    fn reads_print_uris() {
        let found = remotes("Reading lists...\n'http://a/xen.tar.xz' xen.tar.xz 12 SHA256:00ff\n");
        assert_eq!(
            found,
            [Remote {
                uri: "http://a/xen.tar.xz".into(),
                name: "xen.tar.xz".into(),
                hash: "SHA256:00ff".into()
            }]
        );
    }
}
