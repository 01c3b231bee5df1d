"""The lab's zoneadm against recordings of the real one with zoneadmd's request server (vectors/zoneadm.jsonl).

Each record's host is built in a lab of either flavour, with scripts that stand in for the brand's as they did in the
recordings, and the command is run. What is compared: exit status, states afterwards, the index, the brand's scripts
that were run and what the kernel and the virtual platform were asked for, in order, both outputs, what is in the
zonepath. The recordings are of illumos-gate; where OmniOS' sources differ the record is told in OmniOS' way first
(`as_omnios`).
Records that differ are listed with a reason in vectors/zoneadm-differs.txt, by flavour; the list is exact.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zonemgr.lab import trace, world, zonestore
from zonemgr.lab.brands import hooks, scripted
from zonemgr.lab.call import Call, Finished
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zoneadm import zoneadm

VECTORS = Path(__file__).parent / "vectors"
Record = dict[str, Any]
# A path in memory that is the lab's own.
LINES = (VECTORS / "zoneadm.jsonl").read_text().replace("/tmp/t1", "/system/volatile/t1").splitlines()
RECORDS: list[Record] = [json.loads(line) for line in LINES]
UUIDS = {"t1": "5f1c7d8e-1111-2222-3333-444455556666", "src": "5f1c7d8e-aaaa-2222-3333-444455556666"}
UUIDS["busy"] = "5f1c7d8e-bbbb-2222-3333-444455556666"
NEIGHBOURS = {"src": "installed", "busy": "running", "d2": "configured", "inc": "incomplete"}
# States of the kernel that are one state to everybody else.
SHOWN = {"booting": "running", "empty": "shutting_down", "dying": "down"}
TRACED = (
    "hook",
    "vplat",
    "kernel",
    "inzone",
)  # of the recorded calls; what zfs was asked shows in what is there
PLATFORM = ("dev", "lu")  # directories of the virtual platform, which was not there in the recordings
FIELDS = ("exit", "after", "index", "calls", "stdout", "stderr", "zonepath_after")


def known_differences() -> dict[tuple[str, str], str]:
    """(flavour, id) -> why; a line of the file is `FLAVOUR|both ID REASON`."""
    known = {}
    for line in (VECTORS / "zoneadm-differs.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            flavour, record, reason = line.split(" ", 2)
            for each in world.FLAVOURS if flavour == "both" else (flavour,):
                known[each, record] = reason
    return known


def name(record: Record) -> str:
    return str(record["id"]).replace(" ", "_")


class Hosts:
    """Hosts in the situations of the records; each is built once, and copied for what changes it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.built: dict[str, Path | LabError] = {}

    def differences(self, record: Record, flavour: str) -> list[str]:
        where = self._situation(record, flavour)
        if isinstance(where, LabError):
            return [f"refused: {where}"]
        if record["group"] in CHANGES_NOTHING or record["state"] == "none":
            return self._compared(where, record, flavour)
        _copy(where, self.directory / "copy")
        try:
            return self._compared(self.directory / "copy", record, flavour)
        finally:
            shutil.rmtree(self.directory / "copy")

    def _compared(self, where: Path, record: Record, flavour: str) -> list[str]:
        opened = World(where)
        try:
            return differences(Host(opened, record), flavour)
        finally:
            opened.close()

    def _situation(self, record: Record, flavour: str) -> Path | LabError:
        key = json.dumps(
            [flavour, record["id"] == "clone-brands", *(record.get(field) for field in SITUATION)]
        )
        if key not in self.built:
            where = self.directory / str(len(self.built))
            _copy(self.directory / flavour, where)
            self.built[key] = where
            opened = World(where)
            try:
                Host(opened, record).build()
            except LabError as refused:
                self.built[key] = refused
            opened.close()
        return self.built[key]


def _copy(source: Path, target: Path) -> None:
    """With owners, which Python's own would not copy."""
    subprocess.run(["cp", "-a", source, target], check=True)


SITUATION = ("state", "brand", "also", "body", "srcbody", "iptype", "bootargs", "prep", "zonepath")
CHANGES_NOTHING = ("list", "noauth", "unpriv", "global")


