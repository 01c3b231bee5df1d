"""The fixed buffers of illumos that values of ours end up in: how many bytes fit, and who says so.

Some commands refuse what is longer with a sentence, some cut it in silence, some only break later. Here it is refused
before the host is changed, with the number. All lengths are bytes of UTF-8 without the byte that ends a C string.
`docs/limits.md` is this table for people; a test keeps the two alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from zonemgr.errors import UsageError


@dataclass(frozen=True)
class Limit:
    """`longest`: bytes that still fit. `beyond`: what illumos does with one more; `ours`: what zonemgr does."""

    what: str
    longest: int
    command: str
    beyond: str
    ours: str
    source: str

    def fault(self, text: str) -> str | None:
        """Why this does not fit, or None."""
        size = len(text.encode("utf-8", "surrogateescape"))
        return f"{size} bytes, and {self.longest} are allowed" if size > self.longest else None

    def check(self, text: str, what: str = "") -> None:
        """Raises UsageError with the number."""
        fault = self.fault(text)
        if fault:
            shown = text if len(text) <= 60 else f"{text[:59]}…"
            raise UsageError(
                f"the {what or self.what} {shown!r} is too long for {self.command}: it has {fault}"
            )


# -- zoneadm -------------------------------------------------------------------------------------------------

INSTALL_LINE = Limit(
    "command line of a brand's install script",
    1023,
    "zoneadm install",
    "`Install command line too long` from 1025 on; of 1024 the last byte is cut off in silence",
    "as many packages as surely fit go into `-e`, the others are installed with `pkg -R` afterwards",
    "usr/src/cmd/zoneadm/zoneadm.c: install_func, addopt (cmdbuf[MAXPATHLEN])",
)
HOOK_LINE = Limit(
    "command line of a brand's other scripts",
    1023,
    "zoneadm clone, attach, detach, uninstall",
    "`Command line too long`, exit 1; the brand's check of a command (verify_adm) fails without a word",
    "refused for the zonepath and names of a new zone",
    "usr/src/cmd/zoneadm/zoneadm.c: clone_func, attach_func, addoptions, verify_brand (cmdbuf[MAXPATHLEN])",
)
BOOT_ARGUMENTS = Limit(
    "boot arguments, joined with blanks",
    255,
    "zoneadm boot",
    "`Boot argument list too long`, exit 1",
    "refused",
    "usr/src/cmd/zoneadm/zoneadm.c: boot_func; usr/src/uts/common/sys/uadmin.h: BOOTARGS_MAX",
)
ZONE_NAME = Limit(
    "zone name",
    63,
    "zonecfg, zoneadm",
    "`zone name is invalid`",
    "refused; names that zonemgr makes up are cut",
    "usr/src/uts/common/sys/zone.h: ZONENAME_MAX; usr/src/lib/libzonecfg: zonecfg_validate_zonename",
)

# -- zonecfg -------------------------------------------------------------------------------------------------

ZONECFG_WORD = Limit(
    "quoted word of a zonecfg script",
    1022,
    "zonecfg",
    "`Input string too long`, exit 1, and nothing since the last commit is saved",
    "refused",
    "usr/src/cmd/sgs/lex/common/ncform: yylook (YYLMAX); usr/src/cmd/zonecfg/zonecfg_lex.l (1023 when bare)",
)
ZONEPATH = Limit(
    "zonepath",
    1000,
    "zonecfg",
    "from 1024 on refused or cut; zoneadm adds `/root`, `/lu/a` and the like to it",
    "refused; a new zone's is shorter by what its scripts need (see the scripts' command lines)",
    "usr/src/lib/libzonecfg: zonecfg_set_zonepath; zoneadm.c (zonepath[MAXPATHLEN])",
)
FS_PATH = Limit(
    "dir, special or raw of an fs",
    1000,
    "zonecfg",
    "cut off at 1023 in silence; zoneadmd puts the zone's root before dir",
    "refused",
    "usr/src/head/libzonecfg.h: struct zone_fstab (MAXPATHLEN); zoneadmd/vplat.c: mount_one",
)
FS_TYPE = Limit(
    "type of an fs",
    15,
    "zonecfg",
    "cut off in silence",
    "refused",
    "usr/src/head/libzonecfg.h: struct zone_fstab (FSTYPSZ)",
)
FS_OPTIONS = Limit(
    "options of an fs, joined with commas",
    1023,
    "zoneadm boot",
    "the mount at boot fails, or an option is cut",
    "refused",
    "usr/src/head/libzonecfg.h: struct zone_fsopt (MAX_MNTOPT_STR); zoneadmd/vplat.c: mount_one (optstr)",
)
ATTR_VALUE = Limit(
    "value of an attr",
    255,
    "zonecfg",
    "`value not specified` or `invalid attr value`; OmniOS takes longer ones since 2021",
    "refused",
    "usr/src/cmd/zonecfg/zonecfg.c: end_func (attr); usr/src/lib/libzonecfg: zonecfg_get_attr_string",
)
ALLOWED_ADDRESS = Limit(
    "allowed-address of a net",
    45,
    "zonecfg",
    "cut off in silence",
    "refused",
    "usr/src/head/libzonecfg.h: struct zone_nwiftab (INET6_ADDRSTRLEN)",
)
PHYSICAL = Limit(
    "physical of a net",
    31,
    "zonecfg",
    "cut off in silence",
    "refused: only link names are taken",
    "usr/src/head/libzonecfg.h: struct zone_nwiftab (LIFNAMSIZ)",
)
RESOURCE_VALUE = Limit(
    "any other value: name of a dataset, an rctl or an attr, bootargs, pool, scheduling-class",
    255,
    "zonecfg",
    "cut off in silence, or saved and then unreadable (`Argument list too long`)",
    "refused",
    "usr/src/head/libzonecfg.h: MAXNAMELEN of zone_dstab, zone_rctltab, zone_attrtab; libzonecfg.c: getrootattr",
)

# -- ZFS -----------------------------------------------------------------------------------------------------

ZFS_NAME = Limit(
    "full name of a dataset or snapshot",
    255,
    "zfs",
    "`name is too long`, exit 1; a recursive snapshot fails as a whole",
    "refused for a zone whose snapshots would not fit",
    "usr/src/uts/common/sys/fs/zfs.h: ZFS_MAX_DATASET_NAME_LEN; usr/src/common/zfs/zfs_namecheck.c",
)
ZFS_PROPERTY_NAME = Limit(
    "name of a user property",
    255,
    "zfs set",
    "`property name '…' is too long`, exit 1",
    "refused",
    "usr/src/lib/libzfs/common/libzfs_dataset.c: zfs_valid_proplist (ZAP_MAXNAMELEN)",
)
ZFS_PROPERTY_VALUE = Limit(
    "value of a user property",
    8191,
    "zfs set",
    "`property value too long`, exit 1",
    "records that are longer are split over several properties; anything else is refused",
    "usr/src/uts/common/sys/fs/zfs.h: ZAP_MAXVALUELEN; libzfs_dataset.c: zfs_valid_proplist",
)
MOUNT_POINT = Limit(
    "mount point of a dataset",
    1023,
    "zfs set mountpoint",
    "the file system cannot be mounted",
    "refused",
    "usr/src/lib/libzfs/common/libzfs_mount.c: zfs_is_mountable (ZFS_MAXPROPLEN, MAXPATHLEN)",
)

# -- links, accounts, programs -------------------------------------------------------------------------------

LINK_NAME = Limit(
    "link name",
    31,
    "dladm",
    "`invalid link name`, exit 1",
    "refused; names that zonemgr makes up are shorter",
    "usr/src/uts/common/sys/param.h: MAXLINKNAMELEN; usr/src/lib/libdladm: dladm_valid_linkname",
)
USER_NAME = Limit(
    "name of a user or group",
    32,
    "useradd, zlogin -l",
    "programs disagree: a warning, or cut off",
    "refused",
    "usr/src/head/limits.h: LOGNAME_MAX; usr/src/cmd/oamuser: valid_uname",
)
LOCAL_PATH = Limit(
    "path of a directory in a zone",
    255,
    "zonecfg, zlogin",
    "with the zone's root before it, paths beyond 1023 bytes fail",
    "refused",
    "usr/src/uts/common/sys/param.h: MAXPATHLEN; zoneadmd/vplat.c: valid_mount_path",
)
ARGUMENTS = Limit(
    "arguments of one command, each with the byte that ends it",
    1_000_000,
    "exec: pkg, zlogin, zfs and all others",
    "`Arg list too long`; zlogin gives its command to a shell of the zone as one argument, without a limit of its own",
    "refused before the command is started",
    "usr/src/uts/common/sys/param.h: NCARGS32 (1048576, environment included); usr/src/uts/common/os/exec.c",
)

LIMITS = tuple(value for value in list(globals().values()) if isinstance(value, Limit))


# -- what several values add up to ---------------------------------------------------------------------------

# Script of a brand with `exec ` before it, and with blanks behind: /usr/lib/brand/BRAND/pkgcreatezone -b BRAND.
_SCRIPT = len("exec /usr/lib/brand//pkgcreatezone -b  -z  -R ") + 2 * 20
# Snapshots that zonemgr takes of a zone's root, the longest of each kind; a second of the same time gets a number.
_ROOT = "/ROOT/zbe-99@"
_STAMPED = "before-pkg-uninstall-20260131T235959Z-99"


def room_for_packages(zone: str, zonepath: str, options: tuple[str, ...] = ()) -> int:
    """Bytes that `zoneadm install` has for `-e PACKAGE …`, each counted by `package_size`, behind other options.

    zoneadm glues an option to its word (` -ePACKAGE`), and hands both to the brand's check with a blank between: that
    is the longer one, so it is counted.
    """
    taken = _SCRIPT + len(zone.encode()) + len(zonepath.encode())
    return INSTALL_LINE.longest - taken - sum(1 + len(word.encode()) for word in ("install", *options))


def package_size(package: str) -> int:
    return len(f" -e {package}".encode())


def longest_line(zone: str, zonepath: str) -> str:
    """As long as the longest command line of a brand's scripts: the clone of the longest snapshot."""
    words = ["x" * _SCRIPT, zone, zonepath, "-X -s", "x" * ZFS_NAME.longest, "x" * ZONE_NAME.longest]
    return " ".join(words)


def check_new_zone(zone: str, dataset: str, zonepath: str) -> None:
    """Refuse a home in which a zone of that name could not be cloned, uninstalled and snapshot; raises UsageError."""
    for name in (f"initial-manifest_import_booted-{zone}", _STAMPED):
        fault = ZFS_NAME.fault(f"{dataset}{_ROOT}{name}")
        if fault:
            raise UsageError(
                f"zone {zone} cannot live in {dataset}: the name of its snapshot {name} would have {fault}",
                hint="choose a shorter name, or a shorter dataset: zonemgr config show",
            )
    fault = HOOK_LINE.fault(longest_line(zone, zonepath))
    if fault:
        raise UsageError(
            f"zone {zone} cannot live in {zonepath}: the command line of its brand's scripts would have {fault}",
            hint="choose a shorter mount point: zonemgr config show",
        )
