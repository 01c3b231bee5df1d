"""A lab on the machine's ZFS: names, properties and refusals, held against a program that answers as it is told.

Whether the real OpenZFS does what is asked of it is found out on a machine that has it: `make test-zfs`.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.lab.zfslab import Host
from zonemgr.lab import labs, zonestore
from zonemgr.lab import world as worlds
from zonemgr.lab import zfs as lab_zfs
from zonemgr.lab.call import Call
from zonemgr.lab.openzfs import lifecycle, mounts
from zonemgr.lab.openzfs.machine import Machine
from zonemgr.lab.power import reboot
from zonemgr.lab.world import LabError, World

BASE = "tank/lab"
# Writes down its arguments, and answers what is said for the first words they begin with.
PROGRAM = """#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
said = " ".join(sys.argv[1:])
with (folder / "log").open("a") as log:
    log.write(json.dumps([pathlib.Path(__file__).name, *sys.argv[1:]]) + "\\n")
for start, (out, err, status) in json.loads((folder / "answers").read_text()):
    if said.startswith(start):
        if "receive" in sys.argv:
            (folder / "received").write_bytes(sys.stdin.buffer.read())
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(status)
"""
KEPT = "get -H -p -r -o name,property,value,source -t filesystem,volume type,origin,"
# name: type, origin and what was set; as `zfs get` says it
TREE = (
    ("tank/lab", "type", "filesystem", "-"),
    ("tank/lab/rpool", "type", "filesystem", "-"),
    ("tank/lab/rpool", "origin", "-", "-"),
    ("tank/lab/rpool", "zonemgr.lab:mountpoint", "-", "-"),
    ("tank/lab/rpool/zones", "type", "filesystem", "-"),
    ("tank/lab/rpool/zones", "zonemgr.lab:mountpoint", "/zones", "local"),
    ("tank/lab/rpool/zones/z", "type", "filesystem", "-"),
    ("tank/lab/rpool/zones/z", "origin", "tank/lab/rpool/zones/gold@1", "-"),
    ("tank/lab/rpool/zones/z", "zonemgr.lab:mountpoint", "/zones", "inherited from tank/lab/rpool/zones"),
    ("tank/lab/rpool/zones/z", "zonemgr.lab:canmount", "noauto", "local"),
    ("tank/lab/rpool/zones/z/ROOT", "type", "filesystem", "-"),
    ("tank/lab/rpool/zones/z/ROOT", "zonemgr.lab:mountpoint", "legacy", "local"),
    (
        "tank/lab/rpool/zones/z/ROOT",
        "zonemgr.lab:canmount",
        "noauto",
        "inherited from tank/lab/rpool/zones/z",
    ),
    ("tank/lab/rpool/zones/z/ROOT", "zonemgr.lab:zoned", "on", "local"),
    ("tank/lab/rpool/given", "type", "filesystem", "-"),
    ("tank/lab/rpool/given", "zonemgr.lab:zoned", "on", "local"),
    ("tank/lab/rpool/given", "zonemgr.lab:mountpoint", "/data", "local"),
    ("tank/lab/rpool/vol", "type", "volume", "-"),
)


class Told(Host):
    """A lab whose machine has the program above for a zfs."""

    def __init__(self, folder: Path) -> None:
        worlds.create(folder / "lab").close()
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("zfs", "zpool"):
            (self.programs / name).write_text(PROGRAM.format(python=sys.executable))
            (self.programs / name).chmod(0o755)
        settings = folder / "lab/lab.json"
        about = json.loads(settings.read_text()) | {"pool": BASE, "zfs_programs": str(self.programs)}
        settings.write_text(json.dumps(about))
        self._answers: list[tuple[str, tuple[str, str, int]]] = []
        self.answer(KEPT, "".join("\t".join(row) + "\n" for row in TREE))
        super().__init__(World(folder / "lab"))

    def answer(self, start: str, out: str = "", err: str = "", status: int = 0) -> None:
        self._answers.insert(0, (start, (out, err, status)))
        (self.programs / "answers").write_text(json.dumps(self._answers))

    def asked(self) -> list[list[str]]:
        """What was asked of the machine since the last look, without the lab's looks at its own properties."""
        log = self.programs / "log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.write_text("")
        return [line for line in lines if not " ".join(line[1:]).startswith(KEPT)]


