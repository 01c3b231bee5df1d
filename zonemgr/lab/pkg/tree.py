"""The files of packages in an image: what is put there, changed and taken away (pkg5 src/modules/actions)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab import place
from zonemgr.lab.pkg import depot
from zonemgr.lab.pkg.actions import Action

if TYPE_CHECKING:
    from zonemgr.lab.pkg.catalogue import Package
    from zonemgr.lab.pkg.image import Image
    from zonemgr.lab.pkg.plan import Plan

FILES = ("file", "link", "hardlink")
ORDER = ("group", "user", "dir", "file", "hardlink", "link", "license")


def change(image: Image, plan: Plan) -> None:
    """Carry out what the manifests of the plan say, first removals, then what is new."""
    old = [each for package in _leaving(plan) for each in plan.manifests.get(package, ())]
    new = [(package, each) for package in [*plan.add, *plan.new] for each in plan.manifests.get(package, ())]
    kept = {each.get("path") for _, each in new if each.kind in (*FILES, "dir")}
    before = {each.get("path"): each for each in old if each.kind == "file"}
    new.sort(
        key=lambda each: (ORDER.index(each[1].kind) if each[1].kind in ORDER else 99, each[1].get("path"))
    )
    _check_users(image, new)
    _remove(image, [each for each in old if each.get("path") not in kept])
    for package, each in new:
        _install(image, package, each, before.get(each.get("path")))
    for package in plan.remove:
        image.forget_manifest(package)


def _leaving(plan: Plan) -> list[Package]:
    return [*plan.remove, *(before for before, _ in plan.change)]


def _remove(image: Image, lines: Sequence[Action]) -> None:
    root = image.where.root
    for each in lines:
        if each.kind in FILES:
            _inside(root, each.get("path")).unlink(missing_ok=True)
        elif each.kind == "user":
            _without_account(root, each.get("username"))
    for each in sorted((each for each in lines if each.kind == "dir"), key=lambda one: -len(one.get("path"))):
        with contextlib.suppress(OSError):  # what is in it is not the package's
            _inside(root, each.get("path")).rmdir()


def _install(image: Image, package: Package, action: Action, before: Action | None) -> None:
    root = image.where.root
    if action.kind == "license":
        place.write(
            root, f"var/pkg/license/{package.name}/{action.get('license')}", _text(image, package, action)
        )
    elif action.kind == "group":
        _account(root, "etc/group", action.get("groupname"), f"::{action.get('gid', '0')}:")
    elif action.kind == "user":
        _add_user(root, action)
    elif action.kind in (*FILES, "dir"):
        path = _inside(root, action.get("path"))
        path.parent.mkdir(parents=True, exist_ok=True)
        {"file": _put_file, "dir": _put_directory, "link": _put_link, "hardlink": _put_hard_link}[
            action.kind
        ](image, package, action, path, before)


def _text(image: Image, package: Package, action: Action) -> str:
    return image.payload(package, action).decode(errors="replace")


def _put_directory(image: Image, package: Package, action: Action, path: Path, before: Action | None) -> None:
    path.mkdir(exist_ok=True)
    _owned(image, path, action)


def _put_file(image: Image, package: Package, action: Action, path: Path, before: Action | None) -> None:
    """An editable file (`preserve`) that was changed since is kept, and says where the other version goes."""
    preserve, changed = action.get("preserve"), False
    if preserve and path.is_file():
        was = before.payload if before is not None else ""
        changed = depot.digest_of(path.read_bytes()) != was
    data = image.payload(package, action)
    target = path
    if changed and preserve == "renamenew":
        target = path.with_name(f"{path.name}.new")
    elif changed and preserve == "renameold":
        path.rename(path.with_name(f"{path.name}.old"))
    elif changed:
        return
    handle = target.with_name(f".{target.name}.pkg")
    handle.write_bytes(data)
    _owned(image, handle, action)
    handle.replace(target)


def _put_link(image: Image, package: Package, action: Action, path: Path, before: Action | None) -> None:
    if path.is_symlink():
        path.unlink()
    path.symlink_to(action.get("target"))


def _put_hard_link(image: Image, package: Package, action: Action, path: Path, before: Action | None) -> None:
    target = action.get("target")
    source = _inside(
        image.where.root, os.path.normpath(os.path.join(os.path.dirname(action.get("path")), target))
    )
    path.unlink(missing_ok=True)
    path.hardlink_to(source)


def _owned(image: Image, path: Path, action: Action) -> None:
    path.chmod(int(action.get("mode", "0755"), 8))
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.chown(
                path,
                _number(image.where.root, "etc/passwd", action.get("owner", "root")),
                _number(image.where.root, "etc/group", action.get("group", "root")),
            )


def _number(root: Path, name: str, account: str) -> int:
    for line in (place.read(root, name) or "").splitlines():
        fields = line.split(":")
        if fields[0] == account and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return 0


def _inside(root: Path, name: str) -> Path:
    """A path of the image; raises LabError where the way there leads out of it."""
    return place.inside(root, name) if not (root / name).is_symlink() else root / name


# -- users and groups --------------------------------------------------------------------------------------------


class NoUserFiles(Exception):
    def __init__(self, package: Package) -> None:
        super().__init__(
            f"Requested operation failed for package {package.whole}:\n"
            "User cannot be installed without user database files present."
        )


def _check_users(image: Image, new: Sequence[tuple[Package, Action]]) -> None:
    root = image.where.root
    for package, each in new:
        if each.kind == "user" and not all((root / name).exists() for name in ("etc/passwd", "etc/shadow")):
            raise NoUserFiles(package)


def _add_user(root: Path, action: Action) -> None:
    name, gid = action.get("username"), _number(root, "etc/group", action.get("group"))
    shell = action.get("login-shell")
    said = (
        f":x:{action.get('uid', '0')}:{gid}:{action.get('gcos-field')}:{action.get('home-dir', '/')}:{shell}"
    )
    _account(root, "etc/passwd", name, said)
    _account(root, "etc/shadow", name, f":{action.get('password', '*LK*')}:::::::", mode=0o400)


def _account(root: Path, file: str, name: str, rest: str, mode: int = 0o644) -> None:
    lines = [each for each in (place.read(root, file) or "").splitlines() if each.split(":")[0] != name]
    place.write(root, file, "".join(f"{each}\n" for each in [*lines, f"{name}{rest}"]), mode)


def _without_account(root: Path, name: str) -> None:
    for file, mode in (("etc/passwd", 0o644), ("etc/shadow", 0o400)):
        text = place.read(root, file)
        if text is not None:
            lines = [each for each in text.splitlines() if each.split(":")[0] != name]
            place.write(root, file, "".join(f"{each}\n" for each in lines), mode)


# -- conflicts, editable files, verification -------------------------------------------------------------------------


def conflicts(image: Image, plan: Plan) -> str:
    """pkg's text when two packages deliver a file each to the same place; empty when none do."""
    going = set(_leaving(plan))
    fresh = {each: plan.manifests.get(each, []) for each in [*plan.add, *plan.new]}
    there: dict[str, list[Package]] = {}
    for package, lines in fresh.items():
        for each in lines:
            if each.kind == "file":
                there.setdefault(each.get("path"), []).append(package)
    if not there:
        return ""
    for package in image.installed.values():
        if package not in going:
            for each in image.manifest(package) or ():
                if each.kind == "file" and each.get("path") in there:
                    there[each.get("path")].append(package)
    texts = [_conflict(path, packages) for path, packages in sorted(there.items()) if len(set(packages)) > 1]
    return "\n".join(texts)


