"""The steps that make zones: file systems, VNICs, configuration, installation, clone, boot, set-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zonemgr.errors import AlreadyThere, CommandError, NotThere, ZonemgrError
from zonemgr.host import dladm, smf, system, zfs, zlogin, zoneadm, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, LinkName, RunId, Snapshot, SnapshotName, ZoneName, ZoneState
from zonemgr.workflows import extent, imageset, keepsake, parts, rollback, steps, survey
from zonemgr.workflows.steps import Remembering, Step

if TYPE_CHECKING:
    from zonemgr.workflows import setup


@dataclass(frozen=True)
class MakeFilesystem(Step):
    """One file system with its properties and mark. `shared`: others may move in, and then it stays."""

    dataset: str
    properties: tuple[str, ...]
    run: str
    shared: bool = False
    delegated: bool = False  # a zone may have made children in it: they go with it

    def __str__(self) -> str:
        return f"create {self.dataset}"

    def check(self, host: Host) -> None:
        there = {row.name: row for row in survey.filesystems(host)}
        if self.dataset in there:
            raise AlreadyThere(
                f"there is a dataset {self.dataset} already",
                hint=f"choose another name, or look what it is: zfs list -r {self.dataset}",
            )
        path = dict(pair.split("=", 1) for pair in self.properties).get("mountpoint")
        if path:
            survey.one_owner(host, path, Dataset(self.dataset))

    def do(self, host: Host) -> None:
        properties = dict(pair.split("=", 1) for pair in self.properties)
        try:
            zfs.create(host, Dataset(self.dataset), made_by=RunId(self.run), properties=properties)
        except CommandError as failed:
            # Two first jobs at once both want the home of all zones; it is the other's then, mark and all.
            if not (self.shared and "dataset already exists" in failed.stderr):
                raise

    def undo(self, host: Host) -> None:
        dataset = Dataset(self.dataset)
        rows = survey.below(survey.filesystems(host), dataset)
        if not rows or not survey.marked(host, dataset, self.run):
            return
        if self.shared and len(rows) > 1:
            return  # another run has moved in meanwhile
        if self.delegated:
            parts.remove_tree(host, dataset)
        elif self.shared:
            zfs.destroy(host, dataset, made_by=RunId(self.run))
            if any(pair.startswith("mountpoint=/") for pair in self.properties):
                system.remove_directory(host, rows[0].mountpoint)  # zfs leaves it behind
        else:
            parts.remove_remains(host, dataset, self.run)


@dataclass(frozen=True)
class HoldSnapshot(Step):
    """Hold a golden snapshot: the uninstall of its last clone would destroy it.

    See docs/illumos.md: Brand scripts.
    """

    snapshot: str

    def __str__(self) -> str:
        return f"hold {self.snapshot}"

    def do(self, host: Host) -> None:
        zfs.hold(host, Snapshot.parse(self.snapshot))

    def undo(self, host: Host) -> None:
        snapshot = Snapshot.parse(self.snapshot)
        row = next(
            (r for r in survey.snapshots(host, snapshot.dataset) if str(r.snapshot) == self.snapshot), None
        )
        if row and row.userrefs and not row.clones:
            zfs.release(host, snapshot)


@dataclass(frozen=True)
class MakeVnic(Step):
    """A temporary VNIC: gone after a host reboot, made again at boot from the zone's autovnic attr."""

    alone: ClassVar[bool] = True  # one that stays busy does not keep the zone from going

    name: str
    over: str
    vlan: str = ""
    mac: str = ""

    def __str__(self) -> str:
        return f"make VNIC {self.name} over {self.over}"

    def check(self, host: Host) -> None:
        if self.name in {link.name for link in dladm.links(host)}:
            raise AlreadyThere(
                f"there is a link {self.name} already", hint=f"see: dladm show-link {self.name}"
            )

    def do(self, host: Host) -> None:
        dladm.create_vnic(
            host,
            LinkName(self.name),
            over=self.over,
            vlan=int(self.vlan) if self.vlan else None,
            mac=self.mac or None,
        )

    def undo(self, host: Host) -> None:
        # The name has this run's id in it and was absent at check, so it is ours.
        busy = parts.remove_vnics(host, [self.name])
        if busy:
            raise ZonemgrError(
                f"VNIC {self.name} is still busy", hint=f"later: dladm delete-vnic {self.name}"
            )