class Host:
    """The host of one record."""

    def __init__(self, opened: World, record: Record) -> None:
        self.world, self.record = opened, record
        self.brand = record.get("brand") or "ipkg"
        self.files: list[tuple[str, str, str]] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def must(self, *argv: str) -> None:
        done = Call(self.world, ["test"]).run(*argv)
        assert done.exit_code == 0, f"{argv}: {done.stderr}"

    # -- before --------------------------------------------------------------------------------------------

    def build(self) -> None:
        record, state = self.record, self.record["state"]
        number = iter((3, 5))
        if "/nfs" in str(record):
            raise LabError("there is no NFS in a lab")
        if state != "none":
            self._zone("t1", state, record.get("zonepath") or "/zones/t1", record.get("body") or "", number)
        for neighbour in record.get("also") or []:
            body = record.get("srcbody") or "" if neighbour == "src" else ""
            self._zone(neighbour, NEIGHBOURS[neighbour], f"/zones/{neighbour}", body, number)
        for zone, path, brand in self.files:
            self._files(zone, path, brand)
        self.world.db.execute(
            "update links set zone = 'busy' where name = 'vnic2' and ?", ("busy" in str(record.get("also")),)
        )
        for command in record.get("prep") or []:
            self._prepare(command)

    def script(self) -> None:
        """Let scripts of the brand and the kernel fail as the record says."""
        record = self.record
        for script, told in (record.get("hooks") or {}).items():
            fact, value = (
                ("fault.shutdown", "fail") if script == "shutdown" else (f"fault.hook.{script}", str(told))
            )
            self.world.put(fact, value)
        for fault in record.get("kern") or {}:
            self._break(fault)

    def _zone(self, zone: str, state: str, path: str, body: str, number: Iterator[int]) -> None:
        brand = "illumos" if self.record["id"] == "clone-brands" and zone == "src" else self.brand
        iptype = self.record.get("iptype") or "exclusive" if zone == "t1" else "exclusive"
        bootargs = (
            f' bootargs="{self.record["bootargs"]}"' if zone == "t1" and self.record.get("bootargs") else ""
        )
        document = (
            '<?xml version="1.0"?>\n<!DOCTYPE zone PUBLIC "-//Sun Microsystems Inc//DTD Zones//EN"'
            ' "file:///usr/share/lib/xml/dtd/zonecfg.dtd.1">\n'
            f'<zone name="{zone}" zonepath="{path}" autoboot="false"{bootargs} brand="{brand}" ip-type="{iptype}">'
            f"{body}</zone>\n"
        )
        self.world.path(f"/etc/zones/{zone}.xml").write_text(document)
        shown = SHOWN.get(state, state)
        stored = shown if shown in zonestore.STORED else "installed"
        uuid = "" if stored == "configured" else UUIDS.get(zone, "")
        with self.world.path("/etc/zones/index").open("a") as index:
            index.write(f"{zone}:{stored}:{path}:{uuid}\n")
        if stored != "configured" and zone != "inc":
            self.files.insert(0, (zone, path, brand))  # a zone inside another one's zonepath comes after it
        if shown != stored:
            root = f"{path}/{'lu' if shown == 'mounted' else 'root'}"
            self.world.db.execute(
                "insert into kernel_zones (id, name, state, root, uuid, brand) values (?, ?, ?, ?, ?, ?)",
                (next(number), zone, shown, root, uuid, brand),
            )

    def _files(self, zone: str, path: str, brand: str) -> None:
        """The zonepath as a dataset below that of its parent directory, with its root."""
        if path.startswith(f"/zones/{zone}") and not self._is_torn_apart(path):
            self.must("zfs", "create", f"rpool{path}")
            if brand == "ipkg":
                self.must("zfs", "create", "-o", "mountpoint=legacy", f"rpool{path}/ROOT")
                self.must("zfs", "create", f"rpool{path}/ROOT/zbe")
                self.world.path(f"{path}/root").mkdir()
                self.must("mount", "-F", "zfs", f"rpool{path}/ROOT/zbe", f"{path}/root")
        elif path.startswith("/nosuid"):
            self.must("zfs", "create", "-o", "mountpoint=/nosuid", "-o", "setuid=off", "rpool/nosuid")
        scripted.make_root(Call(self.world, ["test"]), path)
        self.world.path(path).chmod(0o700)

    def _is_torn_apart(self, path: str) -> bool:
        """The record moves or removes the directory itself, which a mounted file system's cannot be."""
        texts = " ".join(self.record.get("prep") or [])
        return (
            re.search(rf"(rm -rf|mv) @{path}( |$|;)", texts) is not None
            or "mv @/zones/src @/zones/t1" in texts
        )

    def _prepare(self, command: str) -> None:
        dataset = re.search(r'echo "(\S+) (\S+) 1 fs (\S+) ', command)
        if dataset:
            inherited = dataset[3] == "inherit"
            if inherited:  # a mountpoint nobody has set is no inherited one
                self.must("zfs", "set", "mountpoint=/rpool", "rpool")
            self.must("zfs", "create", *([] if inherited else ["-o", f"mountpoint={dataset[2]}"]), dataset[1])
            return
        host = shlex.quote(str(self.world.path("/"))).rstrip("/")
        subprocess.run(["sh", "-c", command.replace("@/", f"{host}/")], check=True)

    def _break(self, fault: str) -> None:
        if fault == "umount_busy":
            if self.brand != "ipkg":  # nothing is mounted on its root
                return
            root = self.world.path("/zones/t1/root")
            self.processes.append(subprocess.Popen(["sleep", "60"], cwd=root))
        elif fault.startswith("vplat_"):
            self.world.put(f"fault.{fault.replace('_', '.')}", f"scripted failure of {fault}")
        else:
            raise LabError(f"a failing {fault} is not emulated")

    # -- the command ---------------------------------------------------------------------------------------

    def run(self) -> Finished:
        out, err = io.BytesIO(), io.BytesIO()
        call = Call(self.world, ["/usr/sbin/zoneadm", *self.record["argv"]], self._stdin(), out, err)
        env = self.record.get("env") or {}
        call.terminal, call.privileged = bool(self.record.get("tty")), "RIG_UNPRIV" not in env
        call.user = "jim" if "RIG_NOAUTH" in env else "root"
        try:
            status = zoneadm(call)
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
        return Finished(status, out.getvalue().decode(), err.getvalue().decode())

    def _stdin(self) -> io.BytesIO:
        if self.record.get("tty"):
            return io.BytesIO(self.record["tty"].encode())
        file = self.record.get("stdinfile")
        return io.BytesIO(self.world.path(file).read_bytes() if file else b"")

    # -- after ---------------------------------------------------------------------------------------------

    def answer(self) -> Record:
        ended = self.run()
        entries = zonestore.index(self.world)
        lines = self.world.path("/etc/zones/index").read_text().splitlines()
        return {
            "exit": ended.exit_code,
            "after": {each.name: zonestore.state(self.world, each.name) for each in entries},
            "index": [_known_uuid(line) for line in lines if not line.startswith(("#", "global:"))],
            "calls": [list(map(_pid, words)) for words in trace.steps(self.world)],
            "stdout": fold(ended.stdout),
            "stderr": fold(_as_on_the_recorder(ended.stderr)),
            "zonepath_after": self._zonepath(),
        }

    def _zonepath(self) -> list[str] | None:
        place = self.world.path("/zones/t1")
        if not place.is_dir():
            return None
        return sorted(each.name for each in place.iterdir() if each.name not in PLATFORM)


