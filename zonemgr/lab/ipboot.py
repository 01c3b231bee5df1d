"""What network/physical does at a zone's boot: /etc/hostname.IF, /etc/hostname6.IF and /etc/dhcp.IF.

The addresses are of this boot only, on lasting and temporary links alike: the service calls ifconfig (gate,
cmd/svc/milestone/net-physical). The first interface with a dhcp file is the primary one, unless the word `primary`
stands in another's: the service waits for its address, 120 seconds or what `wait N` in the file says, and for no
other's. When nobody answers, dhcpagent goes on and the boot, too. An interface that has such a file
gets nothing from ipadm's own configuration; on one with an address from the global zone the files count for
nothing. The outcome stands in the links' rows, of which the zone's cell is told.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import math
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from zonemgr.lab import ipconf, place
from zonemgr.lab.place import Link, Place
from zonemgr.lab.world import LabError

Lines = list[list[str]]  # the words of a file's lines


def configure(where: Place) -> dict[str, list[dict[str, Any]]]:
    """What there is after the service has run, link by link: objects as ipconf has them."""
    given = {link for link, _ in where.given}
    found: dict[str, list[dict[str, Any]]] = {}
    for link in where.links:
        four, six = (_file(where.root, kind, link.name) for kind in ("hostname", "hostname6"))
        if link.name not in given and (four is not None or six is not None):
            found[link.name] = _interface(where, link, four, six)
    return found


def _interface(where: Place, link: Link, four: Lines | None, six: Lines | None) -> list[dict[str, Any]]:
    config = ipconf.Config()
    entry: dict[str, Any] = {"name": link.name, "instead": True}
    dhcp = _file(where.root, "dhcp", link.name)
    if four is not None and not (dhcp is not None and _only_a_name(four)):
        for kind, address, up in _addresses(where, four):
            config.addresses.append(
                ipconf.Address(config.unnamed(link.name), kind, address, up, temporary=True)
            )
    if four is not None and dhcp is not None:
        name = ipconf.unknown(link.name)
        config.addresses.append(ipconf.Address(name, "dhcp", "", temporary=True))
        if not link.dhcp and link.name == _primary(where.root):
            entry["waited"] = _wait([word for line in dhcp for word in line])
    if six is not None:
        config.addresses.append(ipconf.Address(ipconf.unknown(link.name), "addrconf", "", temporary=True))
        for address, up in _addresses6(six):
            name = config.unnamed(link.name)
            config.addresses.append(ipconf.Address(name, "static", address, up, temporary=True))
    return [entry, *(vars(each) for each in config.addresses)]


def _primary(root: Path) -> str:
    """The interface whose address the service waits for."""
    try:
        names = sorted(os.listdir(place.inside(root, "etc/.")))
    except (OSError, LabError):
        return ""
    found = [name.removeprefix("dhcp.") for name in names if fnmatch.fnmatchcase(name, "dhcp.*[0-9]")]
    marked = [name for name in found if any("primary" in line for line in _file(root, "dhcp", name) or [])]
    return next(iter(marked or found), "")


def _wait(words: list[str]) -> float:
    """Of `ifconfig IF auto-dhcp primary WORDS`; the last `wait` counts."""
    waits = [after for word, after in pairwise(words) if word == "wait"]
    if waits and waits[-1] == "forever":
        return math.inf
    return float(waits[-1] if waits and waits[-1].isdigit() else ipconf.DHCP_WAIT)


def _only_a_name(lines: Lines) -> bool:
    """`inet NAME`: what a DHCP client asks to be called."""
    words = [word for line in lines for word in line]
    return len(words) == 2 and words[0] == "inet"


def _addresses6(lines: Lines) -> Iterator[tuple[str, bool]]:
    """Each line is for `ifconfig IF inet6`; only the link-local address comes up by itself."""
    for words in lines:
        try:
            yield ipconf.parse_address(words[words[0] in ("addif", "set")]), "up" in words
        except (ipconf.Trouble, IndexError):
            continue


def _addresses(where: Place, lines: Lines) -> Iterator[tuple[str, str, bool]]:
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


def _file(root: Path, kind: str, interface: str) -> Lines | None:
    """The words of each line that has any; None when the file is not there."""
    try:
        text = place.read(root, f"etc/{kind}.{interface}")
    except LabError:  # a link out of the root: not a file one reads
        return None
    return None if text is None else [line.split() for line in text.splitlines() if line.split()]
