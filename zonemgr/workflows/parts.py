"""Taking a zone apart, in the order of design, section 5; shared by undo, discard and destroy.

Each function leaves alone what is not there, and proves what it did.
"""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.errors import CommandError, NotOurs, ZonemgrError
from zonemgr.host import dladm, zfs, zoneadm, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, Snapshot, ZoneName, ZoneState
from zonemgr.workflows import survey
from zonemgr.workflows.survey import FileSystem

RUN_ATTR, KIND_ATTR, ORIGIN_ATTR, VNIC_ATTR = (
    "zonemgr.run",
    "zonemgr.kind",
    "zonemgr.origin",
    "zonemgr.autovnic",
)


def bears_mark(host: Host, zone: str, run: str) -> bool:
    """Was this zone's configuration written by that run? False for a zone that does not exist."""
    if survey.find(host, zone) is None:
        return False
    return bool(run) and zonecfg.export(host, ZoneName(zone)).attribute(RUN_ATTR) == run


def stop(host: Host, zone: str) -> ZoneState | None:
    """Halt or unmount whatever the zone is in; returns its stored state, None for an unknown zone."""
    row = survey.find(host, zone)
    if row is None:
        return None
    if row.state is ZoneState.MOUNTED:
        zoneadm.unmount(host, ZoneName(zone))
    elif row.state.active:
        zoneadm.halt(host, ZoneName(zone))
    else:
        return row.state
    if host.dry_run:
        return ZoneState.INSTALLED
    row = survey.find(host, zone)
    if row is not None and row.state.active:
        raise ZonemgrError(
            f"zone {zone} stays {row.state} after halt",
            hint=f"something in the global zone uses it: fuser -c {row.path}/root; then: zonemgr destroy {zone}",
        )
    return row.state if row else None


def uninstall(host: Host, zone: str, home: Dataset) -> None:
    """Remove an installed or incomplete zone's data; the zonepath dataset goes too.

    Before: our holds on snapshots of its own roots go, half-made roots get the properties without which the brand
    would ignore them, and a root that the brand would empty instead of destroy stops it (brand findings, section 5).
    """
    current = survey.running_be(host)
    rows = survey.below(survey.filesystems(host), home)
    roots = [row for row in rows if row.name.rpartition("/")[0] == f"{home}/ROOT"]
    _refuse_foreign_root(roots, current, zone)
    for root in roots:
        if root.parentbe in ("", "-"):
            zfs.set_properties(host, Dataset(root.name), {survey.PARENTBE: current, survey.ACTIVE: "on"})
    _release_holds(host, roots)
    zoneadm.uninstall(host, ZoneName(zone))


def _refuse_foreign_root(roots: Sequence[FileSystem], current: str, zone: str) -> None:
    for root in roots:
        if root.mounted and root.parentbe not in (current, "", "-"):
            raise ZonemgrError(
                f"the root of zone {zone} belongs to another boot environment; uninstall would empty it",
                hint=f"boot that environment, or unmount {root.name} and destroy it by hand",
            )


def _release_holds(host: Host, roots: Sequence[FileSystem]) -> None:
    for root in roots:
        held = [row for row in survey.snapshots(host, root.name) if row.userrefs and not row.clones]
        for row in held:
            zfs.release(host, row.snapshot)


def remove_remains(host: Host, home: Dataset, run: str) -> None:
    """Destroy what uninstall left of a zonepath dataset that bears this run's own mark, one dataset at a time."""
    rows = survey.below(survey.filesystems(host), home)
    if not rows:
        return
    if not survey.marked(host, home, run):
        return
    strangers = [row.name for row in rows if row.name != home and not row.name.startswith(f"{home}/ROOT")]
    if strangers:
        raise NotOurs(
            f"{strangers[0]} lies in the home of a zone that is being removed and was not made by zonemgr",
            hint=f"move it away, then: zfs destroy -r {home}",
        )
    remove_tree(host, home)


def remove_tree(host: Host, top: Dataset) -> None:
    """Destroy a dataset of ours and what is below, one by one and the deepest first; a clone elsewhere stops it."""
    rows = zfs.list_datasets(host, top, types="filesystem,volume,snapshot", depth=-1)
    for row in sorted(rows, key=lambda row: (row.name.count("/"), "@" in row.name), reverse=True):
        target = Snapshot.parse(row.name) if "@" in row.name else Dataset(row.name)
        zfs.destroy_named(host, target)


def unconfigure(host: Host, zone: str) -> None:
    """Delete the configuration of a zone that is configured or incomplete without data."""
    if survey.find(host, zone) is not None:
        zonecfg.delete(host, ZoneName(zone))


def remove_vnics(host: Host, names: Sequence[str]) -> list[str]:
    """Delete VNICs; returns those that stay busy (facts sheet 15: nobody can ask when they become free)."""
    if not names:
        return []
    there = {link.name for link in dladm.links(host)}
    return [name for name in names if name in there and dladm.delete_vnic(host, name)]


def gone(host: Host, zone: str, home: Dataset) -> None:
    """Prove that neither zone nor datasets are left (uninstall's exit 0 alone says little)."""
    if survey.find(host, zone) is not None:
        raise ZonemgrError(f"zone {zone} is still configured", hint=f"see: zoneadm -z {zone} list -v")
    rows = survey.below(survey.filesystems(host), home)
    if rows:
        raise ZonemgrError(f"{rows[-1].name} is left of zone {zone}", hint=f"see: zfs list -r -t all {home}")


def tolerated(error: CommandError, *texts: str) -> bool:
    return any(text in error.stderr for text in texts)
