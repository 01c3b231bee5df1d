"""Which emulated command lives in which file. Modules are imported when first needed: start-up counts."""

from __future__ import annotations

import importlib

from zonemgr.lab.call import Tool

# What the host is and who its users are, in the global zone and in zones.
MACHINE: dict[str, str] = {
    **{
        name: f"machine:{name}"
        for name in (
            *("uname", "isainfo", "psrinfo", "prtconf", "arch", "mach", "pagesize", "swap", "hostname"),
            *("domainname", "uptime", "w", "who", "ppriv"),
        )
    },
    **{name: f"people:{name}" for name in ("groups", "getent", "logins")},
    "id": "people:identity",
}

ACCOUNTS = (
    "useradd", "usermod", "userdel", "groupadd", "groupdel", "groupmod", "roleadd", "rolemod", "roledel",
)  # fmt: skip

# command name -> "module:function" below zonemgr.lab
TOOLS: dict[str, str] = {
    "zfs": "zfs:zfs",
    "zpool": "zpool:zpool",
    "mount": "mounts:mount",
    "umount": "mounts:umount",
    "zonecfg": "zonecfg:zonecfg",
    "zoneadm": "zoneadm:zoneadm",
    "zlogin": "zlogin:zlogin",
    "su": "su:su",
    "zonename": "hosttools:zonename",
    "beadm": "beadm:beadm",
    "pfexec": "hosttools:pfexec",
    "profiles": "hosttools:profiles",
    "auths": "hosttools:auths",
    "dladm": "dladm:dladm",
    "ipadm": "ipadm:ipadm",
    "pkg": "pkg:pkg",
    "pkgrepo": "pkg.pkgrepo:pkgrepo",
    "pkgsend": "pkg.pkgsend:pkgsend",
    "svcs": "smf:svcs",
    "svcadm": "smf:svcadm",
    "svccfg": "smf:svccfg",
    "svcprop": "smf:svcprop",
    "pgrep": "pgrep:command",
    "pkill": "pgrep:command",
    "ps": "ps:ps",
    **{name: f"ptools:{name}" for name in ("ptree", "pargs", "pwdx", "prstat")},
    "fuser": "pgrep:fuser",
    **MACHINE,
    "df": "df:df",
    **dict.fromkeys(ACCOUNTS, "users:command"),
    "passwd": "users:passwd",
    "digest": "digest:digest",
}

# Commands every Unix has: emulated for the in-process way in only; elsewhere the machine's own are used.
PLAIN: dict[str, str] = {
    "cat": "plain:cat",
    "rmdir": "plain:rmdir",
    "test": "plain:test",
    "readlink": "plain:readlink",
    "true": "plain:true",
    "false": "plain:false",
    "sh": "plainsh:sh",
    **{name: f"plainfiles:{name}" for name in ("dd", "chmod", "mkdir", "mv", "rm", "wc")},
}

# The same commands inside a zone: what works on the zone's own files, or answers as in a non-global zone.
IN_ZONE: dict[str, str] = {
    "zonename": "hosttools:zonename",
    "pfexec": "hosttools:pfexec",
    "profiles": "hosttools:profiles",
    "auths": "hosttools:auths",
    "dladm": "dladm:dladm",
    "ipadm": "ipadm:ipadm",
    "pkg": "pkg:pkg",
    "pkgrepo": "pkg.pkgrepo:pkgrepo",
    "pkgsend": "pkg.pkgsend:pkgsend",
    "svcs": "smf:svcs",
    "svcadm": "smf:svcadm",
    "svccfg": "smf:svccfg",
    "svcprop": "smf:svcprop",
    "su": "su:su",
    "zoneadm": "inzone:zoneadm",
    "zonecfg": "inzone:zonecfg",
    "zlogin": "inzone:zlogin",
    **dict.fromkeys(
        ("halt", "init", "telinit", "poweroff", "reboot", "shutdown", "uadmin"), "zonepower:command"
    ),
    **dict.fromkeys(("zfs", "zpool", "mount", "umount", "df", "beadm"), "inzone:ask"),
    "automount": "autofs:command",
    "ifconfig": "ifconfig:ifconfig",
    "pgrep": "pgrep:command",
    "pkill": "pgrep:command",
    "ps": "ps:ps",
    **{name: f"ptools:{name}" for name in ("ptree", "pargs", "pwdx", "prstat")},
    **MACHINE,
    **dict.fromkeys(ACCOUNTS, "inzone:ask"),
    "passwd": "inzone:ask",
    **dict.fromkeys(("passmgmt", "fuser"), "inzone:refused"),
}


def find(name: str, *, in_zone: bool = False) -> Tool:
    """The function behind a command; raises KeyError for a command the lab does not know."""
    known = IN_ZONE if in_zone else {**PLAIN, **TOOLS}
    module, function = known[name.rsplit("/", 1)[-1]].split(":")
    tool: Tool = getattr(importlib.import_module(f"zonemgr.lab.{module}"), function)
    return tool


def load_all() -> None:
    """Import every tool, so that all tables and first-day functions are registered."""
    for where in {**PLAIN, **TOOLS}.values():
        module = f"zonemgr.lab.{where.split(':')[0]}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name != module:  # the tool is there, but something it needs is not
                raise
    for registers_tables in ("dispatch", "faults", "callers"):
        importlib.import_module(f"zonemgr.lab.{registers_tables}")
