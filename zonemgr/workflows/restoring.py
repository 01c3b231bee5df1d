"""Changing a zone's configuration with a way back, and what of an older configuration can be had again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from zonemgr.host import dladm, system, zfs, zoneadm, zonecfg, zonechange
from zonemgr.host.door import Host
from zonemgr.host.zonescript import parse_export
from zonemgr.model import Attr, Dataset, Fs, Net, ZoneName, ZoneSettings
from zonemgr.workflows import extent, furnish, parts, rollback, survey
from zonemgr.workflows.steps import Step

# What a zone is: never taken from an older configuration.
IDENTITY = (parts.RUN_ATTR, parts.KIND_ATTR, parts.ORIGIN_ATTR)


@dataclass(frozen=True)
class Reconfigure(Step):
    """Change an existing zone's configuration by a zonecfg script; undo goes back to what `export` said before.

    `unless`: the word of a rollback (with its zonepath dataset); once that is past its point of no return this stays.
    """

    zone: str
    made_by: str
    script: tuple[str, ...]
    before: str
    home: str = ""
    unless: str = ""

    def __str__(self) -> str:
        return f"change the configuration of {self.zone}"

    def do(self, host: Host) -> None:
        zonecfg.configure(host, ZoneName(self.zone), self.script)

    def undo(self, host: Host) -> None:
        if not parts.bears_mark(host, self.zone, self.made_by):
            return
        if self.unless and rollback.committed(host, self.home, self.unless):
            return
        now = zonecfg.export(host, ZoneName(self.zone))
        lines = zonechange.lines(now, parse_export(self.before))
        if lines:
            zonecfg.configure(host, ZoneName(self.zone), lines)


@dataclass
class Restored:
    """Settings to return to; `warnings` tell what of the older ones cannot be had again."""

    settings: ZoneSettings
    leave: tuple[str, ...] = ()  # datasets made for the zone since, which it keeps
    surplus: tuple[str, ...] = ()  # VNICs made for it since, which it does not keep
    warnings: list[str] = field(default_factory=list)


def restored(host: Host, zone: str, saved: ZoneSettings, now: ZoneSettings) -> Restored:
    """The saved settings as far as the host still has what they name; a zone must be able to boot with them."""
    back = Restored(now)
    if zonechange.same(now, saved):
        return back
    fs = [mount for mount in saved.fs if mount in now.fs or _mount(host, zone, mount, saved, back.warnings)]
    nets, vnics = _links(host, saved, now, back.warnings)
    back.leave = tuple(one for one in extent.made_for(host, now) if one not in extent.named_in(saved))
    for one in back.leave:
        back.warnings.append(f"{one} was given to zone {zone} after the snapshot; it stays as it is")
    datasets = [
        one for one in saved.dataset if one in now.dataset or _dataset(host, zone, one, saved, back.warnings)
    ]
    back.surplus = tuple(one.name for one in recorded(now) if one.name not in {vnic.name for vnic in vnics})
    back.settings = replace(
        saved,
        zonepath=now.zonepath,
        brand=now.brand,
        fs=(*fs, *(mount for mount in now.fs if mount.type == "zfs" and mount.special in back.leave)),
        net=tuple(nets),
        dataset=(*datasets, *(one for one in back.leave if one in now.dataset)),
        attr=_attrs(saved, now, vnics),
    )
    return back


def recorded(settings: ZoneSettings) -> list[furnish.AutoVnic]:
    """The VNICs made for a zone."""
    return furnish.recall_vnics(settings.attribute(parts.VNIC_ATTR) or "")


def with_vnics(attrs: tuple[Attr, ...], vnics: list[furnish.AutoVnic]) -> tuple[Attr, ...]:
    """The attrs with these VNICs in the one that records them; it is left out when there are none."""
    others = tuple(attr for attr in attrs if attr.name != parts.VNIC_ATTR)
    return (*others, Attr(parts.VNIC_ATTR, " ".join(map(str, vnics)))) if vnics else others


def _attrs(saved: ZoneSettings, now: ZoneSettings, vnics: list[furnish.AutoVnic]) -> tuple[Attr, ...]:
    own = tuple(attr for attr in now.attr if attr.name in IDENTITY)
    return with_vnics((*own, *(attr for attr in saved.attr if attr.name not in IDENTITY)), vnics)


def _mount(host: Host, zone: str, mount: Fs, saved: ZoneSettings, warnings: list[str]) -> bool:
    if mount.type == "zfs":
        return _dataset(host, zone, mount.special, saved, warnings)
    if mount.type != "lofs" or system.directory_exists(host, mount.special):
        return True
    warnings.append(
        f"the host has no directory {mount.special} any more, so {mount.dir} is not mounted again"
    )
    return False


def _links(
    host: Host, saved: ZoneSettings, now: ZoneSettings, warnings: list[str]
) -> tuple[list[Net], list[furnish.AutoVnic]]:
    """The nets that can be had, and the VNICs to be recorded as made for the zone; these are made again at boot."""
    if saved.net == now.net and recorded(saved) == recorded(now):
        return list(saved.net), recorded(saved)
    there = {link.name for link in dladm.links(host)}
    vnics = [vnic for vnic in recorded(saved) if vnic.name in there or vnic.over in there]
    names = there | {vnic.name for vnic in vnics}
    nets = []
    for net in saved.net:
        if net in now.net or net.global_nic or not net.physical or net.physical in names:
            nets.append(net)
        else:
            warnings.append(f"the host has no link {net.physical} any more, so the zone does not get it back")
    return nets, vnics


def _dataset(host: Host, zone: str, name: str, saved: ZoneSettings, warnings: list[str]) -> bool:
    """May a dataset that the zone has no more be given to it again?"""
    reason = ""
    dataset = Dataset(name)
    if not zfs.exists(host, dataset):
        reason = "is gone"
    elif survey.mark(host, dataset) not in ("", saved.attribute(parts.RUN_ATTR)):
        reason = "was made for another zone"
    elif other := _user_of(host, zone, name):
        reason = f"belongs to zone {other} now"
    if reason:
        warnings.append(f"the dataset {name} {reason}, so the zone does not get it back")
    return not reason


def _user_of(host: Host, zone: str, name: str) -> str:
    """Another zone, ours or not, to which this dataset, or one above or below it, is delegated."""
    for row in (one.name for one in zoneadm.list_zones(host) if one.name not in ("global", zone)):
        for one in extent.named_in(zonecfg.export(host, ZoneName(row))):
            if f"{one}/".startswith(f"{name}/") or f"{name}/".startswith(f"{one}/"):
                return row
    return ""
