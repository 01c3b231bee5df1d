"""The emulated zonecfg against recordings of the real one (vectors/zonecfg.jsonl): every record is
replayed.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zonemgr.lab import world as worlds
from zonemgr.lab import zonestore
from zonemgr.lab.call import Call
from zonemgr.lab.world import World
from zonemgr.lab.zonecfg import zonecfg

VECTORS = Path(__file__).parent / "vectors"
FLAVOUR = {"gate": "openindiana", "omn": "omnios"}
UUID = "5f1c7d8e-1111-2222-3333-444455556666"
# the machine of the recording
BRANDS = "ipkg lipkg nlipkg sparse pkgsrc illumos bhyve"
USERS = ("root", "adm", "jim", "builder", "webservd")
SCRIPT, OUTPUT = "/lab/script", "/lab/out"  # stand for /tmp/script and /tmp/out, which would be the machine's
COUNTS = ("exit", "index", "export")  # what must be right; the texts come after
TEXTS = ("stdout", "stderr", "then", "xml", "files")

Record = dict[str, Any]


@dataclass
class Answer:
    exit: int
    stdout: str
    stderr: str
    index: list[str] = field(default_factory=list)
    xml: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    then: list[dict[str, Any]] = field(default_factory=list)
    export: str | None = None


class Machine:
    """One lab per flavour, put back to its first day before each record."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones = world.path("/etc/zones")
        world.put("zones.brands", BRANDS)
        world.path("/etc/passwd").write_text("".join(f"{user}:x:1:1::/:/bin/sh\n" for user in USERS))
        self._templates = {file.name for file in self.zones.glob("*.xml")}
        self._first_index = (self.zones / "index").read_bytes()

    def reset(self) -> None:
        for file in self.zones.iterdir():
            if file.name not in self._templates:  # nothing writes to those
                file.unlink()
        (self.zones / "index").write_bytes(self._first_index)
        for left in (SCRIPT, OUTPUT):
            self.world.path(left).unlink(missing_ok=True)
        self.world.db.execute("delete from kernel_zones")
        self.world.db.execute("delete from facts where key = 'zones.debugid'")

    def run(self, *argv: str, stdin: str = "", privileged: bool = True) -> Answer:
        out, err = io.BytesIO(), io.BytesIO()
        call = Call(self.world, ["zonecfg", *argv], io.BytesIO(_bytes(stdin)), out, err)
        call.user, call.privileged = ("root", True) if privileged else ("jim", False)
        status = zonecfg(call)
        return Answer(status, _text(out.getvalue()), _text(err.getvalue()).replace(SCRIPT, "/tmp/script"))

    def replay(self, record: Record) -> Answer:
        self.reset()
        for step in record.get("before", []):
            self._before(step)
        if "state" in record:
            self._put_state(record["state"])
        answer = self._main(record)
        answer.index = [line for line in self._index() if not line.startswith(("#", "global:"))]
        answer.xml = {
            file.stem: _from_root(file.read_bytes())
            for file in self.zones.glob("*.xml")
            if file.name not in self._templates
        }
        if "files" in record and self.world.path(OUTPUT).exists():
            answer.files = {"out": _text(self.world.path(OUTPUT).read_bytes())}
        answer.then = [self._then(record["zone"], later["cmd"]) for later in record["then"]]
        if "export" in record:
            answer.export = self.run("-z", record["zone"], "export").stdout
        return answer

    def _index(self) -> list[str]:
        return _text((self.zones / "index").read_bytes()).splitlines()

    def _main(self, record: Record) -> Answer:
        script = record.get("script", "").replace("/tmp/out", OUTPUT)
        zone, privileged = ("-z", record["zone"]), not record.get("user")
        match record["how"]:
            case "arg":
                return self.run(*zone, script, privileged=privileged)
            case "stdin":
                return self.run(*zone, stdin=script, privileged=privileged)
            case "dash":
                return self.run(*zone, "-f", "-", stdin=script, privileged=privileged)
            case "file":
                self.world.path(SCRIPT).parent.mkdir(exist_ok=True)
                self.world.path(SCRIPT).write_bytes(_bytes(script))
                return self.run(*zone, "-f", SCRIPT, privileged=privileged)
        return self.run(*record["argv"], privileged=privileged)

    def _then(self, zone: str, command: str) -> dict[str, Any]:
        answer = self.run("-z", zone, command)
        return {"cmd": command, "exit": answer.exit, "stdout": answer.stdout, "stderr": answer.stderr}

    def _before(self, step: str) -> None:
        word, _, rest = step.partition(" ")
        if word == "__zone":
            zone, _, script = rest.partition(" ")
            self.run("-z", zone, script)
        elif word == "__damage":
            self._damage(rest)
        else:
            self.run("-z", "t1", step)

    def _put_state(self, state: str) -> None:
        stored = state if state in zonestore.STORED else "installed"
        line = f"t1:{stored}:/zones/t1:{UUID if stored != 'configured' else ''}"
        self._replace_line(line)
        if stored != state:
            self.world.db.execute(
                "insert into kernel_zones (id, name, state, root) values (1, 't1', ?, '/zones/t1/root')",
                (state,),
            )

    def _replace_line(self, line: str | None) -> None:
        lines = [old for old in self._index() if not old.startswith("t1:")]
        lines += [line] if line else []
        (self.zones / "index").write_text("\n".join(lines) + "\n")

    def _damage(self, kind: str) -> None:
        document = self.zones / "t1.xml"
        text = document.read_text()
        match kind:
            case "noxml":
                document.unlink()
            case "noindex":
                self._replace_line(None)
            case "badindex":
                self._replace_line("t1:nostate")
            case "badxml":
                document.write_text(text.replace("</zone>", ""))
            case "emptyxml":
                document.write_text("")
            case "nodtd":
                document.write_text(text.replace(' brand="', ' surprise="1" brand="'))
            case "brand":
                document.write_text(text.replace('brand="ipkg"', 'brand="gone"'))
            case _:
                raise ValueError(kind)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _from_root(data: bytes) -> str:
    """The document from its root element on: the recordings keep no more."""
    text = _text(data)
    return text[text.find("<zone") :].rstrip("\n") if "<zone" in text else ""


