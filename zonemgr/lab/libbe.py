"""libbe in a zone: its boot environments, the datasets beside the one its root is (illumos lib/libbe, be_*.c).

Works outside the zone's cell, for a call of that zone whose world is there (see `kernel`), with the rights the zone
has over datasets: its brand gives it the dataset ROOT without being asked (zoneadmd, get_implicit_datasets).

fault.be = STEP   libbe fails in this step: `copy`, `mount`, `activate`; `fault.be.ZONE` for one zone
"""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from zonemgr.lab.call import Call, Finished
from zonemgr.lab.zfs import mnttab

ACTIVE = "org.opensolaris.libbe:active"
PARENT = "org.opensolaris.libbe:parentbe"
POLICY = "org.opensolaris.libbe:policy"
TRIES = 3  # BE_AUTO_NAME_MAX_TRY
NAME = re.compile(r"[A-Za-z0-9_.:-][A-Za-z0-9_.: -]*")


class BeError(Exception):
    """A call of libbe failed; libbe says why to nobody unless asked to."""


@dataclass(frozen=True)
class Be:
    name: str
    dataset: str
    running: bool
    next: bool  # active when the zone boots next
    foreign: bool  # belongs to another boot environment of the global zone
    mounted: str  # where in the zone; empty: nowhere
    used: int
    policy: str
    created: int