def _as_on_the_recorder(text: str) -> str:
    """It had no other user, and a platform that could not be torn down said nothing."""
    text = text.replace("User jim is", "User root is")
    return text.replace("zone 't1': scripted failure of vplat_teardown\n", "")


def _known_uuid(line: str) -> str:
    known = (*UUIDS.values(), "")
    head, _, uuid = line.rpartition(":")
    return line if uuid in known else f"{head}:<uuid>"


def _pid(word: str) -> str:
    return re.sub(r"^(/var/run/zone\.)\d+$", r"\1<pid>", word)


def fold(text: str) -> str:
    """Long descriptions in usage texts are the lab's own: only which there are, and of what, is compared."""
    return re.sub(r"(?m)(^\t.*\n)+", "<HELP>\n", text) if "usage:" in text else text


def wanted(record: Record) -> Record:
    found = {field: record[field] for field in FIELDS}
    found["calls"] = [words for words in record["calls"] if words[0] in TRACED]
    found["stdout"], found["stderr"] = fold(record["stdout"]), fold(record["stderr"])
    found["stdout"] = found["stdout"].replace(
        '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0"?>'
    )
    return found


def as_omnios(record: Record, found: Record) -> Record:
    """What OmniOS answers by its sources, as far as that is something else."""
    told, argv = dict(found), record["argv"]
    if "sysboot" in argv:  # its brands have other arguments there
        told["calls"] = [[*words[:-2], "99", "0"] if words[0] == "hook" else words for words in told["calls"]]
    if "list" in argv and any("p" in word for word in argv if word.startswith("-")):
        told["stdout"] = re.sub(r"(?m)(:(excl|shared))$", r"\1:", told["stdout"])  # an eighth field, debugid
    if record["group"] == "hookfail":  # zoneadmd relays both outputs of these scripts
        told["stderr"] = re.sub(r"(?m)^(some hook words)$", r"zone 't1': \1", told["stderr"])
    if "unmount" in argv and record["state"] == "mounted":  # without any script of the brand
        told["calls"] = [words for words in told["calls"] if words[0] != "hook"] or [
            ["vplat", "teardown unmount"]
        ]
        if record["group"] == "hookfail":
            told |= {"exit": 0, "stderr": "", "after": {"t1": "installed"}}
    told["calls"] = [_boot_arguments(record, words) for words in told["calls"]]
    return told


