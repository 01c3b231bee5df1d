"""Packages and publishers of a zone's root: what is to be different, and the steps that make it so.

Where pkg works. An installed zone is changed from the global zone, `pkg -R` on its mounted root: that is never a live
image, so nothing makes a new boot environment there, and linked zones are fine with it (pkg5's linkedimage/zone.py,
case 2: a zone's image has all that its parent wants of it). A running disposable zone is changed from inside, so that
what runs in it goes on; but never into a new boot environment. The zone would have to promote that above the image it
was cloned from, which it may not: pkg then says so, exits 0, and the zone goes on without the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from zonemgr.errors import NotThere, UsageError, ZonemgrError
from zonemgr.host import pkg, system, zfs, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Dataset, Publisher, Snapshot, ZoneName
from zonemgr.workflows import building, imageset, parts, survey
from zonemgr.workflows.steps import Step, warn

Words = str | Sequence[str]


@dataclass(frozen=True)
class Change:
    """What is to be different in an image, checked for form. Removals come before additions."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    add_publishers: tuple[str, ...] = ()  # NAME|URI
    remove_publishers: tuple[str, ...] = ()  # NAME|URI, or NAME with all its origins

    def __bool__(self) -> bool:
        return any((self.add, self.remove, self.add_publishers, self.remove_publishers))


def parse(
    add: Words = "", remove: Words = "", add_publishers: Words = "", remove_publishers: Words = ""
) -> Change:
    """From the lists of a command line; publishers are `NAME|URI` or `NAME=URI`. Raises UsageError."""
    for word in (*_words(add), *_words(remove)):
        imageset.package(word)
    added = [_joined(imageset.publisher(word)) for word in _words(add_publishers)]
    removed = [_unpublished(word) for word in _words(remove_publishers)]
    return Change(
        _once(_words(add)), _once(_words(remove)), _once(added), _once(removed)
    )  # fmt: skip


def halves(word: str) -> tuple[str, str]:
    """Name and URI of a publisher as a Change has it; the URI may be empty."""
    name, _, uri = word.partition("|")
    return name, uri


def _words(text: Words) -> list[str]:
    return text.split() if isinstance(text, str) else list(text)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _joined(pair: tuple[str, str]) -> str:
    return "|".join(pair)


def _unpublished(word: str) -> str:
    if "|" in word or "=" in word:
        return _joined(imageset.publisher(word))
    imageset.publisher(f"{word}|http://example.org")  # for the form of the name
    return word


# -- the steps -----------------------------------------------------------------------------------------------


def on_root(
    zone: str, home: str, zonepath: str, change: Change, limit: float, *, inside: bool = False
) -> list[Step]:
    """Steps for an installed, halted zone: publishers out and in, packages out, packages in."""
    where = (zone, home, zonepath)
    steps: list[Step] = []
    if change and not inside:
        steps.append(MountRoot(*where))
    if change.add_publishers or change.remove_publishers:
        steps.append(ChangePublishers(*where, change.add_publishers, limit, inside, change.remove_publishers))
    if change.remove:
        steps.append(RemovePackages(*where, change.remove, limit, inside))
    if change.add:
        steps.append(InstallPackages(*where, change.add, limit, inside))
    return steps


def in_zone(zone: str, home: str, zonepath: str, change: Change, limit: float) -> list[Step]:
    """The same for a running zone, from inside; no new boot environment is made."""
    return on_root(zone, home, zonepath, change, limit, inside=True)


def update(zone: str, home: str, zonepath: str, limit: float, *, inside: bool = False) -> list[Step]:
    """`pkg update`, on the mounted root or inside. Whether a new ZBE came: compare survey.root_of before and after."""
    where = (zone, home, zonepath)
    return [*([] if inside else [MountRoot(*where)]), UpdatePackages(*where, (), limit, inside)]


def refresh(zone: str, home: str, zonepath: str, limit: float, *, inside: bool = False) -> list[Step]:
    """`pkg refresh`: the publishers' catalogues."""
    where = (zone, home, zonepath)
    return [*([] if inside else [MountRoot(*where)]), RefreshCatalogues(*where, (), limit, inside)]


def image_of(host: Host, zone: str, home: str, zonepath: str, *, inside: bool = False) -> pkg.Image:
    """Where pkg is to work. A root is looked at right before: another ZBE, or nothing, may be mounted there."""
    if inside:
        return pkg.Image(zone=ZoneName(zone))
    root = f"{zonepath}/root"
    if not host.dry_run:
        active, there = survey.root_of(host, Dataset(home), zone).name, system.zfs_mounts(host).get(root)
        if there != active:
            raise ZonemgrError(
                f"{root} is {f'where {there} is mounted' if there else 'not mounted'}, not {active}",
                hint=f"zonemgr mount {zone}; zonemgr unmount {zone}; then try again",
            )
    return pkg.Image(root=root)


