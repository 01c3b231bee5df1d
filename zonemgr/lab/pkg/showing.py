"""pkg list, info, verify, contents."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from zonemgr.lab.pkg import actions, catalogue, publishers, tree
from zonemgr.lab.pkg.catalogue import OF_FILES, Package
from zonemgr.lab.pkg.command import OK, OOPS, PARTIAL, Run, error, usage
from zonemgr.lab.pkg.image import Image
from zonemgr.lab.pkg.plan import PkgError
from zonemgr.lab.pkg.progress import Progress

COLUMNS = {"namepub": "NAME (PUBLISHER)", "version": "VERSION", "flags": "IFO"}
NOT_EMULATED = "eiro"


def list_(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "HafeimMnqrRsuvg:o:F:", {"no-refresh": "no-refresh"})
    for letter in NOT_EMULATED:
        if letter in given:
            raise PkgError(f"lab: pkg list -{letter} is not emulated")
    form = given.get("F", ["default"])[-1]
    if form not in ("default", "tsv", "json", "json-formatted"):
        raise usage(run, f"Unrecognized format {form}.  Supported formats: default tsv json json-formatted")
    if "f" in given and "a" not in given:
        raise usage(run, "-f may only be used in combination with -a")
    if "u" in given and "a" in given:
        raise usage(run, "-u and -a may not be combined")
    run.check_patterns(patterns)
    image = run.image()
    _fresh(run, image, given)
    rows = _candidates(run, image, given)
    found, missing = _matching(rows, patterns)
    if found and "q" not in given:
        _print(run, image, found, given, form)
    return _result(run, image, given, found, missing, patterns)


def _fresh(run: Run, image: Image, given: dict[str, list[str]]) -> None:
    """A privileged list of what is available fetches the catalogues first, and says nothing of those it misses."""
    if given.keys() & {"a", "n", "g"} and run.call.privileged and "no-refresh" not in given:
        image.refresh()


def _candidates(run: Run, image: Image, given: dict[str, list[str]]) -> list[Package]:
    installed = sorted(image.installed.values(), key=lambda each: each.name)
    if "m" in given or "M" in given:
        installed = [each for each in installed if (each.name in image.manual) == ("m" in given)]
    if not given.keys() & {"a", "n", "u", "g"}:
        return installed
    known = image.known(origins=[publishers.absolute(run, uri) for uri in given.get("g", [])])
    known.sort(key=lambda each: each.key, reverse=True)
    known.sort(key=lambda each: each.name)
    if "f" in given:
        return list({each.fmri: each for each in known}.values())
    fitting = [each for each in known if each.suits(image.variants)]
    if "n" in given:
        return _newest(fitting)
    if "u" in given:
        return [each for each in installed if _upgradable(image, each, fitting)]
    others = [each for each in _newest(_allowed(image, fitting)) if each.name not in image.installed]
    return sorted([*installed, *others], key=lambda each: each.name)


def _newest(packages: Sequence[Package]) -> list[Package]:
    """The first of each name and publisher; the newest come first."""
    return list({(each.name, each.publisher): each for each in reversed(packages)}.values())[::-1]


def _allowed(image: Image, packages: Sequence[Package]) -> list[Package]:
    """What installed incorporations leave."""
    limits = [
        need.fmris[0]
        for each in image.installed.values()
        for need in each.dependencies
        if need.kind == "incorporate"
    ]
    return [
        each
        for each in packages
        if all(
            limit.name != each.name or limit.version is None or limit.version.covers(each.key)
            for limit in limits
        )
    ]


def _upgradable(image: Image, package: Package, known: Sequence[Package]) -> bool:
    return any(
        each.name == package.name and each.key > package.key and each.publisher == package.publisher
        for each in known
    )


def _matching(rows: Sequence[Package], patterns: Sequence[str]) -> tuple[list[Package], list[str]]:
    if not patterns:
        return list(rows), []
    found: dict[Package, None] = {}
    missing = []
    for pattern in patterns:
        matches = catalogue.match(pattern, rows)
        missing += [] if matches else [pattern]
        found.update(dict.fromkeys(matches))
    return [each for each in rows if each in found], missing


def _print(run: Run, image: Image, found: Sequence[Package], given: dict[str, list[str]], form: str) -> None:
    header = "H" not in given
    if form != "default":
        run.call.out(_for_machines(image, found, form, header=header))
        return
    if "s" in given:
        rows = [("NAME (PUBLISHER)", "SUMMARY")] if header else []
        rows += [(_named(image, each), each.entry.summary) for each in found]
        run.call.out("".join(f"{name:<55} {text}\n" for name, text in rows))
        return
    width, titles = (
        (76, ("FMRI", "IFO")) if "v" in given else (49, (f"{'NAME (PUBLISHER)':<49} {'VERSION':<26}", "IFO"))
    )
    if header:
        run.call.out(f"{titles[0]:<{width}} {titles[1]}\n")
    for each in found:
        name = each.fmri if "v" in given else f"{_named(image, each):<49} {each.version:<26}"
        run.call.out(f"{name:<{width}} {_flags(image, each)}\n")


def _for_machines(image: Image, found: Sequence[Package], form: str, *, header: bool) -> str:
    rows = [
        {"flags": _flags(image, each), "namepub": _named(image, each), "version": each.version}
        for each in found
    ]
    if form.startswith("json"):
        return json.dumps(rows, indent=2 if form == "json-formatted" else None, sort_keys=True) + "\n"
    lines = [list(COLUMNS.values())] if header else []
    lines += [[row[name] for name in COLUMNS] for row in rows]
    return "".join("\t".join(line) + "\n" for line in lines)


def _named(image: Image, package: Package) -> str:
    return package.name + ("" if image.preferred in ("", package.publisher) else f" ({package.publisher})")


def _flags(image: Image, package: Package) -> str:
    have = image.installed.get(package.name)
    installed = have is not None and have.fmri == package.fmri
    manual = "m" if run_on_omnios(image) and package.name in image.manual and installed else "-"
    state = "f" if package.name in image.frozen and installed else manual
    return (
        ("i" if installed else "-") + state + ("o" if package.obsolete else "r" if package.renamed else "-")
    )


def run_on_omnios(image: Image) -> bool:
    return image.where.omnios


def _result(
    run: Run, image: Image, given: dict[str, list[str]], found: Sequence[Package], missing: Sequence[str],
    patterns: Sequence[str],
) -> int:  # fmt: skip
    if (not missing and found) or (given.keys() & {"m", "M"} and not patterns):
        return OK
    text = error(f" \n{_absent(image, given, missing)}", run.name) if patterns else _nothing(image, given)
    if "q" not in given:
        run.call.err(f"{text}\n")
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
            f"variants that are known or installed\n  {names}\nUse -af to allow all versions."
        )
    return f"no packages matching the following patterns are installed:\n  {names}"


def _nothing(image: Image, given: dict[str, list[str]]) -> str:
    """Without a prefix: it is no error of pkg's own."""
    if "u" in given:
        return "no packages have newer versions available" if image.installed else "no packages are installed"
    return "no packages installed"


