"""One run of zonecfg: what it works on, which scope it is in, what it has said and whether anything was
wrong.
"""

from __future__ import annotations

from zonemgr.lab import zonestore
from zonemgr.lab.call import Call
from zonemgr.lab.zonecfg import errors, words
from zonemgr.lab.zonecfg.entries import Entries, Entry
from zonemgr.lab.zonecfg.handle import Handle, at_least, state_of
from zonemgr.lab.zonecfg.lexer import Lexer, Source, Token
from zonemgr.lab.zonecfg.options import Option, Options
from zonemgr.lab.zonestore import StoreError


class Quit(Exception):
    """Leave on the spot with exit status 1; nothing uncommitted is saved."""


class Session:
    def __init__(self, call: Call, program: str, zone: str, file_name: str | None) -> None:
        self.call, self.world = call, call.world
        self.language = words.words(omnios=self.world.omnios)
        self.program = program
        self.zone = self.saved_name = zone
        self.handle = Handle(self.world)
        self.got_handle = False
        self.global_zone = zone == "global"
        self.read_only = not call.privileged
        # how it was called
        self.file_name = file_name  # None, `-`, or a path
        self.file_mode = file_name is not None
        self.interactive = False
        self.may_ask = call.terminal
        # what has happened
        self.saw_error = self.need_to_commit = self.time_to_exit = self.force_exit = False
        self.complains_of_options = True
        # where we are
        self.in_global_scope = True
        self.scope = ""  # resource type; stays when a command fails to enter it
        self.ends_with = ""  # what `end` does: add or select
        self.entry = Entry("")
        self.old = Entry("")
        self.lexer = Lexer(Source(lambda: ""), self.language)
        self._last_line = 0

    # -- output ------------------------------------------------------------------------------------------

    def out(self, text: str) -> None:
        self.call.stdout.write(text.encode("latin-1"))

    def err(self, text: str) -> None:
        self.call.stderr.write(text.encode("latin-1"))

    def complain(self, text: str, *, flag: bool = False) -> None:
        """A message on stderr, with the line it is about when commands come from a file; `flag` makes
        exit 1.
        """
        if self.file_mode and self.lexer.line_number > self._last_line:
            where = "" if self.file_name == "-" else f" of {self.file_name}"
            self.err(f"On line {self.lexer.line_number - 1}{where}:\n")
            self._last_line = self.lexer.line_number
        self.err(f"{text}\n")
        self.saw_error |= flag

    def failed(self, prefix: str, failure: StoreError | str, *, flag: bool = True) -> None:
        self.complain(f"{prefix}: {failure}", flag=flag)

    def syntax_error(self, token: Token) -> None:
        if token.kind == "end":
            if token.text or not self.lexer.source.ended:
                self.err("syntax error, token expected\n")
                self.saw_error = True
            return
        self.saw_error = True
        line = f" on line {self.lexer.line_number}" if self.file_mode else ""
        self.err(f"syntax error{line} at '{token.text if token.text != chr(10) else chr(92) + 'n'}'\n")
        self.err(words.subcommands(verbose=False))

    def short_usage(self, command: str) -> None:
        if self.file_mode:
            where = "" if self.file_name == "-" else f" of {self.file_name}"
            self.err(f"syntax error on line {self.lexer.line_number - 1}{where}\n")
        self.err(f"usage:\n{words.SHORT[command]}\n")
        self.saw_error = True

    def misuse(self, command: str, *help_texts: str) -> None:
        self.short_usage(command)
        if help_texts:
            self.err("\n" + self.help_texts(*help_texts))

    def long_usage(self, command: str, *help_texts: str) -> None:
        """For a command that was understood but makes no sense here."""
        self.err(f"usage:\n{words.SHORT[command]}\n\t{words.LONG[command]}\n")
        self.err(self.help_texts(*help_texts))
        self.saw_error = True

    def longer_usage(self, command: str) -> None:
        """Help that was asked for; goes to stdout and is no error."""
        self.out(f"usage:\n{words.SHORT[command]}\n\t{words.LONG[command]}\n")
        if more := words.NEEDS.get(command):
            self.out("\n" + self.help_texts(*more))

    def help_texts(self, *which: str) -> str:
        texts = {"resources": words.resources, "properties": self._properties}
        return "".join(texts[name]() for name in which)

    def _properties(self) -> str:
        return words.properties(omnios=self.world.omnios)

    def no_such_property(self, name: str, command: str) -> None:
        self.failed(name, errors.NO_PROPERTY_TYPE)
        self.long_usage(command, "properties")

    # -- options of commands -----------------------------------------------------------------------------

    def options(self, arguments: list[str], known: str) -> tuple[list[Option], int]:
        """The options at the front of a command's words, and how many words they take."""
        options = Options(arguments, known, self._complain_of_option)
        return list(options), options.rest

    def _complain_of_option(self, text: str) -> None:
        if self.complains_of_options:
            self.err(f"{text}\n")

    # -- questions ---------------------------------------------------------------------------------------

    def ask(self, question: str) -> bool | None:
        """A yes-or-no question, default no; None when there is nobody to ask."""
        if not self.may_ask:
            self.saw_error = True
            return None
        while True:
            self.out(f"{question} (y/[n])? ")
            answer = self.call.stdin.readline().decode("latin-1")
            if not answer:
                return None
            if answer[0] in "\nnN":
                return False
            if answer[0] in "yY":
                return True

    # -- the zone ----------------------------------------------------------------------------------------

    @property
    def entries(self) -> Entries:
        return Entries(self.handle.config, omnios=self.world.omnios)

    @property
    def has_document(self) -> bool:
        return self.handle.document is not None

    def state_at_least(self, state: str) -> bool:
        return at_least(state_of(self.world, self.zone), state)

    def refuses_change(self, command: str) -> bool:
        """Is the zone read-only, by its name or for this user? Says so."""
        if self.zone.startswith("SUNW"):
            self.complain(f"{self.zone}: zones beginning with SUNW are read-only.", flag=True)
            return True
        if self.read_only:
            self.complain(f"{self.zone}: cannot {command} in read-only mode.", flag=True)
        return self.read_only

    def initialize(self, *, expected: bool = True) -> bool:
        """Have the zone's document at hand, reading it when it is not; says what is wrong and returns
        False.
        """
        if self.has_document:
            return True
        try:
            self.handle.open(self.zone)
        except StoreError as failure:
            return self._no_zone(str(failure), expected=expected)
        self.got_handle = True
        self._check_brand()
        return True

    def _check_brand(self) -> None:
        try:
            brand = self.handle.brand()
        except StoreError:
            self.complain(f"Zone {self.zone} is inconsistent: missing brand attribute")
            raise Quit from None
        if brand not in zonestore.brands(self.world):
            self.complain(f'Zone {self.zone} uses non-existent brand "{brand}".  Unable to continue')
            raise Quit

    def _no_zone(self, failure: str, *, expected: bool) -> bool:
        absent = failure == errors.NO_ZONE and not self.got_handle
        if self.global_zone and absent and not self.read_only:
            return self._make_global()
        self.failed(self.zone, failure, flag=expected or self.got_handle)
        if absent and self.interactive and not self.read_only:
            self.say_create()
        return False

    def say_create(self) -> None:
        self.out("Use 'create' to begin configuring a new zone.\n")

    def _make_global(self) -> bool:
        """The global zone's configuration springs into being when it is looked at."""
        try:
            self.use_template("SUNWblank")
        except StoreError as failure:
            self.failed("SUNWblank", failure)
            return False
        return True

    def use_template(self, template: str) -> None:
        handle = Handle(self.world)
        handle.open(template)
        handle.config.set("name", self.zone)
        handle.new = True
        self.take(handle)

    def take(self, handle: Handle) -> None:
        """Go on with this configuration; it is to be saved."""
        self.handle, self.got_handle, self.need_to_commit = handle, True, True
