"""`zonemgr lab …`: a stand-in host made of files, for people without illumos. It is not illumos."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.lab import labs
from zonemgr.lab.world import LabError

Directory = Annotated[
    str, typer.Option("--dir", metavar="DIR", help="Which lab; default: ~/.local/share/zonemgr/lab.")
]
Fault = Annotated[
    list[str],
    typer.Option("--fault", metavar="SPEC", help="Make a command go wrong, e.g. 'fail:zoneadm * clone'."),
]
User = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Who calls, of the lab's accounts: root, builder, jim.")
]
Share = Annotated[
    list[str],
    typer.Option(
        "--share", metavar="DIR[:ro]", help="Show a directory of this machine in the lab, at the same path."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

HELP = """A stand-in host made of files: zones, ZFS, links and packages are emulated, and zones really run programs.

It is not illumos: it knows what zonemgr's authors know of illumos. Inside, every emulated command is on the PATH, and
of this machine's files only its programs are there, and what --share shows: of 'lab create' whenever the lab is up, of
'lab run' and 'lab shell' until it goes down. 'lab run SCRIPT' shows the script's directory, read-only.
"""
FAULTS = (
    "SPEC is KIND[@N][:PATTERN][,exit=S][,stderr=TEXT][,times=K|always]; KIND: fail, hang, kill-before, kill-after, "
    "kill-caller-before, kill-caller-after, reboot. PATTERN is a shell pattern for the command line. "
    "fact:KEY=VALUE sets a switch of the host instead."
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help=HELP,
)


def run(words: list[str], runtime: Runtime) -> int:
    """The words behind `lab`; `--` ends our options, what follows is the command's own."""
    from zonemgr.cli.app import run_typer

    words = words or ["--help"]
    words = [("--help" if word == "-h" else word) for word in words[:2]] + words[2:]
    try:
        run_typer(app, words, runtime, prog_name="zonemgr lab")
    except LabError as trouble:
        text = str(trouble)
        raise ZonemgrError(text[:1].lower() + text[1:]) from None
    return runtime.exit_code


@app.command("create")
def create(
    ctx: typer.Context,
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="Default: ~/.local/share/zonemgr/lab.")
    ] = "",
    flavour: Annotated[
        str, typer.Option(metavar="openindiana|omnios", help="Which host to play.")
    ] = "openindiana",
    latency: Annotated[str, typer.Option(metavar="none|illumos", help="How slow its commands are.")] = "none",
    zfs: Annotated[
        str,
        typer.Option(metavar="emulated|system", help="Whose ZFS: the lab's own, or this machine's OpenZFS."),
    ] = "emulated",
    pool: Annotated[
        str,
        typer.Option(
            metavar="POOL/DATASET", help="With --zfs system: the dataset all of the lab's are below."
        ),
    ] = "",
    share: Share = [],  # noqa: B006 - Typer copies it
    dir_option: Annotated[str, typer.Option("--dir", hidden=True)] = "",
) -> None:
    """Make a lab: a host on its first day, with a pool, a network card and three accounts."""
    place = _place(directory or dir_option)
    remarks = labs.create(place, flavour, latency, _zfs(zfs, pool), share)
    runtime: Runtime = ctx.obj
    runtime.screen.note(
        f"a lab that plays {flavour} is in {place}; enter it with: zonemgr lab shell{_option(place)}"
    )
    runtime.screen.note("it is not illumos: what works here may still fail there")
    for text in remarks:
        runtime.screen.note(text)


@app.command("run", epilog=FAULTS, context_settings={"allow_interspersed_args": False})
def run_command(
    ctx: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARG…]", help="Run in the lab's global zone.")
    ],
    dir: Directory = "",
    fault: Fault = [],  # noqa: B006 - Typer copies it
    user: User = "root",
    share: Share = [],  # noqa: B006
) -> None:
    """Run a command in the lab's global zone, with this terminal; ends with its exit status."""
    ctx.obj.exit_code = labs.run(_place(dir), command, fault, user, share)


@app.command("shell", epilog=FAULTS)
def shell(
    ctx: typer.Context,
    dir: Directory = "",
    fault: Fault = [],  # noqa: B006
    user: User = "root",
    share: Share = [],  # noqa: B006
) -> None:
    """An interactive shell in the lab's global zone."""
    ctx.obj.exit_code = labs.shell(_place(dir), fault, user, share)


@app.command("log")
def log(ctx: typer.Context, dir: Directory = "", json: Json = False) -> None:
    """Every emulated command since the lab was made: exit status, seconds, command line."""
    rows = labs.log(_place(dir))
    runtime: Runtime = ctx.obj
    if json or runtime.as_json:
        runtime.as_json = True
        runtime.show(rows)
        return
    for row in rows:
        status = "-" if row["exit"] is None else row["exit"]
        print(f"{status:>4} {row['seconds'] or 0:8.3f}  {shlex.join(row['argv'])}")


@app.command("publish")
def publish(
    ctx: typer.Context,
    package: Annotated[str, typer.Argument(help="Its name, such as developer/build/gnu-make.")],
    version: Annotated[str, typer.Option(metavar="VERSION", help="Default: the next one.")] = "",
    publisher: Annotated[str, typer.Option(metavar="NAME", help="Default: the one that has it.")] = "",
    reboot: Annotated[bool, typer.Option("--reboot", help="It needs a new boot environment.")] = False,
    dir: Directory = "",
) -> None:
    """Publish a newer version of a package in the lab's repositories, so that there is something to upgrade to."""
    fmri = labs.publish(_place(dir), package, version, publisher, reboot=reboot)
    ctx.obj.show({"fmri": fmri}, fmri)


@app.command("status")
def status(ctx: typer.Context, dir: Directory = "", json: Json = False) -> None:
    """What a lab is and does."""
    found = labs.status(_place(dir))
    runtime: Runtime = ctx.obj
    if json or runtime.as_json:
        runtime.as_json = True
        runtime.show(found)
        return
    for key, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name}: {what}" for name, what in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        print(f"{key:<11} {value}")


@app.command("destroy")
def destroy(
    ctx: typer.Context,
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="Which lab.")] = "",
    dir: Directory = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Kill everything in a lab and remove its folder."""
    place = _place(directory or dir)
    if not yes and not _agreed(place):
        raise UsageError("nothing was removed", hint="say --yes to mean it")
    labs.destroy(place)
    ctx.obj.screen.note(f"the lab in {place} is gone")


def _zfs(kind: str, pool: str) -> dict[str, str] | None:
    """The settings of a lab on this machine's OpenZFS; None for the emulated one."""
    from zonemgr.lab.openzfs import lifecycle

    if kind not in ("emulated", "system"):
        raise UsageError(f"no ZFS {kind!r}", hint="--zfs emulated, or --zfs system")
    if kind == "emulated":
        if pool:
            raise UsageError("--pool is about this machine's ZFS", hint="say --zfs system, too")
        return None
    return lifecycle.settings(pool)


def _agreed(place: Path) -> bool:
    import sys

    if not sys.stdin.isatty():
        return False
    return input(f"Remove the lab in {place} and all that is in it? (y/[n]) ").strip().lower() in ("y", "yes")


def _place(directory: str) -> Path:
    return Path(directory).expanduser().absolute() if directory else labs.default_directory()


def _option(place: Path) -> str:
    return "" if place == labs.default_directory() else f" --dir {shlex.quote(str(place))}"
