"""What the IPS brands' scripts share: the zone's datasets found by property, and its root mounted.

Datasets are looked up by the *property* mountpoint, as the scripts do, so a received copy can be in the way. The
scripts leave such a list of names unquoted; `words` is what the shell then makes of it.
"""

from __future__ import annotations

import re

from zonemgr.lab.brands.hook import Hook
from zonemgr.lab.call import Call

PARENT = "org.opensolaris.libbe:parentbe"
ACTIVE = "org.opensolaris.libbe:active"

NO_DATASET = (
    "the zonepath must be a ZFS dataset.\n"
    "The parent directory of the zonepath must be a ZFS dataset so that the\n"
    "zonepath ZFS dataset can be created properly."
)
NO_CREATE = "Unable to create the zone's ZFS dataset."
NO_MOUNT = "Unable to mount the zone's ZFS dataset."
STILL_MOUNTED = (
    "Unable to unmount the zone's root ZFS dataset ({}).\n"
    "Is there a global zone process inside the zone root?\n"
    "The current zone boot environment will remain mounted.\n"
)


def words(text: str) -> list[str]:
    return text.split()


def gz_boot_environment(call: Call) -> str:
    """The uuid of the running global zone's BE, empty if beadm knows none."""
    for line in call.run("beadm", "list", "-H").stdout.splitlines():
        fields = line.split(";")
        if len(fields) > 2 and "N" in fields[2]:
            return fields[1]
    return ""


def current_gzbe(hook: Hook) -> str:
    uuid = gz_boot_environment(hook.call)
    if not uuid:
        raise hook.fatal("unable to determine global zone boot environment.")
    return uuid


def datasets_of(hook: Hook, path: str, *, header: bool = False) -> str:
    """Names of all file systems with this mountpoint property, a line each."""
    listed = hook.run("zfs", "list", *([] if header else ["-H"]), "-t", "filesystem", "-o", "name,mountpoint")
    rows = (line.split() for line in listed.stdout.splitlines())
    return "\n".join(row[0] for row in rows if len(row) > 1 and row[1] == path)


def zonepath_dataset(hook: Hook, path: str) -> str:
    found = datasets_of(hook, path)
    if not found:
        raise hook.fatal(NO_DATASET)
    return found


def active_dataset(hook: Hook, gzbe: str, datasets: str) -> str:
    """The ZBE of this global zone BE; of several zonepath datasets only the first is looked at."""
    root = f"{words(datasets)[0]}/ROOT"
    listed = hook.run("zfs", "list", "-H", "-r", "-t", "filesystem", "-o", f"name,{PARENT},{ACTIVE}", root)
    rows = (line.split() for line in listed.stdout.splitlines())
    found = [row[0] for row in rows if re.search(r"ROOT/[^/]+$", row[0]) and row[1:3] == [gzbe, "on"]]
    if len(found) > 1:
        raise hook.fatal("multiple active datasets.")
    if not found:
        raise hook.fatal("no active dataset.")
    return found[0]


def refuse_root_pool(hook: Hook, datasets: str) -> None:
    if words(datasets)[0].startswith("rpool/ROOT/"):
        raise hook.fatal("Installing a zone inside of the root pool's 'ROOT' dataset is unsupported.")


def mounts(call: Call) -> list[tuple[str, str]]:
    """What is mounted, as (dataset, mount point). The scripts ask `mount -p`; all there is in a lab is ZFS."""
    rows = (line.split() for line in call.run("zfs", "mount").stdout.splitlines())
    return [(row[0], row[1]) for row in rows if len(row) > 1]


def mounted_at(call: Call, directory: str) -> bool:
    return any(point == directory for _, point in mounts(call))


def mount_active(hook: Hook) -> None:
    """Put the active ZBE on <zonepath>/root, in place of what is mounted there."""
    root = f"{hook.zonepath}/root"
    if mounted_at(hook.call, root) and not hook.ok("umount", root):
        hook.out(STILL_MOUNTED.format(root))
        return
    gzbe = current_gzbe(hook)
    dataset = active_dataset(hook, gzbe, zonepath_dataset(hook, hook.zonepath))
    if not hook.ok("mount", "-F", "zfs", dataset, root):
        raise hook.fatal(NO_MOUNT)


def first_free(hook: Hook, attempt: str, *argv: str) -> str | None:
    """Try `argv` with zbe, zbe-1, ... in place of `{}`; the first name that works, None after 100 of them."""
    for number in range(100):
        name = "zbe" if number == 0 else f"zbe-{number}"
        done = hook.run(
            *(part for word in argv for part in words(word.format(name))), quiet=attempt == "quiet"
        )
        if done.exit_code == 0:
            return name
    return None
