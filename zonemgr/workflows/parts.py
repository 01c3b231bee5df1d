"""Taking a zone apart, always in the same order (see `workflows/teardown.py`); shared by undo, discard and destroy.

Each function leaves alone what is not there, and proves what it did.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from zonemgr.errors import NotOurs, ZonemgrError
from zonemgr.host import dladm, zfs, zoneadm, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, LinkName, Snapshot, ZoneName, ZoneState
from zonemgr.workflows import furnish, survey
from zonemgr.workflows.survey import FileSystem

# The names the IPS brands give their roots, and the overlays of a sparse one below them.
ZBE = re.compile(r"zbe(-[0-9]+)?(?=/|$)")
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
    if row.state is ZoneState.UNKNOWN:
        raise ZonemgrError(f"zoneadm does not tell what zone {zone} is in", hint="try again in a moment")
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
    would ignore them, and a root that the brand would empty instead of destroy stops it (docs/illumos.md: Brand
    scripts).
    """
    current = survey.running_be(host)
    clones = survey.disposables_of(host, home)
    if clones:  # the brand would promote one of them, and all our snapshots would be gone
        raise ZonemgrError(f"zone {zone} has clones: {', '.join(clones)}", hint="destroy those zones first")
    rows = survey.below(survey.filesystems(host), home)
    roots = [row for row in rows if ZBE.fullmatch(row.name.removeprefix(f"{home}/ROOT/"))]
    if not roots:
        return  # nothing on disk, and sparse zones could not be uninstalled at all
    _refuse_foreign_root(roots, current, zone)
    for root in roots:
        if not root.parentbe:
            zfs.set_properties(host, Dataset(root.name), {survey.PARENTBE: current, survey.ACTIVE: "on"})
    _release_holds(host, roots)
    zoneadm.uninstall(host, ZoneName(zone))


def _refuse_foreign_root(roots: Sequence[FileSystem], current: str, zone: str) -> None:
    for root in roots:
        if root.mounted and root.parentbe not in (current, ""):
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
    strangers = foreign_file_systems(rows, home, survey.running_be(host))
    if strangers:
        raise NotOurs(
            f"{strangers[0]} lies in the home of a zone that is being removed and was not made by zonemgr",
            hint=f"move it away, then: zfs destroy -r {home}",
        )
    remove_tree(host, home)


def foreign_file_systems(rows: Sequence[FileSystem], home: str, current: str) -> list[str]:
    """What lies in a zone's home beside ROOT and the brand's own roots, or belongs to another boot environment."""
    ours = {home, f"{home}/ROOT"}
    roots = {row.name for row in rows if ZBE.match(row.name.removeprefix(f"{home}/ROOT/"))}
    others = {row.name for row in rows if row.name in roots and row.parentbe not in (current, "")}
    return [row.name for row in rows if row.name not in ours | roots or row.name in others]


def foreign_things(host: Host, home: Dataset) -> list[str]:
    """File systems, volumes and snapshots in a zone's home that zonemgr did not make; they would go with it."""
    found = foreign_file_systems(survey.below(survey.filesystems(host), home), home, survey.running_be(host))
    rows = zfs.list_datasets(host, home, types="volume,snapshot", depth=-1)
    marked = zfs.marked_below(host, home)
    return found + [row.name for row in rows if row.name not in marked]


def remake_vnics(host: Host, zone: str) -> list[str]:
    """Make a zone's own VNICs again where they are missing: temporary ones do not outlive the host's reboot."""
    recorded = zonecfg.export(host, ZoneName(zone)).attribute(VNIC_ATTR)
    if not recorded:
        return []
    there = {link.name for link in dladm.links(host)}
    made = []
    for vnic in furnish.recall_vnics(recorded):
        if vnic.name not in there:
            vlan = int(vnic.vlan) if vnic.vlan else None
            dladm.create_vnic(host, LinkName(vnic.name), over=vnic.over, vlan=vlan, mac=vnic.mac or None)
            made.append(vnic.name)
    return made


def boot_again(host: Host, zone: str, made_by: str) -> None:
    """Boot an installed zone that a job had stopped, if it still is the zone it was."""
    row = survey.find(host, zone)
    if row is not None and row.state is ZoneState.INSTALLED and bears_mark(host, zone, made_by):
        remake_vnics(host, zone)
        zoneadm.boot(host, ZoneName(zone))


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
    """Delete VNICs; returns those that stay busy.

    See docs/illumos.md: Links and addresses: nobody can ask when they become free.
    """
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
