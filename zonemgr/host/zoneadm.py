"""zoneadm: which zones there are, and taking one from state to state.

zoneadm(8) exits 0 where the zone is already there (boot on a running zone, halt on an installed one), so those are
successes here; halt on a configured zone and shutdown on an installed one are failures. After a change, read the state
again: exit 0 of clone and uninstall says little, as the brands' scripts end well after many a failure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

from zonemgr import limits
from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import pkgtext
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Completed, Host
from zonemgr.model import ZoneName, ZoneRow, ZoneState

PRIVILEGE_HINT = (
    "this needs the profiles Zone Management and Zone Security, or Primary Administrator; see: profiles"
)


def list_zones(host: Host) -> list[ZoneRow]:
    """All zones in every state, `global` among them: the active in order of boot, then the others as
    configured.

    Raises ZonemgrError inside a non-global zone, where only that zone is listed.
    """
    rows = parse_list(host.ask("zoneadm", "list", "-cp").stdout)
    if not any(row.is_global for row in rows):
        raise ZonemgrError("this is not the global zone", hint="run zonemgr on the host, not inside a zone")
    return rows


def find(host: Host, zone: str) -> ZoneRow | None:
    """One zone in whatever state, or None when no zone of that name is configured."""
    found = host.ask("zoneadm", "-z", zone, "list", "-p", ok=(0, 1))
    if found.exit_code == 0:
        # -z also takes the number of an active zone, so `-z 3` may answer for another zone.
        return next((row for row in parse_list(found.stdout) if row.name == zone), None)
    if "No such zone configured" in found.stderr:
        return None
    raise found.error()


def state(host: Host, zone: str) -> ZoneState:
    """Raises NotThere for an unknown zone."""
    row = find(host, zone)
    if row is None:
        raise _unknown(zone)
    return row.state


def parse_list(text: str) -> list[ZoneRow]:
    """Records of `list -p`: seven fields, eight on OmniOS, more one day; `\\:` is a colon in the path."""
    return [_row(line) for line in lines_of(text)]


def _row(line: str) -> ZoneRow:
    fields = re.split(r"(?<!\\):", line)
    if len(fields) < 7:
        raise ZonemgrError(f"zoneadm list gave a record of {len(fields)} fields: {line}")
    number, name, status, path, uuid, brand, ip_type = fields[:7]
    return ZoneRow(
        id=int(number) if number.isdigit() else None,
        name=name,
        state=ZoneState(status) if status in list(ZoneState) else ZoneState.UNKNOWN,
        path=path.replace("\\:", ":"),
        uuid=uuid,
        brand=brand,
        exclusive_ip=ip_type.startswith("excl"),
        debug_id=fields[7] if len(fields) > 7 else "",
    )


def verify(host: Host, zone: ZoneName) -> None:
    """Raises CommandError or ZonemgrError with what could not be verified.

    The exit status alone proves little: of several `fs` only the last one decides it (verify_filesystems in
    zoneadm.c), and for a zonepath that is gone there is a warning. A question that needs privilege.
    """
    done = _explained(lambda: host.ask("zoneadm", "-z", zone, "verify", elevated=True), zone)
    _file_systems_verified(done, zone)
    gone = re.search(r"^WARNING: (.*) does not exist, so it could not be verified", done.stderr, re.MULTILINE)
    if gone and state(host, zone) is not ZoneState.CONFIGURED:
        raise ZonemgrError(
            f"zone {zone} has lost its zonepath {gone[1]}", hint="see: zfs list -o name,mountpoint,mounted"
        )


def _file_systems_verified(done: Completed, zone: str) -> None:
    """Raise ZonemgrError when zoneadm has complained of a file system and gone on."""
    wrong = [line for line in lines_of(done.stderr) if re.match(r"(could not|cannot) verify fs ", line)]
    if wrong:
        raise ZonemgrError(
            f"zone {zone} cannot boot: {'; '.join(wrong)}",
            hint=hint(done.stderr, zone) or f"zonecfg -z {zone} info fs",
        )


def _quoted(words: Sequence[str]) -> list[str]:
    """Arguments for a brand's script: zoneadm gives them to /bin/sh as they are (do_subproc in zoneadm.c)."""
    return [shlex.quote(word) for word in words]


