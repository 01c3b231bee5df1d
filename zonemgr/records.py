"""Records of runs: what was asked, how it went, and its output; a folder for each below the state directory.

    runs/<run id>/record.json   the request, the steps and the verdict
                  stdout.log    what the command in the zone printed; stderr.log likewise
                  host.log      the commands run on the host, to paste into a shell
                  journal.jsonl while the run lives or has left something behind (workflows/journal.py)
                  live          locked while the run lives

All of it is for its owner alone: command lines and build logs hold tokens and passwords.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from zonemgr import state
from zonemgr.config import Config
from zonemgr.errors import CommandTimeout, NotThere, UsageError
from zonemgr.model import RunId

Verdict = Literal["ok", "failed", "environment", "timeout", "cancelled"]

JOURNAL = "journal.jsonl"
_RECORD = "record.json"
_LIVE = "live"
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class StepRecord:
    title: str
    seconds: float
    outcome: Literal["done", "failed"]


@dataclass(frozen=True)
class RunRecord:
    """One run as it was written down; `notes` say what is missing or came later."""

    id: RunId
    argv: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    started: str = ""
    ended: str | None = None
    seconds: float | None = None
    verdict: Verdict | None = None
    exit_code: int | None = None
    message: str | None = None
    steps: tuple[StepRecord, ...] = ()
    notes: tuple[str, ...] = ()
    directory: Path = field(default=Path(), compare=False)
    live: bool = field(default=False, compare=False)
    hidden: bool = field(default=False, compare=False)  # another user's

    @property
    def state(self) -> str:
        """The verdict; or `running`, or `cut short` when its process is gone without one."""
        if self.hidden:
            return "unknown"
        return self.verdict or ("running" if self.live else "cut short")

    @property
    def unsettled(self) -> bool:
        """Whether it is under way or has left something for `zonemgr recover`."""
        return _has_journal(self.directory)


def new_run_id() -> RunId:
    """The second it began, in UTC, and a random tail: sorts by time and is safe in any name or value."""
    return RunId(f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.urandom(3).hex()}")


def runs_directory(config: Config) -> Path:
    return Path(config.state.directory, "runs")


class Run:
    """The record of a run under way. Leaving it writes the verdict: that of `finish`, or of the exception.

    An exception may carry `verdict` and `exit_code`; an interrupt (no Exception) counts as cancelled.
    """

    def __init__(
        self, config: Config, run: RunId, argv: Sequence[str] = (), zones: Sequence[str] = ()
    ) -> None:
        self._config = config
        self._begun = time.monotonic()
        self._logs: dict[str, _Log] = {}
        self.record = RunRecord(run, tuple(argv), tuple(zones), started=_now())

    @property
    def id(self) -> RunId:
        return self.record.id

    @property
    def directory(self) -> Path:
        return runs_directory(self._config) / self.id

    def __enter__(self) -> Self:
        state.folder(self._config, "runs")
        try:
            self.directory.mkdir(mode=0o700)
            self._lock = _hold(self.directory / _LIVE)
            _write(self.directory, self.record)
        except OSError as refused:
            raise state.not_usable(self._config, self.directory, refused) from refused
        return self

    def stdout(self, chunk: bytes) -> None:
        self._log("stdout.log").write(chunk)

    def stderr(self, chunk: bytes) -> None:
        self._log("stderr.log").write(chunk)

    def host_log(self, line: str) -> None:
        self._log("host.log").write(f"{line}\n".encode(errors="surrogateescape"))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            self._add_step(title, begun, "failed")
            raise
        self._add_step(title, begun, "done")

    def note(self, text: str) -> None:
        self.record = replace(self.record, notes=(*self.record.notes, text))

    def finish(self, verdict: Verdict, exit_code: int, message: str | None = None) -> None:
        """How it went, as far as the run itself can say; it is written down when the run is left."""
        self.record = replace(self.record, verdict=verdict, exit_code=exit_code, message=message)

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failure is not None:
            self._finish_by(failure)
        elif self.record.verdict is None:
            self.finish("ok", 0)
        for name, log in self._logs.items():
            if log.close():
                self.note(f"{name} is incomplete: {log.fault}")
        self.record = replace(self.record, ended=_now(), seconds=round(time.monotonic() - self._begun, 3))
        try:
            _write(self.directory, self.record, durable=True)
            (self.directory / _LIVE).unlink()
        except OSError as refused:
            lost = state.not_usable(self._config, self.directory, refused)
            if failure is None:
                raise lost from refused
            failure.add_note(f"the record of this run is lost: {lost}")
        finally:
            os.close(self._lock)
        prune(self._config)

    def _finish_by(self, failure: BaseException) -> None:
        verdict, exit_code = _verdict_of(failure)
        self.finish(verdict, exit_code, str(failure) or type(failure).__name__)
        for text in getattr(failure, "__notes__", ()):
            self.note(text)

    def _add_step(self, title: str, begun: float, outcome: Literal["done", "failed"]) -> None:
        step = StepRecord(title, round(time.monotonic() - begun, 3), outcome)
        self.record = replace(self.record, steps=(*self.record.steps, step))
        with suppress(OSError):  # it is written again at the end; there a failure counts
            _write(self.directory, self.record)

    def _log(self, name: str) -> _Log:
        return self._logs.setdefault(name, _Log(self.directory / name))


class _Log:
    """An output file. A full disk leaves it incomplete and is remembered; the build goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self.fault: str | None = None

    def write(self, chunk: bytes) -> None:
        if self.fault:
            return
        try:
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._file = os.open(self._path, flags, 0o600)
            while chunk:
                chunk = chunk[os.write(self._file, chunk) :]
        except OSError as refused:
            self.fault = refused.strerror

    def close(self) -> str | None:
        """Close it; what went wrong with it, if anything did."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        return self.fault


def list_runs(config: Config, *, newest: int | None = None) -> list[RunRecord]:
    """What is on record, newest first."""
    return [_read(runs_directory(config) / name) for name in _names(config)[:newest]]


def read_run(config: Config, text: str) -> RunRecord:
    """The run with this id, beginning of an id, or tail of one (which is what zone names carry)."""
    names = _names(config)
    found = [name for name in names if text and (name.startswith(text) or name.endswith(f"-{text}"))]
    if not found:
        raise NotThere(f"there is no record of a run {text!r}", hint="see: zonemgr runs")
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs begin with {text}", hint=f"the newest of them is {found[0]}")
    return _read(runs_directory(config) / found[0])


def close_dead(
    config: Config,
    run: str,
    *,
    verdict: Verdict = "cancelled",
    message: str = "cut short, and undone afterwards",
) -> None:
    """Write the end into the record of a run that could not do so itself; a verdict it did reach stays."""
    directory = runs_directory(config) / run
    record = _read(directory)
    if record.verdict is None:
        record = replace(record, ended=_now(), verdict=verdict, message=message)
    else:
        record = replace(record, notes=(*record.notes, message))
    with suppress(OSError):  # another user's record, or none at all: the host is in order all the same
        _write(directory, record, durable=True)
        (directory / _LIVE).unlink(missing_ok=True)


def prune(config: Config) -> int:
    """Remove the oldest records beyond [state] keep_runs; never of a live run or one that left a journal."""
    keep = config.state.keep_runs
    removed = 0
    for name in _names(config)[keep:] if keep else ():
        directory = runs_directory(config) / name
        if not _has_journal(directory) and not _is_live(directory):
            import shutil

            shutil.rmtree(directory, ignore_errors=True)  # what belongs to another user stays
            removed += not directory.exists()
    return removed


def _has_journal(directory: Path) -> bool:
    try:
        return (directory / JOURNAL).exists()
    except PermissionError:
        return False  # another user's; whether it lives is not ours to say either, see _is_live


def _names(config: Config) -> list[str]:
    try:
        names = [entry.name for entry in os.scandir(runs_directory(config))]
    except FileNotFoundError:
        return []
    except OSError as refused:
        raise state.not_usable(config, runs_directory(config), refused) from refused
    return sorted((name for name in names if _RUN_ID.fullmatch(name)), reverse=True)


def _read(directory: Path) -> RunRecord:
    import json

    blank = RunRecord(RunId(directory.name), directory=directory)
    try:
        entry = json.loads((directory / _RECORD).read_text())
        steps = tuple(StepRecord(**step) for step in entry.pop("steps"))
        listed: dict[str, Any] = {name: tuple(entry.pop(name)) for name in ("argv", "zones", "notes")}
        found = replace(blank, steps=steps, **listed, **entry)
    except PermissionError:
        return replace(blank, hidden=True, notes=("only its owner can read it",))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        found = replace(blank, notes=(f"{_RECORD} is missing or damaged",))
    return replace(found, live=found.verdict is None and _is_live(directory))


def _write(directory: Path, record: RunRecord, *, durable: bool = False) -> None:
    """Put the record in place in one go, so that nobody ever reads half of one."""
    import json

    entry = asdict(record)
    for name in ("id", "directory", "live", "hidden"):
        del entry[name]
    fresh = directory / f"{_RECORD}.new"
    with open(fresh, "w", opener=_private) as file:
        json.dump(entry, file, indent=1)
        file.write("\n")
        file.flush()
        if durable:
            os.fsync(file.fileno())
    fresh.replace(directory / _RECORD)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _verdict_of(failure: BaseException) -> tuple[Verdict, int]:
    if not isinstance(failure, Exception):
        number = getattr(failure, "number", 2)  # of the signal; an interrupt from the keyboard is 2
        return "cancelled", 128 + number
    verdict: Verdict = "timeout" if isinstance(failure, CommandTimeout) else "environment"
    return getattr(failure, "verdict", verdict), getattr(failure, "exit_code", 1)


def _hold(path: Path) -> int:
    """A lock that ends with the process; unlike those of locks.py nobody waits for it, they only look."""
    import fcntl

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _is_live(directory: Path) -> bool:
    import fcntl

    try:
        file = os.open(directory / _LIVE, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return True  # somebody else's: not ours to say it is dead
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def as_dict(record: RunRecord) -> Mapping[str, Any]:
    """For --json: the record and where its files are."""
    return {**asdict(record), "directory": str(record.directory), "state": record.state}
