"""pkgsend(1): publish packages from manifests into repositories in files."""

from __future__ import annotations

import gzip
import posixpath
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from zonemgr.lab.pkg import actions, depot, fmri, pkgrepo
from zonemgr.lab.pkg.actions import Action
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.depot import Depot
from zonemgr.lab.pkg.pkgrepo import Refused

if TYPE_CHECKING:
    from zonemgr.lab.call import Call

OK, OOPS, BAD_OPTION = 0, 1, 2
USAGE = """Usage:
        pkgsend -s repo_uri publish [-b bundle ...] [-d source ...] [-T pattern] [--fmri-in-manifest]
            [--no-catalog] [manifest ...]
        pkgsend generate [-T pattern] source ...
        pkgsend version
"""
NOT_EMULATED = ("open", "add", "import", "include", "close", "generate", "refresh-index", "create-repository")


class _Source:
    """Where `file` and `license` actions find their contents, first in the first directory."""

    def __init__(self, call: Call, directories: Sequence[str]) -> None:
        self.roots = [pkgrepo.place_of(call, each) for each in directories or ["."]]

    def read(self, name: str) -> bytes:
        for root in self.roots:
            path = root / name
            if path.is_file():
                return path.read_bytes()
        raise Refused(f"Action references file that does not exist: {name}")

    def mode(self, name: str) -> int:
        return next(root / name for root in self.roots if (root / name).is_file()).stat().st_mode & 0o7777


def pkgsend(call: Call) -> int:
    try:
        return _run(call)
    except Refused as refused:
        text = str(refused)
        return call.fail(text if text.startswith("lab: ") else f"pkgsend: {text}", refused.status)
    except actions.BadAction as bad:
        return call.fail(f"pkgsend: {bad}")
    except PermissionError as denied:
        return call.fail(
            f"pkgsend: Could not operate on {denied.filename}\nbecause of insufficient permissions."
        )


def _run(call: Call) -> int:
    words = call.argv[1:]
    repository = call.env.get("PKG_REPO", "")
    while words[:1] == ["-s"] and len(words) > 1:
        repository, words = words[1], words[2:]
    if not words:
        raise Refused(f"no subcommand specified\n{USAGE}".rstrip("\n"), BAD_OPTION)
    if words[0] in NOT_EMULATED:
        raise Refused(f"lab: pkgsend {words[0]} is not emulated; publish takes whole manifests")
    if words[0] == "version":
        call.out("a6dfe3a8\n")
        return OK
    if words[0] != "publish":
        raise Refused(f"unknown subcommand '{words[0]}'\n{USAGE}".rstrip("\n"), BAD_OPTION)
    return _publish(call, words[1:], repository)


def _publish(call: Call, words: Sequence[str], repository: str) -> int:
    from zonemgr.lab import options

    try:
        found, names = options.parse(
            words,
            "b:d:s:T:",
            {"fmri-in-manifest": "fmri", "no-catalog": "no-catalog", "no-index": "no-index"},
        )
    except options.BadOption as bad:
        raise Refused(f"illegal option -- {bad.letter}\n{USAGE}".rstrip("\n"), BAD_OPTION) from None
    if any(letter in ("b", "T", "no-catalog") for letter, _ in found):
        raise Refused("lab: pkgsend publish with -b, -T or --no-catalog is not emulated")
    repository = next((value for letter, value in reversed(found) if letter == "s"), repository)
    if not repository:
        raise Refused(
            f"a destination package repository must be provided using -s.\n{USAGE}".rstrip("\n"), BAD_OPTION
        )
    try:
        target = depot.find(pkgrepo.place_of(call, repository))
    except depot.NoRepository as missing:
        shown = unquote(urlsplit(repository).path) if "://" in repository else repository
        raise Refused(
            f"Unable to contact valid package repository: file://{shown}\nThe path '{shown}' {missing}."
        ) from None
    source = _Source(call, [value for letter, value in found if letter == "d"])
    text = "\n".join(_manifest(call, name) for name in names) if names else call.stdin.read().decode()
    published = _one(target, actions.manifest(text), source)
    call.out(f"{published.whole}\nPUBLISHED\n")
    return OK


