"""The predecessor's configuration is read, never run, and what has no place is named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from zonemgr import config
from zonemgr.cli.app import main
from zonemgr.config import legacy
from zonemgr.errors import ConfigError

PLAIN = """\
# Golden images live under this dataset
BRAND_GIZ="nlipkg" ; TEMPLATE_GIZ='OInlipkg'
POOL=tank
DATASET_CONTAINMENT_GIZ="$POOL/zones/GIZ"
DATASET_CONTAINMENT_DIZ=${POOL}/zones/DIZ  # and these are thrown away
DATASET_CONTAINMENT_DIZ_MPT="/zones/D"
DATASET_CONTAINMENT_GIZ_COMPRESSION="gzip-9"
DATASET_CONTAINMENT_GIZ_DEDUP=on
DATASET_CONTAINMENT_DIZ_DEDUP=on
ELEVATE_CMD="sudo -n"
CAN_ZFS_CREATE_RECURSIVE=yes
ADD_PACKAGE_FMRIS="gcc-14 \\
   git"
:
"""


def test_plain_settings_come_over() -> None:
    found = legacy.read(PLAIN)
    assert legacy.tables(found) == {
        "giz": {"brand": "nlipkg", "template": "OInlipkg", "dataset": "tank/zones/GIZ", "mountpoint": "/tank/zones/GIZ",
                "compression": "gzip-9", "packages": ["gcc-14", "git"]},
        "diz": {"dataset": "tank/zones/DIZ", "mountpoint": "/zones/D"},
        "zfs": {"dedup": "on"},
        "host": {"elevate": "sudo -n"},
    }  # fmt: skip
    assert [str(left) for left in found.left_out] == [
        "line 11: CAN_ZFS_CREATE_RECURSIVE=yes: missing ancestors are always made"
    ]


@pytest.mark.parametrize(
    "line",
    ["touch {there}", "EXEC_USER=$(touch {there})", "EXEC_USER=`touch {there}`", "X=1 touch {there}",
     "[ -z '' ] && touch {there}", ". {there}", "EXEC_USER=a; touch {there}", "EXEC_USER=a | touch {there}",
     "f() {{ touch {there}; }}; f", "EXEC_USER=${{X:=$(touch {there})}}", "EXEC_USER=<(touch {there})"],
)  # fmt: skip
def test_nothing_is_run(line: str, tmp_path: Path) -> None:
    there = tmp_path / "run"
    found = legacy.read(line.format(there=there))
    assert not there.exists()
    assert any(left.matters for left in found.left_out)
    assert "touch" not in str(found.values)


@pytest.mark.parametrize(
    ("text", "value"),
    [("'a b'", "a b"), ('"a $NO"', None), ("a\\ b", "a b"), ("'$x'", "$x"), ('"it\'s"', "it's"), ("a'b'\"c\"", "abc"),
     ('"${POOL}x"', "px"), ("${POOL:-q}", None), ("$POOL$POOL", "pp"), ("'a\\'", "a\\")],
)  # fmt: skip
def test_words_are_what_a_shell_would_make_of_them(text: str, value: str | None) -> None:
    found = legacy.read(f"POOL=p\nEXEC_USER={text}\n")
    assert found.values.get("exec.user") == value
    assert bool(found.left_out) == (value is None)


def test_dedup_that_differs_is_named() -> None:
    found = legacy.read("DATASET_CONTAINMENT_GIZ_DEDUP=on\nDATASET_CONTAINMENT_DIZ_DEDUP=off\n")
    assert "zfs.dedup" not in found.values
    assert [left.matters for left in found.left_out] == [True, False]


def test_values_zonemgr_would_refuse_are_named() -> None:
    found = legacy.read("DATASET_CONTAINMENT_GIZ='a b'\nEXEC_DISCARD=sometimes\nCOPY_USERS=jim\n")
    assert found.values == {}
    assert [left.line for left in found.left_out] == [1, 2, 3]


def test_what_is_printed_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "zonemgr.conf", tmp_path / "zonemgr.toml"
    old.write_text(PLAIN + 'COPY_USERS="jim\njoe"\n')
    assert main(["config", "import-legacy", str(old)]) == 0
    shown = capsys.readouterr()
    new.write_text(shown.out)
    assert tomllib.loads(shown.out)["giz"]["brand"] == "nlipkg"
    assert config.load([], explicit=new, environ={}).giz.dataset == "tank/zones/GIZ"
    assert "line 15: COPY_USERS=jim joe" in shown.err
    assert "# Not taken over, line 15" in shown.out


def test_the_old_file_serves_as_it_is_when_nothing_gets_lost(tmp_path: Path) -> None:
    """Old command lines name it: `--config zonemgr_selftest.cfg`."""
    old = tmp_path / "selftest.cfg"
    old.write_text(PLAIN)
    assert config.load([], explicit=old, environ={}).diz.dataset == "tank/zones/DIZ"
    old.write_text(PLAIN + "EXEC_USER=$(id -un)\n")
    with pytest.raises(ConfigError, match="line 15: EXEC_USER"):
        config.load([], explicit=old, environ={})


def test_a_broken_toml_file_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('[giz]\ndataset = "x\nGIZ_X=1\n')
    with pytest.raises(ConfigError, match="line 2"):
        config.load([], explicit=broken, environ={})


@pytest.mark.parametrize(
    ("text", "dataset", "named"),
    [
        ("if false; then\nDATASET_CONTAINMENT_GIZ=tank/other\nfi\n", "tank/giz", 2),
        ("unused() {\n\tDATASET_CONTAINMENT_GIZ=tank/other\n}\n", "tank/giz", 2),
        ("[ -d /tank ] &&\nDATASET_CONTAINMENT_GIZ=tank/other\n", "tank/giz", 2),
        ("cat <<EOF\nDATASET_CONTAINMENT_GIZ=tank/other\nEOF\n", "tank/giz", 1),
        ("return 0\nDATASET_CONTAINMENT_GIZ=tank/other\n", "tank/giz", 0),
        ("DATASET_CONTAINMENT_GIZ=tank/other\n", "tank/other", 0),
        ("unset DATASET_CONTAINMENT_GIZ\n", None, 0),
    ],
)
def test_what_may_never_be_run_is_not_taken_over(text: str, dataset: str | None, named: int) -> None:
    found = legacy.read(f"DATASET_CONTAINMENT_GIZ=tank/giz\n{text}")
    assert found.values.get("giz.dataset") == dataset
    assert len(found.left_out) >= named
    assert bool(found.left_out) == bool(named)


def test_an_old_file_in_double_quotes_is_no_toml_of_ours(tmp_path: Path) -> None:
    old = tmp_path / "old.conf"
    old.write_text('DATASET_CONTAINMENT_GIZ="tank/g"\nDATASET_CONTAINMENT_DIZ="tank/d"\n')
    assert config.load([], explicit=old, environ={}).giz.dataset == "tank/g"


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("mkdir -p /var/tmp/zonemgr", [2]),
        (". /etc/zones/site.conf", [2]),
        ("source ./site.conf", [2]),
        ("[ -x /usr/bin/sudo ] && ELEVATE_CMD=sudo", [2]),
        ("[ -x /usr/bin/sudo ] && {\nEXEC_USER=jim\n}", [2, 3]),
        ("[ -d /tank ] ||\nEXEC_USER=jim", [2, 3]),
        ("if [ -d /tank ]; then if true; then :; fi; EXEC_USER=jim; fi", [2, 2]),
        ("case $(uname -n) in\nbuild*)\n\tEXEC_USER=jim\n\t;;\n(*) ;;\nesac", [2, 4]),
        ("for u in jim joe; do\n\tEXEC_USER=$u\ndone", [2, 3]),
        ("say() {\n\techo \"$@\"\n}", [2]),
        ("say()\n{\n\tif true; then echo; fi; EXEC_USER=jim\n}", [2, 3, 4]),
        ("function say {\n\techo hi\n}", [2]),
        ("(\ncd /; EXEC_USER=jim\n)", [2, 3]),
        ("( cd / )", [2]),
        ("cat <<EOF >&2\nEXEC_USER=jim\nit's a text\nEOF", [2]),
        ("cat <<A <<'B'\nEXEC_USER=jim\nA\n\"\nB", [2]),
        ("read x <<< EXEC", [2]),
        ("echo 'a << b'", [2]),
        ("SITE=$(hostname)", [2]),
        ("LANG=C date", [2]),
        ("umask 022; set -u", [2, 2]),
        ("readonly POOL; export PATH", []),
    ],
)  # fmt: skip
def test_what_is_no_setting_is_named_and_the_rest_is_used(
    lines: str, named: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "zonemgr.conf"
    old.write_text(f"DATASET_CONTAINMENT_GIZ='tank/g'\n{lines}\nDATASET_CONTAINMENT_DIZ=tank/d\n")
    found = config.load([], explicit=old, environ={})
    assert (found.giz.dataset, found.diz.dataset, found.exec.user) == ("tank/g", "tank/d", "root")
    assert [warning.split(":")[1] for warning in found.warnings] == [str(line) for line in named]
    assert all(warning.startswith(f"not taken over, {old}:") for warning in found.warnings)
    assert main(["config", "get", "diz.dataset", "--config", str(old)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "tank/d\n"
    assert shown.err.count(f"{old}:") == len(named)


@pytest.mark.parametrize(
    "line",
    ["DATASET_CONTAINMENT_GIZ=$(pool)/giz", "export EXEC_USER=`id -un`", "COPY_USERS=jim", "EXEC_USER='jim"],
)
def test_a_setting_that_would_get_lost_still_stops_it(line: str, tmp_path: Path) -> None:
    """Another value would take its place: zones would be made somewhere else."""
    old = tmp_path / "zonemgr.conf"
    old.write_text(f"{PLAIN}{line}\n")
    with pytest.raises(ConfigError, match="line 15"):
        config.load([], explicit=old, environ={})


def test_readonly_and_typeset_assign_as_well() -> None:
    found = legacy.read("readonly POOL=tank\ntypeset -x DATASET_CONTAINMENT_GIZ=$POOL/g\n")
    assert found.values["giz.dataset"] == "tank/g"
    assert found.left_out == []