@pytest.fixture
def host(tmp_path: Path) -> Told:
    return Told(tmp_path)


# -- looking -----------------------------------------------------------------------------------------------------


def test_a_list_has_the_labs_names_and_mount_points(host: Told) -> None:
    rows = ("tank/lab\ttank/lab\t9M\ttank/lab", "tank/lab/rpool\ttank/lab/rpool\t9M\ttank/lab/rpool")
    more = "tank/lab/rpool/zones/z\ttank/lab/rpool/zones/z\t1M\ttank/lab/rpool/zones/z"
    host.answer("list -H -o name,name,used,name -r tank/lab", "\n".join((*rows, more)) + "\n")
    said = host.does("zfs list -H -o name,used,mountpoint")
    assert said == "rpool\t9M\t/rpool\nrpool/zones/z\t1M\t/zones/z\n"
    assert host.asked() == [["zfs", "list", "-H", "-o", "name,name,used,name", "-r", "tank/lab"]]


def test_a_list_without_dash_h_is_a_table(host: Told) -> None:
    host.answer("list", "tank/lab/rpool\ttank/lab/rpool\t9M\n")
    assert host.does("zfs list -o name,used rpool") == "NAME    USED\nrpool     9M\n"


def test_depth_without_a_name_counts_from_the_pools(host: Told) -> None:
    host.answer("list", "tank/lab/rpool\ttank/lab/rpool\n")
    host.does("zfs list -H -d 1 -o name")
    assert host.asked()[0][-4:] == ["-r", "-d", "2", "tank/lab"]


@pytest.mark.parametrize(
    ("name", "prop", "said"),
    [
        ("rpool", "mountpoint", "/rpool\tdefault"),
        ("rpool/zones", "mountpoint", "/zones\tlocal"),
        ("rpool/zones/z", "mountpoint", "/zones/z\tinherited from rpool/zones"),
        ("rpool/zones/z", "canmount", "noauto\tlocal"),
        ("rpool/zones/z/ROOT", "canmount", "on\tdefault"),  # never inherited
        ("rpool/zones/z/ROOT", "zoned", "on\tlocal"),
        ("rpool/zones", "zoned", "off\tdefault"),
        ("rpool/zones", "mounted", "no\t-"),
        ("rpool/vol", "mountpoint", "-\t-"),
        ("rpool/vol", "zoned", "off\tdefault"),
    ],
)
def test_what_the_lab_keeps_is_answered_by_the_rules_of_zfs(
    host: Told, name: str, prop: str, said: str
) -> None:
    asked = "mounted" if prop == "mounted" else f"zonemgr.lab:{prop}"
    host.answer("get -H -o name,property,value,received,source", f"tank/lab/{name}\t{asked}\tx\t-\t-\n")
    assert host.does(f"zfs get -H -o value,source {prop} {name}") == said + "\n"


def test_what_comes_from_outside_of_the_lab_is_a_default(host: Told) -> None:
    answer = (
        "tank/lab/rpool\tcompression\tlz4\t-\tinherited from tank\n"
        "tank/lab/rpool\tatime\toff\t-\tinherited from tank/lab/rpool\n"
    )
    host.answer("get -H -o name,property,value,received,source", answer)
    said = host.does("zfs get -H -o property,source compression,atime rpool")
    assert said == "compression\tdefault\natime\tinherited from rpool\n"
    assert host.does("zfs get -H -s default -o property compression,atime rpool") == "compression\n"


