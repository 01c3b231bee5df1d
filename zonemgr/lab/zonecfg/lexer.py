"""zonecfg's lexer: four states, the longest match, no escapes, and the limit of the real one's token
buffer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from zonemgr.lab.zonecfg import words

LIMIT = 1024  # bytes of a token, with the one that has to be read to see its end


class TooLong(Exception):
    """A token that does not fit the buffer: zonecfg ends at once."""


class Token(NamedTuple):
    """`kind` is command, resource, property, word, end of input (`end`) or the character itself."""

    kind: str
    text: str  # as it stood in the input, quotes included
    value: str = ""  # what it means


class Source:
    """Input read line by line, so that a terminal or a pipe is served as it comes."""

    def __init__(self, read_line: Callable[[], str]) -> None:
        self._read_line = read_line
        self.line = ""
        self.at = 0
        self.ended = False

    def start(self, line: str) -> None:
        """Take up one more line after the end was reached."""
        self.line, self.at, self.ended = line, 0, False

    def more(self) -> bool:
        """Is there anything left? Reads on when the line is used up."""
        if self.at < len(self.line):
            return True
        if not self.ended:
            self.line, self.at = self._read_line(), 0
            self.ended = not self.line
        return not self.ended


_BLANKS = re.compile(r"[ \t]*")
_COMMAND = re.compile("|".join(sorted((*words.COMMANDS, r"\?"), key=len, reverse=True)))
_COMMENT = re.compile(r"#[^\n]*")
_QUOTED = re.compile(r'"[^"\n]*["\n]')
_BARE = {
    "words": re.compile(r'[^ \t\n";=\[\]()]+'),
    "list": re.compile(r'[^ \t\n",;=\[\]()]+'),
    "complex": re.compile(r'[^ \t\n",;=()]+'),
}
_PUNCTUATION = {"words": "=[(", "list": "=](,", "complex": "=),"}


class Lexer:
    """Turns a source into tokens. The state goes on between commands; only `;` and newline start afresh."""

    def __init__(self, source: Source, language: words.Words) -> None:
        self.source, self.language = source, language
        self.line_number = 1
        self.state = "command"
        self._outer = "words"  # where a closing parenthesis leads back to

    def next(self) -> Token:
        source = self.source
        while source.more():
            blanks = _BLANKS.match(source.line, source.at)
            source.at = blanks.end() if blanks else source.at
            if source.at == len(source.line):
                continue
            token = self._command() if self.state == "command" else self._argument()
            if token is not None:
                return token
        return Token("end", "")

    def _command(self) -> Token | None:
        if self._take(_COMMENT, looks_ahead=True) is not None:
            return None
        found = self._take(_COMMAND)
        if found is None:
            return self._character()
        self.state = self._outer = "words"
        return Token("command", found, "help" if found == "?" else found)

    def _argument(self) -> Token:
        bare = self._take(_BARE[self.state], looks_ahead=True)
        if bare is not None:
            return self._word(bare)
        if self.state != "complex" or self.language.omnios:
            quoted = self._take(_QUOTED)
            if quoted is not None:
                return Token("word", quoted, quoted[1:].removesuffix('"'))
        return self._character()

    def _word(self, text: str) -> Token:
        if self.state != "list" and text in self.language.properties:
            return Token("property", text, text)
        if self.state == "words" and text in words.RESOURCES:
            return Token("resource", text, text)
        return Token("word", text, text)

    def _character(self) -> Token:
        char = self.source.line[self.source.at]
        if char == '"' and len(self.source.line) - self.source.at >= LIMIT:
            raise TooLong  # an open quote at the end of the input: all of it was read to look for its end
        self.source.at += 1
        if char in "\n;":
            self.line_number += char == "\n"
            self.state = "command"
        elif char in _PUNCTUATION.get(self.state, ""):
            self._change_state(char)
        elif char != "\0":
            return Token("other", char)
        return Token("end" if char == "\0" else char, char)

    def _change_state(self, char: str) -> None:
        if char == "[":
            self.state = self._outer = "list"
        elif char == "]":
            self.state = self._outer = "words"
        elif char == "(":
            self.state = "complex"
        elif char == ")":
            self.state = self._outer

    def _take(self, pattern: re.Pattern[str], *, looks_ahead: bool = False) -> str | None:
        found = pattern.match(self.source.line, self.source.at)
        if found is None:
            return None
        if found.end() - found.start() + looks_ahead > LIMIT:
            raise TooLong
        self.source.at = found.end()
        return found[0]
