"""What the lab's package repositories have from the first day: an invented catalogue, with dependencies and a conflict.

Repositories are updated when the fact `pkg.updates` of the world is raised: packages then have newer versions. What
else is published later is in `shelves`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

# A package a paragraph: name, component version, flags, summary; then `>` what it depends on and `!` what it
# excludes. Flags: u a new version with every update, 1 one with the first, b needs a new boot environment,
# l a licence to accept, o obsolete, x of the second publisher, i OpenIndiana only, m OmniOS only.
TABLE = """
entire 0.5.11 ub Incorporation to lock all system packages to the same build
  > SUNWcs SUNWcsd package/pkg system/network system/network/routing system/extended-system-utilities
  > shell/bash editor/vim service/network/ssh
SUNWcs 0.5.11 ub Core Solaris
SUNWcsd 0.5.11 u Core Solaris Devices
package/pkg 0.5.11 u Image Packaging System
  > runtime/python-39 SUNWcs
system/network 0.5.11 u Core network infrastructure
  > SUNWcs
system/network/routing 0.5.11 - Network routing daemons
  > system/network
system/extended-system-utilities 0.5.11 - Additional system utilities
  > SUNWcs
system/library 0.5.11 u Core libraries
system/library/math 0.5.11 - Math libraries
  > system/library
system/header 0.5.11 u Header files
system/zones/internal 0.5.11 - Zones support
  > SUNWcs
shell/bash 5.2.37 1 GNU Bourne-Again shell
  > SUNWcs
editor/vim 9.1.0 - Vi IMproved
  > SUNWcs
network/ssh 9.9.1 1 OpenSSH client
service/network/ssh 9.9.1 1 OpenSSH server
  > network/ssh
runtime/python-39 3.9.20 1 The Python interpreter
  > system/library
runtime/perl-538 5.38.2 - The Perl interpreter
developer/gcc-10 10.5.0 1 GNU compiler collection 10
  > system/header system/library/math developer/gnu-binutils
developer/gcc-14 14.2.0 1 GNU compiler collection 14
  > system/header system/library/math developer/gnu-binutils
developer/illumos-gcc 4.4.4 - Compiler for building illumos-gate
  > system/header developer/gnu-binutils
developer/gnu-binutils 2.43 - GNU binary utilities
developer/build/gnu-make 4.4.1 - GNU make
developer/build/make 0.5.11 u Make, of illumos
developer/object-file 0.5.11 u Object file utilities
developer/versioning/git 2.47.1 1 Git
  > network/ssh runtime/perl-538 web/curl
metapackages/build-essential 1.0 i What most builds need
  > developer/gcc-14 developer/build/gnu-make developer/object-file system/header
  > developer/versioning/git text/gnu-sed
developer/build-essential 1.0 m What most builds need
  > developer/gcc-14 developer/build/gnu-make developer/object-file system/header
  > developer/versioning/git text/gnu-sed
web/curl 8.11.0 1 URL transfers
web/wget 1.25.0 - Retrieving files
text/gawk 5.3.1 - GNU awk
text/gnu-grep 3.11 - GNU grep
text/gnu-sed 4.9 - GNU sed
text/groff 1.23.0 - GNU troff
text/locale 0.5.11 - Locale files
system/locale 0.5.11 - Locale support
file/gnu-coreutils 9.5 - GNU core utilities
file/gnu-findutils 4.10.0 - GNU find
archiver/gnu-tar 1.35 - GNU tar
security/sudo 1.9.16 - Sudo
service/network/smtp/sendmail 8.18.1 - Sendmail
  ! service/network/smtp/postfix
service/network/smtp/postfix 3.9.1 - Postfix
  ! service/network/smtp/sendmail
system/install/media/legacy 0.5.11 o Retired
media/codec/encumbered 1.0 lx Codecs with a licence of their own
  > system/library
