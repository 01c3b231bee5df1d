"""The lab's global zone as a namespace: a holder process keeps it, whoever wants in joins the holder.

The holder is the first process of a pid namespace, so killing it is a power cut: everything in the lab dies,
its mounts go with it. The next one to come in starts a new holder, and that is the host's boot.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zonemgr.lab import gzmounts, processes, programs, shares
from zonemgr.lab.shares import Share
from zonemgr.lab.world import LabError, World, pool_of

INSIDE = Path("/.lab/gz.json")  # there in a lab's global zone only

# Of the machine's /etc, what its programs need to run; shown through links into /.lab/etc. Names the lab has
# itself (passwd, hosts, ...) stay the lab's.
ETC = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "ca-certificates", "pki"),
    *("crypto-policies", "localtime", "terminfo", "java", "protocols", "services", "resolv.conf", "perl"),
)
# Capabilities over the machine itself, which root of the global zone has no use for: modules, ports and memory, its
# reboot, its clock, device files (sys_module, sys_rawio, sys_boot, sys_time, mknod).
MACHINES = frozenset((16, 17, 22, 25, 27))


@dataclass(frozen=True)
class Holder:
    """The first process of a lab's global zone, as the machine sees it, and what it has."""

    pid: int
    start: int
    boot: str  # the machine's boot, for a pid means nothing after the next
    user_namespace: bool
    many_users: bool  # more than one user id can be had
    shares: tuple[str, ...] = ()  # directories of the machine that it shows, as shares.Share writes them
    unseen: tuple[str, ...] = ()  # those that `lab create` was told of and that are not there

    @property
    def alive(self) -> bool:
        return self.boot == _machine_boot() and processes.alive(self.pid, self.start)

    def sees(self, path: str) -> bool:
        """Is this path of the machine the same in the global zone?"""
        return any(shares.read(each).shows(path, read_only=True) for each in self.shares)

    @property
    def ending(self) -> bool:
        """Was its power cut? Some of it is still there, but nothing can be begun in it."""
        return self.alive and processes.ending(self.pid, self.start)

    def end(self) -> None:
        """Kill it, and wait until all that ran in its global zone is gone; nothing when it is gone already."""
        if self.alive and not processes.kill(self.pid, self.start):
            raise LabError(f"process {self.pid}, which keeps the lab, did not end")


def inside() -> Path | None:
    """The directory (as seen outside) of the lab whose global zone this process is in."""
    try:
        return Path(json.loads(INSIDE.read_text())["dir"])
    except FileNotFoundError:
        return None


