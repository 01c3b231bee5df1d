"""The options of the actions, as Typer takes them: canonical names only, other spellings are put into these before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args

import typer

Zone = Annotated[
    str, typer.Option("--zone", metavar="NAME", help="The zone (also -z, or the word behind the action).")
]
NewZone = Annotated[
    str, typer.Option("--zone", metavar="NAME", help="Name of the new zone (also -z); made up if not given.")
]
Brand = Annotated[
    str, typer.Option("--brand", metavar="NAME", help="Zone brand (also -b); default: by host.")
]
Template = Annotated[
    str, typer.Option("--template", metavar="NAME", help="zonecfg's template for the new zone (also -t).")
]
Packages = Annotated[
    str,
    typer.Option("--add-packages", metavar="'PKG …'", help="Packages to install into the image (also -p)."),
]
Origin = Annotated[
    str,
    typer.Option(
        "--clone",
        metavar="GIZ",
        help="Golden image to clone (also -c, --origin); made first if there is none.",
    ),
]
Snap = Annotated[
    str, typer.Option("--snapshot", metavar="SNAP", help="Name of the snapshot, the part behind @ (also -s).")
]
Lofs = Annotated[
    str,
    typer.Option(
        "--mount-lofs",
        metavar="'LZ[|GZ[|ro]] …'",
        help="Mount the host's directories GZ on LZ in the zone; ro: read only.",
    ),
]
Datasets = Annotated[
    str,
    typer.Option(
        "--delegate-dataset",
        metavar="'DS …'",
        help="Delegate datasets to the zone; missing ones are made for it.",
    ),
]
Vnics = Annotated[
    str,
    typer.Option(
        "--add-vnic", metavar="'VNIC …'", help="Hand existing VNICs to the zone (also --use-vnics)."
    ),
]
Over = Annotated[
    str,
    typer.Option(
        "--add-vnic-over",
        metavar="'LINK[|VLAN[|MAC]][|dhcp=no][|address=ADDR/LEN] …'",
        help="Make VNICs over these links for the zone, with DHCP if nothing else is said (also --auto-vnics).",
    ),
]
Users = Annotated[
    str,
    typer.Option("--copy-users", metavar="'USER …'", help="Copy these accounts of the host into the zone."),
]
Groups = Annotated[
    str,
    typer.Option("--copy-groups", metavar="'GROUP …'", help="Copy these groups of the host into the zone."),
]
Elevated = Annotated[
    str, typer.Option("--elevate-users", metavar="'USER …'", help="Let these users act as root in the zone.")
]
Command = Annotated[
    str, typer.Option("--exec-cmd", metavar="COMMAND", help="The shell command to run; or put it behind --.")
]
ExecUser = Annotated[
    str,
    typer.Option("--exec-user", metavar="USER", help="Who runs it in the zone; default: exec.user (root)."),
]
Discard = Annotated[
    str,
    typer.Option(
        "--exec-discard",
        metavar="off|always|onsuccess|onfail",
        help="When to discard afterwards; see the end.",
    ),
]
Env = Annotated[
    list[str], typer.Option("--exec-env", metavar="K=V", help="A variable for the command; may be repeated.")
]
Cwd = Annotated[str, typer.Option("--exec-cwd", metavar="DIR", help="Where in the zone it starts.")]
Timeout = Annotated[
    float | None,
    typer.Option("--exec-timeout", metavar="SECONDS", help="End it after so long, exit 124; 0: never."),
]
Limit = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long to wait for it; default: by configuration."),
]
ListFlags = Annotated[str, typer.Option("--list-flags", metavar="cvpi", hidden=True)]
Autoname = Annotated[
    bool,
    typer.Option(
        "--zone-autoname", help="Name the image by what is in it (also -Z); find it if it is there."
    ),
]
Removed = Annotated[
    str,
    typer.Option("--remove-packages", metavar="'PKG …'", help="Packages to remove first (also -P)."),
]
Publishers = Annotated[
    str,
    typer.Option(
        "--add-publishers",
        metavar="'NAME|URI …'",
        help="Publishers to install from; the first seeds the image (also -g).",
    ),
]
Unpublished = Annotated[
    str,
    typer.Option(
        "--remove-publishers", metavar="'NAME[|URI] …'", help="Publishers or origins to remove (also -G)."
    ),
]
Source = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="FILE|DATASET@SNAP",
        help="Make the image from an archive or a stream instead of packages.",
    ),
]
AutoNfs = Annotated[
    str,
    typer.Option(
        "--mount-autonfs", metavar="'LZ|HOST:/PATH …'", help="Mount NFS exports on LZ in the zone when used."
    ),
]
CloneDatasets = Annotated[
    str,
    typer.Option(
        "--clone-dataset",
        metavar="'DS[@SNAP][|MOUNTPOINT] …'",
        help="Give the zone its own writable clone of a dataset; it goes with the zone.",
    ),
]
Quota = Annotated[
    str, typer.Option("--quota", metavar="SIZE", help="Disk space of the zone, such as 20G; none: no limit.")
]
CapMemory = Annotated[str, typer.Option("--cap-memory", metavar="SIZE", help="Physical memory, such as 4G.")]
CapSwap = Annotated[
    str, typer.Option("--cap-swap", metavar="SIZE", help="Swap (virtual memory), such as 8G.")
]
CapCpu = Annotated[str, typer.Option("--cap-cpu", metavar="NUMBER", help="CPUs, such as 2.5.")]
CpuShares = Annotated[
    str, typer.Option("--cpu-shares", metavar="NUMBER", help="Share of the CPUs under the FSS scheduler.")
]
MaxProcesses = Annotated[str, typer.Option("--max-processes", metavar="NUMBER", help="Processes at once.")]
TmpfsSize = Annotated[
    str, typer.Option("--tmpfs-size", metavar="SIZE", help="Size of the zone's /tmp, such as 2G.")
]
ForceMount = Annotated[
    bool, typer.Option("--force-mount", help="Mount also over directories that the zone's system uses.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="A table with all that is known (also -v).")]
Restart = Annotated[bool, typer.Option("--restart", help="Restart the zone, so that the change is in force.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Remove what was found (also -y); without it, it is listed.")
]
KeepDatasets = Annotated[
    bool,
    typer.Option(
        "--keep-datasets",
        help="Delegated datasets made for the zone stay: the host's from then on, not mounted.",
    ),
]
Group = Annotated[
    str,
    typer.Option("--group", metavar="NAME", help="Who shares the state directory; a new one is staff's."),
]
Account = Annotated[
    str, typer.Option("--user", metavar="NAME", help="An account that is to run zonemgr with pfexec.")
]
Output = Annotated[str, typer.Option("--output", metavar="FILE", help="The file to write (also -o).")]
Zones = Annotated[
    list[str], typer.Option("--zone", metavar="GIZ", help="A golden image (also -z); may be repeated.")
]
All = Annotated[bool, typer.Option("--all", help="All golden images.")]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", metavar="N", help="How many images at once; default: upgrade.parallel."),
]
Canary = Annotated[
    str,
    typer.Option(
        "--canary-cmd", metavar="COMMAND", help="What must succeed in a zone cloned from the upgraded image."
    ),
]
Keep = Annotated[
    int | None, typer.Option("--keep", metavar="N", help="Upgrade snapshots to keep of each image.")
]

# What a zone is given, by the names of furnish.Wishes.
FURNISHINGS: Mapping[str, tuple[str, Any]] = {
    "lofs": ("mount_lofs", Lofs),
    "autonfs": ("mount_autonfs", AutoNfs),
    "datasets": ("delegate_dataset", Datasets),
    "clones": ("clone_dataset", CloneDatasets),
    "vnics": ("add_vnic", Vnics),
    "over": ("add_vnic_over", Over),
    "users": ("copy_users", Users),
    "groups": ("copy_groups", Groups),
    "elevated": ("elevate_users", Elevated),
    "quota": ("quota", Quota),
    "cap_memory": ("cap_memory", CapMemory),
    "cap_swap": ("cap_swap", CapSwap),
    "cap_cpu": ("cap_cpu", CapCpu),
    "cpu_shares": ("cpu_shares", CpuShares),
    "max_processes": ("max_processes", MaxProcesses),
    "tmpfs_size": ("tmpfs_size", TmpfsSize),
    "force_mount": ("force_mount", ForceMount),
}
# What a golden image is made of, by the names of layers.ImageWish.
CONTENTS: Mapping[str, tuple[str, Any]] = {
    "brand": ("brand", Brand),
    "template": ("template", Template),
    "packages": ("add_packages", Packages),
    "remove_packages": ("remove_packages", Removed),
    "publishers": ("add_publishers", Publishers),
    "remove_publishers": ("remove_publishers", Unpublished),
}


def _drops() -> dict[str, tuple[str, Any]]:
    lists = {
        "lofs": ("drop_mount_lofs", "'LZ …'", "Mounts to take away."),
        "autonfs": ("drop_mount_autonfs", "'LZ …'", "NFS mounts to take away."),
        "datasets": (
            "drop_delegate_dataset",
            "'DS …'",
            "Datasets to take back; those made for it are destroyed.",
        ),
        "clones": ("drop_clone_dataset", "'DS …'", "Clones of host datasets to destroy."),
        "vnics": ("drop_vnic", "'VNIC …'", "VNICs to take away; those made for the zone are removed."),
        "users": ("drop_users", "'USER …'", "Accounts to remove from the zone; home directories stay."),
        "groups": ("drop_groups", "'GROUP …'", "Groups to remove from the zone."),
        "elevated": ("drop_elevated_users", "'USER …'", "Users who lose the rights of root."),
    }
    made: dict[str, tuple[str, Any]] = {
        word: (name, Annotated[str, typer.Option(_spell(name), metavar=metavar, help=text)])
        for word, (name, metavar, text) in lists.items()
    }
    for word in ("quota", "cap_memory", "cap_swap", "cap_cpu", "cpu_shares", "max_processes", "tmpfs_size"):
        name = f"drop_{word}"
        made[word] = (name, Annotated[bool, typer.Option(_spell(name), help=f"No {_spell(word)} any more.")])
    return made


def _spell(name: str) -> str:
    return f"--{name.replace('_', '-')}"


DROPS: Mapping[str, tuple[str, Any]] = _drops()


def gathers(**groups: Mapping[str, tuple[str, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of whole groups; it gets each group's values as one dict by that name."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True)
        plain = [one for name, one in own.parameters.items() if name not in groups]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(kind), annotation=kind)
            for group in groups.values()
            for name, kind in group.values()
        ]

        def command(**values: Any) -> None:
            for title, group in groups.items():
                values[title] = {word: values.pop(name) for word, (name, _) in group.items()}
            function(**values)

        command.__doc__ = function.__doc__
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in plain] + added
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def _default(kind: Any) -> Any:
    return False if get_args(kind)[0] is bool else ""
