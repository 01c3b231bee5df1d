"""zoneadm list."""

from __future__ import annotations

from dataclasses import dataclass

from zonemgr.lab import zonestore
from zonemgr.lab.world import World
from zonemgr.lab.zoneadm import verify
from zonemgr.lab.zoneadm.request import ERROR, OK, Request

Summaries = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Row:
    id: str
    name: str
    state: str
    path: str
    uuid: str
    brand: str
    ip_type: str

    def parsable(self, *, debugid: bool) -> str:
        path = self.path.replace(":", "\\:")
        fields = (self.id, self.name, self.state, path, self.uuid, self.brand, self.ip_type)
        return ":".join(fields) + (":" if debugid else "") + "\n"

    def verbose(self) -> str:
        columns = f"{self.name:<16} {self.state:<10} {self.path:<30} {self.brand:<8} {self.ip_type:<6}"
        return f"{self.id:>4} {columns}\n"


HEADER = Row("ID", "NAME", "STATUS", "PATH", "", "BRAND", "IP")


def list_zones(request: Request) -> int:
    if request.zone:
        return _one(request)
    given = request.options("cinpv", operands=None)
    table, parsable = given.has("v"), given.has("p")
    _exclusive(request, table, parsable)
    stored: tuple[str, ...] = ("installed",) if given.has("i") else ()
    if given.has("c"):
        stored = zonestore.STORED
    rows = every(request.world, stored)
    if given.has("c"):
        _complain_of_missing(request, {row.name for row in rows})
    _show(request, [row for row in rows if row.name != "global" or not given.has("n")], table, parsable)
    return OK


def _exclusive(request: Request, table: bool, parsable: bool) -> None:
    if table and parsable:
        raise request.stop("list -p and -v are mutually exclusive.")


def _show(request: Request, rows: list[Row], table: bool, parsable: bool) -> None:
    if table and rows:
        request.call.out("".join(row.verbose() for row in (HEADER, *rows)))
    elif parsable:
        request.call.out("".join(row.parsable(debugid=request.world.omnios) for row in rows))
    else:
        request.call.out("".join(f"{row.name}\n" for row in rows))


def every(world: World, stored: tuple[str, ...] = ()) -> list[Row]:
    """The active zones in order of boot, global first, then those with one of the stored states in index order."""
    summaries = zonestore.summaries(world)
    index = {entry.name: entry for entry in zonestore.index(world)}
    active = world.db.execute("select id, name, state from kernel_zones order by id").fetchall()
    rows = [_global(world)]
    rows += [
        _row(index[each["name"]], summaries, str(each["id"]), each["state"])
        for each in active
        if each["name"] in index and each["name"] in summaries
    ]
    seen = {row.name for row in rows} | {each["name"] for each in active}
    rows += [
        _row(entry, summaries)
        for entry in index.values()
        if entry.state in stored and entry.name not in seen and entry.name in summaries
    ]
    return rows


def _complain_of_missing(request: Request, shown: set[str]) -> None:
    """Zones in the index whose document cannot be read are left out of every list.

    illumos names the wrong reason, and so does the lab: an errno that is taken for one of libzonecfg's numbers.
    """
    for entry in zonestore.index(request.world):
        if entry.name not in shown:
            request.plain(f"zoneadm: {entry.name}: could not get brand name: Wrong document type")


def _row(entry: zonestore.IndexEntry, summaries: Summaries, zone_id: str = "-", state: str = "") -> Row:
    brand, ip_type = summaries[entry.name]
    shown = "excl" if ip_type == "exclusive" else "shared"
    return Row(zone_id, entry.name, state or entry.state, entry.zonepath, entry.uuid, brand, shown)


def _global(world: World) -> Row:
    brand = "ipkg" if world.omnios else zonestore.default_brand(world)
    return Row("0", "global", "running", "/", "", brand, "shared")


def _one(request: Request) -> int:
    given = request.options("pv", operands=None)
    _exclusive(request, given.has("v"), given.has("p"))
    if given.rest:
        raise request.misused()
    row = _find(request)
    if row is not None:
        _show(request, [row], given.has("v"), given.has("p"))
    if request.zone != "global":
        verify.run_brand_verify(request)
    return OK if row is not None else ERROR


def _find(request: Request) -> Row | None:
    world = request.world
    if request.zone == "global":
        return _global(world)
    entry = zonestore.entry(world, request.zone)
    if entry is None:
        return None
    config = zonestore.load(world, request.zone)
    summaries = {request.zone: (config.brand, config.ip_type)}
    active = world.db.execute("select id, state from kernel_zones where name = ?", (request.zone,)).fetchone()
    return _row(entry, summaries, str(active["id"]), active["state"]) if active else _row(entry, summaries)