@dataclass(frozen=True)
class MountRoot(Step):
    """The root of a halted zone is mounted, but not after a reboot of the host (docs/illumos.md: ZFS)."""

    silent: ClassVar[bool] = True

    zone: str
    home: str
    zonepath: str

    def __str__(self) -> str:
        return f"mount the root of {self.zone}"

    def do(self, host: Host) -> None:
        if host.dry_run or system.zfs_mounts(host).get(f"{self.zonepath}/root"):
            return
        # The brand's own way: what it mounts for this it leaves mounted.
        zoneadm.mount(host, ZoneName(self.zone))
        zoneadm.unmount(host, ZoneName(self.zone))

    def undo(self, host: Host) -> None:
        row = survey.find(host, self.zone)
        if row is not None and row.state == "mounted":
            zoneadm.unmount(host, ZoneName(self.zone))


@dataclass(frozen=True)
class OnImage(Step):
    """One pkg command. It has no undo of its own: see ReturnToRoot."""

    zone: str
    home: str
    zonepath: str
    words: tuple[str, ...]
    limit: float
    inside: bool = False

    def do(self, host: Host) -> None:
        self.change(host, image_of(host, self.zone, self.home, self.zonepath, inside=self.inside))

    def change(self, host: Host, image: pkg.Image) -> None:
        raise NotImplementedError


def _told(done: pkg.Done) -> None:
    """A publisher that did not answer may have had newer packages; the job goes on with what the others have."""
    for one in done.silent:
        warn(str(one))


class InstallPackages(OnImage):
    def __str__(self) -> str:
        return f"install packages into {self.zone}"

    def change(self, host: Host, image: pkg.Image) -> None:
        _told(pkg.install(host, image, *self.words, limit=self.limit))


class ProvePackages(OnImage):
    """What `zoneadm install -e` was given: pkg passes over one that is obsolete when others are installed."""

    silent: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"look whether the packages of {self.zone} are there"

    def change(self, host: Host, image: pkg.Image) -> None:
        pkg.refuse_obsolete(host, image, self.words)


class RemovePackages(OnImage):
    """What is not there need not be removed."""

    def __str__(self) -> str:
        return f"remove packages from {self.zone}"

    def change(self, host: Host, image: pkg.Image) -> None:
        pkg.uninstall(host, image, *self.words, ignore_missing=True, limit=self.limit)


class UpdatePackages(OnImage):
    def __str__(self) -> str:
        return f"update packages in {self.zone}"

    def change(self, host: Host, image: pkg.Image) -> None:
        _told(pkg.update(host, image, *self.words, limit=self.limit))


class RefreshCatalogues(OnImage):
    def __str__(self) -> str:
        return f"refresh the catalogues of {self.zone}"

    def change(self, host: Host, image: pkg.Image) -> None:
        _told(pkg.refresh(host, image, limit=self.limit))


@dataclass(frozen=True)
class ChangePublishers(OnImage):
    """`words` are to be there, `gone` not: NAME|URI. A publisher keeps its rank as long as it has an origin."""

    gone: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"change the publishers of {self.zone}"

    def change(self, host: Host, image: pkg.Image) -> None:
        known = {} if host.dry_run else {one.name: one for one in pkg.publishers(host, image)}
        for name in _once(halves(word)[0] for word in (*self.gone, *self.words)):
            added = [uri for other, uri in map(halves, self.words) if other == name]
            removed = [uri for other, uri in map(halves, self.gone) if other == name]
            if host.dry_run:
                self._would(host, image, name, added, removed)
            else:
                self._one(host, image, known.get(name) or self._unknown(name, removed), added, removed)

    def _one(
        self, host: Host, image: pkg.Image, have: Publisher, added: list[str], removed: list[str]
    ) -> None:
        there = {_tidy(uri): uri for uri in have.origins}
        lost = set(there) if "" in removed else {_tidy(uri) for uri in removed}
        missing = lost - set(there)
        if missing:
            raise NotThere(
                f"publisher {have.name} of zone {self.zone} has no origin {min(missing)}",
                hint=f"it has: {', '.join(have.origins)}",
            )
        kept = [uri for tidy, uri in there.items() if tidy not in lost]
        new = [uri for uri in added if _tidy(uri) not in {_tidy(one) for one in kept}]
        out = [there[tidy] for tidy in there if tidy in lost]
        if removed and not (kept or new):
            pkg.unset_publisher(host, image, have.name)
        elif out or new:
            pkg.change_origins(host, image, have.name, add=new, remove=out, limit=self.limit)

    def _unknown(self, name: str, removed: list[str]) -> Publisher:
        if removed:
            raise NotThere(
                f"zone {self.zone} has no publisher {name}", hint="see, in the zone: pkg publisher"
            )
        return Publisher(name)

    def _would(self, host: Host, image: pkg.Image, name: str, added: list[str], removed: list[str]) -> None:
        if removed and not added:
            pkg.unset_publisher(host, image, name)
        else:
            pkg.change_origins(host, image, name, add=added, remove=["*"] if "" in removed else removed)


