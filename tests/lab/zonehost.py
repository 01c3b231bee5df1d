"""A host with zones for the tests of zoneadm: made by hand, so that the tests need no package tools."""

from __future__ import annotations

from pathlib import Path

from zonemgr.lab import smf, world, zoneroot, zonestore
from zonemgr.lab.brands.common import ACTIVE, PARENT, gz_boot_environment
from zonemgr.lab.call import Call, Finished
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import World

STATES = ("configured", "incomplete", "installed", "ready", "running", "shutting_down", "down", "mounted")


class ZoneHost:
    """A lab whose zones lie in rpool/zones, and whose cells are off: only states count."""

    def __init__(self, opened: World) -> None:
        self.world = opened
        self.inside = InProcess(opened)

    @classmethod
    def fresh(cls, directory: Path, flavour: str = "openindiana") -> ZoneHost:
        host = cls(world.create(directory, flavour=flavour))
        host.world.put("cells", "off")
        host.must("zfs", "create", "-o", "mountpoint=/zones", "rpool/zones")
        return host

    def run(self, *argv: str, user: str = "root") -> Finished:
        return self.inside.run(argv, user=user)

    def must(self, *argv: str) -> str:
        ended = self.run(*argv)
        assert ended.exit_code == 0, f"{argv}: {ended}"
        return ended.stdout

    def on_terminal(self, *argv: str, typed: str) -> Finished:
        """Run a command whose stdin is a terminal."""
        import io

        out, err = io.BytesIO(), io.BytesIO()
        call = Call(self.world, list(argv), io.BytesIO(typed.encode()), out, err, terminal=True)
        from zonemgr.lab import tools

        status = tools.find(argv[0])(call)
        return Finished(status, out.getvalue().decode(), err.getvalue().decode())

    # -- zones ---------------------------------------------------------------------------------------------

    def configure(self, zone: str, *more: str, brand: str = "ipkg") -> None:
        script = ["create -b", f"set zonepath=/zones/{zone}", f"set brand={brand}", *more]
        self.must("zonecfg", "-z", zone, "; ".join(script))

    def install(self, zone: str, *more: str, brand: str = "ipkg") -> None:
        """Configure a zone and do by hand what an installation does."""
        self.configure(zone, *more, brand=brand)
        gzbe = gz_boot_environment(Call(self.world, ["beadm"]))
        root = self.path(f"/zones/{zone}/root")
        self.must("zfs", "create", f"rpool/zones/{zone}")
        self.path(f"/zones/{zone}").chmod(0o700)
        self.must("zfs", "create", "-o", "mountpoint=legacy", "-o", "zoned=on", f"rpool/zones/{zone}/ROOT")
        properties = ("-o", f"{PARENT}={gzbe}", "-o", f"{ACTIVE}=on", "-o", "canmount=noauto")
        self.must("zfs", "create", *properties, f"rpool/zones/{zone}/ROOT/zbe")
        root.mkdir()
        self.must("mount", "-F", "zfs", f"rpool/zones/{zone}/ROOT/zbe", f"/zones/{zone}/root")
        zoneroot.create(root, self.world)
        smf.seed(root, self.world)
        zonestore.set_state(self.world, zone, "installed")

    def bring(self, zone: str, state: str) -> None:
        """Take an installed zone to a state by the commands that lead there."""
        if state in ("configured", "incomplete"):
            zonestore.set_state(self.world, zone, state)
        elif state in ("ready", "mounted"):
            self.must("zoneadm", "-z", zone, {"ready": "ready", "mounted": "mount"}[state])
        elif state != "installed":
            self.must("zoneadm", "-z", zone, "boot")
            if state != "running":
                self.world.put("fault.halt", state)
                assert self.run("zoneadm", "-z", zone, "halt").exit_code == 1
                self.world.put("fault.halt", "")
        assert self.state(zone) == state

    def state(self, zone: str) -> str:
        return self.must("zoneadm", "-z", zone, "list", "-p").split(":")[2]

    # -- what is there -------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        return self.world.path(name)

    def datasets(self, below: str = "rpool/zones") -> set[str]:
        return set(self.must("zfs", "list", "-H", "-t", "all", "-o", "name", "-r", below).split())

    def get(self, dataset: str, prop: str) -> str:
        return self.must("zfs", "get", "-H", "-o", "value", prop, dataset).strip()

    def mounted(self) -> dict[str, str]:
        rows = (line.split() for line in self.must("mount", "-p").splitlines())
        return {row[2]: row[0] for row in rows}