def test_origin_and_clones_are_names(host: Told) -> None:
    start = "get -H -o name,property,value,received,source"
    host.answer(f"{start} origin", "tank/lab/rpool/zones/z\torigin\ttank/lab/rpool/zones/gold@1\t-\t-\n")
    assert host.get("origin", "rpool/zones/z") == "rpool/zones/gold@1"
    clones = "tank/lab/rpool/zones/gold@1\tclones\ttank/lab/rpool/a,tank/lab/rpool/b\t-\t-\n"
    host.answer(f"{start} clones", clones)
    assert host.get("clones", "rpool/zones/gold@1") == "rpool/a,rpool/b"


def test_all_properties_are_those_of_illumos(host: Told) -> None:
    rows = [
        ("type", "filesystem", "-"),
        ("mountpoint", "legacy", "inherited from tank/lab"),
        ("canmount", "on", "default"),
        ("zoned", "off", "default"),
        ("relatime", "off", "default"),
        ("zonemgr.lab:mountpoint", "/zones", "local"),
        ("zonemgr:run", "20261201T000000Z", "local"),
    ]
    said = "".join(f"tank/lab/rpool/zones\t{name}\t{value}\t-\t{source}\n" for name, value, source in rows)
    host.answer("get -H -p -o name,property,value,received,source all", said)
    local = host.does("zfs get -H -p -s local -o property,value all rpool/zones")
    assert local == "mountpoint\t/zones\nzonemgr:run\t20261201T000000Z\n"


def test_a_refusal_says_the_labs_name(host: Told) -> None:
    host.answer("list", err="cannot open 'tank/lab/rpool/no': dataset does not exist\n", status=1)
    assert host.fails("zfs list -H -o name rpool/no") == "cannot open 'rpool/no': dataset does not exist\n"
    assert host.fails("zfs list /rpool//x").startswith("/rpool//x: No such file")


def test_busy_is_said_as_illumos_says_it(host: Told) -> None:
    machine = Machine(host.world)
    assert (
        machine.text("cannot unmount '/zones/z': pool or dataset is busy\n")
        == "cannot unmount '/zones/z': Device busy\n"
    )
    assert machine.text("cannot destroy 'tank/lab': x\n") == "cannot destroy '': x\n"
    assert machine.text("tank/lab2/x and other-tank/lab/x\n") == "tank/lab2/x and other-tank/lab/x\n"


def test_holds_are_listed_by_the_labs_names(host: Told) -> None:
    host.answer("holds -H tank/lab/rpool/a@s", "tank/lab/rpool/a@s\tkeep\tTue Dec  1 04:00 2026\n")
    assert host.does("zfs holds -H rpool/a@s") == "rpool/a@s\tkeep\tTue Dec  1 04:00 2026\n"


def test_a_pool_is_the_machines_under_its_name_in_the_lab(host: Told) -> None:
    host.answer("get -H -p -o property,value,source all tank", "size\t1000\t-\nhealth\tONLINE\t-\n")
    assert host.does("zpool list -Hp -o name,size,health rpool") == "rpool\t1000\tONLINE\n"
    assert host.fails("zpool list tank") == "cannot open 'tank': no such pool\n"


