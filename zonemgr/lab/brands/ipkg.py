"""The ipkg family (ipkg, lipkg, nlipkg): the hooks clone, prestate, poststate and detach.

clone.x = off         the clone script is one that does not know the option -X
fault.clone = STEP    zoneadm and its clone script are killed right after this step: `dataset` (zonepath and ROOT
                      made), `snapshot`, `clone`, `active`, `parentbe`, `mounted`; `fault.clone.ZONE` for one zone
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass

from zonemgr.lab.brands import common, hook, unconfigure
from zonemgr.lab.brands.common import ACTIVE, PARENT, words
from zonemgr.lab.brands.hook import Hook, HookExit, Killed
from zonemgr.lab.call import Call

CLONE_USAGE = "clone {sourcezone}"
BAD_SOURCE = "Error: specified snapshot is invalid for this source zone."

# zoneadmd's numbers for what it is about to do with a zone, and its state for the boot of the host
READY, BOOT, HALT = 0, 1, 4
SYSBOOT = 99


# -- clone -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """What is cloned: a ZBE, and its snapshot or an empty name for one that is still to be made."""

    dataset: str
    snapshot: str


@dataclass(frozen=True)
class CloneKind:
    """How a brand snapshots and clones beyond the ZBE itself."""

    snapshot: tuple[str, ...]  # options of `zfs snapshot`
    cloned: Callable[[Hook, Source, str], None]  # after the ZBE is cloned
    mountable: Callable[[Hook, str], None]  # after its properties are set


def _nothing_more(*_: object) -> None:
    pass


PLAIN = CloneKind((), _nothing_more, _nothing_more)


def clone(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, lambda h: clone_steps(h, PLAIN), usage=CLONE_USAGE)


def clone_steps(h: Hook, kind: CloneKind) -> None:
    given = h.options("R:s:z:" if h.call.world.get("clone.x") == "off" else "R:s:Xz:", h.argv[1:])
    h.zone, h.zonepath = given.get("z"), given.get("R")
    if len(given.rest) != 1:
        raise h.misused()
    gzbe = common.current_gzbe(h)
    source = _source(h, gzbe, given.rest[0], given.get("s"))
    target = _target(h)
    _after(h, "dataset")
    source = Source(source.dataset, source.snapshot or _new_snapshot(h, kind, source.dataset))
    _after(h, "snapshot")
    zbe = _clone_root(h, kind, source, target)
    _after(h, "clone")
    for prop in (f"{ACTIVE}=on", f"{PARENT}={gzbe}", "canmount=noauto"):
        if not h.ok("zfs", "set", prop, zbe):
            raise h.incomplete(common.NO_CREATE)
        _after(h, prop.partition("=")[0].rpartition(":")[2])
    _root_directory(h)
    kind.mountable(h, zbe)
    _unconfigure(h, skip=given.has("X"))


def _after(h: Hook, step: str) -> None:
    facts = h.call.world
    if step in (facts.get(f"fault.clone.{h.zone}"), facts.get("fault.clone")):
        raise Killed


def _source(h: Hook, gzbe: str, zone: str, wanted: str) -> Source:
    dataset, snapshot = _split(wanted)
    dataset = _requested(h, zone, dataset) if dataset else _active_of(h, gzbe, zone)
    if snapshot and h.run("zfs", "list", "-H", f"{dataset}@{snapshot}").exit_code:
        raise h.fatal(BAD_SOURCE)
    return Source(dataset, snapshot)


def _split(wanted: str) -> tuple[str, str]:
    """`-s`: DATASET@SNAP, @SNAP, SNAP, or DATASET for a new snapshot of it."""
    if "@" in wanted:
        dataset, _, snapshot = wanted.partition("@")
        return dataset, snapshot
    return (wanted, "") if "/" in wanted else ("", wanted)


def _requested(h: Hook, zone: str, dataset: str) -> str:
    if not re.search(rf"^.*/{zone}/ROOT/[^/]+$", dataset):
        raise h.fatal(BAD_SOURCE)
    if h.run("zfs", "list", "-H", "-o", f"{PARENT},{ACTIVE}", dataset).exit_code:
        raise h.fatal(BAD_SOURCE)
    return dataset


def _active_of(h: Hook, gzbe: str, zone: str) -> str:
    listed = h.run("zoneadm", "-z", zone, "list", "-p").stdout.strip()
    path = listed.split(":")[3] if listed.count(":") > 3 else ""
    if not path:
        raise h.fatal("Error: unable to determine source zone dataset.")
    return common.active_dataset(h, gzbe, common.zonepath_dataset(h, path))


def _target(h: Hook) -> str:
    """Make the zonepath dataset and ROOT, both of which may be there; the zonepath dataset's name(s)."""
    parent = common.zonepath_dataset(h, posixpath.dirname(h.zonepath))
    common.refuse_root_pool(h, parent)
    target = f"{parent}/{posixpath.basename(h.zonepath)}"
    h.ok("zfs", "create", *words(target))
    h.ok("zfs", "create", "-o", "mountpoint=legacy", "-o", "zoned=on", *words(f"{target}/ROOT"))
    return target


