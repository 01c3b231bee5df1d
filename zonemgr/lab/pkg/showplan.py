"""How pkg shows what it is about to do: the table, the changed packages, licences, `--parsable`, and the banner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zonemgr.lab.pkg import tree

if TYPE_CHECKING:
    from zonemgr.lab.pkg.actions import Action
    from zonemgr.lab.pkg.catalogue import Package
    from zonemgr.lab.pkg.command import Run
    from zonemgr.lab.pkg.environments import Choice
    from zonemgr.lab.pkg.image import Image
    from zonemgr.lab.pkg.plan import Plan

Licences = Sequence[tuple["Package", "Action | None", str, bool]]


def plan(run: Run, plan: Plan, choice: Choice, *, verbose: bool) -> str:
    counts = (("remove", plan.remove), ("install", plan.add), ("update", plan.change))
    rows = [(f"Packages to {verb}:", str(len(what))) for verb, what in counts if what]
    if verbose:
        rows.append(("Estimated space available:", _size(_available(run))))
        rows.append(("Estimated space to be consumed:", _size(_required(run.where.omnios, plan))))
    if run.live:
        rows += choice.shown()
    if verbose:
        rows.append(("Rebuild boot archive:", "No"))
    left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
    text = "".join(f"{name.rjust(left)} {value.rjust(right)}\n" for name, value in rows)
    if verbose:
        return f"{text}\n{_changed(plan)}{_editable(plan)}\n"
    if plan.remove and run.where.omnios and run.name in ("install", "update", "image-update"):
        names = "".join(f"  {each.name}\n" for each in plan.remove)
        text += f"\nRemoved Packages:\n\n{names}"
    return f"{text}\n"


def _changed(plan: Plan) -> str:
    changes = [(each.publisher, each.name, f"{each.version} -> None") for each in plan.remove]
    changes += [(each.publisher, each.name, f"None -> {each.version}") for each in plan.add]
    changes += [(new.publisher, new.name, _versions(old, new)) for old, new in plan.change]
    text = "Changed packages:\n"
    for publisher in dict.fromkeys(change[0] for change in changes):
        text += f"{publisher}\n"
        text += "".join(
            f"  {name}\n    {version}\n" for owner, name, version in changes if owner == publisher
        )
    return text


def _versions(old: Package, new: Package) -> str:
    """With time stamps where that is all that differs."""
    if old.version == new.version:
        return f"{old.version}:{old.stamp} -> {new.version}:{new.stamp}"
    return f"{old.version} -> {new.version}"


def _editable(plan: Plan) -> str:
    found = tree.editable(plan)
    if not found:
        return ""
    text = "\nEditable files to change:\n"
    for word, paths in found:
        text += f"  {word}:\n" + "".join(f"    {path}\n" for path in paths)
    return text


def _available(run: Run) -> int:
    return shutil.disk_usage(run.where.root).free


def _required(omnios: bool, plan: Plan) -> float:
    """What the bookkeeping takes, and the payloads."""
    new = [each for package in [*plan.add, *plan.new] for each in plan.manifests.get(package, ())]
    base = 112_655.0 if omnios else 34_000.0
    return base + sum(int(each.get("pkg.size", "0")) + int(each.get("pkg.csize", "0")) for each in new)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} PB"


def licences(found: Licences, *, everything: bool) -> str:
    """What must be shown before it is installed; `everything`: what must only be accepted as well (--licenses)."""
    text = ""
    for package, action, said, must in found:
        if everything or must or (action is not None and action.true("must-display")):
            name = action.get("license") if action is not None else f"{package.name}.license"
            text += f"{'-' * 60}\nPackage: {package.fmri}\nLicense: {name}\n\n{said}\n\n\n"
    return text


def unaccepted(found: Licences) -> str:
    text = (
        "\npkg: The following packages require their licenses to be accepted before they can be installed "
        "or updated:\n"
    )
    for package, action, _, _ in found:
        name = action.get("license") if action is not None else f"{package.name}.license"
        text += (
            f" {'-' * 40}\nPackage: {package.whole}\n\nLicense: {name}\n  License requires acceptance.\n\n"
        )
    return (
        f"{text}To indicate that you agree to and accept the terms of the licenses of the packages listed above, use "
        "the --accept option. To display all of the related licenses, use the --licenses option."
    )


def parsable(image: Image, plan: Plan, choice: Choice, found: Licences) -> str:
    words = {"Update": "updated", "Install": "installed", "Remove": "removed"}
    shown = {
        "activate-be": choice.activate,
        "add-packages": [each.whole for each in plan.add],
        "affect-packages": [],
        "affect-services": [],
        "backup-be-name": choice.backup_name or None,
        "be-name": choice.name or None,
        "boot-archive-rebuild": False,
        "change-facets": [],
        "change-editables": [[words[word], paths] for word, paths in tree.editable(plan)],
        "change-mediators": [],
        "change-packages": [[old.whole, new.whole] for old, new in plan.change],
        "change-variants": [],
        "child-images": [],
        "create-backup-be": choice.backup if not choice.new else None,
        "create-new-be": choice.new,
        "image-name": None,
        "item-messages": {},
        "licenses": [
            [each.whole, [], [each.whole, action.get("license") if action else "", text, must, True]]
            for each, action, text, must in found
        ],
        "release-notes": [],
        "remove-packages": [each.whole for each in plan.remove],
        "space-available": shutil.disk_usage(image.where.root).free,
        "space-required": _required(image.where.omnios, plan),
        "version": 0,
    }
    return json.dumps(shown, separators=(",", ":")) + "\n"


def banner(run: Run) -> str:
    """What an update of pkg itself ends with: where the notes of the release are."""
    if not run.where.omnios:
        rule = "-" * 75
        return (
            f"\n{rule}\nNOTE: Please review release notes posted at:\n\n"
            f"https://docs.openindiana.org/release-notes/latest-changes/\n{rule}\n"
        )
    rule = "-" * 79
    rows = (
        ("Get a support contract:", "support"),
        ("Sponsor OmniOS development:", "patron"),
        ("Contribute to OmniOS:", "joinus"),
    )
    text = "".join(f"{name:<42} https://omnios.org/{page}\n" for name, page in rows)
    return f"\n{rule}\n{'Find release notes:':<42} https://omnios.org/releasenotes\n{rule}\n{text}{rule}\n\n"
