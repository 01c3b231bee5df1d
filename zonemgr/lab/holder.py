"""The holder of a lab's global zone: makes its namespaces and root, then stays, burying what no other does.

Started as a bare program by gz.py, with its orders as JSON on standard input; tells its pid and what it could
do as JSON on standard output, or the trouble on standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from zonemgr.lab import cellroot, gz, gzfiles, rootfs, shares
from zonemgr.lab import namespaces as ns
from zonemgr.lab.shares import Share
from zonemgr.lab.world import LabError

LAB_FILE = "/.lab/dir/lab.json"
LOOK = 5.0  # seconds between looks at it


def main() -> NoReturn:
    status = 1
    try:
        order: dict[str, Any] = json.loads(_line())
        os.setsid()
        os.umask(0o022)
        _make(order)
        status = 0
    except LabError as trouble:
        sys.stderr.write(f"{trouble}\n")
    except OSError as trouble:
        sys.stderr.write(f"the lab's global zone cannot be made: {trouble}\n")
    sys.stderr.flush()
    os._exit(status)


def _line() -> bytes:
    """The first line of standard input and no more: the rest is for the first process."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise LabError("the lab's holder got no orders")
        line += byte
    return line


def _make(order: dict[str, Any]) -> None:
    """Leave the machine's namespaces and fork the first process of the new ones."""
    before = os.readlink("/proc/self/ns/user")
    many = ns.unshare_as_root(ns.NEWNS | ns.NEWPID | ns.NEWUTS | ns.NEWIPC)
    user_namespace = os.readlink("/proc/self/ns/user") != before
    answer, told = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(answer)
        _first(order, told)
    os.close(told)
    with open(answer, "rb") as pipe:
        text = pipe.read()
    if not text.startswith(b"{"):
        raise LabError("the lab's global zone cannot be made: " + (text.decode() or "its first process died"))
    facts = json.loads(text)
    facts |= {"pid": first, "user_namespace": user_namespace, "many_users": many}
    sys.stdout.write(json.dumps(facts))
    sys.stdout.flush()


def _first(order: dict[str, Any], told: int) -> NoReturn:
    """The first process: build the root, say so, let go of everything, stay."""
    try:
        facts = _build(order)
        ns.set_host_name(_host_name())
        ns.set_name("zonemgr-lab")
        wanted = {signal.SIGCHLD, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.write(told, json.dumps(facts).encode())
        os.close(told)
        if not os.read(0, 1):  # whoever started this was killed before it could note it down
            os._exit(1)
    except BaseException as trouble:  # noqa: BLE001 - nobody else is left to tell it
        os.write(told, f"{trouble}".encode())
        os._exit(1)
    os.dup2(null, 0)
    os.closerange(3, 4096)
    _stay(wanted)


def _stay(wanted: set[signal.Signals]) -> NoReturn:
    while True:
        heard = signal.sigtimedwait(wanted, LOOK)
        if heard is not None and heard.si_signo == signal.SIGTERM:  # the host's power button
            os._exit(0)
        if heard is None and not os.path.exists(LAB_FILE):  # somebody has removed the lab's folder by hand
            os._exit(0)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _build(order: dict[str, Any]) -> dict[str, Any]:
    ns.mount("", "/", flags=ns.REC | ns.SLAVE)
    lab = Path(order["dir"])
    outside, shown, unseen = _hold(lab, order)
    outside.enter("root")
    gzfiles.empty_volatile(Path("/"), order["mounted"])
    rootfs.proc(outside)
    cellroot.show_usr(outside)
    for name in cellroot.SYSTEM:
        if outside.holds(f"/{name}"):
            outside.bind(f"/{name}", f"/{name}", flags=ns.RDONLY)
    rootfs.devices(outside)
    rootfs.protect_kernel()
    _show_lab(outside, lab)
    for each in shown:
        shares.bind(outside, each)
    if order.get("pool"):
        _show_zfs(outside)
    outside.leave()
    if order.get("pool"):
        ns.mount("", "/", flags=ns.REC | ns.SHARED)  # so that zones see what is mounted in them later
    return {"shares": [str(each) for each in shown], "unseen": unseen}


def _hold(lab: Path, order: dict[str, Any]) -> tuple[rootfs.Outside, list[Share], list[str]]:
    """Open all that is to be shown; of the shares, those that are there and those that are not."""
    outside = rootfs.Outside()
    outside.hold("root", lab / "host", follow=False)
    if order.get("pool"):
        _hold_zfs(outside)
    for name, path in (("proc", "/proc"), ("lab/dir", lab)):
        outside.hold(name, path)
    for name in cellroot.SYSTEM:
        if Path("/", name).is_dir() and not Path("/", name).is_symlink():
            outside.hold(f"/{name}", f"/{name}")
    for name in gz.ETC:
        with suppress(OSError):
            outside.hold(f"etc/{name}", f"/etc/{name}")
    for name, path in order["python"].items():
        outside.hold(f"lab/{name}", path)
    rootfs.hold_devices(outside)
    cellroot.hold_programs(outside, lab, inside=False, where="gz")
    return outside, *_hold_shares(outside, [shares.read(text) for text in order["shares"]])


def _hold_shares(outside: rootfs.Outside, wanted: Sequence[Share]) -> tuple[list[Share], list[str]]:
    shown, unseen = [], []
    for each in wanted:
        try:
            outside.hold(each.path, each.path)
            shown.append(each)
        except OSError:
            unseen.append(str(each))
    return shown, unseen


ZFS = ("/dev/zfs", "/sys/module/zfs")  # what the machine's zfs commands ask the kernel by


def _hold_zfs(outside: rootfs.Outside) -> None:
    for path in ZFS:
        try:
            outside.hold(path, path)
        except OSError:
            raise LabError(f"the lab needs OpenZFS, and this machine's kernel has no {path}") from None


def _show_zfs(outside: rootfs.Outside) -> None:
    for path in ZFS:
        if not os.path.exists(path):
            outside.bind(path, path)


def _show_lab(outside: rootfs.Outside, lab: Path) -> None:
    rootfs.tmpfs("/.lab")
    cellroot.show_programs(outside, writable=("pyc",))
    for name in [f"etc/{name}" for name in gz.ETC] + outside.below("lab/own/"):
        if outside.holds(name):
            outside.bind(name, f"/.lab/{name.removeprefix('lab/')}", flags=ns.RDONLY)
    outside.bind("lab/dir", "/.lab/dir")
    Path("/.lab/gz.json").write_text(json.dumps({"dir": str(lab)}) + "\n")
    Path("/.lab/bashrc").write_text(BASHRC)
    rootfs.remount("/.lab", ns.RDONLY)


def _host_name() -> str:
    """In the root that was made: the lab's folder is not to be seen there."""
    try:
        return Path("/etc/nodename").read_text().split()[0]
    except (OSError, IndexError):
        return "lab"


# For `zonemgr lab shell`: the user's own settings, but it must show where one is and find the lab's commands.
BASHRC = """\
[ -f ~/.bashrc ] && . ~/.bashrc
PATH=$ZONEMGR_LAB_PATH
PS1="[lab $ZONEMGR_LAB_NAME] \\\\w \\\\$ "
unset PROMPT_COMMAND
hash -r
"""
