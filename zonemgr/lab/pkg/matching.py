"""Which packages the user's patterns mean (`__match_user_fmris`, `match_user_stems` in pkg5's client/imageplan.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from zonemgr.lab.pkg import fmri
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.fmri import Pattern

Ranks = Mapping[str, tuple[int, bool]]


class Unmatched(Exception):
    """What pkg says of the patterns that will not do."""


@dataclass
class _Faults:
    nothing: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    variant: list[str] = field(default_factory=list)
    publisher: list[tuple[str, list[str]]] = field(default_factory=list)
    several: list[tuple[str, list[str]]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    different: list[tuple[str, list[str]]] = field(default_factory=list)

    def text(self) -> str:
        try_other = "Try\nusing a different matching pattern, or refreshing publisher information:\n"
        lines: list[str] = []
        for head, patterns in (
            (f"The following pattern(s) did not match any allowable packages.  {try_other}", self.nothing),
            (
                f"The following pattern(s) only matched packages rejected by user request.  {try_other}",
                self.rejected,
            ),
            (
                "The following pattern(s) only matched packages that are not available\n"
                "for the current image's architecture, zone type, and/or other variant:",
                self.variant,
            ),
        ):
            lines += [head, *(f"\t{each}" for each in patterns)] if patterns else []
        if self.publisher:
            lines.append(
                "The following patterns only matched packages that are from publishers other than that which "
                "supplied the already installed version of this package"
            )
            lines += [f"\t{each}: {', '.join(names)}" for each, names in self.publisher]
        for each, names in self.several:
            lines += [f"'{each}' matches multiple packages", *(f"\t{name}" for name in names)]
        lines += [f"'{each}' matches no installed packages" for each in self.absent]
        if self.different:
            lines.append("The following patterns specify different versions of the same package(s):")
            lines += [f"{', '.join(texts)}: {name}" for name, texts in self.different]
        return "\n".join(lines)


@dataclass
class Matcher:
    known: Sequence[Package]
    installed: Mapping[str, Package]
    ranks: Ranks
    variants: Mapping[str, str]
    rejects: Collection[str] = ()
    only_installed: bool = False  # names must be of installed packages (`update`)
    ignore_missing: bool = False

    def match(self, patterns: Sequence[str]) -> dict[str, list[Package]]:
        """By name, the versions that the patterns allow; raises Unmatched, and fmri.IllegalFmri."""
        faults = _Faults()
        chosen = {}
        for each in unique(patterns):
            chosen[each] = self._chosen(each, faults)
        found = self._combined(chosen, faults)
        if faults.text():
            raise Unmatched(faults.text())
        return {name: self._of_best_publisher(name, versions) for name, versions in found.items()}

    def _chosen(self, pattern: Pattern, faults: _Faults) -> dict[str, list[Package]]:
        """By name what one pattern fits, empty when it is at fault."""
        fitting = [
            each
            for each in {*self.known, *self.installed.values()}
            if pattern.fits(each.publisher, each.name, each.key)
            and not (self.only_installed and each.name not in self.installed)
        ]
        allowed = [each for each in fitting if each.name not in self.rejects]
        suiting = [each for each in allowed if each.suits(dict(self.variants))]
        names: dict[str, list[Package]] = {}
        for each in suiting:
            names.setdefault(each.name, []).append(each)
        if len(names) > 1 and not pattern.glob:
            names = _without_retired(names)
        if not names:
            if not fitting and self.only_installed:
                faults.absent += [] if self.ignore_missing else [pattern.text]
            elif not fitting:
                faults.nothing.append(pattern.text)
            else:
                (faults.variant if allowed else faults.rejected).append(pattern.text)
        elif len(names) > 1 and not pattern.glob:
            stems = {f"pkg://{each.publisher}/{each.name}" for found in names.values() for each in found}
            faults.several.append((pattern.text, sorted(stems)))
            return {}
        return names

    def _combined(
        self, chosen: Mapping[Pattern, dict[str, list[Package]]], faults: _Faults
    ) -> dict[str, list[Package]]:
        """A name that was spelt out counts for more than a glob."""
        found = {}
        for name in sorted({name for names in chosen.values() for name in names}):
            mine = [each for each, names in chosen.items() if name in names]
            mine = (
                [each for each in mine if not each.glob] or [each for each in mine if each.publisher] or mine
            )
            common = set.intersection(*(set(chosen[each][name]) for each in mine))
            have = self.installed.get(name)
            if (
                common
                and have is not None
                and not any(each.publisher for each in mine)
                and self.ranks.get(have.publisher, (0, False))[1]
            ):
                others = sorted({each.publisher for each in common} - {have.publisher})
                common = {each for each in common if each.publisher == have.publisher}
                if not common:
                    faults.publisher += [(each.text, others) for each in mine]
                    continue
            if not common:
                faults.different.append((name, [each.text for each in mine]))
                continue
            versions = sorted(common, key=lambda each: each.key)
            found[name] = (
                [each for each in versions if each.key == versions[-1].key] if mine[0].latest else versions
            )
        return found

    def _of_best_publisher(self, name: str, versions: list[Package]) -> list[Package]:
        best = min((self.ranks.get(each.publisher, (1000, True))[0], each.publisher) for each in versions)[1]
        have = self.installed.get(name)
        have = have if have in versions else None
        return [
            each
            for each in versions
            if each == have or (each.publisher == best and not (have and each.key == have.key))
        ]


def unique(patterns: Iterable[str]) -> list[Pattern]:
    """Parsed, each once; raises fmri.IllegalFmri."""
    return list(
        {
            (each.name, each.exact, each.publisher, each.version): each
            for each in map(fmri.pattern, patterns)
        }.values()
    )


def stems(patterns: Sequence[str], names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By pattern, the names (given with their publishers) that it fits; versions are not looked at."""
    pairs = list(names)
    return {
        each.text: sorted(
            {name for publisher, name in pairs if each.publisher in ("", publisher) and each.fits_name(name)}
        )
        for each in unique(patterns)
    }


def _without_retired(names: dict[str, list[Package]]) -> dict[str, list[Package]]:
    """Of several names, not those that became obsolete, nor what one of them was renamed to."""
    obsolete = {name for name, found in names.items() if any(each.obsolete for each in found)}
    if obsolete and set(names) - obsolete:
        names = {name: found for name, found in names.items() if name not in obsolete}
    if len(names) > 1:
        targets = {
            need.fmris[0].name
            for found in names.values()
            for each in found
            if each.renamed
            for need in each.dependencies
            if need.kind == "require"
        }
        names = {name: found for name, found in names.items() if name not in targets}
    return names
