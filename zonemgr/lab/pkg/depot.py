"""A package repository in files, in pkg5's on-disk format, version 4 (pkg5 doc/catalog-v1.txt, doc/on-disk-format.txt).

ROOT/pkg5.repository                the mark and the settings of the repository
ROOT/publisher/NAME/catalog/        catalog.attrs, catalog.base.C, catalog.dependency.C, catalog.summary.C, update logs
ROOT/publisher/NAME/pkg/STEM/VERS   manifests, both names quoted as in a URL
ROOT/publisher/NAME/file/HH/HASH    payloads, gzipped, by the SHA-1 of what is in them; HH: its first two digits
ROOT/publisher/NAME/{index,trans}/  for the search and for publications under way; nothing is kept there
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zonemgr.lab.pkg import actions, fmri
from zonemgr.lab.pkg.actions import Action
from zonemgr.lab.pkg.catalogue import OF_FILES, Entry, Package

MARK, VERSION = "pkg5.repository", 4
BASE, DEPENDENCY, SUMMARY = "catalog.base.C", "catalog.dependency.C", "catalog.summary.C"
PARTS = (BASE, DEPENDENCY, SUMMARY)
DEFAULTS = {
    "publisher": {"prefix": ""},
    "repository": {
        "check-certificate-revocation": "False",
        "signature-required-names": "[]",
        "trust-anchor-directory": "/etc/ssl/pkg/",
        "version": str(VERSION),
    },
}
Part = dict[str, Any]
Settings = dict[str, dict[str, str]]


class NoRepository(Exception):
    """There is none at that place, or one of another version; the text says which."""


@dataclass(frozen=True)
class Depot:
    root: Path

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def publishers(self) -> list[str]:
        """Those that have a directory; a publisher that was only set as the default one has none yet."""
        found = self.root / "publisher"
        return sorted(each.name for each in found.iterdir() if each.is_dir()) if found.is_dir() else []

    @property
    def settings(self) -> Settings:
        return read_settings((self.root / MARK).read_text())

    @property
    def default(self) -> str:
        return self.settings.get("publisher", {}).get("prefix", "")

    def at(self, publisher: str) -> Path:
        return self.root / "publisher" / publisher

    def attrs(self, publisher: str) -> Part:
        return _load(self.at(publisher) / "catalog" / "catalog.attrs")

    def packages(self, publisher: str) -> list[Package]:
        """What the catalogue has, the newest version of a name first."""
        parts = {name: _load(self.at(publisher) / "catalog" / name) for name in PARTS}
        lines: dict[tuple[str, str], list[str]] = {}
        for part in (parts[DEPENDENCY], parts[SUMMARY]):
            for stem, rows in part.get(publisher, {}).items():
                for row in rows:
                    lines.setdefault((stem, row["version"]), []).extend(row.get("actions", []))
        found = [
            package(publisher, stem, row["version"], lines.get((stem, row["version"]), []))
            for stem, rows in parts[BASE].get(publisher, {}).items()
            for row in rows
        ]
        found.sort(key=lambda each: each.key, reverse=True)
        return sorted(found, key=lambda each: each.name)

    def manifest(self, what: Package) -> str:
        return (self.at(what.publisher) / manifest_path(what)).read_text()

    def payload(self, publisher: str, digest: str) -> bytes:
        return gzip.decompress((self.at(publisher) / payload_path(digest)).read_bytes())

    # -- writing -----------------------------------------------------------------------------------------------

    def add_publisher(self, publisher: str) -> None:
        for name in ("catalog", "file", "index", "pkg", "trans"):
            (self.at(publisher) / name).mkdir(parents=True, exist_ok=True)
        if not self.attrs(publisher):
            self._save(publisher, {name: {} for name in PARTS}, _now())

    def publish(self, what: Package, lines: Sequence[Action], payloads: Mapping[str, bytes]) -> None:
        """`payloads` by their SHA-1; the manifest's actions name them by it already."""
        self.add_publisher(what.publisher)
        for digest, data in payloads.items():
            path = self.at(what.publisher) / payload_path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write(path, gzip.compress(data, mtime=0))
        path = self.at(what.publisher) / manifest_path(what)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in lines)
        _write(path, text.encode())
        self._record(what, text, "add")

    def remove(self, what: Package) -> None:
        """Take a package away; payloads that no manifest needs any more go with it."""
        (self.at(what.publisher) / manifest_path(what)).unlink()
        self._record(what, "", "remove")
        needed = set(self._needed(what.publisher))
        for path in (self.at(what.publisher) / "file").glob("??/*"):
            if path.name not in needed:
                path.unlink()

    def rebuild(self, publisher: str) -> None:
        """The catalogue anew, from the manifests that are there."""
        parts: dict[str, Part] = {name: {} for name in PARTS}
        for path in sorted((self.at(publisher) / "pkg").glob("*/*")):
            text = path.read_text()
            stem, full = named(text)
            for name, row in _rows(full, text).items():
                parts[name].setdefault(publisher, {}).setdefault(stem, []).append(row)
        for log in (self.at(publisher) / "catalog").glob("update.*"):
            log.unlink()
        (self.at(publisher) / "catalog" / "catalog.attrs").unlink(missing_ok=True)
        self._save(publisher, parts, _now())

    def faults(self, publisher: str) -> list[tuple[Package, str]]:
        """What is wrong with manifests and payloads."""
        found = []
        for what in self.packages(publisher):
            try:
                lines = actions.manifest(self.manifest(what))
            except (OSError, actions.BadAction) as bad:
                found.append((what, f"Corrupted manifest: {bad}"))
                continue
            found += [(what, text) for line in lines if (text := self._fault(publisher, line))]
        return found

    def _fault(self, publisher: str, line: Action) -> str:
        if line.kind not in ("file", "license") or not line.payload:
            return ""
        try:
            data = self.payload(publisher, line.payload)
        except FileNotFoundError:
            return f"Missing file: {line.payload}"
        except (OSError, EOFError):
            return f"Corrupted gzip file: {line.payload}"
        return "" if digest_of(data) == line.payload else f"Invalid file hash: {line.payload}"

    def _needed(self, publisher: str) -> Iterable[str]:
        for path in (self.at(publisher) / "pkg").glob("*/*"):
            yield from (line.payload for line in actions.manifest(path.read_text()) if line.payload)

    def _record(self, what: Package, text: str, operation: str) -> None:
        """Put a package into the catalogue or take it out, and write down in the update log that it was."""
        directory = self.at(what.publisher) / "catalog"
        parts = {name: _load(directory / name) for name in PARTS}
        rows = _rows(what.full, text) if operation == "add" else {}
        for name, part in parts.items():
            _without(part, what)
            if name in rows:
                listed = part.setdefault(what.publisher, {}).setdefault(what.name, [])
                listed.append(rows[name])
                listed.sort(key=lambda row: fmri.version(str(row["version"])))
        moment = _now()
        log = directory / f"update.{moment[:11]}Z.C"
        entry: Part = {name: {k: v for k, v in row.items() if k != "version"} for name, row in rows.items()}
        entry |= {"op-time": moment, "op-type": operation, "version": what.full}
        updates = _load(log)
        updates.setdefault(what.publisher, {}).setdefault(what.name, []).append(entry)
        signature = _dump(log, updates)
        self._save(
            what.publisher,
            parts,
            moment,
            update=(log.name, {"last-modified": moment, "signature-sha-1": signature}),
        )

    def _save(
        self, publisher: str, parts: Mapping[str, Part], moment: str, update: tuple[str, Part] | None = None
    ) -> None:
        directory = self.at(publisher) / "catalog"
        old = self.attrs(publisher)
        written = {}
        for name, part in parts.items():
            if name == BASE or part or (directory / name).exists():
                written[name] = {"last-modified": moment, "signature-sha-1": _dump(directory / name, part)}
        stems = parts[BASE].get(publisher, {})
        attrs = {
            "created": old.get("created", moment),
            "last-modified": moment,
            "package-count": len(stems),
            "package-version-count": sum(len(rows) for rows in stems.values()),
            "parts": written,
            "updates": {**old.get("updates", {}), **dict([update] if update else [])},
            "version": 1,
        }
        _dump(directory / "catalog.attrs", attrs)


