"""What `zonemgr lab` does: make a lab, run commands in it, look at it, take it down."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.lab import callers, dispatch, faults, gz, probe, shares, shells, world
from zonemgr.lab.shares import Share
from zonemgr.lab.world import LabError, World

if TYPE_CHECKING:
    from zonemgr.lab.accounts import Account

# Everything there is in a lab's folder.
PARTS = {
    *("lab.json", "host", "store", "cells", "locks", "programs", "pyc", "nfs"),
    *("holder.json", "holder.json.new", "holder.lock"),
    *("world.sqlite", "world.sqlite-wal", "world.sqlite-shm", "world.sqlite-journal"),
}
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin"
# Environment variables that name places of the machine: their names, and what names start with.
ELSEWHERE = {"TMPDIR", "TEMP", "TMP", "MAIL", "PWD", "OLDPWD", "ENV", "BASH_ENV", "MANPATH", "INFOPATH"}
ELSEWHERE_TOO = (
    "XDG_",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "PYENV_",
    "LD_",
    "CONDA_",
    "PIPX_",
)


def default_directory() -> Path:
    """Where a lab is when nobody says: the lab one is in, or the user's own."""
    here = os.environ.get("ZONEMGR_LAB") if gz.INSIDE.exists() else None
    data = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(here) if here else Path(data, "zonemgr", "lab")


def create(
    directory: Path,
    flavour: str = "openindiana",
    latency: str = "none",
    zfs: Mapping[str, str] | None = None,
    share: Sequence[str] = (),
) -> list[str]:
    """Make a lab; raises LabError when the directory has something in it, a name is unknown, or no lab can work there.

    What is returned are remarks on what will be less than on other machines.

    `zfs`: as for world.create. `share`: directories of the machine, `DIR` or `DIR:ro`, to be shown in its global zone
    whenever it is up.
    """
    wanted = [str(shares.parse(text, directory)) for text in share]
    world.check(directory, flavour=flavour, latency=latency)
    remarks = [text for text in (probe.check(directory.absolute()), shells.warning()) if text]

    def make() -> None:
        world.create(directory, flavour=flavour, latency=latency, zfs=zfs, shares=wanted).close()

    if zfs is None:
        make()
    else:
        from zonemgr.lab.openzfs import lifecycle

        lifecycle.in_private(make)
    return remarks


@dataclass(frozen=True)
class Visit:
    """How somebody comes into a lab's global zone."""

    faults: Sequence[str] = ()  # for the emulated commands of this run only
    user: str = "root"
    share: Sequence[str] = ()  # directories to be shown from now on until the host goes down: DIR or DIR:ro


def run(
    directory: Path,
    argv: Sequence[str],
    fault_specs: Sequence[str] = (),
    user: str = "root",
    share: Sequence[str] = (),
) -> int:
    """Run a command in the lab's global zone with this process' terminal and streams.

    Its exit status; 128+N when signal N ended it, 127 when there is no such command. A script of the machine is shown
    there, read-only (see shares.for_script).
    """
    lab = _outside(directory)
    words, more = shares.for_script(argv, _cwd(), lab / "host")
    return _enter(lab, Visit(fault_specs, user, share), more, lambda env: _execute(words, env))


def shell(
    directory: Path, fault_specs: Sequence[str] = (), user: str = "root", share: Sequence[str] = ()
) -> int:
    """An interactive shell in the lab's global zone; without a terminal, one that reads commands."""
    status = _enter(_outside(directory), Visit(fault_specs, user, share), (), _execute_shell)
    with suppress(OSError, termios_error()):  # a shell in another pid namespace cannot hand the terminal back
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
    return status


def termios_error() -> type[Exception]:
    import termios

    return termios.error


def _outside(directory: Path) -> Path:
    around = gz.inside()
    if around is not None:
        raise LabError(f"this is the global zone of the lab {around} already; call the command itself")
    return _existing(directory)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _enter(lab: Path, visit: Visit, script: Sequence[Share], then: Callable[[dict[str, str]], int]) -> int:
    armed = [faults.parse(spec) for spec in visit.faults]
    wanted = [shares.parse(text, lab) for text in visit.share]
    open_world = World(lab)
    try:
        account = _account(open_world, visit.user)
        holder = _up(open_world, wanted, script)
        caller = callers.Caller(secrets.token_hex(6), visit.user, privileged=visit.user == "root")
        for fault in armed:
            faults.add(open_world, fault, caller.run)
        environment = _environment(lab, caller, account)
        status = gz.enter(holder, lambda: _begin(caller, partial(then, environment)))
        if holder.ending:  # the host lost its power meanwhile; its first process is the last to go
            holder.end()
        faults.forget(open_world, caller.run)
        callers.forget(open_world, caller.run)
    finally:
        open_world.close()
    return 128 - status if status < 0 else status


