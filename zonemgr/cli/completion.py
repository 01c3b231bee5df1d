"""Shell completion: three small scripts that ask `zonemgr __complete` for words, and the answer to that question."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zonemgr.cli.words import ACTION_OF, ACTIONS, OPTION_OF, OPTIONS, Action, Option
from zonemgr.errors import UsageError, ZonemgrError

if TYPE_CHECKING:
    from zonemgr.host.door import Door

if TYPE_CHECKING:
    from zonemgr.host.door import Door

BASH = """\
# zonemgr's completion for bash; put it where bash-completion looks: ~/.local/share/bash-completion/completions/zonemgr
_zonemgr() {
    local IFS=$'\\n'
    COMPREPLY=($(zonemgr __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _zonemgr zonemgr
"""
ZSH = """\
#compdef zonemgr
# zonemgr's completion for zsh; save it as _zonemgr in a directory of $fpath.
_zonemgr() {
    local -a found
    found=("${(@f)$(zonemgr __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "$funcstack[1]" = _zonemgr ]]; then _zonemgr "$@"; else compdef _zonemgr zonemgr; fi
"""
FISH = """\
# zonemgr's completion for fish; save it as ~/.config/fish/completions/zonemgr.fish
function __zonemgr_words
    set -l words (commandline -opc) (commandline -ct)
    zonemgr __complete $words[2..] 2>/dev/null
end
complete -c zonemgr -f -a '(__zonemgr_words)'
complete -c zonemgr -l config -l outfile -r -F
"""


def script(shell: str) -> str:
    found = {"bash": BASH, "zsh": ZSH, "fish": FISH}.get(shell)
    if found is None:
        raise UsageError(f"there is no completion for {shell}", hint="bash, zsh or fish")
    return found


def answer(words: list[str]) -> int:
    """Print the words that may stand where the last of `words` (perhaps empty) stands, one per line."""
    *before, current = _joined(words) or [""]
    try:
        found = _candidates(before, current)
    except ZonemgrError:
        found = []  # no host to ask: no words, and no noise in somebody's prompt
    # A value as `--zone=NAME` is completed with its option in front.
    for word in sorted({word for word in found if word.startswith(current)}):
        sys.stdout.write(f"{word}\n")
    return 0


def _joined(words: list[str]) -> list[str]:
    """bash hands `--zone=bu` over as three words; here the option and its value stand apart."""
    found: list[str] = []
    for number, word in enumerate(words):
        if word == "=" and number and words[number - 1].startswith("--"):
            if number == len(words) - 1:
                found.append("")
            continue
        found.append(word)
    return found


def _candidates(before: list[str], current: str) -> list[str]:
    option = OPTION_OF.get(before[-1]) if before else None
    if option is not None and option.takes:
        return _values(option, before)
    if current.startswith("--") and "=" in current:
        name = current.partition("=")[0]
        return [f"{name}={value}" for value in _values(OPTION_OF[name], before)] if name in OPTION_OF else []
    action = _action(before)
    if current.startswith("-"):
        return _options(action)
    if action is None:
        return [spelling for action in ACTIONS for spelling in action.spellings]
    return _words(action, before)


def _action(before: list[str]) -> Action | None:
    named = [ACTION_OF[word] for word in before if word in ACTION_OF]
    return named[-1] if named else None


def _options(action: Action | None) -> list[str]:
    return [
        spelling
        for option in OPTIONS
        if option.name != "--list-flags"
        and (action is None or option.everywhere or option.name in action.takes)
        for spelling in option.spellings
        if spelling.startswith("--")
    ]


def _words(action: Action, before: list[str]) -> list[str]:
    if action.name == "config":
        from zonemgr import config

        return (
            [row[0] for row in config.show(config.Config())]
            if "get" in before
            else ["show", "get", "import-legacy"]
        )
    if action.name == "completion":
        return ["bash", "zsh", "fish"]
    if action.name == "lab":
        return ["create", "run", "shell", "log", "publish", "status", "destroy"]
    if action.name == "log":
        return ["stdout", "stderr", "host"] if before[-1:] != ["log"] else _runs()
    if action.words == "zones":
        return _zones("giz")
    return _zones(None) if action.words == "zone" else _options(action)


def _values(option: Option, before: list[str]) -> list[str]:
    if option.takes == "zone":
        return _zones(None)
    if option.takes == "giz":
        return _zones("giz")
    if option.takes == "snapshot":
        return _snapshots(before)
    if option.takes == "discard":
        return ["off", "always", "onsuccess", "onfail"]
    if option.takes == "link":
        from zonemgr.host import dladm

        return [link.name for link in dladm.links(_host())]
    if option.takes == "user":
        from zonemgr.host import accounts

        return [user.name for user in accounts.read(_host()).users]
    return []


def _zones(kind: str | None) -> list[str]:
    from zonemgr.workflows import survey

    return [one.name for one in survey.managed_zones(_host()) if kind in (None, one.kind)]


def _snapshots(before: list[str]) -> list[str]:
    """Of the zone named on the line: the origin for what clones, else the zone itself."""
    from zonemgr.cli import argv
    from zonemgr.workflows import snaps

    line = argv.parse([*before, "x"])
    zone = line.value("--clone") or line.value("--zone")
    return [row.snapshot.name for row in snaps.listing(_host(), zone)] if zone else []


def _runs() -> list[str]:
    from zonemgr import records
    from zonemgr.cli.runtime import Runtime

    return [run.id for run in records.list_runs(Runtime([]).config)]


def _host() -> Door:
    from zonemgr.cli.runtime import Runtime

    return Runtime([], level=1).host
