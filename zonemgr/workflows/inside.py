"""What `modify` changes inside a zone, with a way back: accounts, rights, automounts, interface files, /tmp.

In a running zone the files that are touched are copied aside first, and put back when the job fails. A halted zone is
mounted for this instead, and rolled back to a snapshot (see modify).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zonemgr.host import accounts, smf, zlogin, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import ZoneName, ZoneState
from zonemgr.workflows import building, parts, setup, survey
from zonemgr.workflows.steps import Step

# All that setup.sh.j2, drop.sh.j2 and storage.SizeTmp write to.
FILES = (
    "/etc/passwd /etc/shadow /etc/group /etc/user_attr /etc/vfstab /etc/auto_master /etc/auto_direct /etc/nodename "
    "/etc/inet/hosts /etc/resolv.conf /etc/nsswitch.conf /etc/sysding.conf /etc/hostname.* /etc/hostname6.* "
    "/etc/dhcp.* /etc/dhcp/*.dhc /etc/dhcp/*.dh6 /etc/sudoers.d/zonemgr-* /opt/local/etc/sudoers.d/zonemgr-* "
    "/opt/csw/etc/sudoers.d/zonemgr-*"
)
_START = "set -eu\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\numask 077\nkeep=/etc/zonemgr-{run}\n"
_KEEP = f"""
rm -rf "$keep.new"
mkdir "$keep.new"
: > "$keep.new/files"
: > "$keep.new/homes"
for file in {FILES}; do
	[ -f "$file" ] || continue
	mkdir -p "$keep.new${{file%/*}}"
	cp -p "$file" "$keep.new$file"
	echo "$file" >> "$keep.new/files"
done
for home in "$@"; do
	[ -d "$home" ] || echo "$home" >> "$keep.new/homes"
done
mv "$keep.new" "$keep"
"""
# A home that is a mount point by now, or lies below or above one, is not the zone's own any more: what is in there may
# be the host's, which the change itself has mounted there at the zone's next boot.
_BACK = f"""
foreign() {{
	[ -r /etc/mnttab ] || return 0
	while read -r what point rest; do
		[ "$point" != / ] || continue
		case $point/ in "$1"/*) return 0 ;; esac
		case $1/ in "$point"/*) return 0 ;; esac
	done < /etc/mnttab
	return 1
}}
[ -d "$keep" ] || {{ rm -rf "$keep.new"; exit 0; }}
for file in {FILES}; do
	[ ! -f "$file" ] || [ -f "$keep$file" ] || rm -f "$file"
done
while read -r file; do cp -p "$keep$file" "$file"; done < "$keep/files"
while read -r home; do foreign "$home" || rm -rf "$home"; done < "$keep/homes"
rm -rf "$keep"
"""
_FORGET = 'rm -rf "$keep" "$keep.new"\n'


@dataclass(frozen=True)
class KeepFiles(Step):
    """Copy aside the files of a running zone that are to be changed; undo puts them back.

    Homes of new accounts go again; services that were enabled stay enabled. A zone that is down by then, after a
    reboot of the host perhaps, is booted to single-user for it.
    """

    zone: str
    run: str
    made_by: str
    homes: tuple[str, ...]  # that the change may make
    limit: float  # seconds to single-user

    def __str__(self) -> str:
        return f"keep the files of {self.zone} that change"

    def do(self, host: Host) -> None:
        _run(host, self.zone, self.run, f"set -- {_quoted(self.homes)}\n{_KEEP}")

    def undo(self, host: Host) -> None:
        row = survey.find(host, self.zone)
        if row is None or not parts.bears_mark(host, self.zone, self.made_by):
            return
        if row.state is ZoneState.RUNNING:
            _run(host, self.zone, self.run, _BACK)
        elif row.state is ZoneState.INSTALLED:
            self._boot_and_undo(host, ZoneName(self.zone))

    def _boot_and_undo(self, host: Host, zone: ZoneName) -> None:
        parts.remake_vnics(host, zone)
        zoneadm.boot(host, zone, "-s")
        smf.wait_for(host, zone, smf.SINGLE_USER, limit=self.limit)
        _run(host, zone, self.run, _BACK)
        zoneadm.halt(host, zone)


@dataclass(frozen=True)
class ForgetFiles(Step):
    """Remove the copies; undoing it is finishing it."""

    zone: str
    run: str
    made_by: str

    def __str__(self) -> str:
        return f"forget the old files of {self.zone}"

    def do(self, host: Host) -> None:
        _run(host, self.zone, self.run, _FORGET)

    def undo(self, host: Host) -> None:
        if _runs(host, self.zone, self.made_by):
            self.do(host)


@dataclass(frozen=True)
class DropInside(Step):
    """Take accounts, groups, rights, automounts and interface files away; raises for what is not there, first."""

    zone: str
    users: tuple[str, ...]
    groups: tuple[str, ...]
    elevated: tuple[str, ...]
    autonfs: tuple[str, ...]
    links: tuple[str, ...]
    mounted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"take away what {self.zone} is to lose inside"

    def do(self, host: Host) -> None:
        dropped = setup.Dropped(
            users=self.users, groups=self.groups, elevated=self.elevated, autonfs=self.autonfs, links=self.links,
            mounted=self.mounted,
        )  # fmt: skip
        script = setup.Script(setup.drop_script(dropped))
        building.run_setup(host, ZoneName(self.zone), script, limit=host.limits.change)


@dataclass(frozen=True)
class AddInside(Step):
    """Run the set-up script for what is new. The script is made when the step is done: hashes stay out of journals."""

    zone: str
    vnics: tuple[str, ...]
    links: tuple[str, ...]
    kept: tuple[str, ...]  # links that the zone has already
    users: tuple[str, ...]
    groups: tuple[str, ...]
    elevated: tuple[str, ...]
    mounted: tuple[str, ...]
    autonfs: tuple[str, ...]
    limit: float

    def __str__(self) -> str:
        return f"set up {self.zone}"

    def do(self, host: Host) -> None:
        wanted = setup.Wanted(
            vnics=self.vnics, links=self.links, kept=self.kept, users=self.users, groups=self.groups,
            elevated=self.elevated, mounted=self.mounted, autonfs=self.autonfs,
        )  # fmt: skip
        script = setup.script(host, self.zone, wanted)
        building.run_setup(host, ZoneName(self.zone), script, limit=self.limit)


def homes(host: Host, users: Sequence[str], mounts: Sequence[str]) -> tuple[str, ...]:
    """Directories that copying these accounts may make in a zone, but for those where something is mounted.

    `mounts`: mount points in the zone, of now and of its next boot. A home at, below or above one is left out.
    """
    if not users:
        return ()
    book = accounts.read(host)
    found = [book.user(user).home for user in users if user != setup.ROOT]
    places = [f"/export{home}" if home.startswith("/home/") else home for home in found if home.strip("/")]
    return tuple(home for home in places if not any(_overlap(home, mount) for mount in mounts))


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _runs(host: Host, zone: str, made_by: str) -> bool:
    row = survey.find(host, zone)
    return row is not None and row.state is ZoneState.RUNNING and parts.bears_mark(host, zone, made_by)


def _run(host: Host, zone: str, run: str, script: str) -> None:
    zlogin.run_script(host, ZoneName(zone), _START.format(run=run) + script)


def _quoted(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)
