"""What other people's programs for zones do on a host, in the order they do it: userland-zone, Ansible, Salt, Puppet.

The stories are ours; the commands and options are those of OpenIndiana's tools/userland-zone, community.general's
solaris_zone, Salt's zoneadm and zonecfg modules, puppetlabs-zone_core and Tribblix' zap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces
from tests.lab.test_lab_labs import run, sh
from zonemgr.lab import labs

pytestmark = [*needs_namespaces]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("others") / "lab"
    labs.create(place)
    sh(place, "zfs create -o mountpoint=/zones rpool/zones")
    yield place
    labs.destroy(place)


def test_a_build_zone_is_cloned_from_a_template_with_a_sysding_file(lab: Path) -> None:
    """As userland-zone: a template is installed and configured by a file, a build zone cloned from it and booted."""
    sh(
        lab,
        "zfs create -o mountpoint=/ws rpool/ws; mkdir -p /ws/archives /ws/code\n"
        "zonecfg -z bz-template 'create -b;set zonepath=/zones/bz-template;set zonename=bz-template;"
        "set brand=nlipkg;commit'\n"
        "zoneadm -z bz-template install -e build-essential > /dev/null || exit 1\n"
        "cat > /zones/bz-template/root/etc/sysding.conf <<'END'\n"
        "#!/usr/bin/ksh\nsetup_timezone UTC\nsetup_locale en_US.UTF-8\n"
        'setup_user_account oi 1000 10 "Build user" /export/home/oi /usr/bin/bash\n'
        "/usr/sbin/usermod -P'Primary Administrator' oi\nEND\n",
    )
    sh(
        lab,
        "zonecfg -z bz-1 'create -b;set zonepath=/zones/bz-1;set zonename=bz-1;set brand=nlipkg;add fs;"
        "set dir = /ws/archives;set special = /ws/archives;set type  = lofs;add options [rw,nodevices];end;commit'\n"
        "zoneadm -z bz-1 clone bz-template > /dev/null && zoneadm -z bz-1 boot",
    )
    wait = "until svcs -z bz-1 -H -o state multi-user-server | grep -q online; do sleep 0.1; done"
    sh(lab, wait)
    assert sh(lab, "svcs -z bz-1 -H -o state sysding").strip() == "online"
    assert sh(lab, "zlogin bz-1 getent passwd oi").startswith("oi:x:1000:10:Build user:")
    assert "Primary Administrator" in sh(lab, "zlogin bz-1 profiles oi")
    sh(lab, "zoneadm -z bz-1 halt; zoneadm -z bz-1 uninstall -F && zonecfg -z bz-1 delete -F")
    sh(lab, "zoneadm -z bz-template uninstall -F && zonecfg -z bz-template delete -F")
    assert sh(lab, "zoneadm list -cp").splitlines()[1:] == []


def test_a_zone_is_configured_by_a_file_booted_and_waited_for(lab: Path) -> None:
    """As Ansible's module and Salt's: a configuration file, install, boot, console login among its processes."""
    sh(
        lab,
        "printf 'create -b\\nset zonepath=/zones/z1\\nset brand=ipkg\\nset autoboot=true\\n' > /var/tmp/z1.cfg\n"
        "zonecfg -z z1 -f /var/tmp/z1.cfg && zoneadm -z z1 list -p | grep -q :configured:\n"
        "zoneadm -z z1 install > /dev/null && zoneadm -z z1 boot\n"
        'until ps -z z1 -o args | grep "ttymon.*-d /dev/console" > /dev/null 2>&1; do sleep 0.1; done',
    )
    fields = sh(lab, "zoneadm list -p -c | grep :z1:").split(":")
    assert (fields[2], fields[3], fields[5]) == ("running", "/zones/z1", "ipkg")
    assert run(lab, "zoneadm", "-u", fields[4], "shutdown").returncode == 0
    assert sh(lab, "zoneadm -z z1 list -p").split(":")[2] == "installed"
    sh(
        lab,
        "zoneadm -z z1 detach && zoneadm -z z1 attach > /dev/null; zoneadm -z z1 ready; zoneadm -z z1 halt",
    )
    sh(lab, "zoneadm -z z1 uninstall -F && zonecfg -z z1 delete -F")


def test_a_configuration_comes_through_a_pipe_and_is_read_back(lab: Path) -> None:
    """As Puppet's provider: commands on standard input, `info` read line by line, lists with -cp."""
    script = "create -b\nset zonepath=/zones/p1\nset ip-type=shared\nadd dataset\nset name=rpool/p1\nend\ncommit\nexit"
    sh(lab, f'zfs create rpool/p1; echo "{script}" | /usr/sbin/zonecfg -z p1 -f -')
    info = sh(lab, "/usr/sbin/zonecfg -z p1 info")
    assert re.search(r"^dataset:\n\s+name: rpool/p1$", info, re.MULTILINE)
    assert re.search(r"^ip-type: shared$", info, re.MULTILINE)
    assert "-:p1:configured:/zones/p1:" in sh(lab, "/usr/sbin/zoneadm list -cp")
    sh(lab, "/usr/sbin/zonecfg -z p1 delete -F")


def test_what_tools_ask_of_the_host_before_they_begin(lab: Path) -> None:
    """As zap and Salt's grains do."""
    script = "uname -p; zonename; /usr/sbin/psrinfo -t -S on-line; test $(/usr/sbin/prtconf -m) -gt 0 && echo memory"
    words = sh(lab, script).split()
    assert (words[0], words[1], words[3]) == ("i386", "global", "memory")
    assert int(words[2]) > 0
