"""The entry of every emulated command that is started as a program, in the global zone or in a zone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

from zonemgr.lab.call import Call, NoWorld
from zonemgr.lab.world import LabError, World

ZONE = Path("/.lab/zone.json")  # there in a zone only
LAB = Path("/.lab/dir")  # there in the global zone only


def main(name: str) -> NoReturn:
    """Run the emulated command of this name with this process' arguments, and end as it does."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    if "/.lab/python/" in sys.executable:
        os.environ.pop("LD_LIBRARY_PATH", None)  # set by the shim, of no concern to what this command starts
    words = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in sys.argv[1:]]
    try:
        status = _in_zone([name, *words]) if ZONE.exists() else _in_global_zone([name, *words])
    except LabError as trouble:
        os.write(2, f"lab: {trouble}\n".encode("utf-8", "surrogateescape"))
        status = 1
    end(status)


def end(status: int) -> NoReturn:
    """End with an exit status, or (negative) by a signal."""
    if status < 0:
        die(-status)
    os._exit(status & 0xFF)


def die(number: int) -> NoReturn:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # as the first process of a pid namespace it would survive


class Output:
    """A sink that writes at once, so that what a build says is seen when it says it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def write(self, data: bytes, /) -> object:
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        return len(data)


def _call(world: World, argv: list[str]) -> Call:
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = "/"
    return Call(world, argv, _stdin(), Output(1), Output(2), dict(os.environ), cwd, terminal=os.isatty(0))


def _stdin() -> BinaryIO:
    try:
        return open(0, "rb", closefd=False)
    except OSError:  # started without one
        return open(os.devnull, "rb")


def _in_zone(argv: list[str]) -> int:
    import json

    from zonemgr.lab import accounts, tools

    call = _call(NoWorld(), argv)
    call.zone, call.root = json.loads(ZONE.read_text())["zone"], Path("/")
    call.user, call.privileged = accounts.name_of(os.geteuid()), os.geteuid() == 0
    try:
        tool = tools.find(argv[0], in_zone=True)
    except KeyError:
        return call.fail(f"lab: {argv[0]} in a zone is not emulated", 127)
    try:
        return tool(call)
    except LabError as trouble:
        raise LabError(f"{argv[0]}: {trouble}") from None


def _in_global_zone(argv: list[str]) -> int:
    from zonemgr.lab import callers, dispatch, gzmounts

    if not LAB.is_dir():
        raise LabError(f"{argv[0]} works in a lab only; enter one with: zonemgr lab shell")
    call = _call(World(LAB), argv)
    caller = callers.find(call.world)
    call.user, call.privileged = caller.user, caller.privileged
    status = dispatch.run(call, _Process(), run_id=caller.run)
    if argv[0] in gzmounts.CHANGERS:
        gzmounts.write(call.world)
    return status


class _Process:
    """dispatch.Ways of a process of its own."""

    def wait(self, seconds: float) -> None:
        import time

        time.sleep(seconds)

    def hang(self) -> None:
        while True:
            signal.pause()

    def kill_caller(self) -> None:
        parent = os.getppid()
        if parent > 1:  # 0: called by `lab run` itself, 1: the caller is gone already
            os.kill(parent, signal.SIGKILL)
        die(signal.SIGKILL)

    def reboot(self) -> None:
        from zonemgr.lab import gz

        gz.power_off()
        self.hang()
