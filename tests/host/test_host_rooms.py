"""The walls of the host room: one door, one file that knows sh, nothing from the lab."""

from __future__ import annotations

import ast
from pathlib import Path

import zonemgr.host

ROOM = Path(zonemgr.host.__file__).parent


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_nothing_is_shared_with_the_lab_and_calls_go_one_way() -> None:
    for file in ROOM.glob("*.py"):
        for name in imports(file):
            assert not name.startswith(
                ("zonemgr.lab", "zonemgr.workflows", "zonemgr.cli", "zonemgr.config")
            ), file


def test_only_the_door_starts_programs() -> None:
    for file in ROOM.glob("*.py"):
        assert "subprocess" not in imports(file), file
        text = file.read_text()
        assert file.name == "door.py" or 'import_module("sh")' not in text, file
        assert "sh" not in imports(file), file
        for call in ("os.system", "os.fork", "os.exec", "os.spawn", "os.popen"):
            assert call not in text, (file, call)


def test_only_the_door_touches_files() -> None:
    """What is read of the host is asked for by command, for the host may be elsewhere."""
    for file in ROOM.glob("*.py"):
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls, file
