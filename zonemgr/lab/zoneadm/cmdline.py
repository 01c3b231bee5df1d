"""The command lines by which zoneadm runs a brand's scripts: put together in buffers of fixed size, split by a shell.

zoneadm.c keeps each in MAXPATHLEN bytes. What does not fit is an error, but not in the same way everywhere: `install`
(addopt) takes a line that is one byte too long and drops that byte without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError

SIZE = 1024  # MAXPATHLEN, of which one byte is for the end mark


class Line:
    """A command line as strlcat(3C) lets it grow: it never has more than SIZE - 1 bytes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def add(self, text: str) -> int:
        """Append what fits; the length in bytes it would have without the limit (as strlcat returns it)."""
        data = self.text.encode("utf-8", "surrogateescape") + text.encode("utf-8", "surrogateescape")
        self.text = data[: SIZE - 1].decode("utf-8", "surrogateescape")
        return len(data)

    def add_words(self, words: Sequence[str]) -> bool:
        """Append words as `addoptions` and `verify_brand` do; False when one does not fit whole."""
        return all(self.add(part) < SIZE for word in words for part in (" ", word))

    def add_option(self, letter: str, value: str) -> bool:
        """Append an option with its value glued on, or (no letter) an operand, as `addopt` does.

        False when it would take more than SIZE bytes; exactly SIZE bytes are taken, and lose the last one.
        """
        return self.add(f" -{letter}" if letter else " ") <= SIZE and self.add(value) <= SIZE


# -- /bin/sh -c --------------------------------------------------------------------------------------------

SPECIAL = "&|<>()$`{}"  # what the lab's stand-in for the shell does not do


def split(call: Call, line: str) -> list[str]:
    """The words of the first command of a line as ksh93 takes it; as that one is `exec`, there is no second.

    LabError for what is not emulated: substitutions, redirections, pipes, patterns that match something.
    """
    return [_expanded(call, word) for word in _Splitter(line).words()]


class _Splitter:
    def __init__(self, line: str) -> None:
        self.rest = line
        self.found: list[list[tuple[str, bool]]] = []  # words as characters, each with whether it was quoted
        self.open = False

    def words(self) -> list[list[tuple[str, bool]]]:
        while self.rest:
            char, self.rest = self.rest[0], self.rest[1:]
            if char in " \t":
                self.open = False
            elif char in ";\n" or (char == "#" and not self.open):
                break
            elif char in "'\"\\":
                self._quoted(char)
            elif char in SPECIAL:
                raise LabError(f"{char} in the arguments of a brand's script is not emulated")
            else:
                self._take(char, quoted=False)
        return self.found

    def _take(self, text: str, *, quoted: bool) -> None:
        if not self.open:
            self.found.append([])
            self.open = True
        self.found[-1] += [(char, quoted) for char in text]

    def _quoted(self, quote: str) -> None:
        if quote == "\\":
            text, self.rest = self.rest[:1], self.rest[1:]
        else:
            text, end, self.rest = self.rest.partition(quote)
            if not end:
                raise LabError("an unbalanced quote in the arguments of a brand's script is not emulated")
            if quote == '"' and set(text) & set("$`\\"):
                raise LabError("an expansion in the arguments of a brand's script is not emulated")
        self._take(text, quoted=True)


def _expanded(call: Call, word: list[tuple[str, bool]]) -> str:
    text = "".join(char for char, _ in word)
    if any(char in "*?[" and not quoted for char, quoted in word):
        place = call.world.path(text if text.startswith("/") else f"/{text}")
        if any(place.parent.glob(place.name)):
            raise LabError("a pattern that matches files, in a brand's arguments, is not emulated")
    if word and word[0] == ("~", False):
        raise LabError("~ in the arguments of a brand's script is not emulated")
    return text
