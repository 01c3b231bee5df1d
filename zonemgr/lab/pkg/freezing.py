"""pkg freeze, unfreeze: packages that stay at a version."""

from __future__ import annotations

import time
from collections.abc import Sequence

from zonemgr.lab.pkg import catalogue, fmri
from zonemgr.lab.pkg.command import NOTHING, OK, Run, usage
from zonemgr.lab.pkg.image import Image
from zonemgr.lab.pkg.plan import PkgError
from zonemgr.lab.pkg.solver import Freeze


def freeze(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "Hnc:", {})
    if not patterns:
        if "c" in given or "n" in given:
            raise usage(run, "at least one package name required")
        return _listed(run, run.image(), header="H" not in given)
    run.check_patterns(patterns)
    with run.changing() as image:
        for pattern in patterns:
            wanted = fmri.pattern(pattern)
            found = catalogue.match(pattern, image.installed.values())
            if not found:
                raise PkgError(
                    f"\nThe following pattern(s) did not match any installed packages:\n\t{pattern}"
                )
            if len(found) > 1 and not wanted.glob:
                names = "\n".join(f"\t{each.name}" for each in found)
                raise PkgError(f"\n'{pattern}' matches multiple packages\n{names}")
            for package in found:
                version = wanted.version or f"{package.version}:{package.stamp}"
                image.frozen[package.name] = Freeze(
                    package.name, version, given.get("c", [""])[-1], run.where.now
                )
                run.call.out(f"{package.name} was frozen at {version}\n")
        if "n" not in given:
            image.save()
    return OK


def unfreeze(run: Run, words: Sequence[str]) -> int:
    given, patterns = run.options(words, "Hn", {})
    if not patterns:
        return _listed(run, run.image(), header="H" not in given)
    run.check_patterns(patterns)
    with run.changing() as image:
        gone = [
            name
            for name in sorted(image.frozen)
            if any(fmri.pattern(each).fits_name(name) for each in patterns)
        ]
        for name in gone:
            del image.frozen[name]
            run.call.out(f"{name} was unfrozen.\n")
        if "n" not in given:
            image.save()
    return OK if gone else NOTHING


def _date(when: float) -> str:
    return time.strftime("%d %b %Y %H:%M:%S UTC", time.gmtime(when))


def _listed(run: Run, image: Image, *, header: bool) -> int:
    rows = [
        (each.name, each.version, _date(each.when), each.comment or "None") for each in image.frozen.values()
    ]
    if rows and header:
        rows.insert(0, ("NAME", "VERSION", "DATE", "COMMENT"))
    for name, version, date, comment in rows:
        run.call.out(f"{name:<18} {version:<27} {date:<24} {comment}\n")
    return OK
