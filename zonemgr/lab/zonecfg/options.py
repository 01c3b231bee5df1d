"""getopt(3C) as illumos has it, also for the options inside zonecfg's own commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple


class Option(NamedTuple):
    """One option found; `bad` ones were complained about, except a plain `-?`, which is asked for help."""

    letter: str
    argument: str = ""
    bad: bool = False


class Options:
    """Iterate over the options at the front of words; `rest` is the index of the first word that is none."""

    def __init__(
        self, words: list[str], known: str, complain: Callable[[str], None], *, start: int = 0
    ) -> None:
        self.words, self.known, self.complain, self.start = words, known, complain, start
        self.rest = start

    def __iter__(self) -> Iterator[Option]:
        while self.rest < len(self.words):
            word = self.words[self.rest]
            if not word.startswith("-") or word == "-":
                return
            if word == "--":
                self.rest += 1
                return
            if word.startswith("--"):
                self.rest += 1
                yield self._illegal(word[2:] if self.start else "-", "-")
            else:
                yield from self._letters(word[1:])

    def _letters(self, letters: str) -> Iterator[Option]:
        for at, letter in enumerate(letters):
            takes_argument = f"{letter}:" in self.known
            last = at + 1 == len(letters)
            if takes_argument or last:
                self.rest += 1
            if letter in ":()" or letter not in self.known:
                yield self._illegal(letter, letter)
            elif not takes_argument:
                yield Option(letter)
            elif not last:
                yield Option(letter, letters[at + 1 :])
                return
            elif self.rest < len(self.words):
                self.rest += 1
                yield Option(letter, self.words[self.rest - 1])
            else:
                self.complain(f"{self.words[0]}: option requires an argument -- {letter}")
                yield Option(letter, bad=True)

    def _illegal(self, shown: str, letter: str) -> Option:
        self.complain(f"{self.words[0]}: illegal option -- {shown}")
        return Option(letter, bad=True)