# -- changing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (
            "zfs create -o mountpoint=legacy -o zoned=on -o quota=1G rpool/zones/new",
            "create -o zonemgr.lab:mountpoint=legacy -o zonemgr.lab:zoned=on -o quota=1G tank/lab/rpool/zones/new",
        ),
        ("zfs create -s -V 1G rpool/v", "create -s -V 1G tank/lab/rpool/v"),
        (
            "zfs clone -o sharenfs=off -o zonemgr:run=x rpool/zones/gold@1 rpool/zones/y",
            "clone -o zonemgr.lab:sharenfs=off -o zonemgr:run=x tank/lab/rpool/zones/gold@1 tank/lab/rpool/zones/y",
        ),
        ("zfs snapshot -r -o a:b=c rpool/zones@s", "snapshot -r -o a:b=c tank/lab/rpool/zones@s"),
        ("zfs hold keep rpool/zones@s", "hold keep tank/lab/rpool/zones@s"),
        ("zfs release -r keep rpool/zones@s", "release -r keep tank/lab/rpool/zones@s"),
        ("zfs rename -r rpool/zones@s @t", "rename -r tank/lab/rpool/zones@s tank/lab/rpool/zones@t"),
        ("zfs rename rpool/zones rpool/homes", "rename tank/lab/rpool/zones tank/lab/rpool/homes"),
        ("zfs promote rpool/zones/z", "promote tank/lab/rpool/zones/z"),
        ("zfs rollback -r rpool/zones@s", "rollback -r tank/lab/rpool/zones@s"),
        (
            "zfs bookmark rpool/zones@s rpool/zones#m",
            "bookmark tank/lab/rpool/zones@s tank/lab/rpool/zones#m",
        ),
        ("zfs set zoned=on quota=2G rpool/zones", "set zonemgr.lab:zoned=on quota=2G tank/lab/rpool/zones"),
        ("zfs set compression=off rpool/zones", "set compression=off tank/lab/rpool/zones"),
        ("zfs inherit zoned rpool/given", "inherit zonemgr.lab:zoned tank/lab/rpool/given"),
        ("zfs inherit -r a:b rpool/zones", "inherit -r a:b tank/lab/rpool/zones"),
        ("zfs destroy -r rpool/zones/z", "destroy -r tank/lab/rpool/zones/z"),
        ("zfs destroy -d rpool/zones@s", "destroy -d tank/lab/rpool/zones@s"),
    ],
)
def test_a_change_is_asked_of_the_machine_by_its_names(host: Told, line: str, asked: str) -> None:
    host.does(line)
    assert host.asked() == [["zfs", *asked.split()]]
    assert host.fails(line, privileged=False).endswith(": permission denied\n")
    assert host.asked() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("zfs create -o zoned=maybe rpool/x", "cannot create 'rpool/x': 'zoned' must be one of 'on | off'"),
        (
            "zfs create -o mountpoint=x rpool/x",
            "cannot create 'rpool/x': 'mountpoint' must be an absolute path, 'none', or 'legacy'",
        ),
        ("zfs create other/x", "cannot create 'other/x': no such pool 'other'"),
        ("zfs create rpool/a//b", "cannot create 'rpool/a//b': empty component in name"),
        (
            "zfs rename rpool/given rpool/gone",
            "cannot rename 'rpool/given': dataset is used in a non-global zone",
        ),
        ("zfs mount rpool/given", "cannot mount 'rpool/given': dataset is exported to a local zone"),
        ("zfs unmount rpool/zones", "cannot unmount 'rpool/zones': not currently mounted"),
        ("zfs inherit canmount rpool/zones", "'canmount' property cannot be inherited"),
        ("zfs diff rpool/a@1", "lab: zfs diff is not emulated"),
    ],
)
def test_what_illumos_refuses_never_reaches_the_machine(host: Told, line: str, said: str) -> None:
    assert host.fails(line) == said + "\n"
    assert host.asked() == []


def test_zfs_does_not_mount_over_files(host: Told) -> None:
    """OpenZFS on Linux does (overlay=on)."""
    host.write("/zones/left-over", "x")
    assert host.fails("zfs mount rpool/zones") == "cannot mount '/zones': directory is not empty\n"
    assert host.read("/zones/left-over") == "x"


def test_a_legacy_file_system_is_mounted_by_hand_only(host: Told) -> None:
    assert "legacy mountpoint" in host.fails("zfs mount rpool/zones/z/ROOT").replace(
        "exported", "legacy mountpoint"
    )
    host.path("/mnt").mkdir(exist_ok=True)
    said = host.fails("mount -F zfs rpool/zones /mnt")
    assert said.startswith("filesystem 'rpool/zones' cannot be mounted using 'mount -F zfs'\n")


