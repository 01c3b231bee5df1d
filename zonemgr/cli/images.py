"""Golden images as a whole: lineage, export and import."""

from __future__ import annotations

from pathlib import Path

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime, to_terminal
from zonemgr.errors import UsageError
from zonemgr.workflows import lineage


def tree(ctx: typer.Context) -> None:
    """Show what was made from what: images, their snapshots, and the zones cloned from them.

    USED is with all snapshots and children, REFER what a root or snapshot shows, UNIQUE what belongs to nothing
    else: a snapshot's is what its destruction would free. --json gives all sizes in bytes.
    """
    from zonemgr.cli import family

    runtime: Runtime = ctx.obj
    found = lineage.tree(runtime.host)
    if runtime.as_json:
        runtime.show(found.as_dict())
    else:
        family.show(found, fancy=to_terminal())


def export(ctx: typer.Context, zone: o.Zone = "", output: o.Output = "", snapshot: o.Snap = "") -> None:
    """Write a golden image's served snapshot (or -s) into a new file that `import` takes on another host.

    The file is a tar archive of a manifest and a ZFS stream: `dd if=FILE bs=65536 skip=1 | zfs receive DATASET` reads
    it without zonemgr. It holds the image's /etc/shadow, so only its owner may read it.
    """
    from zonemgr.workflows import archives

    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    if not output:
        raise UsageError("export into which file?", hint=f"zonemgr export -z {name} -o /export/{name}.zone")
    made = archives.export(runtime.site, name, str(Path.cwd() / output), snapshot)
    runtime.show(made.as_dict(), made.file)


def import_(ctx: typer.Context, zone: o.NewZone = "", source: o.Source = "") -> None:
    """Make a golden image from a file that `export` wrote (FILE behind the action, or --from), after checking it.

    Without -z it gets the name it had.
    """
    from zonemgr.workflows import archives

    runtime: Runtime = ctx.obj
    if not source:
        raise UsageError("import which file?", hint="zonemgr import FILE [-z NAME]")
    made = archives.import_(runtime.site, str(Path.cwd() / source), zone)
    runtime.generated(made.zone)
    runtime.show({"zone": made.zone, "snapshot": made.snapshot, "run": made.run}, made.zone)
