"""What zonemgr did here: runs, their records, and the recovery of those that were cut short."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zonemgr import records
from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError


def runs(ctx: typer.Context) -> None:
    """List the runs on record, newest first: when, how it went, how long, on which zone, what was asked."""
    from zonemgr.cli import show

    runtime: Runtime = ctx.obj
    found = records.list_runs(runtime.config)
    if runtime.as_json:
        runtime.show([records.as_dict(run) for run in found])
        return
    show.table(
        ["RUN", "VERDICT", "EXIT", "SECONDS", "ZONE", "COMMAND"],
        [
            [run.id, run.state, _or_dash(run.exit_code), _or_dash(run.seconds), " ".join(run.zones) or "-",
             " ".join(run.argv)[:60]]
            for run in found
        ],
    )  # fmt: skip


def log(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or its last six digits.")
    ],
    what: Annotated[
        str, typer.Argument(metavar="[WHAT]", help="stdout, stderr or host: just that log, as it is.")
    ] = "",
) -> None:
    """Show one run: what was asked, its steps, what it ran on the host; or one of its logs as it was written."""
    runtime: Runtime = ctx.obj
    record = records.read_run(runtime.config, run)
    if what:
        if what not in ("stdout", "stderr", "host"):
            raise UsageError(f"a run has no log {what!r}", hint="stdout, stderr or host")
        path = record.directory / f"{what}.log"
        if path.exists():
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.flush()
        return
    if runtime.as_json:
        runtime.show(records.as_dict(record))
        return
    _print(record)


def _print(record: records.RunRecord) -> None:
    print(f"run      {record.id}\ncommand  {' '.join(record.argv)}\nzone     {' '.join(record.zones) or '-'}")
    print(f"began    {record.started}\nended    {record.ended or '-'}\nverdict  {record.state}", end="")
    print(f", exit {record.exit_code}" if record.exit_code is not None else "")
    if record.message:
        print(f"reason   {record.message}")
    for note in record.notes:
        print(f"note     {note}")
    print(f"files    {record.directory}")
    for step in record.steps:
        print(f"  {step.outcome:<7} {step.seconds:8.1f} s  {step.title}")
    for name in ("host", "stdout", "stderr"):
        path = record.directory / f"{name}.log"
        if path.exists():
            print(f"\n--- {name}.log")
            sys.stdout.flush()
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.flush()


def recover(ctx: typer.Context) -> None:
    """Undo what runs have left that were killed or lost their host. Runs that are alive are left alone."""
    from zonemgr.workflows import job

    runtime: Runtime = ctx.obj
    done = job.recover_all(runtime.site)
    runtime.screen.note(f"recovered: {', '.join(done)}" if done else "nothing to recover")
    runtime.show({"recovered": done})


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
