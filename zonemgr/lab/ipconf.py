"""The IP configuration of a root: interfaces and addresses, kept and temporary (docs/illumos.md: Links and addresses).

etc/ipadm/ipadm.conf holds what outlives a reboot, one object a line, so that a brand that empties the file
unconfigures the zone. What is temporary lies beside it under the boot it belongs to.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from zonemgr.lab import place
from zonemgr.lab.place import Link, Place

FILE = "etc/ipadm/ipadm.conf"
PASSING = "etc/svc/volatile/ipadm.json"

DHCP_WAIT = 120


@dataclass(frozen=True)
class Address:
    name: str  # LINK/NAME
    type: str  # static, dhcp, addrconf, from-gz
    address: str  # 10.0.0.5/24, empty for dhcp
    up: bool = True
    temporary: bool = False

    @property
    def interface(self) -> str:
        return self.name.split("/", 1)[0]


@dataclass
class Config:
    """What ipmgmtd knows of a place."""

    interfaces: dict[str, bool] = field(default_factory=dict)  # name -> temporary
    addresses: list[Address] = field(default_factory=list)
    instead: set[str] = field(default_factory=set)  # interfaces that files configured at this boot
    hidden: list[str] = field(default_factory=list)  # lines of the lasting configuration of those

    def find(self, name: str) -> Address | None:
        return next((each for each in self.addresses if each.name == name), None)

    def unnamed(self, interface: str) -> str:
        """The name ipmgmtd gives an address that came without one: _a, _b, ..."""
        free = (f"{interface}/_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
        return next(name for name in free if not self.find(name))


class Trouble(Exception):
    """A libipadm status; the text is ipadm's."""


def load(where: Place) -> Config:
    passing = _passing(where)
    config = Config(instead={str(entry["name"]) for entry in passing if entry.get("instead")})
    for line in (place.read(where.root, FILE) or "").splitlines():
        pairs = dict(part.split("=", 1) for part in line.split(";") if "=" in part)
        if pairs.get("_ifname") in config.instead:
            config.hidden.append(line)
        else:
            _kept(config, pairs)
    for entry in passing:
        if "address" in entry:
            config.addresses.append(Address(**entry))
        else:
            config.interfaces[str(entry["name"])] = True
    for link, address in where.given:
        config.interfaces.setdefault(link, False)
        config.addresses.append(Address(config.unnamed(link), "from-gz", _with_prefix(address)))
    return config


def _kept(config: Config, pairs: dict[str, str]) -> None:
    if "_ifname" not in pairs:
        return
    if "_aobjname" not in pairs:
        config.interfaces[pairs["_ifname"]] = False
        return
    up = pairs.get("up", "yes") == "yes"
    for key, kind in (
        ("_ipv4addr", "static"),
        ("_ipv6addr", "static"),
        ("_dhcp", "dhcp"),
        ("_intfid", "addrconf"),
    ):
        if key in pairs:
            address = pairs[key] if kind == "static" else ""
            config.addresses.append(Address(pairs["_aobjname"], kind, address, up))


def _passing(where: Place) -> list[dict[str, Any]]:
    try:
        plain = json.loads(place.read(where.root, PASSING) or "{}")
    except ValueError:
        plain = {}
    kept = plain.get("boot") == where.booted
    found: list[dict[str, Any]] = plain["objects"] if kept else json.loads(where.at_boot)
    return found


def save(where: Place, config: Config) -> None:
    kept = [f"_ifname={name};_families=2,26;" for name, passing in config.interfaces.items() if not passing]
    kept = [line for line in kept if not _is_given(where, line)]
    kept += [f"_ifname={link};_families=2,26;" for link in dict.fromkeys(link for link, _ in where.given)]
    kept += [_line(each) for each in config.addresses if not each.temporary and each.type != "from-gz"]
    kept += config.hidden
    text = "".join(f"{line}\n" for line in kept)
    if text != (place.read(where.root, FILE) or ""):
        place.write(where.root, FILE, text)
    passing: list[object] = [
        {"name": name, **({"instead": True} if name in config.instead else {})}
        for name, temporary in config.interfaces.items()
        if temporary
    ]
    passing += [vars(each) for each in config.addresses if each.temporary]
    if passing or _passing(where):
        place.write(
            where.root, PASSING, json.dumps({"boot": where.booted, "objects": passing}, indent=1) + "\n"
        )


def keep_given(where: Place) -> None:
    """Write down which interfaces the global zone gives an address, so that they have it at the next boot, too."""
    if where.given:
        save(where, load(where))


def kept_interfaces(where: Place) -> set[str]:
    """The interfaces that come up at a boot because they are kept."""
    lines = (place.read(where.root, FILE) or "").splitlines()
    found = (dict(part.split("=", 1) for part in line.split(";") if "=" in part) for line in lines)
    return {pairs["_ifname"] for pairs in found if "_ifname" in pairs}


def _is_given(where: Place, line: str) -> bool:
    return any(line.startswith(f"_ifname={link};") for link, _ in where.given)