def _conflict(path: str, packages: Sequence[Package]) -> str:
    listed = "\n".join(f"  {each.whole}" for each in dict.fromkeys(packages))
    return (
        f"The following packages all deliver file actions to {path}:\n\n{listed}\n\n"
        "These packages cannot be installed together. Any non-conflicting subset\n"
        "of the above packages can be installed."
    )


def editable(plan: Plan) -> list[tuple[str, list[str]]]:
    """What happens to editable files: the word for it, and their paths."""
    before = {
        each.get("path"): each
        for package in _leaving(plan)
        for each in plan.manifests.get(package, ())
        if each.kind == "file" and each.get("preserve")
    }
    after = {
        each.get("path"): each
        for package in [*plan.add, *plan.new]
        for each in plan.manifests.get(package, ())
        if each.kind == "file" and each.get("preserve")
    }
    found = [
        ("Remove", [path for path in before if path not in after]),
        ("Install", [path for path in after if path not in before]),
        (
            "Update",
            [path for path in after if path in before and before[path].payload != after[path].payload],
        ),
    ]
    return [(word, sorted(paths)) for word, paths in found if paths]


def faults(image: Image, package: Package) -> list[tuple[str, str, str]]:
    """What is wrong with a package's files: kind of action, path, and the fault."""
    found = []
    for each in image.manifest(package) or ():
        if each.kind in (*FILES, "dir"):
            text = _fault(_inside(image.where.root, each.get("path")), each)
            if text:
                found.append((each.kind, each.get("path"), text))
    return found


def _fault(path: Path, action: Action) -> str:
    if not os.path.lexists(path):
        what = {"file": "regular file", "dir": "directory", "link": "symbolic link"}.get(action.kind, "path")
        return f"missing: {what} does not exist"
    if action.kind == "file" and not action.get("preserve"):
        now = depot.content_hash(path.read_bytes())
        then = next(
            (each.rpartition(":")[2] for each in action.all("pkg.content-hash") if each.startswith("file:")),
            "",
        )
        if then and now != then:
            return f"Hash: {now} should be {then}"
    return ""