# Long help texts are folded in the recordings; ours are folded to the same words before they are compared.
_FOLDS = (
    (
        re.compile(r"Commands:\n\nadd <(?:.|\n)*?\nset <property-name>=<property-value>\nverify\n"),
        "<COMMANDS>\n",
    ),
    (re.compile(r"<zone> := (?:.|\n)*? characters\.\n"), "<ZONENAME>\n"),
    (re.compile(r"<resource type> := .*\n\t.*\n"), "<RESOURCES>\n"),
    (re.compile(r"For resource type \.\.\.(?:.|\n)*?\tsecurity-flags\t.*\n"), "<PROPERTIES>\n"),
    (re.compile(r"\n<net-addr> :=(?:.|\n)*?<hostname> := .*\n"), "<NETADDR>\n"),
)


def fold(text: str) -> str:
    for pattern, word in _FOLDS:
        text = pattern.sub(word, text)
    return text


def folded(text: str, recorded: str) -> str:
    """Our text as the recording would have kept it; help that was asked for counts by its first line."""
    if "<HELP>" in recorded or recorded.endswith("<COMMANDS>\n\n"):
        return recorded if fold(text).split(":")[0] in ("Commands", "usage") else text
    return fold(text)


def differing(record: Record, answer: Answer) -> set[str]:
    """The fields in which the answer is not what was recorded."""
    found = {name for name in ("exit", "index", "xml") if getattr(answer, name) != record[name]}
    for name in ("stdout", "stderr"):
        if folded(getattr(answer, name), record[name]) != record[name]:
            found.add(name)
    for ours, theirs in zip(answer.then, record["then"], strict=True):
        if {name: fold(text) if isinstance(text, str) else text for name, text in ours.items()} != theirs:
            found.add("then")
    if "export" in record and answer.export != record["export"]:
        found.add("export")
    if "files" in record and answer.files != record["files"]:
        found.add("files")
    return found


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    directory = tmp_path_factory.mktemp("zonecfg")
    opened = {
        label: Machine(worlds.create(directory / label, flavour=flavour))
        for label, flavour in FLAVOUR.items()
    }
    yield opened
    for machine in opened.values():
        machine.world.close()


@pytest.fixture(scope="module")
def results(machines: dict[str, Machine]) -> dict[str, dict[str, set[str]]]:
    """label -> id -> fields that differ"""
    found: dict[str, dict[str, set[str]]] = {label: {} for label in FLAVOUR}
    with (VECTORS / "zonecfg.jsonl").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            answer = machines[record["label"]].replay(record)
            found[record["label"]][record["id"]] = differing(record, answer)
    return found


def known_differences() -> dict[str, set[str]]:
    """label -> ids that are known to differ in what counts; each line of the file has a reason."""
    known: dict[str, set[str]] = {label: set() for label in FLAVOUR}
    for line in (VECTORS / "zonecfg-differs.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            label, name, reason = line.split(None, 2)
            assert reason
            known[label].add(name)
    return known


@pytest.mark.parametrize("label", FLAVOUR)
def test_what_counts_is_as_recorded_but_for_the_differences_listed(
    results: dict[str, dict[str, set[str]]], label: str
) -> None:
    differ = {name: fields for name, fields in results[label].items() if fields & set(COUNTS)}
    assert len(differ) <= 0.03 * len(results[label])
    assert set(differ) == known_differences()[label]


@pytest.mark.parametrize("label", FLAVOUR)
@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_as_recorded(results: dict[str, dict[str, set[str]]], label: str, text: str) -> None:
    differ = [name for name, fields in results[label].items() if text in fields]
    assert len(differ) <= 0.01 * len(results[label]), differ
