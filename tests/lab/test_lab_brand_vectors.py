"""The lab's brands against recordings of the real scripts (vectors/brand.jsonl).

Each record's host is built with the lab's own zfs, the hook is run, and exit status, datasets, files and what the
script itself said are compared. The ids of those that differ are listed, with a reason each, in
vectors/brand-differs.txt; a record that begins to differ fails here, and so does one that no longer does.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zonemgr.lab import brands, world, zonestore
from zonemgr.lab.brands.common import gz_boot_environment
from zonemgr.lab.call import Call, Finished
from zonemgr.lab.world import World

VECTORS = Path(__file__).parent / "vectors"
Record = dict[str, Any]
RECORDS: list[Record] = [json.loads(line) for line in (VECTORS / "brand.jsonl").read_text().splitlines()]
DIFFERS: dict[str, str] = dict(
    line.split(": ", 1)
    for line in (VECTORS / "brand-differs.txt").read_text().splitlines()
    if line and not line.startswith("#")
)

PROPERTIES = {
    "mountpoint": "mountpoint",
    "canmount": "canmount",
    "zoned": "zoned",
    "quota": "quota",
    "tool:keep": "tool:keep",
    "parentbe": "org.opensolaris.libbe:parentbe",
    "active": "org.opensolaris.libbe:active",
}
OTHER_GZ = "22222222-2222-2222-2222-222222222222"


def name(record: Record) -> str:
    return f"{record['brand']}/{record['id']}"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh lab of either flavour, to be copied."""
    directory = tmp_path_factory.mktemp("pristine")
    for flavour in world.FLAVOURS:
        world.create(directory / flavour, flavour=flavour).close()
    return directory


