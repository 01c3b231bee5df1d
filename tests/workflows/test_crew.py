"""Workers answer, are heard, and end: by themselves, by a signal, or with the one who started them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from zonemgr.workflows.cancel import Cancelled, signals_cancel
from zonemgr.workflows.crew import Answer, Crew, Ended, outlast_forsaken, signed


def heard() -> tuple[list[str], Crew]:
    lines: list[str] = []
    return lines, Crew(lambda name, line: lines.append(f"{name}: {line}"))


def all_of(crew: Crew) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    while len(crew):
        found |= {one.name: one for one in crew.wait()}
    return found


def test_answers_come_back_and_lines_are_not_mixed() -> None:
    def work(number: int) -> Answer:
        for part in range(3):
            print(f"part {part} " + "x" * 5000, flush=True)
        return {"square": number * number, "words": ["ä", "b"]}

    lines, crew = heard()
    with crew:
        for number in range(5):
            crew.start(f"w{number}", partial(work, number))
        ended = all_of(crew)
    assert {name: one.answer for name, one in ended.items()} == {
        f"w{number}": {"square": number * number, "words": ["ä", "b"]} for number in range(5)
    }
    assert sorted(lines) == sorted(f"w{n}: part {part} " + "x" * 5000 for n in range(5) for part in range(3))


def test_one_that_raises_or_dies_says_so_and_the_others_go_on() -> None:
    def fails() -> Answer:
        raise ValueError("no good")

    def dies() -> Answer:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    lines, crew = heard()
    with crew:
        crew.start("fails", fails)
        crew.start("dies", dies)
        crew.start("well", lambda: {"fine": True})
        ended = all_of(crew)
    assert ended["fails"].answer == {"notes": ["ValueError: no good"]}
    assert (ended["dies"].answer, ended["dies"].how) == (None, "its process was killed by signal 9")
    assert ended["well"].answer == {"fine": True}
    assert lines == ["fails: ValueError: no good"]


def test_a_program_that_outlives_its_worker_is_not_waited_for() -> None:
    def leaves_one_behind() -> Answer:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "20"])
        return {"left": True}

    _, crew = heard()
    begun = time.monotonic()
    with crew:
        crew.start("w", leaves_one_behind)
        assert all_of(crew)["w"].answer == {"left": True}
    assert time.monotonic() - begun < 15, "the sleep had the worker's output"


def test_an_interrupt_ends_all_and_waits_for_what_they_undo(tmp_path: Path) -> None:
    undone = tmp_path / "undone"
    undone.mkdir()
    parent = os.getpid()
    reading, writing = os.pipe()

    def work(name: str) -> Answer:
        try:
            if name == "a":
                os.write(writing, b"begun")
            else:
                os.read(reading, 5)  # both are at work
                os.kill(parent, signal.SIGTERM)
            while True:
                signal.pause()
        except Cancelled as ended:
            ended.add_note("one thing is left")
            raise
        finally:
            (undone / name).touch()

    _, crew = heard()
    with pytest.raises(Cancelled) as ended, signals_cancel(), crew:
        for name in "ab":
            crew.start(name, partial(work, name))
        all_of(crew)
    assert sorted(path.name for path in undone.iterdir()) == ["a", "b"]
    assert sorted(ended.value.__notes__) == ["a: one thing is left", "b: one thing is left"]


def test_none_is_forgotten_that_an_interrupt_met_while_it_was_started(tmp_path: Path) -> None:
    """Another thread takes the signal that this one has blocked, and Python hands it to this one all the same."""
    parent, over = os.getpid(), threading.Event()
    sent, undone = tmp_path / "sent", tmp_path / "undone"

    def work() -> Answer:
        try:
            os.kill(parent, signal.SIGTERM)
            sent.touch()
            while True:
                signal.pause()
        finally:
            undone.touch()

    def slowly(frame: FrameType, event: str, what: object) -> Any:
        """The starter is not scheduled again before the worker has sent its signal."""
        if frame.f_code is Crew.start.__code__ and frame.f_locals.get("pid"):
            while not sent.exists():
                pass
        return slowly

    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with pytest.raises(Cancelled), signals_cancel(), Crew(lambda *_: None) as crew:
            sys.settrace(slowly)
            crew.start("w", work)
            all_of(crew)
    finally:
        sys.settrace(None)
        over.set()
        other.join()
    assert undone.exists()


def test_a_worker_whose_starter_was_killed_before_it_came_to_itself_does_nothing(tmp_path: Path) -> None:
    """Who has started it must be known from before, or it takes whoever buries orphans for that."""
    reading, writing = os.pipe()
    starter = os.fork()
    if starter == 0:
        mine = os.getpid()

        def wait() -> None:
            while os.getppid() == mine:
                pass

        os.register_at_fork(after_in_child=wait)
        with signed(tmp_path), Crew(lambda *_: None) as crew:
            crew.start("w", lambda: {"worked": (tmp_path / "worked").touch()})
            os.write(writing, b"!")
            all_of(crew)
    os.read(reading, 1)
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
    outlast_forsaken(tmp_path, 60, lambda _: None)
    assert not (tmp_path / "worked").exists()


def test_workers_whose_starter_was_killed_are_waited_for(tmp_path: Path) -> None:
    """They may not even have begun anything that is written down."""
    undone = tmp_path / "undone"
    reading, writing = os.pipe()

    def work() -> Answer:
        os.write(writing, b"!")
        try:
            while True:
                signal.pause()
        finally:
            undone.touch()

    starter = os.fork()
    if starter == 0:
        with signed(tmp_path), Crew(lambda *_: None) as crew:
            crew.start("w", work)
            all_of(crew)
    os.read(reading, 1)
    told: list[str] = []
    outlast_forsaken(tmp_path, 60, told.append)
    assert not told, "the starter lives"
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
    outlast_forsaken(tmp_path, 60, told.append)
    assert undone.exists()
    assert len(told) == 1
    assert not list(tmp_path.glob("crew-*"))