def _up(open_world: World, wanted: Sequence[Share], script: Sequence[Share]) -> gz.Holder:
    """The lab's host, booted if need be, with what is to be seen there."""
    lab = open_world.dir
    holder, booted = gz.ensure(lab)
    if wanted or script:
        gz.show(lab, wanted, exactly=True)
        gz.show(lab, script, exactly=False)
        holder = gz.find(lab) or holder
    if booted:
        _boot_zones(open_world, holder)
    return holder


def _account(open_world: World, user: str) -> Account:
    from zonemgr.lab import accounts

    account = accounts.by_name(user, str(open_world.host))
    if account is None and user != "root":
        raise LabError(f"there is no user {user} in the lab's /etc/passwd")
    return account or accounts.Account("root", 0, 0, "/root", "/sbin/sh")


def _boot_zones(open_world: World, holder: gz.Holder) -> None:
    """What svc:/system/zones does when the host has booted."""
    from zonemgr.lab import zonestore

    for entry in zonestore.index(open_world):
        with suppress(zonestore.StoreError):
            if entry.state == "installed" and zonestore.load(open_world, entry.name).autoboot:
                gz.enter(holder, partial(_quietly, ["zoneadm", "-z", entry.name, "boot"]))


def _quietly(argv: Sequence[str]) -> int:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    return _execute(argv, {"PATH": SYSTEM_PATH})


def _begin(caller: callers.Caller, then: Callable[[], int]) -> int:
    """In the global zone: say who is calling, then become the command."""
    inside = World(Path("/.lab/dir"))
    callers.register(inside, caller)
    inside.close()
    return then()


