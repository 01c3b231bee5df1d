"""The words of the command line: every option and action with all its spellings, and what each action takes.

One table, so that parsing, help and completion cannot disagree. The spellings are a contract: those of
illumos-zonemgr (2017) are called by Jenkins jobs and crontabs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    name: str  # canonical, as the Typer commands know it
    spellings: tuple[str, ...]
    takes: str = (
        ""  # kind of its value: zone giz snapshot file user link dataset path word number; "" is a flag
    )
    list: bool = False  # appended when repeated; whitespace-separated inside
    everywhere: bool = False  # every action takes it
    old: bool = False  # the predecessor had it


@dataclass(frozen=True)
class Action:
    name: str
    spellings: tuple[str, ...]
    group: str
    summary: str
    module: str  # below zonemgr.cli; its function `NAME` with dashes as underscores
    zone: str = ""  # "", "one" (zone must exist), "new"
    takes: tuple[str, ...] = ()  # options besides those that are everywhere
    words: str = ""  # what further words mean: "", "zone", "zones", "list-flags", "file", "rest"


def _option(*spellings: str, takes: str = "", many: bool = False, everywhere: bool = False) -> Option:
    long = next(s for s in spellings if s.startswith("--"))
    return Option(long, spellings, takes, many, everywhere, long in PREDECESSOR)


# Limits of a zone; each has a --drop- counterpart for modify.
CAPS = (
    "--quota", "--cap-memory", "--cap-swap", "--cap-cpu", "--cpu-shares", "--max-processes", "--tmpfs-size",
)  # fmt: skip

# What illumos-zonemgr had besides the options of every action, by our names.
PREDECESSOR = (
    "--zone", "--zone-autoname", "--template", "--brand", "--clone", "--snapshot", "--add-packages",
    "--remove-packages", "--add-publishers", "--remove-publishers", "--mount-lofs", "--mount-autonfs",
    "--delegate-dataset", "--copy-users", "--copy-groups", "--elevate-users", "--add-vnic", "--add-vnic-over",
    "--exec-cmd", "--exec-user", "--exec-discard",
)  # fmt: skip

OPTIONS: tuple[Option, ...] = (
    _option("--help", "-h", "-help", everywhere=True),
    _option("--version", everywhere=True),
    _option("--config", takes="file", everywhere=True),
    _option("--print-config", everywhere=True),
    _option("--debug", "-d", takes="number", everywhere=True),
    _option("--quiet", "-q", everywhere=True),
    _option("--errors-only", "-Q", everywhere=True),
    _option("--dry-run", "-n", "--dryrun", everywhere=True),
    _option("--outfile", "-O", takes="file", everywhere=True),
    _option("--json", everywhere=True),
    _option("--zone", "-z", takes="zone"),
    _option("--template", "-t", takes="word"),
    _option("--brand", "-b", takes="word"),
    _option("--clone", "-c", "--origin", takes="giz"),
    _option("--snapshot", "-s", "--snapname", takes="snapshot"),
    _option(
        "--add-packages", "-p", "--add-package", "--install-packages", "--install-package", takes="word", many=True
    ),
    _option("--zone-autoname", "-Z"),
    _option(
        "--remove-packages", "-P", "--remove-package", "--del-packages", "--del-package", "--uninstall-packages",
        "--uninstall-package", takes="word", many=True,
    ),
    _option("--add-publishers", "-g", "--add-publisher", takes="word", many=True),
    _option(
        "--remove-publishers", "-G", "--remove-publisher", "--del-publishers", "--del-publisher", takes="word",
        many=True,
    ),
    _option("--from", takes="file"),
    _option("--mount-lofs", takes="path", many=True),
    _option("--mount-autonfs", takes="path", many=True),
    _option("--delegate-dataset", "--delegate-datasets", takes="dataset", many=True),
    _option("--clone-dataset", "--clone-datasets", takes="dataset", many=True),
    _option("--copy-users", "--copy-user", takes="user", many=True),
    _option("--copy-groups", "--copy-group", takes="word", many=True),
    _option("--elevate-users", "--elevate-user", takes="user", many=True),
    _option("--add-vnic", "--add-vnics", "--use-vnic", "--use-vnics", takes="link", many=True),
    _option(
        "--add-vnic-over", "--add-vnics-over", "--use-vnic-over", "--use-vnics-over", "--auto-vnic", "--auto-vnics",
        takes="link", many=True,
    ),
    *(_option(name, takes="word") for name in CAPS),
    _option("--force-mount"),
    *(_option(f"--drop-{name[2:]}") for name in CAPS),
    _option("--drop-mount-lofs", "--drop-lofs", takes="path", many=True),
    _option("--drop-mount-autonfs", "--drop-autonfs", takes="path", many=True),
    _option("--drop-delegate-dataset", "--drop-delegate-datasets", "--drop-dataset", takes="dataset", many=True),
    _option("--drop-clone-dataset", "--drop-clone-datasets", takes="dataset", many=True),
    _option(
        "--drop-vnic", "--drop-vnics", "--drop-add-vnic", "--drop-add-vnics", "--drop-add-vnic-over",
        "--drop-add-vnics-over", takes="link", many=True,
    ),
    _option("--drop-users", "--drop-user", "--drop-copy-users", "--drop-copy-user", takes="user", many=True),
    _option("--drop-groups", "--drop-group", "--drop-copy-groups", "--drop-copy-group", takes="word", many=True),
    _option("--drop-elevated-users", "--drop-elevate-users", "--drop-elevate-user", takes="user", many=True),
    _option("--restart"),
    _option("--exec-cmd", takes="word"),
    _option("--exec-user", takes="user"),
    _option("--exec-discard", takes="discard"),
    _option("--exec-env", takes="word"),
    _option("--exec-cwd", takes="path"),
    _option("--exec-timeout", takes="number"),
    _option("--keep-datasets", "--keep-dataset"),
    _option("--timeout", takes="number"),
    _option("--list-flags", takes="word"),
    _option("--verbose", "-v"),
    _option("--all"),
    _option("--parallel", takes="number"),
    _option("--canary-cmd", takes="word"),
    _option("--keep", takes="number"),
    _option("--yes", "-y"),
    _option("--output", "-o", takes="file"),
    _option("--group", takes="word"),
    _option("--user", takes="user"),
)  # fmt: skip

_FURNISH = (
    "--mount-lofs", "--mount-autonfs", "--delegate-dataset", "--clone-dataset", "--add-vnic", "--add-vnic-over",
    "--copy-users", "--copy-groups", "--elevate-users", *CAPS, "--force-mount",
)  # fmt: skip
_DROP = (
    "--drop-mount-lofs", "--drop-mount-autonfs", "--drop-delegate-dataset", "--drop-clone-dataset", "--drop-vnic",
    "--drop-users", "--drop-groups", "--drop-elevated-users", *(f"--drop-{name[2:]}" for name in CAPS),
)  # fmt: skip
_CONTENTS = ("--add-packages", "--remove-packages", "--add-publishers", "--remove-publishers")
_IMAGE = ("--zone-autoname", "--brand", "--template", "--clone", "--snapshot", *_CONTENTS)
_MAKE_GIZ = ("--zone", *_IMAGE, "--from", *_FURNISH)
_MAKE_DIZ = ("--zone", *_IMAGE, *_FURNISH)
_EXEC = ("--exec-cmd", "--exec-user", "--exec-discard", "--exec-env", "--exec-cwd", "--exec-timeout")


def _action(
    *spellings: str,
    group: str,
    summary: str,
    module: str,
    zone: str = "",
    takes: tuple[str, ...] = (),
    words: str = "",
) -> Action:
    if zone and not words:
        words = "zone"
    if zone and "--zone" not in takes:
        takes = ("--zone", *takes)
    return Action(spellings[0], spellings, group, summary, module, zone, takes, words)


def _life(*spellings: str, summary: str, takes: tuple[str, ...] = ()) -> Action:
    return _action(
        *spellings, group="Life of a zone", summary=summary, module="life", zone="one", takes=takes
    )


ACTIONS: tuple[Action, ...] = (
    _action("create-giz", group="Make and run", summary="Make a golden-image zone", module="make",
            takes=_MAKE_GIZ),
    _action("create-diz", group="Make and run", summary="Clone a disposable zone from a golden image, and boot it",
            module="make", takes=_MAKE_DIZ),
    _action("exec-diz", "run-diz", group="Make and run",
            summary="Clone a zone, run a command in it, discard or keep it", module="make",
            takes=(*_MAKE_DIZ, *_EXEC, "--keep-datasets"), words="rest"),
    _action("exec", "run", group="Make and run", summary="Run a command in a zone that exists", module="make",
            zone="one", takes=_EXEC, words="rest"),
    _action("destroy", group="Make and run", summary="Take a zone down and remove all that was made for it",
            module="make", zone="one", takes=("--snapshot", "--keep-datasets")),
    _action("list", "list-all", group="Look", summary="All managed zones", module="look", words="list-flags",
            takes=("--list-flags", "--zone")),
    _action("list-giz", group="Look", summary="Golden-image zones", module="look", words="list-flags",
            takes=("--list-flags", "--zone")),
    _action("list-diz", group="Look", summary="Disposable zones", module="look", words="list-flags",
            takes=("--list-flags", "--zone")),
    _action("is-managed", "is-managed-all", "is-managed-any", group="Look",
            summary="Does zonemgr manage this zone? (exit status)", module="look", zone="one"),
    _action("is-giz", "is-managed-giz", group="Look", summary="Is it a golden-image zone? (exit status)",
            module="look", zone="one"),
    _action("is-diz", "is-managed-diz", group="Look", summary="Is it a disposable zone? (exit status)",
            module="look", zone="one"),
    _action("get-state", "getstate", "state", "status", group="Look", summary="The zone's state, one word",
            module="look", zone="one"),
    _action("verify", "validate", group="Look", summary="Is the zone's configuration sound, and is it managed?",
            module="look", zone="one"),
    _life("boot", summary="Boot, and return at once"),
    _life("start", summary="Boot, and wait for multi-user"),
    _life("singleuser", "boot-single", summary="Boot to the single-user milestone, and wait for it"),
    _life("halt", summary="Halt at once: a kill"),
    _life("poweroff", summary="Power off from inside"),
    _life("shutdown", summary="Shut down gracefully", takes=("--timeout",)),
    _life("stop", summary="Shut down, and halt if that does not work", takes=("--timeout",)),
    _life("reboot", "reset", summary="Reboot at once"),
    _life("restart", summary="Stop, then start"),
    _life("ready", summary="Bring up the virtual platform, no processes"),
    _life("mount", summary="Mount for maintenance"),
    _life("unmount", "umount", summary="End a mount"),
    _life("login", summary="An interactive session in the zone", takes=("--exec-user",)),
    _life("console", summary="The zone's console"),
    _action("snapshot", group="Snapshots", summary="Snapshot a zone: its datasets and its configuration",
            module="snaps", zone="one", takes=("--snapshot",)),
    _action("rollback", group="Snapshots", summary="Roll a zone back: its datasets and its configuration",
            module="snaps", zone="one", takes=("--snapshot",)),
    _action("list-snapshots", "list-snaps", group="Snapshots", summary="A zone's snapshots (the part behind @)",
            module="snaps", zone="one", takes=("--verbose",)),
    _action("destroy-snapshot", "destroy-snap", group="Snapshots", summary="Destroy one snapshot of a zone",
            module="snaps", zone="one", takes=("--snapshot",)),
    _action("pkg-refresh", group="Packages", summary="Fetch the catalogues of a zone's publishers", module="packages",
            zone="one"),
    _action("pkg-upgrade", "pkg-update", group="Packages", summary="Update what is installed in a zone",
            module="packages", zone="one"),
    _action("pkg-install", group="Packages", summary="Install packages (-p) into a zone, after removing others (-P)",
            module="packages", zone="one", takes=_CONTENTS),
    _action("pkg-uninstall", group="Packages", summary="Remove packages (-P) from a zone", module="packages",
            zone="one", takes=("--remove-packages", "--remove-publishers")),
    _action("upgrade-giz", group="Golden images", summary="Upgrade golden images, prove them, then serve them",
            module="upgrade", words="zones", takes=("--zone", "--all", "--parallel", "--canary-cmd", "--keep")),
    _action("tree", group="Golden images", summary="What was made from what: images, snapshots, zones, with sizes",
            module="images"),
    _action("export", group="Golden images", summary="Write a golden image into a file (-o) for other hosts",
            module="images", zone="one", takes=("--output", "--snapshot")),
    _action("import", group="Golden images", summary="Make a golden image from an exported file", module="images",
            words="file", takes=("--zone", "--from")),
    _action("modify", group="Make and run", summary="Change what a zone has: mounts, datasets, VNICs, users, limits",
            module="change", zone="one", takes=(*_FURNISH, *_DROP, "--restart")),
    _action("gc", group="Records", summary="Find what vanished zones have left; --yes removes it", module="change",
            takes=("--yes",)),
    _action("runs", group="Records", summary="What zonemgr did here", module="history"),
    _action("log", group="Records", summary="The record of one run: log RUN", module="history", words="rest"),
    _action("recover", group="Records", summary="Undo what killed runs have left", module="history"),
    _action("setup", group="Settings", summary="Prepare this host: state directory, datasets, a user's rights",
            module="host", takes=("--group", "--user")),
    _action("config", group="Settings", summary="config show | config get KEY | config import-legacy FILE",
            module="settings", words="rest"),
    _action("completion", group="Settings", summary="Shell completion: completion bash | zsh | fish",
            module="settings", words="rest"),
    _action("lab", group="Settings", summary="A stand-in host without illumos: lab create | run | shell | …",
            module="lab", words="rest"),
)  # fmt: skip

# Not among the actions that are shown: test suites of the predecessor call it.
DEVEL_DEBUG = _action("DEVEL_DEBUG", group="", summary="Some of the predecessor's functions", module="predecessor",
                      takes=tuple(o.name for o in OPTIONS if o.old), words="rest")  # fmt: skip

OPTION_OF = {spelling: option for option in OPTIONS for spelling in option.spellings}
ACTION_OF = {spelling: action for action in (*ACTIONS, DEVEL_DEBUG) for spelling in action.spellings}
