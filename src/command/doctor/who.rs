//! As whom the daemon looks, and what that user may read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};

use super::unit::Unit;

/// The capabilities that let a process read everything: `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`
/// (capabilities(7)).
const READ_ALL: u64 = 1 << 1 | 1 << 2;

/// A user, as a process runs as it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) struct Who {
    /// The user's name, or its number.
    pub(in crate::command) name: String,
    /// Whose user that is.
    pub(in crate::command) part: &'static str,
    pub(in crate::command) uid: u32,
    pub(in crate::command) gid: u32,
    pub(in crate::command) groups: Vec<u32>,
    /// Whether it reads whatever the modes say.
    pub(in crate::command) reads_all: bool,
    /// Whether it is this very process: then the system is asked instead of the modes.
    pub(in crate::command) own: bool,
}

impl Who {
    /// Returns the user of this process.
    pub(in crate::command) fn own() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Self {
            name: user_name(uid),
            part: "who asks",
            uid,
            gid,
            groups: Vec::new(),
            reads_all: uid == 0,
            own: true,
        }
    }

    /// Reads whom a process runs as from the text of `/proc/PID/status`.
    pub(in crate::command) fn of_process(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        // Real, effective, saved, file system.
        let effective = |name| field(name)?.split_whitespace().nth(1)?.parse::<u32>().ok();
        // In another PID namespace the number may be somebody else's.
        field("Name").filter(|name| *name == "refreshd")?;
        let (uid, gid) = (effective("Uid")?, effective("Gid")?);
        let groups = field("Groups").unwrap_or_default().split_whitespace();
        let capabilities = field("CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        Some(Self {
            name: user_name(uid),
            part: "the daemon's user",
            uid,
            gid,
            groups: groups.filter_map(|group| group.parse().ok()).collect(),
            reads_all: capabilities.is_some_and(|held| held & READ_ALL != 0),
            own: false,
        })
    }

    /// Returns whom a unit runs its service as; none if this machine does not know the user.
    pub(in crate::command) fn of_unit(unit: &Unit, passwd: &str, groups: &str) -> Option<Self> {
        let user = unit.get("User").unwrap_or("root");
        let entry = entry(passwd, user)?;
        let group_id = |name: &str| match name.parse() {
            Ok(id) => Some(id),
            Err(_) => number(self::entry(groups, name)?.get(2)?),
        };
        let gid = unit.get("Group").and_then(group_id).or_else(|| number(entry.get(3)?))?;
        let named = unit.get("SupplementaryGroups").unwrap_or_default().split_whitespace();
        // The user's own groups are given to the service too.
        let member = |line: &&str| {
            let members = line.split(':').nth(3).unwrap_or_default();
            members.split(',').any(|member| member == user)
        };
        let own = groups.lines().filter(member).filter_map(|line| number(line.split(':').nth(2)?));
        let uid = number(entry.get(2)?)?;
        let capabilities = unit.get("AmbientCapabilities").unwrap_or_default();
        Some(Self {
            name: user.to_owned(),
            part: "the unit's user",
            uid,
            gid,
            groups: named.filter_map(group_id).chain(own).collect(),
            reads_all: uid == 0 || capabilities.contains("cap_dac_"),
            own: false,
        })
    }

    /// Says who it is: `refreshd, the daemon's user`.
    pub(in crate::command) fn title(&self) -> String {
        format!("{}, {}", self.name, self.part)
    }

    /// Whether it may be able to read what this process can't: then nothing follows from that.
    pub(in crate::command) fn sees_more(&self) -> bool {
        !self.own && !rustix::process::geteuid().is_root()
    }

    /// Whether it may read a file, or list and enter a directory.
    pub(in crate::command) fn may_read(&self, path: &Path, metadata: &Metadata) -> bool {
        let (bits, access) = if metadata.is_dir() {
            (0o5, Access::READ_OK | Access::EXEC_OK)
        } else {
            (0o4, Access::READ_OK)
        };
        self.reads_all || self.may(path, metadata, bits, access)
    }

    /// Whether it may make files in a directory.
    pub(in crate::command) fn may_write(&self, path: &Path, metadata: &Metadata) -> bool {
        let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        self.uid == 0 || self.may(path, metadata, 0o7, access)
    }

    /// Whether it may pass through a directory.
    pub(in crate::command) fn may_enter(&self, path: &Path, metadata: &Metadata) -> bool {
        self.reads_all || self.may(path, metadata, 0o1, Access::EXEC_OK)
    }

    /// Whether it may run a program.
    pub(in crate::command) fn may_run(&self, path: &Path, metadata: &Metadata) -> bool {
        let is_program = metadata.mode() & 0o111 != 0;
        is_program && (self.uid == 0 || self.may(path, metadata, 0o1, Access::EXEC_OK))
    }

    fn may(&self, path: &Path, metadata: &Metadata, bits: u32, access: Access) -> bool {
        if self.own {
            return rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        }
        self.is_granted(metadata.mode(), metadata.uid(), metadata.gid(), bits)
    }

    /// Whether a mode grants `bits` (of 0o7) to it. Access lists are not looked at.
    fn is_granted(&self, mode: u32, uid: u32, gid: u32, bits: u32) -> bool {
        let granted = if uid == self.uid {
            mode >> 6
        } else if gid == self.gid || self.groups.contains(&gid) {
            mode >> 3
        } else {
            mode
        };
        granted & bits == bits
    }

    /// Returns the first directory on the way to `path` that it may not pass through.
    pub(in crate::command) fn stopped_at<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        above.into_iter().find(|directory| {
            directory.metadata().is_ok_and(|metadata| !self.may_enter(directory, &metadata))
        })
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Returns the fields of an entry of `/etc/passwd` or `/etc/group`, by name.
pub(in crate::command) fn entry<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut entries = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|fields| fields.first() == Some(&name))
}

fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries
        .find(|fields| fields.get(2).is_some_and(|field| number(field) == Some(uid)))
        .map_or_else(|| format!("uid {uid}"), |fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nrefreshd:x:997:996::/var/lib/refreshd:/x\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nrefreshd:x:996:\nstaff:x:50:alice,refreshd\n";

    fn unit(text: &str) -> Unit {
        Unit::parse(&format!("LoadState=loaded\n{text}"), "").expect("a unit")
    }

    #[test]
    fn a_unit_says_whose_rights_count() {
        let said = unit("User=refreshd\nGroup=refreshd\nSupplementaryGroups=www-data");
        let who = Who::of_unit(&said, PASSWD, GROUP).expect("known");
        assert_eq!((who.uid, who.gid, who.groups.as_slice()), (997, 996, &[33, 50][..]));
        assert!(who.is_granted(0o640, 0, 33, 0o4), "by its group");
        assert!(!who.is_granted(0o640, 0, 34, 0o4));
        assert!(!who.is_granted(0o077, 997, 33, 0o4), "the owner's bits come first");
        assert!(who.is_granted(0o751, 0, 0, 0o1));
        assert_eq!(Who::of_unit(&unit("User=nobody-here"), PASSWD, GROUP), None);
        assert!(Who::of_unit(&unit(""), PASSWD, GROUP).expect("root").reads_all);
    }

    #[test]
    fn a_process_says_whose_rights_count() {
        let status = "Name:\trefreshd\nUid:\t997\t997\t997\t997\nGid:\t996\t996\t996\t996\n\
                      Groups:\t33 996 \nCapEff:\t0000000000000000\n";
        let who = Who::of_process(status).expect("reads");
        assert_eq!((who.uid, who.gid, who.groups.as_slice()), (997, 996, &[33, 996][..]));
        assert!(!who.reads_all);
        let able = status.replace("0000000000000000", "0000000000200004");
        assert!(Who::of_process(&able).expect("reads").reads_all);
    }
}
