"""The programs of a lab, as commands.txt has them: below LAB/programs, shown as /usr/bin, /usr/sbin and /sbin.

    LAB/programs/{gz,zone}/usr/bin/NAME   emulated ones, links to the machine's, and refusals
    LAB/programs/tools/                   what some of these need, at /.lab/tools
    LAB/pyc/                              Python's compiled files, when they may not be written beside the sources
    LAB/programs/interpreter.json         which Python that is

In the global zone and in every cell /.lab shows what they need: lib (where the package is), pyc, usr (the
machine's), and python when it is not the machine's own.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import json
import os
import shlex
import site
import subprocess
import sys
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from zonemgr.lab import checked, commandlist, contracts, facade, shells, tools
from zonemgr.lab.commandlist import FOLDERS
from zonemgr.lab.world import LabError

PLACES = ("gz", "zone")
# Names an illumos host has for what the machine calls otherwise.
ALIASES = {"nawk": "awk"}
# Where the machine's programs are.
MACHINE = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
# Commands of the shell that illumos has as programs too.
BUILTINS = (
    *("alias", "bg", "cd", "command", "fc", "fg", "getopts", "hash", "jobs", "read", "type"),
    *("ulimit", "umask", "unalias", "wait"),
)
BUILTIN = '#!/usr/bin/ksh93\ncommand=${0##*/}\n"$command" "$@"\n'
REFUSED = '#!/.lab/usr/bin/sh\necho "lab: ${0##*/} is not emulated" >&2\nexit 127\n'
_PROBE = (
    "import sys, sqlite3, ctypes; "
    "print(sys.version_info >= (3, 11), sys.implementation.cache_tag, sys.base_prefix)"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python of 3.11 or newer, and where it finds its own."""

    path: str
    prefix: str = ""  # its installation, when that must be shown at /.lab/python
    beside: bool = False  # compiled files are beside the sources
    tag: str = ""  # in the names of its compiled files


def package_parent() -> Path:
    """The directory that holds the zonemgr package this very code was loaded from."""
    return Path(__file__).resolve().parent.parent.parent


def find_interpreter() -> Interpreter:
    """The machine's own Python if it will do, else the one running now."""
    running = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    for path in ("/usr/bin/python3", running):
        if not Path(path).exists():
            continue
        probe = subprocess.run([path, "-IS", "-c", _PROBE], capture_output=True, text=True, check=False)
        good, tag, prefix = [*probe.stdout.strip().split(" ", 2), "", ""][:3]
        if good == "True":
            real = os.path.realpath(path)
            beside = os.access(Path(__file__).parent, os.W_OK)
            return Interpreter(real, "" if real.startswith("/usr/") else prefix, beside, tag)
    raise LabError(f"{running} lacks sqlite3 or ctypes, which the lab's commands need")


def interpreter(lab: Path) -> Interpreter:
    """The Python the lab's programs were last written for."""
    return Interpreter(**json.loads((lab / "programs" / "interpreter.json").read_text()))


def write(lab: Path) -> Interpreter:
    """Make or refresh LAB/programs; cheap when nothing changed, safe while others run the programs."""
    python = find_interpreter()
    if python.beside:
        _compile(python)
    (lab / "pyc").mkdir(exist_ok=True)
    files = _all(python)
    _write_facade(lab)
    stamp = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest() + "\n"
    if _text(lab / "programs/stamp") != stamp:
        _write_all(lab / "programs", files)
        _put(lab / "programs/stamp", stamp)
    _put(lab / "programs/interpreter.json", json.dumps(asdict(python)) + "\n")
    return python


def _write_facade(lab: Path) -> None:
    flavour = json.loads((lab / "lab.json").read_text())["flavour"]
    for below, text, mode in (*facade.brand_files(flavour), *facade.python_files(flavour)):
        path = lab / "programs/facade" / below
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, text, mode)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write_all(top: Path, files: Mapping[str, str]) -> None:
    """`files`: the text of each program, or the target of a link."""
    folders = {f"{where}/{folder}" for where in PLACES for folder in FOLDERS.values() if folder} | {"tools"}
    for folder in folders:
        (top / folder).mkdir(parents=True, exist_ok=True)
    for name, what in files.items():
        if what.startswith("#!"):
            _put(top / name, what)
        else:
            _link(top / name, what)
    for folder in folders:
        for entry in os.scandir(top / folder):
            if f"{folder}/{entry.name}" not in files and not entry.name.startswith("."):
                with suppress(OSError):
                    os.unlink(entry.path)


@functools.cache  # a process that makes many labs, such as one that tests, looks at the machine once
def _all(python: Interpreter) -> dict[str, str]:
    """Every program of a lab, by its path below LAB/programs."""
    machine, entries = machines(), commandlist.read()
    files = {"tools/refused": REFUSED}
    files |= {f"tools/lab-{name}": _shim(name, python) for name in ("ps", "pkill")}
    listed = {entry.name for entry in entries if entry.verdict == commandlist.EMULATED}
    known = {**tools.TOOLS, **tools.IN_ZONE}.keys() - listed  # not in the list yet
    entries += [commandlist.Entry(name, commandlist.EMULATED, ("bin", "sbin")) for name in sorted(known)]
    for where, functions in (("gz", tools.TOOLS), ("zone", tools.IN_ZONE)):
        for entry in entries:
            for name, what in _of_entry(entry, machine, functions.keys(), python, where).items():
                files |= {
                    f"{where}/{FOLDERS[each]}/{name}": what(each) for each in entry.folders if FOLDERS[each]
                }
    return files


