"""Upgrading golden images, and the report that cron mails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime
from zonemgr.cli.show import STEPS, WARNINGS

if TYPE_CHECKING:
    from zonemgr.workflows.nightly import Round
    from zonemgr.workflows.upgrade import Result

SHOWN = 3  # packages of each image; the record of its run has them all
INDENT = "            "


def upgrade_giz(
    ctx: typer.Context, zone: o.Zones = [], all: o.All = False, parallel: o.Parallel = None, canary_cmd: o.Canary = "",  # noqa: B006
    keep: o.Keep = None,
) -> None:  # fmt: skip
    """Upgrade golden images, prove each in a disposable zone, and only then serve it.

    An image for which there are no updates is left as it is. One that cannot be upgraded, booted and cloned, or in
    whose clone the canary fails, goes back to what it was, and the others go on. Images derived from one that is
    named are upgraded with it. Prints nothing when nothing changed and all is well, else a short report; ends with 1
    if any image failed. A publisher none of whose repositories answers makes its images fail; a repository that
    does not answer where another one of its publisher does is named in the report.
    """
    from zonemgr.workflows import nightly

    runtime: Runtime = ctx.obj
    _no_progress_for_cron(runtime)
    request = nightly.UpgradeRequest(tuple(map(runtime.by_uuid, zone)), all, parallel, canary_cmd, keep)
    done = nightly.Round()
    try:
        nightly.run(runtime.site, request, done)
    except BaseException as failure:
        if done.results and not (runtime.as_json and isinstance(failure, Exception)):
            _tell(runtime, done)  # what is done stays done
        raise
    _tell(runtime, done)
    runtime.exit_code = done.exit_code


def _no_progress_for_cron(runtime: Runtime) -> None:
    """Progress is for a terminal, unless it was asked for: cron mails whatever is printed."""
    asked = any(word.startswith(("-d", "--debug")) for word in runtime.argv)
    if runtime.level == STEPS and not asked and not runtime.screen.terminal:
        runtime.screen.level = WARNINGS


def _tell(runtime: Runtime, done: Round) -> None:
    """A dry run is asked by a person, and what it says is worth less than it looks."""
    told = "" if done.quiet and not runtime.dry_run else text(done)
    if runtime.dry_run:
        told += "\njudged by the catalogues as they are: a dry run fetches none"
    runtime.show(done.as_dict(), told)


def text(done: Round) -> str:
    """A line for the whole, then what happened to each image; those without updates are only counted."""
    from zonemgr.workflows import upgrade

    counts = [
        f"{len(done.of(outcome))} {word}"
        for outcome, word in (
            (upgrade.FAILED, "failed"),
            (upgrade.UPGRADED, "upgraded"),
            (upgrade.DUE, "to be upgraded"),
            (upgrade.SKIPPED, "skipped"),
            (upgrade.UNCHANGED, "without updates"),
        )
        if done.of(outcome)
    ]
    order = (upgrade.FAILED, upgrade.UPGRADED, upgrade.DUE, upgrade.SKIPPED)
    shown = [one for outcome in order for one in done.of(outcome)]
    shown += [one for one in done.of(upgrade.UNCHANGED) if one.notes]  # a repository did not answer
    told = [line for one in shown for line in _lines(one)]
    return "\n".join([f"golden images: {', '.join(counts)}; {span(done.seconds)}", *told])


def _lines(one: Result) -> list[str]:
    name = f"{one.image} (derived from {one.parent})" if one.parent else one.image
    return [f"{one.outcome:<10}{name}: {_gist(one)}", *(f"{INDENT}{line}" for line in _details(one))]


def _gist(one: Result) -> str:
    if not one.changes:
        return one.message
    packages = "1 package" if len(one.changes) == 1 else f"{len(one.changes)} packages"
    now = f"now serves {one.snapshot}, {span(one.seconds)}" if one.snapshot else "could be updated"
    return f"{packages}, {now}"


def _details(one: Result) -> list[str]:
    # The incorporation that says which release this is counts most.
    ranked = sorted(one.changes, key=lambda change: change.name != "entire")
    more = [f"and {len(ranked) - SHOWN} more"] if len(ranked) > SHOWN else []
    gone = [f"no longer kept: {', '.join(one.dropped)}"] if one.dropped else []
    hint = [f"hint: {one.hint}"] if one.hint else []
    log = [f"log: zonemgr log {one.run}"] if one.run and one.message else []
    return [*map(str, ranked[:SHOWN]), *more, *gone, *one.notes, *hint, *log]


def span(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