def _tidy(uri: str) -> str:
    """pkg ends the address of a repository with a slash."""
    return uri.rstrip("/")


# -- linked images -------------------------------------------------------------------------------------------


def linked(host: Host, brand: str) -> bool:
    """Does this host's pkg treat zones of the brand as children of its own image (docs/illumos.md: pkg)?"""
    if brand == "ipkg":  # on OpenIndiana, which has nlipkg for zones that are not
        return "brand: nlipkg" in host.ask("zonecfg", "-z", "OInlipkg", "info", "brand", ok=(0, 1)).stdout
    return brand in ("lipkg", "sparse", "pkgsrc")


def check_linked(host: Host, zone: str, brand: str, change: Change) -> None:
    """A linked zone must have the host's publishers first and in their order, or pkg refuses it, and in the host, too
    (pkg5's linkedimage/common.py, pubcheck).
    """
    names = {name for name, uri in map(halves, change.remove_publishers) if not uri}
    names -= {halves(word)[0] for word in change.add_publishers}
    if not names or not linked(host, brand):
        return
    needed = sorted(names & {one.name for one in pkg.publishers(host, pkg.HOST_IMAGE, enabled=True)})
    if needed:
        raise UsageError(
            f"zone {zone} is of the linked brand {brand} and needs the host's publisher {needed[0]}",
            hint="use a brand that is not linked: nlipkg on OpenIndiana, ipkg on OmniOS",
        )


# -- the way back --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReturnToRoot(Step):
    """Nothing to do, only to undo: the zone goes back to this ZBE as it was in this snapshot, and is left halted.

    ZBEs that are not `known` came since, under this run's lock, and go. What libbe promoted is promoted back before.
    """

    silent: ClassVar[bool] = True

    zone: str
    home: str
    zbe: str  # the dataset's full name
    snapshot: str
    made_by: str  # the run that made the zone, by which it is known again
    known: tuple[str, ...]  # all ZBEs there were, full names

    def __str__(self) -> str:
        return f"be ready to return to {self.zone}@{self.snapshot}"

    def do(self, host: Host) -> None:
        """The snapshot was taken by the step before."""

    def undo(self, host: Host) -> None:
        holder = self._holder(host)
        if not holder or not parts.bears_mark(host, self.zone, self.made_by):
            return
        parts.stop(host, self.zone)
        self._await_pkg(host)
        if holder != self.zbe:
            host.change("zfs", "promote", self.zbe)
        self._activate(host)
        for zbe in self._since(host):
            self._destroy(host, zbe)
        self._roll_back(host)
        self._mount(host)

    def _holder(self, host: Host) -> str:
        """The ZBE that has the snapshot now; empty when there is none, and so nothing was changed either."""
        return next(
            (
                row.dataset
                for row in survey.snapshots(host, f"{self.home}/ROOT")
                if row.snapshot.name == self.snapshot and row.dataset.count("/") == self.zbe.count("/")
            ),
            "",
        )

    def _await_pkg(self, host: Host) -> None:
        """A pkg of the global zone outlives a killed zonemgr, and would go on writing into what is rolled back."""
        root = f"{survey.zone(host, self.zone).path}/root"
        if root in system.zfs_mounts(host):
            pkg.until_free(host, pkg.Image(root=root))

    def _activate(self, host: Host) -> None:
        """Off before on: with two active ZBEs the brand would not know which."""
        active = {row.name: row.active for row in survey.filesystems(host)}
        for zbe in self._since(host):
            if active.get(zbe) == "on":
                zfs.set_properties(host, Dataset(zbe), {survey.ACTIVE: "off"})
        if active.get(self.zbe) != "on":
            zfs.set_properties(host, Dataset(self.zbe), {survey.ACTIVE: "on"})

    def _since(self, host: Host) -> list[str]:
        """The ZBEs that came since, by the names that pkg gives them; another dataset in ROOT is somebody's."""
        new = [zbe for zbe in zbes(host, self.home) if zbe not in (self.zbe, *self.known)]
        return [zbe for zbe in new if parts.ZBE.fullmatch(zbe.rpartition("/")[2])]

    def _destroy(self, host: Host, zbe: str) -> None:
        """A new ZBE with its children and snapshots. What it was cloned from goes with the rollback."""
        for row in survey.snapshots(host, zbe):
            if row.userrefs:
                zfs.release(host, row.snapshot)
        parts.remove_tree(host, Dataset(zbe))

    def _roll_back(self, host: Host) -> None:
        rows = survey.snapshots(host, self.zbe)
        for dataset in sorted({row.dataset for row in rows if row.snapshot.name == self.snapshot}):
            names = [row for row in rows if row.dataset == dataset]
            position = next(n for n, row in enumerate(names) if row.snapshot.name == self.snapshot)
            for row in names[position + 1 :]:
                if row.userrefs:
                    zfs.release(host, row.snapshot)
            zfs.rollback(host, Snapshot.parse(f"{dataset}@{self.snapshot}"), discard_newer=True)

    def _mount(self, host: Host) -> None:
        row = survey.zone(host, self.zone)
        MountRoot(self.zone, self.home, row.path).do(host)


