"""Golden images from an archive, a stream or a snapshot; written into a file for another host, and made of it there.

What takes what (docs/illumos.md: Brand scripts, pkg5 src/brand/ipkg): a tar, cpio, pax or flash archive or a
directory goes to the
brand's own `install -a` or `-d`, with -u, as the image is to be nobody's system. The brand's scripts name no dataset
for a ZFS stream, so that one is received here, mounted on the zone's root, and handed over to `attach -u`, which
takes a root that was put there by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import zonemgr
from zonemgr import records
from zonemgr.errors import AlreadyThere, NotThere, UsageError, ZonemgrError
from zonemgr.host import smf, streams, system, zfs, zoneadm
from zonemgr.host.contract import encoded
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, Snapshot, ZoneName
from zonemgr.workflows import (
    building,
    common,
    container,
    disposable,
    furnish,
    golden,
    imageset,
    naming,
    packages,
    privilege,
    removing,
    survey,
)
from zonemgr.workflows.job import Site, glimpse, job
from zonemgr.workflows.steps import Step

# How archives begin that the brands' scripts unpack; a file that begins otherwise is taken for a ZFS stream.
_BEGINNINGS = (
    b"070701",
    b"070702",
    b"070707",
    b"\xc7\x71",
    b"\x71\xc7",
    b"\x1f\x8b",
    b"BZh",
    b"FlAsH-aRcHiVe",
)


@dataclass(frozen=True)
class Exported:
    file: str
    zone: str
    snapshot: str
    size: int  # of the stream, in bytes
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


# -- export --------------------------------------------------------------------------------------------------


def export(site: Site, name: str, output: str, snapshot: str = "") -> Exported:
    """Write a golden image's served snapshot, or another, into a new file of the host."""
    zone, run = ZoneName(name), records.new_run_id()
    look = glimpse(site)
    privilege.require(look, "zfs")
    step = _writing(look, site, zone, output, snapshot, run)
    step.check(look)
    with job(site, [zone], run, images=[zone]) as work:
        look = glimpse(site)
        step = _writing(look, site, zone, output, snapshot, run)
        work.do(step, look=look)
    if site.host.dry_run:
        return Exported(output, zone, step.snapshot, 0, "")
    told = container.read(streams.head(site.host, output), output) or {}
    return Exported(output, zone, step.snapshot, told["size"], told["sha256"])


def _writing(look: Host, site: Site, zone: ZoneName, output: str, wanted: str, run: str) -> WriteArchive:
    _check_path(output)
    image = survey.managed(look, zone, survey.GIZ)
    if image.row.brand not in golden.SEEDED_BRANDS:
        raise ZonemgrError(
            f"golden image {zone} is of brand {image.row.brand}, whose roots lean on the host's own /usr",
            hint="make it anew on the other host, with the same packages",
        )
    snapshot = Snapshot.parse(golden.served_snapshot(look, image, wanted))
    _check_snapshot(look, snapshot)
    marks = zfs.get_local(look, image.dataset, *imageset.PROPERTIES)
    if snapshot.name != image.marks.get(
        "current"
    ):  # an older one has what was noted with it when it was served
        kept = zfs.local_properties(look, image.dataset.at(snapshot.name))
        marks = {name: kept[name] for name in imageset.PROPERTIES if name in kept}
    manifest = {
        "format": container.FORMAT,
        "zone": str(zone),
        "snapshot": str(snapshot.name),
        "brand": image.row.brand,
        "created": naming.stamp(),
        "host": look.ask("uname", "-n").stdout.strip(),
        "release": look.ask("uname", "-v").stdout.strip(),
        "zonemgr": zonemgr.__version__,
        "origin": image.marks.get("origin", ""),
        "marks": marks,
        **_readable(marks),
    }
    words = tuple(f"{key}={value}" for key, value in _flat(manifest))
    return WriteArchive(str(snapshot), output, f"{output}.part-{run}", words, site.config.host.install_limit)


def _readable(marks: Mapping[str, str]) -> dict[str, Any]:
    """For people who look into the file: what is in the image. The marks are what counts."""
    found = imageset.recall(marks)
    if found is None:
        return {}
    return {"packages": sorted(found.packages), "publishers": [list(pair) for pair in found.publishers]}


