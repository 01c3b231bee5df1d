"""A pool that takes no more: facts of the world that make commands fail before they change anything.

    fact:pool=full        no space is left: what would allocate any fails; destroying works, as it frees some
    fact:pool=readonly    the pool was imported read-only: nothing is changed, nor destroyed

Texts are libzfs' (zfs_standard_error: EZFS_NOSPC, EZFS_POOLREADONLY).
"""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.lab.call import Call

# What each command says it could not do; TARGET is its last operand.
DOING = {
    "create": "cannot create 'TARGET'",
    "clone": "cannot create 'TARGET'",
    "snapshot": "cannot create snapshot 'TARGET'",
    "bookmark": "cannot create bookmark 'TARGET'",
    "destroy": "cannot destroy 'TARGET'",
    "rollback": "cannot rollback 'TARGET'",
    "set": "cannot set property for 'TARGET'",
    "inherit": "cannot inherit property for 'TARGET'",
    "rename": "cannot rename 'TARGET'",
    "promote": "cannot promote 'TARGET'",
    "hold": "cannot hold snapshot 'TARGET'",
    "release": "cannot release hold from snapshot 'TARGET'",
    "receive": "cannot receive new filesystem stream",
}
FREEING = ("destroy", "release", "inherit")


def refusal(call: Call, name: str, args: Sequence[str]) -> str:
    """What the command says when the pool takes no change of its kind; empty when it does."""
    state = call.world.get("pool")
    if state not in ("full", "readonly") or name not in DOING:
        return ""
    if state == "full" and name in FREEING:
        return ""
    doing = DOING[name].replace("TARGET", args[-1] if args else "")
    return f"{doing}: {'out of space' if state == 'full' else 'pool is read-only'}"