def _environment(lab: Path, caller: callers.Caller, account: Account) -> dict[str, str]:
    """The caller's own, but for what names places of the machine."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ELSEWHERE and not key.startswith(ELSEWHERE_TOO)
    }
    return {
        **kept,
        "PATH": SYSTEM_PATH,
        "HOME": account.home,
        "LOGNAME": caller.user,
        "USER": caller.user,
        "ZONEMGR_LAB": str(lab),
        "ZONEMGR_LAB_USER": caller.user,
        "ZONEMGR_LAB_PATH": SYSTEM_PATH,
        "ZONEMGR_LAB_NAME": lab.name,
    }


def _execute(argv: Sequence[str], env: Mapping[str, str]) -> int:
    sys.stdout.flush()
    # Not execvp: it blames a directory of the PATH that may not be read for a command that is nowhere.
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=env["PATH"])
    try:
        if program is None:
            raise FileNotFoundError(2, "command not found")
        os.execve(program, list(argv), dict(env))
    except FileNotFoundError as trouble:
        text = f"zonemgr lab: {argv[0]}: {trouble.strerror}\n"
        os.write(2, text.encode("utf-8", "surrogateescape"))
        return 127
    except OSError as trouble:
        os.write(2, f"zonemgr lab: {argv[0]}: {trouble.strerror}\n".encode("utf-8", "surrogateescape"))
        return 126


def _execute_shell(env: dict[str, str]) -> int:
    program = os.environ.get("SHELL", "/bin/sh")
    program = program if os.access(program, os.X_OK) else "/bin/sh"
    env = {**env, "SHELL": program, "PS1": f"[lab {env['ZONEMGR_LAB_NAME']}] $ "}
    words = [program]
    if os.isatty(0) and Path(program).name == "bash":
        words += ["--rcfile", "/.lab/bashrc", "-i"]
    return _execute(words, env)


def log(directory: Path) -> list[dict[str, Any]]:
    """Every emulated command since the lab was made: id, started, seconds, argv, exit, user."""
    open_world = World(_existing(directory))
    try:
        return dispatch.log(open_world)
    finally:
        open_world.close()


def publish(
    directory: Path, package: str, version: str = "", publisher: str = "", *, reboot: bool = False
) -> str:
    """Put a newer version of a package, or a new package, into a repository of the lab; returns its FMRI."""
    from zonemgr.lab.pkg import publish as publishing

    open_world = World(_existing(directory))
    try:
        return publishing.publish(open_world, package, version, publisher=publisher, reboot=reboot)
    except publishing.Unpublishable as wrong:
        raise LabError(str(wrong)) from None
    finally:
        open_world.close()


def status(directory: Path) -> dict[str, Any]:
    """What a lab is and does, as plain data for a table or JSON."""
    lab = _existing(directory)
    open_world = World(lab)
    try:
        return {
            "directory": str(directory),
            "flavour": open_world.flavour,
            "latency": open_world.latency,
            **({"zfs": open_world.pool} if open_world.pool else {}),
            **_running(lab),
            "zones": _zones(open_world),
            "commands": open_world.db.execute("select count(*) from log").fetchone()[0],
            "facts": dict(
                tuple(row)
                for row in open_world.db.execute(
                    "select key, value from facts where key glob 'fault.*' and value != '' order by key"
                )
            ),
        }
    finally:
        open_world.close()


def _running(lab: Path) -> dict[str, Any]:
    if gz.inside() is not None:  # the holder's pid is of no use in here
        return {"running": True, "process": None}
    holder = gz.find(lab)
    if holder is None or not holder.alive:
        return {"running": False, "process": None}
    return {
        "running": True,
        "process": holder.pid,
        "namespaces": "user" if holder.user_namespace else "root",
        "users": "many" if holder.many_users else "one (no newuidmap or no range in /etc/subuid)",
        "shared": list(holder.shares),
        "missing": list(holder.unseen),
    }


def _zones(open_world: World) -> dict[str, str]:
    from zonemgr.lab import zonestore

    return {
        entry.name: zonestore.state(open_world, entry.name) or "" for entry in zonestore.index(open_world)
    }


def _existing(directory: Path) -> Path:
    """The lab in a directory, by a path that works here; raises LabError when there is none."""
    if gz.inside() == directory:
        return Path("/.lab/dir")
    if not (directory / "lab.json").is_file():
        raise LabError(f"{directory} is not a lab; make one with: zonemgr lab create {directory}")
    return directory.resolve()


def destroy(directory: Path) -> None:
    """Kill everything in a lab and remove its folder. One that was half made, or half destroyed, will do."""
    if gz.inside() is not None:
        raise LabError("a lab cannot be destroyed from inside")
    if not directory.is_dir():
        raise LabError(f"{directory} does not exist")
    names = {entry.name for entry in directory.iterdir()}
    if not ("lab.json" in names or (names & {"host", "store", "programs"} and names <= PARTS)):
        raise LabError(f"{directory} is not a lab; nothing was removed")
    strange = sorted(names - PARTS)
    if strange:
        raise LabError(f"{directory} has something in it that is not the lab's: {', '.join(strange)}")
    lab = directory.resolve()
    gz.stop(lab)
    if (lab / "lab.json").is_file():
        from zonemgr.lab.openzfs import lifecycle

        lifecycle.destroy(lab)
    with suppress(FileNotFoundError):
        (lab / "lab.json").unlink()
    _remove(lab)


def _remove(lab: Path) -> None:
    shutil.rmtree(lab, onerror=_retry)
    if lab.exists():  # files of users that only a user namespace can name
        child = os.fork()
        if child == 0:
            try:
                from zonemgr.lab import namespaces

                namespaces.new_user_namespace()
                shutil.rmtree(lab, onerror=_retry)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    if lab.exists():
        raise LabError(f"{lab} could not be removed altogether; what is left belongs to other users")


def _retry(function: Callable[..., Any], path: str, _info: Any) -> None:
    """Once more, with the right to do so where that is ours to give."""
    for each in (path, os.path.dirname(path)):
        with suppress(OSError):
            if stat.S_ISDIR(os.lstat(each).st_mode):
                os.chmod(each, 0o700)
    with suppress(OSError):
        if function in (os.rmdir, os.unlink):
            function(path)
        elif stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path, ignore_errors=True)


__all__ = ["create", "default_directory", "destroy", "log", "run", "shell", "status"]
