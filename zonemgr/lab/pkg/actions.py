"""Actions, the lines of a package manifest: kind, perhaps payload, attributes (pkg(7), pkg5 doc/actions.txt)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

KINDS = (
    "dir", "driver", "file", "group", "hardlink", "legacy", "license", "link", "set", "signature", "unknown",
    "user", "depend",
)  # fmt: skip
KEYS = {
    "set": "name", "file": "path", "dir": "path", "link": "path", "hardlink": "path", "license": "license",
    "depend": "fmri", "user": "username", "group": "groupname", "driver": "name", "legacy": "pkg",
    "signature": "value",
}  # fmt: skip
WORD = re.compile(r"""\s*(?:([^\s=]+)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S*)|(\S+))""")


class BadAction(ValueError):
    """The text says what is wrong with the line."""


@dataclass(frozen=True)
class Action:
    kind: str
    payload: str = (
        ""  # of a file or licence: the hash of its contents, or where they are to be published from
    )
    attrs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        return self.attrs.get(name, (default,))[0]

    def all(self, name: str) -> tuple[str, ...]:
        return self.attrs.get(name, ())

    def true(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def having(self, payload: str | None = None, **attrs: str) -> Action:
        more = {name.replace("__", "."): (value,) for name, value in attrs.items()}
        return replace(
            self, payload=self.payload if payload is None else payload, attrs={**self.attrs, **more}
        )

    def __str__(self) -> str:
        words = [self.kind, *([self.payload] if self.payload else [])]
        words += [
            f"{name}={_quoted(value)}" for name in sorted(self.attrs) for value in sorted(self.attrs[name])
        ]
        return " ".join(words)


def _quoted(value: str) -> str:
    if value and not re.search(r"[\s'\"]", value):
        return value
    if '"' not in value:
        return f'"{value}"'
    return f"'{value}'" if "'" not in value else '"' + value.replace('"', '\\"') + '"'


def parse(line: str) -> Action:
    """Raises BadAction."""
    kind, _, rest = line.strip().partition(" ")
    if kind not in KINDS:
        raise BadAction(f"Unknown action type '{kind}' in action '{line.strip()}'")
    payload, at = "", 0
    attrs: dict[str, tuple[str, ...]] = {}
    while rest[at:].strip():
        found = WORD.match(rest, at)
        if found is None:
            raise BadAction(f"Malformed action in position {at}: '{line.strip()}'")
        at = found.end()
        name, value, alone = found.groups()
        if alone is not None:
            if payload or attrs:
                raise BadAction(f"Malformed action: '{alone}' is no attribute in '{line.strip()}'")
            payload = alone
        else:
            attrs[name] = (*attrs.get(name, ()), _plain(value))
    if "hash" in attrs and not payload:
        payload = attrs.pop("hash")[0]
    action = Action(kind, payload, _set_form(attrs) if kind == "set" else attrs)
    return _checked(action, line)


def _plain(value: str) -> str:
    if value[:1] in ("'", '"') and len(value) > 1:
        return re.sub(r"\\(['\"])", r"\1", value[1:-1])
    return value


def _set_form(attrs: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """`set NAME=VALUE` is short for `set name=NAME value=VALUE`."""
    if len(attrs) == 1 and "name" not in attrs:
        (name, value), *_ = attrs.items()
        return {"name": (name,), "value": value}
    return attrs


def _checked(action: Action, line: str) -> Action:
    key = KEYS.get(action.kind)
    if key is not None and not action.get(key):
        raise BadAction(f"Invalid action: the required attribute '{key}' is missing in '{line.strip()}'")
    if action.kind == "depend" and not action.get("type"):
        raise BadAction(f"Invalid action: the required attribute 'type' is missing in '{line.strip()}'")
    if "path" in action.attrs:
        return action.having(path=action.get("path").lstrip("/"))
    return action


def manifest(text: str) -> list[Action]:
    """All actions of a manifest: comments and blank lines are passed over, a backslash continues a line."""
    whole = re.sub(r"\\\n", " ", text)
    return [parse(line) for line in whole.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def setting(actions: Sequence[Action], name: str) -> str:
    """The value of a `set` action, empty without one."""
    return next(
        (each.get("value") for each in actions if each.kind == "set" and each.get("name") == name), ""
    )


def for_variants(
    actions: Sequence[Action], variants: dict[str, str], facets: dict[str, bool]
) -> list[Action]:
    """What an image with these variants and facets gets of a manifest.

    Without a facet of its own name everything is installed that has one; an unknown variant decides nothing.
    """
    return [each for each in actions if _fits(each, variants, facets)]


def _fits(action: Action, variants: dict[str, str], facets: dict[str, bool]) -> bool:
    for name, values in action.attrs.items():
        if name.startswith("variant.") and variants.get(name, values[0]) not in values:
            return False
    asked = [name for name in action.attrs if name.startswith("facet.")]
    return not asked or any(facets.get(name, True) for name in asked)
