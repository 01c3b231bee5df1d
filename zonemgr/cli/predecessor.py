"""The predecessor's functions that its users' test suites call by `DEVEL_DEBUG FUNCTION ARGUMENT...`.

Answers on stdout as plain as they were. Nothing is evaluated by a shell: `eval echo` knows its variables, no more.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer

from zonemgr.cli.runtime import Runtime
from zonemgr.errors import NotThere, UsageError
from zonemgr.model import Dataset
from zonemgr.workflows import naming, survey

VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def DEVEL_DEBUG(  # noqa: N802 - the word of the command line
    ctx: typer.Context, words: Annotated[list[str], typer.Argument(metavar="FUNCTION [ARGUMENT]...")]
) -> None:
    """Answer what some of the predecessor's functions answered; others are refused by name."""
    runtime: Runtime = ctx.obj
    function, *arguments = words
    known = {
        "eval": _evaluated,
        "echo": _evaluated,
        "zfs_getMPTbyDS": _mountpoint,
        "zfs_getDSbyMPT": _dataset,
        "zfs_dataset_exists": _dataset_exists,
        "generate_snap_comment": _snapshot_name,
        "timestamp_now": _now,
        "get_zone_state": _state,
        "is_managed_zone": _managed,
        "is_managed_zone_giz": _managed_giz,
        "is_managed_zone_diz": _managed_diz,
    }
    if function not in known:
        names = ", ".join(known)
        raise UsageError(f"{function} of the predecessor was not taken over", hint=f"these were: {names}")
    answer = known[function](runtime, arguments)
    if answer:
        print(answer)


def _evaluated(runtime: Runtime, words: list[str]) -> str:
    """`eval echo '$DATASET_CONTAINMENT_GIZ'`: variables are put in, and nothing is run."""
    variables = old_variables(runtime)
    text = " ".join(words[1:] if words[:1] == ["echo"] else words)
    unknown = [name for name in VARIABLE.findall(text) if name not in variables]
    if unknown or re.search(r"[`;|&<>()]|\$\(", text):
        raise UsageError(f"{text!r} cannot be evaluated here", hint=f"known are: {', '.join(variables)}")
    return VARIABLE.sub(lambda match: variables[match[1]], text)


def old_variables(runtime: Runtime) -> dict[str, str]:
    """The predecessor's variables that have a meaning here, from the settings in force."""
    giz, diz = runtime.config.giz, runtime.config.diz
    return {
        "DATASET_CONTAINMENT_GIZ": giz.dataset, "DATASET_CONTAINMENT_DIZ": diz.dataset,
        "DATASET_CONTAINMENT_GIZ_MPT": giz.mountpoint, "DATASET_CONTAINMENT_DIZ_MPT": diz.mountpoint,
        "DATASET_CONTAINMENT_GIZ_COMPRESSION": giz.compression,
        "DATASET_CONTAINMENT_DIZ_COMPRESSION": diz.compression,
        "DATASET_CONTAINMENT_GIZ_DEDUP": runtime.config.zfs.dedup,
        "DATASET_CONTAINMENT_DIZ_DEDUP": runtime.config.zfs.dedup,
        "BRAND_GIZ": giz.brand, "TEMPLATE_GIZ": giz.template, "EXEC_DISCARD": runtime.config.exec.discard,
        "EXEC_USER": runtime.config.exec.user,
    }  # fmt: skip


def _one(words: list[str], what: str) -> str:
    if len(words) != 1:
        raise UsageError(f"this function takes one {what}")
    return words[0]


def _mountpoint(runtime: Runtime, words: list[str]) -> str:
    """Where a dataset is mounted; for those of zones that are not made yet, where they will be."""
    name = str(Dataset(_one(words, "dataset")))
    for row in survey.filesystems(runtime.host):
        if row.name == name:
            return row.mountpoint
    for section in (runtime.config.giz, runtime.config.diz):
        if section.dataset == name:
            return section.mountpoint
    raise NotThere(f"there is no dataset {name}", hint="see: zfs list")


def _dataset(runtime: Runtime, words: list[str]) -> str:
    path = _one(words, "mount point")
    for row in survey.filesystems(runtime.host):
        if row.mountpoint == path:
            return row.name
    raise NotThere(f"no dataset has the mountpoint {path}", hint="see: zfs list -o name,mountpoint")


def _dataset_exists(runtime: Runtime, words: list[str]) -> str:
    from zonemgr.host import zfs

    runtime.exit_code = 0 if zfs.exists(runtime.host, Dataset(_one(words, "dataset"))) else 1
    return ""


def _snapshot_name(runtime: Runtime, words: list[str]) -> str:
    return f"{words[0] if words else 'autozone'}-{naming.stamp()}"


def _now(runtime: Runtime, words: list[str]) -> str:
    return naming.stamp()


def _state(runtime: Runtime, words: list[str]) -> str:
    return str(survey.zone(runtime.host, _one(words, "zone")).state)


def _managed(runtime: Runtime, words: list[str], kind: str | None = None) -> str:
    name = _one(words, "zone")
    found = [
        one for one in survey.managed_zones(runtime.host) if one.name == name and kind in (None, one.kind)
    ]
    runtime.exit_code = 0 if found else 1
    return ""


def _managed_giz(runtime: Runtime, words: list[str]) -> str:
    return _managed(runtime, words, survey.GIZ)


def _managed_diz(runtime: Runtime, words: list[str]) -> str:
    return _managed(runtime, words, survey.DIZ)
