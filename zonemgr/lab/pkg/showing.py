"""pkg list, info, verify."""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.lab.pkg import catalogue
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.command import OK, OOPS, PARTIAL, Run, error, usage
from zonemgr.lab.pkg.image import Image
from zonemgr.lab.pkg.plan import PkgError


def list_(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "Haefimnqrsuvg:o:F:", {"no-refresh": "no-refresh"})
    for letter in "eimros":
        if letter in given:
            raise PkgError(f"lab: pkg list -{letter} is not emulated")
    if "F" in given:
        raise PkgError("lab: pkg list -F is not emulated")
    if "u" in given and given.keys() & {"a", "n"}:
        raise usage(
            run, "-u and -a are mutually exclusive" if "a" in given else "-u and -n are mutually exclusive"
        )
    image = run.image()
    if "g" in given or given.keys() & {"a", "n"}:
        _fresh(run, image, given)
    rows = _candidates(image, given)
    found, missing = _matching(rows, patterns)
    if found and "q" not in given:
        _print(run, image, found, given)
    return _result(run, image, given, found, missing, patterns)


def _fresh(run: Run, image: Image, given: dict[str, list[str]]) -> None:
    """A privileged list of what is available fetches the catalogues first."""
    if run.call.privileged and "no-refresh" not in given:
        image.refresh()


def _candidates(image: Image, given: dict[str, list[str]]) -> list[Package]:
    if not given.keys() & {"a", "n", "u", "g"}:
        return sorted(image.installed.values(), key=lambda each: each.name)
    known = sorted(image.known(origins=given.get("g", [])), key=lambda each: each.name)
    if "u" in given:
        return [
            each
            for each in known
            if each.name in image.installed and image.installed[each.name].key < each.key
        ]
    if "f" in given:
        return known
    return list({(each.name, each.publisher): each for each in reversed(known)}.values())[::-1]


def _matching(rows: Sequence[Package], patterns: Sequence[str]) -> tuple[list[Package], list[str]]:
    if not patterns:
        return list(rows), []
    found: dict[Package, None] = {}
    missing = []
    for pattern in patterns:
        try:
            matches = catalogue.match(pattern, rows)
        except catalogue.IllegalPattern:
            raise PkgError(f"'{pattern}' is an illegal fmri") from None
        missing += [] if matches else [pattern]
        found.update(dict.fromkeys(matches))
    return [each for each in rows if each in found], missing


def _print(run: Run, image: Image, found: Sequence[Package], given: dict[str, list[str]]) -> None:
    verbose = "v" in given
    if "H" not in given:
        head = f"{'FMRI':<76} IFO" if verbose else f"{'NAME (PUBLISHER)':<49} {'VERSION':<26} IFO"
        run.call.out(head + "\n")
    for package in found:
        flags = _flags(image, package)
        if verbose:
            run.call.out(f"{package.fmri:<76} {flags}\n")
        else:
            publisher = "" if package.publisher == image.preferred else f" ({package.publisher})"
            run.call.out(f"{package.name + publisher:<49} {package.version:<26} {flags}\n")


def _flags(image: Image, package: Package) -> str:
    have = image.installed.get(package.name)
    installed = have is not None and have.fmri == package.fmri
    manual = "m" if run_on_omnios(image) and package.name in image.manual and installed else "-"
    return ("i" if installed else "-") + manual + ("o" if package.has("o") else "-")


def run_on_omnios(image: Image) -> bool:
    return image.where.omnios


def _result(
    run: Run, image: Image, given: dict[str, list[str]], found: Sequence[Package], missing: Sequence[str],
    patterns: Sequence[str],
) -> int:  # fmt: skip
    if not missing and found:
        return OK
    text = _absent(image, given, missing) if patterns else _nothing(image, given)
    if "q" not in given:
        run.call.err(error(text, run.name) + "\n")
    return PARTIAL if found else OOPS