class Host:
    """A host of the recordings: built up from a list of datasets, a hook run on it, read out again."""

    def __init__(self, opened: World, record: Record) -> None:
        self.world, self.record = opened, record
        self.world.put("cells", "off")
        # In the recordings zlogin did nothing.
        self.world.put("fault.unconfigure", "fail" if "unconfig-fails" in record["id"] else "skip")
        self.own = set(self.run("zfs", "list", "-H", "-o", "name").stdout.split())
        self.brand = "sparse" if record["brand"] == "omnios-sparse" else "ipkg"
        self.gz = {"GZ1": gz_boot_environment(Call(opened, ["beadm"])), "GZ2": OTHER_GZ}
        self.stood_in: dict[str, str] = {}
        self.made: list[str] = []

    def run(self, *argv: str) -> Finished:
        return Call(self.world, ["test"]).run(*argv)

    def must(self, *argv: str) -> None:
        done = self.run(*argv)
        assert done.exit_code == 0, f"{argv}: {done.stderr}"

    # -- before --------------------------------------------------------------------------------------------

    def build(self) -> None:
        for dataset in self.record["before"]:
            if "samesecond" not in self.record["id"]:
                self.world.advance(2)
            self._dataset(dataset)
        for stand_in in reversed(self.stood_in.values()):
            self.must("zfs", "destroy", "-r", stand_in)
        self._files()
        for dataset in self.record["before"]:
            for number in range(int(dataset.get("holds", 0))):
                self.must("zfs", "hold", f"tag{number}", dataset["name"])
        if "deferred" in self.record.get("note", ""):
            snapshot = next(each for each in self.record["before"] if each.get("type") == "snapshot")
            self.must("zfs", "destroy", "-d", snapshot["name"])
        self._zones()
        if "no-gzbe" in self.record["id"]:
            self._forget_boot_environment()

    def _forget_boot_environment(self) -> None:
        """No BE is running: the running one has lost the uuid it is known by."""
        root = next(each for each in self.own if each.startswith("rpool/ROOT/"))
        self.must("zfs", "inherit", "org.opensolaris.libbe:uuid", root)

    def _dataset(self, dataset: dict[str, Any]) -> None:
        target = dataset["name"]
        if target in self.own:
            return
        if dataset.get("type") == "snapshot":
            self.must("zfs", "snapshot", self._standing(target))
            return
        options = [word for key in PROPERTIES for word in self._option(dataset, key)]
        if dataset.get("type") == "volume":
            self.must("zfs", "create", "-s", "-V", "1M", *options, target)
        elif target in self.stood_in:  # it was promoted, so that its snapshots are older than it
            youngest = self.run(
                "zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-r", self.stood_in[target]
            )
            self.must("zfs", "clone", *options, youngest.stdout.split()[-1], target)
            self.must("zfs", "promote", target)
        elif dataset.get("origin"):
            self.must("zfs", "clone", *options, self._standing(dataset["origin"]), target)
        else:
            done = self.run("zfs", "create", *options, target)
            assert done.exit_code == 0 or "created, but not mounted" in done.stderr, done.stderr
        self.made.append(target)
        self._mount(dataset)

    def _standing(self, snapshot: str) -> str:
        """The snapshot under the name it can have by now: its file system may come later."""
        target, _, tag = snapshot.partition("@")
        if target in self.made:
            return snapshot
        if target not in self.stood_in:
            self.stood_in[target] = f"rpool/stood-in{len(self.stood_in)}"
            self.must("zfs", "create", "-o", "mountpoint=legacy", self.stood_in[target])
        return f"{self.stood_in[target]}@{tag}"

    def _option(self, dataset: dict[str, Any], key: str) -> list[str]:
        if key not in dataset:
            return []
        value = self.gz.get(dataset[key], dataset[key]) if key == "parentbe" else dataset[key]
        return ["-o", f"{PROPERTIES[key]}={value}"]

    def _mount(self, dataset: dict[str, Any]) -> None:
        target, where = dataset["name"], dataset.get("mounted")
        mounted = self.run("zfs", "get", "-H", "-o", "value", "mounted", target).stdout.strip() == "yes"
        if mounted and not where:
            self.must("zfs", "unmount", target)
        elif where and not mounted:
            self.world.path(where).mkdir(parents=True, exist_ok=True)
            if self.run("zfs", "get", "-H", "-o", "value", "mountpoint", target).stdout.strip() == "legacy":
                self.must("mount", "-F", "zfs", "-O", target, where)
            else:
                self.must("zfs", "mount", target)
        if where:
            self._written_to(where)

    def _written_to(self, where: str) -> None:
        """Files of the record that lie in the file system mounted here; clones made later have them too."""
        points = [each["mounted"] for each in self.record["before"] if "mounted" in each]
        for path in self.record.get("files_before") or []:
            entry = path.rpartition("/ ")[0] or path
            holders = [point for point in points if f"{entry}/".startswith(f"{point}/")]
            if max(holders, key=len, default="") == where:
                self._file(path)

    def _files(self) -> None:
        for path in self.record.get("files_before") or []:
            self._file(path)

    def _file(self, path: str) -> None:
        directory, _, mode = path.rpartition("/ ")
        if mode.isdigit():
            self.world.path(directory).mkdir(parents=True, exist_ok=True)
            self.world.path(directory).chmod(int(mode, 8))
            return
        place = self.world.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text("as recorded\n")

    def _zones(self) -> None:
        incomplete = {*(self.record.get("state_after") or {})}
        for zone, path in (self.record.get("zones") or {}).items():
            script = f"create -b; set zonepath={path}; set brand={self.brand}; set ip-type=exclusive"
            self.must("zonecfg", "-z", zone, script)
            zonestore.set_state(self.world, zone, "incomplete" if zone in incomplete else "installed")

    # -- the hook ------------------------------------------------------------------------------------------

    def hook(self) -> Finished:
        brand = brands.find(self.world, self.brand)
        assert brand is not None
        function = brands.function(getattr(brand, self.record["argv"][0]))
        out, err = io.BytesIO(), io.BytesIO()
        status = function(Call(self.world, ["hook"], stdout=out, stderr=err), self.record["argv"])
        return Finished(status, out.getvalue().decode(), err.getvalue().decode())

    # -- after ---------------------------------------------------------------------------------------------

    def tree(self) -> dict[str, dict[str, Any]]:
        """The datasets that are not the lab's own, as a record has them."""
        mounted = {line.split()[0]: line.split()[2] for line in self.run("mount", "-p").stdout.splitlines()}
        rows = self.run("zfs", "list", "-H", "-p", "-t", "all", "-o", "name,type,origin,userrefs").stdout
        found: dict[str, dict[str, Any]] = {}
        for row in rows.splitlines():
            target, kind, origin, holds = row.split("\t")
            if target not in self.own:
                found[target] = self._entry(target, kind, origin, holds) | (
                    {"mounted": mounted[target]} if target in mounted else {}
                )
        return found

    def _entry(self, target: str, kind: str, origin: str, holds: str) -> dict[str, Any]:
        entry: dict[str, Any] = {} if kind == "filesystem" else {"type": kind}
        if origin != "-":
            entry["origin"] = origin
        if holds not in ("-", "0"):
            entry["holds"] = int(holds)
        if kind == "snapshot":
            return entry
        names = ",".join(PROPERTIES.values())
        local = self.run("zfs", "get", "-Hp", "-s", "local", "-o", "property,value", names, target).stdout
        values = dict(line.split("\t") for line in local.splitlines())
        uuids = {uuid: gz for gz, uuid in self.gz.items()}
        for key, prop in PROPERTIES.items():
            if prop in values:
                entry[key] = uuids.get(values[prop], values[prop])
        return entry

    def files(self) -> set[str]:
        """What lies at and below zonepaths, files three levels deep, without what only a real zoneadm leaves."""
        found = set()
        for path in {*(self.record.get("zones") or {}).values(), "/zones/t1"}:
            found |= set(_listed(self.world.path(path), path, 2))
        return {each for each in found if not each.startswith(tuple(self._left()))}

    def _left(self) -> Iterator[str]:
        for path in (self.record.get("zones") or {}).values():
            yield f"{path}/lu/"
            yield f"{path}/dev/"


