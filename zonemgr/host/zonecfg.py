"""zonecfg: writing a zone's configuration so that it is either what was wanted or an error.

See docs/illumos.md: zonecfg. zonecfg has no escapes, exits 0 for several refusals, drops an
unterminated last line, and may die half-way; so a script is checked beforehand (it has to be understood by
`Script` in zonescript.py), sent as a file that ends with verify and commit, and what `export` then says is
compared with what was wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.host.door import Completed, Host
from zonemgr.host.zonescript import Script, parse_export
from zonemgr.model import ZoneName, ZoneSettings

# What zonecfg says when it refuses something and goes on with exit 0 (5.4); {} is any text.
QUIET_REFUSALS = (
    r"already installed; .* not allowed",
    r"not in configured state; delete not allowed",
    r"is not a valid zone rctl name",
    r"resource already exists",
    r"opening file .*:",
    r"invalid path to detached zone",
)


def configure(host: Host, zone: ZoneName, lines: Sequence[str]) -> ZoneSettings:
    """Run these zonecfg commands (one a line, without verify and commit) and return the settings afterwards.

    Raises UsageError, before anything is sent, for what zonecfg would misread; CommandError when zonecfg
    failed (a fresh zone may then be half configured, a changed one unchanged); ZonemgrError when it claims
    success but the settings are not what was wanted. In a dry run the script is only reported.
    """
    script = Script.parse(lines)
    with host.file(script.text) as path:
        done = _change(host, zone, "-f", path)
    if host.dry_run:
        return ZoneSettings()
    refusal = next((line for line in done.stderr.splitlines() if _refused(line)), None)
    if refusal:
        raise ZonemgrError(f"zonecfg did not do all for zone {zone}: {refusal}", hint=hint(refusal, zone))
    settings = export(host, zone)
    missing = script.missing_from(settings)
    if missing:
        raise ZonemgrError(
            f"zone {zone} is not configured as wanted: {'; '.join(missing)}",
            hint=f"see: zonecfg -z {zone} export",
        )
    return settings


def export(host: Host, zone: ZoneName) -> ZoneSettings:
    """A zone's settings. Raises NotThere for an unknown zone. Needs no privilege.

    Values that zonecfg itself cannot print are absent: bootargs, pool and scheduling-class over 255 bytes
    (5.4).
    """
    return parse_export(export_text(host, zone))


def export_text(host: Host, zone: ZoneName) -> str:
    """What `export` prints; not always fit to be sent back as it is (5.7), so go by what `export` makes of it."""
    try:
        return host.ask("zonecfg", "-z", zone, "export").stdout
    except CommandError as failed:
        raise _explained(failed, zone) from failed


def info(host: Host, zone: ZoneName) -> str:
    """The configuration as zonecfg shows it to people."""
    try:
        return host.ask("zonecfg", "-z", zone, "info").stdout
    except CommandError as failed:
        raise _explained(failed, zone) from failed


def delete(host: Host, zone: ZoneName) -> None:
    """Remove the configuration of a zone that is not active; data on disk stays. An unknown zone is no error.

    `delete -F` of a zone with an unreadable configuration exits 1 and deletes it all the same (5.4), so
    after a failure the zone is looked for before it counts.
    """
    try:
        _change(host, zone, "delete -F")
    except NotThere:
        return
    except CommandError as failed:
        if zoneadm.find(host, zone) is not None:
            raise failed


def _change(host: Host, zone: ZoneName, *words: str) -> Completed:
    try:
        return host.change("zonecfg", "-z", zone, *words)
    except CommandError as failed:
        raise _explained(failed, zone) from failed


def _explained(failed: CommandError, zone: str) -> Exception:
    if f"{zone}: No such zone configured" in failed.stderr:
        return NotThere(f"there is no zone {zone}", hint="see: zonemgr list")
    failed.hint = failed.hint or hint(failed.stderr, zone)
    return failed


def _refused(line: str) -> bool:
    return any(re.search(pattern, line) for pattern in QUIET_REFUSALS)


def hint(stderr: str, zone: str) -> str | None:
    """The next thing to try for a failure of zonecfg (5.4, 5.8)."""
    for pattern, text in (
        (r"read-only mode|[Pp]ermission denied", zoneadm.PRIVILEGE_HINT),
        (r"already installed|Zone exists", f"choose another name, or see: zonecfg -z {zone} info"),
        (r"Zone state is invalid", f"zoneadm -z {zone} halt"),
        (r"unknown brand|Invalid document", "is the brand installed? see: ls /usr/lib/brand"),
        (r"No such zone configured", "does the template exist? see: ls /etc/zones"),
        (r"invalid physical interface name", "is ip-type set before the nets? see: dladm show-link"),
    ):
        if re.search(pattern, stderr):
            return text
    return None
