"""Which versions fit together, and why others do not: what pkg5's `client/pkg_solver.py` works out.

Packages are first *rejected*, each with its reasons, by what the image and the request say; what is left becomes
clauses. The order of the steps decides which reason is told, so it is pkg5's (`solve_install`, `solve_update_all`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from zonemgr.lab.pkg.catalogue import Dependency, Package
from zonemgr.lab.pkg.clauses import Problem
from zonemgr.lab.pkg.fmri import Version, Wanted

# Kinds of reasons, in the order in which pkg tells them (the _TRIM_ numbers of pkg_solver.py).
(MISSING, OBSOLETE, TRIMMED, _FIRMWARE, FREEZE, EXCLUDED, INCORPORATED, NEWER, ORIGIN, _ROOT_ORIGIN, PARENT,
 PARENT_NEWER, PARENT_OLDER, PARENT_PUBLISHER, PROPOSED_INCORPORATED, PROPOSED_PUBLISHER, PROPOSED_VERSION,
 RANK, STICKY, REJECTED, _UNSUPPORTED, VARIANT) = range(22)  # fmt: skip
UNTOLD = (NEWER, PROPOSED_PUBLISHER, PROPOSED_VERSION)


class Reason(NamedTuple):
    kind: int
    text: str
    subject: tuple[str, str] = ("", "")  # of TRIMMED: the kind of dependency and what it names
    others: tuple[Package, ...] = ()  # whose rejection caused this one


class Unsolvable(Exception):
    """`lines` is what pkg says; `solver`: the solver itself found nothing, rather than a rule before it."""

    def __init__(self, lines: Sequence[str], *, solver: bool = False, setup: bool = True) -> None:
        super().__init__("\n".join(lines))
        self.lines, self.solver, self.setup = list(lines), solver, setup


class Broken(Exception):
    """A dependency cannot be kept."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True)
class Freeze:
    name: str
    version: str  # 1.0-1:STAMP
    comment: str = ""
    when: float = 0.0


@dataclass
class Setting:
    """What the solver is told of an image."""

    known: Sequence[Package]
    installed: Mapping[str, Package]
    ranks: Mapping[str, tuple[int, bool]]  # publisher -> place in the order, and whether it is sticky
    variants: Mapping[str, str]
    freezes: Sequence[Freeze] = ()
    avoided: Collection[str] = ()
    parents: Mapping[str, Package] | None = None  # the parent image's packages, of a linked child
    brief: bool = False  # tell causes instead of the whole tree of rejections (OmniOS, without -v)


