"""zonecfg's grammar, with the habits of its yacc parser: when it looks ahead, how it recovers, what it
forgets.

A command is run as soon as its newline or `;` is read. After an error the rest of the command is skipped;
words that are skipped are not given back, and the next complete command then trips over an assertion (facts
sheet 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from zonemgr.lab.zonecfg import words
from zonemgr.lab.zonecfg.lexer import Lexer, Token


class Complex(NamedTuple):
    """(name=value,...): names may stand more than once."""

    pairs: tuple[tuple[str, str], ...]


List = list["str | Complex"]
Value = str | Complex | List


@dataclass
class Command:
    name: str
    arguments: list[str] = field(default_factory=list)
    resource: str = ""  # a resource type; for `info` also a property of the zone
    properties: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    pairs: int = 0  # how many property values were given; `[]` counts as none


class Abort(Exception):
    """The real zonecfg runs into an assertion here and ends by signal 6; the text is the assertion's."""


class Listener(Protocol):
    """Who hears of commands and of what is wrong with the others."""

    def run(self, command: Command) -> None: ...

    def syntax_error(self, token: Token) -> None: ...

    def misuse(self, command: str, *help_texts: str) -> None: ...


class _Misfit(Exception):
    """A token the grammar has no place for."""


class _Misuse(Exception):
    """A command the grammar knows to be wrong: usage was printed, no `syntax error` is."""


TERMINATORS = ("\n", ";")
# how many words may follow a command that takes words only
_WORDS = {
    "cancel": 1, "commit": 1, "create": 3, "delete": 1, "end": 1, "exit": 1, "export": 2, "help": 1,
    "revert": 1,
    "verify": 1,
}  # fmt: skip
_SELECTABLE_ALONE = ("dedicated-cpu", "capped-cpu", "capped-memory")
MOST_PAIRS = 3


