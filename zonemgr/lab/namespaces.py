"""The machine kernel's namespaces and mounts: thin wrappers round libc, as the standard library has none."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from zonemgr.lab.world import LabError

NEWNS = 0x00020000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000
NAMES = {NEWUSER: "user", NEWUTS: "uts", NEWIPC: "ipc", NEWNET: "net", NEWPID: "pid", NEWNS: "mnt"}

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT = 1, 2, 4, 8, 32
NOATIME, NODIRATIME, BIND, REC = 1024, 2048, 4096, 16384
PRIVATE, SLAVE, SHARED, RELATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21
DETACH = 2

_PDEATHSIG, _CAPBSET_DROP, _SET_NAME = 1, 24, 15
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
# glibc has no wrapper for these. The numbers above are the same on every machine, this one is not.
_PIVOT_ROOT = {"x86_64": 155, "i686": 217, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, flags: int) -> None:
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(options)
    )
    _check(result, f"mount {target}")


def detach(target: str) -> None:
    """Take a mount and all below it out of this namespace; what is in use goes on until it is let go."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(DETACH)), f"umount {target}")


def unmount(target: str) -> None:
    """Raises OSError while it is in use."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(0)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root is not known on {os.uname().machine}")
    result = _libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old))
    _check(result, "pivot_root")


def copy_mount(path: str) -> int:
    """A descriptor for a copy of a directory's (or file's) mount and all below it, which is nowhere yet (Linux 5.2)."""
    clone, cloexec, recursive, here = 1, os.O_CLOEXEC, 0x8000, -100
    number = ctypes.c_long(_OPEN_TREE)
    descriptor = _libc.syscall(
        number, ctypes.c_int(here), os.fsencode(path), ctypes.c_uint(clone | cloexec | recursive)
    )
    if descriptor < 0:
        _check(-1, f"open_tree {path}")
    return int(descriptor)


def move_mount(descriptor: int, target: str) -> None:
    """Put what `copy_mount` made at a path of this namespace."""
    from_descriptor, here = 4, -100
    result = _libc.syscall(
        ctypes.c_long(_MOVE_MOUNT),
        ctypes.c_int(descriptor),
        b"",
        ctypes.c_int(here),
        os.fsencode(target),
        ctypes.c_uint(from_descriptor),
    )
    _check(result, f"move_mount {target}")


def read_only(target: str) -> None:
    """Make a mount and all below it read-only (Linux 5.12)."""
    here, recursive, read_only = -100, 0x8000, 1
    attributes = struct.pack("QQQQ", read_only, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(here),
        os.fsencode(target),
        ctypes.c_uint(recursive),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )
    _check(result, f"mount_setattr {target}")


def set_host_name(name: str) -> None:
    raw = os.fsencode(name)[:64]
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _check(_libc.prctl(_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """What ps shows for this process."""
    _libc.prctl(_SET_NAME, name.encode()[:15], 0, 0, 0)


def drop_capabilities(keep: frozenset[int]) -> None:
    """Programs started from here on cannot get any capability but these, whoever they run as."""
    for capability in range(64):
        if capability not in keep:
            _libc.prctl(_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)  # unknown numbers fail, rightly


def loopback_up() -> None:
    """Bring up lo in this network namespace."""
    import fcntl
    import socket

    siocsifflags, up_and_running = 0x8914, 0x1 | 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh14x", b"lo", up_and_running))


def same(kind: int, pid: int) -> bool:
    """Is a process in the same namespace of this kind as this one?"""
    name = NAMES[kind]
    return Path(f"/proc/self/ns/{name}").readlink() == Path(f"/proc/{pid}/ns/{name}").readlink()


def join(pid: int, flags: int) -> None:
    """Move into namespaces of another process (its pid namespace: the children to come)."""
    opened = {
        flag: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for flag, name in NAMES.items() if flag & flags
    }
    try:
        for flag, descriptor in opened.items():  # user first, for the right to enter the others; mnt last
            setns(descriptor, flag)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


# -- user namespaces ---------------------------------------------------------------------------------------


def unshare_as_root(flags: int) -> bool:
    """Leave these namespaces; whoever may not do that by himself becomes root of a user namespace first.

    False when that one has a single user.
    """
    try:
        unshare(flags)
        return True
    except PermissionError:
        pass
    try:
        many = new_user_namespace()
        unshare(flags)
        return many
    except OSError as trouble:
        raise LabError(
            f"a lab needs root or user namespaces, and this machine gives neither ({trouble.strerror});"
            " run zonemgr as root, or see sysctl user.max_user_namespaces and"
            " kernel.apparmor_restrict_unprivileged_userns"
        ) from None


def new_user_namespace() -> bool:
    """Become root of a new user namespace; True when it has more users than that one.

    A process outside must write the map of many users, so a child is left outside first.
    """
    ready, go = os.pipe()
    mine = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        try:
            os.read(ready, 1)
            os._exit(0 if _map_many(mine) else 1)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent takes the one-user map
            os._exit(1)
    os.close(ready)
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(NEWUSER)
    finally:
        os.close(go)
        _, status = os.waitpid(helper, 0)
    if status == 0:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return True
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return False


def _map_many(pid: int) -> bool:
    if os.geteuid() == 0:
        try:
            for kind in ("uid", "gid"):
                ranges = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
                text = "".join(f"{inside} {inside} {count}\n" for inside, _, count in ranges)
                Path(f"/proc/{pid}/{kind}_map").write_text(text)
        except OSError:
            return False
        return True
    return all(_map_by_helper(pid, kind) for kind in ("uid", "gid"))


def _map_by_helper(pid: int, kind: str) -> bool:
    """newuidmap and newgidmap are set-uid programs that hand out the ranges of /etc/subuid, /etc/subgid."""
    program = shutil.which(f"new{kind}map")
    own = os.getuid() if kind == "uid" else os.getgid()
    granted = _granted(kind)
    if program is None or granted is None:
        return False
    arguments = [program, str(pid), "0", str(own), "1", "1", *granted]
    return subprocess.run(arguments, stderr=subprocess.DEVNULL).returncode == 0


def _granted(kind: str) -> tuple[str, str] | None:
    import pwd

    names = {str(os.getuid()), pwd.getpwuid(os.getuid()).pw_name}
    try:
        lines = Path(f"/etc/sub{kind}").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if name in names and first.isdigit() and count.isdigit():
            return first, count
    return None
