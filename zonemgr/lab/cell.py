"""Cells: what a zone runs in. Namespaces of its own, its dataset as root, the machine's programs read-only.

A cell is named by its first process, there as long as the zone is up; killing it kills all in the cell.
A zone without a process of its own (mounted, or booted with cells off) gets a cell for one command at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zonemgr.lab import accounts, processes, programs
from zonemgr.lab.processes import alive
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zonestore import Fs, ZoneConfig

if TYPE_CHECKING:
    from zonemgr.lab.rootfs import Outside

__all__ = ["Place", "alive", "enter", "of", "spawn", "start", "stop"]

# Capabilities of root in a zone: others' files, ids, its own network; not the machine's kernel, clock, disks.
# chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap net_bind_service net_broadcast
# net_admin net_raw ipc_lock ipc_owner sys_chroot sys_ptrace sys_nice lease setfcap
CAPABILITIES = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18, 19, 23, 28, 31))

# The first process: an init that does nothing but bury what nobody else does.
INIT = "trap '' HUP INT TERM; while :; do sleep 2147483647 & wait; done"

# Of the machine's top level, what programs need besides /usr.
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

# lofs options that a bind mount can keep (facts sheet 12).
LOFS = {"ro": 1, "nosuid": 2, "nosetuid": 2, "nodevices": 4, "noexec": 8}


@dataclass(frozen=True)
class Place:
    """A cell that is up: its first process, as this process sees it."""

    pid: int
    start: int


@dataclass(frozen=True)
class Plan:
    """All it takes to build a cell, gathered before anything is changed."""

    lab: Path
    zone: str
    root: Path
    scratch: bool  # the maintenance root of the `mounted` state (facts sheet 1.5): the zone's own root is /a
    inside: bool  # in the lab's global zone, whose /usr has the emulated commands already
    fs: tuple[tuple[str, Fs], ...]  # where each comes from on the machine
    facts: dict[str, Any]  # what zone.json tells the commands inside


# -- up and down -------------------------------------------------------------------------------------------


def start(world: World, zone: str, root: Path, config: ZoneConfig) -> tuple[int, int]:
    """Bring a zone's cell up on this root directory; its first process and that one's start time.

    (0, 0) when cells are switched off in this world. Raises LabError when it cannot be done.
    """
    if world.get("cells") == "off":
        return 0, 0
    place = _start(_plan(world, zone, root, config, scratch=False), clean=True)
    return place.pid, place.start


def stop(world: World, zone: str) -> None:
    """Kill everything in a zone's cell; returns when it is gone."""
    row = world.db.execute("select init_pid, init_start from kernel_zones where name = ?", (zone,)).fetchone()
    if row is not None and row["init_pid"]:
        _stop(Place(row["init_pid"], row["init_start"]), zone)


def _stop(place: Place, zone: str) -> None:
    if not processes.kill(place.pid, place.start):
        raise LabError(f"the processes of zone {zone} did not end")


@contextmanager
def of(world: World, zone: str) -> Iterator[Place]:
    """The cell of an active zone; one for this occasion when it has none of its own."""
    row = world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    if row is None:
        raise LabError(f"zone {zone} is not active")
    if row["init_pid"]:
        place = Place(row["init_pid"], row["init_start"])
        if not alive(place.pid, place.start):
            raise LabError(f"the processes of zone {zone} are gone (killed from outside?); halt it")
        yield place
        return
    from zonemgr.lab import zonestore

    root, scratch = Path(row["root"]), row["state"] == "mounted"
    real = root.with_name("root") if scratch else root
    plan = _plan(world, zone, world.path(real), zonestore.load(world, zone), scratch=scratch)
    place = _start(plan, clean=False)
    try:
        yield place
    finally:
        _stop(place, zone)


def _plan(world: World, zone: str, root: Path, config: ZoneConfig, *, scratch: bool) -> Plan:
    row = world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    facts = {
        "zone": zone,
        "id": row["id"] if row else 0,
        "uuid": row["uuid"] if row else "",
        "flavour": world.flavour,
        "latency": world.latency,
        "clock": float(world.get("clock.offset", "0")),
        "updates": int(world.get("pkg.updates", "0")),
        "brand": config.brand,
        "ip_type": config.ip_type,
        "booted": row["booted"] if row and row["booted"] else world.now(),
        "boot_args": row["boot_args"] if row else "",
        "net": [asdict(net) for net in config.net],
        "links": _links(world, zone, [net.physical for net in config.net]),
    }
    mounts = [] if scratch else [(str(world.path(fs.special)), fs) for fs in config.fs]
    inside = Path("/.lab/gz.json").exists()
    if not (world.dir / "programs/interpreter.json").exists():
        programs.write(world.dir)
    return Plan(world.dir, zone, root, scratch, inside, tuple(mounts), facts)


