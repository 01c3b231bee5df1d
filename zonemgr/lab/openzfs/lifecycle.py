"""How a lab on the machine's ZFS begins, comes up after a power cut, and ends."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from zonemgr.lab.call import Call
from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.kept import PREFIX
from zonemgr.lab.openzfs.machine import Machine, find
from zonemgr.lab.world import LabError, World, pool_of

LAB, MADE = (
    f"{PREFIX}lab",
    f"{PREFIX}made",
)  # on POOL/DATASET: the lab's directory; whether it made that dataset
BUSY, PAUSE = 50, 0.1  # seconds: how long the mounts of the lab's host may outlive it


def settings(pool: str) -> dict[str, str]:
    """What world.create is to be told; raises LabError where a lab cannot have the machine's ZFS."""
    if os.geteuid() != 0:
        raise LabError("a lab on this machine's ZFS needs root")
    program = find("zfs")
    if not Path("/dev/zfs").exists():
        raise LabError("this machine's kernel has no ZFS (/dev/zfs); load the module with: modprobe zfs")
    return {"pool": pool or _default_pool(), "zfs_programs": os.path.dirname(program)}


def _default_pool() -> str:
    """POOL/zonemgr-lab where the machine has one pool; raises LabError where it has none or several."""
    words = [find("zpool"), "list", "-H", "-o", "name"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the machine's zpool failed: {done.stderr.strip()}")
    pools = done.stdout.split()
    if len(pools) != 1:
        known = f"there are: {', '.join(pools)}" if pools else "this machine has none"
        raise LabError(f"say which dataset the lab is to live in, with --pool POOL/DATASET; pools: {known}")
    return f"{pools[0]}/zonemgr-lab"


def in_private(body: Callable[[], None]) -> None:
    """Do something in a mount namespace of its own: what it mounts is gone with it. Raises what it raised, as text."""
    from zonemgr.lab import namespaces as ns

    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            ns.unshare(ns.NEWNS)
            ns.mount("", "/", flags=ns.REC | ns.PRIVATE)
            body()
        except BaseException as trouble:  # noqa: BLE001 - told to the parent, which raises it
            os.write(told, str(trouble).encode() or b"interrupted")
        finally:
            os._exit(0)
    os.close(told)
    with open(answer, errors="replace") as said:
        text = said.read()
    os.waitpid(child, 0)
    if text:
        raise LabError(text)


def prepare(world: World) -> None:
    """Make POOL/DATASET, or take it when it is there and empty; raises LabError otherwise."""
    machine, base = Machine(world), world.pool
    if "/" not in base or base.endswith("/") or "@" in base:
        raise LabError(f"{base} is not of the form POOL/DATASET")
    listed = machine.run("list", "-H", "-o", "name", "-t", "all", "-r", base)
    if listed.exit_code:
        if "does not exist" not in listed.stderr:
            raise LabError(f"the machine's zfs failed: {listed.stderr.strip()}")
        _must(machine, "create", "-p", "-o", "canmount=off", "-o", "mountpoint=legacy", base)
        _must(machine, "set", f"{MADE}=yes", base)
    elif listed.stdout.split() != [base]:
        raise LabError(f"{base} has something in it; choose a dataset that is empty or not there yet")
    _must(machine, "set", "mountpoint=legacy", f"{LAB}={world.dir.resolve()}", base)


def _must(machine: Machine, *words: str) -> None:
    done = machine.run(*words)
    if done.exit_code:
        raise LabError(f"the machine's zfs {words[0]} failed: {done.stderr.strip()}")


def first_day(world: World) -> None:
    """The datasets of a fresh host. Its root is not one of them to the machine: /etc and /var are plain files."""
    from zonemgr.lab.zfs import BE_UUID, zfs

    prepare(world)
    add_pool(world, "rpool")
    be = f"rpool/ROOT/{'omnios' if world.omnios else 'openindiana'}"
    for argv in (
        ("create", "-o", "mountpoint=legacy", "rpool/ROOT"),
        ("create", "-o", "canmount=noauto", "-o", "mountpoint=/", "-o", f"{BE_UUID}={uuid.uuid4()}", be),
        ("create", "-s", "-V", "2G", "rpool/swap"),  # sparse: they take no room from the machine
        ("create", "-s", "-V", "1G", "rpool/dump"),
        ("create", "-o", "mountpoint=/export", "rpool/export"),
        ("create", "rpool/export/home"),
    ):
        call = Call(world, ["zfs", *argv])
        if zfs(call):
            said = getattr(call.stderr, "getvalue", bytes)().decode(errors="replace")
            raise LabError(f"zfs {' '.join(argv)} on the machine's pool failed: {said.strip()}")
    world.put(mounts.BOOT_ENVIRONMENT, be)


def add_pool(world: World, name: str) -> None:
    """A new pool of the lab: a dataset right below POOL/DATASET, mounted at /NAME."""
    from zonemgr.lab.openzfs.job import Job

    machine = Machine(world)
    _must(machine, "create", machine.real(name))
    job = Job(Call(world, ["zpool", "create", name]))
    if not job.mount(name):
        raise LabError(f"the new pool {name} cannot be mounted at /{name}")


def destroy(directory: Path) -> None:
    """Remove all that a lab has below POOL/DATASET, and that one itself where the lab made it."""
    try:
        if not pool_of(directory):
            return
    except (OSError, ValueError):  # half made, or half destroyed: there is nothing that says so
        return
    world = World(directory)
    try:
        _destroy(Machine(world), world)
    finally:
        world.close()


def _destroy(machine: Machine, world: World) -> None:
    asked = machine.run("get", "-H", "-o", "property,value", f"{LAB},{MADE}", machine.base)
    if asked.exit_code:
        if "does not exist" in asked.stderr:
            return
        raise LabError(f"the machine's zfs failed: {asked.stderr.strip()}")
    marks = dict(line.split("\t") for line in asked.stdout.splitlines())
    if marks.get(LAB) == "-":  # it never came to be this lab's
        return
    if marks.get(LAB) != str(world.dir.resolve()):
        raise LabError(f"{machine.base} belongs to the lab {marks.get(LAB)}; nothing of it was removed")
    _release_holds(machine)
    listed = machine.rows("list", "-H", "-o", "name", "-d", "1", "-t", "filesystem", machine.base)
    for name in [row[0] for row in listed if row[0] != machine.base]:
        _destroy_one(machine, "-R", name)
    if marks.get(MADE) == "yes":
        _destroy_one(machine, machine.base)
    else:
        machine.run("inherit", LAB, machine.base)


def _release_holds(machine: Machine) -> None:
    columns = ("list", "-H", "-p", "-o", "name,userrefs", "-t", "snapshot", "-r")
    held = [row[0] for row in machine.rows(*columns, machine.base) if row[1] not in ("0", "-")]
    for row in machine.rows("holds", "-H", *held) if held else ():
        machine.run("release", row[1], row[0])


def _destroy_one(machine: Machine, *words: str) -> None:
    """The mounts of a lab that was running until now go a moment after its processes."""
    for last in (*[False] * BUSY, True):
        done = machine.run("destroy", *words)
        if not done.exit_code:
            return
        if last or "busy" not in done.stderr:
            raise LabError(f"the machine's zfs destroy failed: {done.stderr.strip()}")
        time.sleep(PAUSE)
