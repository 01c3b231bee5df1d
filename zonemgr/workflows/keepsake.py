"""A zone's configuration, and which datasets it had, kept with its snapshots as ZFS user properties.

A property holds at most 8191 bytes and must not have a newline in it, so a text is compressed, put into base64 and cut
into pieces. `zonemgr:config` says how many there are of the text of `zonecfg export`, and what that hashes to;
`zonemgr:covers` the same of the datasets' names.

It is read from the snapshot of the zonepath dataset alone. The brand hands ROOT to the zone (its `query` hook), so root
in the zone can write what it likes on the snapshots of its own roots; the zonepath dataset it sees but cannot change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import weakref
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from zonemgr.errors import NotThere, ZonemgrError
from zonemgr.host import system, zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset

HEAD, COVERS = "zonemgr:config", "zonemgr:covers"
JOB, USER = "zonemgr:job", "zonemgr:user"
# The jobs that take snapshots of their own, by the names these have.
JOBS = {"initial-": "create-giz", "upgraded-": "upgrade-giz"}
LONGEST = 8000
LARGEST = 4 << 20  # bytes of a configuration; far beyond what zonecfg could read


def properties(text: str, head: str = HEAD) -> dict[str, str]:
    """The ZFS user properties that hold a text: `head`, and one for each piece."""
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    pieces = [packed[at : at + LONGEST] for at in range(0, len(packed), LONGEST)]
    named = {f"{head}.{number}": piece for number, piece in enumerate(pieces)}
    return {head: f"zlib {len(pieces)} {_digest(text)}", **named}


def text_of(found: Mapping[str, str], where: str, head: str = HEAD) -> str | None:
    """The text that these properties hold, None if they hold none; raises ZonemgrError for damaged ones."""
    if head not in found:
        return None
    try:
        way, count, digest = found[head].split()
        packed = "".join(found[f"{head}.{number}"] for number in range(int(count)))
        unpacked = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), LARGEST)
        text = unpacked.decode()
    except (ValueError, KeyError, zlib.error, binascii.Error) as damage:
        raise _damaged(where, head) from damage
    if way != "zlib" or digest != _digest(text):
        raise _damaged(where, head)
    return text


def read(host: Host, home: Dataset, name: str) -> str | None:
    """What `zonecfg export` said when this snapshot of a zone was taken; None for one without a memory of it."""
    try:
        found = zfs.local_properties(host, home.at(name))
    except NotThere:
        return None
    return text_of(found, str(home.at(name)))


def coverage(names: Sequence[str]) -> dict[str, str]:
    """The ZFS user properties that say which datasets a snapshot of a zone covers."""
    return properties("\n".join(names), COVERS)


def covered(host: Host, home: Dataset, name: str) -> list[str]:
    """The datasets that this snapshot of a zone covered when it was taken; none where that was not written down."""
    try:
        found = zfs.local_properties(host, home.at(name))
    except NotThere:
        return []
    return (text_of(found, str(home.at(name)), COVERS) or "").splitlines()


def maker(host: Host, job: str) -> dict[str, str]:
    """The ZFS user properties that say who took a snapshot, and what for."""
    return {JOB: job, USER: _user(host)}


def job_of(name: str) -> str:
    """What took a snapshot of this name, as far as the name says."""
    if name.startswith("before-"):
        return name.removeprefix("before-").rpartition("-")[0] or "snapshot"
    return next((job for start, job in JOBS.items() if name.startswith(start)), "snapshot")


def _user(host: Host) -> str:
    """Who calls; asked once per host."""
    door = getattr(host, "behind", host)
    if door not in _CALLERS:
        _CALLERS[door] = system.identity(host).name
    return _CALLERS[door]


_CALLERS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _damaged(where: str, head: str) -> ZonemgrError:
    what = "configuration" if head == HEAD else "list of datasets"
    return ZonemgrError(
        f"the {what} kept with {where} is damaged",
        hint=f"see: zfs get all {where}; to return without it: zfs inherit {head} {where}",
    )
