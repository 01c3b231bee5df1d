"""zonecfg's command line, and the three ways in which commands reach it: arguments, a file, standard
input.
"""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable

from zonemgr.lab.call import Call
from zonemgr.lab.zonecfg import errors, values, words
from zonemgr.lab.zonecfg.lexer import LIMIT, Lexer, Source, Token, TooLong
from zonemgr.lab.zonecfg.options import Option, Options
from zonemgr.lab.zonecfg.parser import Abort, Command, Parser
from zonemgr.lab.zonecfg.session import Quit, Session

FAILED, USAGE = 1, 2
ABORTED = -6
# where the assertions stand in the real sources
_ASSERTED = {
    "num_unclaimed_tokens == 0": ("zonecfg_lex.l", 411, "assert_no_unclaimed_tokens"),
    "valid != 0": ("../common/libzonecfg.c", 1226, "zonecfg_save_impl"),
}
# command -> module:function of this package; imported when first used, for start-up counts
COMMANDS = {
    "add": "scopes:add",
    "cancel": "scopes:cancel",
    "clear": "settings:clear",
    "commit": "verify:commit",
    "create": "commands:create",
    "delete": "commands:delete",
    "end": "ends:end",
    "exit": "commands:exit_command",
    "export": "commands:export_command",
    "help": "commands:help_command",
    "info": "reports:info",
    "remove": "scopes:remove",
    "revert": "commands:revert",
    "select": "scopes:select",
    "set": "settings:set_command",
    "verify": "verify:verify",
}


def main(call: Call) -> int:
    try:
        return _main(call)
    except Quit:
        return FAILED
    except TooLong:
        call.stdout.write(f"Input string too long, limit {LIMIT}\n".encode())
        return FAILED
    except Abort as assertion:
        file, line, function = _ASSERTED[str(assertion)]
        call.err(f"Assertion failed: {assertion}, file {file}, line {line}, function {function}\n")
        return ABORTED


def _main(call: Call) -> int:
    argv = [os.fsencode(word).decode("latin-1") for word in call.argv]
    program = argv[0].rstrip("/").rpartition("/")[2]
    bare = Session(call, program, "", None)
    if len(argv) < 2:
        bare.err(words.usage(program) + words.subcommands(verbose=False))
        return USAGE
    if argv[1] == "help":
        _run_arguments(bare, argv[1:])
        return 0
    options = Options(argv, "?f:R:z:", lambda text: bare.err(f"{text}\n"), start=1)
    zone = ""
    for option in options:
        if option.letter == "?" and not option.bad:
            bare.out(words.usage(program) + words.subcommands(verbose=True))
            return USAGE
        status = _refused(bare, option)
        if status is not None:
            return status
        if option.letter == "f":
            bare.file_name, bare.file_mode = option.argument, True
        zone = option.argument if option.letter == "z" else zone
    if not zone:
        bare.err(words.usage(program))
        return USAGE
    return _work(Session(call, program, zone, bare.file_name), argv[options.rest :])


def _refused(bare: Session, option: Option) -> int | None:
    """The exit status for an option that cannot be gone on with."""
    if option.bad:
        bare.err(words.usage(bare.program))
        return USAGE
    if option.letter == "R":
        return _refused_root(bare, option.argument)
    if option.letter == "z" and option.argument != "global" and not values.zone_name(option.argument):
        bare.failed(option.argument, errors.BOGUS_ZONE_NAME)
        bare.err(words.syntax(verbose=False))
        return USAGE
    return None


def _refused_root(bare: Session, root: str) -> int | None:
    if not root.startswith("/"):
        bare.complain(f"root path must be absolute: {root}")
        return USAGE
    if not bare.call.path(os.fsdecode(root.encode("latin-1"))).is_dir():
        bare.complain(f"root path must be a directory: {root}")
        return USAGE
    if root == "/":  # means no other root, as it does to the real one
        return None
    bare.err("lab: zonecfg -R is not emulated\n")
    return FAILED


def _work(session: Session, arguments: list[str]) -> int:
    if session.read_only and not arguments:
        session.err(
            "WARNING: you do not have write access to this zone's configuration file;\n"
            "going into read-only mode.\n"
        )
    if arguments:
        return _run_arguments(session, arguments)
    if session.file_name is not None and session.file_name != "-":
        return _run_file(session, session.file_name)
    session.interactive = True
    if session.file_name is None and not session.read_only:
        session.initialize(expected=False)
    return _run_standard_input(session)


