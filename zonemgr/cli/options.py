"""The options of the actions, as Typer takes them: canonical names only, other spellings are put into these before."""

from __future__ import annotations

from typing import Annotated

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
        metavar="'LZ[|GZ] …'",
        help="Mount the host's directories GZ on LZ in the zone, read-write.",
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
        metavar="'LINK[|VLAN[|MAC]] …'",
        help="Make VNICs over these links for the zone, with DHCP (also --auto-vnics).",
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
