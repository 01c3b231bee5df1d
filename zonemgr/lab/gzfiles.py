"""The files of the global zone on a lab's first day: accounts, rights, names (docs/illumos.md: zlogin and rights,
First boot, Accounts).

Three people call: root; builder, whose profiles are what a build user needs; jim, who has none.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zonemgr.lab import zoneroot
from zonemgr.lab.world import FIRST_DAY, HOST_BOOT, MACHINE_MARK, VOLATILE, World

# crypt(3) strings of passwords nobody needs here: nothing in a lab asks for one.
ROOT_HASH = "$5$qT2hC9yB$0pVn8T2k3mWJ5p0b7Qw5rGm1uEo7xI2cVf1lYd9s3S6"
BUILDER_HASH = (
    "$6$b8kX2nQe$fG4.hY7Lw9tP0sR2vZ3xC5dB6nM1jK8qA4eW7uI0oT5yH2gF9lS3rD6cV1bN4mX8zQ7kJ2wE5tY0uP3iO6aL91"
)
JIM_HASH = (
    "$6$m3jV7pTs$kL2.aQ8Rz1xW4nB9cF6vH0yT5gD3sJ7eP1oM8uC4bK6iN2fX9wZ5rG0tY3hV7lQ1jS8dE4pA6kU2mO5nB0cI3xR7"
)

# uid, gid, comment, home, shell, field in shadow
PEOPLE = {
    "builder": (101, 10, "Build user", "/export/home/builder", "/bin/sh", BUILDER_HASH),
    "jim": (102, 10, "Jim", "/export/home/jim", "/bin/sh", JIM_HASH),
}
GROUPS = {"build": (100, "builder")}
BUILDER = (
    "builder::::type=normal;auths=solaris.smf.manage,solaris.smf.modify;"
    "profiles=Zone Management,Zone Security,ZFS File System Management,Network Link Security,Software Installation,"
    "Process Management\n"
)
USER_ATTR = (
    "root::::auths=solaris.*,solaris.grant;profiles=All;audit_flags=lo\\:no;lock_after_retries=no\n"
    "adm::::profiles=Log Management\n"
    "dladm::::auths=solaris.smf.manage.wpa,solaris.smf.modify\n"
    f"{BUILDER}jim::::type=normal\n"
)
PROF_ATTR = """\
All:::Any command, as oneself:
Basic Solaris User:::What everybody has:auths=solaris.profmgr.read,solaris.mail.mailq;profiles=All
File System Management:::Mount and share file systems:auths=solaris.smf.manage.autofs
Log Management:::Manage log files:
Network Link Security:::Security of data links:auths=solaris.network.link.security
Network Management:::Configure network interfaces:auths=solaris.network.interface.config
Operator:::Simple tasks:profiles=All
Primary Administrator:::Everything:auths=solaris.*,solaris.grant
Process Management:::Manage processes of others:
Service Management:::Manage services:auths=solaris.smf.manage,solaris.smf.modify
Software Installation:::Install software:profiles=ZFS File System Management
Stop:::The last profile looked at:
System Administrator:::Most that is no matter of security:profiles=File System Management,Network Management,\
Software Installation,User Management,All
User Management:::Manage users and groups:auths=solaris.profmgr.read
ZFS File System Management:::Make and manage ZFS file systems:
ZFS Storage Management:::Make and manage ZFS pools:
Zone Management:::Run zones:
Zone Security:::Configure zones:auths=solaris.zone.*,solaris.zone.grant
"""
EXEC_ATTR = """\
All:suser:cmd:::*:
File System Management:solaris:cmd:::/sbin/mount:privs=sys_mount
File System Management:solaris:cmd:::/sbin/umount:privs=sys_mount
Network Link Security:solaris:cmd:::/sbin/dladm:euid=dladm;egid=sys;privs=sys_dl_config,net_rawaccess,proc_audit
Network Management:solaris:cmd:::/sbin/dladm:euid=dladm;egid=netadm;privs=sys_dl_config,net_rawaccess,proc_audit
Network Management:solaris:cmd:::/sbin/ipadm:euid=netadm;egid=netadm;privs=sys_ip_config,net_rawaccess
Primary Administrator:solaris:cmd:::*:uid=0;gid=0
Process Management:solaris:cmd:::/usr/bin/kill:privs=proc_owner
Process Management:suser:cmd:::/usr/bin/kill:euid=0
Software Installation:solaris:cmd:::/usr/bin/pkg:uid=0
Software Installation:suser:cmd:::/sbin/beadm:uid=0;gid=bin
User Management:solaris:cmd:::/usr/sbin/useradd:uid=0
User Management:solaris:cmd:::/usr/sbin/userdel:uid=0
User Management:solaris:cmd:::/usr/sbin/usermod:uid=0
ZFS File System Management:solaris:cmd:::/sbin/zfs:euid=0
ZFS Storage Management:solaris:cmd:::/sbin/zpool:uid=0
Zone Management:solaris:cmd:::/usr/sbin/zlogin:euid=0
Zone Management:solaris:cmd:::/usr/sbin/zoneadm:euid=0
Zone Security:solaris:cmd:::/usr/sbin/zonecfg:uid=0
"""
AUTH_ATTR = """\
solaris.:::All Solaris Authorizations::
solaris.grant:::Grant All Solaris Authorizations::
solaris.network.interface.config:::Network Interface Configuration::
solaris.network.link.security:::Link Security::
solaris.smf.manage:::Manage All SMF Service States::
solaris.smf.modify:::Modify All SMF Service Properties::
solaris.zone.:::Zone Management::
solaris.zone.clonefrom:::Clone another Zone::
solaris.zone.grant:::Grant Zone Authorizations::
solaris.zone.login:::Zone Login::
solaris.zone.manage:::Zone Deployment::
"""
POLICY = (
    "AUTHS_GRANTED=solaris.device.cdrw\nPROFS_GRANTED=Basic Solaris User\nCONSOLE_USER=Console User\n"
    "CRYPT_ALGORITHMS_ALLOW=1,2a,md5,5,6\nCRYPT_DEFAULT=6\n"
)


# Directories below the root, each after the one above it, and their modes.
DIRECTORIES = {
    "etc": 0o755,
    "etc/alternatives": 0o755,  # the machine's, for programs of its that are links into it
    "etc/svc": 0o755,
    "etc/svc/volatile": 0o755,
    "home": 0o555,
    "mnt": 0o755,
    "opt": 0o755,
    "root": 0o700,
    "tmp": 0o1777,
    "var": 0o755,
    "var/adm": 0o775,
    "var/log": 0o755,
    "var/run": 0o755,
    "var/svc": 0o755,
    "var/svc/log": 0o755,
    "var/tmp": 0o1777,
}


VFSTAB = """\
#device\t\tdevice\t\tmount\t\tFS\tfsck\tmount\tmount
#to mount\tto fsck\t\tpoint\t\ttype\tpass\tat boot\toptions
#
/devices\t-\t\t/devices\tdevfs\t-\tno\t-
/proc\t\t-\t\t/proc\t\tproc\t-\tno\t-
ctfs\t\t-\t\t/system/contract ctfs\t-\tno\t-
objfs\t\t-\t\t/system/object\tobjfs\t-\tno\t-
sharefs\t\t-\t\t/etc/dfs/sharetab\tsharefs\t-\tno\t-
fd\t\t-\t\t/dev/fd\t\tfd\t-\tno\t-
swap\t\t-\t\t/tmp\t\ttmpfs\t-\tyes\t-
/dev/zvol/dsk/rpool/swap\t-\t-\t\tswap\t-\tno\t-
"""
OS_RELEASE = {
    "openindiana": (
        'NAME="OpenIndiana"\nPRETTY_NAME="OpenIndiana Hipster 2024.10"\nVERSION="2024.10"\nVERSION_ID=2024.10\n'
        "ID=openindiana\nID_LIKE=illumos\n"
    ),
    "omnios": (
        'NAME="OmniOS"\nPRETTY_NAME="OmniOS Community Edition v11 r151058"\n'
        'CPE_NAME="cpe:/o:omniosce:omnios:11:151058:0"\nVERSION="r151058"\nVERSION_ID=r151058\n'
        'ID=omnios\nID_LIKE=illumos\nHOME_URL="https://omnios.org/"\n'
    ),
}


def texts(world: World) -> dict[str, tuple[int, str]]:
    """Path below the root, mode and content of every file."""
    name = "omnios" if world.omnios else "openindiana"
    common = (
        "default/init",
        "default/login",
        "default/passwd",
        "default/su",
        "nsswitch.dns",
        "nsswitch.files",
    )
    empty = ("inet/netmasks", "ipadm/ipadm.conf", "dladm/datalink.conf")
    return {
        **{f"etc/{each}": zoneroot.FILES[f"etc/{each}"] for each in common},
        **{f"etc/{each}": (0o644, "") for each in empty},
        "etc/auto_home": (0o644, "+auto_home\n"),
        "etc/auto_master": (
            0o644,
            "+auto_master\n/net\t-hosts\t-nosuid,nobrowse\n/home\tauto_home\t-nobrowse\n",
        ),
        "etc/passwd": (0o644, _passwd()),
        "etc/shadow": (0o400, _shadow()),
        "etc/group": (0o644, _group()),
        "etc/user_attr": (0o644, USER_ATTR),
        "etc/security/prof_attr": (0o644, PROF_ATTR),
        "etc/security/exec_attr": (0o644, EXEC_ATTR),
        "etc/security/auth_attr": (0o644, AUTH_ATTR),
        "etc/security/policy.conf": (0o644, POLICY),
        "etc/nsswitch.conf": zoneroot.FILES["etc/nsswitch.dns"],
        "etc/nodename": (0o644, f"{name}\n"),
        "etc/inet/hosts": (0o644, f"::1\t\tlocalhost\n127.0.0.1\tlocalhost {name} {name}.local loghost\n"),
        "root/.profile": zoneroot.FILES["root/.profile"],
        "etc/release": (0o644, zoneroot.RELEASE[world.flavour]),
        "etc/os-release": (0o644, OS_RELEASE[world.flavour]),
        "etc/vfstab": (0o644, VFSTAB),
    }


def _passwd() -> str:
    users = {**zoneroot.USERS, **PEOPLE}
    return "".join(f"{name}:x:{u[0]}:{u[1]}:{u[2]}:{u[3]}:{u[4]}\n" for name, u in users.items())


def _shadow() -> str:
    fields = {name: user[5] for name, user in {**zoneroot.USERS, **PEOPLE}.items()} | {"root": ROOT_HASH}
    return "".join(f"{name}:{word}:{'' if name == 'root' else 6445}::::::\n" for name, word in fields.items())


def _group() -> str:
    groups = {**zoneroot.GROUPS, **GROUPS}
    return "".join(f"{name}::{gid}:{users}\n" for name, (gid, users) in groups.items())


def _first_day(world: World) -> None:
    for name, (mode, text) in texts(world).items():
        path = world.host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    hosts = world.host / "etc/hosts"
    if not hosts.is_symlink():
        hosts.symlink_to("inet/hosts")
    make_directories(world.host)
    for user in PEOPLE.values():
        _home(world.host / user[3].lstrip("/"), user[0], user[1])


def make_directories(host: Path) -> None:
    """The directories that a host has; those that a lab of an older version used as mount points become its own."""
    for name, mode in DIRECTORIES.items():
        path = host / name
        if not os.path.lexists(path):
            path.mkdir(parents=True)
        elif stat.S_IMODE(path.lstat().st_mode) != MACHINE_MARK:
            continue
        path.chmod(mode)


def _home(directory: Path, uid: int, gid: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # a lab made without root, or with one user id only, belongs to whoever made it
        os.chown(directory, uid, gid)


def mounted_in_volatile(world: World) -> list[str]:
    """Mount points of file systems in directories that a boot empties."""
    from zonemgr.lab import zfs

    tops = [Path("/", name) for name in VOLATILE]
    return [path for _, path in zfs.mounts(world) if any(Path(path).is_relative_to(top) for top in tops)]


def empty_volatile(host: Path, mounted: Sequence[str]) -> None:
    """Empty what a boot empties, but for file systems mounted there; what cannot be removed stays."""
    for name in VOLATILE:
        if (host / name).is_dir():
            _empty(host, f"/{name}", mounted)


def _empty(host: Path, folder: str, mounted: Sequence[str]) -> None:
    for entry in os.scandir(host / folder.lstrip("/")):
        path = f"{folder}/{entry.name}"
        if path in mounted:
            continue
        if any(each.startswith(f"{path}/") for each in mounted):
            _empty(host, path, mounted)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(OSError):
                os.unlink(entry.path)


def _boot(world: World) -> None:
    empty_volatile(world.host, mounted_in_volatile(world))


FIRST_DAY.append(_first_day)
HOST_BOOT.append(_boot)
