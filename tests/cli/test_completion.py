"""Completion answers from the table of words, and with zone and snapshot names from the host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr.cli import completion
from zonemgr.lab import gz

HERE = Path(__file__).parent.parent.parent


@pytest.fixture
def asked(lab: Lab) -> Iterator[str]:
    """The lab with its golden image, entered as programs; the directory of it."""
    yield str(lab.world.dir)
    gz.stop(lab.world.dir)


def complete(where: str, *words: str) -> list[str]:
    line = [
        sys.executable,
        "-m",
        "zonemgr",
        "lab",
        "run",
        "--dir",
        where,
        "--",
        "zonemgr",
        "__complete",
        *words,
    ]
    told = subprocess.run(line, capture_output=True, text=True, check=True, cwd=HERE, env={**os.environ})
    return told.stdout.split()


def test_actions_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    completion.answer(["create-"])
    assert capsys.readouterr().out.split() == ["create-diz", "create-giz"]
    completion.answer(["boot", "--z"])
    assert capsys.readouterr().out.split() == ["--zone"]
    completion.answer(["exec", "--exec-discard", ""])
    assert capsys.readouterr().out.split() == ["always", "off", "onfail", "onsuccess"]
    completion.answer(["exec", "--exec-discard", "=", "on"])  # as bash splits --exec-discard=on
    assert capsys.readouterr().out.split() == ["onfail", "onsuccess"]
    completion.answer(["log", "RUN", "st"])
    assert capsys.readouterr().out.split() == ["stderr", "stdout"]
    completion.answer(["config", "get", "diz.d"])
    assert capsys.readouterr().out.split() == ["diz.dataset"]


@pytest.mark.namespaces
def test_names_come_from_the_host(asked: str) -> None:
    assert complete(asked, "boot", "") == [GOLDEN]
    assert complete(asked, "create-diz", "-c", "") == [GOLDEN]
    assert complete(asked, "create-diz", "-c", GOLDEN, "-s", "initial-post") == [
        f"initial-postinstalled-{GOLDEN}"
    ]
    assert complete(asked, "create-diz", "--add-vnic-over", "") == ["net0"]
    assert "builder" in complete(asked, "create-diz", "--copy-users", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str) -> None:
    assert "zonemgr __complete" in completion.script(shell)


def test_bash_completes_a_line() -> None:
    """In a real bash: the function fills COMPREPLY."""
    script = completion.BASH + (
        f'zonemgr() {{ {sys.executable} -m zonemgr "$@"; }}\n'
        "COMP_WORDS=(zonemgr create-g); COMP_CWORD=1; _zonemgr; echo ${COMPREPLY[@]}\n"
    )
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=HERE)
    assert told.stdout.strip() == "create-giz"
