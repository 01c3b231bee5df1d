"""What zfs and zpool have in common as commands: options, numbers, refusals, usage."""

from __future__ import annotations

from collections.abc import Sequence

NONE_LIMIT = 2**64 - 1  # what `none` means for filesystem_limit and snapshot_limit
SUFFIXES = "BKMGTPEZ"


class Refused(Exception):
    """The command ends here with this text (no newline at the end) and status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.text, self.status = text, status


class Usage(Exception):
    """The command line is wrong: these words, then the usage, exit 2."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text


def not_emulated(what: str) -> Refused:
    return Refused(f"lab: {what} is not emulated")


def options(
    args: Sequence[str], known: str, *, missing: str = "invalid option '{}'"
) -> tuple[list[tuple[str, str]], list[str]]:
    """Options and operands as illumos getopt finds them: it stops at the first operand.

    `missing` is what the command says when an option lacks its argument; commands that do not ask getopt
    to tell them apart (no leading colon in the real option string) call it an invalid option.
    """
    found: list[tuple[str, str]] = []
    rest = list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            at = known.find(letter) if letter != ":" else -1
            if at < 0:
                raise Usage(f"invalid option '{letter}'")
            if known[at + 1 : at + 2] != ":":
                found.append((letter, ""))
                continue
            if not letters and not rest:
                raise Usage(missing.format(letter))
            found.append((letter, letters or rest.pop(0)))
            letters = ""
    return found, rest


def flags(found: list[tuple[str, str]]) -> set[str]:
    return {letter for letter, _ in found}


class BadNumber(ValueError):
    pass


def _shift(suffix: str) -> int:
    if not suffix:
        return 0
    at = SUFFIXES.find(suffix[0].upper())
    whole = len(suffix) == 1 or (len(suffix) == 2 and suffix[1] in "bB" and at > 0)
    if at < 0 or not whole:
        raise BadNumber(f"invalid numeric suffix '{suffix}'")
    return 10 * at


def parse_number(text: str) -> int:
    """`1.5G` and its like; raises BadNumber with the reason in libzfs' words."""
    if not text or not ("0" <= text[0] <= "9" or text[0] == "."):
        raise BadNumber(f"bad numeric value '{text}'")
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    rest = text[len(digits) :]
    if digits and int(digits) > NONE_LIMIT:
        raise BadNumber("numeric value is too large")
    if rest.startswith("."):
        fraction = rest[1:][: len(rest[1:]) - len(rest[1:].lstrip("0123456789"))]
        value = int(float(f"{digits or '0'}.{fraction or '0'}") * 2 ** _shift(rest[1 + len(fraction) :]))
    else:
        value = int(digits) << _shift(rest)
    if value > NONE_LIMIT:
        raise BadNumber("numeric value is too large")
    return value


def nice(number: int) -> str:
    """A size as people read it: at most five characters, as exact as they allow."""
    index = 0
    while index < 6 and number >= 1024 ** (index + 1):
        index += 1
    if index == 0:
        return str(number)
    unit, divisor = " KMGTPE"[index], 1024**index
    if number % divisor == 0:
        return f"{number // divisor}{unit}"
    for places in (2, 1, 0):
        text = f"{number / divisor:.{places}f}{unit}"
        if len(text) <= 5:
            break
    return text
