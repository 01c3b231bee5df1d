"""Scripts that stand in for every brand's: for those who want to see zoneadm without what the brands do.

`pkgcreatezone`, `createzone` and `clone` make the zone's root with an init in it, `uninstall` removes the zonepath, and
all others do nothing; all of them take any argument.
"""

from __future__ import annotations

from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.files import remove_directory, remove_tree
from zonemgr.lab.brands.options import getopts
from zonemgr.lab.call import Call

MAKE_A_ROOT = ("pkgcreatezone", "createzone", "clone")


def script(call: Call, argv: list[str]) -> int:
    if argv[0] in MAKE_A_ROOT:
        make_root(call, getopts("z:R:", argv[1:]).get("R"))
    elif argv[0] == "uninstall" and not {"-?", "-h"} & set(argv[3:]):
        _remove(call, argv[2])
    return 0


def make_root(call: Call, zonepath: str) -> None:
    """<zonepath>/root with nothing in it but an init that can be run."""
    init = call.world.path(f"{zonepath}/root/sbin/init")
    init.parent.mkdir(parents=True, exist_ok=True)
    init.touch(0o755)


def _remove(call: Call, zonepath: str) -> None:
    for dataset, point in mounts(call):
        if point == zonepath:
            call.run("zfs", "destroy", "-r", dataset)
    remove_tree(call, zonepath)
    remove_directory(call, zonepath)