def _of_entry(
    entry: commandlist.Entry, machine: Mapping[str, str], functions: Set[str], python: Interpreter, where: str
) -> dict[str, Callable[[str], str]]:
    """The programs of an entry: for each name, what it is in a folder of this kind."""
    name = entry.name
    if entry.verdict == commandlist.REFUSED:
        what = BUILTIN if name in BUILTINS else "/.lab/tools/refused"
        return {name: lambda _: what}
    if name in shells.NAMES:
        return {name: lambda _: shells.text(name)}
    if entry.verdict == commandlist.MACHINE:
        return {
            each: lambda folder, program=program, each=each: _checked(entry, each, program, folder)  # type: ignore[misc]
            for each, program in _matching(name, machine).items()
        }
    special = {"ps": contracts.PS, "pkill": contracts.PKILL}
    if where == "gz":
        special["zonemgr"] = _zonemgr_shim()
    elif name == "zonemgr":
        return {}
    text = special.get(name) or (_shim(name, python) if name in functions else "/.lab/tools/refused")
    return {name: lambda _: text}


def _checked(entry: commandlist.Entry, name: str, program: str, folder: str) -> str:
    if not entry.options or folder == "gnu":
        return program
    return checked.script(name, program, entry.options)


def _matching(pattern: str, machine: Mapping[str, str]) -> dict[str, str]:
    if any(letter in pattern for letter in "*?["):
        return {name: machine[name] for name in fnmatch.filter(machine, pattern)}
    for name in (pattern, ALIASES.get(pattern, ""), pattern.removeprefix("g")):
        if name in machine:
            return {pattern: machine[name]}
    return {}


def machines() -> dict[str, str]:
    """The programs of this machine, and where they are in a lab. Links are followed: there they may lead nowhere."""
    found = {}
    for folder in reversed(MACHINE):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            real = os.path.realpath(f"{folder}/{name}")
            if real.startswith("/usr/") and os.access(real, os.X_OK) and os.path.isfile(real):
                found[name] = f"/.lab{real}"
    return found


def _compile(python: Interpreter) -> None:
    """Compile the package where that is not done: in the lab it is shown read-only."""
    package = Path(__file__).parent.parent
    running = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    for path, tag in {python.path: python.tag, running: sys.implementation.cache_tag or ""}.items():
        if any(_is_stale(source, tag) for source in package.rglob("*.py")):
            subprocess.run(
                [path, "-IS", "-m", "compileall", "-q", str(package)], check=False, capture_output=True
            )


def _is_stale(source: Path, tag: str) -> bool:
    try:
        compiled = (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").stat()
    except OSError:
        return True
    return compiled.st_mtime < source.stat().st_mtime


def _shim(name: str, python: Interpreter) -> str:
    body = (
        "import sys\n"
        + ("" if python.beside else 'sys.pycache_prefix = "/.lab/pyc"\n')
        + 'sys.path.insert(0, "/.lab/lib")\n'
        "from zonemgr.lab.program import main\n"
        f"main({name!r})\n"
    )
    if not python.prefix:
        return f"#!{inside(python.path)} -IS\n{body}"
    # A moved Python may need its own shared library, which a #! line cannot say.
    moved = "/.lab/python/" + os.path.relpath(python.path, python.prefix)
    return (
        "#!/.lab/usr/bin/sh\n"
        "LD_LIBRARY_PATH=/.lab/python/lib\n"
        "export LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(moved)} -IS -c {shlex.quote(body)} "$@"\n'
    )


def inside(path: str) -> str:
    """A program below the machine's /usr by the path it has in a lab."""
    return f"/.lab{path}" if path.startswith("/usr/") else path


def own_python() -> dict[str, str]:
    """What zonemgr itself needs in the global zone besides its package: places there below /.lab, and here.

    The installation of the Python that runs now, unless the machine's /usr has it, and where that one's packages are.
    """
    prefix = {} if sys.base_prefix.startswith("/usr") else {"own/python": sys.base_prefix}
    return prefix | {f"own/{number}": path for number, path in enumerate(_package_directories())}


def _package_directories() -> list[str]:
    found = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    found += os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in dict.fromkeys(found) if path and Path(path).is_dir()]


def _zonemgr_shim() -> str:
    """zonemgr needs its dependencies: it runs with the Python that runs now, and that one's packages."""
    path = "/.lab/own"
    forget = "os.environ.pop('LD_LIBRARY_PATH', None); "  # of no concern to what it starts
    start = (
        f"import os, sys, site; {forget}sys.path.insert(0, '/.lab/lib'); sys.argv[0] = 'zonemgr'; "
        f"[site.addsitedir(f'{path}/{{n}}') for n in range({len(_package_directories())})]; "
        "from zonemgr.__main__ import main; sys.exit(main())"
    )
    python = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    library = ""
    if not sys.base_prefix.startswith("/usr"):
        python = f"{path}/python/" + os.path.relpath(python, os.path.realpath(sys.base_prefix))
        library = f"LD_LIBRARY_PATH={path}/python/lib "
    return (
        f'#!/.lab/usr/bin/sh\n{library}exec {shlex.quote(inside(python))} -IS -c {shlex.quote(start)} "$@"\n'
    )


def _put(path: Path, text: str, mode: int = 0o755) -> None:
    try:
        if path.read_text() == text:
            return
    except OSError:
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and os.readlink(path) == target:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(path)
