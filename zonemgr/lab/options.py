"""Options as getopt(3C) and getopt_long(3C) of illumos read them."""

from __future__ import annotations

import getopt
from collections.abc import Mapping, Sequence


class BadOption(Exception):
    """An option that is unknown, or (`missing`) lacks its value."""

    def __init__(self, letter: str, *, missing: bool) -> None:
        super().__init__(letter)
        self.letter, self.missing = letter, missing


def parse(
    words: Sequence[str], letters: str, long: Mapping[str, str] | None = None
) -> tuple[list[tuple[str, str]], list[str]]:
    """Options as (letter, value), and operands; with long names it is getopt_long, which takes any order.

    `long`: name to letter, or to a word of its own when it has no short form; then a value is asked for by `NAME=`.
    """
    names = {name.rstrip("="): key for name, key in (long or {}).items()}
    valued = {
        name.rstrip("=") for name, key in (long or {}).items() if name[-1] == "=" or f"{key}:" in letters
    }
    spelled = [name + ("=" if name in valued else "") for name in names]
    read = getopt.gnu_getopt if long is not None else getopt.getopt
    try:
        found, rest = read(list(words), letters, spelled)
    except getopt.GetoptError as trouble:
        letter = (
            trouble.opt if long is not None or len(trouble.opt) == 1 else "-"
        )  # getopt(3C) has no long ones
        raise BadOption(letter, missing="requires argument" in trouble.msg) from None
    return [
        (names.get(name[2:], name[1:]) if name.startswith("--") else name[1:], v) for name, v in found
    ], rest
