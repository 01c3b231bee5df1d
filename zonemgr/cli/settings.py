"""Configuration as it is in force, and shell completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError


def config(
    ctx: typer.Context,
    verb: Annotated[
        str,
        typer.Argument(
            metavar="show|get|import-legacy", help="All settings; one value; an old file as TOML."
        ),
    ],
    key: Annotated[
        str, typer.Argument(metavar="[KEY|FILE]", help="A setting, such as diz.dataset; or the old file.")
    ] = "",
) -> None:
    """Show the settings in force and what set each (show), or print one value (get KEY).

    import-legacy FILE prints illumos-zonemgr's configuration (/etc/zones/zonemgr.conf) as TOML; the old file is
    read, not run, and what cannot be taken over is named on stderr and in comments.
    """
    runtime: Runtime = ctx.obj
    if verb == "show" and not key:
        show_all(runtime)
    elif verb == "get" and key:
        from zonemgr import config as settings

        value = settings.get(runtime.config, key)
        runtime.show({"key": key, "value": value}, _text(value) or " ")
    elif verb == "import-legacy":
        _import_legacy(runtime, key or "/etc/zones/zonemgr.conf")
    elif verb == "get":
        raise UsageError("config get of which key?", hint="zonemgr config show lists them")
    else:
        raise UsageError(
            f"config {verb} {key}".rstrip() + " is not known",
            hint="config show, config get KEY, or config import-legacy FILE",
        )


def _import_legacy(runtime: Runtime, name: str) -> None:
    from zonemgr.config import legacy

    try:
        text = Path(name).read_text()
    except (OSError, UnicodeDecodeError) as unreadable:
        reason = getattr(unreadable, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"{name} cannot be read: {reason}", hint="config import-legacy FILE") from None
    found = legacy.read(text)
    for left in found.left_out:
        runtime.screen.warn(f"not taken over, {left}")
    taken = {"settings": found.values, "left_out": [str(left) for left in found.left_out]}
    runtime.show(taken, legacy.as_toml(found, name).rstrip("\n"))


def show_all(runtime: Runtime) -> None:
    from zonemgr import config as settings
    from zonemgr.cli import show

    rows = settings.show(runtime.config)
    if runtime.as_json:
        runtime.show({key: {"value": value, "source": source} for key, value, source in rows})
        return
    show.table(
        ["SETTING", "VALUE", "FROM"], [[key, _text(value) or '""', source] for key, value, source in rows]
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else str(value)


def completion(
    ctx: typer.Context, shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Your shell.")]
) -> None:
    """Print the completion script of a shell; the first line of the script says where it goes."""
    from zonemgr.cli import completion as scripts

    runtime: Runtime = ctx.obj
    print(scripts.script(shell), end="")
    runtime.exit_code = 0
