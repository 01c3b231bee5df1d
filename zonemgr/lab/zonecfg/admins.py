"""The `admin` resource outside the document: who exists, and what a commit writes to /etc/user_attr."""

from __future__ import annotations

from zonemgr.lab import zonestore
from zonemgr.lab.world import World
from zonemgr.lab.zonecfg.document import Document

PREFIX = "solaris.zone."
RIGHTS = ("login", "manage", "clonefrom")
PROFILE = "Zone Management"
USER_ATTR = "/etc/user_attr"


def user_exists(world: World, name: str) -> bool:
    try:
        lines = world.path("/etc/passwd").read_bytes().decode("latin-1").splitlines()
    except FileNotFoundError:
        return False
    return any(line.startswith(f"{name}:") for line in lines)


def unknown_rights(rights: str) -> list[str]:
    """The words of a comma list that are no authorisations over zones; empty ones are passed over."""
    return [word for word in rights.split(",") if word and word not in RIGHTS]


def authorise(world: World, document: Document, zone: str) -> None:
    """Give the users named in the configuration their rights over the zone."""
    for admin in document.each("admin"):
        rights = [word for word in admin.attributes["auths"].split(",") if word]
        _grant(world, admin.attributes["user"], zone, rights)


def deauthorise(world: World, document: Document, zone: str) -> None:
    for admin in document.each("admin"):
        _grant(world, admin.attributes["user"], zone, [])


def _grant(world: World, user: str, zone: str, rights: list[str]) -> None:
    path = world.path(USER_ATTR)
    with world.transaction():
        if not path.exists():
            return
        lines = path.read_bytes().decode("latin-1").splitlines()
        at = next((at for at, line in enumerate(lines) if line.startswith(f"{user}:")), None)
        head, attributes = _parse(lines[at]) if at is not None else (f"{user}:::", {})
        line = f"{head}:{_rewrite(attributes, zone, rights)}"
        if at is None:
            lines.append(line)
        else:
            lines[at] = line
        zonestore.write_file(world, USER_ATTR, "".join(f"{line}\n" for line in lines).encode("latin-1"))


def _parse(line: str) -> tuple[str, dict[str, str]]:
    fields = line.split(":", 4) + [""] * 4
    pairs = (pair.partition("=") for pair in fields[4].split(";") if pair)
    return ":".join(fields[:4]), {name: value for name, _, value in pairs}


def _rewrite(attributes: dict[str, str], zone: str, rights: list[str]) -> str:
    def words(name: str) -> list[str]:
        return [word for word in attributes.get(name, "").split(",") if word]

    auths = [auth for auth in words("auths") if not (auth.startswith(PREFIX) and auth.endswith(f"/{zone}"))]
    auths += [f"{PREFIX}{right}/{zone}" for right in rights]
    profiles = [profile for profile in words("profiles") if profile != PROFILE]
    if any(auth.startswith(PREFIX) and "/" in auth for auth in auths):
        profiles.insert(0, PROFILE)
    attributes = {**attributes, "auths": ",".join(auths), "profiles": ",".join(profiles)}
    return ";".join(f"{name}={value}" for name, value in attributes.items() if value)
