"""What an operation would do to an image, worked out before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from zonemgr.lab.pkg import fmri, matching
from zonemgr.lab.pkg.actions import Action
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.image import Image
from zonemgr.lab.pkg.matching import Matcher
from zonemgr.lab.pkg.solver import Setting, Solver, Unsolvable

REJECTED, UNLICENSED, NOT_LIVE, CONSTRAINED = 1, 6, 5, 9


class PkgError(ValueError):
    """pkg refuses; `status` is what it exits with."""

    def __init__(
        self, text: str, status: int = REJECTED, *, setting_up: bool | None = None, bare: bool = False
    ) -> None:
        super().__init__(text)
        self.status, self.bare = status, bare  # bare: told without a prefix
        self.setting_up = (
            setting_up  # the solver refused: before it ran, or when it did; None: it was not the solver
        )


@dataclass
class Plan:
    add: list[Package] = field(default_factory=list)
    remove: list[Package] = field(default_factory=list)
    change: list[tuple[Package, Package]] = field(default_factory=list)
    manifests: dict[Package, list[Action]] = field(default_factory=dict)  # of all that is touched

    @property
    def nothing(self) -> bool:
        return not (self.add or self.remove or self.change)

    @property
    def new(self) -> list[Package]:
        """The other versions of what is there."""
        return [after for _, after in self.change]

    def needs_boot_environment(self) -> bool:
        """A file in use changes or goes: an installed package that says `reboot-needed` is changed or removed.

        A fresh install of one does without (pkg5 plandesc.py, `reboot_needed`: only files that are replaced count).
        """
        touched = [*self.remove, *(old for old, _ in self.change), *self.new]
        return any(package.has("b") or self._reboots(package) for package in touched)

    def _reboots(self, package: Package) -> bool:
        return any(each.true("reboot-needed") for each in self.manifests.get(package, ()))

    def licences(self, image: Image) -> list[tuple[Package, Action | None, str, bool]]:
        """What must be shown or accepted: package, its action and text, and whether it must be accepted.

        An invented package has no action for it, only the flag that says there is one.
        """
        found: list[tuple[Package, Action | None, str, bool]] = []
        before = {after: image.licences(old) for old, after in self.change}
        for package in [*self.add, *self.new]:
            if package.has("l"):
                found.append((package, None, "", True))
            for each in self.manifests.get(package, ()):
                must, show = each.true("must-accept"), each.true("must-display")
                if each.kind == "license" and (must or show) and each.payload not in before.get(package, ()):
                    found.append((package, each, image.payload(package, each).decode(errors="replace"), must))
        return found

    def carry_out(self, image: Image, manual: Iterable[str] = ()) -> None:
        from zonemgr.lab.pkg import tree

        tree.change(image, self)
        for package in [*self.add, *self.new]:
            image.installed[package.name] = package
            image.times[package.name] = image.where.now
        for package in self.remove:
            del image.installed[package.name]
            image.manual.discard(package.name)
            image.frozen.pop(package.name, None)
        image.manual |= {name for name in manual if name in image.installed}
        image.know_publishers([*self.add, *self.new])
        image.save()


def install(
    image: Image,
    patterns: Sequence[str],
    *,
    origins: Sequence[str] = (),
    rejects: Sequence[str] = (),
    verbose: bool = False,
) -> tuple[Plan, list[str]]:
    """The plan, and the names that were asked for."""
    known = image.known(origins=list(origins))
    gone = _stems(rejects, known)
    proposed = _matched(Matcher(known, image.installed, image.ranks(), image.variants, gone), patterns)
    solver = Solver(setting(image, known, verbose=verbose))
    after = _solved(image, lambda: solver.install(proposed, rejects=gone))
    return _planned(image, after), list(proposed)


def uninstall(image: Image, patterns: Sequence[str], *, ignore_missing: bool, verbose: bool = False) -> Plan:
    matcher = Matcher(list(image.installed.values()), image.installed, {}, {}, (), True, ignore_missing)
    proposed = _matched(matcher, patterns)
    going = [image.installed[name] for name in proposed]
    if not going:
        return Plan()
    solver = Solver(setting(image, image.known(), verbose=verbose))
    for package in going:
        needed = solver.dependents(package, going)
        if needed:
            raise PkgError(_needed(package, needed), setting_up=True)
    return _planned(image, _solved(image, lambda: solver.uninstall(going)))


def update(
    image: Image,
    patterns: Sequence[str],
    *,
    origins: Sequence[str] = (),
    rejects: Sequence[str] = (),
    ignore_missing: bool = False,
    verbose: bool = False,
) -> Plan:
    """Everything installed, or what the patterns say, to the newest version that can be had."""
    known = image.known(origins=list(origins))
    gone = _stems(rejects, known)
    solver = Solver(setting(image, known, verbose=verbose))
    if not patterns:
        return _planned(image, _solved(image, lambda: solver.update(rejects=gone)))
    matcher = Matcher(known, image.installed, image.ranks(), image.variants, gone, True, ignore_missing)
    proposed = _matched(matcher, patterns)
    if not proposed and not gone:
        return Plan()
    return _planned(image, _solved(image, lambda: solver.install(proposed, rejects=gone)))


def setting(image: Image, known: Sequence[Package], *, verbose: bool = False) -> Setting:
    return Setting(
        known,
        image.installed,
        image.ranks(),
        image.variants,
        list(image.frozen.values()),
        brief=image.where.omnios and not verbose,
    )


def _stems(patterns: Sequence[str], known: Iterable[Package]) -> set[str]:
    """Names that must not be there afterwards."""
    if not patterns:
        return set()
    found = matching.stems(patterns, {(each.publisher, each.name) for each in known})
    missing = [pattern for pattern, names in found.items() if not names]
    if missing:
        head = (
            "The following pattern(s) did not match any allowable packages.  Try\n"
            "using a different matching pattern, or refreshing publisher information:\n"
        )
        raise PkgError("\n" + "\n".join([head, *(f"\t{each}" for each in missing)]))
    return {name for names in found.values() for name in names}


def _matched(matcher: Matcher, patterns: Sequence[str]) -> dict[str, list[Package]]:
    try:
        return matcher.match(patterns)
    except fmri.IllegalFmri as illegal:
        raise PkgError(str(illegal)) from None
    except matching.Unmatched as unmatched:
        more = ""
        if "matches multiple packages" in str(unmatched):
            more = "\n\nPlease provide one of the package FMRIs listed above to the install command."
        raise PkgError(f"\n{unmatched}{more}") from None


def _solved(image: Image, solve: Callable[[], set[Package]]) -> set[Package]:
    omnios = image.where.omnios  # OpenIndiana has no status of its own for what cannot be solved
    try:
        return solve()
    except Unsolvable as refused:
        status = CONSTRAINED if refused.solver and omnios else REJECTED
        raise PkgError("\n" + "\n".join(refused.lines), status, setting_up=refused.setup) from None


def _planned(image: Image, after: Iterable[Package]) -> Plan:
    plan = Plan()
    wanted = {package.name: package for package in after}
    for name in sorted(wanted):
        have = image.installed.get(name)
        if have is None:
            plan.add.append(wanted[name])
        elif have != wanted[name]:
            plan.change.append((have, wanted[name]))
    plan.remove = [package for name, package in sorted(image.installed.items()) if name not in wanted]
    return plan


def _needed(package: Package, dependents: Sequence[Package]) -> str:
    lines = "\n".join(f"  {each.short}" for each in sorted(dependents, key=lambda each: each.name))
    return f"\nUnable to remove '{package.short}' due to the following packages that depend on it:\n{lines}"
