"""Clones are reset by zonemgr's own script, whatever the brand's does."""

from __future__ import annotations

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.errors import ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.workflows import disposable, execute, life, snaps
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.job import glimpse, job

ZONE = "build-1"
# What the brands' clean-up resets: a file of the golden image, and what a clone has of it (None: nothing).
TRACES = {
    "/etc/inet/hosts": f"::1\t\tlocalhost\n127.0.0.1\tlocalhost loghost {ZONE}\n",
    "/etc/hostname.gold0": None, "/etc/hostname6.gold0": None, "/etc/dhcp.gold0": None, "/etc/defaultdomain": None,
    "/etc/defaultrouter": None, "/etc/nodename": f"{ZONE}\n", "/etc/resolv.conf": None, "/etc/inet/netmasks": None,
    "/etc/inet/static_routes": None, "/etc/inet/static_routes-DEFAULT": None, "/etc/ipadm/ipadm.conf": "",
    "/etc/dladm/datalink.conf": "", "/var/adm/messages": "", "/var/adm/messages.0": None, "/var/log/syslog": "",
    "/var/log/syslog.1": None, "/var/ldap/ldap_client_cache": None, "/var/ldap/ldap_client_cred": None,
    "/var/ldap/ldap_client_file": None, "/var/ldap/cachemgr.log": None, "/etc/machine-id": None,
    "/var/lib/dbus/machine-id": None, "/etc/dhcp/gold0.dhc": None, "/etc/dhcp/gold0.dh6": None,
    "/etc/dhcp/duid": None, "/etc/dhcp/iaid": None, "/opt/tool": "golden\n",
}  # fmt: skip
KEYS = ("rsa", "ecdsa", "ed25519")


def make(lab: Lab, zone: str = ZONE, **words: str) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone, **words))


