"""Tables as libofmt prints them: dladm and ipadm (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from zonemgr.lab.call import Call

WINDOW_ROWS = 24  # output that is no terminal: the header comes again every so many lines

Row = Mapping[str, str]


class BadFields(Exception):
    """The -o list cannot be used; the text is libofmt's."""


@dataclass(frozen=True)
class Field:
    name: str
    width: int


@dataclass(frozen=True)
class Table:
    fields: Sequence[Field]
    parsable: bool = False
    wrap: bool = False

    def show(self, call: Call, rows: Iterable[Row]) -> None:
        printed = 0
        for row in rows:
            if not self.parsable:
                if printed % WINDOW_ROWS == 0:
                    call.out(self._line({field.name: field.name for field in self.fields}))
                    printed += 1
                printed += 1
            for part in self._parts(row):
                call.out(self._line(part))

    def _parts(self, row: Row) -> list[Row]:
        """A row, and what of its comma lists does not fit, on lines of its own."""
        values = {field.name: row.get(field.name, "") for field in self.fields}
        if self.parsable:
            return [values]
        if not self.wrap:
            return [{name: value or "--" for name, value in values.items()}]
        columns = {field.name: _fit(values[field.name], field.width) for field in self.fields}
        lines = max(len(column) for column in columns.values())
        return [
            {name: column[i] if i < len(column) else ("" if i else "--") for name, column in columns.items()}
            for i in range(lines)
        ]

    def _line(self, row: Row) -> str:
        if self.parsable:
            return ":".join(self._escaped(row[field.name]) for field in self.fields) + "\n"
        text, overflow = "", 0
        for field in self.fields[:-1]:
            piece, overflow = _cell(row[field.name], field.width, overflow)
            text += piece
        return text + row[self.fields[-1].name] + "\n"

    def _escaped(self, value: str) -> str:
        if len(self.fields) == 1:
            return value
        return value.replace("\\", "\\\\").replace(":", "\\:")


def _cell(value: str, width: int, overflow: int) -> tuple[str, int]:
    """A value padded to its column; what earlier columns took too much of is saved here where possible."""
    if len(value) + overflow >= width:
        return f"{value} ", overflow + len(value) - width + 1
    squeeze = min(overflow, width - len(value))
    return value.ljust(width - squeeze), overflow - squeeze


def _fit(value: str, width: int) -> list[str]:
    """Split at commas so that each part fits its column, as far as that goes."""
    lines: list[str] = []
    parts = [part for part in value.split(",") if part]
    while parts:
        line = parts.pop(0)
        while parts and len(line) + 1 + len(parts[0]) <= width:
            line += "," + parts.pop(0)
        lines.append(line)
    return lines


def choose(
    text: str | None, known: Sequence[Field], *, parsable: bool = False, wrap: bool = False
) -> tuple[Table, str]:
    """The table for an -o list (None: all fields), and libofmt's warning about fields that do not exist."""
    if parsable and not text:
        raise BadFields("output fields must be specified in parsable mode")
    if parsable and text and text.lower() == "all":
        raise BadFields("output field `all' invalid in parsable mode")
    if text is None or text.lower() == "all":
        return Table(known, parsable, wrap and not parsable), ""
    names = {field.name.lower(): field for field in known}
    wanted = [word for word in text.split(",") if word]
    fields = [names[word.lower()] for word in wanted if word.lower() in names]
    unknown = [word for word in wanted if word.lower() not in names]
    if not fields:
        raise BadFields("no valid output fields")
    return Table(fields, parsable, wrap and not parsable), _complaint(unknown, parsable)


def _complaint(unknown: Sequence[str], parsable: bool) -> str:
    if not unknown:
        return ""
    what = (
        ("unknown" if parsable else "ignoring unknown")
        + " output field"
        + ("s" if len(unknown) > 1 else "")
        + ":"
    )
    text = what + "".join(f" `{word}'" for word in unknown)
    if parsable:
        raise BadFields(text)
    return text
