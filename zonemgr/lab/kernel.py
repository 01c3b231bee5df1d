"""The kernel as a zone's processes reach it: a socket at /.lab/kernel in the cell, answered outside of it.

Nothing in a cell can see the world. What needs it (zfs, mount, the end of the zone itself) is asked for over this
socket, together with the caller's three standard streams; who asks is what the socket says, not what is claimed.

A small process waits beside every cell. It becomes a server when the first question comes, so that a zone that asks
nothing costs next to nothing, and it ends with the cell. Each question gets a process of its own.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from zonemgr.lab import namespaces as ns
from zonemgr.lab.world import LabError, World

if TYPE_CHECKING:
    from zonemgr.lab.call import Call, Sink

FOLDER = "/.lab/kernel"  # in a cell
DOOR = "door"
ANSWERED = {
    "zfs": "zfs:zfs",
    "zpool": "zpool:zpool",
    "mount": "mounts:mount",
    "umount": "mounts:umount",
    "df": "df:df",
    "pkg": "pkg:answer",
    "beadm": "beadm:beadm",
    **dict.fromkeys(
        (
            "useradd",
            "usermod",
            "userdel",
            "groupadd",
            "groupdel",
            "groupmod",
            "roleadd",
            "rolemod",
            "roledel",
        ),
        "users:command",
    ),
    "passwd": "users:passwd",
    "lab-power": "zonepower:answer",
    "lab-autofs": "autofs:answer",
    "lab-node": "machine:answer_node",
}


@dataclass(frozen=True)
class Order:
    """What the server of a zone knows: the zone as it was when it came up."""

    lab: str
    zone: str
    root: str  # the zone's root in the global zone
    datasets: tuple[str, ...]  # delegated to it
    scratch: bool  # the `mounted` state: no init, nothing to take down


# -- in a zone ---------------------------------------------------------------------------------------------


def ask(call: Call, *argv: str) -> int:
    """Have a command of a zone done outside; its status. Raises LabError where nobody answers."""
    streams = [_descriptor(call.stdin), _descriptor(call.stdout), _descriptor(call.stderr)]
    question = {
        "argv": list(argv or call.argv),
        "cwd": call.cwd,
        "as": call.name,
        "raised": call.privileged and call.user != "root",
        "terminal": call.terminal,
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            door.connect(f"{FOLDER}/{DOOR}")
        except OSError:
            raise LabError(f"{call.name} in this zone is not emulated: nobody answers at {FOLDER}") from None
        text = json.dumps(question).encode("utf-8", "surrogateescape") + b"\n"
        sent = socket.send_fds(door, [text], [each for each, _ in streams])
        door.sendall(text[sent:])
        answer = door.makefile("rb").readline()
    for (descriptor, is_ours), sink in zip(streams[1:], (call.stdout, call.stderr), strict=True):
        if is_ours:
            sink.write(_whole(descriptor))
    return int(answer or b"1")


def _descriptor(stream: BinaryIO | Sink) -> tuple[int, bool]:
    """A descriptor for a stream, and whether it was made for that (of one that only is in memory)."""
    try:
        return int(stream.fileno()), False  # type: ignore[union-attr]  # or there is none, see below
    except (AttributeError, OSError):
        made = os.memfd_create("stream")
        read = getattr(stream, "read", None)
        if read is not None and not hasattr(stream, "getvalue"):
            os.write(made, read())
            os.lseek(made, 0, os.SEEK_SET)
        return made, True


def _whole(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb") as made:
        return made.read()


# -- beside a cell -----------------------------------------------------------------------------------------


def listen(lab: Path) -> tuple[Path, socket.socket]:
    """A new door: its folder, to be shown in the cell, and the listening socket."""
    place = lab / "cells/.doors"
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{DOOR}")  # the real path may be longer than a socket's may be
    finally:
        os.close(handle)
    (folder / DOOR).chmod(0o777)
    listener.listen(64)
    return folder, listener


def stand_by(order: Order, folder: Path, listener: socket.socket, told: int) -> NoReturn:
    """In a forked child: learn the pid of the cell's first process, then wait for questions or for its end."""
    ns.set_name("zonemgr-zoned")
    try:
        pid = os.read(told, 32)
        if pid:
            cell = os.pidfd_open(int(pid))
            ready, _, _ = select.select([listener.fileno(), cell], [], [])
            if cell not in ready:
                _become_server(order, folder, listener.fileno(), cell, int(pid))
    except OSError:
        pass
    _close_down(folder)
    os._exit(0)


def _close_down(folder: Path) -> None:
    with suppress(OSError):
        (folder / DOOR).unlink()
    with suppress(OSError):
        folder.rmdir()


