"""The data links of the host: the table that dladm, zoneadm and the cells share.

See docs/illumos.md: Links and addresses.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

from zonemgr.lab.world import FIRST_DAY, HOST_BOOT, SCHEMA, World

SCHEMA.append(
    # `mac` as dladm prints it (2:8:20:a:b:c); `zone`: the active zone that has the link, empty for the global
    # zone; `temporary`: gone after a host reboot; `up`: 0 when only the configuration for the next boot has
    # it (`delete-vnic -t`); `props`: a JSON object of what set-linkprop changed.
    "create table links (id integer primary key, name text unique not null, class text not null,"
    " over text not null default '', mac text not null default '', mactype text not null default '',"
    " vid integer not null default 0, mtu integer not null default 1500,"
    " temporary integer not null default 0,"
    " zone text not null default '', up integer not null default 1, props text not null default '{}')"
)

LONGEST = 31
# Among the props, but no properties of dladm's: what a zone that is up has on the link.
GIVEN, FILES = "_given", "_files"  # addresses handed to it, and those its own files gave it at boot
PROTECTING = ("protection", "allowed-ips")
PREFIX = (2, 8, 0x20)  # of invented addresses


def valid_name(name: str) -> bool:
    """As dladm_valid_linkname: ends in a number without leading zeros; the length is checked elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9_.]+", name) or name[0].isdigit():
        return False
    digits = re.search(r"\d*$", name)
    number = digits.group() if digits else ""
    return bool(number) and (len(number) == 1 or number[0] != "0")


def find(world: World, name: str, *, up: bool | None = None) -> sqlite3.Row | None:
    row: sqlite3.Row | None = world.db.execute("select * from links where name = ?", (name,)).fetchone()
    return None if row is None or (up is not None and bool(row["up"]) != up) else row


def every(world: World) -> list[sqlite3.Row]:
    return world.db.execute("select * from links order by id").fetchall()


def over(world: World, name: str) -> list[sqlite3.Row]:
    return world.db.execute("select * from links where over = ? order by id", (name,)).fetchall()


def told(world: World, row: sqlite3.Row) -> dict[str, Any]:
    """A link as a zone is told of it: its row, and whether a DHCP server answers on it."""
    return {**dict(row), "dhcp": dhcp_server(world, row)}


def dhcp_server(world: World, row: sqlite3.Row) -> bool:
    """Does a DHCP server answer on this link? Nobody does on an etherstub, unless the lab is told so.

    The fact `dhcp.LINK` (yes, none) is about that link and all over it, `dhcp` about those that no other is about.
    """
    seen: set[str] = set()
    found: sqlite3.Row | None = row
    while found is not None and found["name"] not in seen:
        seen.add(found["name"])
        said = world.get(f"dhcp.{found['name']}")
        if said:
            return said != "none"
        if found["class"] == "etherstub":
            return False
        found = find(world, found["over"]) if found["over"] else None
    return world.get("dhcp", "yes") != "none"


def mac_text(octets: list[int]) -> str:
    """Without leading zeros, as dladm prints addresses."""
    return ":".join(f"{octet:x}" for octet in octets)


def invent_mac(world: World, prefix: list[int]) -> str:
    """A random address that no other link has. The generator is the world's own: labs can be repeated."""
    taken = {row["mac"] for row in every(world)}
    while True:
        rest = random.Random(f"{world.dir.name} {world.count('links.mac')}").randbytes(6 - len(prefix))
        text = mac_text([*prefix, *rest])
        if text not in taken:
            return text


def forget_temporary(world: World) -> None:
    """The host was rebooted: temporary links are gone, what was only down is up, no zone has any."""
    with world.transaction():
        world.db.execute("delete from links where temporary != 0")
        _unprotect(world, every(world))
        world.db.execute("update links set up = 1, zone = ''")
        names = {row["name"] for row in every(world)}
        for row in every(world):
            if row["over"] and row["over"] not in names:
                world.db.execute("delete from links where id = ?", (row["id"],))


def release(world: World, zone: str) -> None:
    """A zone went down: its links are the global zone's again."""
    _unprotect(world, world.db.execute("select * from links where zone = ?", (zone,)).fetchall())
    world.db.execute("update links set zone = '' where zone = ?", (zone,))


def _unprotect(world: World, rows: Iterable[sqlite3.Row]) -> None:
    """Take back what came with an allowed-address and what files configured; set-linkprop's doings stay."""
    for row in rows:
        props = json.loads(row["props"])
        going = {GIVEN, FILES, *(PROTECTING if GIVEN in props else ())} & set(props)
        if going:
            kept = {key: value for key, value in props.items() if key not in going}
            world.db.execute("update links set props = ? where id = ?", (json.dumps(kept), row["id"]))


def _first_day(world: World) -> None:
    world.db.execute(
        "insert into links (name, class, mac, mactype) values ('net0', 'phys', '8:0:27:5c:1e:7', 'primary')"
    )


FIRST_DAY.append(_first_day)
HOST_BOOT.append(forget_temporary)
