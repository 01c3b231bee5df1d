"""A lab entered by hand: command lines as one types them, and zones that run without a cell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from zonemgr.lab import smf, tools, zoneroot
from zonemgr.lab import world as worlds
from zonemgr.lab.call import Call, Finished, NoWorld
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import World


@dataclass
class Hand:
    world: World
    inside: InProcess = field(init=False)

    def __post_init__(self) -> None:
        self.inside = InProcess(self.world)

    def __call__(self, line: str, *, user: str = "root", stdin: str = "") -> Finished:
        return self.inside.run(shlex.split(line), stdin.encode(), user=user)

    def out(self, line: str, *, user: str = "root") -> str:
        """Output of a command that must succeed in silence."""
        ended = self(line, user=user)
        assert (ended.exit_code, ended.stderr) == (0, ""), f"{line}: {ended}"
        return ended.stdout

    def refused(self, line: str, *, user: str = "root") -> str:
        """What a command says on stderr that must fail with 1 and print nothing else, but for pkg."""
        ended = self(line, user=user)
        assert (ended.exit_code, ended.stdout if not line.startswith("pkg ") else "") == (1, ""), (
            f"{line}: {ended}"
        )
        return ended.stderr

    # -- zones without cells -------------------------------------------------------------------------------

    def installed(self, name: str, *, imported: bool = True) -> Path:
        """The root of a zone as an installation leaves it."""
        self.out(f"zonecfg -z {name} 'create; set zonepath=/zones/{name}'")
        root = self.world.path(f"/zones/{name}/root")
        root.mkdir(parents=True)
        zoneroot.create(root, self.world)
        smf.seed(root, self.world, imported=imported)
        return root

    def boots(self, name: str, boot_args: str = "") -> None:
        """The kernel's side of a boot: the zone is running as soon as init is."""
        self.world.db.execute(
            "insert or replace into kernel_zones (id, name, state, root, booted, boot_args)"
            " values (?, ?, 'running', ?, ?, ?)",
            (self.world.count("zone.id"), name, f"/zones/{name}/root", self.world.now(), boot_args),
        )

    def halts(self, name: str) -> None:
        smf.halted(self.world, name)
        self.world.db.execute("delete from kernel_zones where name = ?", (name,))

    def state(self, zone: str, service: str) -> str:
        return self.out(f"svcs -z {zone} -H -o state {service}").strip()


def make(directory: Path, flavour: str = "openindiana", latency: str = "none") -> Hand:
    return Hand(worlds.create(directory / "lab", flavour=flavour, latency=latency))


def in_zone(root: Path, line: str, *, name: str = "z", user: str = "root", stdin: str = "") -> Finished:
    """A command as a program in the zone runs it: without a world, over the zone's own root."""
    import io

    out, err = io.BytesIO(), io.BytesIO()
    words = shlex.split(line)
    call = Call(NoWorld(), words, io.BytesIO(stdin.encode()), out, err, {}, "/", user, user == "root")
    call.zone, call.root = name, root
    status = tools.find(words[0], in_zone=True)(call)
    return Finished(status, out.getvalue().decode(), err.getvalue().decode())


def passes(hand: Hand, *, until: str, limit: float = 60.0, step: float = 0.02) -> float:
    """The lab's time until a service of zone z is online."""
    start = hand.world.now()
    while hand("svcs -z z -H -o state " + until).stdout.strip() != "online":
        assert hand.world.now() - start < limit, hand("svcs -z z -a").stdout
        hand.world.advance(step)
    return hand.world.now() - start
