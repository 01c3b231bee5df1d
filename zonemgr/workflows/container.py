"""The file that `export` writes and `import` reads: a tar archive of two members, manifest.json and root.zfs.

Its first block of 64 KiB holds the manifest, with tar's headers for both; the stream follows, so any illumos host can
do without zonemgr: `dd if=FILE bs=65536 skip=1 | zfs receive DATASET`, or `tar xf FILE`. The stream is written first,
its size and checksum are put before it afterwards, and so it is read and written once, whatever its size.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from zonemgr.errors import ZonemgrError
from zonemgr.host.streams import BLOCK

FORMAT = 1
MANIFEST, STREAM = "manifest.json", "root.zfs"
_TAR = tarfile.BLOCKSIZE
_ROOM = BLOCK - _TAR - 3 * _TAR  # for the manifest: its header before it, behind it those of the stream


def padding(size: int) -> int:
    """How many zeros follow a stream of so many bytes: to a full block of tar, and its end of two empty ones."""
    return -size % _TAR + 2 * _TAR


def head(manifest: dict[str, Any]) -> str:
    """The first block, as text of characters below 128. `manifest` has the stream's `size`."""
    plain = json.dumps(manifest, sort_keys=True)
    told = json.dumps({"manifest": manifest, "sha256": _sum(plain)}, sort_keys=True, indent=1)
    if len(told) >= _ROOM:
        raise ZonemgrError(
            "the manifest is too long for an archive", hint="export an image with fewer packages"
        )
    first = _header(MANIFEST, _ROOM)
    # Always with an extended header, so that it is as long for a stream of any size.
    second = _header(STREAM, int(manifest["size"]), extended=True)
    return (first + told.encode().ljust(_ROOM, b"\n") + second).decode("ascii")


def _header(name: str, size: int, *, extended: bool = False) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    if extended:
        member.pax_headers = {"comment": "a ZFS stream"}
    return member.tobuf(tarfile.PAX_FORMAT if extended else tarfile.USTAR_FORMAT, "utf-8", "strict")


def read(block: str, path: str) -> dict[str, Any] | None:
    """The manifest of a file with this first block; None when zonemgr did not write it.

    Raises ZonemgrError for one that is damaged, or of another version.
    """
    data = block.encode("utf-8", "surrogateescape")
    if not data.startswith(MANIFEST.encode() + b"\0"):
        return None
    hint = "copy it anew from the host it was exported on"
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            text = archive.extractfile(archive.next() or MANIFEST)
            told = json.loads(text.read() if text else b"")
        manifest = dict(told["manifest"])
        sound = told["sha256"] == _sum(json.dumps(manifest, sort_keys=True))
    except (tarfile.TarError, ValueError, KeyError, TypeError) as damaged:
        raise ZonemgrError(f"the manifest of {path} cannot be read: {damaged}", hint=hint) from damaged
    if not sound:
        raise ZonemgrError(f"the manifest of {path} is damaged: its checksum is another", hint=hint)
    if manifest.get("format") != FORMAT:
        raise ZonemgrError(
            f"{path} is an archive of format {manifest.get('format')}, and format {FORMAT} is known here",
            hint="import it with the version of zonemgr that wrote it",
        )
    return manifest


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
