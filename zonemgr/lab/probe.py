"""Can a lab work here? Found out by doing what it will do, before one is made: namespaces, mounts, another root."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from zonemgr.lab.world import LabError

ONE_USER = (
    "zones of this lab will have one user only: install uidmap and give {user} a range:"
    " usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
)
CHROOT = (
    "a lab cannot be used in this chroot, whose / is not a mount point: use it outside, or make it one first:"
    " mount --bind DIR DIR && chroot DIR"
)
# Settings of the kernel that forbid user namespaces: the file, what it says then, and what it must say.
SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
)


def check(directory: Path) -> str:
    """Raises LabError, which says what to do, when no lab can work in this place; a remark, or "", when one can."""
    folder = next(each for each in (directory, *directory.parents) if each.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".zonemgr-lab.", dir=folder) as name:
            many = _namespaces(name)
            _programs(Path(name))
    except PermissionError as trouble:
        raise LabError(f"cannot make a lab in {folder}: {trouble.strerror}") from None
    return "" if many else ONE_USER.format(user=_user())


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _programs(folder: Path) -> None:
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    try:
        subprocess.run([program], check=False)
    except PermissionError:
        raise LabError(
            f"programs cannot be run in {folder.parent} (mounted noexec?): choose another directory for the lab,"
            f" or: mount -o remount,exec {_mount_point(folder)}"
        ) from None


def _mount_point(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.is_mount() or each == each.parent)


def _namespaces(folder: str) -> bool:
    """In a process of its own: leave the machine's namespaces, mount, change the root. Has it more than one user?"""
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            os.write(told, b"many" if _leave(folder) else b"one")
        except OSError as trouble:
            os.write(told, f"!{trouble.strerror or trouble}".encode())
        except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
            os.write(told, f"!{trouble}".encode())
        finally:
            os._exit(0)
    os.close(told)
    with open(answer) as said:
        text = said.read()
    os.waitpid(child, 0)
    if text in ("many", "one"):
        return text == "many"
    raise LabError(CHROOT if _in_chroot() else _forbidden(text.removeprefix("!")))


def _leave(folder: str) -> bool:
    from zonemgr.lab import namespaces as ns

    flags = ns.NEWNS | ns.NEWPID | ns.NEWUTS | ns.NEWIPC
    many = True
    try:
        ns.unshare(flags)
    except PermissionError:
        many = ns.new_user_namespace()
        ns.unshare(flags)
    ns.unshare(ns.NEWNET)  # of a zone
    ns.mount("", "/", flags=ns.REC | ns.SLAVE)
    ns.mount("tmpfs", folder, "tmpfs", ns.NOSUID, "mode=0755")
    os.mkdir(f"{folder}/usr")
    ns.mount("/usr", f"{folder}/usr", flags=ns.BIND | ns.REC)
    os.chdir(folder)
    ns.pivot_root(".", ".")
    ns.detach(".")
    return many


def _in_chroot() -> bool:
    try:
        table = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:  # nobody mounted /proc here
        return True
    return all(line.split()[4] != "/" for line in table)


def _forbidden(reason: str) -> str:
    text = f"a lab needs mount, process and network namespaces, which this machine does not give ({reason}): "
    if os.geteuid() == 0:
        return text + "in a container, start it with CAP_SYS_ADMIN (docker run --privileged)"
    for name, bad, good in SETTINGS:
        try:
            says = Path("/proc/sys", *name.split(".")).read_text().strip()
        except OSError:
            continue
        if says == bad:
            return text + f"run zonemgr as root, or, as root: sysctl -w {name}={good}"
    return text + "run zonemgr as root"