# -- info ----------------------------------------------------------------------------------------------------


def info(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "lqrg:", {"license": "license"})
    remote = given.keys() & {"r", "g"}
    if remote and not patterns:
        raise usage(run, "must request remote info for specific packages")
    run.check_patterns(patterns)
    image = run.image()
    image.temporary = [publishers.absolute(run, uri) for uri in given.get("g", [])]
    rows = image.known(origins=image.temporary) if remote else list(image.installed.values())
    if remote:
        rows.sort(key=lambda each: each.key, reverse=True)
        rows = _newest(rows)
    if not rows:
        raise PkgError("pkg: no packages installed")
    found, missing = _matching(sorted(rows, key=lambda each: each.name), patterns)
    if "license" in given:
        run.call.out("".join(f"{_licence(image, each)}\n" for each in found))
    elif "q" not in given:
        run.call.out("\n".join(_described(image, each) for each in found))
    if missing and "q" not in given:
        run.call.err(("\n" if found else "") + _not_found(missing, remote=bool(remote)))
    return OK if not missing else PARTIAL if found else OOPS


def _described(image: Image, package: Package) -> str:
    have = image.installed.get(package.name)
    state = "Installed" if have is not None and have.fmri == package.fmri else "Not installed"
    component, _, branch = package.version.partition("-")
    lines = image.manifest(package) or []
    human = actions.setting(package.lines, "pkg.human-version")
    size = (
        "1.00 MB"
        if not package.has(OF_FILES)
        else f"{sum(int(each.get('pkg.size', '0')) for each in lines):.2f} B"
    )
    marks = ["Frozen"] if package.name in image.frozen and state == "Installed" else []
    if state == "Installed" and package.name in image.manual and run_on_omnios(image):
        marks.append("Manually installed")
    stamp = time.strptime(package.stamp, "%Y%m%dT%H%M%SZ")
    rows = [
        ("Name", package.name), ("Summary", package.entry.summary),
        ("State", f"{state} ({', '.join(marks)})" if marks else state), ("Publisher", package.publisher),
        ("Version", f"{component} ({human})" if human else component), ("Branch", branch),
        ("Packaging Date", time.strftime("%a %b %e %T %Y", stamp)),
        ("Last Install Time", _when(image, package) if state == "Installed" else ""),
        ("Size", size), ("FMRI", package.fmri),
    ]  # fmt: skip
    width = max(len(name) for name, value in rows if value)
    return "".join(f"{name:>{width}}: {value}\n" for name, value in rows if value)


