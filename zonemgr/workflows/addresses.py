"""How a zone's links get their addresses, and whether they have got them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zonemgr.errors import CommandError, UsageError, ZonemgrError
from zonemgr.host import ipadm
from zonemgr.host.door import Host
from zonemgr.model import ZoneName
from zonemgr.workflows.steps import Step, warn

if TYPE_CHECKING:
    from zonemgr.workflows.furnish import Furniture

PATIENCE = 10.0  # seconds for all links of a zone together, once it is up
_NAPS = (0.25, 0.5, 1.0)  # then every second


@dataclass(frozen=True)
class Addressing:
    """Addresses of one link, in the form `ADDRESS/LENGTH`; DHCP unless there are any or `dhcp` says otherwise."""

    addresses: tuple[str, ...] = ()
    dhcp: str = ""  # yes, no; empty: only if there is no address

    @property
    def by_dhcp(self) -> bool:
        return self.dhcp == "yes" or not (self.dhcp or self.addresses)

    @property
    def parts(self) -> list[str]:
        """As they are written behind a `|`."""
        return [
            *([f"dhcp={self.dhcp}"] if self.dhcp else []),
            *(f"address={address}" for address in self.addresses),
        ]


@dataclass(frozen=True)
class ZoneLink:
    """A temporary link of a zone as its set-up script is to see it."""

    name: str
    dhcp: bool
    four: str
    six: str


def taken_from(text: str) -> tuple[list[str], Addressing]:
    """The parts of a word without a `=`, and what those with one say; raises UsageError for what cannot be meant."""
    fixed: list[str] = []
    found: list[str] = []
    dhcp = ""
    for part in text.split("|"):
        key, equals, value = part.partition("=")
        if not equals:
            fixed.append(part)
        elif key == "address":
            found.append(_address(value, text))
        elif key == "dhcp" and value in ("yes", "no") and not dhcp:
            dhcp = value
        else:
            raise UsageError(
                f"{part!r} in {text!r} is not understood", hint="dhcp=no, or address=192.0.2.5/24"
            )
    _check(text, found, dhcp)
    return fixed, Addressing(tuple(found), dhcp)


def _address(value: str, text: str) -> str:
    """In canonical form, with its length: ipadm would guess an IPv4 mask by the address's class of old."""
    try:
        found = ipaddress.ip_interface(value)
    except ValueError:
        found = None
    if found is None or "/" not in value or "%" in value or not value.rpartition("/")[2].isdigit():
        raise UsageError(
            f"{value!r} in {text!r} is not an address with the length of its prefix",
            hint="such as address=192.0.2.5/24 or address=2001:db8::5/64",
        )
    address, network = found.ip, found.network
    odd = address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local
    # The first address of a network is the network itself, in IPv4 the last one is everybody.
    edge = network.num_addresses > 2 and address in (
        network[0],
        *([network[-1]] if address.version == 4 else []),
    )
    if odd or edge or str(address) == "255.255.255.255":
        raise UsageError(
            f"{value!r} in {text!r} is no address that a zone could have", hint="choose another one"
        )
    return found.with_prefixlen


def _check(text: str, found: Sequence[str], dhcp: str) -> None:
    four = [address for address in found if ":" not in address]
    if len(four) > 1 or len(found) - len(four) > 1:
        raise UsageError(
            f"{text!r} has two addresses of one kind", hint="one IPv4 and one IPv6 address at most"
        )
    if dhcp == "yes" and four:
        raise UsageError(f"{text!r} wants DHCP and an IPv4 address as well", hint="leave one of them out")


def recall(word: str) -> ZoneLink:
    """From `NAME[|dhcp=…][|address=…]`."""
    fixed, how = taken_from(word)
    four, six = (next((one for one in how.addresses if (":" in one) == want), "") for want in (False, True))
    return ZoneLink(fixed[0], how.by_dhcp, four, six)


def names(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(recall(word).name for word in words)


# -- looking -------------------------------------------------------------------------------------------------


def awaited(zone: str, things: Furniture) -> list[Step]:
    """The step that looks, for a zone with these links that is up; none if none of them uses DHCP."""
    if not things.by_dhcp:
        return []
    return [
        AwaitAddresses(zone, things.by_dhcp, tuple(one for one in things.by_dhcp if one in things.secluded))
    ]


@dataclass(frozen=True)
class AwaitAddresses(Step):
    """Look whether a zone that is up has got its addresses by DHCP, all links side by side, and warn if not.

    illumos says nothing of it: its boot goes on, and `ipadm create-addr` ends with 0 when the time is over. On an
    etherstub hardly anybody answers, so nobody waits there.
    """

    zone: str
    links: tuple[str, ...]
    secluded: tuple[str, ...]  # those of them that lie over an etherstub

    def __str__(self) -> str:
        return f"look for the addresses of {self.zone}"

    def do(self, host: Host) -> None:
        """Nothing to change: dhcpagent goes on trying, whatever comes of it here."""

    def prove(self, host: Host) -> None:
        try:
            missing = self._missing(host)
        except (CommandError, ZonemgrError) as failed:
            warn(f"{self.zone}: could not look for the addresses of {', '.join(self.links)}: {failed}")
            return
        for link in missing:
            warn(f"{self.zone}: {''.join(self._said(link))}")

    def _missing(self, host: Host) -> list[str]:
        """The links without an address when there is nothing left to wait for, or no time."""
        passed, naps = 0.0, iter(_NAPS)
        while True:
            asked, found = ipadm.leases(host, ZoneName(self.zone))
            missing = [link for link in self.links if link not in found]
            passed += asked
            if passed >= PATIENCE or not set(missing) - set(self.secluded):
                return missing
            nap = next(naps, _NAPS[-1])
            host.pause(nap)
            passed += nap

    def _said(self, link: str) -> Iterator[str]:
        if link in self.secluded:
            yield f"{link} has no address yet: it lies over an etherstub, where DHCP is answered only if a zone does. "
        else:
            yield f"no DHCP server has answered on {link} in {PATIENCE:g} seconds; the zone goes on asking. "
        yield "If none ever will: --add-vnic-over 'LINK|dhcp=no', or 'LINK|address=ADDRESS/LENGTH'"
