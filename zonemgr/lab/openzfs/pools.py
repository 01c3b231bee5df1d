"""zpool on the machine's ZFS: the lab's pools are datasets of one pool of the machine, which answers for them all."""

from __future__ import annotations

from collections.abc import Callable

from zonemgr.lab.call import Call
from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.job import Job
from zonemgr.lab.openzfs.machine import Machine
from zonemgr.lab.world import World
from zonemgr.lab.zfs.text import Refused


def names(call: Call) -> list[str]:
    """The lab's pools, as far as the caller's zone may know of them."""
    job = Job(call)
    return [name for name in job.table.pools() if job.view is None or job.view.visible(name)]


def reader(world: World, pool: str, *, literal: bool) -> Callable[[str], tuple[str, str]]:
    """Value and source of a property by its name, as the machine's pool has it."""
    machine = Machine(world)
    flag = ["-p"] if literal else []
    words = ["get", "-H", *flag, "-o", "property,value,source", "all", machine.base.partition("/")[0]]
    done = machine.run(*words, program="zpool")
    if done.exit_code:
        raise Refused(machine.text(done.stderr).strip())
    found = {
        row[0]: (row[1], row[2]) for line in done.stdout.splitlines() if len(row := line.split("\t")) == 3
    }
    found |= {"name": (pool, "-"), "altroot": ("-", "default"), "listsnapshots": ("off", "default")}
    if pool == "rpool":
        found["bootfs"] = (world.get(mounts.BOOT_ENVIRONMENT), "local")
    return lambda name: found.get(name, ("-", "-"))


def vdevs(world: World) -> str:
    """What stands for the disks in `zpool status`."""
    return f"{Machine(world).base.partition('/')[0]}-of-the-machine"


def destroy(call: Call, pool: str, *, force: bool) -> int:
    """Unmount all that the pool holds, then remove it."""
    job = Job(call)
    if not call.privileged:
        return call.fail(f"cannot destroy '{pool}': permission denied")
    mine = [each for each in mounts.mounted(job.world) if f"{each.dataset}/".startswith(f"{pool}/")]
    for each in sorted(mine, key=lambda one: one.path, reverse=True):
        if not job.unmount(each.dataset, force=force):
            return call.fail(f"could not destroy '{pool}': could not unmount datasets")
    return job.run("destroy", "-r", job.machine.real(pool))
