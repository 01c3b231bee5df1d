"""The journal of a run: every step, on disk before it begins, so that even a power cut can be cleared up."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zonemgr.errors import ZonemgrError
from zonemgr.workflows.steps import REGISTRY, Step

NAME = "journal.jsonl"
# Where step classes are defined; a journal may name any of them.
STEP_MODULES = (
    "building",
    "teardown",
    "snaps",
    "execute",
    "packages",
    "deriving",
    "upgrade",
    "storage",
    "archives",
    "modify",
    "gc",
)


class Journal:
    """Append-only file of JSON lines in the run's directory, locked while the run lives.

    Lines: {"run", "pid", "zones"} first, then {"begin": CLASS, "fields": {…}}, {"undone": N}, {"keep": N}.
    """

    def __init__(self, directory: Path, run: str, zones: list[str]) -> None:
        self.path = directory / NAME
        self._steps: list[Step] = []
        # Appending with O_APPEND and one write per line: a torn last line is the only damage a crash can do.
        # It gets its name when it is locked and has its first line: nobody may take it for a dead run's.
        fresh = directory / f"{NAME}.new"
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        lock(self._file)
        self._line({"run": run, "pid": os.getpid(), "zones": zones})
        fresh.replace(self.path)
        _sync_directory(directory)

    def begin(self, step: Step) -> None:
        self._steps.append(step)
        self._line({"begin": type(step).__name__, "fields": _plain(step)})

    def undone(self, step: Step) -> None:
        self._line({"undone": self._number(step)})

    def keep(self, *steps: Step) -> None:
        """From here on these steps' work is to stay, whatever happens."""
        if steps:  # in one line: half of a zone is not to be kept
            self._line({"keep": [self._number(step) for step in steps]})

    def end(self) -> None:
        """The run ended well, or everything was undone: the record remains, the journal goes."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)

    def leave(self) -> None:
        """Something could not be undone: the journal stays for `zonemgr recover`."""
        os.close(self._file)

    def _number(self, step: Step) -> int:
        return next(n for n, known in enumerate(self._steps) if known is step)

    def _line(self, entry: dict[str, Any]) -> None:
        os.write(self._file, (json.dumps(entry, sort_keys=True) + "\n").encode())
        os.fsync(self._file)


class NoJournal:
    """For dry runs: nothing is begun, so nothing is remembered."""

    def begin(self, step: Step) -> None:
        pass

    def undone(self, step: Step) -> None:
        pass

    def keep(self, *steps: Step) -> None:
        pass

    def end(self) -> None:
        pass

    def leave(self) -> None:
        pass


@dataclasses.dataclass
class Unfinished:
    """The journal of a run that is no longer alive, locked for the one who recovers it."""

    run: str
    zones: list[str]
    directory: Path
    steps: list[Step]  # begun, not undone, not to be kept; oldest first
    _numbers: list[int]
    _file: int

    def begin(self, step: Step) -> None:
        raise AssertionError("a recovery begins no steps of its own")

    def undone(self, step: Step) -> None:
        number = next(n for n, known in zip(self._numbers, self.steps_before, strict=True) if known is step)
        os.write(self._file, (json.dumps({"undone": number}) + "\n").encode())
        os.fsync(self._file)

    def __post_init__(self) -> None:
        self.steps_before = list(self.steps)

    def end(self) -> None:
        (self.directory / NAME).unlink(missing_ok=True)
        os.close(self._file)

    def leave(self) -> None:
        os.close(self._file)

    def drop(self) -> None:
        """It has become pointless: the zone it is about is being removed altogether."""
        (self.directory / NAME).unlink(missing_ok=True)


def lock(file: int) -> bool:
    """Take the advisory lock that the kernel drops with the process; False when a live run has it."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unfinished(runs: Path, *, zone: str | None = None, run: str | None = None) -> Iterator[Unfinished]:
    """Journals of dead runs, newest first; only those that name the zone, or of one run. Live runs are left alone.

    Each is locked while the caller has it, and no other is; one that names steps of another version raises when it is
    reached, and not before.
    """
    for path in sorted(runs.glob(f"{run or '*'}/{NAME}"), reverse=True):
        if zone is not None and zone not in _head(path).get("zones", []):
            continue
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # it ended between the two looks
        if not lock(file) or not path.exists():
            os.close(file)
            continue
        try:
            journal = _read(path, file)
        except BaseException:
            os.close(file)
            raise
        yield journal


def of_zone(runs: Path, zone: str) -> list[tuple[str, list[str]]]:
    """Run ids and zones of the journals that name a zone, newest first; without looking whether they live."""
    heads = [(path.parent.name, _head(path)) for path in sorted(runs.glob(f"*/{NAME}"), reverse=True)]
    return [(run, list(head["zones"])) for run, head in heads if zone in head.get("zones", [])]


def _head(path: Path) -> dict[str, Any]:
    try:
        with path.open() as file:
            head: dict[str, Any] = json.loads(file.readline())
            return head
    except (OSError, ValueError):
        return {}


def dead(runs: Path) -> list[tuple[str, list[str]]]:
    """Run ids and zones of all dead runs with a journal, newest first, without keeping their locks."""
    found = []
    for path in sorted(runs.glob(f"*/{NAME}"), reverse=True):
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            if lock(file):
                found.append((path.parent.name, list(_head(path).get("zones", []))))
            os.close(file)
    return found


def _read(path: Path, file: int) -> Unfinished:
    entries = []
    for line in path.read_text().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break  # a torn last line: the step it names never began
    head: dict[str, Any] = entries[0] if entries else {"run": path.parent.name, "zones": []}
    steps = [_revive(entry) for entry in entries if "begin" in entry]
    settled = {entry["undone"] for entry in entries if "undone" in entry}
    settled.update(number for entry in entries for number in entry.get("keep", []))
    open_ones = [number for number in range(len(steps)) if number not in settled]
    return Unfinished(
        head["run"], head["zones"], path.parent, [steps[number] for number in open_ones], open_ones, file
    )


def _plain(step: Step) -> dict[str, Any]:
    return {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}  # type: ignore[arg-type]


def _revive(entry: dict[str, Any]) -> Step:
    """A step from its journal line. Fields are str, int, bool, None or lists of them; lists come back as tuples."""
    for module in STEP_MODULES:
        importlib.import_module(f"zonemgr.workflows.{module}")

    kind = REGISTRY.get(entry["begin"])
    if kind is None:
        raise ZonemgrError(
            f"the journal names a step {entry['begin']!r} that this version does not know",
            hint="recover with the version of zonemgr that wrote it",
        )
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in entry["fields"].items()}
    return kind(**fields)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