def _line(address: Address) -> str:
    keys = {"dhcp": "_dhcp=-1,no", "addrconf": "_intfid=0,0;_stateless=yes;_stateful=yes"}
    value = keys.get(address.type)
    if value is None:
        family = "_ipv6addr" if ":" in address.address else "_ipv4addr"
        value = f"{family}={address.address};up={'yes' if address.up else 'no'}"
    return f"_ifname={address.interface};_aobjname={address.name};{value};"


# -- changes -------------------------------------------------------------------------------------------


def create_interface(where: Place, name: str, links: Collection[Link], *, temporary: bool = False) -> None:
    """Plumb an interface; raises Trouble."""
    if not name[-1:].isdigit() or len(name) > 31 or not name[:1].isalpha():
        raise Trouble("Invalid argument provided")
    config = load(where)
    if name in config.interfaces or name == "lo0":
        raise Trouble("Interface already exists")
    _plumb(config, name, links, temporary)
    save(where, config)


def _plumb(config: Config, name: str, links: Collection[Link], temporary: bool) -> None:
    link = next((each for each in links if each.name == name), None)
    if link is not None and link.temporary and not temporary:
        # So in a zone too: the link is lent to it with the flags it was made with in the global zone.
        raise Trouble("Persistent operation on temporary object")
    if link is None:
        raise Trouble("Could not open DLPI link")
    config.interfaces[name] = temporary


def create_address(where: Place, address: Address, links: Collection[Link]) -> None:
    """Make an address object, and its interface when that is not there yet; raises Trouble.

    DHCP is only begun: whether there is an address shows when one looks.
    """
    config = load(where)
    if config.find(address.name):
        raise Trouble("Address object already exists")
    if address.interface not in config.interfaces:
        _plumb(config, address.interface, links, address.temporary)
    elif config.interfaces[address.interface] and not address.temporary:
        raise Trouble("Persistent operation on temporary object")
    given = any(link == address.interface for link, _ in where.given)
    if given and not address.temporary and address.type == "static":
        raise Trouble("Operation not permitted on from-gz interface")
    if given or (":" in address.address and not _has_addrconf(config, address.interface)):
        raise Trouble("Can't assign requested address")
    config.addresses.append(address)
    save(where, config)


def _has_addrconf(config: Config, interface: str) -> bool:
    return any(each.type == "addrconf" and each.interface == interface for each in config.addresses)


def delete_address(where: Place, name: str) -> None:
    config = load(where)
    found = config.find(name)
    if found is None:
        raise Trouble("Object not found")
    if found.type == "from-gz":
        raise Trouble("Operation not permitted on from-gz interface")
    config.addresses.remove(found)
    save(where, config)


def delete_interface(where: Place, name: str) -> None:
    config = load(where)
    if name not in config.interfaces:
        raise Trouble("Interface does not exist")
    if any(link == name for link, _ in where.given):
        raise Trouble("Operation not permitted on from-gz interface")
    del config.interfaces[name]
    config.addresses = [each for each in config.addresses if each.interface != name]
    save(where, config)


# -- questions -----------------------------------------------------------------------------------------


def parse_address(text: str) -> str:
    """`a.b.c.d[/len]` or an IPv6 address, with the prefix length the class gives; raises Trouble."""
    try:
        return _with_prefix(str(ipaddress.ip_interface(text).with_prefixlen) if "/" in text else text)
    except ValueError:
        raise Trouble("Invalid address") from None


def _with_prefix(text: str) -> str:
    if "/" in text:
        return text
    address = ipaddress.ip_address(text)
    if address.version == 6:
        return f"{address}/64"
    first = int(str(address).split(".")[0])
    return f"{address}/{8 if first < 128 else 16 if first < 192 else 24}"


def unknown(interface: str) -> str:
    """What show-addr calls an address that ipmgmtd does not know, such as one ifconfig had dhcpagent get."""
    return f"{interface}/?"


def leased(link: Link | None) -> str:
    """What the lab's DHCP server gives a link: an address that follows from its MAC address."""
    octets = [int(part, 16) for part in (link.mac if link else "").split(":") if part] or [0, 1]
    return f"10.200.{octets[-2] % 250}.{octets[-1] % 250 + 4}/16"


def shown(where: Place, links: Collection[Link]) -> Iterator[tuple[str, str, str, str, Address | None]]:
    """Address object, type, state, address, and what it is kept as, for every address in order."""
    by_name = {link.name: link for link in links}
    yield "lo0/v4", "static", "ok", "127.0.0.1/8", None
    for each in load(where).addresses:
        link = by_name.get(each.interface)
        given = each.type != "from-gz" and each.interface in {name for name, _ in where.given}
        state = "disabled" if link is None or given else "ok" if each.up else "down"
        address = each.address
        if each.type == "dhcp":
            address = leased(link) if link and link.dhcp else "?"
        if each.type == "addrconf":
            address = (
                "fe80::8:20ff:fe" + (link.mac.replace(":", "")[-4:] if link and link.mac else "0:1") + "/10"
            )
        yield each.name, each.type, state, address, each
    yield "lo0/v6", "static", "ok", "::1/128", None