def find(root: Path) -> Depot:
    """Raises NoRepository."""
    try:
        settings = read_settings((root / MARK).read_text())
    except (OSError, UnicodeDecodeError):
        raise NoRepository("does not contain a valid package repository") from None
    version = settings.get("repository", {}).get("version", "")
    if version != str(VERSION):
        raise NoRepository(f"holds a repository of version {version or 'none'}, and the lab knows {VERSION}")
    return Depot(root)


def create(root: Path) -> Depot:
    """Raises FileExistsError: where something is, no repository is made."""
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(root)
    root.mkdir(parents=True, exist_ok=True)
    write_settings(root, DEFAULTS)
    (root / "publisher").mkdir(exist_ok=True)
    return Depot(root)


def read_settings(text: str) -> Settings:
    found: Settings = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif "=" in line and not line.lstrip().startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(section, {})[name.strip()] = value.strip()
    return found


def write_settings(root: Path, settings: Mapping[str, Mapping[str, str]]) -> None:
    """As pkg5's configuration files are: sections and names in order of the alphabet."""
    text = ""
    for section in sorted(settings):
        rows = "".join(f"{name} = {settings[section][name]}\n" for name in sorted(settings[section]))
        text += f"[{section}]\n{rows}\n"
    _write(root / MARK, text.encode())


