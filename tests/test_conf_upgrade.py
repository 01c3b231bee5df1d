"""What cron and SMF get for the nightly upgrade: the crontab, the manifest, and the method it names."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from zonemgr.cli import argv

CONF = Path(__file__).parent.parent / "conf"
METHOD = CONF / "zonemgr-upgrade"
FMRI = "svc:/application/zonemgr-upgrade"

# The content models of service_bundle.dtd.1 for the elements used here, as patterns over `<child>` after `<child>`.
MODELS = {
    "service_bundle": r"(service )*",
    "service": r"(create_default_instance )?(single_instance )?(restarter )?(dependency )*(dependent )*"
    r"(method_context )?(exec_method )*(notification_parameters )*(property_group )*(instance )*"
    r"(stability )?(template )?",
    "dependency": r"(service_fmri )*(stability )?((propval|property) )*",
    "exec_method": r"(method_context )?(stability )?((propval|property) )*",
    "method_context": r"((method_profile|method_credential) )?(method_environment )?",
    "property_group": r"(stability )?((propval|property) )*",
    "template": r"common_name (description )?(documentation )?(pg_pattern )*",
    "common_name": r"(loctext )+",
    "description": r"(loctext )+",
}
REQUIRED = {
    "service_bundle": {"type", "name"},
    "service": {"name", "type", "version"},
    "create_default_instance": {"enabled"},
    "dependency": {"name", "grouping", "restart_on", "type"},
    "service_fmri": {"value"},
    "method_credential": {"user"},
    "exec_method": {"type", "name", "exec", "timeout_seconds"},
    "property_group": {"name"},
    "propval": {"name", "value"},
    "stability": {"value"},
    "loctext": {"{http://www.w3.org/XML/1998/namespace}lang"},
}
VALUES = {
    ("service", "type"): {"service", "restarter", "milestone"},
    ("dependency", "grouping"): {"require_all", "require_any", "exclude_all", "optional_all"},
    ("dependency", "restart_on"): {"error", "restart", "refresh", "none"},
    ("exec_method", "type"): {"method", "monitor"},
    ("create_default_instance", "enabled"): {"true", "false"},
    ("stability", "value"): {"Standard", "Stable", "Evolving", "Unstable", "External", "Obsolete"},
}


def manifest() -> ElementTree.Element:
    return ElementTree.parse(CONF / "zonemgr-upgrade.xml").getroot()


def test_the_manifest_has_the_structure_of_a_service_bundle() -> None:
    for element in manifest().iter():
        children = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(MODELS.get(element.tag, ""), children), f"{element.tag}: {children}"
        assert set(element.keys()) >= REQUIRED.get(element.tag, set()), f"{element.tag} {element.attrib}"
        for name, value in element.items():
            assert value in VALUES.get((element.tag, name), {value}), f"{element.tag} {name}={value}"
    assert "service_bundle.dtd.1" in (CONF / "zonemgr-upgrade.xml").read_text()


def test_the_service_is_transient_and_off_until_it_is_wanted() -> None:
    service = manifest().find("service")
    assert service is not None
    assert f"svc:/{service.get('name')}" == FMRI
    default = service.find("create_default_instance")
    assert default is not None and default.get("enabled") == "false"
    values = {one.get("name"): one.get("value") for one in service.iter("propval")}
    assert values["duration"] == "transient"
    assert f"{values['schedule']} {values['program']} upgrade-giz {values['options']}" in crontab()
    methods = {one.get("name"): one.get("exec") or "" for one in service.iter("exec_method")}
    assert set(methods) == {"start", "stop"}
    assert all(Path(command.split()[0]).name == METHOD.name for command in methods.values())


def crontab() -> list[str]:
    return [line for line in (CONF / "crontab").read_text().splitlines() if not line.startswith("#")]


def test_every_line_of_the_crontab_is_one_that_zonemgr_understands() -> None:
    lines = crontab()
    assert len(lines) == 2
    for line in lines:
        *when, program, rest = line.split(maxsplit=6)
        assert all(re.fullmatch(r"[0-9*,-]+", field) for field in when)
        assert program.endswith("/zonemgr")
        words = rest.partition(" >")[0].split()
        assert argv.parse(words).action is not None
        assert "%" not in line


Call = Callable[..., "subprocess.CompletedProcess[str]"]


CRONTAB = """
if [ -e @/broken ]; then echo "crontab: not authorized" >&2; exit 1; fi
case $1 in
-r) rm @/tab ;;
-l) [ -e @/tab ] || { echo "crontab: can't open your crontab file." >&2; exit 1; }
	cat @/tab ;;
