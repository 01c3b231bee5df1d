"""pkg install, uninstall, update, refresh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zonemgr.lab.pkg import clients, environments, linked
from zonemgr.lab.pkg import plan as planning
from zonemgr.lab.pkg.command import NOTHING, OK, OOPS, PARTIAL, Run, usage
from zonemgr.lab.pkg.environments import Choice
from zonemgr.lab.pkg.image import Image
from zonemgr.lab.pkg.plan import PkgError, Plan

FLAGS = (
    "accept licenses no-refresh no-index ignore-missing sync-actuators no-be-activate "
    "deny-new-be require-new-be no-backup-be require-backup-be"
)
LONG = {
    **{name: name for name in FLAGS.split()},
    **{f"{name}=": name for name in ("sync-actuators-timeout", "be-name", "backup-be-name")},
    **dict.fromkeys(("temp-be-activate",), "refused"),
    **dict.fromkeys(("reject=", "parsable="), "refused"),
}
LETTERS = "nvqfrRtg:C:z:Z:"


def _read(run: Run, words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    given, patterns = run.options(words, LETTERS, LONG)
    if given.keys() & {"refused", "r", "R", "t", "z", "Z"}:
        raise PkgError(f"lab: pkg {run.name} with -r, -R, -t, -z, -Z, --reject and the like is not emulated")
    if "v" in given and "q" in given:
        raise usage(run, "-v and -q can not be combined")
    environments.check_options(run, given)
    return given, patterns


def _needs_operand(run: Run, patterns: Sequence[str]) -> None:
    if not patterns:
        raise usage(run, "at least one package name required")


def install(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    _needs_operand(run, patterns)
    with run.changing(given) as image:
        linked.check_publishers(run, image)
        silent = _fetch(image, given)
        origins = _origins(image, given)
        with _warned(run, image, silent):
            plan, asked = planning.install(image, patterns, origins=origins, accept="accept" in given)
            silent |= _check_retrievable(image, plan)
            return _finish(run, image, plan, given, asked)


def uninstall(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    _needs_operand(run, patterns)
    with run.changing() as image:
        linked.check_publishers(run, image)
        plan = planning.uninstall(image, patterns, ignore_missing="ignore-missing" in given)
        return _finish(run, image, plan, given, [])


def update(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    with run.changing(given) as image:
        linked.check_publishers(run, image)
        silent = _fetch(image, given)
        if not patterns and "f" not in given and clients.outdated(run, image):
            run.call.out(clients.warning(run))
            return OOPS
        origins = _origins(image, given)
        with _warned(run, image, silent):
            plan = planning.update(image, patterns, origins=origins, accept="accept" in given)
            silent |= _check_retrievable(image, plan)
            return _finish(run, image, plan, given, [])


@contextmanager
def _warned(run: Run, image: Image, silent: dict[str, list[str]]) -> Iterator[None]:
    """Say at the end which repositories did not answer, unless it was one of them that stopped it."""
    from zonemgr.lab.pkg import publishers

    try:
        yield
    except PkgError as refused:
        if silent and "Errors were encountered while" not in str(refused):
            run.call.out(publishers.warning(image, silent))
        raise
    if silent:
        run.call.out(publishers.warning(image, silent))


def _fetch(image: Image, given: dict[str, list[str]]) -> dict[str, list[str]]:
    """Fetch the catalogues. By publisher, the origins that do not answer: pkg goes on with what it knew and warns."""
    return {} if "no-refresh" in given else image.refresh()


def _check_retrievable(image: Image, plan: Plan) -> dict[str, list[str]]:
    """Is what is new at hand? All origins are asked when there is something to fetch; returns those that are silent.

    Raises PkgError when a package must come from a repository that does not answer: its manifest cannot be fetched.
    """
    from zonemgr.lab.pkg import publishers

    new = [*plan.add, *plan.new]
    silent = image.silent() if new else {}
    for package in new:
        publisher = image.publisher(package.publisher)
        origins = publisher.origins if publisher is not None else []
        if origins and len(silent.get(package.publisher, [])) == len(origins):
            raise PkgError(publishers.unretrievable(image, origins[0]))
    return silent


def _origins(image: Image, given: dict[str, list[str]]) -> list[str]:
    from zonemgr.lab.pkg import publishers

    uris = given.get("g", [])
    for uri in uris:
        publishers.check_origin(image, "", uri)
    return uris


def _finish(run: Run, image: Image, plan: Plan, given: dict[str, list[str]], asked: Sequence[str]) -> int:
    quiet, dry = "q" in given, "n" in given
    if plan.nothing:
        if not dry:
            image.save()  # the catalogues may be newer
        word = "available" if run.name in ("update", "image-update") else "necessary"
        run.call.out("" if quiet else f"No updates {word} for this image.\n")
        return NOTHING
    choice = environments.choose(run, plan, given)
    if not dry:
        environments.check_emulated(run, choice)
    if not quiet:
        run.call.out(_shown(run, plan, choice, verbose="v" in given))
    if not dry:
        environments.carry_out(run, image, plan, choice, list(asked), quiet=quiet)
    return OK


def _shown(run: Run, plan: Plan, choice: Choice, *, verbose: bool) -> str:
    counts = (("remove", plan.remove), ("install", plan.add), ("update", plan.change))
    rows = [(f"Packages to {verb}:", str(len(what))) for verb, what in counts if what]
    if run.live:
        rows += choice.shown()
    left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
    text = "".join(f"{name.rjust(left)} {value.rjust(right)}\n" for name, value in rows)
    return text + (_details(plan) if verbose else "")


def _details(plan: Plan) -> str:
    changes = [(each.publisher, each.name, f"{each.version} -> None") for each in plan.remove]
    changes += [(each.publisher, each.name, f"None -> {each.version}") for each in plan.add]
    changes += [(new.publisher, new.name, f"{old.version} -> {new.version}") for old, new in plan.change]
    text, last = "\nChanged packages:\n", ""
    for publisher, name, version in sorted(changes):
        text += (f"{publisher}\n" if publisher != last else "") + f"  {name}\n    {version}\n"
        last = publisher
    return text


def refresh(run: Run, words: Sequence[str]) -> int:
    _, names = run.options(words, "q", {"full": "full"})
    with run.changing() as image:
        unknown = [name for name in names if image.publisher(name) is None]
        if unknown:
            text = "\n".join(f"Unknown publisher '{name}'." for name in unknown)
            raise PkgError(text, OOPS if len(unknown) == len(names) else PARTIAL)
        silent = image.refresh(names)
        image.save()
        if silent:
            from zonemgr.lab.pkg import publishers

            raise publishers.not_refreshed(image, silent, len(image.refreshed(names)))
    return OK
