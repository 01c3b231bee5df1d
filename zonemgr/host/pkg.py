"""pkg: packages and publishers of the host, of a zone's root seen from outside, or of a running zone.

Facts sheet 9. Exit 4 means that there was nothing to do; 7 that another client holds the image, which passes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zonemgr.errors import CommandError
from zonemgr.host import zlogin
from zonemgr.host.door import Completed, Host
from zonemgr.model import PackageRow, Publisher, ZoneName

NOTHING_TO_DO, LOCKED = 4, 7
# Seconds between two tries on a locked image; two minutes in all, longer than a refresh by cron.
LOCK_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 40.0)
PRIVILEGE_HINT = "this needs the profile Software Installation; see: profiles"


@dataclass(frozen=True)
class Image:
    """Where pkg works: the host itself, a root directory (`-R`, it must be mounted), or inside a running
    zone.
    """

    root: str = ""
    zone: ZoneName | None = None


HOST_IMAGE = Image()


def install(
    host: Host, image: Image, *packages: str, accept: bool = True, limit: float | None = None
) -> bool:
    """Install packages, accepting licences unless told not to; False when they were all there already."""
    return _change(host, image, "install", *(["--accept"] if accept else []), *packages, limit=limit)


def uninstall(host: Host, image: Image, *packages: str, limit: float | None = None) -> bool:
    return _change(host, image, "uninstall", *packages, limit=limit)


def refresh(host: Host, image: Image, *, full: bool = False, limit: float | None = None) -> None:
    """Fetch the publishers' catalogues."""
    _change(host, image, "refresh", *(["--full"] if full else []), limit=limit)


def set_publisher(host: Host, image: Image, name: str, *origins: str) -> bool:
    """Make these the only origins of a publisher; False when they were already."""
    uris = [word for uri in origins for word in ("-g", uri)]
    return _change(host, image, "set-publisher", "-G", "*", *uris, name)


def installed(host: Host, image: Image, *patterns: str) -> list[PackageRow]:
    """Installed packages that match; none is no error."""
    found = _ask(host, image, "list", "-H", *patterns, ok=(0, 1))
    if found.exit_code and not re.search(r"[Nn]o packages", found.stderr):
        raise found.error()
    record = re.compile(r"(\S+)(?: \(([^)]*)\))?\s+(\S+)\s+(\S+)")
    rows = map(record.fullmatch, _lines(found.stdout))
    return [PackageRow(row[1], row[3], row[2] or "", row[4]) for row in rows if row]


def publishers(host: Host, image: Image) -> list[Publisher]:
    """Publishers in order of rank, with their origins (mirrors are left out)."""
    found: dict[str, Publisher] = {}
    for line in _lines(_ask(host, image, "publisher", "-H", "-F", "tsv").stdout):
        name, sticky, _, enabled, kind, _, uri, *_ = [*line.split("\t"), "", "", "", ""]
        before = found.get(name, Publisher(name))
        origins = (*before.origins, uri) if kind == "origin" and uri not in ("", "-") else before.origins
        found[name] = Publisher(name, origins, sticky == "true", enabled == "true")
    return list(found.values())


def _ask(host: Host, image: Image, *words: str, ok: tuple[int, ...] = (0,)) -> Completed:
    if image.zone is not None:
        return zlogin.ask(host, image.zone, "pkg", *words, ok=ok)
    return host.ask("pkg", *_where(image), *words, ok=ok)


def _change(host: Host, image: Image, *words: str, limit: float | None = None) -> bool:
    """False when there was nothing to do. Waits for a locked image; raises CommandError with what pkg said."""
    for seconds in (*LOCK_PAUSES, None):
        done = _once(host, image, words, limit)
        if done.exit_code != LOCKED:
            break
        if seconds is not None:
            host.pause(seconds)
    if done.exit_code not in (0, NOTHING_TO_DO):
        raise _explained(done)
    return done.exit_code == 0


def _once(host: Host, image: Image, words: Sequence[str], limit: float | None) -> Completed:
    if image.zone is not None:
        return zlogin.change(host, image.zone, "pkg", *words, ok=tuple(range(256)), limit=limit)
    return host.change("pkg", *_where(image), *words, ok=range(256), limit=limit)


def _where(image: Image) -> tuple[str, ...]:
    return ("-R", image.root) if image.root else ()


def _explained(done: Completed) -> CommandError:
    hints = {
        LOCKED: "another pkg works on this image; try again when it has ended",
        6: "the package has a licence that must be accepted",
        5: "this cannot be done on a live image",
    }
    privilege = PRIVILEGE_HINT if re.search(r"[Pp]ermission|privilege", done.stderr) else None
    return done.error(hints.get(done.exit_code, privilege))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