def _absent(image: Image, given: dict[str, list[str]], missing: Sequence[str]) -> str:
    names = "\n  ".join(sorted(missing))
    if "u" in given:
        have = [each for each in missing if catalogue.match(each, image.installed.values())]
        if have:
            return "no updates are available for the following packages:\n  " + "\n  ".join(have)
        return f"no packages matching the following patterns are installed:\n  {names}"
    if "n" in given or "f" in given:
        return f"no known packages matching:\n  {names}"
    if "a" in given:
        return (
            "no packages matching the following patterns are allowed by installed incorporations, or image "
            f"variants that are known or installed\n  {names}"
        )
    return f"no packages matching the following patterns are installed:\n  {names}"


def _nothing(image: Image, given: dict[str, list[str]]) -> str:
    if "u" in given:
        return "no packages have newer versions available" if image.installed else "no packages are installed"
    return "no packages installed"


# -- info ----------------------------------------------------------------------------------------------------


def info(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "lqrg:", {"license": "license"})
    if "license" in given:
        raise PkgError("lab: pkg info --license is not emulated")
    remote = given.keys() & {"r", "g"}
    if remote and not patterns:
        raise usage(run, "must request remote info for specific packages")
    image = run.image()
    rows = image.known(origins=given.get("g", [])) if remote else list(image.installed.values())
    if remote:
        rows = list({(each.name, each.publisher): each for each in reversed(rows)}.values())[::-1]
    if not rows:
        raise PkgError("no packages installed")
    found, missing = _matching(rows, patterns)
    if "q" not in given:
        run.call.out("\n".join(_described(image, each) for each in found))
    if missing and "q" not in given:
        run.call.err(("\n" if found else "") + _not_found(missing, remote=bool(remote)))
    return OK if not missing else PARTIAL if found else OOPS


def _described(image: Image, package: Package) -> str:
    have = image.installed.get(package.name)
    state = "Installed" if have is not None and have.fmri == package.fmri else "Not installed"
    component, _, branch = package.version.partition("-")
    rows = [
        ("Name", package.name), ("Summary", package.entry.summary), ("State", state),
        ("Publisher", package.publisher), ("Version", component), ("Branch", branch),
        ("Packaging Date", package.stamp), ("Size", "1.00 MB"), ("FMRI", package.fmri),
    ]  # fmt: skip
    if state == "Installed" and package.name in image.manual:
        rows[2] = ("State", "Installed (Manually installed)" if run_on_omnios(image) else "Installed")
    return "".join(f"{name:>14}: {value}\n" for name, value in rows)


def _not_found(missing: Sequence[str], *, remote: bool) -> str:
    if remote:
        head = (
            "pkg: info: no packages matching the following patterns you specified were\n"
            "found in the catalog.  Try relaxing the patterns, refreshing, and/or\nexamining the catalogs:\n"
        )
    else:
        head = (
            "pkg: info: no packages matching the following patterns you specified are\n"
            "installed on the system.  Try querying remotely instead:\n"
        )
    return f"{head}\n" + "".join(f"        {pattern}\n" for pattern in missing)


# -- verify --------------------------------------------------------------------------------------------------


def verify(run: Run, words: Sequence[str]) -> int:
    """Packages have no files here, so that all that can be found out is whether they are installed."""
    given, patterns = run.options(words, "Hqvp:", {})
    if "p" in given:
        raise PkgError("lab: pkg verify -p is not emulated")
    image = run.image()
    found, missing = _matching(sorted(image.installed.values(), key=lambda each: each.name), patterns)
    if missing:
        raise PkgError("\n" + "\n".join(f"'{pattern}' matches no installed packages" for pattern in missing))
    if "v" in given and "q" not in given:
        run.call.out("" if "H" in given else f"{'PACKAGE':<70} {'STATUS':>7}\n")
        run.call.out("".join(f"pkg://{each.publisher}/{each.name:<52} {'OK':>7}\n" for each in found))
    return OK