@dataclass(frozen=True)
class ConfigureZone(Step):
    """Write a zone's configuration from a zonecfg script, and read it back."""

    zone: str
    run: str
    script: tuple[str, ...]

    def __str__(self) -> str:
        return f"configure {self.zone}"

    def check(self, host: Host) -> None:
        name_is_free(host, self.zone)

    def do(self, host: Host) -> None:
        zonecfg.configure(host, ZoneName(self.zone), list(self.script))

    def undo(self, host: Host) -> None:
        if parts.bears_mark(host, self.zone, self.run):
            parts.unconfigure(host, self.zone)


@dataclass(frozen=True)
class InstallZone(Step):
    """`zoneadm install`; minutes, as packages are fetched."""

    zone: str
    home: str
    run: str
    options: tuple[str, ...]
    limit: float

    def __str__(self) -> str:
        return f"install {self.zone}"

    def do(self, host: Host) -> None:
        zoneadm.install(host, ZoneName(self.zone), *self.options, limit=self.limit)

    def prove(self, host: Host) -> None:
        _must_be(host, self.zone, ZoneState.INSTALLED)
        survey.root_of(host, Dataset(self.home), self.zone)

    def undo(self, host: Host) -> None:
        _take_off_disk(host, self.zone, self.home, self.run)


@dataclass(frozen=True)
class CloneZone(Step):
    """`zoneadm clone -X -s SNAPSHOT SOURCE`: the zone is left mounted, with all that names its origin; see SetUp.

    The brand's own clean-up is left out: it fails on hosts whose OpenSSH has no DSA keys, and it writes through the
    zone's lofs mounts into the host. A brand whose script knows no `-X` cleans up as it does; the zone is reset by us
    all the same.
    """

    zone: str
    home: str
    run: str
    source: str
    snapshot: str  # full name
    limit: float

    def __str__(self) -> str:
        return f"clone {self.zone} from {self.source}@{self.snapshot.rpartition('@')[2]}"

    def check(self, host: Host) -> None:
        golden = survey.zone(host, self.source)
        if golden.state is not ZoneState.INSTALLED:
            hint = f"halt it first: zonemgr halt {self.source}" if golden.state.active else None
            raise ZonemgrError(f"golden image {self.source} is {golden.state}, not installed", hint=hint)
        root, _, name = self.snapshot.rpartition("@")
        if name not in {row.snapshot.name for row in survey.snapshots_of(host, root)}:
            raise NotThere(
                f"golden image {self.source} has no snapshot {name}",
                hint=f"see: zonemgr list-snapshots {self.source}",
            )

    def do(self, host: Host) -> None:
        try:
            self._clone(host, unconfigure=False)
        except CommandError as failed:
            if not zoneadm.lacks_option(failed, "X"):
                raise
            self._configured_again(host)
            self._clone(host, unconfigure=True)

    def _clone(self, host: Host, *, unconfigure: bool) -> None:
        name = SnapshotName(self.snapshot.rpartition("@")[2])
        zone, source = ZoneName(self.zone), ZoneName(self.source)
        zoneadm.clone(host, zone, source, snapshot=name, unconfigure=unconfigure, limit=self.limit)

    def _configured_again(self, host: Host) -> None:
        """A brand's script that refuses its options leaves the zone incomplete; uninstall may take its home along."""
        home = Dataset(self.home)
        marks = zfs.local_properties(host, home)
        zoneadm.uninstall(host, ZoneName(self.zone))
        if not zfs.exists(host, home):
            zfs.create(host, home, properties=marks)

    def prove(self, host: Host) -> None:
        """Exit 0 proves nothing: look at state, root, origin and the brand's own log."""
        look = Remembering(host)
        if survey.zone(look, self.zone).state is not ZoneState.MOUNTED:
            _must_be(look, self.zone, ZoneState.INSTALLED)
        root = survey.root_of(look, Dataset(self.home), self.zone)
        if root.origin != self.snapshot or root.canmount != "noauto" or not root.mounted:
            raise ZonemgrError(
                f"the root of {self.zone} is not what a clone of {self.snapshot} should be",
                hint=f"see: zfs get origin,canmount,mounted {root.name}",
            )
        log = _read_if_allowed(host, f"{survey.zone(look, self.zone).path}/log/zone.log")
        if log and "ERROR:" in log:
            words = log[log.index("ERROR:") :].splitlines()[0]
            raise ZonemgrError(f"the clone of {self.source} went wrong inside: {words}")

    def undo(self, host: Host) -> None:
        _take_off_disk(host, self.zone, self.home, self.run)


