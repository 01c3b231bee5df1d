"""pkg: packages and publishers of the host, of a zone's root seen from outside, or of a running zone.

Facts sheet 9. Exit 4 means that there was nothing to do; 7 that another client holds the image, which passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zonemgr.errors import CommandError
from zonemgr.host import zlogin
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Completed, Host
from zonemgr.model import PackageRow, Publisher, ZoneName

NOTHING_TO_DO, NOT_LIVE, LOCKED = 4, 5, 7
# Seconds between two tries on a locked image; two minutes in all, longer than a refresh by cron.
LOCK_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 40.0)
# `update` of a whole image refuses, in so many words on standard output, while the pkg that runs could itself be
# updated (pkg5, client/api.py and client/image.py). That is the host's for a root below it.
OUTDATED = re.compile(r"pkg\([57]\) appears to be out of date")
OUTDATED_HINT = (
    "update the host's own pkg first: pkg install pkg:/package/pkg; for a running zone do so in the zone"
)
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
    return _change(
        host, image, "install", *_live(image), *(["--accept"] if accept else []), *packages, limit=limit
    )


def uninstall(
    host: Host, image: Image, *packages: str, ignore_missing: bool = False, limit: float | None = None
) -> bool:
    """Remove packages; one that is not there is an error, unless missing ones are to be ignored."""
    options = ["--ignore-missing"] if ignore_missing else []
    return _change(host, image, "uninstall", *_live(image), *options, *packages, limit=limit)


def update(host: Host, image: Image, *packages: str, accept: bool = True, limit: float | None = None) -> bool:
    """Update these packages, or all; False when nothing newer is to be had."""
    return _change(
        host, image, "update", *_live(image), *(["--accept"] if accept else []), *packages, limit=limit
    )


def plan(host: Host, image: Image, verb: str, *words: str, limit: float | None = None) -> int:
    """What pkg would say to this change: 0, NOTHING_TO_DO, or NOT_LIVE; anything else raises CommandError."""
    done = _retried(
        host, lambda: _ask(host, image, verb, "-n", *_live(image), *words, ok=range(256), limit=limit)
    )
    if image.zone is not None and OUTDATED.search(done.stdout):
        return NOT_LIVE  # from outside it is the host's pkg that counts
    if done.exit_code not in (0, NOTHING_TO_DO, NOT_LIVE):
        raise explained(done)
    return done.exit_code


def until_free(host: Host, image: Image) -> None:
    """Wait for another client that works on this image; raises CommandError when it does not end.

    A pkg whose caller was killed goes on. What is removed here does not exist, so that nothing happens but the lock.
    """
    words = ("uninstall", "--ignore-missing", "zonemgr-has-no-such-package")
    done = _retried(host, lambda: _once(host, image, words, None))
    if done.exit_code == LOCKED:
        raise explained(done)


def refresh(host: Host, image: Image, *, full: bool = False, limit: float | None = None) -> None:
    """Fetch the publishers' catalogues."""
    _change(host, image, "refresh", *(["--full"] if full else []), limit=limit)


def set_publisher(host: Host, image: Image, name: str, *origins: str) -> bool:
    """Make these the only origins of a publisher; False when they were already."""
    uris = [word for uri in origins for word in ("-g", uri)]
    return _change(host, image, "set-publisher", "-G", "*", *uris, name)


def change_origins(
    host: Host,
    image: Image,
    name: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    limit: float | None = None,
) -> bool:
    """Add and remove origins of a publisher; a new one comes last in rank. pkg refuses to add one twice."""
    words = [word for letter, uris in (("-G", remove), ("-g", add)) for uri in uris for word in (letter, uri)]
    return _change(host, image, "set-publisher", *words, name, limit=limit)


def unset_publisher(host: Host, image: Image, *names: str) -> bool:
    return _change(host, image, "unset-publisher", *names)


def installed(host: Host, image: Image, *patterns: str) -> list[PackageRow]:
    """Installed packages that match; none is no error."""
    found = _ask(host, image, "list", "-H", *patterns, ok=(0, 1))
    if found.exit_code and not re.search(r"[Nn]o packages", found.stderr):
        raise found.error()
    record = re.compile(r"(\S+)(?: \(([^)]*)\))?\s+(\S+)\s+(\S+)")
    rows = map(record.fullmatch, _lines(found.stdout))
    return [PackageRow(row[1], row[3], row[2] or "", row[4]) for row in rows if row]


def contents(host: Host, image: Image) -> dict[str, str]:
    """All that is installed: name to full FMRI, time of publication included."""
    found = _ask(host, image, "list", "-H", "-v", ok=(0, 1))
    if found.exit_code and not re.search(r"[Nn]o packages", found.stderr):
        raise found.error()
    fmris = re.findall(r"^(pkg://[^/\s]+/([^@\s]+)\S*)\s", found.stdout, re.MULTILINE)
    return {name: fmri for fmri, name in fmris}


def publishers(host: Host, image: Image) -> list[Publisher]:
    """Publishers in order of rank, with their origins (mirrors are left out)."""
    found: dict[str, Publisher] = {}
    for line in _lines(_ask(host, image, "publisher", "-H", "-F", "tsv").stdout):
        name, sticky, _, enabled, kind, _, uri, *_ = [*line.split("\t"), "", "", "", ""]
        before = found.get(name, Publisher(name))
        origins = (*before.origins, uri) if kind == "origin" and uri not in ("", "-") else before.origins
        found[name] = Publisher(name, origins, sticky == "true", enabled == "true")
    return list(found.values())


