"""The command line's front door: take the words apart, load the one command they mean, turn errors into text."""

from __future__ import annotations

import contextlib
import importlib
import keyword
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zonemgr.cli import argv as lines
from zonemgr.cli.show import COMMANDS, ERRORS, STEPS, TRACEBACKS, WARNINGS
from zonemgr.cli.words import Action
from zonemgr.errors import UsageError, ZonemgrError

if TYPE_CHECKING:
    from zonemgr.cli.runtime import Runtime


def main(words: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    _have_streams()
    if words[:1] == ["__complete"]:
        from zonemgr.cli import completion

        return completion.answer(words[1:])
    try:
        line = lines.parse(words)
        if line.has("--version"):
            return _version()
        if line.action is None and (line.has("--help") or not words):
            return _overview(0 if words else 2)
        if line.action is None and not line.has("--print-config"):
            raise UsageError("what is to be done? No action was named", hint="see: zonemgr --help")
    except ZonemgrError as error:
        return _complain(error, as_json="--json" in words)
    return _run(line, words)


def _have_streams() -> None:
    """A caller may have closed a stream (`2>&-`): what is said there goes nowhere, and answers stay what they are."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _run(line: lines.Line, words: list[str]) -> int:
    from zonemgr.cli.runtime import Runtime

    runtime = Runtime(
        words,
        config_files=tuple(value for option, value in line.everywhere if option.name == "--config"),
        level=_level(line),
        dry_run=line.has("--dry-run"),
        as_json=line.has("--json"),
        outfile=line.value("--outfile") or "",
        action=line.action.name if line.action else "",
    )
    from zonemgr.workflows.cancel import Cancelled, signals_cancel

    try:
        with signals_cancel():
            for text in line.warnings:
                runtime.screen.warn(f"{text}; it is left aside")
            if line.has("--print-config"):
                _print_config(runtime)
            runtime.check_outfile()
            if line.action is not None:
                _typer(line, runtime)
    except Cancelled as signal:
        _complain_notes(runtime, signal, f"ended by {signal}")
        return 128 + signal.number
    except ZonemgrError as error:
        code = 125 if runtime.action in ("exec", "exec-diz") and error.exit_code == 1 else error.exit_code
        return _complain(error, as_json=runtime.as_json, code=code)
    except BrokenPipeError:
        return _silent_pipe()
    except Exception as surprise:
        if runtime.level >= TRACEBACKS:
            raise
        code = 125 if runtime.action in ("exec", "exec-diz") else 1
        text = f"this should not happen: {type(surprise).__name__}: {surprise}"
        return _complain(
            ZonemgrError(text, hint="again with -d 5 shows where"), as_json=runtime.as_json, code=code
        )
    return runtime.exit_code


def _typer(line: lines.Line, runtime: Runtime) -> None:
    assert line.action is not None
    if line.action.name == "lab":
        from zonemgr.cli import lab

        runtime.exit_code = lab.run(line.words, runtime)
        return
    app = build([line.action], runtime)
    run_typer(app, [line.action.name, "--help"] if line.has("--help") else line.for_typer(), runtime)


def build(actions: list[Action], runtime: Runtime) -> Any:
    """A Typer application with just these actions: the others' modules are not even imported."""
    import typer

    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
    )
    app.callback()(lambda: None)
    for action in actions:
        module = importlib.import_module(f"zonemgr.cli.{action.module}")
        name = action.name.replace("-", "_")
        function: Callable[..., None] = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
        app.command(action.name, epilog=_epilog(action), context_settings={"obj": runtime})(function)
    return app


def run_typer(app: Any, arguments: list[str], runtime: Runtime, prog_name: str = "zonemgr") -> None:
    """Run it without letting it print errors or exit; what it finds wrong becomes a UsageError."""
    try:
        ended = app(arguments, standalone_mode=False, prog_name=prog_name, obj=runtime)
    except Exception as error:
        # Typer has carried two families of exceptions, click's and its own; both know their message.
        message = getattr(error, "format_message", None)
        if message is None or isinstance(error, ZonemgrError):
            raise
        text = str(message()).rstrip(".")
        raise UsageError(text[:1].lower() + text[1:], hint=f"see: zonemgr {runtime.action} --help") from None
    if isinstance(ended, int) and ended:
        runtime.exit_code = ended


def _epilog(action: Action) -> str:
    others = ", ".join(spelling for spelling in action.spellings[1:])
    common = "Options of every action (--config, --dry-run, --json, …): zonemgr --help."
    return f"Also spelled: {others}. {common}" if others else common


def _level(line: lines.Line) -> int:
    """The last of -q, -Q and -d wins; each -d without a number is one more."""
    level = WARNINGS if line.has("--json") else _old_level(os.environ.get("ZONEMGR_DEBUG", ""))
    for option, value in line.everywhere:
        if option.name == "--errors-only":
            level = ERRORS
        elif option.name == "--quiet":
            level = WARNINGS
        elif option.name == "--debug":
            level = level + 1 if value.startswith("+") else _number(value)
    return level


def _old_level(text: str) -> int:
    """The predecessor's variable: a level, or yes for one that shows host commands."""
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    if text.lower() in ("n", "no", "off", "false"):
        return WARNINGS
    return COMMANDS if text.lower() in ("y", "yes", "on", "true") else STEPS


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a debugging level", hint="a number: 1 errors … 4 host commands, 5 tracebacks"
        ) from None


def _print_config(runtime: Runtime) -> None:
    from zonemgr.cli import settings

    settings.show_all(runtime)


def _version() -> int:
    from zonemgr import __version__

    print(f"zonemgr {__version__}")
    return 0


def _overview(code: int) -> int:
    from zonemgr.cli import help_text

    print(help_text.overview(), file=sys.stdout if code == 0 else sys.stderr)
    return code


def _complain(error: ZonemgrError, *, as_json: bool, code: int | None = None) -> int:
    from zonemgr.cli import show

    code = error.exit_code if code is None else code
    if as_json:
        answer = {"error": str(error), "hint": error.hint, "exit": code, "notes": _notes(error)}
        show.result(answer, as_json=True)
    else:
        show.Screen(0).error(str(error), error.hint, _notes(error))
    return code


def _complain_notes(runtime: Runtime, error: BaseException, message: str) -> None:
    runtime.screen.error(message, None, _notes(error))


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def _silent_pipe() -> int:
    """Nobody reads us any more (`zonemgr list | head -1`): end quietly, and let nothing be flushed at exit."""
    with contextlib.suppress(OSError):
        sys.stdout.close()
    return 1
