"""Which datasets a zone's snapshot covers: its root with what is below, and what was made for it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zonemgr.host import zfs, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName, ZoneSettings
from zonemgr.workflows import removing, survey
from zonemgr.workflows.survey import SnapshotRow

RUN_ATTR = "zonemgr.run"


@dataclass(frozen=True)
class Extent:
    """Names of datasets. `given` are the delegated datasets and clones that were made for this zone."""

    home: str
    root: str
    given: tuple[str, ...]
    datasets: tuple[str, ...]  # the root, the given, and all below them, a dataset before its children

    def pools(self) -> list[list[str]]:
        """The datasets with the zonepath dataset, by pool: zfs takes snapshots of one pool at a time."""
        everything = [self.home, *self.datasets]
        names = dict.fromkeys(Dataset(name).pool for name in everything)
        return [[name for name in everything if Dataset(name).pool == pool] for pool in names]


def of(host: Host, zone: str, home: Dataset) -> Extent:
    """What there is now. Needs an installed zone with one active root."""
    root = survey.root_of(host, home, zone)
    given = made_for(host, zonecfg.export(host, ZoneName(zone)))
    children = [row.name for row in survey.below(survey.filesystems(host), root.name)]
    return Extent(str(home), root.name, tuple(given), (*children, *below(host, given)))


def made_for(host: Host, settings: ZoneSettings) -> list[str]:
    """The zone's delegated datasets and clones that were made for it, and bear the mark of the run which made the zone.

    Its configuration says which it has, and its home which of the delegated ones were made for it: the mark alone is no
    proof, as root in a zone may set marks on its datasets.
    """
    run = settings.attribute(RUN_ATTR) or ""
    made = delegations(host, settings)
    names = [name for name in named_in(settings) if name in made or name not in settings.dataset]
    there = {row.name for row in survey.filesystems(host)} if names else set()
    mine = removing.ours(host, [name for name in names if name in there], run)
    return [name for name in names if name in mine]


def delegations(host: Host, settings: ZoneSettings) -> list[str]:
    """The delegated datasets that were made for the zone, as its home says; some it may have lost since."""
    home = next((row for row in survey.filesystems(host) if row.mountpoint == settings.zonepath), None)
    return home.marks.get("made", "").split() if home else []


def named_in(settings: ZoneSettings) -> list[str]:
    """The datasets that a zone's configuration names: delegated ones, and those that zoneadmd mounts (its clones)."""
    return [*settings.dataset, *(mount.special for mount in settings.fs if mount.type == "zfs")]


ROOT = (
    "./"  # how a dataset below the root is remembered: another root may be active by the time of a rollback
)


def remembered(extent: Extent) -> list[str]:
    """The names of what is covered beside the root itself, to be kept with a snapshot."""
    start = f"{extent.root}/"
    return [
        ROOT + name.removeprefix(start) if name.startswith(start) else name
        for name in extent.datasets
        if name != extent.root
    ]


def recalled(extent: Extent, names: Sequence[str]) -> list[str]:
    """Remembered names, as they are to be called now."""
    return [f"{extent.root}/{name.removeprefix(ROOT)}" if name.startswith(ROOT) else name for name in names]


def below(host: Host, tops: Sequence[str]) -> list[str]:
    """These datasets and all below them, volumes too, a dataset before its children."""
    if not tops:
        return []
    rows = zfs.list_datasets(host, *map(Dataset, tops), types="filesystem,volume", depth=-1)
    return [row.name for row in rows]


def strayed(host: Host, zone: str, home: Dataset) -> list[tuple[str, str]]:
    """The active root, and what is below it, with the inactive root that has taken their snapshots.

    `pkg update` in a zone that is itself a clone ends so: libbe promotes the new root, fails to promote it over the
    golden image's, and leaves the old one active, but without its snapshots.
    """
    root = survey.root_of(host, home, zone)
    rows = survey.below(survey.filesystems(host), root.name)
    return [
        (row.name, row.origin.partition("@")[0]) for row in rows if row.origin.startswith(f"{home}/ROOT/")
    ]


def snapshots(host: Host, extent: Extent) -> dict[str, list[SnapshotRow]]:
    """All snapshots of the covered datasets and of the zonepath dataset, by dataset, oldest first."""
    rows: dict[str, list[SnapshotRow]] = {name: [] for name in (extent.home, *extent.datasets)}
    for top in (extent.home, *extent.given):
        for row in survey.snapshots(host, top):
            if row.dataset in rows and row not in rows[row.dataset]:
                rows[row.dataset].append(row)
    return rows


def named(host: Host, zone: str, home: Dataset, name: str) -> list[SnapshotRow]:
    """The snapshots of this name on the zonepath dataset, on all its roots, and on what was made for the zone."""
    tops = [str(home)]
    if survey.find(host, zone) is not None:
        tops += made_for(host, zonecfg.export(host, ZoneName(zone)))
    rows = {str(row.snapshot): row for top in tops for row in survey.snapshots(host, top)}
    return [row for row in rows.values() if row.snapshot.name == name]


def drop(host: Host, rows: Sequence[SnapshotRow], *, run: str = "") -> None:
    """Destroy those of these snapshots that zonemgr took (or that this very run took), our holds first."""
    makers = zfs.marks(host, *(row.snapshot for row in rows))
    for row in rows:
        maker = makers.get(str(row.snapshot))
        if not maker or (run and maker != run):
            continue
        if row.userrefs:
            zfs.release(host, row.snapshot)
        zfs.destroy_named(host, row.snapshot)
