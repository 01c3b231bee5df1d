"""What illumos keeps of zones: /etc/zones/index, /etc/zones/NAME.xml, and the kernel's list of active zones.

zonecfg writes the first two, zoneadm the index' states and the kernel's list; everybody reads through here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zonemgr.lab.world import SCHEMA, World

# States of active zones as `zoneadm` prints them (facts sheet 1.1); the index knows the other three only.
ACTIVE = ("ready", "running", "shutting_down", "down", "mounted")

SCHEMA.append(
    # boot order = order of id; init_pid/init_start name the cell's first process (0: none, e.g. ready or mounted);
    # booted is world.now() at boot; boot_args the words after `boot --`.
    "create table kernel_zones (id integer primary key, name text unique not null, state text not null,"
    " root text not null, uuid text not null default '', brand text not null default '',"
    " init_pid integer not null default 0, init_start integer not null default 0,"
    " booted real not null default 0, boot_args text not null default '')"
)


class StoreError(Exception):
    """A libzonecfg failure; the text is libzonecfg's own (facts sheet 5.8)."""


@dataclass(frozen=True)
class IndexEntry:
    name: str
    state: str  # configured, incomplete, installed
    zonepath: str
    uuid: str  # empty while configured


@dataclass(frozen=True)
class Fs:
    dir: str
    special: str
    type: str
    raw: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Net:
    physical: str
    address: str = ""
    allowed_address: str = ""
    defrouter: str = ""
    global_nic: str = ""  # this and the next two: OmniOS
    mac_addr: str = ""
    vlan_id: str = ""


@dataclass(frozen=True)
class Attr:
    name: str
    type: str
    value: str


@dataclass
class ZoneConfig:
    """One zone's document, as far as other tools need it; zonecfg itself may keep more."""

    name: str
    zonepath: str = ""
    brand: str = ""
    autoboot: bool = False
    bootargs: str = ""
    ip_type: str = "shared"
    limitpriv: str = ""
    fs: list[Fs] = field(default_factory=list)
    net: list[Net] = field(default_factory=list)
    attr: list[Attr] = field(default_factory=list)
    dataset: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


def index(world: World) -> list[IndexEntry]:
    """The entries of /etc/zones/index in file order, without global and comments."""
    raise NotImplementedError


def entry(world: World, name: str) -> IndexEntry | None:
    """One zone's index entry, or None."""
    return next((e for e in index(world) if e.name == name), None)


def set_state(world: World, name: str, state: str) -> None:
    """Write a stored state; gives a uuid on leaving `configured`, drops it on return (facts sheet 1.1)."""
    raise NotImplementedError


def load(world: World, name: str) -> ZoneConfig:
    """Read /etc/zones/NAME.xml; raises StoreError("No such zone configured") or ("Invalid document")."""
    raise NotImplementedError


def kernel_state(world: World, name: str) -> str | None:
    """State of an active zone, None when the kernel does not know it."""
    row = world.db.execute("select state from kernel_zones where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def state(world: World, name: str) -> str | None:
    """The state `zoneadm` shows: the kernel's if active, else the index'; None for an unknown zone."""
    active = kernel_state(world, name)
    if active:
        return active
    found = entry(world, name)
    return found.state if found else None