# -- packages --------------------------------------------------------------------------------------------------


def package(publisher: str, stem: str, full: str, lines: Sequence[str]) -> Package:
    """From what the catalogue says of it: its depend and set actions."""
    found = re.fullmatch(r"([^,:-]+)(?:,([^:-]+))?(?:-([^:]+))?(?::(.*))?", full)
    release, build, branch, stamp = found.groups() if found else (full, "", "", "")
    said = next((each for each in lines if "name=pkg.summary" in each), "")
    summary = actions.parse(said).get("value") if said else ""
    entry = Entry(stem, "", OF_FILES, summary, actions=tuple(lines))
    version = f"{release}-{branch}" if branch else str(release)
    return Package(stem, publisher, version, stamp or "", entry, build or "5.11")


def named(text: str) -> tuple[str, str]:
    """Name and whole version of the package whose manifest this is."""
    whole = actions.setting(actions.manifest(text), "pkg.fmri")
    _, _, rest = whole.removeprefix("pkg://").partition("/")
    stem, _, full = rest.partition("@")
    return stem, full


def manifest_path(what: Package) -> str:
    return f"pkg/{quote(what.name, safe='')}/{quote(what.full, safe='')}"


def payload_path(digest: str) -> str:
    return f"file/{digest[:2]}/{digest}"


def content_hash(data: bytes) -> str:
    """SHA-512/256, by which newer manifests name contents (`pkg.content-hash=file:sha512t_256:...`)."""
    return hashlib.new("sha512_256", data, usedforsecurity=False).hexdigest()


def digest_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


# -- the catalogue's files ----------------------------------------------------------------------------------------

IN_DEPENDENCY = ("variant", "facet", "pkg.depend.")
STATES = ("pkg.obsolete", "pkg.renamed", "pkg.legacy")
NOWHERE = ("info.source-url", "pkg.debug", "pkg.linted")


def _rows(full: str, text: str) -> dict[str, Part]:
    """By part, what the catalogue keeps of a manifest."""
    rows: dict[str, Part] = {BASE: {"signature-sha-1": digest_of(text.encode()), "version": full}}
    lines = [line for line in actions.manifest(text) if line.kind in ("depend", "set")]
    for line in [each for each in lines if each.kind == "depend"] + [
        each for each in lines if each.kind == "set"
    ]:
        name = line.get("name")
        if line.kind == "depend" or name.startswith(IN_DEPENDENCY) or name in STATES:
            part = DEPENDENCY
        elif name in ("fmri", "pkg.fmri", "publisher") or name.startswith(NOWHERE) or ":" in name:
            continue
        else:
            part = SUMMARY
        rows.setdefault(part, {"actions": [], "version": full})["actions"].append(str(line))
    return rows


def _without(part: Part, what: Package) -> None:
    stems = part.get(what.publisher, {})
    left = [row for row in stems.get(what.name, []) if row["version"] != what.full]
    if left:
        stems[what.name] = left
    else:
        stems.pop(what.name, None)


def _load(path: Path) -> Part:
    try:
        found: Part = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    found.pop("_SIGNATURE", None)
    return found


def _dump(path: Path, struct: Mapping[str, Any]) -> str:
    """Write a file of the catalogue with its signature, the SHA-1 of the text without it; returns that."""
    text = json.dumps(struct, sort_keys=True, separators=(",", ":"))
    digest = digest_of(f"{text}\n".encode())
    comma = "," if struct else ""
    _write(path, f'{text[:-1]}{comma}"_SIGNATURE":{{"sha-1":"{digest}"}}}}\n'.encode())
    return digest


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def _now() -> str:
    """The moment as catalogues write it: 20261201T013038.123456Z."""
    now = time.time()
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1_000_000):06}Z"


def new_stamp(after: Iterable[str]) -> str:
    """The moment as versions write it, later than those that are there."""
    now = int(time.time())
    taken = set(after)
    while (stamp := time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))) in taken:
        now += 1
    return stamp


def delete(depot: Depot, publisher: str) -> None:
    shutil.rmtree(depot.at(publisher))
