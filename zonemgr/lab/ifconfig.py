"""ifconfig in a zone: `-a` and one interface, looking only; changes are ipadm's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from zonemgr.lab import ipconf, place
from zonemgr.lab.call import Call
from zonemgr.lab.place import Link

LO4 = "flags=2001000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4,VIRTUAL> mtu 8232 index 1"
LO6 = "flags=2002000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv6,VIRTUAL> mtu 8252 index 1"
UP4 = "flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4>"
DOWN4 = "flags=1000842<BROADCAST,RUNNING,MULTICAST,IPv4>"
DHCP4 = "flags=1004843<UP,BROADCAST,RUNNING,MULTICAST,DHCP,IPv4>"
UP6 = "flags=20002004841<UP,RUNNING,MULTICAST,DHCP,IPv6>"


def ifconfig(call: Call) -> int:
    words = call.argv[1:]
    if not words or len(words) > 1 or (words[0].startswith("-") and words[0] != "-a"):
        return call.fail(f"lab: ifconfig {' '.join(words)}".rstrip() + " is not emulated")
    where = place.here(call)
    if place.told(call).get("ip_type") == "shared":
        return call.fail("lab: ifconfig in a shared-IP zone is not emulated")
    shown = [(name, text) for name, text in _all(where) if words[0] in ("-a", name)]
    if not shown:
        return call.fail(f"ifconfig: status: SIOCGLIFFLAGS: {words[0]}: no such interface")
    call.out("".join(text for _, text in shown))
    return 0


def _all(where: place.Place) -> Iterator[tuple[str, str]]:
    """IPv4 first, then IPv6, each with lo0 at its head."""
    links = {link.name: link for link in where.links}
    rows = [row for row in ipconf.shown(where, where.links) if not row[0].startswith("lo0/")]
    six: list[tuple[str, str]] = [("lo0", f"lo0: {LO6}\n\tinet6 ::1/128 \n")]
    yield "lo0", f"lo0: {LO4}\n\tinet 127.0.0.1 netmask ff000000 \n"
    with_four: set[str] = set()
    index = {name: number for number, name in enumerate(ipconf.load(where).interfaces, 2)}
    for name, kind, state, address, _ in rows:
        interface = name.partition("/")[0]
        link = links.get(interface)
        if link is None or state == "disabled":
            continue
        if ":" in address:
            head = f"{interface}: {UP6} mtu {link.mtu} index {index.get(interface, 2)}"
            six.append((interface, f"{head}\n\tinet6 {address} \n\tether {link.mac} \n"))
        elif "/" in address:
            flags = DHCP4 if kind == "dhcp" else UP4 if state == "ok" else DOWN4
            yield interface, _four(interface, flags, address, link, index.get(interface, 2))
            with_four.add(interface)
    for interface in ipconf.load(where).interfaces:
        if interface not in with_four and (link := links.get(interface)) is not None:
            yield interface, _four(interface, DOWN4, "0.0.0.0/32", link, index[interface])
    yield from six


def _four(interface: str, flags: str, address: str, link: Link, index: int) -> str:
    net = ipaddress.ip_interface(address)
    mask = f"{int(net.netmask):x}" if address != "0.0.0.0/32" else "0"
    wide = f" broadcast {net.network.broadcast_address}" if mask != "0" else " "
    head = f"{interface}: {flags} mtu {link.mtu} index {index}"
    return f"{head}\n\tinet {net.ip} netmask {mask}{wide}\n\tether {link.mac} \n"
