"""What an operation would do to an image, worked out before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zonemgr.lab.pkg import catalogue
from zonemgr.lab.pkg.catalogue import Package, entries
from zonemgr.lab.pkg.image import Image

REJECTED, UNLICENSED, NOT_LIVE = 1, 6, 5


class PkgError(ValueError):
    """pkg refuses; `status` is what it exits with."""

    def __init__(self, text: str, status: int = REJECTED) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Plan:
    add: list[Package] = field(default_factory=list)
    remove: list[Package] = field(default_factory=list)
    change: list[tuple[Package, Package]] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.add or self.remove or self.change)

    def needs_boot_environment(self) -> bool:
        touched = [*self.remove, *(new for _, new in self.change)]
        return any("b" in entries()[package.name].flags for package in touched)

    def carry_out(self, image: Image, manual: Iterable[str] = ()) -> None:
        for package in [*self.add, *(new for _, new in self.change)]:
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
    plan = Plan()
    wanted = {package.name: package for package in chosen}
    _with_dependencies(image, wanted, known)
    for name, package in wanted.items():
        have = image.installed.get(name)
        if have is None:
            plan.add.append(package)
        elif have.key < package.key or (have.key != package.key and package in chosen):
            plan.change.append((have, package))
    _check(image, plan, accept)
    return plan, [package.name for package in chosen]


def _resolve(image: Image, patterns: Sequence[str], known: Sequence[Package]) -> list[Package]:
    unmatched, several, illegal, chosen = [], [], [], []
    for pattern in patterns:
        try:
            found = _exact(pattern, _best(image, catalogue.match(pattern, known)))
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


def _best(image: Image, found: Sequence[Package]) -> list[Package]:
    """The newest of each name, of the publisher it was installed from or else of the best one."""
    best: dict[str, Package] = {}
    for package in found:
        have = image.installed.get(package.name)
        if have is not None and have.publisher != package.publisher:
            continue
        old = best.get(package.name)
        if old is None or (old.publisher == package.publisher and old.key < package.key):
            best[package.name] = package
    return [package for package in best.values() if "o" not in entries()[package.name].flags]


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
    pending = list(wanted.values())
    while pending:
        package = pending.pop(0)
        for name in entries()[package.name].depends:
            if name in wanted or name in image.installed:
                continue
            found = _best(image, [each for each in known if each.name == name])
            if not found:
                raise PkgError(f"\nPackage {package.fmri} is missing a dependency: pkg:/{name}")
            wanted[name] = found[0]
            pending.append(found[0])


def _check(image: Image, plan: Plan, accept: bool) -> None:
    after = {*image.installed, *(package.name for package in plan.add)}
    for package in plan.add:
        for other in entries()[package.name].excludes:
            if other in after:
                raise PkgError(_conflict(package, other))
    licensed = [package for package in plan.add if "l" in entries()[package.name].flags]
    if licensed and not accept:
        raise PkgError(_licences(licensed), UNLICENSED)


def _conflict(package: Package, other: str) -> str:
    return (
        "\nNo solution was found to satisfy constraints\n"
        f"No matching version of {package.name} can be installed:\n"
        f"  Reject:  {package.fmri}\n"
        f"  Reason:  Package contains 'exclude' dependency on installed package pkg:/{other}"
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
        dependents = [
            each for each in image.installed if package.name in entries()[each].depends and each not in names
        ]
        if dependents:
            raise PkgError(_needed(image, package, dependents))
    return Plan(remove=list({package.name: package for package in gone}.values()))


def _needed(image: Image, package: Package, dependents: Sequence[str]) -> str:
    lines = "\n".join(f"  {image.installed[name].short}" for name in sorted(dependents))
    return f"\nUnable to remove '{package.short}' due to the following packages that depend on it:\n{lines}"


def update(image: Image, patterns: Sequence[str], *, origins: list[str]) -> Plan:
    known = image.known(origins=origins)
    have = list(image.installed.values())
    for pattern in patterns:
        if not catalogue.match(pattern, image.installed.values()):
            raise PkgError(f"\n'{pattern}' matches no installed packages")
    if patterns:
        have = [
            package for pattern in patterns for package in catalogue.match(pattern, image.installed.values())
        ]
    plan = Plan()
    for package in dict.fromkeys(have):
        newer = [each for each in known if (each.name, each.publisher) == (package.name, package.publisher)]
        best = max(newer, key=lambda each: each.key, default=package)
        if best.key > package.key:
            plan.change.append((package, best))
    return plan
