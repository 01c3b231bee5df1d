"""zonecfg: what is refused beforehand, what is sent, and what is believed afterwards (docs/illumos.md: zonecfg)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonemgr.errors import CommandError, NotThere, UsageError, ZonemgrError
from zonemgr.host import zonecfg
from zonemgr.host.zonescript import Script, parse_export, quote, script_for, size
from zonemgr.model import Attr, Fs, Net, OtherResource, Rctl, ZoneName, ZoneSettings

Z = ZoneName("build-1")
UUID = "7c1c4b9e-5b0a-4d86-9a3e-3a5b1f2c8d11"
LINES = [
    "create -b",
    'set zonepath="/zones/build-1"',
    'set brand="nlipkg"',
    "set autoboot=false",
    'set ip-type="exclusive"',
    "add fs",
    'set dir="/work"',
    'set special="/export/a b"',
    'set type="lofs"',
    'add options "ro"',
    "end",
    "add net",
    'set physical="build0"',
    "end",
    "add attr",
    'set name="zonemgr.kind"',
    'set type="string"',
    'set value="diz"',
    "end",
]
EXPORT = """\
create -b
set zonepath=/zones/build-1
set brand=nlipkg
set autoboot=false
set ip-type=exclusive
add fs
set dir="/work"
set special="/export/a b"
set type="lofs"
add options ro
end
add net
set physical="build0"
end
add attr
set name="zonemgr.kind"
set type="string"
set value="diz"
end
"""
WANTED = ZoneSettings(
    zonepath="/zones/build-1",
    brand="nlipkg",
    ip_type="exclusive",
    fs=(Fs("/work", "/export/a b", options=("ro",)),),
    net=(Net("build0"),),
    attr=(Attr("zonemgr.kind", "diz"),),
)


class Zonecfg:
    """Reads the file it is given, as zonecfg does, and answers as it is told to."""

    def __init__(self, illumos: Any, *, stderr: str = "", status: int = 0) -> None:
        self.sent = ""
        self._stderr, self._status = stderr, status
        illumos.answers_any("pfexec", "zonecfg", reply=self.reply)

    def reply(self, words: list[str]) -> tuple[str, str, int]:
        assert words[:5] == ["pfexec", "zonecfg", "-z", "build-1", "-f"]
        self.sent = Path(words[5]).read_text()
        return "", self._stderr, self._status


# -- configure ----------------------------------------------------------------------------------------------


def test_a_configuration_is_sent_as_a_file_and_read_back(illumos: Any) -> None:
    tool = Zonecfg(illumos)
    illumos.answers("zonecfg -z build-1 export", EXPORT)
    assert zonecfg.configure(illumos.host, Z, LINES) == WANTED
    assert tool.sent == "\n".join([*LINES, "verify", "commit", ""])
    file = illumos.told[0].split()[-1]
    assert illumos.told == [f"pfexec zonecfg -z build-1 -f {file}", "zonecfg -z build-1 export"]
    assert not Path(file).exists()


@pytest.mark.parametrize("status", [1, -6])
def test_an_error_and_death_by_a_signal_are_failures_alike(illumos: Any, status: int) -> None:
    said = "On line 7 of /tmp/x:\n/: / is not allowed as a zonepath.\nConfiguration not saved.\n"
    Zonecfg(illumos, stderr=said, status=status)
    with pytest.raises(CommandError, match="Configuration not saved"):
        zonecfg.configure(illumos.host, Z, LINES)


@pytest.mark.parametrize(
    "said",
    [
        "On line 1 of /tmp/x:\nZone build-1 already installed; create not allowed.\n",
        "On line 2 of /tmp/x:\nZone build-1 already installed; set zonepath not allowed.\n",
        "'zone.nosuch thing' is not a valid zone rctl name.\n",
        "The capped-cpu resource already exists.\n",
    ],
)
def test_a_refusal_with_exit_0_is_noticed(illumos: Any, said: str) -> None:
    Zonecfg(illumos, stderr=said)
    with pytest.raises(ZonemgrError, match="zonecfg did not do all for zone build-1"):
        zonecfg.configure(illumos.host, Z, LINES)


@pytest.mark.parametrize(
    ("found", "instead", "missing"),
    [
        ("set zonepath=/zones/build-1", "set zonepath=/zones/other", "zonepath is '/zones/other' instead of"),
        ("set autoboot=false", "set autoboot=true", "autoboot is 'true' instead of 'false'"),
        ('set value="diz"', 'set value="giz"', "attr name=zonemgr.kind,type=string,value=diz is missing"),
        ("add options ro\n", "", "fs dir=/work"),
        ('add net\nset physical="build0"\nend\n', "", "net physical=build0 is missing"),
    ],
)
def test_what_is_not_as_wanted_is_noticed(illumos: Any, found: str, instead: str, missing: str) -> None:
    Zonecfg(illumos)
    assert found in EXPORT
    illumos.answers("zonecfg -z build-1 export", EXPORT.replace(found, instead))
    with pytest.raises(ZonemgrError, match=re.escape(missing)):
        zonecfg.configure(illumos.host, Z, LINES)


def test_order_and_rounding_are_no_difference(illumos: Any) -> None:
    Zonecfg(illumos)
    lines = [
        "create -b",
        "set zonepath=/zones//build-1/",
        "set max-lwps=2000",
        'set bootargs="-m verbose"',
        "add capped-cpu",
        "set ncpus=1.5",
        "end",
        "add capped-memory",
        "set physical=1025M",
        "set swap=2G",
        "end",
        "add fs",
        "set dir=/w",
        "set special=/x",
        "set type=lofs",
        "set options=[ro,nodevices]",
        "end",
        "add net",
        "set physical=v0",
        "set mac-addr=02:08:20:0A:b:c",
        "end",
    ]
    illumos.answers(
        "zonecfg -z build-1 export",
        "create -b\nset zonepath=/zones/build-1\nset autoboot=false\nset bootargs=-m verbose\n"
        'add fs\nset dir="/w"\nset special="/x"\nset type="lofs"\nadd options nodevices\nadd options ro\nend\n'
        'add net\nset mac-addr="2:8:20:a:b:c"\nset physical="v0"\nend\n'
        "add capped-memory\nset physical=1.0G\nend\n"
        'add rctl\nset name="zone.max-swap"\nadd value (priv=privileged,limit=2147483648,action=deny)\nend\n'
        'add rctl\nset name="zone.cpu-cap"\nadd value (priv=privileged,limit=150,action=deny)\nend\n'
        'add rctl\nset name="zone.max-lwps"\nadd value (priv=privileged,limit=2000,action=deny)\nend\n',
    )
    assert dict(zonecfg.configure(illumos.host, Z, lines).more) == {"bootargs": "-m verbose"}


def test_changing_a_zone_checks_what_was_changed_and_removed(illumos: Any) -> None:
    Zonecfg(illumos)
    lines = ["select attr name=zonemgr.kind", "set value=giz", "end", "remove net physical=build0"]
    illumos.answers("zonecfg -z build-1 export", EXPORT, times=1)
    with pytest.raises(ZonemgrError, match=r"attr value=giz is missing; net .*build0.* is still there"):
        zonecfg.configure(illumos.host, Z, lines)
    after = EXPORT.replace('"diz"', '"giz"').replace('add net\nset physical="build0"\nend\n', "")
    illumos.answers("zonecfg -z build-1 export", after)
    assert zonecfg.configure(illumos.host, Z, lines).attribute("zonemgr.kind") == "giz"


def test_a_dry_run_reports_the_script_and_believes_it(illumos: Any) -> None:
    said: list[str] = []
    illumos.dry._report = said.append
    zonecfg.configure(illumos.dry, Z, LINES)
    assert "add net" in said[0]
    assert said[1].startswith("zonecfg -z build-1 -f ")
    assert illumos.told == []


# -- refused beforehand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('set bootargs="say "hello""', "would misread"),
        ("set bootargs=a b c", "would misread"),
        ('set bootargs="a', "would misread"),
        ("set bootargs=a; delete -F", "would misread"),
        ("set bootargs=a # note", "would misread"),
        ("setautoboot=true", "would misread"),
        ("bogus", "would misread"),
        ("delete -F", "would misread"),
        ("exit", "would misread"),
        ('set bootargs="\x01"', "a control character"),
        ('set bootargs="a\nset autoboot=true"', "a control character"),
        ('set bootargs="\udcff"', "not UTF-8"),
        (f'set bootargs="{"a" * 256}"', "256 bytes, and 255 are allowed"),
        (f'set bootargs="{"ü" * 128}"', "256 bytes, and 255 are allowed"),
        (f"set zonepath=/{'a' * 1001}", "1000 are allowed"),
        ("add anet", "no resource 'anet'"),
        ("end", "outside a resource"),
        ("remove -F net physical=v0", "without a filter"),
        ("set zonename=other", "not renamed"),
    ],
)
def test_a_line_that_zonecfg_would_misread_is_never_sent(illumos: Any, line: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        zonecfg.configure(illumos.host, Z, ["create -b", line])
    assert illumos.told == []


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["add attr", "set name=a_b", "end"], "is not a name for an attr"),
        (["add fs", "set type=averylongfilesystem", "end"], "15 are allowed"),
        (["add net", f"set allowed-address={'1' * 46}", "end"], "45 are allowed"),
        (["add fs", "set dir=/x"], "stops inside fs"),
        (["add attr", "set name=a", "remove net", "end"], "inside a resource"),
        (["select net a=1 b=2 c=3 d=4", "end"], "three filters"),
    ],
)
def test_a_resource_that_zonecfg_would_cut_or_drop_is_never_sent(lines: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        Script.parse(["create -b", *lines])


def test_a_value_is_quoted_or_refused() -> None:
    assert quote("a b;c=[d]") == '"a b;c=[d]"'
    with pytest.raises(UsageError, match="a double quote"):
        quote('say "x"')
    with pytest.raises(UsageError, match=r"the special .* 1001 bytes"):
        quote("/" * 1001, what="special")


# -- export -------------------------------------------------------------------------------------------------


def test_an_export_of_omnios_with_everything() -> None:
    text = (
        "create -b\nset zonepath=/zones/t1\nset brand=lipkg\nset autoboot=true\nset pool=pool_default\n"
        "set limitpriv=default,dtrace_user\nset ip-type=exclusive\n"
        'add fs\nset dir="/d"\nset special="/s"\nset raw="/dev/rdsk/x"\nset type="ufs"\n'
        'add options "a=b"\nadd options ro\nend\n'
        'add net\nset allowed-address="10.0.0.5/24"\nset defrouter="10.0.0.1"\nset global-nic="auto"\n'
        'set mac-addr="2:8:20:1:2:3"\nset physical="vnic1"\nset vlan-id="10"\n'
        'add property (name=primary,value="true")\nend\n'
        'add device\nset match="/dev/rdsk/*"\nend\n'
        'add rctl\nset name="zone.max-lwps"\nadd value (priv=privileged,limit=10,action=deny)\nend\n'
        'add dataset\nset name="tank/d"\nend\nadd dedicated-cpu\nset ncpus=1-4\nend\n'
        'add security-flags\nset default="aslr"\nend\n'
    )
    assert parse_export(text) == ZoneSettings(
        zonepath="/zones/t1",
        brand="lipkg",
        autoboot=True,
        ip_type="exclusive",
        more=(("pool", "pool_default"), ("limitpriv", "default,dtrace_user")),
        fs=(Fs("/d", "/s", "ufs", "/dev/rdsk/x", ("a=b", "ro")),),
        net=(
            Net("vnic1", "", "10.0.0.5/24", "10.0.0.1", "auto", "2:8:20:1:2:3", "10", (("primary", "true"),)),
        ),
        dataset=("tank/d",),
        rctl=(Rctl("zone.max-lwps", (("privileged", "10", "deny"),)),),
        other=(
            OtherResource("device", (("match", "/dev/rdsk/*"),)),
            OtherResource("dedicated-cpu", (("ncpus", "1-4"),)),
            OtherResource("security-flags", (("default", "aslr"),)),
        ),
    )


VECTORS = Path(__file__).parents[1] / "lab" / "vectors" / "zonecfg.jsonl"


def recorded_exports() -> list[str]:
    if not VECTORS.exists():
        return [EXPORT]
    rows = map(json.loads, VECTORS.read_text().splitlines())
    return sorted({row["export"] for row in rows if row.get("export")})


def test_every_recorded_export_is_understood_and_could_be_made_again() -> None:
    """What is read from an export, written as a script, is found in that export: nothing is lost on the
    way.
    """
    for text in recorded_exports():
        settings = parse_export(text)
        try:
            again = Script.parse(script_for(settings))
        except UsageError as refused:  # the recorded zones with values that are never sent
            assert re.search(r"control character|are allowed", str(refused))
            continue
        assert again.missing_from(settings) == []
        assert text.count("\nadd options") == sum(len(fs.options) for fs in settings.fs)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters='"', exclude_categories=["Cc"]), min_size=1)


@given(WORDS.filter(lambda word: len(word.encode()) <= 255))
def test_any_value_that_is_sent_is_sent_whole(value: str) -> None:
    wanted = ZoneSettings(zonepath="/z", brand="ipkg", attr=(Attr("a", value),))
    script = Script.parse(script_for(wanted))
    assert f'set value="{value}"\n' in script.text
    assert script.missing_from(wanted) == []
    other = ZoneSettings(zonepath="/z", brand="ipkg", attr=(Attr("a", value + "x"),))
    assert script.missing_from(other) != []


@pytest.mark.parametrize(
    ("text", "bytes_"), [("1G", 1 << 30), ("1.5M", 3 << 19), ("512", 512), ("2gb", 2 << 30), ("x", None)]
)
def test_sizes(text: str, bytes_: int | None) -> None:
    assert size(text) == bytes_


def test_an_unknown_zone_has_no_export(illumos: Any) -> None:
    illumos.answers("zonecfg -z build-1 export", "", "build-1: No such zone configured\n", status=1)
    with pytest.raises(NotThere, match="no zone build-1"):
        zonecfg.export(illumos.host, Z)


def test_info_is_for_people(illumos: Any) -> None:
    illumos.answers("zonecfg -z build-1 info", "zonename: build-1\nbootargs: \n")
    assert zonecfg.info(illumos.host, Z) == "zonename: build-1\nbootargs: \n"


# -- delete -------------------------------------------------------------------------------------------------


def test_a_configuration_is_deleted_by_force(illumos: Any) -> None:
    illumos.answers("pfexec zonecfg -z build-1 'delete -F'")
    zonecfg.delete(illumos.host, Z)


def test_deleting_what_is_not_there_is_no_error(illumos: Any) -> None:
    said = "build-1: No such zone configured\nbuild-1: No such zone configured\n"
    illumos.answers("pfexec zonecfg -z build-1 'delete -F'", "", said, status=1)
    zonecfg.delete(illumos.host, Z)


def test_an_unreadable_zone_is_deleted_although_zonecfg_says_no(illumos: Any) -> None:
    illumos.answers("pfexec zonecfg -z build-1 'delete -F'", "", "build-1: Invalid document\n", status=1)
    illumos.answers("zoneadm -z build-1 list -p", "", "zoneadm: build-1: No such zone configured\n", status=1)
    zonecfg.delete(illumos.host, Z)


def test_an_active_zone_cannot_be_deleted(illumos: Any) -> None:
    said = "build-1: Zone state is invalid for the requested operation\n"
    illumos.answers("pfexec zonecfg -z build-1 'delete -F'", "", said, status=1)
    illumos.answers("zoneadm -z build-1 list -p", f"3:build-1:running:/zones/build-1:{UUID}:ipkg:excl\n")
    with pytest.raises(CommandError, match="Zone state is invalid") as failed:
        zonecfg.delete(illumos.host, Z)
    assert failed.value.hint == "zoneadm -z build-1 halt"


def test_without_privilege_the_profile_is_named(illumos: Any) -> None:
    Zonecfg(illumos, stderr="build-1: cannot create in read-only mode.\n", status=1)
    with pytest.raises(CommandError) as failed:
        zonecfg.configure(illumos.host, Z, LINES)
    assert "Zone Security" in (failed.value.hint or "")
