"""The overview of `zonemgr --help`: made from the table of words alone, so that it costs no imports."""

from __future__ import annotations

import textwrap

from zonemgr.cli.words import ACTIONS

USAGE = """\
Usage: zonemgr [OPTIONS] ACTION [OPTIONS]

Disposable build zones for illumos. Golden-image zones hold the tools; from
their snapshots disposable zones are cloned in seconds, run a build, and are
discarded or kept by its exit status. Options may stand before or behind the
action.

  zonemgr create-giz -z build-tools -p developer/gcc-14
  zonemgr exec-diz -c build-tools --mount-lofs /export/src \\
      --exec-cwd /export/src --exec-cmd 'gmake test'
  zonemgr create-diz -c build-tools -z mine;  zonemgr login mine
"""

EVERYWHERE = (
    ("--config FILE", "read this configuration file too"),
    ("--print-config", "show the configuration in force, and where each value is from"),
    ("-n, --dry-run", "only show what would be done"),
    ("-d, --debug [LEVEL]", "one more level, or this one: 4 shows every host command"),
    ("-q, -Q", "warnings and errors only; errors only"),
    ("-O, --outfile FILE", "append GENERATED_ZONENAME='…' to FILE"),
    ("--json", "the result, or the error, as one JSON object on stdout"),
    ("-h, --help", "this text; behind an action, what it takes"),
    ("--version", "the version"),
)

EXITS = """\
Exit status: of exec and exec-diz the command's own; 124 it ran into its time
limit; 125 zonemgr or the host failed, nothing is known of the command; 128+N
zonemgr was ended by signal N. Of others: 0 done, 1 failed or "no", 2 usage."""


def overview() -> str:
    parts = [USAGE]
    for group in dict.fromkeys(action.group for action in ACTIONS):
        parts.append(f"{group}:")
        parts += [_row(action.name, action.summary) for action in ACTIONS if action.group == group]
        parts.append("")
    parts.append("Options of every action:")
    parts += [_row(name, text) for name, text in EVERYWHERE]
    parts += ["", EXITS, "", "zonemgr ACTION --help says more of each."]
    return "\n".join(parts)


def _row(name: str, text: str) -> str:
    first, *more = textwrap.wrap(text, 56)
    return "\n".join([f"  {name:<20} {first}", *(" " * 23 + line for line in more)])