def _flat(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    import json

    return [(key, json.dumps(value, sort_keys=True)) for key, value in manifest.items()]


def _check_path(path: str) -> None:
    if not path.startswith("/") or re.search(r"[\x00-\x1f\x7f]", path):
        raise UsageError(f"{path!r} is not an absolute path on the host", hint="-o /export/images/tools.zone")


def _check_snapshot(look: Host, snapshot: Snapshot) -> None:
    if not zfs.exists(look, snapshot):
        raise NotThere(
            f"there is no snapshot {snapshot}", hint=f"see: zfs list -r -t snapshot {snapshot.dataset}"
        )
    below = [row.name for row in survey.filesystems(look) if row.name.startswith(f"{snapshot.dataset}/")]
    if below:
        raise ZonemgrError(
            f"{below[0]} lies below the image's root, and an archive has room for one file system",
            hint="move what it holds into the root, or destroy it",
        )
    if zfs.key_is_missing(look, snapshot.dataset):
        raise ZonemgrError(
            f"the key of {snapshot.dataset} is not loaded", hint=f"zfs load-key {snapshot.dataset}"
        )


@dataclass(frozen=True)
class WriteArchive(Step):
    """Stream, checksum, manifest, and only then the file's own name. Half of one never has that."""

    snapshot: str
    output: str
    part: str
    manifest: tuple[str, ...]  # `key=JSON` each, without size and checksum
    limit: float

    def __str__(self) -> str:
        return f"export {self.snapshot} to {self.output}"

    def check(self, host: Host) -> None:
        if system.path_exists(host, self.output):
            raise AlreadyThere(
                f"there is a file {self.output} already", hint="choose another name, or remove it"
            )
        folder = self.output.rpartition("/")[0] or "/"
        if not system.directory_exists(host, folder):
            raise NotThere(f"the host has no directory {folder}", hint=f"make it first: mkdir -p {folder}")

    def do(self, host: Host) -> None:
        streams.start(host, self.part)
        streams.send_to_file(host, Snapshot.parse(self.snapshot), self.part, limit=self.limit)
        if host.dry_run:  # there is no file to measure
            return
        size = streams.size(host, self.part) - streams.BLOCK
        streams.append_zeros(host, self.part, container.padding(size))
        total = streams.digest(host, self.part, skip=1, limit=self.limit)
        streams.write_head(host, self.part, container.head({**self._told(), "size": size, "sha256": total}))
        self.check(host)  # nobody has put another file there meanwhile
        streams.rename(host, self.part, self.output)

    def _told(self) -> dict[str, Any]:
        import json

        return {key: json.loads(value) for key, _, value in (word.partition("=") for word in self.manifest)}

    def undo(self, host: Host) -> None:
        streams.remove(host, self.part)


# -- import, and images from elsewhere -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where the root of a new image comes from."""

    kind: str  # archive, directory, stream, snapshot
    place: str  # a path, or DATASET@SNAP
    skip: int = 0  # blocks before the stream
    manifest: Mapping[str, Any] = field(default_factory=dict)  # of an export


def import_(site: Site, source: str, name: str = "") -> golden.Golden:
    """A golden image from a file that `export` wrote, under its old name or a new one."""
    look = glimpse(site)
    found = _file(look, source)
    if not found.manifest:
        raise UsageError(
            f"{source} was not written by zonemgr export",
            hint=f"other archives: zonemgr create-giz --from {source}",
        )
    return _create(site, golden.GoldenRequest(zone=name, source=source), look, found)


def create(site: Site, request: golden.GoldenRequest) -> golden.Golden:
    """A golden image from `request.source`: an archive, a directory, a stream, an export, or DATASET@SNAP."""
    for what, word in (
        ("--clone", request.origin),
        ("-Z", request.autoname),
        ("--snapshot", request.snapshot),
    ):
        if word:
            raise UsageError(f"{what} and --from exclude each other", hint="leave one of them out")
    look = glimpse(site)
    return _create(site, request, look, _source(look, request.source))


def _source(look: Host, text: str) -> Source:
    if text.startswith("/"):
        return Source("directory", text) if system.directory_exists(look, text) else _file(look, text)
    dataset, at, name = text.partition("@")
    if not at:
        raise UsageError(
            f"{text!r} is neither an absolute path nor DATASET@SNAP", hint="--from tank/roots/oi@clean"
        )
    _check_snapshot(look, Dataset(dataset).at(name))
    return Source("snapshot", text)


def _file(look: Host, path: str) -> Source:
    _check_path(path)
    block = streams.head(look, path)
    manifest = container.read(block, path)
    if manifest is not None:
        return Source("stream", path, 1, manifest)
    data = encoded(block)
    archive = data.startswith(_BEGINNINGS) or data[257:262] == b"ustar"
    return Source("archive" if archive else "stream", path)


def _create(site: Site, request: golden.GoldenRequest, look: Host, source: Source) -> golden.Golden:
    run = records.new_run_id()
    manifest = source.manifest
    request = replace(
        request,
        zone=request.zone or manifest.get("zone", ""),
        brand=request.brand or manifest.get("brand", ""),
    )
    name = _name(request)
    plan = _prepare(look, site, request, source, run)
    if manifest:
        _check_sum(site, look, source)
    made = golden.Golden(name, naming.initial("postinstalled", name), run)
    with job(site, [name], run, images=[name]) as work:
        look = glimpse(site)
        work.do(*_steps(look, site, plan), look=look)
    return made


def _name(request: golden.GoldenRequest) -> str:
    if not request.zone:
        raise UsageError("an image from an archive needs a name", hint="name it with -z")
    return str(ZoneName(request.zone))


def _check_sum(site: Site, look: Host, source: Source) -> None:
    """Before anything is made: is the file whole, and what was written?"""
    site.report.note(f"checking {source.place}")
    size = streams.size(look, source.place)
    wanted = streams.BLOCK + source.manifest["size"] + container.padding(source.manifest["size"])
    told = (
        streams.digest(look, source.place, skip=1, limit=site.config.host.install_limit)
        if size == wanted
        else ""
    )
    if told != source.manifest["sha256"]:
        what = "its checksum is another" if told else f"it has {size} bytes instead of {wanted}"
        raise ZonemgrError(
            f"{source.place} is damaged: {what}", hint=f"copy it anew from host {source.manifest.get('host')}"
        )


@dataclass(frozen=True)
class _Plan:
    zone: str
    brand: str
    template: str
    source: Source
    change: packages.Change
    things: furnish.Furniture
    run: RunId


def _prepare(look: Host, site: Site, request: golden.GoldenRequest, source: Source, run: RunId) -> _Plan:
    """Everything that can be refused without changing the host."""
    brand, template = golden.brand_for(look, site, request)
    if brand not in golden.SEEDED_BRANDS:
        raise ZonemgrError(
            f"brand {brand} takes no root from elsewhere",
            hint=f"name another with -b: {', '.join(golden.SEEDED_BRANDS)}",
        )
    if not template and not _knows(look, brand):
        raise NotThere(
            f"this host has no brand {brand}", hint="see: ls /usr/lib/brand; create-giz takes another with -b"
        )
    if source.kind in ("archive", "directory") and not golden.PLAIN.fullmatch(source.place):
        raise UsageError(
            f"{source.place!r} has characters that zoneadm would let a shell take apart",
            hint="rename it first",
        )
    building.name_is_free(look, request.zone)
    things = golden.furniture(look, site, request.wishes, request.zone, run)
    change = packages.parse(
        request.packages, request.remove_packages, _publishers(request, source), request.remove_publishers
    )
    packages.check_linked(look, request.zone, brand, change)
    privilege.require(look, "zone", "zfs", "packages", *(["network"] if things.links else []))
    return _Plan(request.zone, brand, template, source, change, things, run)


def _publishers(request: golden.GoldenRequest, source: Source) -> Sequence[str]:
    """`attach` gives the image the host's publishers; those it was made with come back."""
    found = imageset.recall(_set_marks(source.manifest))
    own = [f"{name}|{uri}" for name, uri in found.publishers] if found else []
    return [*own, *request.publishers]


def _set_marks(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the file says is in the image. It comes from elsewhere, and sets no other property of a dataset here."""
    told = dict(manifest.get("marks", {}))
    return {name: str(told[name]) for name in imageset.PROPERTIES if name in told}


def _knows(look: Host, brand: str) -> bool:
    """zonecfg would only say at the end that there is no such brand; each has a template, or a directory."""
    templates = (f"OI{brand}", f"OMNI{brand}", f"SUNW{brand}", "SUNWdefault")
    return any(golden.brand_of(look, template) == brand for template in templates) or system.directory_exists(
        look, f"/usr/lib/brand/{brand}"
    )


def _steps(look: Host, site: Site, plan: _Plan) -> list[Step]:
    name, run, limits = plan.zone, plan.run, site.config.host
    home, zonepath = survey.home_of(site.config, survey.GIZ, name)
    origin = f"archive:{plan.source.place.rpartition('/')[2]}"[:255]
    building.name_is_free(look, name)
    common.check_free(look, zonepath, home)
    marks = {**_contents(plan), **plan.things.home_properties}
    configuration = common.configuration(
        zonepath, survey.GIZ, origin, run, brand=plan.brand, template=plan.template, furniture=plan.things
    )
    ready = naming.initial("postinstalled", name)

    def snapshot(what: str) -> Step:
        return building.TakeSnapshot(name, home, naming.initial(what, name), run)

    return [
        *common.containment(look, site, survey.GIZ, run),
        common.home(site, survey.GIZ, name, run, origin=origin, marks=marks),
        *golden.before_configuration(look, plan.things, run),
        building.ConfigureZone(name, run, configuration.first),
        *_laying_down(plan, home, zonepath, limits.install_limit),
        disposable.set_up(site, name, run, furnish.Furniture(), reset=True),
        snapshot("installed"),
        *packages.on_root(name, home, zonepath, plan.change, limits.install_limit),
        building.BootZone(name, run, smf.SINGLE_USER, limits.boot_limit, single_user=True),
        building.HaltZone(name),
        *golden.set_up(site, name, run, plan.things),
        *configuration.add(name),
        snapshot("manifest_import_booted"),
        snapshot("postinstalled"),
        building.PublishImage(name, home, ready),
    ]


def _contents(plan: _Plan) -> dict[str, str]:
    """What the image will hold, for its home: what the file says, changed as asked for; nothing if nobody knows."""
    known = imageset.recall(_set_marks(plan.source.manifest))
    if known is None:
        return {}
    change, things = plan.change, plan.things
    if things.users or things.groups or things.elevated or things.autonfs or change.remove_publishers:
        return {}
    return imageset.marks(
        known.changed(add=change.add, remove=change.remove, add_publishers=change.add_publishers)
    )


def _laying_down(plan: _Plan, home: Dataset, zonepath: str, limit: float) -> list[Step]:
    source = plan.source
    if source.kind in ("archive", "directory"):
        how = "-a" if source.kind == "archive" else "-d"
        # -p: the brand resets nothing. Its own way (-u) fails on hosts whose OpenSSH has no DSA keys; see SetUp.
        return [building.InstallZone(plan.zone, home, plan.run, (how, source.place, "-p"), limit)]
    return [
        ReceiveRoot(home, zonepath, plan.run, source.place, source.skip, limit),
        AttachZone(plan.zone, home, plan.run, ("-u",), limit),
    ]


@dataclass(frozen=True)
class ReceiveRoot(Step):
    """A root from a stream or a snapshot, mounted where `attach` looks for one."""

    home: str
    zonepath: str
    run: str
    source: str  # a file, or DATASET@SNAP
    skip: int
    limit: float

    def __str__(self) -> str:
        return f"receive {self.source} for {self.home}"

    def do(self, host: Host) -> None:
        above = Dataset(self.home).child("ROOT")
        root = above.child("zbe")
        zfs.create(host, above, made_by=RunId(self.run), properties={"mountpoint": "legacy"})
        properties = {"mountpoint": f"{self.zonepath}/root"}
        if self.source.startswith("/"):
            streams.receive_file(host, self.source, root, properties, skip=self.skip, limit=self.limit)
        else:
            streams.copy(host, Snapshot.parse(self.source), root, properties, limit=self.limit)
        if not host.dry_run:
            self._refuse_more(host, root)
            for row in survey.snapshots_of(host, root):  # they came with the stream, and are of no use
                zfs.destroy_named(host, row.snapshot)
        zfs.mount(host, root)

    def _refuse_more(self, host: Host, root: Dataset) -> None:
        """What lies below a file system in a stream would be mounted where the stream says, on the host."""
        more = survey.below(survey.filesystems(host), root)[1:]
        if more:
            raise ZonemgrError(
                f"{self.source} holds more than one file system", hint="make one of the root alone: zfs send"
            )

    def prove(self, host: Host) -> None:
        root = f"{self.home}/ROOT/zbe"
        if zfs.get(host, Dataset(root), "mounted").get("mounted") != "yes":
            raise ZonemgrError(f"{root} was received, but is not mounted", hint=f"see: zfs get all {root}")

    def undo(self, host: Host) -> None:
        removing.remove_marked(host, [f"{self.home}/ROOT"], self.run)


@dataclass(frozen=True)
class AttachZone(building.InstallZone):
    """`zoneadm attach`: the brand takes a root that is there already."""

    def __str__(self) -> str:
        return f"attach {self.zone}"

    def do(self, host: Host) -> None:
        zoneadm.attach(host, ZoneName(self.zone), *self.options, limit=self.limit)
