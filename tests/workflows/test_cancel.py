"""Signals that end a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from zonemgr.workflows.cancel import Cancelled, signals_cancel


@pytest.fixture
def nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_of_them_ends_a_run(number: signal.Signals) -> None:
    with pytest.raises(Cancelled) as ended, signals_cancel():
        os.kill(os.getpid(), number)
    assert ended.value.number == number


@pytest.mark.usefixtures("nohup")
def test_what_the_caller_ignores_ends_nothing() -> None:
    """As with nohup, whose terminal goes away while a build runs."""
    with pytest.raises(Cancelled) as ended, signals_cancel():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
