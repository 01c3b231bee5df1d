"""The commands that the README shows are commands that zonemgr takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from zonemgr.cli import argv
from zonemgr.cli.words import ACTIONS

TEXT = (Path(__file__).parent.parent / "README.md").read_text()


def shown() -> list[str]:
    """Command lines of zonemgr in the indented blocks, continued lines put together."""
    blocks = "\n".join(line[4:] for line in TEXT.splitlines() if line.startswith("    "))
    lines = blocks.replace("\\\n", " ").splitlines()
    pieces = [piece for line in lines for piece in re.split(r";\s+(?=zonemgr )", line.split(" #")[0])]
    found = [re.search(r"(?:^|bin/|\s)zonemgr (.+)$", piece) for piece in pieces]
    return [
        match[1].split(" > ")[0].split(" … ")[0].removesuffix(" …")
        for match in found
        if match and match[1].strip()
    ]


@pytest.mark.parametrize("line", shown())
def test_a_command_of_the_readme(line: str) -> None:
    parsed = argv.parse([word for word in shlex.split(line) if not word.startswith("/opt/zonemgr")])
    assert parsed.action is not None
    assert parsed.warnings == []


def test_it_shows_some() -> None:
    assert len(shown()) > 25


def test_every_action_of_the_predecessor_that_was_a_stub_is_shown() -> None:
    for name in ("pkg-install", "pkg-uninstall", "pkg-refresh", "pkg-upgrade", "upgrade-giz", "tree", "modify", "gc",
                 "export", "import", "rollback", "recover"):  # fmt: skip
        assert name in {action.name for action in ACTIONS}
        assert re.search(rf"zonemgr {name}\b", TEXT), name
