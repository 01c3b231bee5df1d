"""What a cell shows at its root: gathered before anything changes, then built inside its namespaces."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.lab import autofs, programs, zonefs
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zonestore import ZoneConfig

if TYPE_CHECKING:
    from zonemgr.lab.autofs import Nfs
    from zonemgr.lab.kernel import Order
    from zonemgr.lab.rootfs import Outside

# Of the machine's top level, what programs need besides what is in /usr.
SYSTEM = ("lib", "lib32", "lib64", "libx32")

# What the maintenance root of a zone has of the global zone, read-only, beside its programs (vplat.c: upd_loopdirs).
LENT = ("etc", "kernel", "opt", "platform", "var")
# Brands whose zones have /usr, /lib and /sbin from the global zone, when they run and only then.
SHARING = ("sparse", "pkgsrc")

# lofs options that a bind mount can keep.
LOFS = {"ro": 1, "nosuid": 2, "nosetuid": 2, "nodevices": 4, "noexec": 8}


@dataclass(frozen=True)
class Shown:
    """A directory of the machine that a zone sees at a path of its own."""

    source: str
    point: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All it takes to build a cell, gathered before anything is changed."""

    lab: Path
    zone: str
    root: Path
    scratch: bool  # the maintenance root of the `mounted` state: the zone's own root is /a
    inside: bool  # in the lab's global zone, whose /usr has the emulated commands already
    shown: tuple[Shown, ...]  # file systems of the global zone shown inside
    facts: dict[str, Any]  # what zone.json tells the commands inside
    shown_root: str = ""  # the root as the global zone names it
    datasets: tuple[str, ...] = ()  # delegated
    nfs: tuple[Nfs, ...] = ()  # mounted earlier in this boot: for a cell that is not the zone's first
    mnttab: Path | None = None  # the file with what is mounted
    door: Path | None = None  # the folder of the socket at which the cell is answered
    live: bool = False  # what is mounted later below the root outside is to be seen inside
    lent: tuple[tuple[str, Path], ...] = ()  # directories of the global zone that a maintenance root shows
    whole: bool = True  # the zone has programs of its own; sparse ones have the global zone's while they run

    def order(self) -> Order:
        from zonemgr.lab.kernel import Order

        return Order(str(self.lab), self.zone, self.shown_root, self.datasets, self.scratch)


# -- gathering ---------------------------------------------------------------------------------------------


def plan(world: World, zone: str, root: Path, config: ZoneConfig, *, scratch: bool) -> Plan:
    row = world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    facts = {
        "zone": zone,
        "id": row["id"] if row else 0,
        "flavour": world.flavour,
        "latency": world.latency,
        "clock": float(world.get("clock.offset", "0")),
        "updates": int(world.get("pkg.updates", "0")),
        "brand": config.brand,
        "ip_type": config.ip_type,
        "booted": row["booted"] if row and row["booted"] else world.now(),
        "boot_args": row["boot_args"] if row else "",
        "links": _links(world, zone, [net.physical for net in config.net]),
    }
    shown = list(_resources(world, config, root, scratch=scratch))
    inside = Path("/.lab/gz.json").exists()
    if not (world.dir / "programs/interpreter.json").exists():
        programs.write(world.dir)
    named = str(row["root"]) if row else "/" + str(root.relative_to(world.host))
    datasets = () if scratch else tuple(config.dataset)
    nfs = () if scratch else tuple(autofs.mounted_in(world, zone))
    mnttab = None if scratch or row is None else zonefs.write_mnttab(world, zone)
    lent = tuple(_lent(world)) if scratch else ()
    first = (world.dir, zone, root, scratch, inside, tuple(shown), facts, named, datasets, nfs, mnttab)
    return Plan(*first, live=bool(world.pool), lent=lent, whole=config.brand not in SHARING)


def _lent(world: World) -> Iterator[tuple[str, Path]]:
    """What the global zone lends a maintenance root, beside the programs that every cell has."""
    for name in LENT:
        place = world.path(f"/{name}")
        if place.is_dir():
            yield name, place


