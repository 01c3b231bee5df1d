"""Making zones, running commands in them, destroying them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError

if TYPE_CHECKING:
    from zonemgr.workflows.disposable import DisposableRequest
    from zonemgr.workflows.execute import Command, Outcome


@o.gathers(contents=o.CONTENTS, wishes=o.FURNISHINGS)
def create_giz(
    ctx: typer.Context, contents: dict[str, str], wishes: dict[str, Any], zone: o.NewZone = "",
    zone_autoname: o.Autoname = False, clone: o.Origin = "", snapshot: o.Snap = "", source: o.Source = "",
) -> None:  # fmt: skip
    """Make a golden-image zone: install (or clone another image), boot once, snapshot, then serve it.

    Without publishers (-g) the host's are used. Removals come before additions. Nothing is served before all is
    done; a failure leaves nothing.
    """
    from zonemgr.workflows import furnish, golden

    runtime: Runtime = ctx.obj
    if zone and zone_autoname:
        raise UsageError("-z and -Z exclude each other", hint="leave one of them out")
    lists = {word: tuple(contents.pop(word).split()) for word in contents.keys() - {"brand", "template"}}
    request = golden.GoldenRequest(
        zone, origin=runtime.by_uuid(clone), snapshot=snapshot, autoname=zone_autoname, source=_source(source),
        wishes=furnish.Wishes(**wishes), brand=contents["brand"], template=contents["template"], **lists,
    )  # fmt: skip
    made = golden.create(runtime.site, request)
    runtime.generated(made.zone)
    runtime.show({"zone": made.zone, "snapshot": made.snapshot, "run": made.run}, made.zone)


def _source(text: str) -> str:
    """A file may be named from where the caller stands; DATASET@SNAP has no folder of its own there."""
    is_dataset = "@" in text and not text.startswith((".", "/"))
    return text if is_dataset or not text else str(Path.cwd() / text)


@o.gathers(contents=o.CONTENTS, wishes=o.FURNISHINGS)
def create_diz(
    ctx: typer.Context, contents: dict[str, str], wishes: dict[str, Any], zone: o.NewZone = "",
    zone_autoname: o.Autoname = False, clone: o.Origin = "", snapshot: o.Snap = "",
) -> None:  # fmt: skip
    """Clone a disposable zone from a golden image, set it up, and leave it running.

    Without -c the golden image is found by what is asked for (-b, -p, -P, -g, -G), or made.
    """
    from zonemgr.workflows import disposable

    runtime: Runtime = ctx.obj
    made = disposable.create(
        runtime.site, _request(zone, zone_autoname, runtime.by_uuid(clone), snapshot, contents, wishes)
    )
    runtime.generated(made.zone)
    runtime.show({"zone": made.zone, "origin": made.origin, "run": made.run}, made.zone)


@o.gathers(contents=o.CONTENTS, wishes=o.FURNISHINGS)
def exec_diz(
    ctx: typer.Context, contents: dict[str, str], wishes: dict[str, Any], zone: o.NewZone = "",
    zone_autoname: o.Autoname = False, clone: o.Origin = "", snapshot: o.Snap = "", exec_cmd: o.Command = "",
    exec_user: o.ExecUser = "", exec_discard: o.Discard = "", exec_env: o.Env = [], exec_cwd: o.Cwd = "",  # noqa: B006
    exec_timeout: o.Timeout = None, keep_datasets: o.KeepDatasets = False,
) -> None:  # fmt: skip
    """Clone a zone, run a command in it, then discard or keep the zone by the command's exit status.

    Without -c the golden image is found by what is asked for (-b, -p, -P, -g, -G), or made.

    --exec-discard: always (the default) discards the zone whatever happens; onsuccess keeps it when the command
    fails, so that you can look; onfail keeps it when it succeeds; off keeps it. A kept zone is left running, but
    halted when a time limit or a signal ended the command: it would go on inside.
    """
    from zonemgr.workflows import execute

    runtime: Runtime = ctx.obj
    command = _command(runtime, exec_cmd, exec_user, exec_discard, exec_env, exec_cwd, exec_timeout)
    command = replace(command, keep_datasets=keep_datasets)
    request = _request(zone, zone_autoname, runtime.by_uuid(clone), snapshot, contents, wishes)
    _finish(runtime, execute.in_new_zone(runtime.site, request, command, runtime.generated))


def _request(
    zone: str, autoname: bool, clone: str, snapshot: str, contents: dict[str, str], wishes: dict[str, Any]
) -> DisposableRequest:
    """-Z makes up the zone's name, which is what happens without a name anyway."""
    from zonemgr.workflows import disposable, layers

    if autoname and zone:
        raise UsageError("-z and -Z exclude each other", hint="leave one of them out")
    return disposable.DisposableRequest(clone, zone, snapshot, image=layers.ImageWish(**contents), **wishes)


def exec(
    ctx: typer.Context, zone: o.Zone = "", exec_cmd: o.Command = "", exec_user: o.ExecUser = "",
    exec_discard: o.Discard = "", exec_env: o.Env = [], exec_cwd: o.Cwd = "", exec_timeout: o.Timeout = None,  # noqa: B006
) -> None:  # fmt: skip
    """Run a command in a zone that exists; it is booted for that if needed, and halted again afterwards.

    --exec-discard: off (the default) keeps what the command did; otherwise the zone is snapshot before, and rolled
    back after: always, onsuccess, or onfail.
    """
    from zonemgr.workflows import execute

    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    command = _command(runtime, exec_cmd, exec_user, exec_discard or "off", exec_env, exec_cwd, exec_timeout)
    _finish(runtime, execute.in_zone(runtime.site, name, command))


def destroy(
    ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "", keep_datasets: o.KeepDatasets = False
) -> None:
    """Stop a zone and remove it, its data, its VNICs and the datasets made for it; or just one snapshot (-s).

    With --keep-datasets (or diz.keep_datasets) the delegated datasets made for it stay. What the zone has left in them
    is not to be trusted: they are not mounted, and look at their mount points before you mount them.
    """
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    if snapshot and keep_datasets:
        raise UsageError(
            "--keep-datasets is for destroying a zone, not a snapshot", hint="leave one of them out"
        )
    if snapshot:
        from zonemgr.workflows import snaps

        snaps.destroy_snapshot(runtime.site, name, snapshot)
        runtime.show({"zone": name, "snapshot": snapshot, "destroyed": True})
        return
    from zonemgr.workflows import teardown

    kept = teardown.destroy(runtime.site, name, keep_datasets=keep_datasets)
    runtime.show({"zone": name, "destroyed": True, "kept_datasets": list(kept)})


def _command(
    runtime: Runtime, text: str, user: str, discard: str, env: list[str], cwd: str, timeout: float | None
) -> Command:
    from zonemgr.workflows import execute

    settings = runtime.config.exec
    if not text:
        raise UsageError("which command is to be run?", hint="--exec-cmd 'COMMAND', or put it behind --")
    pairs = {}
    for pair in env:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is not a variable with a value", hint="--exec-env NAME=VALUE")
        pairs[name] = value
    return execute.Command(
        text, user or settings.user, discard or settings.discard, pairs, cwd,
        settings.timeout if timeout is None else timeout,
    )  # fmt: skip


def _finish(runtime: Runtime, outcome: Outcome) -> None:
    runtime.exit_code = outcome.exit_code
    if runtime.as_json and outcome.unfinished_line:
        print()  # the result is a line of its own
    runtime.show(outcome.as_dict())