def zbes(host: Host, home: str) -> list[str]:
    """The boot environments in a zone's home, full names; the overlays below a sparse one are part of it."""
    return [row.name for row in survey.filesystems(host) if row.name.rpartition("/")[0] == f"{home}/ROOT"]


def return_to(look: Host, zone: survey.Managed, snapshot: str) -> ReturnToRoot:
    """The way back to what is the zone's root now, once the snapshot of it is taken."""
    root = survey.root_of(look, zone.dataset, zone.name).name
    return ReturnToRoot(
        zone.name, zone.dataset, root, snapshot, zone.run, tuple(zbes(look, zone.dataset))
    )  # fmt: skip


@dataclass(frozen=True)
class RunAgain(Step):
    """Nothing to do, only to undo: a zone that runs now and was stopped for the way back is booted again."""

    silent: ClassVar[bool] = True

    zone: str
    made_by: str

    def __str__(self) -> str:
        return f"note that {self.zone} runs"

    def do(self, host: Host) -> None:
        """It does."""

    def undo(self, host: Host) -> None:
        parts.boot_again(host, self.zone, self.made_by)


@dataclass(frozen=True)
class BootForManifests(building.BootZone):
    """What was installed brings SMF manifests: one boot imports them, so that clones need not."""

    def do(self, host: Host) -> None:
        parts.remake_vnics(host, self.zone)
        super().do(host)


@dataclass(frozen=True)
class SetMarks(Step):
    """Properties of the zonepath dataset, NAME=VALUE; `before` are those that were set."""

    home: str
    marks: tuple[str, ...]
    before: tuple[str, ...]

    def __str__(self) -> str:
        return f"note what is in {self.home.rpartition('/')[2]}"

    def do(self, host: Host) -> None:
        zfs.set_properties(host, Dataset(self.home), _pairs(self.marks))

    def undo(self, host: Host) -> None:
        home, before = Dataset(self.home), _pairs(self.before)
        if not zfs.exists(host, home):
            return
        for name in _pairs(self.marks):
            if name not in before:
                zfs.inherit(host, home, name)
        if before:
            zfs.set_properties(host, home, before)


def _pairs(words: Sequence[str]) -> Mapping[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def recall_set(host: Host, home: Dataset, kept: Mapping[str, str]) -> SetMarks:
    """The step that writes down again what was kept with a snapshot; nothing is known where nothing was kept."""
    before = zfs.get_local(host, home, *imageset.PROPERTIES)
    marks = {name: kept.get(name, "0") for name in imageset.PROPERTIES if name in kept or name in before}
    return SetMarks(
        home, tuple(f"{n}={v}" for n, v in marks.items()), tuple(f"{n}={v}" for n, v in before.items())
    )


def follow(host: Host, home: Dataset, wanted: imageset.ImageSet) -> SetMarks:
    """The step that writes down what a golden image holds from now on."""
    before = zfs.get_local(host, home, *imageset.PROPERTIES)
    marks = imageset.marks(wanted)
    return SetMarks(
        home, tuple(f"{n}={v}" for n, v in marks.items()), tuple(f"{n}={v}" for n, v in before.items())
    )
