"""One call of zoneadm: its zone, brand and arguments, and the forms its messages have."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from zonemgr.lab import zonestore
from zonemgr.lab.brands import Brand, hooks
from zonemgr.lab.brands.hook import FATAL
from zonemgr.lab.brands.options import Parsed, getopt
from zonemgr.lab.call import Call
from zonemgr.lab.world import World
from zonemgr.lab.zoneadm import cmdline, words
from zonemgr.lab.zoneadm.cmdline import Line

OK, ERROR, USAGE = 0, 1, 2
BRAND_ERROR = 40  # Z_BRAND_ERROR of zoneadm.h, which `sysboot` lets out as its exit status


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
        given = getopt(f"?{spec}", self.args)
        for letter, value in given.options:
            if letter == "?":
                if value:  # `-?` itself is an option, asked for
                    self.say_illegal(given, value)
                self.call.err(words.sub_usage(self.command))
                raise Stop(USAGE if value else OK)
        if operands is not None and len(given.rest) != operands:
            raise self.misused()
        return given

    def say_illegal(self, given: Parsed, letter: str) -> None:
        # getopt(3C) names the program by the first word it got, which is here the first option.
        trouble = "option requires an argument" if letter in given.missing else "illegal option"
        self.call.err(f"{self.args[0]}: {trouble} -- {letter}\n")

    def own_options(self, spec: str) -> tuple[Parsed, bool]:
        """getopt of a subcommand that leaves other options to the brand; also whether `-?` asked for help."""
        given = getopt(spec, self.args)
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

    # -- the brand's scripts -------------------------------------------------------------------------------

    def line(self, resource: str, argv: list[str]) -> Line:
        """The command line of a script before any option is added; `resource` is its name in config.xml."""
        text = hooks.command_line(self.its_brand(), argv)
        if len(text) >= cmdline.SIZE:
            raise self.stop(f"invalid brand configuration: missing {resource} resource")
        return Line(text)

    def line_with(self, resource: str, argv: list[str]) -> Line:
        """The same with all of the subcommand's arguments, unquoted (`addoptions`)."""
        line = self.line(resource, argv)
        if not line.add_words(self.args):
            raise self.stop("Command line too long")
        return line

    def hook(self, function: str, line: Line, what: str) -> int:
        """Run a script by a shell, its output zoneadm's own; a script killed by a signal counts as fatal."""
        _, script, *arguments = cmdline.split(self.call, line.text)
        argv = [script.rpartition("/")[2], *arguments]
        status = hooks.run(self.call, function, argv, zone=self.zone)
        if status >= 0:
            return status
        self.error(f"'{what}' terminated by signal {signal.Signals(-status).name}.")
        return FATAL
