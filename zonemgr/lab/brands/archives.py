"""Archives of zone roots as the brand scripts take them: tar, cpio and flash archives, plain or compressed.

Which kind a file is of is what file(1) of illumos says; what is unpacked how is in lib/brand/shared common.ksh.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

# What is left out of a cpio, pax or flash archive: a directory with all in it, and below these only what is in them.
LEFT_OUT = ("devices",)
CONTENT_LEFT_OUT = ("dev", "devices", "proc", "tmp", "var/run", "system/contract", "system/object")
STREAM = b"LABZFS1\n"  # how a send stream of the lab begins (see zfs.stream)
# Magic number of a real stream's first record, in either byte order (DMU_BACKUP_MAGIC, sys/zfs_ioctl.h).
REAL_STREAM = (b"\xac\xcb\xba\xf5\2\0\0\0", b"\0\0\0\2\xf5\xba\xcb\xac")
CPIO = {b"070701": "cpio", b"070702": "cpio", b"070707": "cpio"}


class Unreadable(Exception):
    """Not an archive, or a broken one."""


@dataclass(frozen=True)
class Entry:
    """One file of an archive."""

    name: str
    mode: int
    uid: int
    gid: int
    mtime: float
    data: bytes = b""
    target: str = ""  # of a symbolic link
    same_as: str = ""  # of a hard link: the name that has the data


def kind(head: bytes) -> str:
    """tar, pax, cpio, gzip, bzip2, flar, zfs, ufsdump; empty: anything else (xz among it)."""
    if head[257:262] == b"ustar":
        return "pax" if head[156:157] == b"X" else "tar"
    if head[:6] in CPIO:
        return "cpio"
    if head[8:16] in REAL_STREAM:
        return "zfs"
    for magic, name in (
        (b"\037\213", "gzip"),
        (b"BZh", "bzip2"),
        (b"FlAsH-aRcHiVe", "flar"),
        (STREAM, "zfs"),
    ):
        if head.startswith(magic):
            return name
    return ""


def uncompressed(data: bytes, how: str) -> bytes:
    """Raises Unreadable."""
    try:
        return gzip.decompress(data) if how == "gzip" else bz2.decompress(data) if how == "bzip2" else data
    except (OSError, EOFError, ValueError):
        raise Unreadable(f"{how}: not in {how} format") from None


def seed(data: bytes) -> bytes:
    """What is in a seed file of the brand illumos: a tar file or a stream; raises Unreadable with its type."""
    import lzma

    if data.startswith(b"\xfd7zXZ\0"):
        try:
            data = lzma.decompress(data)
        except lzma.LZMAError:
            raise Unreadable("XZ compressed data") from None
    else:
        data = uncompressed(data, kind(data[:512]))
    if kind(data[:512]) not in ("tar", "pax", "zfs"):
        raise Unreadable("data" if data else "empty")
    return data


def entries(data: bytes) -> Iterator[Entry]:
    """What is in a tar or cpio archive; cpio(1) reads both. Raises Unreadable."""
    if data[:6] in CPIO:
        return _cpio(data)
    return _tar(data)


# -- tar -------------------------------------------------------------------------------------------------------


def _tar(data: bytes) -> Iterator[Entry]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                yield _member(tar, member)
    except tarfile.TarError as trouble:
        raise Unreadable(str(trouble)) from None


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kinds = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO,
             tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}  # fmt: skip
    file = tar.extractfile(member) if member.isreg() else None
    return Entry(
        member.name,
        kinds.get(member.type, stat.S_IFREG) | member.mode,
        member.uid,
        member.gid,
        float(member.mtime),
        file.read() if file is not None else b"",
        member.linkname if member.issym() else "",
        member.linkname if member.islnk() else "",
    )


# -- cpio ------------------------------------------------------------------------------------------------------


def _cpio(data: bytes) -> Iterator[Entry]:
    source = cast(BinaryIO, io.BytesIO(data))
    inodes: dict[tuple[int, int], Entry] = {}
    while True:
        magic = source.read(6)
        if magic not in CPIO:
            raise Unreadable("Bad magic number/header.")
        numbers, name_size, size = _header(source, new=magic != b"070707")
        name = _name(source, name_size, new=magic != b"070707")
        if name == "TRAILER!!!":
            return
        body = _body(source, size, new=magic != b"070707")
        yield _linked(inodes, numbers, name, body)


Numbers = tuple[int, int, int, int, int, float, int]  # dev, ino, mode, uid, gid, mtime, nlink


def _header(source: BinaryIO, *, new: bool) -> tuple[Numbers, int, int]:
    try:
        if new:
            f = [int(source.read(8), 16) for _ in range(13)]
            return (f[7] << 32 | f[8], f[0], f[1], f[2], f[3], float(f[5]), f[4]), f[11], f[6]
        g = [int(source.read(width), 8) for width in (6, 6, 6, 6, 6, 6, 6, 11, 6, 11)]
    except ValueError:
        raise Unreadable("Corrupt header, file(s) may be lost.") from None
    return (g[0], g[1], g[2], g[3], g[4], float(g[7]), g[5]), g[8], g[9]


def _name(source: BinaryIO, size: int, *, new: bool) -> str:
    text = source.read(size)[:-1].decode("utf-8", "surrogateescape")
    if new:
        source.read(-(110 + size) % 4)
    return text


def _body(source: BinaryIO, size: int, *, new: bool) -> bytes:
    body = source.read(size)
    if len(body) < size:
        raise Unreadable("Can't read input:  end of file encountered prior to expected end of archive.")
    if new:
        source.read(-size % 4)
    return body


def _linked(inodes: dict[tuple[int, int], Entry], numbers: Numbers, name: str, body: bytes) -> Entry:
    dev, ino, mode, uid, gid, mtime, links = numbers
    if stat.S_ISLNK(mode):
        return Entry(name, mode, uid, gid, mtime, target=body.decode("utf-8", "surrogateescape"))
    first = inodes.get((dev, ino)) if links > 1 and stat.S_ISREG(mode) else None
    if first is not None and not body:
        return Entry(name, mode, uid, gid, mtime, same_as=first.name)
    made = Entry(name, mode, uid, gid, mtime, body)
    if links > 1 and stat.S_ISREG(mode) and body:
        inodes[dev, ino] = made
    return made


# -- flash archives --------------------------------------------------------------------------------------------


def flash(data: bytes) -> bytes:
    """The cpio archive in a flash archive. Raises Unreadable with what the script says of it."""
    source = io.BytesIO(data)
    if not source.readline().startswith(b"FlAsH-aRcHiVe-"):
        raise Unreadable("Input is not a flash archive")
    identification: dict[str, str] = {}
    while True:
        line = source.readline().decode("utf-8", "replace").rstrip("\n")
        if not line.startswith("section_begin="):
            raise Unreadable("Flash archive is a corrupt")
        section = line.partition("=")[2]
        if section == "archive":
            break
        told = _section(source, section)
        identification = told if section == "identification" else identification
    return _flash_content(source.read(), identification)


def _section(source: io.BytesIO, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    while raw := source.readline():
        line = raw.decode("utf-8", "replace").rstrip("\n")
        if line.startswith("section_begin="):
            break
        if line == f"section_end={name}":
            return found
        key, _, value = line.partition("=")
        found[key] = value
    raise Unreadable("Flash archive is a corrupt")


def _flash_content(data: bytes, identification: dict[str, str]) -> bytes:
    if "rootpool" in identification:
        raise Unreadable(
            "Flash archive contains a ZFS send stream.\n\tRecreate the flar using the -L option with cpio or pax."
        )
    archiver = identification.get("files_archived_method", "")
    if archiver not in ("", "cpio", "pax"):
        raise Unreadable(f"Archiver {archiver} is not supported")
    if identification.get("files_compressed_method") == "compress":
        raise Unreadable("lab: a flash archive made with compress is not emulated")
    return data


# -- unpacking -------------------------------------------------------------------------------------------------


def base(names: list[str]) -> str:
    """Where an archive was made: `*zoneroot*`, `*zonepath*`, or the name of its one directory (get_archive_base).

    Raises Unreadable for absolute names.
    """
    tops = set()
    for name in names:
        if name.startswith("/"):
            raise Unreadable("Error: archive contains absolute paths instead of relative paths.")
        parts = name.split("/")
        tops.add(parts[0] if parts[0] != "." else (parts[1] if len(parts) > 1 else ""))
    if len(tops) == 1:
        return "*zonepath*" if "root" in tops else next(iter(tops))
    inside = "root" in tops and not tops & {"bin", "etc", "var"}
    return "*zonepath*" if inside else "*zoneroot*"


def left_out(name: str) -> bool:
    bare = name.removeprefix("./").rstrip("/")
    return bare in LEFT_OUT or any(bare.startswith(f"{each}/") for each in CONTENT_LEFT_OUT)


def unpack(found: list[Entry], target: Path, *, filtered: bool) -> None:
    """Into a directory; device nodes are removed afterwards by the script, so they are not made here."""
    top = os.path.realpath(target)
    late: list[tuple[Path, Entry]] = []
    for entry in found:
        name = entry.name.strip("/").removeprefix("./")
        if (filtered and left_out(name)) or stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
            continue
        path = Path(top) if name in ("", ".") else Path(top, name)
        if ".." in name.split("/") or not _below(path, top):
            raise Unreadable(f"lab: an archive that leads out of the zone ({entry.name}) is not emulated")
        _put(path, entry, Path(top))
        late.append((path, entry))
    for path, entry in reversed(late):  # directories last: writing into them changes their times
        _dress(path, entry)


def _below(path: Path, top: str) -> bool:
    real = os.path.realpath(path.parent) if str(path) != top else top
    return os.path.commonpath([top, real]) == top


def _put(path: Path, entry: Entry, top: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(entry.mode):
        path.mkdir(exist_ok=True)
        return
    if os.path.lexists(path):
        path.unlink()
    if stat.S_ISLNK(entry.mode):
        path.symlink_to(entry.target)
    elif stat.S_ISFIFO(entry.mode):
        os.mkfifo(path)
    elif entry.same_as:
        os.link(top / entry.same_as.removeprefix("./"), path)
    else:
        path.write_bytes(entry.data)


def _dress(path: Path, entry: Entry) -> None:
    with contextlib.suppress(PermissionError):
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if not stat.S_ISLNK(entry.mode):
        path.chmod(stat.S_IMODE(entry.mode))
    os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)
