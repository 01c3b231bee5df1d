"""getopts of ksh and getopt of C: option letters taken off an argument list as those do it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Parsed:
    options: list[tuple[str, str]] = field(default_factory=list)  # letter (`?` for a wrong one), argument
    wrong: list[str] = field(default_factory=list)  # letters not known, or known without their argument
    missing: list[str] = field(default_factory=list)  # of those, the ones that only lack their argument
    rest: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)  # of each option, the number of the word it stands in
    index: int = 0  # how many words the options took

    def get(self, letter: str, default: str = "") -> str:
        """The argument of an option given, the last one counting."""
        return next((value for name, value in reversed(self.options) if name == letter), default)

    def has(self, letter: str) -> bool:
        return any(name == letter for name, _ in self.options)

    def all(self, letter: str) -> list[str]:
        return [value for name, value in self.options if name == letter]


def getopt(spec: str, argv: list[str]) -> Parsed:
    """The same by getopt(3C) of illumos: `--word` is one option, with the letter `-`, that nobody knows."""
    return _parse(spec, argv, long_words=True)


def getopts(spec: str, argv: list[str]) -> Parsed:
    """Parse until the first word that is no option, or `--`."""
    return _parse(spec, argv, long_words=False)


def _parse(spec: str, argv: list[str], *, long_words: bool) -> Parsed:
    parsed = Parsed()
    position = 0
    while position < len(argv):
        word = argv[position]
        if word == "--":
            position += 1
            break
        if len(word) < 2 or word[0] != "-":
            break
        if long_words and word.startswith("--"):
            parsed.options.append(("?", "-"))
            parsed.wrong.append(word[2:])
            parsed.at.append(position)
            position += 1
            continue
        position = _cluster(spec, argv, position, parsed)
    parsed.index, parsed.rest = position, argv[position:]
    return parsed


def _cluster(spec: str, argv: list[str], position: int, parsed: Parsed) -> int:
    word = argv[position]
    for place, letter in enumerate(word[1:], start=1):
        parsed.at.append(position)
        at = -1 if letter == ":" else spec.find(letter)
        if at < 0:
            parsed.options.append(("?", letter))
            parsed.wrong.append(letter)
            continue
        if spec[at + 1 : at + 2] != ":":
            parsed.options.append((letter, ""))
            continue
        if word[place + 1 :]:
            parsed.options.append((letter, word[place + 1 :]))
        elif position + 1 < len(argv):
            parsed.options.append((letter, argv[position + 1]))
            return position + 2
        else:
            parsed.options.append(("?", letter))
            parsed.wrong.append(letter)
            parsed.missing.append(letter)
        return position + 1
    return position + 1