def _ask(
    host: Host, image: Image, *words: str, ok: Sequence[int] = (0,), limit: float | None = None
) -> Completed:
    if image.zone is not None:
        return zlogin.ask(host, image.zone, "pkg", *words, ok=tuple(ok), limit=limit)
    # A zonepath is closed to all but root (mode 700), so what lies below it is asked for with elevation.
    return host.ask("pkg", *_where(image), *words, ok=ok, limit=limit, elevated=bool(image.root))


def _change(host: Host, image: Image, *words: str, limit: float | None = None) -> bool:
    """False when there was nothing to do. Waits for a locked image; raises CommandError with what pkg said."""
    done = _retried(host, lambda: _once(host, image, words, limit))
    if done.exit_code not in (0, NOTHING_TO_DO):
        raise explained(done)
    return done.exit_code == 0


def _retried(host: Host, once: Callable[[], Completed]) -> Completed:
    """Again while another client has the image, for as long as LOCK_PAUSES says."""
    for seconds in LOCK_PAUSES:
        done = once()
        if done.exit_code != LOCKED:
            return done
        host.pause(seconds)
    return once()


def _once(host: Host, image: Image, words: Sequence[str], limit: float | None) -> Completed:
    if image.zone is not None:
        return zlogin.change(host, image.zone, "pkg", *words, ok=tuple(range(256)), limit=limit)
    return host.change("pkg", *_where(image), *words, ok=range(256), limit=limit)


def _where(image: Image) -> tuple[str, ...]:
    return ("-R", image.root) if image.root else ()


def _live(image: Image) -> tuple[str, ...]:
    """In a running zone: no new boot environment (exit 5 instead), which a zone cloned from another could not
    activate, and no backup one, as there is a snapshot. An image below a root never gets any.
    """
    return ("--deny-new-be", "--no-backup-be") if image.zone is not None else ()


# What pkg's text says to do next, where its exit status says little.
HINTS = (
    (r"[Pp]ermission|privilege", PRIVILEGE_HINT),
    (
        r"did not match any allowable|matches multiple packages|illegal fmri",
        "look for the right name: pkg list -af 'PATTERN'; newer catalogues: zonemgr pkg-refresh -z ZONE",
    ),
    (r"matches no installed", "see what is there: pkg list, in the zone"),
    (
        r"due to the following packages that depend",
        "remove those, too: -P 'PACKAGE ITS-DEPENDENTS'",
    ),
    (
        r"[Nn]o solution was found",
        "what is in the way can be removed first: -P PACKAGE; a linked zone also follows the host's versions",
    ),
    (
        r"[Uu]nable to contact|Framework error|do not appear to point to a valid",
        "see that the repository answers: pkg list -g URI; and look at: pkg publisher",
    ),
    (
        r"[Ll]inked image|superset|different publishers|parent image",
        "a linked zone needs the host's publishers first, in their order; see: pkg publisher, on both",
    ),
    (
        r"[Nn]o space|[Ii]nsufficient (disk )?space",
        "see: zfs list -o space; a quota is changed with: zonemgr modify",
    ),
    (r"No image rooted", "the zone has no package image; see: zonemgr get-state -z ZONE"),
)
STATUS_HINTS = {
    2: "this host's pkg does not know one of the options; see: pkg help",
    3: "a part of it was done; see what is missing above",
    NOT_LIVE: "this cannot be done on a live image; stop the zone first: zonemgr stop -z ZONE",
    6: "the package has a licence that must be accepted",
    LOCKED: "another pkg works on this image; try again when it has ended",
    8: "it was done, but a service did not restart in time; see: svcs -xv, in the zone",
    9: "what is in the way can be removed first: -P PACKAGE; a linked zone also follows the host's versions",
    51: "the image of a linked zone cannot be read; see: pkg list-linked",
    52: "a linked zone has other versions than the host; see: pkg audit-linked -a",
}


def explained(done: Completed) -> CommandError:
    """What a pkg that ended badly said, and what to do about it."""
    by_text = OUTDATED_HINT if OUTDATED.search(done.stdout) else _hint(done.stderr)
    # In a zone zlogin was run, but it is pkg that failed; the whole command stays as it can be run again.
    failed = replace(done, argv=("pkg",), elevation=0).error(STATUS_HINTS.get(done.exit_code, by_text))
    failed.command, failed.argv = str(done), done.argv[done.elevation :]
    reason = "pkg itself is out of date" if OUTDATED.search(done.stdout) else _reason(done.stderr)
    if reason:
        failed.args = (f"pkg exited with {done.exit_code}: {reason}",)
    return failed


def _hint(stderr: str) -> str | None:
    return next((hint for pattern, hint in HINTS if re.search(pattern, stderr)), None)


def _reason(stderr: str) -> str:
    """Where it does not stand on the last line: what nobody has, or which repository does not answer."""
    unmatched = re.search(r"did not match any allowable packages[^\t]*((?:\n?\t\S+)+)", stderr)
    if unmatched:
        return f"no package matches {', '.join(unmatched[1].split())}"
    silent = re.search(
        r"^.*(do not appear to point to a valid|[Uu]nable to contact).*$", stderr, re.MULTILINE
    )
    if silent:
        return f"{silent[0].strip()} {lines_of(stderr)[-1].strip()}"
    return ""


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in lines_of(text)]