def _manifest(call: Call, name: str) -> str:
    try:
        return pkgrepo.place_of(call, name).read_text()
    except OSError as missing:
        raise Refused(f"{missing.strerror}: '{name}'") from None


def _one(target: Depot, lines: Sequence[Action], source: _Source) -> Package:
    package = _named(target, lines)
    payloads: dict[str, bytes] = {}
    written = [Action("set", attrs={"name": ("pkg.fmri",), "value": (package.whole,)})]
    for each in lines:
        if each.kind == "set" and each.get("name") == "pkg.fmri":
            continue
        if each.kind in ("file", "license"):
            each, data = _with_contents(each, source)
            payloads[each.payload] = data
        written.append(each)
    _check(written)
    target.publish(package, written, payloads)
    return package


def _named(target: Depot, lines: Sequence[Action]) -> Package:
    """The package a manifest says it is, of the repository's default publisher if it names none."""
    whole = actions.setting(lines, "pkg.fmri")
    if not whole:
        raise Refused("Manifest does not contain pkg.fmri")
    found = re.fullmatch(r"(?:pkg:)?(?://([^/]+)/|/)?([^@]+)@([^:]+)(?::\S+)?", whole)
    if found is None:
        raise Refused(f"'{whole}' is an invalid fmri: it must have a name and a version")
    publisher, name, version = found.groups()
    publisher = publisher or target.default
    if not publisher:
        raise Refused(
            "The publisher for the package could not be determined: the repository has no default publisher, and "
            f"'{whole}' names none"
        )
    try:
        fmri.version(version)
        fmri.pattern(name)
    except ValueError as bad:
        raise Refused(f"'{whole}' is an invalid fmri: {bad}") from None
    stamps = [each.stamp for each in target.packages(publisher)] if publisher in target.publishers else []
    if "," not in version:
        release, dash, branch = version.partition("-")
        version = f"{release},5.11{dash}{branch}"
    return depot.package(publisher, name, f"{version}:{depot.new_stamp(stamps)}", [])


def _with_contents(action: Action, source: _Source) -> tuple[Action, bytes]:
    """The action as it is published, and what it delivers."""
    name = action.payload if action.payload not in ("", "NOHASH") else action.get("path")
    data = source.read(name)
    packed = gzip.compress(data, mtime=0)
    attrs = dict(action.attrs)
    if action.kind == "file" and "mode" not in attrs:
        attrs["mode"] = (f"{source.mode(name):04o}",)
    attrs |= {
        "chash": (depot.digest_of(packed),),
        "pkg.content-hash": (
            f"file:sha512t_256:{depot.content_hash(data)}",
            f"gzip:sha512t_256:{depot.content_hash(packed)}",
        ),
        "pkg.size": (str(len(data)),),
        "pkg.csize": (str(len(packed)),),
    }
    return Action(action.kind, depot.digest_of(data), attrs), data


def _check(lines: Sequence[Action]) -> None:
    """What pkgsend refuses: attributes that are missing, a path that is delivered twice."""
    seen: set[str] = set()
    for each in lines:
        needed = {"file": ("owner", "group"), "dir": ("owner", "group", "mode"), "link": ("target",),
                  "hardlink": ("target",), "user": ("group",), "license": ()}.get(each.kind, ())  # fmt: skip
        missing = [name for name in needed if not each.get(name)]
        if missing:
            raise Refused(
                f"The action '{each}' contains invalid attributes:\n  '{missing[0]}' is a required attribute"
            )
        path = each.get("path")
        if (
            path
            and path in seen
            and each.kind != "dir"
            and not any(n.startswith("variant.") for n in each.attrs)
        ):
            raise Refused(f"the path '{path}' is delivered twice")
        if path and posixpath.normpath(path).startswith(".."):
            raise Refused(f"the path '{path}' is not below the root of an image")
        seen.add(path)
