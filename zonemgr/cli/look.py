"""Questions: lists, is-…, states. Answers that scripts read are plain on stdout."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime, to_terminal
from zonemgr.errors import NotOurs, NotThere, UsageError, ZonemgrError
from zonemgr.model import ZoneRow
from zonemgr.workflows import survey

_Rows = list  # the name is an action below


def list(ctx: typer.Context, list_flags: o.ListFlags = "", zone: o.Zone = "") -> None:
    """List managed zones: a table on a terminal, else a name per line.

    Flags behind the action are zoneadm's: -p colon records, -v table, -i installed and active, -c all (the
    default: every managed zone).
    """
    _list(ctx.obj, list_flags, None, zone)


def list_giz(ctx: typer.Context, list_flags: o.ListFlags = "", zone: o.Zone = "") -> None:
    """List golden-image zones; flags as for list."""
    _list(ctx.obj, list_flags, survey.GIZ, zone)


def list_diz(ctx: typer.Context, list_flags: o.ListFlags = "", zone: o.Zone = "") -> None:
    """List disposable zones; flags as for list."""
    _list(ctx.obj, list_flags, survey.DIZ, zone)


def _list(runtime: Runtime, flags: str, kind: str | None, zone: str) -> None:
    if "p" in flags and "v" in flags:
        raise UsageError("-p and -v exclude each other", hint="as with zoneadm list")
    rows = [one for one in survey.managed_zones(runtime.host) if kind in (None, one.kind)]
    if zone:
        zone = runtime.by_uuid(zone)
        rows = [one for one in rows if one.name == zone]
        if not rows:
            raise NotThere(f"there is no such zone {zone}", hint=f"see: zonemgr {runtime.action}")
    if flags and "c" not in flags and ("i" in flags or set(flags) <= {"p", "v", "n"}):
        # zoneadm's own choice: without -c and -i active zones, with -i installed ones too
        rows = [
            one
            for one in rows
            if one.row.state.active or ("i" in flags and str(one.row.state) == "installed")
        ]
    if runtime.as_json:
        runtime.show([_as_dict(one) for one in rows])
    elif "p" in flags:
        for one in rows:
            print(_record(one.row))
    elif "v" in flags or (not flags and to_terminal()):
        _table(rows, like_zoneadm="v" in flags)
    else:
        for one in rows:
            print(one.name)


def _as_dict(one: survey.Managed) -> dict[str, object]:
    row = one.row
    return {
        "name": row.name, "kind": one.kind, "state": str(row.state), "zonepath": row.path, "brand": row.brand,
        "uuid": row.uuid, "ip_type": _ip(row), "dataset": one.dataset, **{
            key: one.marks.get(key, "") for key in ("origin", "run", "created", "owner", "current")
        },
    }  # fmt: skip


def _record(row: ZoneRow) -> str:
    """zoneadm's own record, as `list -p` prints it."""
    fields = [_id(row), row.name, str(row.state), row.path.replace(":", "\\:"), row.uuid, row.brand, _ip(row)]
    return ":".join([*fields, row.debug_id] if row.debug_id else fields)


def _id(row: ZoneRow) -> str:
    return "-" if row.id is None else str(row.id)


def _ip(row: ZoneRow) -> str:
    return "excl" if row.exclusive_ip else "shared"


def _table(rows: _Rows[survey.Managed], *, like_zoneadm: bool) -> None:
    from zonemgr.cli import show

    if like_zoneadm:
        show.table(
            ["ID", "NAME", "STATUS", "PATH", "BRAND", "IP"],
            [
                [
                    _id(one.row),
                    one.name,
                    str(one.row.state),
                    one.row.path,
                    one.row.brand,
                    _ip(one.row),
                ]
                for one in rows
            ],
        )
        return
    show.table(
        ["NAME", "KIND", "STATE", "ORIGIN", "CREATED"],
        [
            [one.name, one.kind, _state(one), one.marks.get("origin", "-"), one.marks.get("created", "-")]
            for one in rows
        ],
    )


def _state(one: survey.Managed) -> str:
    """A golden image without a current snapshot is not usable, whatever zoneadm says."""
    unserved = one.kind == survey.GIZ and not one.marks.get("current")
    return f"{one.row.state}, not served" if unserved else str(one.row.state)


def is_managed(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Exit 0 if zonemgr manages this zone, 1 if not."""
    _is(ctx.obj, zone, None)


def is_giz(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Exit 0 if this is a golden-image zone, 1 if not."""
    _is(ctx.obj, zone, survey.GIZ)


def is_diz(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Exit 0 if this is a disposable zone, 1 if not."""
    _is(ctx.obj, zone, survey.DIZ)


def _is(runtime: Runtime, zone: str, kind: str | None) -> None:
    name = runtime.named(zone)
    try:
        found = survey.managed(runtime.host, name, kind)
    except (NotThere, NotOurs) as no:
        runtime.exit_code = 1
        runtime.screen.note(f"no: {no}")
        runtime.show({"zone": name, "answer": False})
        return
    runtime.screen.note(f"yes: zone {name} is a {found.kind} of zonemgr's")
    runtime.show({"zone": name, "answer": True, "kind": found.kind})


def get_state(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Print the zone's state as one word: configured, incomplete, installed, ready, running, …"""
    runtime: Runtime = ctx.obj
    row = survey.zone(runtime.host, runtime.named(zone))
    runtime.show({"zone": row.name, "state": str(row.state)}, str(row.state))


def verify(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Exit 0 if the zone is managed and zoneadm finds its configuration sound, 1 if not."""
    from zonemgr.host import zoneadm
    from zonemgr.model import ZoneName

    runtime: Runtime = ctx.obj
    name = ZoneName(runtime.named(zone))
    survey.managed(runtime.host, name)
    try:
        zoneadm.verify(runtime.host, name)
    except ZonemgrError as unsound:
        raise ZonemgrError(f"zone {name} does not verify: {unsound}", hint=unsound.hint) from unsound
    runtime.screen.note(f"zone {name} is sound")
    runtime.show({"zone": name, "sound": True})
