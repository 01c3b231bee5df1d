"""Streams of zfs and the files they go to, handled on the host by commands of its own.

Nothing of a stream passes through zonemgr: the host's shell connects `zfs send` with a file or with `zfs receive`, so
that it is as fast as the host, needs no memory here, and is the same through a door to another machine. The
elevation command stands inside, before zfs, as pfexec raises the one command it is given and not what that starts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from zonemgr.errors import NotThere, ZonemgrError
from zonemgr.host.door import Host
from zonemgr.model import Dataset, Snapshot

BLOCK = 65536  # bytes of a file's head, and of every dd


def start(host: Host, path: str) -> None:
    """A new file of one empty block that nobody else may read: it will hold a zone's /etc/shadow."""
    host.change("dd", "if=/dev/zero", f"of={path}", f"bs={BLOCK}", "count=1")
    host.change("chmod", "600", path)


def send_to_file(host: Host, snapshot: Snapshot, path: str, *, limit: float) -> None:
    """Append a full stream of one snapshot, without properties."""
    _shell(host, f"{_elevated(host, 'zfs', 'send', str(snapshot))} >> {shlex.quote(path)}", limit=limit)


def append_zeros(host: Host, path: str, count: int) -> None:
    _shell(host, f"dd if=/dev/zero bs={count} count=1 >> {shlex.quote(path)}")


def write_head(host: Host, path: str, text: str) -> None:
    """Put this text, at most a block, over the beginning of a file."""
    # No secret, but nothing for a log either.
    host.change("dd", f"of={path}", f"bs={BLOCK}", "conv=notrunc", stdin=text, secret=True)


def rename(host: Host, path: str, target: str) -> None:
    host.change("mv", path, target)


def remove(host: Host, path: str) -> None:
    """One that is not there is no error."""
    host.change("rm", "-f", path)


def receive_file(
    host: Host, path: str, target: Dataset, properties: Mapping[str, str], *, skip: int = 0, limit: float
) -> None:
    """Make a dataset of the stream in a file, behind so many blocks; what follows the stream is not read.

    It is not mounted.
    """
    reading = shlex.join(["dd", f"if={path}", f"bs={BLOCK}", f"skip={skip}"])
    _shell(host, f"{reading} | {_receive(host, target, properties)}", limit=limit)


def copy(
    host: Host, snapshot: Snapshot, target: Dataset, properties: Mapping[str, str], *, limit: float
) -> None:
    """Make a dataset of its own of a snapshot, in whatever pool; it is not mounted."""
    sending = _elevated(host, "zfs", "send", str(snapshot))
    _shell(host, f"{sending} | {_receive(host, target, properties)}", limit=limit)


def head(host: Host, path: str) -> str:
    """The first block of a file, as bytes below 256 or lone surrogates; raises NotThere when there is no such file."""
    found = host.ask("dd", f"if={path}", f"bs={BLOCK}", "count=1", ok=(0, 1, 2), elevated=True)
    if found.exit_code == 0:
        return found.stdout
    if "No such file" in found.stderr:
        raise NotThere(f"there is no file {path}", hint=f"see: ls -l {path}")
    raise found.error()


def size(host: Host, path: str) -> int:
    words = host.ask("sh", "-c", f"wc -c < {shlex.quote(path)}", elevated=True).stdout.split()
    if len(words) != 1 or not words[0].isdigit():
        raise ZonemgrError(f"wc does not tell the size of {path}", hint=f"see: ls -l {path}")
    return int(words[0])


def digest(host: Host, path: str, *, skip: int, limit: float) -> str:
    """The SHA-256 of what is behind so many blocks, in hex."""
    reading = shlex.join(["dd", f"if={path}", f"bs={BLOCK}", f"skip={skip}"])
    words = host.ask("sh", "-c", f"{reading} | digest -a sha256", elevated=True, limit=limit).stdout.split()
    if len(words) != 1 or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise ZonemgrError(f"digest does not tell the checksum of {path}", hint="see: digest -l")
    return words[0]


def _receive(host: Host, target: Dataset, properties: Mapping[str, str]) -> str:
    pairs: Sequence[str] = [word for name, value in properties.items() for word in ("-o", f"{name}={value}")]
    # Not mounted: a stream may bring properties, and file systems below, with mount points of its own.
    return _elevated(host, "zfs", "receive", "-u", *pairs, str(target))


def _elevated(host: Host, *words: str) -> str:
    return shlex.join([*host.elevate, *words])


def _shell(host: Host, script: str, *, limit: float | None = None) -> None:
    host.change("sh", "-c", script, limit=limit)
