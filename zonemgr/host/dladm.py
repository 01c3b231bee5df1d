"""dladm: the host's data links, and VNICs for zones.

See docs/illumos.md: Links and addresses. VNICs are temporary (-t): gone after a host reboot, made again at boot from
the zone's attr.
"""

from __future__ import annotations

import re

from zonemgr.errors import AlreadyThere, CommandError, NotThere, UsageError, ZonemgrError
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Host
from zonemgr.model import LeftOver, LinkName, LinkRow, VnicRow

# A link may stay busy for a while after its zone has halted; nothing tells when it is free (docs/illumos.md: Links
# and addresses).
BUSY_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
PRIVILEGE_HINT = "this needs the profile Network Link Security or Network Management; see: profiles"


def links(host: Host) -> list[LinkRow]:
    """All data links of the global zone's view, in dladm's order."""
    found = host.ask("dladm", "show-link", "-p", "-o", "link,class,over").stdout
    return [LinkRow(*fields) for fields in parse(found, 3)]


def persistent_links(host: Host) -> set[str]:
    """Names of the links that a reboot of the host leaves; temporary ones are not among them."""
    found = host.ask("dladm", "show-link", "-P", "-p", "-o", "link").stdout
    return {line.strip() for line in found.splitlines() if line.strip()}


def vnics(host: Host) -> list[VnicRow]:
    """All VNICs with what they lie on; MAC octets are without leading zeros, vlan 0 is none."""
    found = host.ask("dladm", "show-vnic", "-p", "-o", "link,over,macaddress,vid").stdout
    return [VnicRow(name, over, mac, int(vid or 0)) for name, over, mac, vid in parse(found, 4)]


def exists(host: Host, name: str) -> bool:
    found = host.ask("dladm", "show-link", "-p", "-o", "link", name, ok=(0, 1))
    if found.exit_code == 0:
        return bool(found.stdout.strip())
    if re.search(r"object not found|invalid link name", found.stderr):
        return False
    raise found.error()


def create_vnic(
    host: Host, name: LinkName, *, over: str, vlan: int | None = None, mac: str | None = None
) -> None:
    """A temporary VNIC over a physical link, aggregation or etherstub.

    Raises AlreadyThere when a link of that name exists, NotThere for an unknown `over`.
    """
    if vlan is not None and not 1 <= vlan <= 4094:
        raise UsageError(f"{vlan} is not a VLAN", hint="1 to 4094")
    if mac is not None and not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", mac):
        raise UsageError(f"{mac!r} is not a MAC address", hint="six octets: 2:8:20:a:b:c")
    options = (*(("-v", str(vlan)) if vlan is not None else ()), *(("-m", mac) if mac is not None else ()))
    try:
        host.change("dladm", "create-vnic", "-t", "-l", over, *options, name)
    except CommandError as failed:
        raise _explained(failed, name, over) from failed


def delete_vnic(host: Host, name: str) -> LeftOver | None:
    """Delete a temporary VNIC, waiting a little while it is busy; what is left of it, or None when it is
    gone.
    """
    for seconds in (*BUSY_PAUSES, None):
        done = host.change("dladm", "delete-vnic", "-t", name, ok=(0, 1))
        if done.exit_code == 0 or _absent(done.stderr):
            return None
        if "link busy" not in done.stderr:
            raise done.error(PRIVILEGE_HINT if "permission denied" in done.stderr else None)
        if seconds is not None:
            host.pause(seconds)
    return LeftOver(f"VNIC {name}", "it stays busy", hint=f"dladm delete-vnic -t {name}")


def _absent(stderr: str) -> bool:
    return bool(re.search(r"invalid (link|vnic) name|object not found", stderr))


def _explained(failed: CommandError, name: str, over: str) -> Exception:
    text = failed.stderr
    if "object already exists" in text:
        return AlreadyThere(f"there is a link {name} already", hint="see: dladm show-link")
    if f"invalid link name '{over}'" in text:
        return NotThere(f"there is no link {over}", hint="see: dladm show-link")
    if "permission denied" in text:
        failed.hint = PRIVILEGE_HINT
    elif "MAC address is already in use" in text:
        failed.hint = "another link has that address; see: dladm show-vnic"
    return failed


def parse(text: str, columns: int) -> list[list[str]]:
    """Fields of `-p -o a,b`: joined with `:`; a `:` or backslash inside one has a backslash before it."""
    rows = [_fields(line) for line in lines_of(text)]
    for row in rows:
        if len(row) != columns:
            raise ZonemgrError(f"dladm gave {len(row)} fields instead of {columns}: {':'.join(row)}")
    return rows


def _fields(line: str) -> list[str]:
    fields, letters = [""], iter(line)
    for letter in letters:
        if letter == ":":
            fields.append("")
        else:
            fields[-1] += next(letters, "") if letter == "\\" else letter
    return fields