def _listed(place: Path, shown: str, levels: int) -> Iterator[str]:
    if not place.is_dir() or not levels:
        return
    yield f"{shown}/ {place.stat().st_mode & 0o777:o}"
    for each in sorted(place.iterdir()):
        if each.is_dir():
            yield from _listed(each, f"{shown}/{each.name}", levels - 1)
        else:
            yield f"{shown}/{each.name}"


def wanted_tree(host: Host) -> dict[str, dict[str, Any]]:
    recorded = host.record["after"]
    return {
        each["name"]: {k: v for k, v in each.items() if k != "name"}
        for each in recorded
        if each["name"] not in host.own
    }


STARTS = ("ERROR:", "Error:", "promoting", "renaming", "Usage:", "brand-specific", "unable to determine")


def own_words(*texts: list[str] | str) -> set[str]:
    """What the scripts themselves say, on whatever way it came; the texts of zfs and zoneadm are not theirs."""
    lines = [line for text in texts for line in (text.splitlines() if isinstance(text, str) else text)]
    said = (
        re.sub(r"^(zone '[^']*': |\[.*?\] )", "", line).partition("   (and ")[0].strip() for line in lines
    )
    return {line for line in said if line.startswith(STARTS)}


def wrong_words(host: Host, ended: Finished) -> set[str]:
    """Sentences only one side has. A log may hold old ones; what zoneadmd's hook says goes nowhere but there."""
    logs = [path.read_text() for path in host.world.path("/").glob("*/*/log/zone.log")]
    ours, theirs = (
        own_words(ended.stdout, ended.stderr),
        own_words(*_recorded(host.record, "stdout", "stderr")),
    )
    return (ours - theirs - own_words(*_recorded(host.record, "zone_log"))) | (
        theirs - ours - own_words(*logs)
    )


def _recorded(record: Record, *keys: str) -> list[list[str] | str]:
    return [record.get(key) or "" for key in keys]


def differences(host: Host) -> list[str]:
    host.build()
    ended = host.hook()
    record, found = host.record, []
    if ended.exit_code != record["exit"]:
        found.append(f"exit {ended.exit_code}, recorded {record['exit']}: {ended.stdout}{ended.stderr}")
    ours, theirs = host.tree(), wanted_tree(host)
    for target in sorted({*ours, *theirs}):
        if ours.get(target) != theirs.get(target):
            found.append(f"{target}: {ours.get(target)}, recorded {theirs.get(target)}")
    files = set(record.get("files_after") or [])
    if host.files() != files:
        found.append(f"files {sorted(host.files() - files)} too many, {sorted(files - host.files())} too few")
    words = wrong_words(host, ended)
    if words:
        found.append(f"said by one side only: {sorted(words)}")
    return found


@pytest.mark.parametrize("record", RECORDS, ids=[name(each) for each in RECORDS])
def test_the_brand_does_what_was_recorded(record: Record, pristine: Path, tmp_path: Path) -> None:
    flavour = "openindiana" if record["brand"] == "oi" else "omnios"
    shutil.copytree(pristine / flavour, tmp_path / "lab", symlinks=True)
    opened = World(tmp_path / "lab")
    found = differences(Host(opened, record))
    opened.close()
    if name(record) in DIFFERS:
        assert found, f"{name(record)} no longer differs: take it out of brand-differs.txt"
    else:
        assert not found, "\n".join(found)
