"""sysding, OpenIndiana's first-boot configuration: what /etc/sysding.conf does to a zone.

The real one runs any ksh code. Here the lines that are plain calls of its functions, of ipadm, or of the commands that
make accounts, are carried out. At anything else the service fails, and says in its log at which line.
"""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from zonemgr.lab import options, place
from zonemgr.lab.ipconf import DHCP_WAIT
from zonemgr.lab.place import Place
from zonemgr.lab.world import LabError

CONF = "etc/sysding.conf"
LOG = "var/log/sysding.log"
SMF_LOG = "var/svc/log/system-sysding:system.log"
SHADOW_MODE = 0o400
ACCOUNTS = (
    "useradd",
    "usermod",
    "userdel",
    "groupadd",
    "groupmod",
    "groupdel",
    "roleadd",
    "rolemod",
    "roledel",
    "passwd",
)


class NotEmulated(Exception):
    """A line that the lab cannot carry out."""


class Sysding:
    """One run over the files of a root."""

    def __init__(self, where: Place) -> None:
        self.where = where
        self.wants_reboot = False
        self.failed = False
        self.lines: list[str] = []
        self.functions: dict[str, Callable[[list[str]], None]] = {
            "setup_timezone": self.timezone,
            "setup_locale": self.locale,
            "setup_user_account": self.account,
            "setup_user_password": self.password,
            "setup_interface": self.interface,
            "setup_route": self.route,
            "setup_ns_dns": self.dns,
            "ipadm": self.ipadm,
            "/usr/sbin/ipadm": self.ipadm,
            "setup_aggregate": self.aggregate,
            "setup_zpool": self.pool,
            "echo": lambda words: self.log(" ".join(words)),
            "true": lambda words: None,
            ":": lambda words: None,
        }

    def run(self) -> None:
        text = place.read(self.where.root, CONF)
        try:
            for line in (text or "").splitlines():
                self._line(line.strip())
        except NotEmulated as line:
            self.failed = True
            self.log(f"lab: not emulated: {line}")
            self._write_log(SMF_LOG)
            return self._write_log(LOG)
        self._root_password()
        if text is not None:
            place.inside(self.where.root, CONF).chmod(0o400)
        place.inside(self.where.root, "etc/.UNCONFIGURED").unlink(missing_ok=True)
        self.log("System configuration finished" + (", rebooting" if self.wants_reboot else ""))
        return self._write_log(LOG)

    def log(self, text: str) -> None:
        self.lines.append(text)

    def _line(self, line: str) -> None:
        if not line or line.startswith("#"):
            return None
        words = _plain_words(line)
        if not words:
            raise NotEmulated(line)
        name = words[0].rpartition("/")[2]
        if name in ACCOUNTS:
            return self._account_command([name, *words[1:]], line)
        function = self.functions.get(words[0])
        if function is None:
            raise NotEmulated(line)
        try:
            function(words[1:])
        except (IndexError, ValueError, OSError) as trouble:
            self.log(f"{words[0]}: {trouble}")

    def _account_command(self, words: list[str], line: str) -> None:
        """A program that writes account files; that it fails is in the log, and no more."""
        import io

        from zonemgr.lab import users
        from zonemgr.lab.call import Call, NoWorld

        said = io.BytesIO()
        call = Call(NoWorld(), words, stdout=said, stderr=said, zone=self.where.zone, root=self.where.root)
        try:
            users.passwd(call) if words[0] == "passwd" else users.command(call)
        except LabError:
            raise NotEmulated(line) from None
        for text in said.getvalue().decode("utf-8", "replace").splitlines():
            self.log(text)

    # -- the functions ---------------------------------------------------------------------------------

    def timezone(self, words: list[str]) -> None:
        zone = words[0]
        if not (Path("/usr/share/zoneinfo") / zone).is_file():
            self.log(f"log_error: not found [timezone {zone} is unknown, using UTC]")
            zone = "UTC"
        self._default_init("TZ", zone)

    def locale(self, words: list[str]) -> None:
        self.log(f"Warning: locale {words[0]} is not installed")  # its check never works
        self._default_init("LANG", words[0])

    def _default_init(self, name: str, value: str) -> None:
        old = (self._read("etc/default/init") or "").splitlines()
        kept = [line for line in old if not line.startswith(f"{name}=")]
        self._write("etc/default/init", [*kept, f"{name}={value}"])
        self.log(f"{name} set to {value}")
        self.wants_reboot = True

    def account(self, words: list[str]) -> None:
        name, uid, gid, gecos, home, shell = words[:6]
        self._append("etc/passwd", f"{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}")
        self._append("etc/shadow", f"{name}:NP:::::::", SHADOW_MODE)
        self.log(f"added user {name}")

    def password(self, words: list[str]) -> None:
        """As ed(1) would: `s,^NAME:[^:.]*:,NAME:HASH:,`."""
        name, crypted = words[0], words[1]
        lines = (self._read("etc/shadow") or "").splitlines()
        pattern = re.compile(rf"^{re.escape(name)}:[^:.]*:")
        if "," in crypted or not any(pattern.match(line) for line in lines):
            return self.log(f"password of {name} not set: ?")
        changed = [pattern.sub(lambda _: f"{name}:{crypted}:", line, count=1) for line in lines]
        self._write("etc/shadow", changed, SHADOW_MODE)
        return self.log(f"password of {name} set")

    def interface(self, words: list[str]) -> None:
        nic, name, address = words[:3]
        links = [link.name for link in self.where.links]
        nic = links[0] if nic == "PRIMARY" and links else nic
        self._address(f"{nic}/{name}link" if ":" in address else "", "addrconf", "")
        self._address(f"{nic}/{name}", "dhcp" if address == "dhcp" else "static", address)

    def ipadm(self, words: list[str]) -> None:
        """`ipadm create-if` and `create-addr`, as the file calls them itself."""
        from zonemgr.lab import ipconf

        try:
            if words[0] == "create-if" and len(words) == 2:
                return ipconf.create_interface(self.where, words[1], self.where.links)
        except ipconf.Trouble as trouble:
            return self.log(f"ipadm: Could not create {words[1]} : {trouble}")
        given = _create_addr(words)
        if given is None:
            raise NotEmulated(f"ipadm {shlex.join(words)}")
        address = given.get("a", "").removeprefix("local=")
        return self._address(given["name"], given["T"], address, temporary="t" in given)

    def _address(self, name: str, kind: str, text: str, *, temporary: bool = False) -> None:
        from zonemgr.lab import ipconf

        if not name:
            return
        try:
            address = ipconf.parse_address(text) if kind == "static" else ""
            made = ipconf.Address(name, kind, address, temporary=temporary)
            ipconf.create_address(self.where, made, self.where.links)
            self.log(f"interface {name} {text or kind}")
        except ipconf.Trouble as trouble:
            self.log(f"ipadm: Could not create address: {trouble}")

    def route(self, words: list[str]) -> None:
        target, gateway = words[:2]
        self._append("etc/inet/static_routes-DefaultFixed", f"{target} {gateway}")
        self.log(f"route to {target} by {gateway}")

    def dns(self, words: list[str]) -> None:
        domain, search, servers = words[0], words[1], words[2]
        lines = [f"domain {domain}", f"search {search}", *(f"nameserver {each}" for each in servers.split())]
        self._write("etc/resolv.conf", lines)
        switch = self._read("etc/nsswitch.dns")
        if switch is None:
            return self.log("cp: cannot access /etc/nsswitch.dns")
        place.write(self.where.root, "etc/nsswitch.conf", switch)
        return self.log(f"DNS set up for {domain}")

    def aggregate(self, words: list[str]) -> None:
        """Compares the mode with a variable that has another name, so no mode is right."""
        self.log(f"invalid LACP mode {words[1]}")

    def pool(self, words: list[str]) -> None:
        self.log(f"cannot create '{words[0]}': permission denied")  # as for every pool in a zone

    # -- files -----------------------------------------------------------------------------------------

    def _root_password(self) -> None:
        lines = (self._read("etc/shadow") or "").splitlines()
        changed = [re.sub(r"^root::", "root:NP:", line) for line in lines]
        if changed != lines:
            self._write("etc/shadow", changed, SHADOW_MODE)

    def _read(self, name: str) -> str | None:
        return place.read(self.where.root, name)

    def _write(self, name: str, lines: list[str], mode: int = 0o644) -> None:
        place.write(self.where.root, name, "".join(f"{line}\n" for line in lines), mode)

    def _append(self, name: str, line: str, mode: int = 0o644) -> None:
        self._write(name, [*(self._read(name) or "").splitlines(), line], mode)

    def _write_log(self, name: str) -> None:
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(self.where.now))
        old = (self._read(name) or "").splitlines()
        self._write(name, old + [f"[ {stamp} {line} ]" for line in self.lines])