def _links(world: World, zone: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the zone's links, as the global zone knows them."""
    from zonemgr.lab import links as table

    links = [table.told(world, row) for row in table.every(world)]
    return [link for link in links if link["name"] in names or link.get("zone") == zone]


def _resources(world: World, config: ZoneConfig, root: Path, *, scratch: bool) -> Iterator[Shown]:
    """The zone's fs resources, by their directories, as zoneadmd sorts them (gate, vplat.c: fs_compare).

    In a maintenance root they are mounted below /a, all types but zfs (mount_filesystems_fsent).
    """
    for fs in sorted(config.fs, key=lambda each: each.dir):
        if scratch:
            if fs.type != "zfs":
                yield Shown(str(world.path(fs.special)), f"/a{fs.dir}", fs.options)
            continue
        if fs.type == "lofs":
            yield Shown(str(world.path(fs.special)), fs.dir, fs.options)
        elif fs.type == "zfs":  # zoneadmd has mounted it in the root; inside it is to be a mount point too
            yield Shown(str(root / fs.dir.lstrip("/")), fs.dir, fs.options)
        else:
            raise LabError(f"a file system of type {fs.type} in a zone is not emulated")


# -- building ----------------------------------------------------------------------------------------------


def hold(plan: Plan, outside: Outside) -> Outside:
    """Open all that will be shown inside, while its paths still mean what they say."""
    from zonemgr.lab import rootfs

    outside.hold("root", plan.root, follow=False)
    for name, place in plan.lent:
        outside.hold(f"lent/{name}", place, follow=False)
    for name in SYSTEM:
        if Path("/", name).is_dir():
            outside.hold(name, f"/{name}")
            outside.note_link(name)
    outside.hold("proc", "/proc")
    rootfs.hold_devices(outside)
    hold_programs(outside, plan.lab, inside=plan.inside, where="zone")
    with suppress(OSError):
        outside.hold("alternatives", "/.lab/etc/alternatives" if plan.inside else "/etc/alternatives")
    for number, shown in enumerate(plan.shown):
        outside.hold(f"fs{number}", shown.source)
    if plan.door is not None:
        outside.hold("lab/kernel", plan.door)
    if plan.mnttab is not None:
        outside.hold("mnttab", plan.mnttab)
        servers = plan.lab / "nfs"
        servers.mkdir(exist_ok=True)
        outside.hold("lab/nfs", servers)
    return outside


def hold_programs(outside: Outside, lab: Path, *, inside: bool, where: str) -> None:
    """Open the programs and what they need to start, for `show_usr` and `show_programs`; `where`: "gz" or "zone"."""
    python = programs.interpreter(lab)
    outside.hold("programs", lab / "programs" / where)
    outside.hold("lab/tools", lab / "programs/tools")
    if where == "gz":
        outside.hold("facade", lab / "programs/facade")
    outside.hold("lab/lib", "/.lab/lib" if inside else programs.package_parent())
    outside.hold("lab/pyc", lab / "pyc")
    outside.hold("lab/usr", "/.lab/usr" if inside else "/usr")
    if python.prefix:
        outside.hold("lab/python", "/.lab/python" if inside else python.prefix)


def show_usr(outside: Outside) -> None:
    """/usr and /sbin: the machine's libraries and data, and the lab's programs."""
    from zonemgr.lab import rootfs

    rootfs.usr(outside)
    if outside.holds("facade"):
        rootfs.facade(outside, "/usr/lib")
    rootfs.make_point("/sbin", directory=True)
    rootfs.show(f"{outside.place('programs')}/sbin", "/sbin")
    if not os.path.lexists("/bin"):
        os.symlink("./usr/bin", "/bin")


def build(plan: Plan, outside: Outside, clean: bool) -> None:
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs

    ns.mount("", "/", flags=ns.REC | (ns.SLAVE if plan.live else ns.PRIVATE))
    outside.enter("root", empty=plan.scratch)
    rootfs.proc(outside)
    if plan.scratch:
        _show_scratch(outside, plan)
    show_usr(outside)
    for name in SYSTEM:
        _show_system(outside, name)
    if outside.holds("alternatives"):
        outside.bind("alternatives", "/etc/alternatives", flags=ns.RDONLY)
    rootfs.devices(outside)
    if not plan.scratch:
        _show_volatile(clean)
    _show_lab(outside, plan.facts)
    if plan.scratch:
        _finish_scratch(plan)
    for number, shown in enumerate(plan.shown):
        _show(outside, f"fs{number}", shown)
    rootfs.protect_kernel()
    if outside.holds("mnttab"):
        outside.bind("mnttab", "/etc/mnttab", flags=ns.RDONLY)
    for nfs in plan.nfs:
        nfs.show()
    outside.leave()
    ns.set_host_name(_host_name(plan.zone))


def _show_scratch(outside: Outside, plan: Plan) -> None:
    """The maintenance root of an update mount: directories of the global zone, and the zone's root at /a.

    Gate, vplat.c: build_mounted_pre_var and build_mounted_post_var (Z_MNT_UPDATE). /a has neither /dev nor /proc.
    """
    from zonemgr.lab import rootfs

    for name, _ in plan.lent:
        outside.bind(f"lent/{name}", f"/{name}")
    outside.bind("root", "/a")
    for path, mode in (("/tmp", "1777"), ("/var/run", "0755"), ("/var/tmp", "1777")):
        rootfs.tmpfs(path, mode)


def _finish_scratch(plan: Plan) -> None:
    """The zone's own programs, for `chroot /a`; then what is lent becomes read-only.

    No zone of the lab has programs of its own: a whole one is shown the machine's, as in a cell that runs.
    """
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs

    if plan.whole:
        for name in ("usr", "sbin", *SYSTEM, "etc/alternatives", ".lab"):
            if Path("/", name).is_dir():
                rootfs.make_point(f"/a/{name}", directory=True)
                ns.mount(f"/{name}", f"/a/{name}", flags=ns.BIND | ns.REC)
    for name, _ in plan.lent:
        rootfs.remount(f"/{name}", ns.RDONLY)


def _show_system(outside: Outside, name: str) -> None:
    """A directory of programs or libraries that the machine has beside /usr, or as a link into it."""
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs

    link = outside.links.get(name)
    if link is None:
        if outside.holds(name):
            outside.bind(name, f"/{name}", flags=ns.RDONLY)
        return
    if os.path.realpath(f"/{name}") != link:  # the zone's /bin is a link to /usr/bin as well
        rootfs.make_point(f"/{name}", directory=True)
        ns.mount(link, f"/{name}", flags=ns.BIND)


def _show_volatile(clean: bool) -> None:
    """What is empty after a boot. /tmp is a directory of the zone's, to be there from cell to cell."""
    from zonemgr.lab import rootfs

    for path in ("/var/run", "/etc/svc/volatile"):
        rootfs.tmpfs(path)
    temporary = Path("/tmp")
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    for entry in os.scandir(temporary) if clean else ():
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()


def _show_lab(outside: Outside, facts: dict[str, Any]) -> None:
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs

    rootfs.tmpfs("/.lab")
    show_programs(outside, writable=("nfs",))
    Path("/.lab/zone.json").write_text(json.dumps(facts) + "\n")
    rootfs.remount("/.lab", ns.RDONLY)


def show_programs(outside: Outside, writable: Sequence[str] = ()) -> None:
    """What `hold_programs` opened, below /.lab."""
    from zonemgr.lab import namespaces as ns

    for name in ("lib", "pyc", "python", "usr", "tools", "kernel", "nfs"):
        if outside.holds(f"lab/{name}"):
            outside.bind(f"lab/{name}", f"/.lab/{name}", flags=0 if name in writable else ns.RDONLY)
    if outside.holds("facade"):
        from zonemgr.lab import rootfs

        rootfs.facade(outside, "/.lab/usr/lib")  # where the machine's Pythons look for what they load first


def _show(outside: Outside, name: str, shown: Shown) -> None:
    point = Path(shown.point)
    if os.path.realpath(point) != os.path.normpath(point):
        raise LabError(f"{shown.point} is a symlink or below one")
    flags = 0
    for option in shown.options:
        flags |= LOFS.get(option, 0)
    outside.bind(name, shown.point, flags=flags, recursive="nosub" not in shown.options)


def _host_name(zone: str) -> str:
    try:
        return Path("/etc/nodename").read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return zone
