"""OmniOS' network set-up on behalf of a zone: VNICs on demand, and name service files from attrs.

fault.vnic = leftover    a VNIC made on demand is not removed at halt; only the zone's log tells
"""

from __future__ import annotations

from pathlib import Path

from zonemgr.lab import place, zonestore
from zonemgr.lab.brands.hook import Hook
from zonemgr.lab.zonestore import Net, ZoneConfig


def configure(h: Hook) -> None:
    config = zonestore.load(h.call.world, h.zone)
    for net in _on_demand(config):
        _create_vnic(h, net)
    _name_service(h, config)


def unconfigure(h: Hook) -> None:
    config = zonestore.load(h.call.world, h.zone)
    for net in _on_demand(config):
        h.note(f"Removing VNIC {net.physical}/{net.global_nic}")
        leftover = h.call.world.get("fault.vnic") == "leftover"
        if leftover or not h.ok("dladm", "delete-vnic", net.physical):
            h.note(f"Could not delete VNIC {net.physical}")


def _on_demand(config: ZoneConfig) -> list[Net]:
    return [net for net in config.net if net.global_nic and not net.address]


def _create_vnic(h: Hook, net: Net) -> None:
    if net.global_nic == "auto":
        if not net.allowed_address:
            raise h.fatal("Cannot use 'auto' global NIC without allowed-address.")
        h.err("lab: global-nic=auto is not emulated\n")
        raise h.fatal(f"Could not determine global-nic for {net.physical}")
    if h.run("dladm", "show-vnic", "-p", "-o", "LINK", net.physical, quiet=True).exit_code == 0:
        return
    mac, vlan = net.mac_addr or "-", net.vlan_id or "-"
    h.note(f"Creating VNIC {net.physical}/{net.global_nic} (mac: {mac}, vlan: {vlan})")
    options = ["-m", net.mac_addr] if net.mac_addr else []
    options += ["-v", net.vlan_id] if net.vlan_id not in ("", "0") else []
    if not h.ok("dladm", "create-vnic", "-l", net.global_nic, *options, net.physical):
        raise h.fatal(f"Could not create VNIC {net.physical}/{net.global_nic}")
    if not net.mac_addr:
        _record_address(h, net.physical)


def _record_address(h: Hook, link: str) -> None:
    """The address the VNIC got goes into the zone's configuration, so that it keeps it."""
    mac = h.run("dladm", "show-vnic", "-p", "-o", "MACADDRESS", link).stdout.strip()
    if mac:
        script = f"select net physical={link}; set mac-addr={mac}; end; exit"
        h.ok("zonecfg", "-z", h.zone, script)


def _name_service(h: Hook, config: ZoneConfig) -> None:
    attrs = {attr.name: attr.value.split()[0] for attr in config.attr if attr.value.split()}
    domain, resolvers = attrs.get("dns-domain", ""), attrs.get("resolvers", "")
    root = h.call.world.path(f"{h.zonepath}/root")
    if not (domain or resolvers) or not (root / "etc").is_dir():
        return
    lines = ["# Auto-generated from zone configuration", *([f"domain {domain}"] if domain else [])]
    lines += [f"nameserver {server}" for server in resolvers.split(",") if server]
    place.write(root, "etc/resolv.conf", "\n".join(lines) + "\n")
    _use_dns(root)


def _use_dns(root: Path) -> None:
    switch, dns = place.read(root, "etc/nsswitch.conf") or "", place.read(root, "etc/nsswitch.dns")
    if dns is not None and "files dns" not in " ".join(switch.split()):
        place.write(root, "etc/nsswitch.conf", dns)