def test_a_stream_goes_through_as_it_is(host: Told) -> None:
    host.answer("send", "the stream\n")
    assert host.run("zfs send -i @old rpool/zones@new")[:2] == (0, b"the stream\n")
    assert host.asked() == [["zfs", "send", "-i", "@old", "tank/lab/rpool/zones@new"]]
    host.answer("receive")
    status, _, said = host.run("zfs receive -u -o canmount=off rpool/zones/copy", stdin=b"\0bytes\xff")
    assert (status, said) == (0, "")
    assert (host.programs / "received").read_bytes() == b"\0bytes\xff"
    assert host.asked() == [
        ["zfs", "receive", "-u", "-o", "zonemgr.lab:canmount=off", "tank/lab/rpool/zones/copy"]
    ]


# -- mounts ------------------------------------------------------------------------------------------------------

TABLE = """\
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:50 / {host}/zones rw,noatime - zfs tank/lab/rpool/zones rw,xattr,noacl
41 40 0:51 / {host}/zones/a\\040b ro,nosuid,nodev - zfs tank/lab/rpool/a\\040b rw
42 22 0:52 / /tank rw - zfs tank rw
43 22 0:53 / /elsewhere rw - zfs tank/lab/rpool/other rw
"""


def test_mounts_are_what_the_kernel_says_below_the_labs_root(host: Told) -> None:
    found = mounts.parse(TABLE.format(host=host.world.host), Machine(host.world), host.world.host)
    assert [(each.dataset, each.path) for each in found] == [
        ("rpool/zones", "/zones"),
        ("rpool/a b", "/zones/a b"),
    ]
    assert found[0].illumos_options()[:3] == ["rw", "devices", "setuid"]
    assert found[1].illumos_options()[:3] == ["ro", "nodevices", "nosetuid"]


def test_the_boot_environment_counts_as_mounted(host: Told) -> None:
    host.world.put(mounts.BOOT_ENVIRONMENT, "rpool/ROOT/omnios")
    assert lab_zfs.mounts(host.world) == [("rpool/ROOT/omnios", "/")]
    assert host.fails("umount /") == "cannot unmount '/': Device busy\n"


# -- in a zone ---------------------------------------------------------------------------------------------------


def _in_zone(host: Told, *argv: str) -> tuple[int, str, str]:
    """As a zone with rpool/given, whose root is on /zones/z/root."""
    if not any(each.name == "z" for each in zonestore.index(host.world)):
        wanted = "create -b; set zonepath=/zones/z; set brand=ipkg; add dataset; set name=rpool/given; end"
        made = Call(host.world, ["zonecfg"]).run("zonecfg", "-z", "z", wanted)
        assert made.exit_code == 0, made
        host.world.db.execute(
            "insert into kernel_zones (id, name, state, root, uuid, brand) values (1, ?, ?, ?, '', 'ipkg')",
            ("z", "running", "/zones/z/root"),
        )
    out, err = io.BytesIO(), io.BytesIO()
    call = Call(host.world, list(argv), stdout=out, stderr=err, zone="z", given=("rpool/given",))
    call.root = host.path("/zones/z/root")
    return lab_zfs.zfs(call), out.getvalue().decode(), err.getvalue().decode()


def test_a_zone_sees_what_it_was_given_and_the_names_above(host: Told) -> None:
    names = ("tank/lab", "tank/lab/rpool", "tank/lab/rpool/given", "tank/lab/rpool/zones")
    host.answer("list", "".join(f"{name}\t{name}\n" for name in names))
    assert _in_zone(host, "zfs", "list", "-H", "-o", "name")[1] == "rpool\nrpool/given\n"
    refused = "cannot open 'rpool/zones': dataset does not exist\n"
    assert _in_zone(host, "zfs", "list", "rpool/zones") == (1, "", refused)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("zfs snapshot rpool@s", "cannot create snapshots : permission denied"),
        ("zfs create rpool/new", "cannot create 'rpool/new': permission denied"),
        ("zfs set zoned=off rpool/given", "cannot set property for 'rpool/given': permission denied"),
        ("zfs set quota=1G rpool/given", "cannot set property for 'rpool/given': permission denied"),
        ("zfs destroy rpool/zones", "cannot open 'rpool/zones': dataset does not exist"),
        ("zfs destroy rpool/given", "cannot destroy 'rpool/given': dataset is busy"),
    ],
)
def test_a_zone_may_not_change_what_is_not_its_own(host: Told, line: str, said: str) -> None:
    assert _in_zone(host, *line.split()) == (1, "", said + "\n")
    assert host.asked() == []


