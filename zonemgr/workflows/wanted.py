"""What a zone's configuration is to become: drops taken out, wishes put in, anything that does not fit refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from zonemgr.errors import AlreadyThere, NotThere, UsageError, ZonemgrError
from zonemgr.host import zonechange
from zonemgr.host.door import Host
from zonemgr.host.zonescript import size
from zonemgr.model import Dataset, Net, OtherResource, Rctl, UserName, ZoneSettings
from zonemgr.workflows import extent, furnish, restoring, storage
from zonemgr.workflows.caps import Caps
from zonemgr.workflows.furnish import Furniture

CPU, SHARES, SWAP, PROCESSES = "zone.cpu-cap", "zone.cpu-shares", "zone.max-swap", "zone.max-processes"
# The limits by their option, and the resource control each is; memory is none on every host.
CONTROLS = {"cap_swap": SWAP, "cap_cpu": CPU, "cpu_shares": SHARES, "max_processes": PROCESSES}


@dataclass(frozen=True)
class Drops:
    """What is to be taken from a zone, as it stood on the command line: lists, and flags for the limits."""

    lofs: str = ""
    autonfs: str = ""
    datasets: str = ""
    clones: str = ""
    vnics: str = ""
    users: str = ""
    groups: str = ""
    elevated: str = ""
    quota: bool = False
    cap_memory: bool = False
    cap_swap: bool = False
    cap_cpu: bool = False
    cpu_shares: bool = False
    max_processes: bool = False
    tmpfs_size: bool = False

    def names(self, word: str) -> tuple[str, ...]:
        """The entries of one list, each once."""
        return tuple(dict.fromkeys(getattr(self, word).split()))

    def check(self) -> None:
        """Raise UsageError for what cannot be meant."""
        for word in ("users", "groups", "elevated"):
            for name in self.names(word):
                UserName(name)
        if "root" in self.names("users"):
            raise UsageError("root stays in every zone", hint="drop other users")
        for path in (*self.names("lofs"), *self.names("autonfs")):
            furnish.tidy_path(path, path)
        for dataset in (*self.names("datasets"), *self.names("clones")):
            Dataset(dataset)


@dataclass
class Wanted:
    """The settings a zone is to have, and what it no longer needs of what was made for it."""

    settings: ZoneSettings
    vnics: list[str] = field(default_factory=list)  # made for the zone, to be removed
    links: list[str] = field(default_factory=list)  # all links that it loses
    datasets: list[str] = field(default_factory=list)  # made for the zone, to be destroyed
    told: list[str] = field(default_factory=list)  # for the operator


def work_out(look: Host, now: ZoneSettings, things: Furniture, drops: Drops) -> Wanted:
    """Raises NotThere for a drop the zone does not have, AlreadyThere for a wish that it has."""
    wanted = Wanted(now)
    _drop_mounts(wanted, drops)
    _drop_datasets(look, wanted, drops)
    _drop_clones(look, wanted, drops)
    _drop_links(wanted, drops)
    wanted.settings = limited(wanted.settings, things.caps, drops)
    _add(wanted, things)
    return wanted


def _drop_mounts(wanted: Wanted, drops: Drops) -> None:
    for word in drops.names("lofs"):
        path = furnish.tidy_path(word, word)
        fs = wanted.settings.fs
        found = [mount for mount in fs if mount.dir == path and mount.type == "lofs"]
        if not found:
            raise _no("mount on", path, [mount.dir for mount in fs if mount.type == "lofs"])
        wanted.settings = replace(wanted.settings, fs=tuple(mount for mount in fs if mount not in found))


def _drop_datasets(look: Host, wanted: Wanted, drops: Drops) -> None:
    made = extent.made_for(look, wanted.settings) if drops.datasets else []
    for name in drops.names("datasets"):
        there = wanted.settings.dataset
        if name not in there:
            raise _no("dataset", name, list(there))
        wanted.settings = replace(wanted.settings, dataset=tuple(one for one in there if one != name))
        if name in made:
            wanted.datasets.append(name)
        else:
            wanted.told.append(f"{name} stays on the host; to mount it there: zfs set zoned=off {name}")


def _drop_clones(look: Host, wanted: Wanted, drops: Drops) -> None:
    for source in drops.names("clones"):
        fs = wanted.settings.fs
        clones = [(mount.dir, mount.special) for mount in fs if mount.type == "zfs"]
        found = {special for _, special in storage.find_clone(clones, look, source)}
        wanted.settings = replace(wanted.settings, fs=tuple(one for one in fs if one.special not in found))
        wanted.datasets += sorted(found)


def _drop_links(wanted: Wanted, drops: Drops) -> None:
    for name in drops.names("vnics"):
        settings = wanted.settings
        links = [net.physical for net in settings.net]
        if name not in links:
            raise _no("VNIC", name, links)
        own = restoring.recorded(settings)
        wanted.settings = replace(
            settings,
            net=tuple(net for net in settings.net if net.physical != name),
            attr=restoring.with_vnics(settings.attr, [vnic for vnic in own if vnic.name != name]),
        )
        wanted.links.append(name)
        if name in {vnic.name for vnic in own}:
            wanted.vnics.append(name)


def _add(wanted: Wanted, things: Furniture) -> None:
    settings = wanted.settings
    for mount in things.fs:
        if mount.dir in {one.dir for one in settings.fs}:
            raise AlreadyThere(
                f"the zone has a mount on {mount.dir} already",
                hint=f"in the same command: --drop-mount-lofs {mount.dir}",
            )
    for link in things.links:
        if link in {net.physical for net in settings.net}:
            raise AlreadyThere(f"the zone has the VNIC {link} already", hint="leave it out")
    for dataset in things.datasets:
        if dataset in settings.dataset:
            raise AlreadyThere(f"the dataset {dataset} is delegated to the zone already", hint="leave it out")
    vnics = [*restoring.recorded(settings), *things.auto_vnics]
    if len(" ".join(map(str, vnics))) > 255:
        raise ZonemgrError(
            f"zone configuration cannot record {len(vnics)} VNICs made for a zone",
            hint="drop some: --drop-vnic",
        )
    wanted.settings = replace(
        settings,
        fs=(*settings.fs, *things.fs),
        net=(*settings.net, *(Net(link) for link in things.links)),
        dataset=(*settings.dataset, *things.datasets),
        attr=restoring.with_vnics(settings.attr, vnics),
    )


def limited(settings: ZoneSettings, caps: Caps, drops: Drops) -> ZoneSettings:
    """The settings with these limits in place of their own, in the form in which zonecfg exports them."""
    for word, control in CONTROLS.items():
        if getattr(drops, word) and control not in {one.name for one in settings.rctl}:
            raise _no_limit(word)
    if drops.cap_memory and not _memory(settings):
        raise _no_limit("cap_memory")
    new = _controls(caps)
    gone = {control for word, control in CONTROLS.items() if getattr(drops, word)} | {one.name for one in new}
    settings = replace(settings, rctl=(*(one for one in settings.rctl if one.name not in gone), *new))
    if not (caps.memory or drops.cap_memory):
        return settings
    physical = (OtherResource(zonechange.MEMORY, (("physical", caps.memory),)),) if caps.memory else ()
    return replace(
        settings,
        rctl=tuple(one for one in settings.rctl if one.name != zonechange.PHYSICAL),
        other=(*(one for one in settings.other if one.kind != zonechange.MEMORY), *physical),
    )


def _memory(settings: ZoneSettings) -> bool:
    kinds = {one.kind for one in settings.other} | {one.name for one in settings.rctl}
    return bool(kinds & {zonechange.MEMORY, zonechange.PHYSICAL})


def _controls(caps: Caps) -> list[Rctl]:
    values = {
        SWAP: (str(size(caps.swap)) if caps.swap else "", "deny"),
        CPU: (str(round(float(caps.cpu) * 100)) if caps.cpu else "", "deny"),
        SHARES: (caps.shares, "none"),
        PROCESSES: (caps.processes, "deny"),
    }
    return [Rctl(name, (("privileged", value, action),)) for name, (value, action) in values.items() if value]


def _no(what: str, name: str, there: Sequence[str]) -> NotThere:
    return NotThere(f"the zone has no {what} {name}", hint=f"it has: {', '.join(there) or 'none'}")


def _no_limit(word: str) -> NotThere:
    return NotThere(f"the zone has no --{word.replace('_', '-')} to drop", hint="see: zonecfg -z ZONE info")
