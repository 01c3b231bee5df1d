"""What was taken from a running zone but is still in use there: removed when the zone has been halted.

`zonemgr:pending` on the zonepath dataset remembers it, in words `vnic:NAME` and `dataset:NAME`. Whatever halts, boots
or destroys the zone next through zonemgr sees to it; a zone halted by other means waits for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import zfs, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName
from zonemgr.workflows import datasets, extent, parts, removing, steps, storage, survey
from zonemgr.workflows.steps import Step

PROPERTY = "zonemgr:pending"


@dataclass(frozen=True)
class Pending:
    """Names of VNICs and datasets that were made for the zone and are to go."""

    vnics: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.vnics or self.datasets)

    def __str__(self) -> str:
        words = [f"vnic:{name}" for name in self.vnics] + [f"dataset:{name}" for name in self.datasets]
        return " ".join(words)

    @classmethod
    def parse(cls, text: str) -> Pending:
        words = [word.partition(":") for word in text.split()]
        return cls(
            tuple(name for kind, _, name in words if kind == "vnic"),
            tuple(name for kind, _, name in words if kind == "dataset"),
        )

    @property
    def delegated(self) -> tuple[str, ...]:
        """The datasets that are no clones."""
        return tuple(name for name in self.datasets if f"/{datasets.CLONES}/" not in name)

    def without(self, vnics: Sequence[str], datasets: Sequence[str]) -> Pending:
        return Pending(
            tuple(name for name in self.vnics if name not in vnics),
            tuple(name for name in self.datasets if name not in datasets),
        )

    def with_these(self, vnics: Sequence[str], datasets: Sequence[str]) -> Pending:
        kept = self.without(vnics, datasets)
        return Pending((*kept.vnics, *vnics), (*kept.datasets, *datasets))


def of(host: Host, home: Dataset) -> Pending:
    """What waits for this zone's halt; nothing for a zone without a dataset."""
    row = next((row for row in survey.filesystems(host) if row.name == home), None)
    return Pending.parse(row.marks.get("pending", "") if row else "")


def remember(host: Host, home: Dataset, waiting: Pending) -> None:
    if waiting:
        zfs.set_properties(host, home, {PROPERTY: str(waiting)})
    else:
        zfs.inherit(host, home, PROPERTY)


def settle(host: Host, zone: str, home: Dataset, *, was_down: bool = False) -> list[str]:
    """Remove what waits, if the zone is down, or was since; returns a line for each thing that cannot go yet.

    A thing goes only if the zone's configuration does not name it (again), and a dataset only if it bears the zone's
    mark. May be cut short anywhere: what is not gone is still remembered.
    """
    waiting = of(host, home)
    row = survey.find(host, zone)
    if not waiting or row is None or (row.state.active and not was_down):
        return []
    settings = zonecfg.export(host, ZoneName(zone))
    run = settings.attribute(parts.RUN_ATTR) or ""
    nets, named = {net.physical for net in settings.net}, set(extent.named_in(settings))
    left = parts.remove_vnics(host, [name for name in waiting.vnics if name not in nets])
    busy = []
    for name in waiting.datasets:
        if name not in named and not _remove(host, name, run):
            busy.append(name)
    remember(host, home, Pending(tuple(left), tuple(busy)))
    return [f"VNIC {name} stays busy; it is removed later" for name in left] + [
        f"dataset {name} cannot be destroyed yet; it is tried again later" for name in busy
    ]


def _remove(host: Host, name: str, run: str) -> bool:
    """Destroy a dataset made for the zone; False when something needs it. One that is gone or not ours is done."""
    dataset = Dataset(name)
    if not zfs.exists(host, dataset) or not survey.marked(host, dataset, run):
        return True
    try:
        if f"/{datasets.CLONES}/" in name:
            storage.drop_clone(host, name, run)
        else:
            removing.remove_marked(host, [name], run)
            removing.remove_ancestors(host, name)
    except ZonemgrError as refused:
        if isinstance(refused, CommandError) and "busy" not in refused.stderr:
            raise
        steps.warn(str(refused))
        return False
    return True


@dataclass(frozen=True)
class Remember(Step):
    """Write down what is to go with the next halt. Undo writes what was there before."""

    zone: str
    home: str
    waiting: str
    before: str

    def __str__(self) -> str:
        return f"remember what is taken from {self.zone} at its halt"

    def do(self, host: Host) -> None:
        remember(host, Dataset(self.home), Pending.parse(self.waiting))

    def undo(self, host: Host) -> None:
        home = Dataset(self.home)
        if zfs.exists(host, home) and str(of(host, home)) == self.waiting:
            remember(host, home, Pending.parse(self.before))


@dataclass(frozen=True)
class Settle(Step):
    """Remove what was taken from the zone, if it is down. Undoing it is finishing it."""

    zone: str
    home: str

    def __str__(self) -> str:
        return f"remove what was taken from {self.zone}"

    def do(self, host: Host) -> None:
        for text in settle(host, self.zone, Dataset(self.home)):
            steps.warn(text)

    def undo(self, host: Host) -> None:
        settle(host, self.zone, Dataset(self.home))