def _links(world: World, zone: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the zone's links, as the global zone knows them."""
    links = [dict(row) for row in world.db.execute("select * from links")]
    return [link for link in links if link["name"] in names or link.get("zone") == zone]


# -- making one --------------------------------------------------------------------------------------------


def _start(plan: Plan, *, clean: bool) -> Place:
    """Fork, unshare, fork again, build, become init; the one in the middle ends at once."""
    answer, told = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(answer)
        _middle(plan, told, clean)
    os.close(told)
    with open(answer, "rb") as pipe:
        text = pipe.read().decode("utf-8", "surrogateescape")
    os.waitpid(middle, 0)
    first, _, trouble = text.partition("\n")
    if trouble or not first.isdigit():
        raise LabError(
            f"zone {plan.zone} cannot have a cell: {trouble.strip() or first or 'no reason given'}"
        )
    try:
        return Place(int(first), processes.stat(int(first)).start)
    except OSError:
        raise LabError(f"zone {plan.zone}: its cell ended as soon as it was made") from None


def _middle(plan: Plan, told: int, clean: bool) -> NoReturn:
    """In a child: make the namespaces and in them the first process; tell its pid, then any trouble."""
    try:
        from zonemgr.lab import namespaces as ns
        from zonemgr.lab import rootfs

        os.setsid()
        os.umask(0o022)
        _let_go_of_everything_but(told)
        privileged_unshare(ns.NEWNS | ns.NEWPID | ns.NEWUTS | ns.NEWIPC | ns.NEWNET)
        outside = _hold(plan, rootfs.Outside())
        ns.loopback_up()
        gate, held = os.pipe()
        first = os.fork()
        if first:
            os.write(told, f"{first}\n".encode())
            os._exit(0)
        os.close(held)
        os.read(gate, 1)  # ends when the one in the middle has told the pid and is gone
        _build(plan, outside, clean)
        ns.drop_capabilities(CAPABILITIES)
        os.execve("/bin/sh", ["init", "-c", INIT], {"PATH": "/usr/sbin:/usr/bin"})
    except BaseException as trouble:  # noqa: BLE001 - nobody else is left to tell it
        plain = isinstance(trouble, (OSError, LabError))
        detail = str(trouble) if plain else traceback.format_exc()
        os.write(told, detail.encode("utf-8", "surrogateescape") or b"no reason given")
    os._exit(1)


def privileged_unshare(flags: int) -> bool:
    """Leave these namespaces; whoever may not do that by himself becomes root of a user namespace first.

    False when that one has a single user.
    """
    from zonemgr.lab import namespaces as ns

    try:
        ns.unshare(flags)
        return True
    except PermissionError:
        pass
    try:
        many = ns.new_user_namespace()
        ns.unshare(flags)
        return many
    except OSError as trouble:
        raise LabError(
            f"a lab needs root or user namespaces, and this machine gives neither ({trouble.strerror});"
            " run zonemgr as root, or see sysctl user.max_user_namespaces and"
            " kernel.apparmor_restrict_unprivileged_userns"
        ) from None


def _let_go_of_everything_but(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, min(limit, 65536) if limit > 0 else 65536)


def _hold(plan: Plan, outside: Outside) -> Outside:
    """Open all that will be shown inside, while its paths still mean what they say."""
    from zonemgr.lab import rootfs

    outside.hold("root", plan.root, follow=False)
    if plan.scratch:
        outside.hold("etc", plan.root / "etc", follow=False)
        outside.hold("var", plan.root / "var", follow=False)
    for name in ("usr", *SYSTEM):
        if Path("/", name).is_dir():
            outside.hold(name, f"/{name}")
            outside.note_link(name)
    outside.hold("proc", "/proc")
    rootfs.hold_devices(outside)
    hold_programs(outside, plan.lab, inside=plan.inside)
    with suppress(OSError):
        outside.hold("alternatives", "/.lab/etc/alternatives" if plan.inside else "/etc/alternatives")
    for number, (source, fs) in enumerate(plan.fs):
        if fs.type != "lofs":
            raise LabError(f"a file system of type {fs.type} in a zone is not emulated")
        outside.hold(f"fs{number}", source)
    return outside


def hold_programs(outside: Outside, lab: Path, *, inside: bool) -> None:
    """Open the emulated commands and what they need to start, for `show_programs`."""
    python = programs.interpreter(lab)
    outside.hold("programs", lab / "programs/usr")
    outside.hold("lab/lib", "/.lab/lib" if inside else programs.package_parent())
    outside.hold("lab/pyc", lab / "pyc")
    if python.prefix:
        outside.hold("lab/python", "/.lab/python" if inside else python.prefix)


def show_usr(outside: Outside, *, inside: bool) -> bool:
    """The machine's /usr with the emulated commands over it; False where the machine cannot do that."""
    if inside:
        outside.bind("usr", "/usr", flags=1)
        return True
    try:
        outside.overlay("/usr", ("programs", "usr"))
    except OSError:
        outside.bind("usr", "/usr", flags=1)
        return False
    return True


def _build(plan: Plan, outside: Outside, clean: bool) -> None:
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs

    ns.mount("", "/", flags=ns.REC | ns.PRIVATE)
    outside.enter("root", empty=plan.scratch)
    rootfs.proc(outside)
    if plan.scratch:
        _show_scratch(outside)
    show_usr(outside, inside=plan.inside)
    for name in SYSTEM:
        _show_system(outside, name)
    if outside.holds("alternatives"):
        outside.bind("alternatives", "/etc/alternatives", flags=ns.RDONLY)
    rootfs.devices(outside)
    _show_volatile(clean)
    _show_lab(outside, plan.facts)
    for number, (_, fs) in enumerate(plan.fs):
        _show_lofs(outside, f"fs{number}", fs)
    rootfs.protect_kernel()
    outside.leave()
    ns.set_host_name(_host_name(plan.zone))


def _show_scratch(outside: Outside) -> None:
    """The maintenance root: the zone's own /etc and /var, and all of it at /a (facts sheet 1.5)."""
    from zonemgr.lab import rootfs

    for name in ("etc", "var"):
        outside.bind(name, f"/{name}")
    outside.bind("root", "/a")
    rootfs.tmpfs("/tmp", "1777")


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
    show_programs(outside)
    Path("/.lab/zone.json").write_text(json.dumps(facts) + "\n")
    rootfs.remount("/.lab", ns.RDONLY)


def show_programs(outside: Outside) -> None:
    """What `hold_programs` opened, below /.lab."""
    from zonemgr.lab import namespaces as ns

    for name in ("lib", "pyc", "python"):
        if outside.holds(f"lab/{name}"):
            outside.bind(f"lab/{name}", f"/.lab/{name}", flags=0 if name == "pyc" else ns.RDONLY)


def _show_lofs(outside: Outside, name: str, fs: Fs) -> None:
    directory = Path(fs.dir)
    if os.path.realpath(directory) != os.path.normpath(directory):
        raise LabError(f"{fs.dir} is a symlink or below one")
    flags = 0
    for option in fs.options:
        flags |= LOFS.get(option, 0)
    outside.bind(name, fs.dir, flags=flags, recursive="nosub" not in fs.options)


def _host_name(zone: str) -> str:
    try:
        return Path("/etc/nodename").read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return zone


# -- going in ----------------------------------------------------------------------------------------------


def spawn(place: Place, body: Callable[[], int], descriptors: tuple[int, int, int] = (0, 1, 2)) -> int:
    """Fork a process into a cell, in a process group of its own; its pid.

    It runs body there, with these as stdin, stdout and stderr, as root of a zone, and ends with what body
    returns; usually body executes a program. This process stays where it is.
    """
    from zonemgr.lab import namespaces as ns

    if not ns.same(ns.NEWUSER, place.pid):
        return _fork(lambda: _wait_like(_spawn(place, body, descriptors, ns.NEWUSER)), descriptors)
    return _spawn(place, body, descriptors, 0)


def _spawn(place: Place, body: Callable[[], int], descriptors: tuple[int, int, int], also: int) -> int:
    from zonemgr.lab import namespaces as ns

    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        ns.join(place.pid, also | ns.NEWPID)  # the pid namespace of children; undone below
        return _fork(lambda: _in_cell(place, body), descriptors)
    except OSError as trouble:
        raise LabError(f"cannot enter a zone's cell: {trouble}") from None
    finally:
        with suppress(OSError):
            ns.setns(own, ns.NEWPID)
        os.close(own)


def _in_cell(place: Place, body: Callable[[], int]) -> int:
    from zonemgr.lab import namespaces as ns

    os.setpgid(0, 0)
    # The pid is of the namespace outside, whose /proc is still the one seen here.
    ns.join(place.pid, ns.NEWUTS | ns.NEWIPC | ns.NEWNET | ns.NEWNS)
    os.chdir("/")
    os.umask(0o022)
    ns.drop_capabilities(CAPABILITIES)
    return body()


def _fork(body: Callable[[], int], descriptors: tuple[int, int, int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for name in ("INT", "QUIT", "PIPE", "TERM", "HUP", "CHLD", "USR1", "USR2"):
            signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number, each in enumerate(_above_stdio(descriptors)):
            os.dup2(each, number)
        os.closerange(3, 4096)
        status = body()
    except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
        os.write(2, f"lab: {trouble}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(status & 0xFF)


def _above_stdio(descriptors: Sequence[int]) -> list[int]:
    """Copies that no dup2 onto 0, 1, 2 can overwrite before its turn."""
    import fcntl

    return [fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in descriptors]


def _wait_like(child: int) -> int:
    """Wait for a child and end as it did."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: os.kill(child, got))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def enter(
    world: World,
    zone: str,
    argv: Sequence[str],
    *,
    user: str = "root",
    env: dict[str, str] | None = None,
    cwd: str = "/",
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
) -> int:
    """Run a program in a zone and wait for it: exit status, or minus the signal that ended it.

    The user is one of the zone's /etc/passwd. Everything it does is direct: no su, no pipes between.
    """

    def body() -> int:
        accounts.become(accounts.by_name(user))
        os.chdir(cwd)
        os.execvpe(argv[0], list(argv), {"PATH": "/usr/sbin:/usr/bin"} if env is None else env)

    with of(world, zone) as place:
        _, status = os.waitpid(spawn(place, body, (stdin, stdout, stderr)), 0)
    return os.waitstatus_to_exitcode(status)
