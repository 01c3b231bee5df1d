"""The uninstall hook of all IPS brands: which datasets go, which snapshots, and which clone inherits.

Nothing is asked twice: what the first listing says is acted upon, as in the script.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from zonemgr.lab.brands import common, hook
from zonemgr.lab.brands.common import PARENT, words
from zonemgr.lab.brands.files import remove_directory, remove_tree
from zonemgr.lab.brands.hook import FATAL, OK, USAGE, Hook, HookExit
from zonemgr.lab.brands.options import getopts
from zonemgr.lab.call import Call

Chosen = Callable[["Uninstall", list[str]], None]


def uninstall(call: Call, argv: list[str]) -> int:
    return run(call, argv, lambda job, zbes: None)


def run(call: Call, argv: list[str], before: Chosen) -> int:
    """Uninstall; `before` is the brand's say once the ZBEs to destroy are known."""
    return hook.run(call, argv, lambda h: _steps(h, before))


@dataclass
class Uninstall:
    """One run of the script: its options, and the datasets it works on."""

    h: Hook
    dry: bool = False
    verbose: bool = False
    datasets: str = ""  # of the zonepath; more than one when the property mountpoint is not unique
    root: str = ""  # ROOT below it, likewise
    counters: dict[str, int] = field(default_factory=dict)  # for new names of snapshots

    def end(self, status: int = OK) -> HookExit:
        """A dry run never succeeds: it did not uninstall."""
        return HookExit(FATAL if self.dry and status == OK else status)

    def say(self, text: str) -> None:
        if not self.dry:
            self.h.out(text + "\n")

    def trace(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    def stop(self, *lines: str) -> HookExit:
        self.h.err("".join(f"{line}\n" for line in lines))
        return HookExit(FATAL)

    def zfs(self, *argv: str, quiet: bool = False) -> bool:
        if self.dry:
            self.h.out(" ".join(("/sbin/zfs", *argv)) + "\n")
            return True
        done = self.h.run("zfs", *argv, quiet=quiet)
        self.h.out(done.stdout)
        return done.exit_code == 0

    def lines(self, *argv: str, quiet: bool = False) -> list[str]:
        return self.h.run("zfs", *argv, quiet=quiet).stdout.splitlines()

    def set(self, prop: str, dataset: str) -> bool:
        name, _, value = prop.partition("=")
        self.trace(f"setting property {name}='{value}' for '{dataset}'.")
        if self.zfs("set", prop, dataset):
            return True
        self.h.out(f"Error: setting ZFS propery {name}='{value}' for '{dataset}'.\n")
        return False

    def promote(self, dataset: str) -> None:
        self.say(f"promoting '{dataset}'.")
        if not self.zfs("promote", dataset):
            raise self.stop(f"Error: promoting ZFS dataset '{dataset}'.")

    def destroy(self, dataset: str) -> None:
        """Destroy with all below, then the origin; that one may have other clones, so it need not work."""
        asked = self.h.run("zfs", "get", "-H", "-o", "value", "origin", dataset)
        if asked.exit_code:
            raise self.stop(f"Error: reading ZFS dataset property 'origin' from '{dataset}'.")
        self.trace(f"destroying '{dataset}'.")
        if not self.zfs("destroy", "-r", dataset):
            raise self.stop("Error: destroying ZFS dataset.")
        origin = asked.stdout.strip()
        if origin == "-":
            return
        self.trace(f"destroying '{origin}'.")
        self.zfs("destroy", origin, quiet=True)

    def remove_zonepath(self) -> None:
        """What is known to be below the zonepath, and the zonepath if that was all."""
        path = self.h.zonepath
        for name, command in (("SUNWattached.xml", "-f"), ("lu", "-rf"), ("dev", "-rf"), ("root", "-rf")):
            self.trace(f"{'deleting' if command == '-f' else 'recursively deleting'} '{path}/{name}'.")
            if self.dry:
                self.h.out(f"/bin/rm {command} {path}/{name}\n")
                continue
            for complaint in remove_tree(self.h.call, f"{path}/{name}"):
                self.h.err(complaint + "\n")
        self.trace(f"deleting '{path}'.")
        if self.dry:
            self.h.out(f"/bin/rmdir {path}\n")
        else:
            remove_directory(self.h.call, path)


# -- the script from top to bottom -------------------------------------------------------------------------


def _steps(h: Hook, before: Chosen) -> None:
    if len(h.argv) < 3:
        h.err("Error: internal error detected, aborting." + ("\n" if len(h.argv) < 2 else ""))
        raise HookExit(FATAL)
    h.zone, h.zonepath = h.argv[1], h.argv[2]
    job = _options(h)
    gzbe = common.gz_boot_environment(h.call)
    if not gzbe:
        h.out("unable to determine global zone boot environment.\n")
    _find_datasets(job)
    zbes = _root_environments(job, gzbe)
    before(job, zbes)
    for zbe in zbes:
        destroy_environment(job, zbe)
    for left in (job.root, job.datasets):
        if _count(job, left) == 1:
            job.destroy(left)
    job.remove_zonepath()
    raise job.end()


def _options(h: Hook) -> Uninstall:
    given = getopts("FhHnv", h.argv[3:])
    usage = f"Usage: {h.name}: [-hFn]\n"
    for place, (letter, value) in enumerate(given.options):
        if letter == "?":
            h.err(f"{h.name}: -{value}: unknown option\n")
        if letter == "?" or (letter, value) in given.options[:place]:
            h.err(f"Error: invalid usage\n{usage}")
            raise HookExit(USAGE)
    if given.has("h") or given.has("H"):
        h.out(usage)
        raise HookExit(USAGE)
    if given.rest:
        h.err(f"Error: invalid usage\n{usage}")
        raise HookExit(USAGE)
    return Uninstall(h, dry=given.has("n"), verbose=given.has("v"))


def _find_datasets(job: Uninstall) -> None:
    job.datasets = common.datasets_of(job.h, job.h.zonepath, header=True)
    if not job.datasets:
        job.remove_zonepath()
        raise job.end()
    found = job.lines(
        "list", "-H", "-t", "filesystem", "-o", "name", *words(f"{job.datasets}/ROOT"), quiet=True
    )
    job.root = "\n".join(found)
    if not job.root:
        if _count(job, job.datasets) == 1:
            job.destroy(job.datasets)
        job.remove_zonepath()
        raise job.end()


def _count(job: Uninstall, datasets: str) -> int:
    return len(job.lines("list", "-H", "-t", "filesystem", "-o", "name", "-r", *words(datasets)))


def _root_environments(job: Uninstall, gzbe: str) -> list[str]:
    """The ZBEs of this global zone BE: those directly below ROOT, in name order."""
    if not gzbe:
        return []
    rows = job.lines("list", "-H", "-t", "filesystem", "-o", f"{PARENT},name", "-r", *words(job.root))
    found = [row.split("\t") for row in rows]
    below = re.compile(re.escape(f"{job.root}/") + "[^/]+")
    return [name for uuid, name in found if uuid == gzbe and below.fullmatch(name)]


# -- one ZBE -----------------------------------------------------------------------------------------------


def destroy_environment(job: Uninstall, zbe: str) -> None:
    """Destroy a ZBE; when clones depend on it, the youngest clone of its youngest cloned snapshot inherits."""
    if not _snapshots(job, zbe):
        job.destroy(zbe)
        return
    clones = _clones_elsewhere(job, zbe)
    _refuse_strays(job, zbe, clones)
    snapshots = _snapshots(job, zbe, by_creation=True)
    cloned = [name for name in snapshots if name in clones.values()]
    if not cloned:
        job.destroy(zbe)
        return
    heir = [name for name, origin in clones.items() if origin == cloned[-1]][-1]
    renamed = _new_names(job, zbe, cloned, [name.partition("@")[2] for name in _snapshots(job, heir)])
    zoned = _zoned_clones(job, clones, renamed)
    for name in snapshots:
        if name not in cloned:
            job.destroy(name)
    _rename(job, zbe, renamed, zoned)
    job.promote(heir)
    job.destroy(zbe)


def _snapshots(job: Uninstall, dataset: str, *, by_creation: bool = False) -> list[str]:
    order = ["-s", "creation"] if by_creation else []
    listed = job.lines("list", "-H", "-t", "snapshot", *order, "-o", "name", "-r", dataset)
    return [name for name in listed if name.startswith(f"{dataset}@")]


def _clones_elsewhere(job: Uninstall, zbe: str) -> dict[str, str]:
    """Every clone of the pool that is not below this ZBE, oldest first, and its origin."""
    pool = zbe.partition("/")[0]
    listed = job.lines("list", "-H", "-t", "filesystem", "-s", "creation", "-o", "name,origin", "-r", pool)
    rows = (row.split("\t") for row in listed)
    return {name: origin for name, origin in rows if origin != "-" and not name.startswith(f"{zbe}/")}


def _refuse_strays(job: Uninstall, zbe: str, clones: dict[str, str]) -> None:
    strays = [f"\t{name}" for name, origin in clones.items() if origin.startswith(f"{zbe}/")]
    if strays:
        first = "Error: cloned zone datasets found outsize of zone."
        raise job.stop(first, *strays, "Error: please delete clone(s) and retry uninstall.")


# -- names that would collide ------------------------------------------------------------------------------


def _new_names(job: Uninstall, zbe: str, cloned: list[str], taken: list[str]) -> dict[str, str]:
    """For every snapshot that moves to the heir the name it will have there."""
    names = [name.partition("@")[2] for name in cloned]
    wanted = list(names)
    place = 0
    job.counters = {"zbe": 1, "snap": 1}
    while place < len(names):
        while wanted[place] in taken:
            wanted[place] = _next_name(job, zbe, wanted[place])
        if wanted[place] == names[place]:
            place += 1
            continue
        others = wanted[:place] + wanted[place + 1 :]
        if wanted[place] in others:
            wanted[place] = _next_name(job, zbe, wanted[place])
            continue
        place += 1
        job.counters = {"zbe": 1, "snap": 1}
    return dict(zip(cloned, wanted, strict=True))


def _next_name(job: Uninstall, zbe: str, name: str) -> str:
    """The next name of the brand's own patterns; a user's snapshot is not renamed."""
    if re.fullmatch(r"zbe-[0-9]+", name):
        kind, stem = "zbe", "zbe-"
    elif found := re.search(r"_snap[0-9]*$", name):
        kind, stem = "snap", name[: found.start()] + "_snap"
    else:
        raise job.stop(
            "Error: user snapshot(s) detected.",
            f"\t{zbe}@{name}",
            "Error: please delete snapshot(s) and retry uninstall.",
        )
    number = job.counters[kind]
    job.counters[kind] += 1
    return f"{stem}{number}"


def _zoned_clones(job: Uninstall, clones: dict[str, str], renamed: dict[str, str]) -> list[str]:
    """Clones of snapshots to be renamed that are zoned; none of them may be mounted."""
    changing = {name for name, new in renamed.items() if not name.endswith(f"@{new}")}
    zoned = [
        name for name, origin in clones.items() if origin in changing and _value(job, "zoned", name) == "on"
    ]
    in_use = [f"\t{name}" for name in zoned if _value(job, "mounted", name) == "yes"]
    if in_use:
        first = "Error: cloned zone dataset(s) in use."
        raise job.stop(first, *in_use, "Error: please stop using clone(s) and retry uninstall.")
    return zoned


def _value(job: Uninstall, prop: str, dataset: str) -> str:
    return job.h.run("zfs", "get", "-H", "-o", "value", prop, dataset).stdout.strip()


def _rename(job: Uninstall, zbe: str, renamed: dict[str, str], zoned: list[str]) -> None:
    """Rename, with the zoned clones taken out of their zones meanwhile (which leaves zoned=on local to them)."""
    if not all(job.set("zoned=off", name) for name in zoned):
        _zone_again(job, zoned)
    for name, new in renamed.items():
        target = f"{zbe}@{new}"
        if name == target:
            continue
        job.say(f"renaming '{name}' to '{target}'.")
        if not job.zfs("rename", name, target):
            job.h.err(f"Error: renaming ZFS dataset '{name}' to '{target}'.\n")
            _zone_again(job, zoned)
            raise HookExit(FATAL)
    _zone_again(job, zoned)


def _zone_again(job: Uninstall, zoned: list[str]) -> None:
    for name in zoned:
        job.set("zoned=on", name)
