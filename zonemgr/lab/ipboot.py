"""What network/physical does at a zone's boot: /etc/hostname.IF and /etc/dhcp.IF (facts sheet 10.3).

The addresses are of this boot only, on lasting and temporary links alike. An interface that has such a file
gets nothing from ipadm's own configuration; on one with an address from the global zone the files count for
nothing. The outcome stands in the links' rows, of which the zone's cell is told.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zonemgr.lab import ipconf, place
from zonemgr.lab.place import Place
from zonemgr.lab.world import LabError


def configure(where: Place) -> dict[str, list[dict[str, Any]]]:
    """What there is after the service has run, link by link: objects as ipconf has them."""
    given = {link for link, _ in where.given}
    found: dict[str, list[dict[str, Any]]] = {}
    for link in where.links:
        lines = None if link.name in given else _file(where.root, "hostname", link.name)
        if lines is not None:
            found[link.name] = _interface(where, link.name, lines)
    return found


def _interface(where: Place, name: str, lines: list[list[str]]) -> list[dict[str, Any]]:
    dhcp = _file(where.root, "dhcp", name) is not None
    made = [] if dhcp and _only_a_name(lines) else list(_addresses(where, lines))
    config = ipconf.Config()
    for kind, address, up in made + ([("dhcp", "", True)] if dhcp else []):
        config.addresses.append(ipconf.Address(config.unnamed(name), kind, address, up, temporary=True))
    return [{"name": name, "instead": True}, *(vars(each) for each in config.addresses)]


def _only_a_name(lines: list[list[str]]) -> bool:
    """`inet NAME`: what a DHCP client asks to be called."""
    words = [word for line in lines for word in line]
    return len(words) == 2 and words[0] == "inet"


def _addresses(where: Place, lines: list[list[str]]) -> Iterator[tuple[str, str, bool]]:
    """One line is the old form and comes up by itself; of several each is for ifconfig, word for word."""
    for words in lines:
        found = _address(where, [word for word in words if word not in ("inet", "addif", "ipmp", "plumb")])
        if found is not None:
            yield (*found, "up" in words or len(lines) == 1)


def _address(where: Place, words: list[str]) -> tuple[str, str] | None:
    if words[:1] in (["dhcp"], ["auto-dhcp"]):
        return "dhcp", ""
    try:
        text = words[0] if words[0][0].isdigit() else _host(where, words[0])
        if "netmask" in words[:-1] and "/" not in text:
            text = _masked(text, words[words.index("netmask") + 1])
        return "static", ipconf.parse_address(text)
    except (ipconf.Trouble, ValueError, IndexError):
        return None  # ifconfig complains in the service's log and goes on


def _masked(text: str, mask: str) -> str:
    if mask == "+":
        return text
    return str(ipaddress.ip_interface(f"{text}/{mask}").with_prefixlen)


def _host(where: Place, name: str) -> str:
    """A host's address as the zone's /etc/inet/hosts has it."""
    for line in (place.read(where.root, "etc/inet/hosts") or "").splitlines():
        words = line.partition("#")[0].split()
        if name in words[1:] and ":" not in words[0]:
            return words[0]
    raise ValueError(name)


def _file(root: Path, kind: str, interface: str) -> list[list[str]] | None:
    """The words of each line that has any; None when the file is not there."""
    try:
        text = place.read(root, f"etc/{kind}.{interface}")
    except LabError:  # a link out of the root: not a file one reads
        return None
    return None if text is None else [line.split() for line in text.splitlines() if line.split()]