*) cat "$1" >@/tab ;;
esac
"""


@pytest.fixture
def method(tmp_path: Path) -> Call:
    """The method, on a host with a crontab and properties of its own."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / "upgrade").mkdir()
    for name, value in (
        ("schedule", r"15\ 3\ \*\ \*\ 1-5"),
        ("program", str(METHOD)),
        ("options", r"--all\ --keep\ 2"),
    ):
        (tmp_path / "upgrade" / name).write_text(f"{value}\n")
    fakes = {"svcprop": f'cat "{tmp_path}/$2"', "crontab": CRONTAB.replace("@", str(tmp_path))}
    for name, text in fakes.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)

    def call(word: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "SMF_FMRI": f"{FMRI}:default"}
        return subprocess.run(
            ["/bin/sh", str(METHOD), word], env=environment, capture_output=True, text=True, timeout=60
        )

    return call


def test_the_method_adds_its_line_once_and_takes_only_that_away(method: Call, tmp_path: Path) -> None:
    tab = tmp_path / "tab"
    tab.write_text("10 3 * * * /usr/sbin/logadm\n# mine\n")
    for _ in range(2):
        done = method("start")
        assert (done.returncode, done.stderr) == (0, "")
    line = f"15 3 * * 1-5 {METHOD} upgrade-giz --all --keep 2 # {FMRI}\n"
    assert tab.read_text() == f"10 3 * * * /usr/sbin/logadm\n# mine\n{line}"
    assert method("stop").returncode == 0
    assert tab.read_text() == "10 3 * * * /usr/sbin/logadm\n# mine\n"


def test_without_a_crontab_there_is_none_again_afterwards(method: Call, tmp_path: Path) -> None:
    assert method("stop").returncode == 0
    assert not (tmp_path / "tab").exists()
    assert method("start").returncode == 0
    assert (tmp_path / "tab").read_text().count("\n") == 1
    assert method("stop").returncode == 0
    assert not (tmp_path / "tab").exists()


def test_a_crontab_that_cannot_be_read_is_not_taken_for_an_empty_one(method: Call, tmp_path: Path) -> None:
    (tmp_path / "tab").write_text("10 3 * * * /usr/sbin/logadm\n")
    (tmp_path / "broken").touch()
    done = method("start")
    assert (done.returncode, done.stderr) == (1, "crontab -l: crontab: not authorized\n")
    assert (tmp_path / "tab").read_text() == "10 3 * * * /usr/sbin/logadm\n"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("schedule", r"every\ night", "is not minute, hour, day, month and weekday"),
        ("schedule", r"15\ 3\ \*\ \*\ mon", "is not for cron"),
        ("program", "/nonexistent", "is no program"),
        ("options", "--canary-cmd=date+%H", "cron ends the line at a %"),
    ],
)
def test_properties_that_will_not_do_leave_the_crontab_alone(
    method: Call, tmp_path: Path, name: str, value: str, text: str
) -> None:
    (tmp_path / "upgrade" / name).write_text(f"{value}\n")
    done = method("start")
    assert done.returncode == 96
    assert text in done.stderr
    assert not (tmp_path / "tab").exists()
