"""Building the root a cell or the global zone sees: binds, overlays, devices, and the change of root itself.

In the new mount namespace, whatever comes from outside is opened first (a descriptor that is only a place),
then the root is changed, then things are mounted: a symlink planted inside only leads to somewhere inside.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from zonemgr.lab import namespaces as ns

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class Outside:
    """Places outside the root to come, held open from before the change of root."""

    def __init__(self) -> None:
        self._old_root = os.open("/", os.O_PATH | os.O_DIRECTORY)
        self._held: dict[str, int] = {}
        self.links: dict[str, str] = {}  # top-level names that are links into /usr here, and where they lead

    def hold(self, name: str, path: str | os.PathLike[str], *, follow: bool = True) -> None:
        """Open a place under a name; raises OSError when it is not there."""
        self._held[name] = os.open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))

    def below(self, top: str) -> list[str]:
        """The held paths below a directory, outermost first."""
        return sorted(name for name in self._held if name.startswith(top))

    def holds(self, name: str) -> bool:
        return name in self._held

    def is_dir(self, name: str) -> bool:
        return stat.S_ISDIR(os.stat(self._held[name]).st_mode)

    def place(self, name: str) -> str:
        return f"/proc/self/fd/{self._held[name]}"

    def note_link(self, name: str) -> None:
        real = os.path.realpath(f"/{name}")
        if real.startswith("/usr/"):
            self.links[name] = real

    def enter(self, name: str, *, empty: bool = False) -> None:
        """Make a held directory (or an empty one in its place) the root; outside stays until `leave`."""
        place = self.place(name)
        if empty:
            ns.mount("tmpfs", place, "tmpfs", ns.NOSUID, "mode=0755")
        else:
            ns.mount(place, place, flags=ns.BIND | ns.REC)
        os.chdir(place)
        # The descriptor is the directory below the new mount; only a fresh look through the mount sees that.
        os.chdir(Path.cwd())
        ns.pivot_root(".", ".")
        os.chdir("/")

    def leave(self) -> None:
        """Let go of everything outside."""
        os.fchdir(self._old_root)
        ns.detach(".")
        os.chdir("/")
        for descriptor in (self._old_root, *self._held.values()):
            os.close(descriptor)

    def bind(self, name: str, target: str, *, flags: int = 0, recursive: bool = True) -> None:
        """Show a held place at a path inside; flags as of mount(2), such as RDONLY."""
        make_point(target, directory=self.is_dir(name))
        ns.mount(self.place(name), target, flags=ns.BIND | (ns.REC if recursive else 0))
        if flags:
            remount(target, flags)


def usr(outside: Outside) -> None:
    """Compose /usr: what the machine has there, but for its programs; those are of "programs", which must be held.

    "lab/usr", the machine's /usr, must be held as well, and be shown at /.lab/usr: the programs are links to there.
    """
    tmpfs("/usr")
    ours = f"{outside.place('programs')}/usr"
    own = os.listdir(ours)
    for entry in os.scandir(outside.place("lab/usr")):
        if entry.name in own:
            continue
        if entry.is_symlink():
            Path("/usr", entry.name).symlink_to(os.readlink(entry.path))
        elif entry.is_dir():
            show(entry.path, f"/usr/{entry.name}")
    for name in own:
        show(f"{ours}/{name}", f"/usr/{name}")
    remount("/usr", ns.RDONLY)


def facade(outside: Outside, target: str) -> None:
    """Add the lab's own files to a place that shows the machine's /usr/lib; without overlays it stays as it is."""
    layers = f"{outside.place('facade')}/lib:{outside.place('lab/usr')}/lib"
    with suppress(OSError):
        ns.mount("overlay", target, "overlay", ns.RDONLY, f"lowerdir={layers}")


def show(source: str, target: str) -> None:
    """Bind a directory, read-only, with all that is mounted below it."""
    make_point(target, directory=True)
    ns.mount(source, target, flags=ns.BIND | ns.REC)
    try:
        ns.read_only(target)
    except OSError:  # a kernel that cannot do it for everything below as well
        remount(target, ns.RDONLY)


def make_point(target: str, *, directory: bool) -> None:
    """See to it that there is something to mount on; what is there stays as it is."""
    path = Path(target)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def remount(target: str, flags: int) -> None:
    """Add flags to a bind mount. Those it has must be said again, or a user namespace is refused."""
    has = os.statvfs(target).f_flag
    for bit in (ns.NOSUID, ns.NODEV, ns.NOEXEC, ns.RDONLY, ns.NOATIME, ns.NODIRATIME):
        flags |= has & bit
    if has & 4096:  # ST_RELATIME
        flags |= ns.RELATIME
    ns.mount("", target, flags=ns.REMOUNT | ns.BIND | flags)


def tmpfs(target: str, mode: str = "0755") -> None:
    make_point(target, directory=True)
    ns.mount("tmpfs", target, "tmpfs", ns.NOSUID, f"mode={mode}")


def proc(outside: Outside) -> None:
    """A /proc of the new pid namespace; where the machine forbids that, its own /proc (needs "proc" held)."""
    make_point("/proc", directory=True)
    try:
        ns.mount("proc", "/proc", "proc", ns.NOSUID | ns.NODEV | ns.NOEXEC)
    except PermissionError:
        outside.bind("proc", "/proc")


def protect_kernel() -> None:
    """Root in a zone must not turn the machine's knobs."""
    for path in ("/proc/sys", "/proc/sysrq-trigger"):
        with suppress(OSError):
            ns.mount(path, path, flags=ns.BIND)
            remount(path, ns.RDONLY)


def devices(outside: Outside) -> None:
    """A small /dev: needs the DEVICES held as `dev/NAME`."""
    tmpfs("/dev")
    for name in DEVICES:
        if outside.holds(f"dev/{name}"):
            outside.bind(f"dev/{name}", f"/dev/{name}", recursive=False)
    for name, leads_to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path("/dev", name).symlink_to(f"/proc/self/fd{leads_to}")
    tmpfs("/dev/shm", "1777")
    make_point("/dev/pts", directory=True)
    with suppress(OSError):
        ns.mount("devpts", "/dev/pts", "devpts", ns.NOSUID | ns.NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
        Path("/dev/ptmx").symlink_to("pts/ptmx")


def hold_devices(outside: Outside) -> None:
    for name in DEVICES:
        with suppress(OSError):
            outside.hold(f"dev/{name}", f"/dev/{name}")
