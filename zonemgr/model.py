"""The nouns: frozen, checked once when made. Names follow the facts sheet (5.2, 7.1, 8.1) and design 7."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType, Self

from zonemgr.errors import UsageError

RunId = NewType("RunId", str)


class _Name(str):
    """A string that is checked when made; behaves as a plain string afterwards."""

    what = "name"
    hint = ""
    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        fault = cls.fault(text)
        if fault:
            raise UsageError(f"{text!r} is not a {cls.what}: {fault}", hint=cls.hint or None)
        return super().__new__(cls, text)

    @classmethod
    def fault(cls, text: str) -> str | None:
        raise NotImplementedError


class ZoneName(_Name):
    """A zone name as zonecfg takes it (facts sheet 5.2), and not one that is reserved."""

    what = "zone name"
    hint = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 63 characters"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
            return "it has characters that zonecfg refuses" if text else "it is empty"
        if len(text) > 63:
            return f"it has {len(text)} characters"
        if text == "global" or text.startswith("SUNW"):
            return "it is reserved"
        return None


class SnapshotName(_Name):
    """The part behind `@`."""

    what = "snapshot name"
    hint = "letters, digits and '-', '_', '.', ':'"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", text):
            return "it has characters that ZFS or scripts cannot take" if text else "it is empty"
        if len(text) > 200:
            return f"it has {len(text)} characters"
        return None


class Dataset(_Name):
    """The full name of a file system or volume, pool first; at most 200 characters, snapshots still fit."""

    what = "dataset name"
    hint = "POOL/NAME[/NAME...] of letters, digits and '-', '_', '.', ':'"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not text:
            return "it is empty"
        if len(text) > 200:
            return f"it has {len(text)} characters"
        for part in text.split("/"):
            if not re.fullmatch(r"[A-Za-z0-9_.:-]+", part) or part in (".", ".."):
                return "it has an empty or forbidden component"
        if not re.match(r"[A-Za-z]", text):
            return "a pool name starts with a letter"
        return None

    @property
    def pool(self) -> str:
        return self.split("/", 1)[0]

    @property
    def last(self) -> str:
        return self.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Dataset | None:
        return Dataset(self.rsplit("/", 1)[0]) if "/" in self else None

    def child(self, name: str) -> Dataset:
        return Dataset(f"{self}/{name}")

    def at(self, name: str) -> Snapshot:
        return Snapshot(self, SnapshotName(name))


@dataclass(frozen=True, order=True)
class Snapshot:
    dataset: Dataset
    name: SnapshotName

    def __str__(self) -> str:
        return f"{self.dataset}@{self.name}"

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        dataset, _, name = text.partition("@")
        return cls(Dataset(dataset), SnapshotName(name))


class LinkName(_Name):
    """A data link (facts sheet 7.1): at most 31 letters, digits, '_', '.'; ends in a number, no leading 0."""

    what = "link name"
    hint = "a letter, then letters, digits, '_', '.', at most 31, with a number at the end: build0, vnic12"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if len(text) > 31:
            return f"it has {len(text)} characters"
        if not re.fullmatch(r"[A-Za-z_.][A-Za-z0-9_.]*", text):
            return "it has a character that dladm refuses" if text else "it is empty"
        if not re.fullmatch(r".*?[A-Za-z_.](0|[1-9][0-9]*)", text):
            return "it does not end in a number without leading zeros"
        return None


class UserName(_Name):
    what = "user or group name"
    hint = "letters, digits, '.', '_' and '-', starting with a letter or '_', at most 32"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]{0,31}", text):
            return "it has characters that passwd(5) does not allow" if text else "it is empty"
        return None