def install(host: Host, zone: ZoneName, *options: str, limit: float | None = None) -> None:
    """configured → installed; `options` are the brand's. A failure leaves the zone `incomplete`.

    Why it failed a brand may say on stdout (OpenIndiana's do), so that is in the error, too.
    """

    def run() -> Completed:
        words = ("zoneadm", "-z", zone, "install", *_quoted(options))
        done = host.change(*words, ok=range(256), limit=limit)
        if done.exit_code:
            _, sign, reason = done.stdout.rpartition("ERROR:")
            told = f"{done.stderr}{sign}{' '.join(reason.split())}" if sign else done.stderr
            raise _of_pkg(replace(done, stderr=told).error(), done.stderr)
        return done

    _file_systems_verified(_explained(run, zone), zone)


def _of_pkg(failed: CommandError, stderr: str) -> CommandError:
    """The brand's script ends with `ERROR: failed to install package`; the pkg that it ran has said why."""
    said = pkgtext.within(stderr)
    if said:
        reason = pkgtext.reason("", said)
        failed.args = (f"zoneadm install exited with {failed.exit_code_of_command}: {reason}",)
        failed.hint = pkgtext.hint(said)
    return failed


def attach(host: Host, zone: ZoneName, *options: str, limit: float | None = None) -> None:
    """configured → installed, with a root that is there already; `options` are the brand's, such as `-u`."""
    _file_systems_verified(_change(host, zone, "attach", *_quoted(options), limit=limit), zone)


def clone(
    host: Host, zone: ZoneName, source: ZoneName, *, snapshot: str | None = None, unconfigure: bool = True,
    limit: float | None = None,
) -> list[str]:  # fmt: skip
    """configured → installed, from `snapshot` (`name` or `ds@name`) or a new one; returns the warnings.

    Without `unconfigure` the IPS brands' scripts do not reset the new zone's identity (`-X`), and leave it mounted.
    With it a failed reset ends with exit 0 and only `ERROR:` lines tell of it, so these raise ZonemgrError; the zone
    is then `installed` with the golden identity. On OmniOS such lines may go to ZONEPATH/log/zone.log instead.
    """
    options = [*(() if unconfigure else ("-X",)), *(() if snapshot is None else ("-s", snapshot))]
    done = _change(host, zone, "clone", *options, source, limit=limit)
    _file_systems_verified(done, zone)
    _cloned_what_was_meant(done, zone, source)
    said = f"{done.stdout}\n{done.stderr}".splitlines()
    errors = [line for line in said if "ERROR:" in line]
    if errors:
        raise ZonemgrError(
            f"zone {zone} was cloned from {source}, but not reset: {errors[-1].strip()}",
            hint=UNCONFIGURE_HINT
            if re.search("unconfigur", "\n".join(errors))
            else f"do not use it; remove it with: zoneadm -z {zone} uninstall -F",
        )
    return lines_of(done.stderr)


UNCONFIGURE_HINT = (
    "the brand's script system-unconfigure failed; with OpenSSH 9.8 or later it does when it still makes a DSA key "
    "(mended in OmniOS' brands of December 2024): update the package system/zones/brand/ipkg"
)


def lacks_option(failed: CommandError, letter: str) -> bool:
    """Did a brand's script end because it does not know this option? What it was to make is not begun then."""
    return (
        re.search(rf"-{letter}: unknown option|(illegal|bad|unknown) option.*{letter}", failed.stderr)
        is not None
    )


def _cloned_what_was_meant(done: Completed, zone: str, source: str) -> None:
    """Raise ZonemgrError when zoneadm has taken the source for the zone to make.

    That it does, with exit 0, once it has warned of a dataset in both configurations (warn_dataset_match in zoneadm.c).
    """
    shared = re.search(
        rf"^zoneadm: zone '{re.escape(source)}': WARNING: (dataset .*)$", done.stderr, re.MULTILINE
    )
    if shared:
        raise ZonemgrError(
            f"zone {zone} was not cloned, but {source} onto itself: {shared[1]}",
            hint=f"give {zone} the dataset after the clone, and roll {source} back to its last snapshot",
        )


def boot(host: Host, zone: ZoneName, *arguments: str, limit: float | None = None) -> list[str]:
    """→ running, long before its services are up (see smf.wait_for); on a running zone it does nothing.

    `arguments` such as `-s` or `-m verbose` replace the zone's bootargs. Returns warnings, e.g. about
    unused ones.
    """
    limits.BOOT_ARGUMENTS.check(" ".join(arguments), "boot argument list")
    words = ("--", *arguments) if arguments else ()
    done = _change(host, zone, "boot", *words, limit=limit)
    return lines_of(done.stderr)


