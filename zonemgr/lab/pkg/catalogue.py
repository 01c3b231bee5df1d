"""What the lab's package repositories have from the first day: an invented catalogue, with dependencies and a conflict.

Repositories are updated when the fact `pkg.updates` of the world is raised: packages then have newer versions. What
else is published later is in `shelves`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property

from zonemgr.lab.pkg import actions, fmri
from zonemgr.lab.pkg.actions import Action
from zonemgr.lab.pkg.fmri import Version, Wanted

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
OF_FILES = "F"  # a flag of no row above: the package is in a repository of files, and has a manifest
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
    actions: tuple[str, ...] = ()  # of a package in a repository of files: its depend and set actions


@dataclass(frozen=True)
class Dependency:
    kind: str
    fmris: tuple[Wanted, ...]
    predicate: Wanted | None = None


@dataclass(frozen=True)
class Package:
    """One version of one package, as a repository or an image has it."""

    name: str
    publisher: str
    version: str  # 0.5.11-2024.0.0.0
    stamp: str = BUILT
    own: Entry | None = field(
        default=None, compare=False
    )  # what it says of itself, if not of the catalogue above
    build: str = field(default="5.11", compare=False)

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
    def full(self) -> str:
        """The version with the build release: as file names and catalogues have it."""
        release, dash, branch = self.version.partition("-")
        return f"{release},{self.build}{dash}{branch}:{self.stamp}"

    @property
    def whole(self) -> str:
        return f"pkg://{self.publisher}/{self.name}@{self.full}"

    @property
    def stampless(self) -> str:
        """As messages have it that say why something was rejected."""
        return f"pkg://{self.publisher}/{self.name}@{self.version}"

    @cached_property
    def key(self) -> Version:
        """What versions are ordered by: release, branch, then when it was published."""
        return fmri.version(f"{self.version}:{self.stamp}")

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        entry = self.entry
        plain = [Dependency("require", (fmri.wanted(each),)) for each in entry.depends]
        plain += [Dependency("exclude", (fmri.wanted(each),)) for each in entry.excludes]
        return (*plain, *(_dependency(each) for each in self.lines if each.kind == "depend"))

    @cached_property
    def lines(self) -> tuple[Action, ...]:
        return tuple(actions.parse(each) for each in self.entry.actions)

    @cached_property
    def obsolete(self) -> bool:
        return self.has("o") or actions.setting(self.lines, "pkg.obsolete") == "true"

    @cached_property
    def renamed(self) -> bool:
        return actions.setting(self.lines, "pkg.renamed") == "true"

    @cached_property
    def hold(self) -> str:
        return actions.setting(self.lines, "pkg.depend.install-hold")

    def suits(self, variants: dict[str, str]) -> bool:
        """Is the package for an image of these variants?"""
        said = {each.get("name"): each.all("value") for each in self.lines if each.kind == "set"}
        return all(value in said.get(name, (value,)) for name, value in variants.items())


def _dependency(line: Action) -> Dependency:
    predicate = line.get("predicate")
    return Dependency(
        line.get("type"),
        tuple(fmri.wanted(each) for each in line.all("fmri")),
        fmri.wanted(predicate) if predicate else None,
    )


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


def match(pattern: str, packages: Iterable[Package]) -> list[Package]:
    """Packages a pattern stands for: a whole name, the trailing part of one, a glob, each with @VERSION.

    Raises fmri.IllegalFmri.
    """
    wanted = fmri.pattern(pattern)
    return [each for each in packages if wanted.fits(each.publisher, each.name, each.key)]