def waits(where: Place) -> float:
    """Seconds that the file's calls wait for DHCP servers, one after the other, on links where none answers.

    setup_interface gives no -w, so each waits as long as ipadm does by itself.
    """
    silent = {link.name for link in where.links if not link.dhcp}
    seconds = 0.0
    for line in (place.read(where.root, CONF) or "").splitlines() if silent else ():
        words = _plain_words(line.strip()) or [""]
        given = _create_addr(words[1:]) if words[0].endswith("ipadm") else None
        if words[0] == "setup_interface" and words[3:4] == ["dhcp"] and words[1] in silent:
            seconds += DHCP_WAIT
        elif given and given["T"] == "dhcp" and given["name"].partition("/")[0] in silent:
            wait = given.get("w", str(DHCP_WAIT))
            seconds += math.inf if wait == "forever" else float(wait) if wait.isdigit() else 0.0
    return seconds


def _create_addr(words: list[str]) -> dict[str, str] | None:
    """The options of `ipadm create-addr`, by letter, and the `name` of the object; None for anything else."""
    if words[:1] != ["create-addr"]:
        return None
    try:
        found, rest = options.parse(words[1:], "1T:a:dh:i:p:w:t", {})
    except options.BadOption:
        return None
    given = dict(found)
    return {**given, "name": rest[0]} if len(rest) == 1 and "T" in given else None


def _plain_words(line: str) -> list[str] | None:
    """The words of a simple command; None when the line needs a shell to be understood."""
    bare = re.sub(r"'[^']*'", "", line)
    if re.search(r"[$`;|&<>(){}\\*?]", re.sub(r'"[^"$`\\]*"', "", bare)):
        return None
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return None
