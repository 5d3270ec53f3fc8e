//! What is known of the types of file systems.

/// Whether events tell of every write to a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    /// They do.
    Yes,
    /// They do not; why, in an operator's words.
    No(String),
    /// The type is not known: only a probe tells.
    Unknown,
}

/// Whose every write goes through this kernel.
///
/// Bind mounts and subvolumes are among them: events belong to the inode, so that a write is heard
/// whichever mount it comes by.
///
/// `overlay` is among them too. What is written through it is heard. What is written straight into
/// one of its layers is not, but the kernel's documentation forbids that while it is mounted
/// ("undefined behavior", Documentation/filesystems/overlayfs.rst), container engines don't do it,
/// and the hourly reconcile finds what somebody did all the same. A container's root is an overlay:
/// comparing a million files each minute to hear of what nobody may do would be a poor default.
/// Whoever deploys into a layer sets `watch = "poll"`.
const LOCAL: &[&str] = &[
    "aufs", "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs",
    "hfsplus", "iso9660", "jfs", "minix", "msdos", "nilfs2", "ntfs3", "overlay", "ramfs",
    "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "ufs", "vfat", "xfs", "zfs",
];

/// Which other machines write to as well: the kernel tells of this machine's writes only.
const SHARED: &[&str] = &[
    "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "smb3", "smbfs",
];

/// Which the host of a virtual machine shares with it: WSL, Vagrant, Docker Desktop.
const FROM_HOST: &[&str] = &["9p", "drvfs", "hgfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"];

/// Which hold no files but what the kernel makes up.
const MADE_UP: &[&str] = &[
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Returns whether events tell of every write to a file system of a type.
#[must_use]
pub fn events(kind: &str) -> Events {
    let why = if LOCAL.contains(&kind) {
        return Events::Yes;
    } else if SHARED.contains(&kind) {
        "sends no events for what other machines write"
    } else if FROM_HOST.contains(&kind) {
        "sends no events for what the host writes"
    } else if kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.") {
        // The program behind it may show what others write, and nothing says whether it does.
        "sends no events for what does not come through this mount"
    } else if kind == "autofs" {
        "mounts something here once it is asked for, and nobody knows yet what"
    } else if MADE_UP.contains(&kind) {
        "is made up by the kernel and sends no events"
    } else {
        return Events::Unknown;
    };
    Events::No(format!("{kind} {why}"))
}
