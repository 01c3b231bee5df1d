"""Configuration as it is in force, and shell completion."""

from __future__ import annotations

from typing import Annotated

import typer

from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError


def config(
    ctx: typer.Context,
    verb: Annotated[str, typer.Argument(metavar="show|get", help="show: all settings; get: one value.")],
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="A setting, such as diz.dataset.")] = "",
) -> None:
    """Show the settings in force and what set each (show), or print one value (get KEY)."""
    runtime: Runtime = ctx.obj
    if verb == "show" and not key:
        show_all(runtime)
    elif verb == "get" and key:
        from zonemgr import config as settings

        value = settings.get(runtime.config, key)
        runtime.show({"key": key, "value": value}, _text(value) or " ")
    elif verb == "get":
        raise UsageError("config get of which key?", hint="zonemgr config show lists them")
    else:
        raise UsageError(
            f"config {verb} {key}".rstrip() + " is not known", hint="config show, or config get KEY"
        )


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