@dataclass(frozen=True)
class BootZone(Step):
    """Boot, and wait for a milestone as the zone itself reports it."""

    zone: str
    run: str
    milestone: str
    limit: float
    single_user: bool = False

    def __str__(self) -> str:
        return (
            f"boot {self.zone} to {self.milestone.removeprefix('svc:/milestone/').removesuffix(':default')}"
        )

    def do(self, host: Host) -> None:
        options = ("-s",) if self.single_user else ()
        try:
            zoneadm.boot(host, ZoneName(self.zone), *options)
        except CommandError:  # the host may have been rebooted since the zone's VNICs were made
            if not parts.remake_vnics(host, self.zone):
                raise
            zoneadm.boot(host, ZoneName(self.zone), *options)

    def prove(self, host: Host) -> None:
        smf.wait_for(host, ZoneName(self.zone), self.milestone, limit=self.limit)

    def undo(self, host: Host) -> None:
        if parts.bears_mark(host, self.zone, self.run):
            parts.stop(host, self.zone)


@dataclass(frozen=True)
class AwaitMilestone(Step):
    """Wait for a milestone that the zone is on its way to; a self-reboot in between is waited through."""

    zone: str
    milestone: str
    limit: float

    def __str__(self) -> str:
        return f"wait for {self.milestone.removeprefix('svc:/milestone/').removesuffix(':default')} in {self.zone}"

    def do(self, host: Host) -> None:
        """Nothing to change: the zone goes there by itself."""

    def prove(self, host: Host) -> None:
        smf.wait_for(host, ZoneName(self.zone), self.milestone, limit=self.limit)


@dataclass(frozen=True)
class HaltZone(Step):
    """Halt a zone that this job booted."""

    zone: str

    def __str__(self) -> str:
        return f"halt {self.zone}"

    def do(self, host: Host) -> None:
        zoneadm.halt(host, ZoneName(self.zone))

    def prove(self, host: Host) -> None:
        _must_be(host, self.zone, ZoneState.INSTALLED)