def used(lab: Lab) -> None:
    """Somebody has worked in the golden image, and it was up: it has host keys, and addresses of its own."""
    life.start(lab.site(), GOLDEN)
    lab.world.advance(300)
    lab.run("svcs", "-z", GOLDEN, "network/ssh")
    for path in TRACES:
        file = lab.in_zone(GOLDEN, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("golden\n")
    edit(lab, "/etc/default/init", "TZ=UTC", "TZ=Europe/Prague")
    edit(lab, "/etc/ssh/sshd_config", "PermitRootLogin no", "PermitRootLogin yes")
    shadow = lab.in_zone(GOLDEN, "/etc/shadow")
    shadow.chmod(0o600)
    lines = [line for line in shadow.read_text().splitlines() if not line.startswith("root:")]
    shadow.write_text("\n".join(["root:$6$golden:1::::::", *lines, ""]))
    shadow.chmod(0o400)
    with lab.in_zone(GOLDEN, "/etc/vfstab").open("a") as vfstab:
        vfstab.write("golden:/x\t-\t/mnt\tnfs\t-\tyes\t-\n")
    life.halt(lab.site(), GOLDEN)
    snaps.snapshot(lab.site(), GOLDEN, "used")


def edit(lab: Lab, path: str, old: str, new: str) -> None:
    file = lab.in_zone(GOLDEN, path)
    file.write_text(file.read_text().replace(old, new))


def keys(lab: Lab, zone: str) -> list[str]:
    lab.run("svcs", "-z", zone, "network/ssh")
    return [lab.in_zone(zone, f"/etc/ssh/ssh_host_{name}_key").read_text() for name in KEYS]


def test_nothing_that_names_the_golden_image_is_in_a_clone(each_lab: Lab) -> None:
    lab = each_lab
    used(lab)
    make(lab, snapshot="used")
    found = {path: lab.in_zone(ZONE, path) for path in TRACES}
    assert {path: file.read_text() if file.exists() else None for path, file in found.items()} == TRACES
    assert "TZ=UTC\n" in lab.in_zone(ZONE, "/etc/default/init").read_text()
    assert "PermitRootLogin no\n" in lab.in_zone(ZONE, "/etc/ssh/sshd_config").read_text()
    shadow = lab.in_zone(ZONE, "/etc/shadow")
    assert "root:NP:" in shadow.read_text() and shadow.stat().st_mode & 0o777 == 0o400
    vfstab = lab.in_zone(ZONE, "/etc/vfstab").read_text()
    assert "golden" not in vfstab and "swap\t\t-\t\t/tmp\t\ttmpfs" in vfstab
    assert lab.in_zone(GOLDEN, "/etc/nodename").read_text() == "golden\n"
    assert not lab.report.warnings


def test_two_clones_and_their_image_have_different_host_keys(each_lab: Lab) -> None:
    used(each_lab)
    for zone in (ZONE, "build-2"):
        make(each_lab, zone, snapshot="used")
    each_lab.world.advance(300)
    seen = [key for zone in (ZONE, "build-2") for key in keys(each_lab, zone)]
    seen += [each_lab.in_zone(GOLDEN, f"/etc/ssh/ssh_host_{name}_key").read_text() for name in KEYS]
    assert len(set(seen)) == 9


def test_an_address_from_the_global_zone_reaches_a_clone_of_an_image_that_was_up(each_lab: Lab) -> None:
    """ipmgmtd takes it over at its first boot only, and the image has had that."""
    lab, site = each_lab, each_lab.site()
    used(lab)
    zone = disposable.prepare(site, DisposableRequest(GOLDEN, ZONE, snapshot="used"))
    with job(site, [ZONE], zone.run) as work:
        configuration = disposable.configured(glimpse(site), site, zone)
        work.do(*disposable.plan_clone(glimpse(site), site, zone, configuration))
        work.do(disposable.set_up(site, ZONE, zone.run, zone.furniture, reset=True))
    lab.run("dladm", "create-vnic", "-l", "net0", "given0")
    lab.run("zonecfg", "-z", ZONE, "add net; set physical=given0; set allowed-address=10.0.0.5/24; end")
    lab.run("zoneadm", "-z", ZONE, "boot")
    lab.world.advance(300)
    assert "10.0.0.5/24" in lab.run("zlogin", "-S", ZONE, "ipadm show-addr -p -o type,addr")


def test_it_boots_once_and_straight_to_multi_user(each_lab: Lab) -> None:
    make(each_lab, over="net0", users="builder")
    boots = [
        " ".join(words) for words in each_lab.commands() if words[-2:] and "boot" in words and ZONE in words
    ]
    assert boots == [f"zoneadm -z {ZONE} boot"]
    console = each_lab.run("svcs", "-z", ZONE, "-H", "-o", "state", "console-login")
    each_lab.world.advance(60)
    assert each_lab.run("svcs", "-z", ZONE, "-H", "-o", "state", "console-login").strip() == "online", console


def test_a_brand_that_knows_no_way_around_its_clean_up_is_cloned_with_it(each_lab: Lab) -> None:
    lab = each_lab
    lab.world.put("clone.x", "off")
    lab.world.put("openssh.dsa", "on")
    make(lab, over="net0", lofs="/work|/export/src")
    outcome = execute.in_zone(lab.site(), ZONE, execute.Command("test -d /work && hostname", discard="off"))
    assert outcome.exit_code == 0
    assert lab.in_zone(ZONE, "/etc/nodename").read_text() == f"{ZONE}\n"


def test_when_that_fails_the_cause_is_named_with_its_cure(lab: Lab) -> None:
    lab.world.put("clone.x", "off")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="not reset: ERROR:") as failed:
        make(lab)
    assert failed.value.hint == zoneadm.UNCONFIGURE_HINT
    same(before, lab.everything())


def test_a_script_that_fails_leaves_nothing(each_lab: Lab) -> None:
    before = each_lab.everything()
    each_lab.fails(f"zlogin -S {ZONE} *", stderr="setup: no space left on device")
    with pytest.raises(ZonemgrError, match="no space left"):
        make(each_lab, over="net0", lofs="/work|/export/src")
    same(before, each_lab.everything())