def find(lab: Path) -> Holder | None:
    """The holder last started, dead or alive."""
    try:
        fields = json.loads((lab / "holder.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    try:
        return Holder(**{**fields, "shares": tuple(fields["shares"]), "unseen": tuple(fields["unseen"])})
    except (TypeError, KeyError):  # of another version of zonemgr
        return None


@contextmanager
def locked(lab: Path) -> Iterator[None]:
    """One at a time starts or ends a holder; the lock is gone with its process."""
    descriptor = os.open(lab / "holder.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ensure(lab: Path) -> tuple[Holder, bool]:
    """The living holder of this lab; started if need be: True when that booted the host anew."""
    lab = lab.resolve()
    with locked(lab):
        holder = find(lab)
        if holder is not None and holder.alive and not holder.ending:
            return holder, False
        if holder is not None:
            holder.end()
        holder = _start(lab, _boot(lab))
        if pool_of(lab):
            enter(holder, _mount_datasets)
        return holder, True


def show(lab: Path, wanted: Sequence[Share], *, exactly: bool) -> None:
    """Show more of the machine in the global zone, which must be up; nothing where it is shown already.

    Without `exactly` a directory above it, or one that is writable where read-only will do, is as good.
    """
    lab = lab.resolve()
    with locked(lab):
        holder = find(lab)
        if holder is None or not holder.alive:
            raise LabError("the lab went down meanwhile")
        has = [shares.read(each) for each in holder.shares]
        missing = [each for each in wanted if not _has(has, each, exactly)]
        if missing:
            shares.attach(holder.pid, missing)
            _note(lab, replace(holder, shares=(*holder.shares, *map(str, missing))))


def _has(has: Sequence[Share], wanted: Share, exactly: bool) -> bool:
    if exactly:  # the last one mounted at a path is the one that is seen
        return wanted in has and [each for each in has if each.path == wanted.path][-1] == wanted
    return any(each.shows(wanted.path, read_only=wanted.read_only) for each in has)


def _boot(lab: Path) -> dict[str, list[str]]:
    """What the end of the last holder meant for the world; nothing the first time. What the new one must know."""
    from zonemgr.lab import gzfiles

    world = World(lab)
    try:
        if find(lab) is not None:
            from zonemgr.lab.power import reboot

            reboot(world)
        elif not world.get("host.booted"):
            world.put("host.booted", repr(world.now()))
        gzmounts.write(world)
        mounted = gzfiles.mounted_in_volatile(world)
        return {"shares": list(world.settings.get("shares", ())), "mounted": mounted}
    finally:
        world.close()


def _mount_datasets() -> int:
    """In the global zone that has just begun, where nothing of the machine's ZFS is mounted yet.

    By the program of the lab, as at a boot: the modules it takes are not to be seen there by this process.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.execve("/usr/sbin/zfs", ["zfs", "mount", "-a"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def _start(lab: Path, facts: dict[str, list[str]]) -> Holder:
    programs.write(lab)
    _prepare(lab)
    order = {"dir": str(lab), "python": programs.own_python(), "pool": pool_of(lab), **facts}
    where = str(programs.package_parent())
    start = f"import sys; sys.path.insert(0, {where!r}); from zonemgr.lab.holder import main; main()"
    python = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [python, "-IS", "-c", start], stdin=pipe, stdout=pipe, stderr=pipe, cwd="/"
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()
        out, err = child.stdout.read(), child.stderr.read()
        holder = _told(out, err.decode(errors="replace").strip())
        _note(lab, holder)
        child.stdin.write(b"!")  # it waits for this: were it not noted, nobody would ever find it again
    return holder


def _told(out: bytes, trouble: str) -> Holder:
    try:
        told: dict[str, Any] = json.loads(out)
        pid = int(told.pop("pid"))
        return Holder(pid, processes.stat(pid).start, _machine_boot(), **told)
    except (ValueError, KeyError, TypeError, OSError):
        raise LabError(trouble or "the lab's holder process ended at once") from None


def _note(lab: Path, holder: Holder) -> None:
    fresh = lab / "holder.json.new"
    fresh.write_text(json.dumps(asdict(holder)) + "\n")
    fresh.replace(lab / "holder.json")


def _prepare(lab: Path) -> None:
    """See to it that LAB/host has what the holder mounts on, and links to what it shows of the machine's /etc."""
    from zonemgr.lab import cellroot, gzfiles

    host = lab / "host"
    if (host / "sbin").is_symlink():  # of a lab of an older version
        (host / "sbin").unlink()
    for name in cellroot.SYSTEM:
        if Path("/", name).is_symlink() and not os.path.lexists(host / name):
            (host / name).symlink_to(os.readlink(f"/{name}"))
    gzfiles.make_directories(host)
    for name in ETC:
        if Path("/etc", name).exists() and not os.path.lexists(host / "etc" / name):
            (host / "etc" / name).symlink_to(f"/.lab/etc/{name}")


def _machine_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stop(lab: Path) -> bool:
    """Cut the power; False when the host was not running."""
    with locked(lab):
        holder = find(lab)
        if holder is None:
            return False
        was_alive = holder.alive
        holder.end()
        return was_alive


def power_off() -> None:
    """Ask the holder to end, from inside. It alone can be asked: it is not this machine's first process."""
    if not INSIDE.exists():
        raise LabError("this is not the global zone of a lab")
    os.kill(1, signal.SIGTERM)


# -- going in ----------------------------------------------------------------------------------------------


def enter(holder: Holder, body: Callable[[], int]) -> int:
    """Run body in a process in the global zone; exit status, or minus the signal that ended it.

    Signals sent to this process meanwhile are passed on. Terminal keys need not be: the other one is in the
    same process group. When this process is killed, so is that one.
    """
    held: set[int] = {
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
    }
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    answer, told = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        child = os.fork()
        if child == 0:
            os.close(answer)
            _between(holder, body, told, held, before)
        os.close(told)
        _accompany(child, held)
        raw = os.read(answer, 64)
    finally:
        os.close(answer)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return os.waitstatus_to_exitcode(int(raw)) if raw else -signal.SIGKILL


def _between(holder: Holder, body: Callable[[], int], told: int, held: set[int], before: set[int]) -> None:
    """The process that joins the namespaces; only its child is in all of them, as pid namespaces have it."""
    status = 1 << 8
    try:
        from zonemgr.lab import namespaces as ns

        ns.die_with_parent()
        cwd = _cwd(holder)
        also = 0 if ns.same(ns.NEWUSER, holder.pid) else ns.NEWUSER
        ns.join(holder.pid, also | ns.NEWUTS | ns.NEWIPC | ns.NEWPID | ns.NEWNS)
        child = os.fork()
        if child == 0:
            os.close(told)
            ns.die_with_parent()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _in_global_zone(cwd, body)
        status = _accompany(child, held)
    except OSError as trouble:
        os.write(2, f"lab: cannot enter the lab's global zone: {trouble}\n".encode())
    finally:
        os.write(told, str(status).encode())
        os._exit(0)


def _in_global_zone(cwd: str, body: Callable[[], int]) -> None:
    from zonemgr.lab import namespaces as ns

    status = 1
    try:
        ns.drop_capabilities(frozenset(range(64)) - MACHINES)
        try:
            os.chdir(cwd)
        except OSError:
            os.chdir("/")
        status = body()
    except LabError as trouble:
        os.write(2, f"lab: {trouble}\n".encode())
    except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
        os.write(2, f"lab: {trouble!r}\n".encode())
    finally:
        os._exit(status & 0xFF)


def _cwd(holder: Holder) -> str:
    """The working directory, if the global zone has the same one there."""
    try:
        cwd = os.getcwd()
    except OSError:
        return "/"
    return cwd if holder.sees(cwd) else "/"


def _accompany(child: int, held: set[int]) -> int:
    """Wait for a child, handing on signals that somebody sent; its wait status."""
    while True:
        info = signal.sigwaitinfo(held)
        if info.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
        elif info.si_code <= 0:  # sent by a process; what a terminal sends reaches the child by itself
            with suppress(ProcessLookupError):
                os.kill(child, info.si_signo)