@dataclass(frozen=True)
class SetUp(Step):
    """Reset a zone and give it what it is to have, in its root mounted for maintenance; then it is installed again.

    No service of the zone runs meanwhile, and none has run since it was cloned. Its configuration must name no file
    system: zoneadmd would mount it below the root that is being changed. `clone -X` leaves a zone mounted already.
    The script is made when the step is done: hashes stay out of journals.
    """

    zone: str
    made_by: str
    limit: float
    reset: bool = False  # it was cloned or came from elsewhere
    vnics: tuple[str, ...] = ()  # these and the following: see setup.Wanted
    links: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    elevated: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()
    autonfs: tuple[str, ...] = ()
    tmpfs: str | None = None
    drop_users: tuple[str, ...] = ()  # these and the following: see setup.Dropped
    drop_groups: tuple[str, ...] = ()
    drop_elevated: tuple[str, ...] = ()
    drop_autonfs: tuple[str, ...] = ()
    drop_links: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"set up {self.zone}"

    def do(self, host: Host) -> None:
        from zonemgr.workflows import setup  # here, for its templates

        zone = ZoneName(self.zone)
        if not (host.dry_run or survey.zone(host, zone).state is ZoneState.MOUNTED):
            _refuse_file_systems(host, zone)
            zoneadm.mount(host, zone, limit=self.limit)
        wanted = setup.Wanted(
            vnics=self.vnics, links=self.links, kept=self.kept, users=self.users, groups=self.groups,
            elevated=self.elevated, mounted=self.mounted, autonfs=self.autonfs, tmpfs=self.tmpfs,
        )  # fmt: skip
        dropped = setup.Dropped(
            users=self.drop_users, groups=self.drop_groups, elevated=self.drop_elevated, autonfs=self.drop_autonfs,
            links=self.drop_links, mounted=self.mounted,
        )  # fmt: skip
        script = setup.mounted_script(host, zone, wanted, dropped, reset=self.reset)
        run_setup(host, zone, script, limit=self.limit)
        zoneadm.unmount(host, zone, limit=self.limit)

    def prove(self, host: Host) -> None:
        _must_be(host, self.zone, ZoneState.INSTALLED)

    def undo(self, host: Host) -> None:
        row = survey.find(host, self.zone)
        if row and row.state is ZoneState.MOUNTED and parts.bears_mark(host, self.zone, self.made_by):
            zoneadm.unmount(host, ZoneName(self.zone))


def _refuse_file_systems(host: Host, zone: ZoneName) -> None:
    """A template may bring file systems; they would be mounted below the root that a script changes."""
    found = [fs.dir for fs in zonecfg.export(host, zone).fs if fs.type != "zfs"]
    if found:
        raise ZonemgrError(
            f"zone {zone} is configured with a file system on {found[0]}, so it cannot be set up safely",
            hint="take it out of the zone's template, and give it to the zone with --mount-lofs",
        )


def run_setup(host: Host, zone: ZoneName, script: setup.Script, *, limit: float) -> None:
    """Run a set-up script in a running or mounted zone; what it warns of reaches the operator."""
    from zonemgr.workflows import setup

    for text in script.warnings:
        steps.warn(text)
    try:
        done = zlogin.run_script(host, zone, script.text, secret=True, clean=script.clean, limit=limit)
    except CommandError as failed:
        refusal = setup.refusal(failed.stderr)
        if refusal:
            raise ZonemgrError(f"zone {zone}: {refusal}", hint="nothing was changed") from failed
        failed.hint = failed.hint or setup.hint(failed.stderr)
        raise
    for line in done.stderr.splitlines():
        if line.startswith(setup.WARNING):
            steps.warn(f"{zone}: {line.removeprefix(setup.WARNING)}")


@dataclass(frozen=True)
class AddResources(Step):
    """Give a zone made by this run its file systems, links and datasets; they go with its configuration."""

    zone: str
    script: tuple[str, ...]  # zonecfg commands

    def __str__(self) -> str:
        return f"give {self.zone} its file systems, links and datasets"

    def do(self, host: Host) -> None:
        zonecfg.configure(host, ZoneName(self.zone), list(self.script))