def halt(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """ready or running → installed, killing everything in it; on an installed zone it does nothing.

    Without a limit of its own it has that of the host's halts.
    """
    _change(host, zone, "halt", limit=limit or host.limits.halt)


def shutdown(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """running → installed by the zone's own shutdown.

    zoneadm itself gives up after about 100 s: what the stop method of svc:/system/zones may take.
    """
    _change(host, zone, "shutdown", limit=limit)


def reboot(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """running → running through halt and boot, not gracefully; the zone gets a new id."""
    _change(host, zone, "reboot", limit=limit)


def ready(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """installed → ready; a running zone is halted on the way."""
    _change(host, zone, "ready", limit=limit)


def mount(host: Host, zone: ZoneName, *, force: bool = False, limit: float | None = None) -> None:
    """installed → mounted, in which nothing of it runs but zlogin -S gets in; `force` also takes an incomplete zone."""
    _change(host, zone, "mount", *(("-f",) if force else ()), limit=limit)


def unmount(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """mounted → installed, or incomplete if it was that."""
    _change(host, zone, "unmount", limit=limit)


def uninstall(host: Host, zone: ZoneName, *, limit: float | None = None) -> None:
    """installed or incomplete → configured. The brand destroys snapshots along with it; prove afterwards."""
    _change(host, zone, "uninstall", "-F", limit=limit)


def mark_incomplete(host: Host, zone: ZoneName) -> None:
    """configured or installed → incomplete, so that it cannot be booted by mistake."""
    _change(host, zone, "mark", "incomplete")


def _change(host: Host, zone: ZoneName, *words: str, limit: float | None = None) -> Completed:
    return _explained(lambda: host.change("zoneadm", "-z", zone, *words, limit=limit), zone)


def _explained(run: Callable[[], Completed], zone: str) -> Completed:
    try:
        return run()
    except CommandError as failed:
        if "No such zone configured" in failed.stderr and f"{zone}: No such zone" in failed.stderr:
            raise _unknown(zone) from failed
        failed.hint = failed.hint or hint(failed.stderr, zone)
        raise


def _unknown(zone: str) -> NotThere:
    return NotThere(f"there is no zone {zone}", hint="see: zonemgr list")


# What stderr has in it → what to try. The first that fits; X is the zone.
HINTS: Sequence[tuple[str, str]] = (
    (r"only a privileged user|is not authorized|sufficient privilege", PRIVILEGE_HINT),
    (r"must be in the global zone", "run zonemgr on the host, not inside a zone"),
    (r"zone is incomplete; uninstall required|state 'incomplete'", "zoneadm -z X uninstall -F"),
    (r"state 'mounted'|for mounted zones", "zoneadm -z X unmount"),
    (
        r"could not access .*: No such file or directory",
        "make that directory on the host, or do not mount it",
    ),
    (r"failed to add network device", "is the link there, and free? see: dladm show-link"),
    (r"protection.*set|allowed-ips", "dladm reset-linkprop -p protection,allowed-ips VNIC"),
    (r"unable to shutdown zone|shutdown already in progress", "zoneadm -z X halt"),
    (r"mounted on subdirectories of", "unmount these file systems, then try again"),
    (r"must be a ZFS dataset", "the zone's parent directory must be a mounted ZFS file system"),
    (
        r"Unable to locate the incorporation",
        "the first publisher (-g) seeds the image and must have the system's packages; name the others after it",
    ),
    (r"no active dataset", "the host's boot environment changed: make the golden image again"),
    (r"multiple active datasets", "see: zfs list -r -o name,mountpoint,org.opensolaris.libbe:active"),
    (r"[Dd]evice busy|unable to unmount", "something sits in the zone's root; see: fuser -c ZONEPATH/root"),
    (r"unable to unconfigure network|datalinks remain", "something holds a link of the zone, such as snoop"),
    (r"another zoneadm may have", "wait for the other zoneadm to end"),
    (r"must be installed before|not running|'configured'", "see the zone's state with: zoneadm list -cv"),
    (r"failed to verify", "zoneadm -z X verify"),
)


def hint(stderr: str, zone: str) -> str | None:
    """The next thing to try for a failure of zoneadm, zoneadmd or a brand's script."""
    for pattern, text in HINTS:
        if re.search(pattern, stderr):
            return re.sub(r"\bX\b", lambda _: zone, text)
    return None
