"""The brands and their hooks, as their config.xml names them: which there are, and which command runs what."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from zonemgr.lab.call import Call
from zonemgr.lab.world import World

HookFunction = Callable[[Call, list[str]], int]


@dataclass(frozen=True)
class Brand:
    """Hooks are `module:function` below zonemgr.lab.brands; empty: the brand has none."""

    name: str
    home: str  # the directory of its scripts below /usr/lib/brand
    install: str = ""
    install_script: str = "createzone"
    install_args: tuple[str, ...] = ()
    installopts: str = ""
    clone: str = ""
    uninstall: str = ""
    prestate: str = ""
    poststate: str = ""
    attach: str = ""
    detach: str = ""
    verify: str = ""
    sysboot: tuple[
        str, ...
    ] = ()  # what prestate is told at the host's boot for a zone that is not booted then
    init: str = "/sbin/init"
    boots: bool = True  # False: what would run in it is a virtual machine


_PKG_OPTIONS = "a:c:d:e:hk:P:p:suv"


def _ipkg(name: str, *sysboot: str) -> Brand:
    return Brand(
        name,
        "ipkg",
        install="ipkg_install:ipkg",
        install_script="pkgcreatezone",
        installopts=_PKG_OPTIONS,
        clone="ipkg:clone",
        uninstall="uninstall:uninstall",
        prestate="ipkg:prestate",
        poststate="ipkg:poststate",
        attach="attach:attach",
        detach="ipkg:detach",
        sysboot=sysboot,
    )


def _sparse(name: str) -> Brand:
    return Brand(
        name,
        "sparse",
        install="ipkg_install:sparse_zone",
        install_script="pkgcreatezone",
        install_args=("-b", name) if name != "sparse" else (),
        installopts=_PKG_OPTIONS,
        clone="sparse:clone",
        uninstall="sparse:remove",
        prestate="sparse:prestate",
        poststate="sparse:poststate",
        attach="lacking:attach",
        detach="lacking:detach",
        verify="sparse:verify",
        sysboot=("99", "0"),
    )


def _machine(name: str) -> Brand:
    init = f"/usr/lib/brand/{name}/init"
    return Brand(
        name, name, install="plain:miniroot_install", uninstall="plain:uninstall", init=init, boots=False
    )


_ILLUMOS = Brand(
    "illumos",
    "illumos",
    install="plain:illumos_install",
    installopts="s:",
    uninstall="plain:uninstall",
    prestate="plain:illumos_prestate",
    poststate="plain:illumos_poststate",
)
_LX = Brand(
    "lx",
    "lx",
    install="lacking:install",
    install_script="lx_install",
    installopts="s:",
    uninstall="plain:uninstall",
    boots=False,
)

OPENINDIANA = {
    brand.name: brand
    for brand in (_ipkg("ipkg", "2", "0"), _ipkg("nlipkg", "2", "0"), _machine("bhyve"), _machine("kvm"))
}
OMNIOS = {
    brand.name: brand
    for brand in (
        _ipkg("ipkg", "99", "0"),
        _ipkg("lipkg", "99", "0"),
        _sparse("sparse"),
        _sparse("pkgsrc"),
        _ILLUMOS,
        _LX,
        _machine("bhyve"),
        _machine("kvm"),
        _machine("emu"),
    )
}


def find(world: World, name: str) -> Brand | None:
    """A brand of this host, None when it has none of that name; the fact `zones.brands` can add the other flavour's."""
    own, other = (OMNIOS, OPENINDIANA) if world.omnios else (OPENINDIANA, OMNIOS)
    if name not in own and name in other and name in world.get("zones.brands").split():
        return other[name]
    return own.get(name)


def function(hook: str) -> HookFunction:
    """The function behind a hook's name."""
    module, name = hook.split(":")
    found: HookFunction = getattr(importlib.import_module(f"zonemgr.lab.brands.{module}"), name)
    return found
