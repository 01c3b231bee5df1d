"""What an operation would do to an image, worked out before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from zonemgr.lab.pkg import catalogue
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.image import Image

REJECTED, UNLICENSED, NOT_LIVE, CONSTRAINED = 1, 6, 5, 9


class PkgError(ValueError):
    """pkg refuses; `status` is what it exits with."""

    def __init__(self, text: str, status: int = REJECTED) -> None:
        super().__init__(text)
        self.status = status


class NoSolution(PkgError):
    """Nothing fits together: 9 with OmniOS' pkg, 1 with OpenIndiana's, which has no such status."""

    def __init__(self, image: Image, reasons: Sequence[str]) -> None:
        text = "\nNo solution was found to satisfy constraints\n" + "\n".join(reasons)
        super().__init__(text, CONSTRAINED if image.where.omnios else REJECTED)


@dataclass
class Plan:
    add: list[Package] = field(default_factory=list)
    remove: list[Package] = field(default_factory=list)
    change: list[tuple[Package, Package]] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.add or self.remove or self.change)

    @property
    def new(self) -> list[Package]:
        """The newer versions of what is there."""
        return [after for _, after in self.change]

    def needs_boot_environment(self) -> bool:
        """Files in use would change: a package flagged reboot-needed goes, comes anew or changes."""
        touched = [*self.remove, *(old for old, _ in self.change), *self.new]
        return any(package.has("b") for package in touched)

    def carry_out(self, image: Image, manual: Iterable[str] = ()) -> None:
        for package in [*self.add, *self.new]:
            image.installed[package.name] = package
        for package in self.remove:
            del image.installed[package.name]
            image.manual.discard(package.name)
        image.manual |= {name for name in manual if name in image.installed}
        image.save()


# -- install -----------------------------------------------------------------------------------------------


def install(
    image: Image, patterns: Sequence[str], *, origins: list[str], accept: bool
) -> tuple[Plan, list[str]]:
    """The plan, and the names that were asked for."""
    known = image.known(origins=origins)
    chosen = _resolve(image, patterns, known)
    wanted = {package.name: package for package in chosen}
    _with_dependencies(image, wanted, known)
    plan = _planned(image, wanted, chosen)
    _check(image, plan, accept)
    return plan, [package.name for package in chosen]


def _planned(image: Image, wanted: dict[str, Package], chosen: Sequence[Package]) -> Plan:
    plan = Plan()
    for name, package in wanted.items():
        have = image.installed.get(name)
        if have is None:
            plan.add.append(package)
        elif have.fmri != package.fmri and (have.key < package.key or package in chosen):
            plan.change.append((have, package))
    return plan


def _resolve(image: Image, patterns: Sequence[str], known: Sequence[Package]) -> list[Package]:
    unmatched, several, illegal, chosen = [], [], [], []
    for pattern in patterns:
        try:
            matches = catalogue.match(pattern, known)
            found = _exact(pattern, _best(image, matches, named=pattern.startswith("pkg://")))
        except catalogue.IllegalPattern:
            illegal.append(pattern)
            continue
        if not found:
            unmatched.append(pattern)
        elif len(found) > 1 and not any(sign in pattern for sign in "*?["):
            several.append((pattern, found))
        else:
            chosen += found
    _complain(unmatched, several, illegal)
    return chosen


def _exact(pattern: str, found: list[Package]) -> list[Package]:
    """Of several, the one whose whole name was given."""
    name = pattern.removeprefix("pkg:").lstrip("/").partition("@")[0]
    return [package for package in found if package.name == name] or found


def _best(image: Image, found: Sequence[Package], *, named: bool = False) -> list[Package]:
    """The newest of each name, of the publisher it was installed from or else of the best one.

    `named`: the caller said which publisher, so that what is installed may change hands.
    """
    best: dict[str, Package] = {}
    for package in found:
        have = image.installed.get(package.name)
        if have is not None and have.publisher != package.publisher and not named:
            continue
        old = best.get(package.name)
        if old is None or (old.publisher == package.publisher and old.key < package.key):
            best[package.name] = package
    return [package for package in best.values() if not package.has("o")]


def _complain(
    unmatched: Sequence[str], several: Sequence[tuple[str, list[Package]]], illegal: Sequence[str]
) -> None:
    lines: list[str] = []
    if unmatched:
        lines.append(
            "The following pattern(s) did not match any allowable packages.  Try\n"
            "using a different matching pattern, or refreshing publisher information:\n"
        )
        lines += [f"\t{pattern}" for pattern in unmatched]
    for pattern, found in several:
        lines.append(f"'{pattern}' matches multiple packages")
        lines += [f"\t{package.fmri}" for package in found]
    lines += [f"'{pattern}' is an illegal fmri" for pattern in illegal]
    if lines:
        raise PkgError("\n" + "\n".join(lines))


def _with_dependencies(image: Image, wanted: dict[str, Package], known: Sequence[Package]) -> None:
    """Add to what is wanted what that needs; a need is a name, or NAME@VERSION for at least that version."""
    pending = list(wanted.values())
    while pending:
        package = pending.pop(0)
        for need in package.entry.depends:
            name, _, least = need.partition("@")
            have = wanted.get(name) or image.installed.get(name)
            if have is not None and _reaches(have, least):
                continue
            found = _best(image, [each for each in known if each.name == name and _reaches(each, least)])
            if not found:
                raise _missing(image, package, need)
            wanted[name] = found[0]
            pending.append(found[0])


def _reaches(package: Package, least: str) -> bool:
    return package.key[0] >= tuple(int(part) for part in re.findall(r"\d+", least))


def _missing(image: Image, package: Package, need: str) -> PkgError:
    name = need.partition("@")[0]
    return NoSolution(
        image,
        [
            f"No matching version of {package.name} can be installed:",
            f"  Reject:  {package.fmri}",
            f"  Reason:  No version matching 'require' dependency pkg:/{need} can be installed"
            if name in image.installed
            else f"  Reason:  A version for 'require' dependency on pkg:/{need} cannot be found",
        ],
    )


def _check(image: Image, plan: Plan, accept: bool) -> None:
    after = dict(image.installed) | {package.name: package for package in [*plan.add, *plan.new]}
    for gone in plan.remove:
        after.pop(gone.name, None)
    for package in [*plan.add, *plan.new]:
        for other in package.entry.excludes:
            if other in after:
                raise _conflict(image, package, other)
        for there in after.values():
            if package.name in there.entry.excludes:
                raise _conflict(image, package, there.name)
    licensed = [package for package in [*plan.add, *plan.new] if package.has("l")]
    if licensed and not accept:
        raise PkgError(_licences(licensed), UNLICENSED)


def _conflict(image: Image, package: Package, other: str) -> PkgError:
    return NoSolution(
        image,
        [
            f"No matching version of {package.name} can be installed:",
            f"  Reject:  {package.fmri}",
            f"  Reason:  Package contains 'exclude' dependency on installed package pkg:/{other}",
        ],
    )


def _licences(packages: Sequence[Package]) -> str:
    shown = "".join(
        f"{'-' * 40}\nPackage: {package.short}\nLicense: {package.name}.license\n" for package in packages
    )
    return (
        "The following packages require their licenses to be accepted before they can be installed or updated:\n"
        f"{shown}\nTo accept the licenses of the packages listed above, use the --accept option."
    )


# -- uninstall, update ---------------------------------------------------------------------------------------


def uninstall(image: Image, patterns: Sequence[str], *, ignore_missing: bool) -> Plan:
    missing, gone = [], []
    for pattern in patterns:
        try:
            found = catalogue.match(pattern, image.installed.values())
        except catalogue.IllegalPattern:
            raise PkgError(f"\n'{pattern}' is an illegal fmri") from None
        missing += [] if found else [pattern]
        gone += found
    if missing and not ignore_missing:
        raise PkgError("\n" + "\n".join(f"'{pattern}' matches no installed packages" for pattern in missing))
    names = {package.name for package in gone}
    for package in gone:
        dependents = _dependents(image, package.name, names)
        if dependents:
            raise PkgError(_needed(image, package, dependents))
    return Plan(remove=list({package.name: package for package in gone}.values()))


def _dependents(image: Image, name: str, going: Collection[str]) -> list[str]:
    """What is installed, stays, and needs this package."""
    return [
        each.name
        for each in image.installed.values()
        if each.name not in going and any(need.partition("@")[0] == name for need in each.entry.depends)
    ]


def _needed(image: Image, package: Package, dependents: Sequence[str]) -> str:
    lines = "\n".join(f"  {image.installed[name].short}" for name in sorted(dependents))
    return f"\nUnable to remove '{package.short}' due to the following packages that depend on it:\n{lines}"


def update(image: Image, patterns: Sequence[str], *, origins: list[str], accept: bool) -> Plan:
    """Everything installed, or what the patterns say, to the newest version that can be had.

    A newer version that cannot be installed is passed over, as long as nobody asked for it by name.
    """
    known = image.known(origins=origins)
    wanted: dict[str, Package] = {}
    for package, fits in _to_update(image, patterns, known):
        better = [each for each in _candidates(image, package, known) if fits(each)]
        best = _first_possible(image, wanted, better, known, insist=bool(patterns))
        if best is not None:
            wanted[best.name] = best
    gone = [image.installed[name] for name, package in wanted.items() if package.has("o")]
    plan = _planned(
        image, {name: each for name, each in wanted.items() if not each.has("o")}, list(wanted.values())
    )
    plan.remove += gone
    _check(image, plan, accept)
    return plan


Fits = Callable[[Package], bool]


def _to_update(image: Image, patterns: Sequence[str], known: Sequence[Package]) -> list[tuple[Package, Fits]]:
    """Installed packages, each with what of its other versions will do."""
    if not patterns:
        return [(package, _any) for package in image.installed.values()]
    found: list[tuple[Package, Fits]] = []
    for pattern in patterns:
        name, _, version = pattern.partition("@")
        try:
            matches = catalogue.match(name, image.installed.values())
        except catalogue.IllegalPattern:
            raise PkgError(f"\n'{pattern}' is an illegal fmri") from None
        if not matches:
            raise PkgError(f"\n'{pattern}' matches no installed packages")
        allowed = set(catalogue.match(pattern, [*known, *matches])) if version else None
        if allowed is not None and not allowed:
            _complain([pattern], [], [])
        fits: Fits = _any if allowed is None else allowed.__contains__
        found += [(package, fits) for package in matches]
    return found


def _any(package: Package) -> bool:
    return True


def _candidates(image: Image, package: Package, known: Sequence[Package]) -> list[Package]:
    """Newer versions, newest first; of other publishers if the package's own is not sticky and ranks below."""
    ranks = {each.name: rank for rank, each in enumerate(image.publishers)}
    own = image.publisher(package.publisher)
    free = own is None or not own.sticky
    mine = ranks.get(package.publisher, len(ranks))
    found = [
        each
        for each in known
        if each.name == package.name
        and each.key > package.key
        and (each.publisher == package.publisher or (free and ranks.get(each.publisher, mine) < mine))
    ]
    found.sort(key=lambda each: each.key, reverse=True)
    return sorted(found, key=lambda each: ranks.get(each.publisher, mine))


def _first_possible(
    image: Image,
    wanted: dict[str, Package],
    candidates: Sequence[Package],
    known: Sequence[Package],
    *,
    insist: bool,
) -> Package | None:
    trouble: PkgError | None = None
    for candidate in candidates:
        if candidate.has("o"):
            if _dependents(image, candidate.name, ()):
                continue
            return candidate
        attempt = {**wanted, candidate.name: candidate}
        try:
            _with_dependencies(image, attempt, known)
            _check(image, _planned(image, attempt, [candidate]), accept=True)
        except PkgError as refused:
            trouble = trouble or refused
            continue
        wanted.update(attempt)
        return candidate
    if trouble is not None and insist:
        raise trouble
    return None
