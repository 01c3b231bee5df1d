"""ipadm, asked in a running zone: which links have got an address by DHCP."""

from __future__ import annotations

from zonemgr.host import dladm, zlogin
from zonemgr.host.door import Host
from zonemgr.model import ZoneName


def leases(host: Host, zone: ZoneName) -> tuple[float, dict[str, str]]:
    """The seconds it took to ask, and the address of each link of a running zone that has got one by DHCP.

    While nobody has answered, the address of an object of type dhcp is `?` (illumos-gate, ipadm.c: print_sa_cb); its
    state says nothing. An object that ifconfig made at boot is called `LINK/?`.
    """
    asked = zlogin.ask(host, zone, "/usr/sbin/ipadm", "show-addr", "-p", "-o", "addrobj,type,addr")
    rows = dladm.parse(asked.stdout, 3)
    found = {name.partition("/")[0]: address for name, kind, address in rows if kind == "dhcp"}
    return asked.seconds, {link: address for link, address in found.items() if address[:1] not in ("", "?")}
