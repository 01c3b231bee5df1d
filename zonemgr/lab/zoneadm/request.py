"""One call of zoneadm: its zone, brand and arguments, and the forms its messages have."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from zonemgr.lab import brands, zonestore
from zonemgr.lab.brands import Brand
from zonemgr.lab.brands.options import Parsed, getopts
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zoneadm import words

OK, ERROR, USAGE = 0, 1, 2

SHELL_MEANING = frozenset(";&|<>()$`\\*?[#~\n")


class Stop(Exception):
    """zoneadm ends with this status; what there is to say has been said."""

    def __init__(self, status: int = ERROR) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Request:
    call: Call
    command: str
    args: list[str]
    zone: str = ""  # the target, empty without -z
    brand: Brand | None = None
    raw_brand: str = ""

    @property
    def world(self) -> World:
        return self.call.world

    # -- messages ------------------------------------------------------------------------------------------

    def error(self, text: str) -> None:
        prefix = f"zone '{self.zone}': " if self.zone else ""
        self.call.err(f"zoneadm: {prefix}{text}\n")

    def stop(self, text: str, status: int = ERROR) -> Stop:
        self.error(text)
        return Stop(status)

    def plain(self, text: str) -> None:
        """A message without any prefix."""
        self.call.err(text + "\n")

    def misused(self) -> Stop:
        self.call.err(words.sub_usage(self.command))
        return Stop(USAGE)

    # -- options -------------------------------------------------------------------------------------------

    def options(self, spec: str, *, operands: int | None = 0) -> Parsed:
        """getopt of a subcommand that knows all its options; anything else is answered with its usage."""
        given = getopts(f"?{spec}", self.args)
        for letter, value in given.options:
            if letter == "?":
                if value:  # `-?` itself is an option, asked for
                    self._illegal(given, value)
                self.call.err(words.sub_usage(self.command))
                raise Stop(USAGE if value else OK)
        if operands is not None and len(given.rest) != operands:
            raise self.misused()
        return given

    def _illegal(self, given: Parsed, letter: str) -> None:
        # getopt(3C) names the program by the first word it got, which is here the first option.
        trouble = "option requires an argument" if letter in given.missing else "illegal option"
        self.call.err(f"{self.args[0]}: {trouble} -- {letter}\n")

    def own_options(self, spec: str) -> tuple[Parsed, bool]:
        """getopt of a subcommand that leaves other options to the brand; also whether `-?` asked for help."""
        given = getopts(f"?{spec}", self.args)
        help_wanted = ("?", "") in given.options
        if help_wanted:
            self.call.err(words.sub_usage(self.command))
        return given, help_wanted

    # -- the zone ------------------------------------------------------------------------------------------

    @property
    def zonepath(self) -> str:
        entry = zonestore.entry(self.world, self.zone)
        if entry is None:
            raise self.stop("could not get zone path")
        return entry.zonepath

    def its_brand(self) -> Brand:
        if self.brand is None:
            raise self.stop("missing or invalid brand")
        return self.brand

    def set_state(self, state: str) -> None:
        zonestore.set_state(self.world, self.zone, state)

    def hook(self, name: str, argv: list[str]) -> int:
        """Run a hook of the brand as a command of zoneadm's own: same outputs."""
        return brands.function(name)(self.call, argv)


def shell_words(args: list[str]) -> list[str]:
    """Arguments as a hook gets them: put into a shell's command line without any quoting."""
    joined = " ".join(args)
    if SHELL_MEANING & set(joined):
        raise LabError("a character with a meaning for the shell in a brand's arguments is not emulated")
    try:
        return shlex.split(joined)
    except ValueError:
        raise LabError("an unbalanced quote in a brand's arguments is not emulated") from None
