"""`sh -c` for callers without the machine's own: one pipeline with redirections, such as zonemgr writes.

Its commands are the lab's, one after the other, what one writes being kept for the next; anything else a shell can
do is refused.
"""

from __future__ import annotations

import io
import shlex
from dataclasses import dataclass, field, replace

from zonemgr.lab.call import Call


@dataclass
class Stage:
    words: list[str] = field(default_factory=list)
    source: str = ""
    target: str = ""
    append: bool = False


def sh(call: Call) -> int:
    if len(call.argv) != 3 or call.argv[1] != "-c":
        return call.fail("lab: sh without -c is not emulated", 2)
    try:
        stages = _stages(call.argv[2])
    except ValueError as trouble:
        return call.fail(f"lab: sh: {trouble} is not emulated", 2)
    status, carried = 0, b""
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        try:
            status, carried = _run(call, stage, carried, last=last)
        except OSError as trouble:
            return call.fail(f"sh: {stage.target or stage.source}: cannot open: {trouble.strerror}", 1)
    return status


def _stages(text: str) -> list[Stage]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if any(mark in text for mark in "$`*?~"):
        raise ValueError("expansion")
    stages, pending = [Stage()], ""
    for word in lexer:
        if pending:
            _redirect(stages[-1], pending, word)
            pending = ""
        elif word in ("<", ">", ">>"):
            pending = word
        elif word == "|":
            stages.append(Stage())
        elif set(word) <= set("();<>|&"):
            raise ValueError(word)
        else:
            stages[-1].words.append(word)
    if pending or not all(stage.words for stage in stages):
        raise ValueError("an incomplete command")
    return stages


def _redirect(stage: Stage, how: str, name: str) -> None:
    if how == "<":
        stage.source = name
    else:
        stage.target, stage.append = name, how == ">>"


def _run(call: Call, stage: Stage, carried: bytes, *, last: bool) -> tuple[int, bytes]:
    """Status and output of one command; the output of the last one goes to the caller."""
    from zonemgr.lab import tools

    stdin = io.BytesIO(call.path(stage.source).read_bytes() if stage.source else carried)
    kept = io.BytesIO()
    file = call.path(stage.target).open("ab" if stage.append else "wb") if stage.target else None
    out = file if file is not None else call.stdout if last else kept
    try:
        tool = tools.find(stage.words[0], in_zone=call.zone is not None)
    except KeyError:
        return call.fail(f"sh: {stage.words[0]}: not found", 127), b""
    try:
        return tool(replace(call, argv=stage.words, stdin=stdin, stdout=out)), kept.getvalue()
    finally:
        if file is not None:
            file.close()
