"""pkg: packages and publishers of the host, of a zone's root seen from outside, or of a running zone.

Exit 4 means that there was nothing to do, or that what was asked for is obsolete; with a warning on standard output,
that a repository did not answer and nothing can be known. 7 means that another client holds the image, which passes;
set-publisher says that with 1 and a text (see pkgtext, which reads what pkg says).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import pkgtext, zlogin
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Completed, Host
from zonemgr.host.pkgtext import LOCKED_HINT, SILENT_HINT, Silent
from zonemgr.model import PackageRow, Publisher, ZoneName

PARTLY, NOTHING_TO_DO, NOT_LIVE, LOCKED = 3, 4, 5, 7
# Seconds between two tries on a locked image; two minutes in all, longer than a refresh by cron.
LOCK_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 40.0)
OUTDATED_HINT = (
    "update the host's own pkg first: pkg install pkg:/package/pkg; for a running zone do so in the zone"
)


@dataclass(frozen=True)
class Image:
    """Where pkg works: the host itself, a root directory (`-R`, it must be mounted), or inside a running
    zone.
    """

    root: str = ""
    zone: ZoneName | None = None


HOST_IMAGE = Image()


@dataclass(frozen=True)
class Done:
    """How a change ended, true when something changed. `silent`: publishers some repository of which did not answer."""

    changed: bool
    silent: tuple[Silent, ...] = ()

    def __bool__(self) -> bool:
        return self.changed


def install(
    host: Host, image: Image, *packages: str, accept: bool = True, limit: float | None = None
) -> Done:
    """Install packages, accepting licences unless told not to; false when they were all there already.

    Raises NotThere for one that is obsolete: pkg then installs nothing of it and says nothing, exit 4 or 0.
    """
    words = ("install", *_live(image), *(["--accept"] if accept else []), *packages)
    done = _change(host, image, *words, limit=limit)
    refuse_obsolete(host, image, packages)
    return done


def refuse_obsolete(host: Host, image: Image, packages: Sequence[str]) -> None:
    """Raise NotThere for one of these that is not installed because it is obsolete; a dry run has nothing to see."""
    if host.dry_run:
        return
    missing = _not_installed(host, image, [word.partition("@")[0] for word in packages])
    for word in missing:
        known = _ask(host, image, "list", "-H", "-af", word, ok=range(256))
        flags = [line.split()[-1] for line in lines_of(known.stdout)]
        if flags and all(flag.endswith("o") for flag in flags[:1]):
            raise NotThere(
                f"package {word} is obsolete, so that nothing of it was installed",
                hint=f"leave it out, or name what came after it; see: pkg list -af {word}",
            )


def _not_installed(host: Host, image: Image, patterns: Sequence[str]) -> list[str]:
    """Those of the patterns that nothing installed matches."""
    if not patterns:
        return []
    found = _ask(host, image, "list", "-H", *patterns, ok=(0, 1, 3))
    if found.exit_code == 1 and not pkgtext.NO_SUCH.search(found.stderr):
        raise found.error()
    words = found.stderr.split() if found.exit_code else []
    return [word for word in patterns if word in words]


def uninstall(
    host: Host, image: Image, *packages: str, ignore_missing: bool = False, limit: float | None = None
) -> Done:
    """Remove packages; one that is not there is an error, unless missing ones are to be ignored."""
    options = ["--ignore-missing"] if ignore_missing else []
    return _change(host, image, "uninstall", *_live(image), *options, *packages, limit=limit)


def update(host: Host, image: Image, *packages: str, accept: bool = True, limit: float | None = None) -> Done:
    """Update these packages, or all; false when nothing newer is to be had.

    Raises ZonemgrError when nothing newer was found and a publisher did not answer, which says nothing.
    """
    words = ("update", *_live(image), *(["--accept"] if accept else []), *packages)
    done = _change(host, image, *words, limit=limit)
    _refuse_guess(done)
    return done


def _refuse_guess(done: Done) -> None:
    dead = [one for one in done.silent if one.dead]
    if dead and not done.changed:
        raise ZonemgrError(f"whether there are updates is not known: {dead[0]}", hint=SILENT_HINT)


@dataclass(frozen=True)
class Plan:
    """What pkg would say to a change: exit status 0, NOTHING_TO_DO or NOT_LIVE."""

    status: int
    silent: tuple[Silent, ...] = ()


def plan(host: Host, image: Image, verb: str, *words: str, limit: float | None = None) -> Plan:
    """Ask pkg without changing anything. Raises CommandError when it refuses, and like `update` does for one."""
    done = _retried(
        host, lambda: _ask(host, image, verb, "-n", *_live(image), *words, ok=range(256), limit=limit)
    )
    if image.zone is not None and pkgtext.OUTDATED.search(done.stdout):
        return Plan(NOT_LIVE)  # from outside it is the host's pkg that counts
    if done.exit_code not in (0, NOTHING_TO_DO, NOT_LIVE):
        raise explained(done, verb, words)
    silent = pkgtext.silent(done.stdout)
    if verb == "install" and done.exit_code == NOTHING_TO_DO:
        refuse_obsolete(host, image, [word for word in words if not word.startswith("-")])
    if verb == "update":
        _refuse_guess(Done(done.exit_code != NOTHING_TO_DO, silent))
    return Plan(done.exit_code, silent)


def until_free(host: Host, image: Image) -> None:
    """Wait for another client that works on this image; raises CommandError when it does not end.

    A pkg whose caller was killed goes on. What is removed here does not exist, so that nothing happens but the lock.
    """
    words = ("uninstall", "--ignore-missing", "zonemgr-has-no-such-package")
    done = _retried(host, lambda: _once(host, image, words, None))
    if in_use(done):
        raise explained(done, *words[:1], words[2:])


def refresh(host: Host, image: Image, *, full: bool = False, limit: float | None = None) -> Done:
    """Fetch the publishers' catalogues.

    pkg exits with 1 or 3 when a repository did not answer. As long as another one of its publisher did, the catalogue
    is there and the trouble only told of; a publisher none of whose repositories answered is a CommandError.
    """
    words = ("refresh", *(["--full"] if full else []))
    done = _retried(host, lambda: _once(host, image, words, limit))
    silent = pkgtext.silent(done.stderr)
    if done.exit_code and (not silent or any(one.dead for one in silent)):
        raise explained(done, "refresh")
    return Done(True, silent)


def set_publisher(host: Host, image: Image, name: str, *origins: str) -> Done:
    """Make these the only origins of a publisher; false when they were already."""
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
) -> Done:
    """Add and remove origins of a publisher; a new one comes last in rank. pkg refuses to add one twice."""
    words = [word for letter, uris in (("-G", remove), ("-g", add)) for uri in uris for word in (letter, uri)]
    return _change(host, image, "set-publisher", *words, name, limit=limit)


def unset_publisher(host: Host, image: Image, *names: str) -> Done:
    return _change(host, image, "unset-publisher", *names)


def installed(host: Host, image: Image, *patterns: str) -> list[PackageRow]:
    """Installed packages that match; none is no error."""
    found = _ask(host, image, "list", "-H", *patterns, ok=(0, 1, 3))  # 3: some of the patterns match
    if found.exit_code == 1 and not pkgtext.NO_SUCH.search(found.stderr):
        raise found.error()
    record = re.compile(r"(\S+)(?: \(([^)]*)\))?\s+(\S+)\s+(\S+)")
    rows = map(record.fullmatch, _lines(found.stdout))
    return [PackageRow(row[1], row[3], row[2] or "", row[4]) for row in rows if row]


def contents(host: Host, image: Image) -> dict[str, str]:
    """All that is installed: name to full FMRI, time of publication included."""
    found = _ask(host, image, "list", "-H", "-v", ok=(0, 1))
    if found.exit_code and not pkgtext.NO_SUCH.search(found.stderr):
        raise found.error()
    fmris = re.findall(r"^(pkg://[^/\s]+/([^@\s]+)\S*)\s", found.stdout, re.MULTILINE)
    return {name: fmri for fmri, name in fmris}


def version(host: Host, image: Image, package: str) -> str:
    """The installed version of one package, as its full FMRI has it; empty when it is not installed."""
    found = _ask(host, image, "list", "-H", "-v", package, ok=(0, 1))
    if found.exit_code and not pkgtext.NO_SUCH.search(found.stderr):
        raise found.error()
    fmris = re.findall(rf"^pkg://[^/\s]+/{re.escape(package)}@(\S+)\s", found.stdout, re.MULTILINE)
    return fmris[0] if fmris else ""


def publishers(host: Host, image: Image, *, enabled: bool = False) -> list[Publisher]:
    """Publishers in order of rank, with the origins in use (mirrors are left out); with `enabled` only those.

    The column ENABLED is that of the origin. A disabled publisher looks like any other, and is left out by `-n` alone
    (pkg5, client.py, publisher_list).
    """
    found: dict[str, Publisher] = {}
    for line in _lines(
        _ask(host, image, "publisher", "-H", *(["-n"] if enabled else []), "-F", "tsv").stdout
    ):
        name, sticky, _, in_use, kind, _, uri, *_ = [*line.split("\t"), "", "", "", ""]
        before = found.get(name, Publisher(name))
        used = kind == "origin" and in_use == "true" and uri not in ("", "-")
        found[name] = Publisher(name, (*before.origins, uri) if used else before.origins, sticky == "true")
    return list(found.values())


def _ask(
    host: Host, image: Image, *words: str, ok: Sequence[int] = (0,), limit: float | None = None
) -> Completed:
    if image.zone is not None:
        return zlogin.ask(host, image.zone, "pkg", *words, ok=tuple(ok), limit=limit)
    # A zonepath is closed to all but root (mode 700), so what lies below it is asked for with elevation.
    return host.ask("pkg", *_where(image), *words, ok=ok, limit=limit, elevated=bool(image.root))


def _change(host: Host, image: Image, verb: str, *words: str, limit: float | None = None) -> Done:
    """Waits for a locked image; raises CommandError with what pkg said."""
    done = _retried(host, lambda: _once(host, image, (verb, *words), limit))
    if done.exit_code not in (0, NOTHING_TO_DO) or pkgtext.NOT_ACTIVATED.search(done.stderr):
        raise explained(done, verb, words)
    return Done(done.exit_code == 0, pkgtext.silent(done.stdout))


def in_use(done: Completed) -> bool:
    """Another client has the image: exit 7, or, from set-publisher, exit 1 with a text."""
    return done.exit_code == LOCKED or (
        done.exit_code != 0 and pkgtext.IN_USE.search(done.stderr) is not None
    )


def _retried(host: Host, once: Callable[[], Completed]) -> Completed:
    """Again while another client has the image, for as long as LOCK_PAUSES says."""
    for seconds in LOCK_PAUSES:
        done = once()
        if not in_use(done):
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


STATUS_HINTS = {
    2: "this host's pkg does not know one of the options; see: pkg help",
    NOT_LIVE: "this cannot be done on a live image; stop the zone first: zonemgr stop -z ZONE",
    6: "accept the licence: pkg install --accept PACKAGE; read it first with: pkg install -n --licenses PACKAGE",
    LOCKED: LOCKED_HINT,
    8: "it was done, but a service did not restart in time; see: svcs -xv, in the zone",
    51: "the image of a linked zone cannot be read; see: pkg list-linked",
    52: "a linked zone has other versions than the host; see: pkg audit-linked -a",
}
# Where the text has no better one.
PARTLY_HINT = "a part of it was done; see what is missing above"


def explained(done: Completed, verb: str = "", words: Sequence[str] = ()) -> CommandError:
    """What a pkg that ended badly said, and what to do about it: packages, publishers and files are named.

    Where pkg's own text has none of the names, those of the command are in the message.
    """
    by_text = OUTDATED_HINT if pkgtext.OUTDATED.search(done.stdout) else pkgtext.hint(done.stderr)
    by_text = by_text or (PARTLY_HINT if done.exit_code == PARTLY else None)
    # In a zone zlogin was run, but it is pkg that failed; the whole command stays as it can be run again.
    failed = replace(done, argv=("pkg",), elevation=0).error(STATUS_HINTS.get(done.exit_code, by_text))
    failed.command, failed.argv = str(done), done.argv[done.elevation :]
    reason = pkgtext.reason(done.stdout, done.stderr) or "it gave no reason"
    asked = _asked(verb, words)
    named = (
        not asked or pkgtext.OUTDATED.search(done.stdout) or any(_bare(word) in reason for word in asked[1:])
    )
    where = [] if named or asked[1:] or "-R" not in done.argv else list(_root(done.argv))
    command = " ".join(["pkg", *where, *([] if named else asked)])
    failed.args = (f"{command} exited with {done.exit_code}: {reason}",)
    return failed


def _root(argv: Sequence[str]) -> Sequence[str]:
    """The option that says which image."""
    position = argv.index("-R")
    return argv[position : position + 2]


def _asked(verb: str, words: Sequence[str]) -> list[str]:
    """What a message repeats of a command: no options, and of a long list the beginning."""
    named = [word for word in words if not word.startswith("-") and word != "*"]
    return [verb, *named[:3], *(["…"] if len(named) > 3 else [])] if verb else []


def _bare(word: str) -> str:
    """A package or an address as pkg may repeat it: without scheme, version and final slash."""
    return re.sub("^pkg:/(/[^/]+/)?", "", word).partition("@")[0].strip("/") or word


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in lines_of(text)]
