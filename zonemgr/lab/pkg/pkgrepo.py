"""pkgrepo(1): package repositories in files."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from zonemgr.lab.pkg import catalogue, depot, fmri
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.depot import Depot

if TYPE_CHECKING:
    from zonemgr.lab.call import Call

OK, OOPS, BAD_OPTION, NOTHING = 0, 1, 2, 4
USAGE = """Usage:
        pkgrepo create [--version ver] uri_or_path
        pkgrepo add-publisher -s repo_uri_or_path publisher ...
        pkgrepo remove-publisher -s repo_uri_or_path publisher ...
        pkgrepo get [-H] [-p publisher ...] -s repo_uri_or_path [section/property ...]
        pkgrepo info [-H] [-p publisher ...] -s repo_uri_or_path
        pkgrepo list [-H] [-p publisher ...] -s repo_uri_or_path [pkg_fmri_pattern ...]
        pkgrepo rebuild [-p publisher ...] -s repo_uri_or_path
        pkgrepo refresh [-p publisher ...] -s repo_uri_or_path
        pkgrepo remove [-n] [-p publisher ...] -s repo_uri_or_path pkg_fmri_pattern ...
        pkgrepo set -s repo_uri_or_path section/property=value ...
        pkgrepo verify [-p publisher ...] -s repo_uri_or_path
        pkgrepo version