def _new_snapshot(h: Hook, kind: CloneKind, dataset: str) -> str:
    for number in range(100):
        name = f"{h.zone}_snap{number or ''}"
        if h.ok("zfs", "snapshot", *kind.snapshot, f"{dataset}@{name}"):
            return name
    raise h.fatal(common.NO_CREATE)


def _clone_root(h: Hook, kind: CloneKind, source: Source, target: str) -> str:
    for number in range(100):
        zbe = f"{target}/ROOT/zbe{f'-{number}' if number else ''}"
        if h.ok("zfs", "clone", f"{source.dataset}@{source.snapshot}", *words(zbe)):
            kind.cloned(h, source, zbe)
            return zbe
    raise h.fatal(common.NO_CREATE)


def _root_directory(h: Hook) -> None:
    root = h.call.world.path(f"{h.zonepath}/root")
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        root.parent.chmod(0o700)


def _unconfigure(h: Hook, *, skip: bool) -> None:
    """Unconfigure the new zone in its mounted state. The script's exit trap makes 0 of most failures."""
    if not h.ok("zoneadm", "-z", h.zone, "mount", "-f"):
        h.error("Zone mount failed")
        raise _trapped(h)
    _after(h, "mounted")
    if skip:
        return
    failed = not unconfigure.system_unconfigure(h.call, h.zone, h.zonepath)
    if failed:
        h.error("Zone unconfiguration failed")
    h.remark("Unmounting zone")
    if not h.ok("zoneadm", "-z", h.zone, "unmount"):
        h.error("Zone unmount failed")
        raise _trapped(h)
    if failed:
        h.error("Postprocessing failed.")
        raise HookExit(hook.OK)  # the trap exits with a variable that is never set


def _trapped(h: Hook) -> HookExit:
    """The exit trap with the zone taken for mounted: one more try to unmount it, whose status is the script's."""
    h.error("Unmounting zone")
    return HookExit(0 if h.ok("zoneadm", "-z", h.zone, "unmount") else 1)


# -- state changes -----------------------------------------------------------------------------------------


def prestate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _prestate)


def _prestate(h: Hook) -> None:
    state, command = take_state(h)
    if command == READY:
        common.mount_active(h)
        if state != SYSBOOT:
            config_network(h)


def poststate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _poststate)


def _poststate(h: Hook) -> None:
    _, command = take_state(h)
    if command == HALT:
        common.mount_active(h)
        unconfig_network(h)


def take_state(h: Hook) -> tuple[int, int]:
    h.zone, h.zonepath = h.argv[1], h.argv[2]
    return int(h.argv[3]), int(h.argv[4])


def config_network(h: Hook) -> None:
    if h.call.world.omnios:
        from zonemgr.lab.brands import network

        network.configure(h)


def unconfig_network(h: Hook) -> None:
    if h.call.world.omnios:
        from zonemgr.lab.brands import network

        network.unconfigure(h)


# -- detach and attach -------------------------------------------------------------------------------------

DETACH_USAGE = "detach [-n ]."


def detach(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _detach, usage=DETACH_USAGE)


def _detach(h: Hook) -> None:
    given = h.options("nR:z:", h.argv[1:])
    h.zone, h.zonepath = given.get("z"), given.get("R")
    document = h.call.world.path(f"/etc/zones/{h.zone}.xml").read_bytes()
    if given.has("n"):
        h.out(document.decode("utf-8", "surrogateescape"))
        return
    gzbe = common.current_gzbe(h)
    dataset = common.active_dataset(h, gzbe, common.zonepath_dataset(h, h.zonepath))
    for prop in ("zoned=off", "canmount=on", f"mountpoint={h.zonepath}/root"):
        if not h.ok("zfs", "set", prop, dataset):
            raise h.incomplete(f"Failed to configure dataset {dataset}: could not set {prop}.")
    from zonemgr.lab.brands.files import remove_tree

    if h.call.world.omnios:
        remove_tree(h.call, f"{h.zonepath}/root/var/pkg/linked")
    h.call.world.path(f"{h.zonepath}/SUNWdetached.xml").write_bytes(document)
