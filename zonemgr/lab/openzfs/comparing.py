"""All datasets of a lab on the machine's ZFS, as they matter to a comparison: no ids, no times, no sizes."""

from __future__ import annotations

from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.kept import PREFIX
from zonemgr.lab.openzfs.machine import Machine
from zonemgr.lab.world import World

_TELLING = ("type", "origin", "userrefs", "defer_destroy")


def everything(world: World) -> list[dict[str, object]]:
    machine = Machine(world)
    found: dict[str, dict[str, object]] = {}
    columns = ("-t", "filesystem,volume,snapshot", "-o", "name,property,value,source")
    for name, prop, value, source in machine.rows("get", "-H", "-p", "-r", *columns, "all", machine.base):
        if machine.owns(name):
            entry = found.setdefault(machine.lab(name), {"local": {}, "received": {}})
            _take(machine, entry, prop, value, source)
    where = {each.dataset: each.path for each in mounts.mounted(world)}
    holds = _holds(
        machine, [name for name, entry in found.items() if entry.get("userrefs") not in (None, "0")]
    )
    return [
        {"name": name, **entry, "holds": holds.get(name, []), "mounted": where.get(name)}
        for name, entry in sorted(found.items())
    ]


def _take(machine: Machine, entry: dict[str, object], prop: str, value: str, source: str) -> None:
    if prop in _TELLING:
        entry[prop] = machine.lab(value)
    elif source in ("local", "received"):
        values = entry[source]
        assert isinstance(values, dict)
        values[prop.removeprefix(PREFIX)] = value


def _holds(machine: Machine, snapshots: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    asked = [machine.real(name) for name in snapshots]
    for name, tag, _ in machine.rows("holds", "-H", *asked) if asked else ():
        found.setdefault(machine.lab(name), []).append(tag)
    return {name: sorted(tags) for name, tags in found.items()}