"""
BUILT = "20241011T093000Z"


@dataclass(frozen=True)
class Repository:
    publisher: str
    origin: str
    second: bool = False


REPOSITORIES = {
    "openindiana": (
        Repository("openindiana.org", "http://pkg.openindiana.org/hipster/"),
        Repository("hipster-encumbered", "http://pkg.openindiana.org/hipster-encumbered/", second=True),
    ),
    "omnios": (
        Repository("omnios", "https://pkg.omnios.org/r151058/core/"),
        Repository("extra.omnios", "https://pkg.omnios.org/r151058/extra/", second=True),
    ),
}


@dataclass(frozen=True)
class Entry:
    name: str
    component: str
    flags: str
    summary: str
    depends: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """One version of one package, as a repository or an image has it."""

    name: str
    publisher: str
    version: str  # 0.5.11-2024.0.0.0
    stamp: str = BUILT
    own: Entry | None = None  # what it says of itself, when it is not of the catalogue above

    @property
    def entry(self) -> Entry:
        return self.own or entries()[self.name]

    def has(self, flag: str) -> bool:
        return flag in self.entry.flags

    @property
    def fmri(self) -> str:
        return f"pkg://{self.publisher}/{self.name}@{self.version}:{self.stamp}"

    @property
    def short(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def key(self) -> tuple[tuple[int, ...], str]:
        """What versions are ordered by: the release, then when it was published."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)), self.stamp


@cache
def entries() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    last = ""
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            last, component, flags, summary = line.split(" ", 3)
            found[last] = Entry(last, component, flags, summary)
            continue
        old, words = found[last], tuple(line[3:].split())
        depends = old.depends + (words if line[2] == ">" else ())
        found[last] = Entry(
            last,
            old.component,
            old.flags,
            old.summary,
            depends,
            old.excludes + (words if line[2] == "!" else ()),
        )
    return found


def available(flavour: str, repository: Repository, level: int) -> list[Package]:
    """Everything a repository has after so many updates, newest first."""
    other = "m" if flavour == "openindiana" else "i"
    found = []
    for entry in entries().values():
        if other in entry.flags or ("x" in entry.flags) != repository.second:
            continue
        levels = (
            range(level + 1)
            if "u" in entry.flags
            else range(min(level, 1) + 1)
            if "1" in entry.flags
            else (0,)
        )
        found += [_at(entry, flavour, repository.publisher, each) for each in reversed(levels)]
    return found


def _at(entry: Entry, flavour: str, publisher: str, level: int) -> Package:
    if flavour == "omnios":
        component = "11" if entry.component == "0.5.11" else entry.component
        return Package(entry.name, publisher, f"{component}-151058.{level}", _stamp(level))
    return Package(entry.name, publisher, f"{entry.component}-2024.0.0.{level}", _stamp(level))


def _stamp(level: int) -> str:
    return BUILT if not level else f"2024{11 + level // 28:02}{1 + level % 28:02}T093000Z"


class IllegalPattern(Exception):
    pass


def match(pattern: str, packages: Iterable[Package]) -> list[Package]:
    """Packages a pattern stands for: a whole FMRI, the trailing part of a name, a glob, each with @VERSION."""
    text, publisher = pattern, ""
    if text.startswith("pkg://"):
        publisher, _, text = text.removeprefix("pkg://").partition("/")
        anchored = True
    else:
        anchored = text.startswith(("pkg:/", "/"))
        text = text.removeprefix("pkg:").lstrip("/")
    name, _, version = text.partition("@")
    if not re.fullmatch(r"[A-Za-z0-9*?\[\]][A-Za-z0-9_./+*?\[\]-]*", name):
        raise IllegalPattern(pattern)
    return [
        package
        for package in packages
        if (not publisher or package.publisher == publisher)
        and _named(name, package.name, anchored)
        and _versioned(version, package)
    ]


def _named(wanted: str, name: str, anchored: bool) -> bool:
    if any(sign in wanted for sign in "*?["):
        return fnmatch.fnmatchcase(name, wanted) or (
            not anchored and fnmatch.fnmatchcase(name, f"*/{wanted}")
        )
    return name == wanted or (not anchored and name.endswith(f"/{wanted}"))


def _versioned(wanted: str, package: Package) -> bool:
    if not wanted or wanted == "latest":
        return True
    full = f"{package.version}:{package.stamp}"
    return (
        full == wanted
        or package.version == wanted
        or package.version.startswith((f"{wanted}-", f"{wanted}."))
    )