def _boot_arguments(record: Record, words: list[str]) -> list[str]:
    """All of them are handed on, with one blank between."""
    if not words[-1].startswith("bootargs="):
        return words
    given = [word for word in record["argv"][3:] if word not in ("-r", "-f", "--")]
    return ["kernel", f"bootargs={' '.join(given) or record.get('bootargs') or ''}"]


def differences(host: Host, flavour: str) -> list[str]:
    try:
        host.script()
        ours = host.answer()
    except LabError as refused:
        return [f"refused: {refused}"]
    theirs = wanted(host.record)
    if flavour == "omnios":
        theirs = as_omnios(host.record, theirs)
    return [
        f"{field}: {ours[field]!r}\n  recorded {theirs[field]!r}"
        for field in FIELDS
        if ours[field] != theirs[field]
    ]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """A lab of either flavour with what all hosts of the recordings have, and what is made of them."""
    directory = tmp_path_factory.mktemp("zoneadm")
    for flavour in world.FLAVOURS:
        opened = world.create(directory / flavour, flavour=flavour)
        host = Host(opened, {})
        for fact, value in ((trace.FACT, "on"), (hooks.SCRIPTED, "on"), ("cells", "off")):
            opened.put(fact, value)
        opened.put("zones.brands", "ipkg illumos")
        host.must("zfs", "create", "-o", "mountpoint=/zones", "rpool/zones")
        opened.db.execute("update links set name = 'e1000g0' where name = 'net0'")
        for link in ("vnic0", "vnic2"):
            host.must("dladm", "create-vnic", "-l", "e1000g0", link)
        host.must("ipadm", "create-if", "e1000g0")
        opened.path("/data").mkdir()
        opened.close()
    return Hosts(directory)


@pytest.mark.parametrize("flavour", world.FLAVOURS)
@pytest.mark.parametrize("group", sorted({record["group"] for record in RECORDS}))
def test_zoneadm_does_what_was_recorded(group: str, flavour: str, hosts: Hosts) -> None:
    known = known_differences()
    wrong = []
    for record in (each for each in RECORDS if each["group"] == group):
        if os.geteuid() and "chown" in str(record.get("prep")):
            continue  # only root can give files away
        found = hosts.differences(record, flavour)
        if (flavour, name(record)) in known:
            found = [] if found else ["no longer differs: take it out of zoneadm-differs.txt"]
        wrong += [f"{name(record)}: {each}" for each in found]
    assert not wrong, "\n".join(wrong)


def test_the_list_of_differences_is_of_records_there_are() -> None:
    assert {each for _, each in known_differences()} <= {name(record) for record in RECORDS}