@dataclass
class Solver:
    at: Setting
    rejected: dict[Package, list[Reason]] = field(default_factory=lambda: defaultdict(list))
    required: set[str] = field(default_factory=set)
    rejects: set[str] = field(default_factory=set)
    leaving: set[Package] = field(default_factory=set)
    publisher: dict[str, str] = field(default_factory=dict)
    by_rank: set[str] = field(default_factory=set)  # names whose publishers were looked at
    incorporating: set[str] = field(default_factory=set)
    held: list[Package] = field(default_factory=list)  # incorporations that must not change
    downgrades: set[Package] = field(default_factory=set)
    proposed: dict[str, list[Package]] = field(default_factory=dict)
    possible: dict[str, list[Package]] | None = None
    stamped: bool = False  # some dependency has a time stamp, so that messages show them
    considered: set[Package] = field(default_factory=set)  # what clauses were made for
    solving: bool = False  # the set-up is over

    def __post_init__(self) -> None:
        self.names: dict[str, list[Package]] = defaultdict(list)
        for each in {*self.at.known, *self.at.installed.values()}:
            self.names[each.name].append(each)
        for versions in self.names.values():
            versions.sort(key=lambda each: each.key)
        self.staying = set(self.at.installed.values())
        for name, each in self.at.installed.items():
            if self.at.ranks.get(each.publisher, (0, True))[1]:
                self.publisher[name] = each.publisher

    # -- the operations ------------------------------

    def install(self, proposed: dict[str, list[Package]], *, rejects: Iterable[str] = ()) -> set[Package]:
        """What the image holds afterwards; raises Unsolvable. `proposed` by name, with the versions that will do."""
        self.proposed = {name: sorted(each, key=lambda one: one.key) for name, each in proposed.items()}
        for name, versions in self.proposed.items():
            if name in self.at.installed:
                self.by_rank.add(name)
            else:
                self.publisher[name] = versions[0].publisher
        self._removals(set(rejects))
        relaxed = {
            name
            for name, versions in self.proposed.items()
            if not (len(versions) == 1 and versions[0] in self.staying)
        }
        self.held = self._held(relaxed)
        possible = self._possible_of_install()
        self._reject_for_install()
        self._assert_proposed()
        self._require_proposed()
        possible |= self._closure(possible)
        self._reject_parents(possible)
        for each in possible:
            self._reject_variant(each)
        possible -= self._all_rejected()
        try:
            self._assert_proposed()
            return self._solved(possible)
        except Unsolvable as refused:
            self._explain(refused, possible)
            raise

    def update(self, *, rejects: Iterable[str] = ()) -> set[Package]:
        """All that is installed, to the newest that can be had."""
        self._removals(set(rejects))
        possible: set[Package] = set()
        for each in self.staying:
            possible |= self._at_least(each) or {each}
        for each in list(possible):
            self.downgrades |= self._incorporated_downgrades(each, relax_all=True)
        possible |= self.downgrades
        for each in self.at.installed.values():
            self._reject_older(each)
        self._reject_frozen()
        self._reject_parents(possible)
        possible |= self._closure(possible)
        self._reject_parents(possible)
        for each in possible:
            self._reject_variant(each)
        possible -= self._all_rejected()
        try:
            solution = self._clauses_solved(possible)
        except Unsolvable:
            self._full_rejection(possible)
            raise
        solution = {each for each in solution if not each.obsolete}
        if solution == set(self.at.installed.values()) and self.at.parents is None:
            self._explain_standstill(possible)
        return self.without_renames(solution)

    def uninstall(self, going: Collection[Package]) -> set[Package]:
        """Raises Unsolvable, with `dependents` asked beforehand by the caller."""
        return self.install({}, rejects={each.name for each in going})

    def dependents(self, package: Package, going: Collection[Package]) -> list[Package]:
        """What is installed, stays, and requires this package."""
        return [
            each
            for each in self.at.installed.values()
            if each not in going
            and any(
                need.kind == "require" and need.fmris[0].name == package.name for need in each.dependencies
            )
        ]

    # -- who is rejected by what the image says ------------------------------

    def _removals(self, rejects: set[str]) -> None:
        self.rejects = rejects
        self.leaving = {each for name, each in self.at.installed.items() if name in rejects}
        self.leaving |= {each for each in self.at.installed.values() if not self._reject_variant(each)}
        for name in rejects:
            self._reject(self.names.get(name, ()), Reason(REJECTED, "This version rejected by user request"))
        self.staying = set(self.at.installed.values()) - self.leaving
        self.required = ({*self.at.installed} | set(self.proposed)) - rejects
        self.required -= {each.name for each in self.leaving}

    def _possible_of_install(self) -> set[Package]:
        possible: set[Package] = set()
        for each in self.staying:
            possible |= self._at_least(each) | {each}
        for versions in self.proposed.values():
            possible |= set(versions)
            for each in versions:
                self.downgrades |= self._incorporated_downgrades(each)
        return possible | self.downgrades

    def _reject_for_install(self) -> None:
        for each in self.staying:
            versions = self.proposed.get(each.name, ())
            if not (versions and versions[-1].key < each.key):  # else: a downgrade was asked for
                self._reject_older(each)
        for name, versions in self.proposed.items():
            others = [each for each in self.names[name] if each not in versions]
            self._reject(
                others,
                Reason(PROPOSED_VERSION, "This version excluded by specified installation version"),
            )
            self._reject_by_incorporations(versions)
        for held in self.held:
            reason = Reason(INCORPORATED, f"This version is excluded by installed incorporation {held.short}")
            self._reject(set(self.names[held.name]) - self._covered(_as_wanted(held)), reason)
            for need in held.dependencies:
                if need.kind == "incorporate":
                    fits = self._covered(need.fmris[0], dotrim=False)
                    self._reject(set(self._versions(need.fmris[0].name)) - fits, reason)
        self._reject_frozen()
        for versions in self.proposed.values():
            for each in versions:
                self._reject_variant(each)

    def _reject(self, packages: Iterable[Package], reason: Reason) -> None:
        for each in packages:
            if reason not in self.rejected[each]:
                self.rejected[each].append(reason)

    def _all_rejected(self) -> set[Package]:
        return {each for each, reasons in self.rejected.items() if reasons}

    def _reject_older(self, package: Package) -> None:
        older = set(self._versions(package.name)) - self._at_least(package, dotrim=False) - self.downgrades
        self._reject(older, Reason(NEWER, f"Newer version {package.fmri} is already installed"))

    def _reject_frozen(self) -> None:
        from zonemgr.lab.pkg import fmri

        for freeze in self.at.freezes:
            text = f"This version is excluded by a freeze on {freeze.name} at version {freeze.version}."
            if freeze.comment:
                text += f"  The reason for the freeze is: {freeze.comment}"
            fits = self._covered(Wanted(freeze.name, version=fmri.version(freeze.version)), dotrim=False)
            self._reject(set(self._versions(freeze.name)) - fits, Reason(FREEZE, text))

    def _reject_variant(self, package: Package) -> bool:
        """Whether the package suits the image."""
        good = True
        for line in package.lines:
            name, values = line.get("name"), line.all("value")
            mine = self.at.variants.get(name)
            if line.kind == "set" and mine is not None and mine not in values:
                shown = values[0] if len(values) == 1 else str(list(values))
                text = (
                    f"Package supports image variant {name}={shown} but doesn't "
                    f"support this image's {name}={mine}"
                )
                self._reject([package], Reason(VARIANT, text))
                good = False
        return good

    def _reject_parents(self, possible: Iterable[Package]) -> None:
        """A child image's packages that must be as they are in its parent (`parent` dependencies)."""
        if self.at.parents is None:
            return
        for each in possible:
            for need in each.dependencies:
                if need.kind != "parent":
                    continue
                for wanted in need.fmris:
                    self._reject_parent(each, wanted)

    def _reject_parent(self, package: Package, wanted: Wanted) -> None:
        assert self.at.parents is not None
        itself = wanted.name == "feature/package/dependency/self"
        name, least = (package.name, package.key) if itself else (wanted.name, wanted.version)
        there = self.at.parents.get(name)
        if there is None:
            self._reject([package], Reason(PARENT, f"Package {name} is not installed in global zone."))
        elif least is None or there.key == least or (not itself and there.key > least):
            return
        elif there.key > least:
            self._reject([package], Reason(PARENT_NEWER, f"Global zone has a newer version: {there.fmri}"))
        else:
            text = f"Global zone has an older version of package: {there.fmri}"
            self._reject([package], Reason(PARENT_OLDER, text))

    def _reject_by_incorporations(self, versions: Sequence[Package]) -> None:
        """What all proposed versions of an installed incorporation leave no room for."""
        work, done = [list(versions)], set()
        while work:
            packages = work.pop()
            if packages[0].name not in self.at.installed:
                continue
            done.add(frozenset(packages))
            for fits, others in self._combined(packages).values():
                text = f"Excluded by proposed incorporation '{packages[0].name}'"
                self._reject(others, Reason(PROPOSED_INCORPORATED, text))
                if fits and frozenset(fits) not in done:
                    work.append(list(fits))

    def _combined(self, packages: Sequence[Package]) -> dict[str, tuple[set[Package], set[Package]]]:
        each = [self._incorporates(package) for package in packages]
        common = set.intersection(*(set(one) for one in each))
        return {
            name: (
                set.union(*(one[name][0] for one in each)),
                set.intersection(*(one[name][1] for one in each)),
            )
            for name in common
        }

    def _incorporates(self, package: Package) -> dict[str, tuple[set[Package], set[Package]]]:
        """By name, what an incorporation allows and what it does not."""
        found: dict[str, tuple[set[Package], set[Package]]] = {}
        for need in package.dependencies:
            if need.kind == "incorporate":
                self.incorporating.add(package.name)
                name = need.fmris[0].name
                fits = self._covered(need.fmris[0], dotrim=False)
                others = set(self._versions(name)) - fits
                old = found.get(name)
                found[name] = (old[0] & fits, old[1] | others) if old else (fits, others)
        return found

    def _incorporated_downgrades(
        self, package: Package, *, relax_all: bool = False, depth: int = 0
    ) -> set[Package]:
        """Older versions than are installed, which an incorporation to come asks for."""
        if depth > 10:
            return set()
        found: set[Package] = set()
        for name, (fits, _) in self._incorporates(package).items():
            have = self.at.installed.get(name)
            if have is None or not fits or have in fits:
                continue
            for each in fits:
                if each.key == have.key or (relax_all and each.key > have.key):
                    continue
                if each.publisher != package.publisher or package in self.leaving:
                    continue
                if each.hold and not (package.hold and each.hold.startswith(package.hold)):
                    continue
                if each.key < have.key:
                    found.add(each)
                if not relax_all:
                    found |= self._incorporated_downgrades(each, depth=depth + 1)
        return found

    def _held(self, relaxed: set[str]) -> list[Package]:
        """Installed incorporations that do not change as a side effect (`__get_installed_unbound_inc_list`)."""
        holds = {each.name: each.hold for each in self.staying if each.hold}
        constraints = {
            each: [need.fmris[0] for need in each.dependencies if need.kind == "incorporate"]
            for each in self.staying
        }
        constraints = {each: found for each, found in constraints.items() if found}
        versioned = {
            wanted.name
            for each in self.staying
            for need in each.dependencies
            for wanted in need.fmris
            if wanted.version is not None
        }
        free = {holds[name] for name in relaxed if name in holds}
        free |= {hold for hold in holds.values() if any(hold.startswith(f"{each}.") for each in free)}
        for each in self._children_of_holds(holds, constraints, free):
            holds[each.name] = each.name
        versioned -= {name for name, hold in holds.items() if hold not in free}
        return [each for each in constraints if each.name not in versioned and each.name not in relaxed]

    def _children_of_holds(
        self, holds: Mapping[str, str], constraints: Mapping[Package, list[Wanted]], free: set[str]
    ) -> set[Package]:
        pending = {each for each in constraints if each.name in holds and holds[each.name] not in free}
        done: set[Package] = set()
        found: set[Package] = set()
        while pending:
            each = pending.pop()
            done.add(each)
            if constraints.get(each) and each.name not in holds:
                found.add(each)
            for wanted in constraints.get(each, ()):
                fits = self._covered(wanted) if wanted.name not in holds else set()
                if len(fits) == 1:
                    pending |= fits - done
        return found

    # -- which versions there are ------------------------------

    def _versions(self, name: str) -> list[Package]:
        self._by_publisher(name)
        if self.possible is not None:
            return self.possible.get(name, [])
        return self.names.get(name, [])

    def _by_publisher(self, name: str) -> None:
        """Reject what is of other publishers than the installed package, or than the best that has it."""
        if name in self.by_rank:
            return
        self.by_rank.add(name)
        versions, have = self.names.get(name, []), self.at.installed.get(name)
        if name in self.publisher:
            good = {self.publisher[name]}
            reason = (
                Reason(
                    STICKY,
                    f"Currently installed package '{name}' is from sticky publisher '{self.publisher[name]}'.",
                )
                if have is not None
                else Reason(PROPOSED_PUBLISHER, "Package is from publisher other than specified one.")
            )
        else:
            ranked = sorted(
                (self.at.ranks[each][0], each)
                for each in {one.publisher for one in versions}
                if each in self.at.ranks
            )
            good = {each for rank, each in ranked if rank == ranked[0][0]}
            reason = Reason(
                RANK,
                f"Higher ranked publisher {ranked[0][1]} was selected"
                if ranked
                else "Package publisher is ranked lower in search order",
            )
        self._reject(
            [
                each
                for each in versions
                if (each.publisher not in good and each != have)
                or (have is not None and each.publisher != have.publisher and each.key == have.key)
            ],
            reason,
        )

    def _matching(
        self, name: str, fits: Callable[[Version], bool], *, dotrim: bool, obsolete: bool
    ) -> set[Package]:
        return {
            each
            for each in self._versions(name)
            if (not dotrim or not self.rejected.get(each))
            and fits(each.key)
            and (obsolete or not each.obsolete)
        }

    def _at_least(self, package: Package, *, dotrim: bool = True) -> set[Package]:
        return self._newer(_as_wanted(package), dotrim=dotrim, obsolete=True)

    def _newer(self, wanted: Wanted, *, dotrim: bool = True, obsolete: bool = False) -> set[Package]:
        least = wanted.version
        return self._matching(
            wanted.name, lambda have: least is None or have >= least, dotrim=dotrim, obsolete=obsolete
        )

    def _covered(self, wanted: Wanted, *, dotrim: bool = True) -> set[Package]:
        asked = wanted.version
        return self._matching(
            wanted.name, lambda have: asked is None or asked.covers(have), dotrim=dotrim, obsolete=True
        )

    # -- dependencies ------------------------------

    def _fits(self, need: Dependency, *, dotrim: bool = True) -> tuple[set[Package], bool]:
        """The versions that keep a dependency, and whether there must be one."""
        first = need.fmris[0]
        match need.kind:
            case "require":
                return self._newer(first, dotrim=dotrim), True
            case "optional":
                return self._newer(first, dotrim=dotrim, obsolete=True), first.name in self.required
            case "exclude":
                newer = self._newer(first, dotrim=False, obsolete=True)
                older = self._matching(first.name, lambda _: True, dotrim=dotrim, obsolete=True) - newer
                return older, first.name in self.required
            case "incorporate":
                return self._covered(first, dotrim=dotrim), first.name in self.required
            case "conditional":
                return self._newer(first, dotrim=dotrim), self._predicate_holds(need)
            case "require-any":
                found = [self._newer(each, dotrim=dotrim) for each in need.fmris]
                return set.union(*found), True
            case "group" | "group-any":
                return self._group(need, dotrim=dotrim)
        return set(), False  # parent, origin: looked at elsewhere

    def _predicate_holds(self, need: Dependency) -> bool:
        assert need.predicate is not None
        if need.predicate.name not in self.required:
            return False
        proposed = self.proposed.get(need.predicate.name, ())
        return any(each in proposed or each in self.staying for each in self._newer(need.predicate))

    def _group(self, need: Dependency, *, dotrim: bool) -> tuple[set[Package], bool]:
        found: set[Package] = set()
        for each in need.fmris:
            if each.name not in self.rejects and each.name not in self.at.avoided:
                found |= self._newer(Wanted(each.name), dotrim=dotrim, obsolete=True)
        names = {each.name for each in found}
        if len(names) > 1:
            gone = {each.name for each in found if each.obsolete}
            if names - gone:
                found = {each for each in found if not each.obsolete}
        return found, bool(found)

    def _checked(self, package: Package, need: Dependency, *, dotrim: bool = True) -> set[Package]:
        """The versions that keep it; raises Broken with the reason when there must be one and is none."""
        if need.kind == "incorporate":
            self.incorporating.add(package.name)
        if any(each.version is not None and each.version.stamp for each in need.fmris):
            self.stamped = True
        fits, must = self._fits(need, dotrim=dotrim)
        if fits or not must:
            return fits
        if dotrim and need.kind == "incorporate" and package in self.held:
            return self._checked(package, need, dotrim=False)
        raise Broken(self._broken(package, need, dotrim=dotrim))

    def _broken(self, package: Package, need: Dependency, *, dotrim: bool) -> Reason:
        kind, first = need.kind, need.fmris[0]
        if kind == "exclude":
            return self._excluded(first)
        if kind in ("require", "conditional", "require-any"):
            gone = set[Package]().union(
                *(self._newer(each, dotrim=dotrim, obsolete=True) for each in need.fmris)
            )
            if gone:
                what = (
                    f"dependency on {first.text}"
                    if len(need.fmris) == 1
                    else f"dependencies on {frozenset({first.text})}"
                )
                return Reason(OBSOLETE, f"All acceptable versions of '{kind}' {what} are obsolete")
            there = self._newer(first, dotrim=False)
        elif kind == "incorporate":
            there = self._covered(first, dotrim=False)
        else:
            there = self._newer(first, dotrim=False, obsolete=True)
        if not there:
            return Reason(MISSING, f"No version for '{kind}' dependency on {first.text} can be found")
        self._reject_siblings(package, need, dotrim=dotrim)
        text = f"No version matching '{kind}' dependency {first.text} can be installed"
        return Reason(TRIMMED, text, (kind, first.text), _sorted(there))

    def _reject_siblings(self, package: Package, need: Dependency, *, dotrim: bool) -> None:
        """What else is proposed cannot have other versions of what a proposed package needs."""
        if not dotrim or self.proposed.get(package.name) != [package]:
            return
        others = set(self._versions(need.fmris[0].name)) - self._fits(need, dotrim=False)[0]
        text = f"Rejected by '{need.kind}' dependency in proposed package '{package.name}'"
        self._reject(others, Reason(TRIMMED, text, (need.kind, package.name), (package,)))

    def _excluded(self, wanted: Wanted) -> Reason:
        newer = self._newer(wanted, dotrim=False, obsolete=True)
        older = {each for each in self._versions(wanted.name) if each not in newer and not each.obsolete}
        if older:
            text = f"No version allowed by 'exclude' dependency {wanted.text} could be installed"
            return Reason(TRIMMED, text, ("exclude", wanted.text), _sorted(older))
        there = any(each in self.at.installed.values() for each in newer)
        which = "installed" if there else "proposed"
        return Reason(EXCLUDED, f"Package contains 'exclude' dependency {wanted.text} on {which} package")

    FOLLOWED = ("require", "group", "conditional", "require-any", "group-any")

    def _closure(self, start: Iterable[Package], *, full: bool = False) -> set[Package]:
        """All that these could need; packages that cannot have what they need are rejected."""
        followed = (*self.FOLLOWED, *(("incorporate", "optional", "exclude") if full else ()))
        pending, done = sorted(start, key=lambda each: each.fmri, reverse=True), set[Package]()
        while pending:
            each = pending.pop()
            if each in done:
                continue
            done.add(each)
            try:
                for need in each.dependencies:
                    if need.kind in followed:
                        pending += _sorted(self._checked(each, need))
            except Broken as broken:
                self._reject([each], broken.reason)
        return done

    def _require_proposed(self) -> None:
        """What all proposed versions of a package need is required as well: that makes for better messages."""
        found: set[str] = set()
        for versions in self.proposed.values():
            named = [
                {
                    need.fmris[0].name
                    for need in each.dependencies
                    if need.kind in ("conditional", "require")
                    or (need.kind == "group" and need.fmris[0].name not in self.rejects)
                }
                for each in versions
                if not self.rejected.get(each)
            ]
            found |= set.intersection(*named) if named else set()
        self.required |= found

    # -- refusals before the solver ------------------------------

    def _assert_proposed(self) -> None:
        failed = []
        for name, versions in self.proposed.items():
            left = [each for each in versions if not self.rejected.get(each)]
            if left:
                self.proposed[name] = left
            else:
                failed.append(name)
        if not failed:
            return
        if self.at.brief:
            causes = self._causes([each for name in failed for each in self.proposed[name]])
            if causes:
                head = (
                    [f"No matching version of {failed[0]} can be installed."]
                    if len(failed) == 1
                    else [
                        "No matching version of the following",
                        f"{len(failed)} proposed packages can be installed:",
                        *_listed(failed),
                    ]
                )
                raise Unsolvable([*head, "", *causes, *HINT], setup=not self.solving)
        lines: list[str] = []
        seen: set[Package | str] = set()
        for name in failed:
            lines.append(f"No matching version of {name} can be installed:")
            lines += self._tree(self.proposed[name], seen)
        raise Unsolvable(lines, setup=not self.solving)

    def _assert_installed(self) -> None:
        assert self.possible is not None
        lost = [
            each
            for name, each in sorted(self.at.installed.items())
            if each in self.staying
            and name not in self.rejects
            and name not in self.proposed
            and name not in self.possible
        ]
        if not lost:
            return
        if self.at.brief and not any(
            reason.kind == PARENT for each in lost for reason in self.rejected.get(each, ())
        ):
            causes = self._causes(lost)
            if causes:
                head = [
                    "The following installed packages must be uninstalled or upgraded",
                    "if the requested operation is to be performed:",
                ]
                raise Unsolvable(
                    [*head, *_listed([each.name for each in lost]), "", *causes, *HINT],
                    setup=not self.solving,
                )
        lines: list[str] = []
        seen: set[Package | str] = set()
        for each in lost:
            tree = self._tree([each], seen)
            if tree:
                lines.append(
                    f"Package '{each.name}' must be uninstalled or upgraded "
                    "if the requested operation is to be performed."
                )
                lines += tree
        if lines:
            raise Unsolvable(lines, setup=not self.solving)

    def _full_rejection(self, possible: set[Package]) -> None:
        """Follow every kind of dependency until nothing more is rejected, and look again whether that tells why."""
        self.possible = None
        self._require_proposed()
        while True:
            size = sum(map(len, self.rejected.values()))
            self._closure(possible, full=True)
            if size == sum(map(len, self.rejected.values())):
                break
        possible -= self._all_rejected()
        self._require_proposed()
        self._assert_proposed()
        self._assign(possible)
        self._assert_installed()

    def _explain(self, refused: Unsolvable, possible: set[Package]) -> None:
        """Find out why there is no solution; raises Unsolvable with the cause, or with all that can be guessed."""
        if not refused.solver:
            self._full_rejection(set(possible))
            return
        self._full_rejection(possible)
        maintained = (
            ["maintained incorporations:", *(f"  {each.stampless}" for each in _sorted(self.held))]
            if self.held
            else ["maintained incorporations: None"]
        )
        told = self._dependency_errors([each for versions in self.proposed.values() for each in versions])
        lines = ["", *maintained, ""]
        if told:
            lines += ["", "Plan Creation: dependency error(s) in proposed packages:", ""]
            lines += [f"  {each}" for each in told]
            lines += ["", *HINT] if self.at.brief else []
        else:
            lines += [
                "Plan Creation: Package solver is unable to compute solution.",
                "Dependency analysis is unable to determine exact cause.",
                "Try running with -vvv to obtain more detailed error messages.",
            ]
        raise Unsolvable(["No solution was found to satisfy constraints", *lines], solver=True, setup=False)

    def _explain_standstill(self, possible: set[Package]) -> None:
        """Nothing changes, though an installed incorporation has newer versions: pkg says why, or that it cannot."""
        newer = []
        for each in self.staying:
            versions = sorted(self._at_least(each, dotrim=False), key=lambda one: one.key)
            if each.hold and versions and versions[-1] != each:
                newer.append(versions[-1])
        if not newer:
            return
        self._full_rejection(possible)
        lines = [
            "No solution was found to satisfy constraints",
            "No solution found to update to latest available versions.",
            "This may indicate an overly constrained set of packages are installed.",
            " ",
            "latest incorporations:",
            " ",
            *(f"  {each.whole}" for each in _sorted(newer)),
            " ",
        ]
        told = self._dependency_errors(newer)
        if told:
            lines += ["The following indicates why the system cannot update to the latest version:", " "]
            lines += [f"  {each}" for each in told]
            lines += [" ", *HINT] if self.at.brief else []
        else:
            lines += [
                "Dependency analysis is unable to determine the cause.",
                "Try running with -vv, which evaluates packages individually",
                "and can identify the specific cause.",
            ]
        raise Unsolvable(lines, solver=True, setup=False)

    def _dependency_errors(self, packages: Sequence[Package]) -> list[str]:
        lines: list[str] = []
        seen: set[Package | str] = set()
        pending, done = list(packages), set[Package]()
        while pending:
            each = pending.pop(0)
            if each in done:
                continue
            done.add(each)
            if self.rejected.get(each):
                lines += self._tree([each], seen)
                continue
            try:
                for need in each.dependencies:
                    self._checked(each, need)
                    pending += _sorted(self._fits(need, dotrim=False)[0] & self.considered)
            except Broken as broken:
                self._reject([each], broken.reason)
                lines.append(f"No suitable version of required package {each.name} found:")
                lines += self._tree([each], seen)
        return lines

    # -- how it is told ------------------------------

    def _shown(self, package: Package) -> str:
        return package.fmri if self.stamped else package.stampless

    def _hidden(self, reason: Reason) -> bool:
        """A dependency on an incorporation without a version is explained by the versioned ones."""
        kind, name = reason.subject
        return reason.kind == TRIMMED and kind == "require" and "@" not in name and name in self.incorporating

    def _causes(self, packages: Sequence[Package]) -> list[str]:
        """What the rejections go back to, empty if nothing can be found (`__rejection_summary`)."""
        pending, seen, count = list(packages), set[Package](), 0
        told: dict[str, int] = {}
        carriers: dict[Package, list[str]] = {}
        while pending:
            each = pending.pop(0)
            if each in seen:
                continue
            seen.add(each)
            count += bool(self.rejected.get(each))
            for reason in sorted(self.rejected.get(each, ()), key=lambda one: (one.kind, one.text)):
                if reason.kind in UNTOLD or self._hidden(reason):
                    continue
                if reason.kind != TRIMMED:
                    if reason.text in told:
                        told[reason.text] += 1
                    else:
                        told[reason.text] = 0
                        carriers.setdefault(each, []).append(reason.text)
                pending += reason.others
        if not carriers:
            return []
        lines = ["This is due to the following root cause(s):", ""]
        for package, texts in carriers.items():
            lines.append(f"  Package: {self._shown(package)}")
            for text in texts:
                lines.append(f"  Reason:  {text}")
                if told[text]:
                    lines.append(
                        f"           (and {told[text]} other rejected package versions with the same reason)"
                    )
            lines.append("")
        versions = "one package version" if count == 1 else f"{count} package versions in total"
        return [*lines, f"The above led to the rejection of {versions}."]

    def _tree(self, packages: Iterable[Package], seen: set[Package | str], indent: str = "") -> list[str]:
        """Every rejection with its reasons, and below them the rejections that caused them."""
        lines: list[str] = []
        last: list[str] | None = None
        run: list[str] = []
        for each in sorted(packages, key=lambda one: one.name):
            reasons = self._reasons(each, seen, indent)
            if reasons is None:
                continue
            if reasons == last:
                run.append(f"{' ' * len(f'{indent}  Reject:  ')}{self._shown(each)}")
                continue
            lines += [*_run(run, indent), *(last or [])]
            run, last = [], reasons
            lines.append(f"{indent}  Reject:  {self._shown(each)}")
        return [*lines, *_run(run, indent), *(last or [])]

    def _reasons(self, package: Package, seen: set[Package | str], indent: str) -> list[str] | None:
        """None: there is nothing to tell of it."""
        told = [each for each in self.rejected.get(package, ()) if each.kind not in UNTOLD]
        if package in seen:
            return [f"{indent}  Reason:  [already rejected; see above]"] if told else None
        seen.add(package)
        if not told:
            return None
        lines = []
        for reason in sorted(told, key=lambda one: (one.kind, one.text)):
            lines.append(f"{indent}  Reason:  {reason.text}")
            if reason.text in seen:
                continue
            seen.add(reason.text)
            if self._hidden(reason):
                continue
            below = self._tree([each for each in reason.others if each not in seen], seen, f"{indent}  ")
            if below:
                rule = f"{indent}    {'-' * 40}"
                lines += [rule, *below, rule]
        return lines

    # -- the clauses ------------------------------

    def _assign(self, possible: Iterable[Package]) -> None:
        self.possible = {}
        for each in sorted(possible, key=lambda one: one.key):
            self.possible.setdefault(each.name, []).append(each)

    def _problem(self, possible: set[Package]) -> None:
        self._assign(possible)
        self.considered = set(possible)
        assert self.possible is not None
        ordered = [each for name in sorted(self.possible) for each in reversed(self.possible[name])]
        self.number = {each: place for place, each in enumerate(ordered, 1)}
        self.ordered = ordered
        self.problem = Problem()
        for versions in self.possible.values():
            for place, one in enumerate(versions):
                for other in versions[place + 1 :]:
                    self.problem.add((-self.number[one], -self.number[other]))
            for each in versions:
                for need in each.dependencies:
                    self._add_dependency(each, need)

    def _add_dependency(self, package: Package, need: Dependency) -> None:
        mine = -self.number[package]
        if need.kind == "incorporate":
            self.incorporating.add(package.name)
        if need.kind in ("parent", "origin"):
            return
        fits = {each for each in self._fits(need)[0] if each in self.number}
        if need.kind in ("require", "require-any", "group", "group-any"):
            if fits or need.kind.startswith("require"):
                self.problem.add((mine, *(self.number[each] for each in _newest(fits))))
            return
        if need.kind == "conditional":
            assert need.predicate is not None
            for each in self._newer(need.predicate):
                if each in self.number:
                    self.problem.add((mine, -self.number[each], *(self.number[one] for one in _newest(fits))))
            return
        for other in self._versions(need.fmris[0].name):
            if other in self.number and other not in fits:
                self.problem.add((mine, -self.number[other]))

    def _operation(self) -> None:
        assert self.possible is not None
        for name, versions in self.proposed.items():
            self._one_of(set(versions) & set(self.possible.get(name, ())))
        for name, each in self.at.installed.items():
            stays = name not in self.proposed and name not in self.rejects and each in self.staying
            if stays and name in self.possible:
                self._one_of(self.possible[name])

    def _one_of(self, packages: Iterable[Package]) -> None:
        self.problem.add([self.number[each] for each in _newest(packages)])

    def _clauses_solved(self, possible: set[Package]) -> set[Package]:
        self._problem(possible)
        self._operation()
        self._assert_installed()
        self.solving = True
        return self._improved(self.problem)

    def _solved(self, possible: set[Package]) -> set[Package]:
        """The newest of what was asked for, and as little change as possible beside it."""
        solution = self._clauses_solved(possible)
        for each in solution:
            if each.name in self.proposed:
                self.problem.add([self.number[each]])
        solution = self._improved(self.problem, older=True)
        for each in solution & set(self.at.installed.values()):
            self.problem.add([self.number[each]])
        solution = self._improved(self.problem)
        return self.without_renames({each for each in solution if not each.obsolete})

    def _improved(self, problem: Problem, *, older: bool = False) -> set[Package]:
        """Solve, then again with nothing older (or newer) allowed, until there is no other solution."""
        problem = problem.copy()
        order = [self.number[each] for each in (reversed(self.ordered) if older else self.ordered)]
        last: set[int] | None = None
        while (found := problem.solve(order)) is not None:
            last = found
            if not found:
                break
            for number in found:
                each = self.ordered[number - 1]
                newer = self._at_least(each) - {each}
                worse = newer if older else set(self._versions(each.name)) - newer - {each} - self.downgrades
                for other in worse:
                    problem.add((-self.number[other],))
            problem.add([-number for number in found])
        if last is None:
            raise Unsolvable(["No solution was found to satisfy constraints"], solver=True, setup=False)
        return {self.ordered[number - 1] for number in last}

    def without_renames(self, solution: set[Package]) -> set[Package]:
        """Less the renamed packages that nothing else needs."""
        renamed = {each for each in solution if each.renamed}
        names = {each.name: each for each in solution}
        pending, done = list(solution - renamed), set[Package]()
        while pending:
            each = pending.pop()
            done.add(each)
            for need in each.dependencies:
                if need.kind in ("incorporate", "optional", "origin"):
                    continue
                for wanted in need.fmris:
                    found = names.get(wanted.name)
                    if found is not None:
                        renamed.discard(found)
                        pending += [found] if found not in done else []
        return solution - renamed


HINT = [
    "Re-run the operation with the -v option to see all of the rejected",
    "packages and detailed reasons.",
]


def _as_wanted(package: Package) -> Wanted:
    return Wanted(package.name, package.publisher, package.key, package.short)


def _sorted(packages: Iterable[Package]) -> tuple[Package, ...]:
    return tuple(sorted(packages, key=lambda each: (each.name, each.key)))


def _newest(packages: Iterable[Package]) -> list[Package]:
    return sorted(packages, key=lambda each: (each.name, each.key), reverse=True)


def _listed(names: Iterable[str], limit: int = 8) -> list[str]:
    ordered = sorted(names)
    more = [f"... and {len(ordered) - limit} others"] if len(ordered) > limit else []
    return [f"\t{name}" for name in [*ordered[:limit], *more]]


def _run(run: Sequence[str], indent: str) -> list[str]:
    """Packages rejected alike stand below each other: the second if there are two, else `to` and the last."""
    if len(run) <= 1:
        return list(run)
    return [f"{' ' * len(f'{indent}  Reject:  ')}  to", run[-1]]