@dataclass(frozen=True)
class TakeSnapshot(Step):
    """A snapshot of a zone: its active root with its children, and the datasets made for it, all at one instant.

    The zonepath dataset's snapshot is taken with them and keeps the configuration (see keepsake). The root's is held
    if it is to be cloned from. zfs takes the snapshots of one pool all or none, and of one pool at a time.
    """

    zone: str
    home: str
    name: str
    run: str
    hold: bool = True
    job: str = ""  # what it was taken by; default: what its name says

    def __str__(self) -> str:
        return f"snapshot {self.zone}@{self.name}"

    def check(self, host: Host) -> None:
        SnapshotName(self.name)

    def do(self, host: Host) -> None:
        if host.dry_run:  # there may be no root to look up yet
            zfs.snapshot(host, Dataset(f"{self.home}/ROOT/zbe").at(self.name), made_by=RunId(self.run))
            return
        look = Remembering(host)
        covered = extent.of(look, self.zone, Dataset(self.home))
        self._drop_strays(host, covered)
        kept = keepsake.properties(zonecfg.export_text(look, ZoneName(self.zone)))
        kept |= keepsake.coverage(extent.remembered(covered))
        kept |= keepsake.maker(host, self.job or keepsake.job_of(self.name))
        for names in covered.pools():
            snapshots = [Dataset(name).at(self.name) for name in names]
            zfs.snapshot(host, *snapshots, made_by=RunId(self.run), properties=kept)
        if self.hold:
            zfs.hold(host, Dataset(covered.root).at(self.name), recursive=True)

    def _drop_strays(self, host: Host, covered: extent.Extent) -> None:
        """The zonepath dataset may have a snapshot whose root's was destroyed, by the brand or inside the zone."""
        rows = survey.snapshots(host, covered.home)
        named = {row.dataset: row for row in rows if row.snapshot.name == self.name}
        if set(named) == {covered.home}:
            extent.drop(host, list(named.values()))

    def undo(self, host: Host) -> None:
        rollback.forget(host, self.home, self.name)
        extent.drop(host, extent.named(host, self.zone, Dataset(self.home), self.name), run=self.run)


@dataclass(frozen=True)
class PublishImage(Step):
    """Say which snapshot new clones use. Last of all, so that a half-made image is never served."""

    zone: str
    home: str
    name: str
    before: str = ""

    def __str__(self) -> str:
        return f"serve {self.zone}@{self.name}"

    def do(self, host: Host) -> None:
        """The snapshot keeps what the image holds, for a rollback to it."""
        home = Dataset(self.home)
        if not host.dry_run and zfs.exists(host, home.at(self.name)):
            known = zfs.get_local(host, home, *imageset.PROPERTIES)
            if imageset.recall(known) is not None:
                zfs.set_properties(host, home.at(self.name), known)
        zfs.set_properties(host, home, {"zonemgr:current": self.name})

    def undo(self, host: Host) -> None:
        home = Dataset(self.home)
        if not zfs.exists(host, home):
            return
        if not self.before:
            zfs.inherit(host, home, "zonemgr:current")
        elif self.before in {str(row.snapshot.name) for row in survey.snapshots(host, home)}:
            zfs.set_properties(host, home, {"zonemgr:current": self.before})


def name_is_free(host: Host, zone: str) -> None:
    """Raise AlreadyThere for a zone that exists, saying whose it is."""
    row = survey.find(host, zone)
    if row is None:
        return
    ours = any(one.name == zone for one in survey.managed_zones(host))
    whose = "is managed by zonemgr" if ours else "was not made by zonemgr"
    hint = f"choose another name (-z){f', or: zonemgr destroy {zone}' if ours else ''}"
    raise AlreadyThere(f"zone {zone} exists already ({row.state}) and {whose}", hint=hint)


def _read_if_allowed(host: Host, path: str) -> str:
    """A file of the host; empty when it is not there, or when no rights profile lets this caller read it."""
    return host.ask("cat", path, ok=(0, 1, 2), elevated=True).stdout


def _must_be(host: Host, zone: str, wanted: ZoneState) -> None:
    row = survey.zone(host, zone)
    if row.state is not wanted:
        raise ZonemgrError(
            f"zone {zone} is {row.state}, not {wanted}", hint=f"see: zoneadm -z {zone} list -v"
        )


def _take_off_disk(host: Host, zone: str, home: str, run: str) -> None:
    """Undo install or clone: back to a configured zone without data, if this run configured it."""
    if not parts.bears_mark(host, zone, run):
        return
    state = parts.stop(host, zone)
    if state in (ZoneState.INSTALLED, ZoneState.INCOMPLETE):
        try:
            parts.uninstall(host, zone, Dataset(home))
        except CommandError as failed:
            if "is already in state" not in failed.stderr:
                raise