def _when(image: Image, package: Package) -> str:
    when = image.times.get(package.name)
    return time.strftime("%a %b %e %T %Y", time.gmtime(when)) if when is not None else ""


def _licence(image: Image, package: Package) -> str:
    lines = [each for each in image.manifest(package) or [] if each.kind == "license"]
    return "\n".join(image.payload(package, each).decode(errors="replace").rstrip("\n") for each in lines)


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
    """What the manifests say against what is there; invented packages have no files."""
    given, patterns = run.options(words, "Hqvp:", {})
    if "p" in given:
        raise PkgError("lab: pkg verify -p is not emulated")
    run.check_patterns(patterns)
    image = run.image()
    found, missing = _matching(sorted(image.installed.values(), key=lambda each: each.name), patterns)
    if missing:
        raise PkgError("\n" + "\n".join(f"'{pattern}' matches no installed packages" for pattern in missing))
    faults = {each: tree.faults(image, each) for each in found}
    shown = [each for each in found if faults[each] or "v" in given]
    Progress(run, quiet="q" in given, verbose="v" in given).verified(faulty=any(faults.values()))
    if shown and "q" not in given:
        run.call.out("" if "H" in given else f"{'PACKAGE':<70} {'STATUS':>7}\n")
        for each in shown:
            state = "ERROR" if faults[each] else "OK"
            run.call.out(f"{f'pkg://{each.publisher}/{each.name}':<70} {state:>7}\n")
            run.call.out(
                "".join(f"\t{kind}: {path}\n\t\tERROR: {text}\n" for kind, path, text in faults[each])
            )
    return OOPS if any(faults.values()) else OK


# -- contents ----------------------------------------------------------------------------------------------------


def contents(run: Run, words: Sequence[str]) -> int:
    """The paths of installed packages, or with -m their manifests; other columns are not emulated."""
    given, patterns = run.options(words, "Hm", {})
    run.check_patterns(patterns)
    image = run.image()
    found, missing = _matching(sorted(image.installed.values(), key=lambda each: each.name), patterns)
    if "m" in given:
        run.call.out("".join(image.manifest_text(each) or "" for each in found))
    else:
        paths = sorted(
            line.get("path") for each in found for line in image.manifest(each) or [] if line.get("path")
        )
        run.call.out(
            "".join(f"{path}\n" for path in (["PATH", *paths] if paths and "H" not in given else paths))
        )
    if missing:
        names = "".join(f"        {pattern}\n" for pattern in missing)
        run.call.err(
            "pkg: contents: no packages matching the following patterns you specified are\n"
            f"installed on the system.  Try specifying -r to query remotely:\n\n{names}"
        )
    return OK if not missing else PARTIAL if found else OOPS