class Parser:
    def __init__(self, lexer: Lexer, listener: Listener, language: words.Words) -> None:
        self.lexer, self.listener, self.language = lexer, listener, language
        self._held: Token | None = None
        self._unclaimed = 0
        # The real parser keeps values in three global slots. A syntax error before a command is complete
        # leaves
        # them as they are, and the next command gets what stands in the first.
        self._slots: dict[int, Value] = {}
        self._lists: dict[int, List] = {}
        self._filled = 0

    def parse(self) -> None:
        """Read one command and run it, or complain and skip it. At the end of input a begun command
        vanishes.
        """
        self._held = None
        if self._peek().kind in TERMINATORS:
            self._end_of_command()
            return
        try:
            command = self._command()
        except (_Misfit, _Misuse) as wrong:
            self._recover(complain=isinstance(wrong, _Misfit))
            return
        if self._peek().kind in TERMINATORS:
            self.listener.run(command)
            self._forget()
            self._end_of_command()
        elif self._recover(complain=True):
            self._forget()

    def _end_of_command(self) -> None:
        self._take()
        if self._unclaimed:
            raise Abort("num_unclaimed_tokens == 0")

    def _forget(self) -> None:
        self._slots, self._lists, self._filled = {}, {}, 0

    def _recover(self, *, complain: bool) -> bool:
        """Skip to the end of the command; False when the input ends before."""
        if complain:
            self._unclaimed = 0
            self.listener.syntax_error(self._peek())
        while self._peek().kind not in TERMINATORS:
            if self._take().kind == "end":
                return False
        self._take()
        return True

    # -- tokens ------------------------------------------------------------------------------------------

    def _peek(self) -> Token:
        if self._held is None:
            self._held = self.lexer.next()
            self._unclaimed += self._held.kind == "word"
        return self._held

    def _take(self) -> Token:
        token = self._peek()
        self._held = None
        return token

    def _expect(self, *kinds: str) -> Token:
        if self._peek().kind not in kinds:
            raise _Misfit
        return self._take()

    def _claim(self, token: Token) -> str:
        self._unclaimed -= token.kind == "word"
        return token.value

    # -- commands ----------------------------------------------------------------------------------------

    def _command(self) -> Command:
        name = self._expect("command").value
        if name in _WORDS:
            return self._words(name)
        forms: dict[str, Callable[[], Command]] = {
            "add": self._add, "clear": self._clear, "info": self._info, "remove": self._remove,
            "select": self._select, "set": self._set,
        }  # fmt: skip
        return forms[name]()

    def _words(self, name: str) -> Command:
        found: list[Token] = []
        while len(found) < _WORDS[name] and self._peek().kind == "word":
            found.append(self._take())
        return Command(name, [self._claim(token) for token in found])

    def _wrong(self, command: str, *help_texts: str) -> _Misuse:
        self.listener.misuse(command, *help_texts)
        return _Misuse()

    def _add(self) -> Command:
        match self._peek().kind:
            case "word":
                return Command("add", [self._claim(self._take())])
            case "resource":
                return Command("add", resource=self._take().value)
            case "property":
                return self._one_value("add", self._take().value)
        raise self._wrong("add", "resources", "properties")

    def _clear(self) -> Command:
        if self._peek().kind != "property":
            raise self._wrong("clear", "properties")
        return Command("clear", properties=[self._take().value])

    def _info(self) -> Command:
        token = self._peek()
        if token.kind == "word":
            wrong = self._wrong("info", "resources", "properties")
            self._claim(self._take())
            raise wrong
        if token.kind == "property" and token.value in self.language.globals:
            return Command("info", resource=self._take().value)
        if token.kind == "resource":
            return self._filters(Command("info", resource=self._take().value))
        return Command("info")

    def _remove(self) -> Command:
        match self._peek().kind:
            case "word":
                word = self._take()
                if self._peek().kind == "resource":
                    return Command("remove", [self._claim(word)], resource=self._take().value)
                self._claim(word)
            case "resource":
                return self._filters(Command("remove", resource=self._take().value))
            case "property":
                return self._one_value("remove", self._take().value)
        raise self._wrong("remove", "resources", "properties")

    def _select(self) -> Command:
        if self._peek().kind != "resource":
            raise self._wrong("select", "resources", "properties")
        command = Command("select", resource=self._take().value)
        if command.resource in _SELECTABLE_ALONE and self._peek().kind in TERMINATORS:
            return command
        if self._peek().kind != "property":
            raise self._wrong("select")
        return self._filters(command)

    def _set(self) -> Command:
        match self._peek().kind:
            case "property":
                name = self._take().value
                self._expect("=")
                return self._set_to(name)
            case "word":  # only `set -F zonepath=...` goes on like this
                word = self._take()
                if self._peek().value != "zonepath" or self._peek().kind != "property":
                    raise _Misfit
                self._take()
                self._expect("=")
                command = self._one_value("set", "zonepath")
                command.arguments = [self._claim(word)]
                return command
        raise self._wrong("set", "properties")

    def _set_to(self, name: str) -> Command:
        if self._peek().kind == "[":
            self._take()
            if self._peek().kind == "]":
                self._take()
                self._slots[0] = []
                return Command("set", properties=[name], values=[[]])
            self._list()
            return self._with_values(Command("set", properties=[name]))
        return self._one_value("set", name)

    def _filters(self, command: Command) -> Command:
        while len(command.properties) < MOST_PAIRS and self._peek().kind == "property":
            command.properties.append(self._take().value)
            self._expect("=")
            self._value()
        return self._with_values(command)

    def _one_value(self, name: str, about: str) -> Command:
        self._value()
        return self._with_values(Command(name, properties=[about]))

    def _with_values(self, command: Command) -> Command:
        command.pairs = len(command.properties)
        command.values = [self._slots[at] for at in range(command.pairs)]
        return command

    # -- values ------------------------------------------------------------------------------------------

    def _fill(self, value: Value) -> None:
        self._slots[self._filled] = value
        if not isinstance(value, list):
            self._lists.pop(self._filled, None)
        self._filled += 1

    def _value(self) -> None:
        match self._peek().kind:
            case "word" | "resource" | "property":
                self._fill(self._claim(self._take()))
            case "(":
                self._fill(self._complex())
            case "[":
                self._take()
                self._list()
            case _:
                raise _Misfit

    def _list(self) -> None:
        entries = self._lists.setdefault(self._filled, [])
        while True:
            match self._peek().kind:
                case "word" | "resource" | "property":
                    entries.append(self._claim(self._take()))
                case "(":
                    entries.append(self._complex())
                case _:
                    raise _Misfit
            if self._peek().kind != ",":
                break
            self._take()
        self._expect("]")
        self._fill(entries)

    def _complex(self) -> Complex:
        self._take()
        found: list[tuple[str, Token]] = []
        while True:
            name = self._expect("property").value
            self._expect("=")
            found.append((name, self._expect("word", "resource", "property")))
            if self._peek().kind != ",":
                break
            self._take()
        pairs = tuple((name, self._claim(token)) for name, token in found)
        self._expect(")")
        return Complex(pairs)