def test_a_zone_changes_its_own(host: Told) -> None:
    assert _in_zone(host, "zfs", "snapshot", "rpool/given@s") == (0, "", "")
    assert _in_zone(host, "zfs", "set", "compression=on", "rpool/given") == (0, "", "")
    assert [each[1] for each in host.asked()] == ["snapshot", "set"]


# -- the lab as a whole ------------------------------------------------------------------------------------------


def test_destroying_the_lab_removes_what_is_its_own_below_the_dataset(host: Told, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    marks = f"zonemgr.lab:lab\t{lab}\nzonemgr.lab:made\tyes\n"
    host.answer("get -H -o property,value zonemgr.lab:lab,zonemgr.lab:made tank/lab", marks)
    host.answer("list -H -p -o name,userrefs -t snapshot", "tank/lab/rpool/a@s\t1\ntank/lab/rpool/a@t\t0\n")
    host.answer("holds -H tank/lab/rpool/a@s", "tank/lab/rpool/a@s\tkeep\tToday\n")
    host.answer("list -H -o name -d 1", "tank/lab\ntank/lab/rpool\n")
    host.world.close()
    labs.destroy(lab)
    changes = [each[1:] for each in host.asked() if each[1] in ("release", "destroy")]
    assert changes == [
        ["release", "keep", "tank/lab/rpool/a@s"],
        ["destroy", "-R", "tank/lab/rpool"],
        ["destroy", "tank/lab"],
    ]
    assert not lab.exists()


def test_the_status_names_the_dataset(host: Told, tmp_path: Path) -> None:
    assert labs.status(tmp_path / "lab")["zfs"] == BASE


def test_a_power_cut_leaves_mounting_to_the_next_boot(host: Told) -> None:
    """The mounts were in the namespace of the host that is gone; outside of it nothing may be mounted."""
    host.world.put(mounts.BOOT_ENVIRONMENT, "rpool/ROOT/openindiana")
    host.path("/zones/left").mkdir(parents=True)
    reboot(host.world)
    assert host.asked() == []
    assert lab_zfs.mounts(host.world) == [("rpool/ROOT/openindiana", "/")]


def test_a_lab_half_made_is_removed_without_its_zfs(host: Told, tmp_path: Path) -> None:
    host.world.close()
    (tmp_path / "lab/lab.json").unlink()
    labs.destroy(tmp_path / "lab")
    assert host.asked() == []
    assert not (tmp_path / "lab").exists()


def test_a_dataset_of_another_lab_is_left_alone(host: Told, tmp_path: Path) -> None:
    host.answer(
        "get -H -o property,value zonemgr.lab:lab", "zonemgr.lab:lab\t/other\nzonemgr.lab:made\tyes\n"
    )
    with pytest.raises(LabError, match="belongs to the lab /other"):
        labs.destroy(tmp_path / "lab")
    assert not [each for each in host.asked() if each[1] == "destroy"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("tank/lab\ntank/lab/precious\n", "has something in it"),
        (None, "the machine's zfs failed: permission denied"),
    ],
)
def test_a_lab_takes_no_dataset_that_holds_something(host: Told, answer: str | None, said: str) -> None:
    if answer is None:
        host.answer("list", err="permission denied\n", status=1)
    else:
        host.answer("list -H -o name -t all -r tank/lab", answer)
    with pytest.raises(LabError, match=said):
        lifecycle.prepare(host.world)
    assert [each[1] for each in host.asked()] == ["list"]


@pytest.mark.skipif(Path("/dev/zfs").exists(), reason="this machine has ZFS")
def test_a_machine_without_zfs_is_told_so() -> None:
    with pytest.raises(LabError, match=r"OpenZFS|needs root|no ZFS"):
        lifecycle.settings("tank/lab")