"""
NOT_EMULATED = ("contents", "diff", "fix", "help", "search")
LONG = {"version=": "version", "no-catalog": "no-catalog", "no-index": "no-index", "key=": "refused"}


class Refused(Exception):
    def __init__(self, text: str, status: int = OOPS) -> None:
        super().__init__(text)
        self.status = status


Given = dict[str, list[str]]


def pkgrepo(call: Call) -> int:
    from zonemgr.lab import options

    words = call.argv[1:]
    before, rest = (words[:2], words[2:]) if words[:1] == ["-s"] else ([], words)
    commands: dict[str, Callable[[Call, Given, list[str]], int]] = {
        "create": _create, "add-publisher": _add, "remove-publisher": _remove_publisher, "get": _get,
        "info": _info, "list": _list, "rebuild": _rebuild, "refresh": _refresh, "remove": _remove,
        "set": _set, "verify": _verify, "version": _version,
    }  # fmt: skip
    if not rest:
        return call.fail(f"pkgrepo: no subcommand specified\n{USAGE}".rstrip("\n"), BAD_OPTION)
    if rest[0] in NOT_EMULATED:
        return call.fail(f"lab: pkgrepo {rest[0]} is not emulated")
    if rest[0] not in commands:
        return call.fail(f"pkgrepo: unknown subcommand '{rest[0]}'\n{USAGE}".rstrip("\n"), BAD_OPTION)
    try:
        found, operands = options.parse([*before, *rest[1:]], "Hns:p:F:qvd:i:", LONG)
        given: Given = {}
        for letter, value in found:
            given.setdefault(letter, []).append(value)
        if given.keys() & {"F", "q", "v", "d", "i", "refused"}:
            raise Refused(f"lab: pkgrepo {rest[0]} with these options is not emulated")
        return commands[rest[0]](call, given, list(operands))
    except options.BadOption as bad:
        return call.fail(
            f"pkgrepo {rest[0]}: illegal option -- {bad.letter}\n{USAGE}".rstrip("\n"), BAD_OPTION
        )
    except Refused as refused:
        text = str(refused)
        return call.fail(text if text.startswith("lab: ") else f"pkgrepo {rest[0]}: {text}", refused.status)
    except PermissionError as denied:
        text = f"Could not operate on {denied.filename}\nbecause of insufficient permissions."
        return call.fail(f"pkgrepo {rest[0]}: {text}")


def place_of(call: Call, target: str) -> Path:
    """Where a repository is that is named by a path or a file URI."""
    parts = urlsplit(target)
    if parts.scheme not in ("", "file"):
        raise Refused(f"lab: only repositories in files are emulated, not {target}")
    path = unquote(parts.path) if parts.scheme else target
    if call.zone is not None:
        root = call.root or Path("/")
        return root / posixpath.normpath(posixpath.join(call.cwd, path)).lstrip("/")
    return call.path(path)


def opened(call: Call, given: Given) -> Depot:
    if "s" not in given:
        raise Refused(
            f"A package repository location must be provided using -s.\n{USAGE}".rstrip("\n"), BAD_OPTION
        )
    target = given["s"][-1]
    path = place_of(call, target)
    try:
        return depot.find(path)
    except depot.NoRepository as missing:
        shown = unquote(urlsplit(target).path) if "://" in target else target
        raise Refused(f"The path '{shown}' {missing}.") from None


def _publishers(found: Depot, given: Given) -> list[str]:
    wanted = [each for each in given.get("p", []) if each != "all"]
    unknown = [each for each in wanted if each not in found.publishers]
    if unknown:
        raise Refused(f"\n  no matching publishers found: {' '.join(unknown)}")
    return wanted or found.publishers


def _create(call: Call, given: Given, operands: list[str]) -> int:
    if len(operands) != 1:
        raise Refused(
            f"{'no' if not operands else 'only one'} repository uri or path may be specified", BAD_OPTION
        )
    if given.get("version", ["4"])[-1] != "4":
        raise Refused("lab: only repositories of version 4 are emulated")
    try:
        depot.create(place_of(call, operands[0]))
    except FileExistsError:
        raise Refused(
            f"\npkgrepo: Target '{operands[0]}' already exists; a repository cannot be created there."
        ) from None
    except FileNotFoundError as missing:
        raise Refused(str(missing)) from None
    return OK


def _add(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    if not operands:
        raise Refused(f"At least one publisher must be specified\n{USAGE}".rstrip("\n"), BAD_OPTION)
    bad = [each for each in operands if not fmri.PUBLISHER.fullmatch(each)]
    if bad:
        raise Refused(f"\nThe publisher prefix '{bad[0]}' is not a valid publisher name.")
    there = [each for each in operands if each in found.publishers]
    for each in operands:
        if each not in there:
            found.add_publisher(each)
            _default(found, each)
    if there:
        raise Refused("".join(f"\n  Publisher '{each}' already exists" for each in there))
    return OK


def _default(found: Depot, publisher: str) -> None:
    """The first publisher of a repository becomes its default one."""
    settings = found.settings
    if not settings.get("publisher", {}).get("prefix"):
        settings.setdefault("publisher", {})["prefix"] = publisher
        depot.write_settings(found.root, settings)


def _remove_publisher(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    for each in _publishers(found, {"p": operands}):
        depot.delete(found, each)
    return OK


def _get(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    rows = [
        (section, name, value)
        for section, names in sorted(found.settings.items())
        for name, value in sorted(names.items())
        if not operands or f"{section}/{name}" in operands or section in operands
    ]
    if operands and not rows:
        raise Refused("\n  Property no matching properties found")
    _table(
        call, given, [("SECTION", "PROPERTY", "VALUE"), *((s, n, _value(v)) for s, n, v in rows)], (16, 35)
    )
    return OK


def _value(text: str) -> str:
    return "()" if text == "[]" else text if text else '""'


def _set(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    settings = found.settings
    if not operands:
        raise Refused(f"a property name and value must be provided\n{USAGE}".rstrip("\n"), BAD_OPTION)
    for each in operands:
        name, equals, value = each.partition("=")
        section, slash, prop = name.partition("/")
        if not (equals and slash and prop):
            raise Refused(
                f"properties must be of the form '<section/property>=<value>'.\n{USAGE}".rstrip("\n"),
                BAD_OPTION,
            )
        if prop not in depot.DEFAULTS.get(section, {}):
            raise Refused(f"unknown property '{prop}' in section '{section}'")
        if name == "publisher/prefix" and not fmri.PUBLISHER.fullmatch(value):
            raise Refused(f"'{value}' is not a valid publisher name")
        settings.setdefault(section, {})[prop] = value
    depot.write_settings(found.root, settings)
    return OK


def _info(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    rows = [("PUBLISHER", "PACKAGES", "STATUS", "UPDATED")]
    for name in _publishers(found, given):
        attrs = found.attrs(name)
        rows.append(
            (name, str(attrs.get("package-count", 0)), "online", _moment(attrs.get("last-modified", "")))
        )
    if len(rows) == 1:
        return OK
    _table(call, given, rows, (9, 8, 16))
    return OK


def _moment(text: str) -> str:
    head, _, tail = text.rstrip("Z").partition(".")
    when = time.strptime(head, "%Y%m%dT%H%M%S") if head else time.gmtime(0)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', when)}.{tail or '0'}Z"


def _list(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    names = _publishers(found, given)
    packages = [each for name in names for each in found.packages(name)]
    packages.sort(key=lambda each: each.name)
    chosen, missing = _chosen(packages, operands)
    rows = [("PUBLISHER", "NAME", "O", "VERSION")]
    rows += [(each.publisher, each.name, _state(each), each.full) for each in chosen]
    if chosen:
        _table(call, given, rows, (9, 45, 1))
    if missing:
        lines = "".join(f"\n\t{each}" for each in missing)
        raise Refused(f"The following pattern(s) did not match any packages:\n{lines}")
    return OK if chosen or not operands else OOPS


def _state(package: Package) -> str:
    return "o" if package.obsolete else "r" if package.renamed else ""


def _chosen(packages: Sequence[Package], patterns: Sequence[str]) -> tuple[list[Package], list[str]]:
    if not patterns:
        return list(packages), []
    try:
        matched = {each: catalogue.match(each, packages) for each in patterns}
    except fmri.IllegalFmri as illegal:
        raise Refused(str(illegal)) from None
    hits = {each for found in matched.values() for each in found}
    return [each for each in packages if each in hits], [each for each, found in matched.items() if not found]


def _rebuild(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    call.out("Initiating repository rebuild.\n")
    for name in _publishers(found, given):
        found.rebuild(name)
    return OK


def _refresh(call: Call, given: Given, operands: list[str]) -> int:
    """Take up manifests that came by another way than publication; ours are in the catalogue already."""
    found = opened(call, given)
    call.out("Initiating repository refresh.\n")
    for name in _publishers(found, given):
        there = len(list((found.at(name) / "pkg").glob("*/*")))
        if there != found.attrs(name).get("package-version-count", 0):
            found.rebuild(name)
    return OK


def _remove(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    if not operands:
        raise Refused(f"At least one package pattern must be provided\n{USAGE}".rstrip("\n"), BAD_OPTION)
    packages = [each for name in _publishers(found, given) for each in found.packages(name)]
    chosen, missing = _chosen(packages, operands)
    if missing:
        lines = "".join(f"\n\t{each}" for each in missing)
        raise Refused(f"The following pattern(s) did not match any packages:\n{lines}")
    if "n" in given:
        listed = "".join(f"        {each.whole}\n" for each in chosen)
        call.out(f"{len(chosen)} package(s) will be removed:\n{listed}\n")
        return OK
    for name in dict.fromkeys(each.publisher for each in chosen):
        call.out(f"Removing packages for publisher {name} ...\n")
        for each in chosen:
            if each.publisher == name:
                found.remove(each)
    return OK


def _verify(call: Call, given: Given, operands: list[str]) -> int:
    found = opened(call, given)
    call.out("Initiating repository verification.\n")
    bad = False
    for name in _publishers(found, given):
        for package, text in found.faults(name):
            bad = True
            call.out(f"\nERROR: {text}\n          pkg: {package.whole}\n")
    return OOPS if bad else OK


def _version(call: Call, given: Given, operands: list[str]) -> int:
    call.out("a6dfe3a8\n")
    return OK


def _table(call: Call, given: Given, rows: Sequence[tuple[str, ...]], widths: Sequence[int]) -> None:
    for row in rows[1:] if "H" in given else rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        call.out(" ".join([*cells, row[len(widths)]]).rstrip() + "\n")