def _become_server(order: Order, folder: Path, listener: int, cell: int, pid: int) -> None:
    """A fresh interpreter: a fork's copy of somebody's SQLite connection must not meet one of its own."""
    from zonemgr.lab import programs

    given = {"order": asdict(order), "folder": str(folder), "listener": listener, "cell": cell, "pid": pid}
    start = (
        f"import sys; sys.pycache_prefix = {sys.pycache_prefix!r}; "
        f"sys.path.insert(0, {str(programs.package_parent())!r}); "
        f"from zonemgr.lab.kernel import serve; serve({json.dumps(given)!r})"
    )
    os.set_inheritable(listener, True)
    os.set_inheritable(cell, True)
    env = {"PATH": "/usr/sbin:/usr/bin"}
    if "/.lab/python/" in sys.executable:
        env["LD_LIBRARY_PATH"] = "/.lab/python/lib"
    python = sys.executable or "/usr/bin/python3"
    os.execve(python, [python, "-IS", "-c", start], env)


# -- the server --------------------------------------------------------------------------------------------


def serve(text: str) -> NoReturn:
    given: dict[str, Any] = json.loads(text)
    order = Order(**{**given["order"], "datasets": tuple(given["order"]["datasets"])})
    ns.set_name("zonemgr-zoned")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    listener = socket.socket(fileno=given["listener"])
    cell: int = given["cell"]
    while True:
        ready, _, _ = select.select([listener.fileno(), cell], [], [])
        if cell in ready:
            break
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os.close(cell)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(order, given["pid"], connection)
        connection.close()
    _close_down(Path(given["folder"]))
    os._exit(0)


def _answer(order: Order, first: int, connection: socket.socket) -> NoReturn:
    from zonemgr.lab.program import Output

    status, reply = 1, Reply(connection)
    try:
        text, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        while not text.endswith(b"\n"):
            more = connection.recv(1 << 16)
            if not more:
                os._exit(1)
            text += more
        errors = Output(streams[2])
        try:
            status = _do(order, first, connection, json.loads(text), streams, reply)
        except LabError as trouble:
            errors.write(f"lab: {trouble}\n".encode("utf-8", "surrogateescape"))
        except BrokenPipeError:  # the caller's output is gone, and so is the caller
            status = 141
        except Exception:  # noqa: BLE001 - nobody else is left to tell it
            import traceback

            errors.write(traceback.format_exc().encode("utf-8", "surrogateescape"))
    finally:
        with suppress(OSError):
            reply(status)
        os._exit(0)


class Reply:
    """Says the status, once; whoever answers may do so before all is done."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.said = connection, False

    def __call__(self, status: int) -> None:
        if not self.said:
            self.said = True
            self.connection.sendall(f"{status}\n".encode())


def _do(
    order: Order,
    first: int,
    connection: socket.socket,
    question: dict[str, Any],
    streams: list[int],
    reply: Reply,
) -> int:
    import importlib

    from zonemgr.lab import zonefs
    from zonemgr.lab.call import Call
    from zonemgr.lab.program import Output

    world = World(Path(order.lab))
    stdin = open(streams[0], "rb", closefd=False)  # noqa: SIM115 - ends with the process
    call = Call(
        world, [str(word) for word in question["argv"]], stdin, Output(streams[1]), Output(streams[2])
    )
    call.zone, call.root, call.given = order.zone, world.path(order.root), order.datasets
    call.cwd, call.terminal = str(question["cwd"]), bool(question["terminal"])
    call.user, call.privileged = _caller(order, first, connection, question, call)
    call.reply = reply
    if not order.scratch:
        zonefs.settle(world, order.zone)
    module, function = ANSWERED[call.name].split(":")
    status = int(getattr(importlib.import_module(f"zonemgr.lab.{module}"), function)(call))
    if not order.scratch and call.name != "df":
        zonefs.write_mnttab(world, order.zone)
    return status


def _caller(
    order: Order, first: int, connection: socket.socket, question: dict[str, Any], call: Call
) -> tuple[str, bool]:
    """Who asks, by the kernel's word; pfexec's help counts as far as the zone's own files grant it."""
    from zonemgr.lab import accounts
    from zonemgr.lab.rights import Rights

    _, outside, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    uid = _inside(first, outside)
    if uid == 0:
        return "root", True
    root = call.root or Path("/")
    user = accounts.name_of(uid, str(root))
    return user, bool(question["raised"]) and Rights(root).raises(user, str(question["as"]))


def _inside(first: int, outside: int) -> int:
    """A user id of this namespace as the cell has it."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{first}/uid_map").read_text().splitlines():
            inside, here, count = (int(word) for word in line.split())
            if here <= outside < here + count:
                return inside + outside - here
    return outside