class Zone:
    """The boot environments of a running zone."""

    def __init__(self, call: Call, root: str) -> None:
        """Raises BeError where the zone's root is no dataset: then there are none."""
        self._root, self._world = root, call.world
        held = mnttab.holding(call.world, root)
        if held is None or held.path != root:
            raise BeError("the zone's root is not a dataset")
        self.dataset = held.dataset
        self.container = self.dataset.rpartition("/")[0]
        self._call = replace(call, given=tuple(dict.fromkeys((*call.given, self.container))))

    @property
    def name(self) -> str:
        """Of the one that runs."""
        return self.dataset.rpartition("/")[2]

    def _fault(self, step: str) -> None:
        zone = self._call.zone
        if step in (self._world.get(f"fault.be.{zone}"), self._world.get("fault.be")):
            raise BeError(f"fault: {step}")

    def _zfs(self, *argv: str) -> Finished:
        return self._tool("zfs", *argv)

    def _tool(self, *argv: str) -> Finished:
        """A command with the zone's rights, answered here: `Call.run` would ask the zone's kernel, which this is."""
        import io

        from zonemgr.lab import tools

        out, err = io.BytesIO(), io.BytesIO()
        inner = replace(self._call, argv=list(argv), stdin=io.BytesIO(), stdout=out, stderr=err, reply=None)
        status = tools.find(argv[0])(inner)
        return Finished(status, out.getvalue().decode(), err.getvalue().decode())

    def _must(self, *argv: str) -> None:
        done = self._zfs(*argv)
        if done.exit_code:
            raise BeError(done.stderr.strip())

    def _get(self, dataset: str, prop: str) -> str:
        done = self._zfs("get", "-Hp", "-o", "value", prop, dataset)
        return "" if done.exit_code else done.stdout.strip().removeprefix("-")

    # -- what there is ---------------------------------------------------------------------------------------

    def every(self) -> list[Be]:
        """Oldest first."""
        mounted = {each.dataset: each.path for each in mnttab.entries(self._world)}
        found = [self._be(name, mounted.get(name)) for name in mnttab.children(self._world, self.container)]
        return sorted(found, key=lambda each: each.created)

    def _be(self, dataset: str, point: str | None) -> Be:
        where = point.removeprefix(self._root) or "/" if point else ""
        parent = self._get(dataset, PARENT)
        return Be(
            dataset.rpartition("/")[2],
            dataset,
            dataset == self.dataset,
            self._get(dataset, ACTIVE) == "on",
            parent != self._get(self.dataset, PARENT) or not parent,
            where,
            int(self._get(dataset, "used") or 0),
            self._get(dataset, POLICY) or "static",
            int(self._get(dataset, "creation") or 0),
        )

    def names(self) -> set[str]:
        return {each.name for each in self.every()}

    def auto_name(self, name: str) -> str:
        """The name of a copy: the base of the old one, and the number after the highest in use."""
        base = re.sub(r"-\d+$", "", name)
        taken = [
            int(each[len(base) + 1 :])
            for each in self.names()
            if re.fullmatch(rf"{re.escape(base)}-\d+", each)
        ]
        return f"{base}-{max(taken, default=0) + 1}"

    # -- changes ---------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> str:
        """Snapshot a BE with all below it, named after the time (UTC); on a clash a second later again."""
        for late in range(TRIES):
            word = time.strftime("%Y-%m-%d-%H:%M:%S", time.gmtime(self._world.now() + late))
            done = self._zfs("snapshot", "-r", f"{self.container}/{name}@{word}")
            if done.exit_code == 0:
                return word
        raise BeError(done.stderr.strip())

    def destroy_snapshot(self, name: str, word: str) -> None:
        self._must("destroy", "-r", f"{self.container}/{name}@{word}")

    def copy(self) -> str:
        """Clone the running BE with all below it, under an automatic name, not mounted, not active."""
        self._fault("copy")
        target = self.auto_name(self.name)
        word = self.snapshot(self.name)
        parent = self._get(self.dataset, PARENT)
        if not parent:
            raise BeError("failed to get parentbe uuid from orig BE")
        for dataset in self._tree(self.dataset):
            below = dataset[len(self.dataset) :]
            point = self._local_mountpoint(dataset)
            self._must(
                "clone",
                "-o",
                "canmount=noauto",
                *point,
                f"{dataset}@{word}",
                f"{self.container}/{target}{below}",
            )
        self._must("set", f"{PARENT}={parent}", f"{self.container}/{target}")
        self._must("set", f"{POLICY}=static", f"{self.container}/{target}")
        return target

    def _tree(self, dataset: str) -> list[str]:
        return self._zfs("list", "-H", "-r", "-t", "filesystem", "-o", "name", dataset).stdout.split()

    def _local_mountpoint(self, dataset: str) -> tuple[str, ...]:
        row = self._zfs("get", "-H", "-o", "value,source", "mountpoint", dataset).stdout.strip().split("\t")
        return ("-o", f"mountpoint={row[0]}") if row[-1] == "local" else ()

    def rename(self, name: str, new: str) -> None:
        self._must("rename", f"{self.container}/{name}", f"{self.container}/{new}")

    def activate(self, name: str) -> None:
        """Make a BE the one of the next boot, and promote it until it depends on nothing.

        A zone that was cloned from another cannot promote beyond its own datasets: then this fails half-way.
        """
        self._fault("activate")
        target = f"{self.container}/{name}"
        for dataset in self._tree(target):
            while self._get(dataset, "origin"):
                self._must("promote", dataset)
        parent = self._get(target, PARENT)
        if not parent or parent != self._get(self.dataset, PARENT):
            raise BeError("activating zone root dataset from non-active global BE is not supported")
        was = [each.dataset for each in self.every() if each.next and not each.foreign]
        if len(was) != 1:
            raise BeError("failed to find active zone root dataset")
        if was[0] != target:
            self._must("set", f"{ACTIVE}=on", target)
            self._must("set", f"{ACTIVE}=off", was[0])

    def destroy(self, name: str) -> None:
        self._must("destroy", "-r", f"{self.container}/{name}")

    def mount(self, name: str) -> str:
        """Mount a BE on a new directory below the zone's /tmp; where in the zone."""
        self._fault("mount")
        folder = tempfile.mkdtemp(prefix="tmp", dir=self._world.path(f"{self._root}/tmp"))
        where = f"/tmp/{folder.rpartition('/')[2]}"
        done = self._tool("mount", "-F", "zfs", f"{self.container}/{name}", where)
        if done.exit_code:
            raise BeError(done.stderr.strip())
        return where

    def unmount(self, name: str, where: str) -> None:
        self._tool("umount", where)
        folder = self._world.path(self._root + where)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def content(self, name: str) -> Path:
        """Where the files of a BE are on this machine."""
        found = mnttab.content(self._world, f"{self.container}/{name}")
        if found is None:
            raise BeError(f"{name} does not exist")
        return found


def valid(name: str) -> bool:
    """be_valid_be_name: what a dataset's last component may be."""
    return bool(NAME.fullmatch(name)) and len(name) < 256


def of(call: Call) -> Zone | None:
    """The boot environments of the zone a call was made in; None where libbe finds none."""
    row = call.world.db.execute(
        "select root from kernel_zones where name = ? and state = 'running'", (call.zone,)
    ).fetchone()
    if row is None:
        return None
    try:
        return Zone(call, str(row["root"]))
    except BeError:
        return None


# -- beadm in a zone -------------------------------------------------------------------------------------------


def rows(zone: Zone) -> list[tuple[str, ...]]:
    """name;uuid;active;mountpoint;space;policy;creation, as `beadm list -H` has it; in a zone the uuid is empty."""
    return [
        (
            each.name,
            "",
            ("x" if each.foreign else "")
            + ("N" if each.running else "")
            + (("b" if each.foreign else "R") if each.next else ""),
            each.mounted,
            str(each.used),
            each.policy,
            str(each.created),
        )
        for each in zone.every()
    ]
