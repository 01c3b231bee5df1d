"""A zone's root as an installation leaves it: a few dozen small files that build scripts and set-up tools look at.

It is copied for every clone, so it stays small. /usr, /lib and /sbin are nearly empty: in a cell the machine's are
shown there. Directories are what costs most.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from zonemgr.lab.world import World

BLANK = "$5$kr1VgdIt$OUiUAyZCDogH/uaxH71rMeQxvpDEY2yX.x0ZQRnmeb9"  # OmniOS' hash of the empty password

DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "etc/default": 0o755,
    "etc/dladm": 0o755,
    "etc/inet": 0o755,
    "etc/ipadm": 0o755,
    "etc/security": 0o755,
    "etc/skel": 0o755,
    "etc/ssh": 0o755,
    "etc/svc": 0o755,
    "etc/svc/profile": 0o755,
    "export": 0o755,
    "export/home": 0o755,
    "home": 0o555,
    "lib": 0o755,
    "lib/svc": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sbin": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
    "var/adm": 0o775,
    "var/log": 0o755,
    "var/pkg": 0o755,
    "var/run": 0o755,
    "var/spool": 0o755,
    "var/svc": 0o755,
    "var/svc/log": 0o755,
    "var/tmp": 0o1777,
}

LINKS = {
    "bin": "./usr/bin",
    "etc/TIMEZONE": "./default/init",
    "etc/hosts": "./inet/hosts",
    "etc/services": "./inet/services",
    "etc/svc/profile/generic.xml": "generic_limited_net.xml",
    "etc/svc/profile/inetd_services.xml": "inetd_generic.xml",
    "etc/svc/profile/name_service.xml": "ns_files.xml",
}

# uid, gid, comment, home, shell; what stands in shadow
USERS = {
    "root": (0, 0, "Super-User", "/root", "/usr/bin/bash", ""),
    "daemon": (1, 1, "", "/", "", "NP"),
    "bin": (2, 2, "", "/usr/bin", "", "NP"),
    "sys": (3, 3, "", "/", "", "NP"),
    "adm": (4, 4, "Admin", "/var/adm", "", "NP"),
    "lp": (71, 8, "Line Printer Admin", "/", "", "NP"),
    "uucp": (5, 5, "uucp Admin", "/usr/lib/uucp", "", "NP"),
    "dladm": (15, 65, "Datalink Admin", "/", "", "*LK*"),
    "netadm": (16, 65, "Network Admin", "/", "", "*LK*"),
    "netcfg": (17, 65, "Network Configuration Admin", "/", "", "*LK*"),
    "smmsp": (25, 25, "SendMail Message Submission Program", "/", "", "NP"),
    "sshd": (22, 22, "sshd privsep", "/var/empty", "/bin/false", "*LK*"),
    "webservd": (80, 80, "WebServer Reserved UID", "/", "", "*LK*"),
    "pkg5srv": (97, 97, "pkg(7) server UID", "/", "", "*LK*"),
    "unknown": (96, 96, "Unknown Remote UID", "/", "", "NP"),
    "nobody": (60001, 60001, "NFS Anonymous Access User", "/", "", "*LK*"),
    "noaccess": (60002, 60002, "No Access User", "/", "", "*LK*"),
    "nobody4": (65534, 65534, "SunOS 4.x NFS Anonymous Access User", "/", "", "*LK*"),
}

GROUPS = {
    "root": (0, ""),
    "other": (1, "root"),
    "bin": (2, "root,daemon"),
    "sys": (3, "root,bin,adm"),
    "adm": (4, "root,daemon"),
    "uucp": (5, "root"),
    "mail": (6, "root"),
    "tty": (7, "root,adm"),
    "lp": (8, "root,adm"),
    "nuucp": (9, "root"),
    "staff": (10, ""),
    "daemon": (12, "root"),
    "sysadmin": (14, ""),
    "sshd": (22, ""),
    "smmsp": (25, ""),
    "netadm": (65, ""),
    "webservd": (80, ""),
    "unknown": (96, ""),
    "pkg5srv": (97, ""),
    "nobody": (60001, ""),
    "noaccess": (60002, ""),
    "nogroup": (65534, ""),
}

HOSTS = "::1\t\tlocalhost\n127.0.0.1\tlocalhost loghost\n"

VFSTAB = (
    "/devices\t-\t\t/devices\tdevfs\t-\tno\t-\n"
    "/proc\t\t-\t\t/proc\t\tproc\t-\tno\t-\n"
    "ctfs\t\t-\t\t/system/contract ctfs\t-\tno\t-\n"
    "objfs\t\t-\t\t/system/object\tobjfs\t-\tno\t-\n"
    "sharefs\t\t-\t\t/etc/dfs/sharetab\tsharefs\t-\tno\t-\n"
    "fd\t\t-\t\t/dev/fd\t\tfd\t-\tno\t-\n"
    "swap\t\t-\t\t/tmp\t\ttmpfs\t-\tyes\t-\n"
)

SWITCH = (
    "passwd:     files\ngroup:      files\nhosts:      {hosts}\nipnodes:    {hosts}\nnetworks:   files\n"
    "protocols:  files\nservices:   files\nautomount:  files\nuser_attr:  files\nauth_attr:  files\n"
    "prof_attr:  files\nproject:    files\n"
)
FILES_ONLY, WITH_DNS = SWITCH.format(hosts="files"), SWITCH.format(hosts="files dns")

SSHD = (
    "ListenAddress ::\nAllowTcpForwarding no\nX11Forwarding yes\nPrintMotd no\n"
    "HostKey /etc/ssh/ssh_host_rsa_key\nHostKey /etc/ssh/ssh_host_ecdsa_key\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
    "LoginGraceTime 600\nMaxAuthTries 6\nPermitEmptyPasswords no\nPasswordAuthentication yes\n"
    "PermitRootLogin {root}\nSubsystem sftp internal-sftp\n"
)

INIT = (
    "#!/bin/sh\n# Stands in for init(8): zoneadm looks for it before it boots a zone. In a cell the machine's /sbin\n"
    "# is in this place.\nexit 1\n"
)

# path: mode and text, the same on both flavours
FILES = {
    "etc/auto_home": (0o644, "+auto_home\n"),
    "etc/auto_master": (
        0o644,
        "+auto_master\n/net\t\t-hosts\t\t-nosuid,nobrowse\n/home\t\tauto_home\t-nobrowse\n",
    ),
    "etc/default/init": (0o644, "TZ=UTC\nCMASK=022\nLANG=C.UTF-8\n"),
    "etc/default/login": (
        0o644,
        "CONSOLE=/dev/console\nPASSREQ=YES\nPATH=/usr/bin:/usr/sbin:/sbin:/usr/gnu/bin\n"
        "SUPATH=/usr/sbin:/sbin:/usr/bin\nUMASK=022\nSYSLOG=YES\n",
    ),
    "etc/default/passwd": (0o644, "MAXWEEKS=\nMINWEEKS=\nPASSLENGTH=6\n"),
    "etc/default/su": (
        0o644,
        "SULOG=/var/adm/sulog\nPATH=/usr/bin:/usr/sbin\nSUPATH=/usr/sbin:/usr/bin\nSYSLOG=YES\n",
    ),
    "etc/mnttab": (0o444, ""),
    "etc/group": (0o644, "".join(f"{name}::{gid}:{users}\n" for name, (gid, users) in GROUPS.items())),
    "etc/inet/hosts": (0o644, HOSTS),
    "etc/inet/services": (
        0o644,
        "ssh\t\t22/tcp\nsmtp\t\t25/tcp\ndomain\t\t53/udp\nhttp\t\t80/tcp\nntp\t\t123/udp\n",
    ),
    "etc/inet/netmasks": (0o644, ""),
    "etc/ipadm/ipadm.conf": (0o644, ""),
    "etc/dladm/datalink.conf": (0o644, ""),
    "etc/nsswitch.conf": (0o644, FILES_ONLY),
    "etc/nsswitch.dns": (0o644, WITH_DNS),
    "etc/nsswitch.files": (0o644, FILES_ONLY),
    "etc/passwd": (
        0o644,
        "".join(f"{name}:x:{u[0]}:{u[1]}:{u[2]}:{u[3]}:{u[4]}\n" for name, u in USERS.items()),
    ),
    "etc/profile": (0o644, "trap '' 2 3\nexport LOGNAME PATH\numask 022\ntrap 2 3\n"),
    "etc/security/auth_attr": (0o644, "solaris.:::All Solaris Authorizations::\n"),
    "etc/security/exec_attr": (
        0o644,
        "All:suser:cmd:::*:\nPrimary Administrator:suser:cmd:::*:uid=0;gid=0\n",
    ),
    "etc/security/policy.conf": (
        0o644,
        "AUTHS_GRANTED=\nPROFS_GRANTED=Basic Solaris User\nCRYPT_ALGORITHMS_ALLOW=1,2a,md5,5,6\nCRYPT_DEFAULT=6\n",
    ),
    "etc/security/prof_attr": (
        0o644,
        "All:::Execute any command as the user or role:\n"
        "Basic Solaris User:::Automatically assigned rights:profiles=All\n"
        "Primary Administrator:::Can perform all administrative tasks:auths=solaris.*,solaris.grant\n",
    ),
    "etc/skel/.profile": (0o644, "export PATH=/usr/bin:/usr/sbin:/sbin\n"),
    "etc/ssh/ssh_config": (0o644, ""),
    "etc/ssh/sshd_config": (0o644, SSHD.format(root="yes")),
    "etc/user_attr": (
        0o644,
        "adm::::profiles=Log Management\nroot::::auths=solaris.*,solaris.grant;profiles=All\n",
    ),
    "etc/vfstab": (0o644, VFSTAB),
    "root/.profile": (0o644, "export PATH=/usr/bin:/usr/sbin:/sbin\n"),
    "sbin/init": (0o555, INIT),
    "var/adm/messages": (0o644, ""),
    "var/adm/sulog": (0o600, ""),
    "var/log/syslog": (0o640, ""),
}

SYSDING = {
    "lib/svc/method/sysding": (0o555, "#!/usr/bin/ksh\n# The lab plays the part of this method itself.\n"),
    "lib/svc/manifest/system/sysding.xml": (
        0o444,
        '<?xml version="1.0"?>\n<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">\n'
        "<service_bundle type='manifest' name='sysding'>\n"
        "<service name='system/sysding' type='service' version='1'><instance name='system' enabled='true'/></service>\n"
        "</service_bundle>\n",
    ),
}

RELEASE = {
    "openindiana": "             OpenIndiana Hipster 2024.10 (powered by illumos)\n",
    "omnios": "  OmniOS v11 r151058\n",
}


def shadow(root_password: str) -> str:
    fields = {name: user[5] for name, user in USERS.items()} | {"root": root_password}
    return "".join(f"{name}:{word}:{6445 if name != 'root' else ''}::::::\n" for name, word in fields.items())


def create(root: Path, world: World) -> None:
    """Fill an empty root directory, as the packages of a fresh installation and the brand's script do."""
    for name, mode in DIRECTORIES.items():
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(mode)
    for name, leads_to in LINKS.items():
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(leads_to)
    own = {
        "etc/release": (0o644, RELEASE[world.flavour]),
        "etc/shadow": (0o400, shadow(BLANK if world.omnios else "")),
    }
    for name, (mode, text) in {**FILES, **own, **({} if world.omnios else SYSDING)}.items():
        _write(root / name, mode, text)


def _write(path: Path, mode: int, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


# -- ssh host keys -----------------------------------------------------------------------------------------

ALGORITHMS = {"rsa": "ssh-rsa", "ecdsa": "ecdsa-sha2-nistp256", "ed25519": "ssh-ed25519"}


def host_keys() -> dict[str, tuple[int, str]]:
    """New host keys below /etc/ssh: file name, and mode and text. Random, and no more than that: not usable."""
    files: dict[str, tuple[int, str]] = {}
    for algorithm, name in ALGORITHMS.items():
        private = base64.encodebytes(os.urandom(96)).decode()
        public = base64.b64encode(os.urandom(48)).decode()
        frame = "-----{} OPENSSH PRIVATE KEY-----\n"
        text = frame.format("BEGIN") + private + frame.format("END")
        files[f"ssh_host_{algorithm}_key"] = (0o600, text)
        files[f"ssh_host_{algorithm}_key.pub"] = (0o644, f"{name} {public} root@unknown\n")
    return files
