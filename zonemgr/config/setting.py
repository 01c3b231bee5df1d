"""One setting as the layers see it: its key, and which raw values it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from zonemgr.config.sections import SECTIONS, Fault

Value = str | bool | int | tuple[str, ...]

PREFIX = "ZONEMGR_"
_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number"}
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True}
_TRUTHS |= {"false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Setting:
    key: str
    default: Value
    why: str
    least: int
    choices: Sequence[str]
    fault: Fault | None

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        return self.key.partition(".")[2]

    @property
    def variable(self) -> str:
        return PREFIX + self.key.replace(".", "_").upper()

    def accept(self, raw: object) -> Value:
        """The value as TOML or an option gave it; ValueError says why it cannot be this setting's."""
        if isinstance(self.default, tuple):
            return self._accept_list(raw)
        if type(raw) is not type(self.default):
            raise ValueError(f"wanted {_KINDS[type(self.default)]}, found {_described(raw)}")
        if isinstance(raw, str):
            return self._sound(raw)
        assert isinstance(raw, int)  # a bool is one, too; nothing else is left
        if not isinstance(raw, bool) and raw < self.least:
            raise ValueError(f"{raw} is less than {self.least}")
        return raw

    def read(self, text: str) -> Value:
        """The value as a variable gives it: all is text there, and lists are words as a shell splits them."""
        if isinstance(self.default, bool):
            if text.lower() not in _TRUTHS:
                raise ValueError(f"wanted true or false, found {text!r}")
            return _TRUTHS[text.lower()]
        if isinstance(self.default, int):
            if not re.fullmatch(r"-?[0-9]{1,18}", text):
                raise ValueError(f"wanted a whole number, found {text!r}")
            return self.accept(int(text))
        if isinstance(self.default, tuple):
            import shlex

            return self.accept(shlex.split(text))
        return self.accept(text)

    def _accept_list(self, raw: object) -> Value:
        if not (isinstance(raw, list | tuple) and all(isinstance(item, str) for item in raw)):
            raise ValueError(f"wanted a list of texts, found {_described(raw)}")
        return tuple(self._sound(item) for item in raw)

    def _sound(self, text: str) -> str:
        # Values end in zonecfg files and ZFS properties; neither survives a line break or a control byte.
        if re.search(r"[\x00-\x1f\x7f]", text):
            raise ValueError("it has a control character")
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is none of {', '.join(self.choices)}")
        fault = self.fault(text) if self.fault else None
        if fault:
            raise ValueError(f"{text!r} will not do: {fault}")
        return text


def _described(raw: object) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return f"the text {raw!r}"
    if isinstance(raw, int | float):
        return f"the number {raw}"
    if isinstance(raw, list | tuple):
        odd = next((item for item in raw if not isinstance(item, str)), None)
        return "a list" if odd is None else f"a list with {_described(odd)} in it"
    return "a table" if isinstance(raw, dict) else f"the {type(raw).__name__} {raw}"


def _all() -> Iterator[Setting]:
    for section, its_class in SECTIONS.items():
        for each in fields(its_class):
            default: Any = each.default  # never MISSING: _setting() asks for one
            yield Setting(f"{section}.{each.name}", default, **each.metadata)


SETTINGS: Mapping[str, Setting] = {setting.key: setting for setting in _all()}


def nearest(key: str) -> str:
    """The known key that was probably meant; a right name in a wrong section counts most."""
    import difflib

    last = key.rpartition(".")[2]
    same = [setting.key for setting in SETTINGS.values() if setting.name == last]
    return difflib.get_close_matches(key, same or list(SETTINGS), n=1, cutoff=0.0)[0]


def unknown(key: str) -> str:
    if key in SECTIONS:
        return f"{key} is a section, which begins with [{key}]"
    return f"there is no setting {key}; the nearest is {nearest(key)}"