class _Reader:
    """Connects a source of lines with the session that its commands are for."""

    def __init__(self, session: Session, read_line: Callable[[], str]) -> None:
        self.session = session
        self.source = Source(read_line)
        session.lexer = self.lexer = Lexer(self.source, session.language)
        self.parser = Parser(self.lexer, self, session.language)

    def run(self, command: Command) -> None:
        module, function = COMMANDS[command.name].split(":")
        getattr(importlib.import_module(f"zonemgr.lab.zonecfg.{module}"), function)(self.session, command)

    def syntax_error(self, token: Token) -> None:
        self.session.syntax_error(token)

    def misuse(self, command: str, *help_texts: str) -> None:
        self.session.misuse(command, *help_texts)


def _lines(text: str) -> Callable[[], str]:
    """A reader of the lines of a text; the last one may lack its newline."""
    *whole, rest = text.split("\n")
    lines = iter([*(f"{line}\n" for line in whole), rest])
    return lambda: next(lines, "")


def _run_arguments(session: Session, arguments: list[str]) -> int:
    """All arguments are one text; every command in it runs, whatever the others said, `exit` included."""
    reader = _Reader(session, _lines(" ".join(arguments) + "\n"))
    while not reader.source.ended:
        reader.parser.parse()
    return _finish(session) or 0


def _run_file(session: Session, name: str) -> int:
    session.file_mode = False  # no line numbers yet
    path = session.call.path(os.fsdecode(name.encode("latin-1")))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            session.complain(f"{name} is not a regular file.")
            return FAILED
        text = path.read_bytes().decode("latin-1")
    except OSError as failure:
        session.complain(f"could not open file {name}: {os.strerror(failure.errno or 0)}")
        return FAILED
    session.file_mode, session.may_ask = True, False
    _read_stream(session, _Reader(session, _lines(text)))
    status = _finish(session)
    return FAILED if status is None else status


def _run_standard_input(session: Session) -> int:
    reader = _Reader(session, lambda: "" if session.call.terminal else _next_line(session))
    while True:
        if session.call.terminal:
            _read_terminal(session, reader)
        else:
            _read_stream(session, reader)
        status = _finish(session)
        if status is None and session.file_name is None:
            continue
        return FAILED if status is None else status


def _next_line(session: Session) -> str:
    return session.call.stdin.readline().decode("latin-1")


def _read_stream(session: Session, reader: _Reader) -> None:
    while True:
        reader.parser.parse()
        if session.saw_error and session.file_mode and not session.interactive:
            session.time_to_exit = True  # the first error ends a file
        if session.time_to_exit or reader.source.ended:
            return


def _read_terminal(session: Session, reader: _Reader) -> None:
    """Line by line, each a text of its own: what is left open at its end is forgotten."""
    while not session.time_to_exit:
        inside = "" if session.in_global_scope else f":{session.scope}"
        session.out(f"{session.program}:{session.zone}{inside}> ")
        line = _next_line(session)
        if not line:
            return
        reader.source.start(line if line.endswith("\n") else f"{line}\n")
        while not reader.source.ended:
            reader.parser.parse()


def _finish(session: Session) -> int | None:
    """Commit what is to be committed; the exit status, or None to go on asking for commands."""
    if not session.interactive and not session.file_mode:
        session.may_ask = False
    if not session.in_global_scope:
        if session.time_to_exit:
            session.saw_error = True
        else:
            answer = session.ask("Resource incomplete; really quit")
            if not answer:
                return _not_saved(session, "Resource incomplete.") if answer is None else None
    if session.need_to_commit and session.has_document:
        from zonemgr.lab.zonecfg.verify import save

        save(session)
        if session.need_to_commit:
            answer = None if session.force_exit else session.ask("Configuration not saved; really quit")
            if answer is None:
                return _not_saved(session, "Configuration not saved.")
            if not answer:
                session.time_to_exit = False
                return None
    return FAILED if session.need_to_commit or session.saw_error else 0


def _not_saved(session: Session, text: str) -> int:
    session.complain(text)
    return FAILED
