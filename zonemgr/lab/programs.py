"""The emulated commands as programs: small scripts below LAB/programs, shown over the machine's /usr.

    LAB/programs/usr/{sbin,bin}/NAME   start a bare Python that calls zonemgr.lab.program
    LAB/pyc/                           Python's compiled files, when they may not be written beside the sources
    LAB/programs/interpreter.json      which Python that is

In the global zone and in every cell /.lab shows what they need: lib (where the package is), pyc, usr (the
machine's), and python when it is not the machine's own.
"""

from __future__ import annotations

import json
import os
import shlex
import site
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from zonemgr.lab import contracts, tools
from zonemgr.lab.world import LabError

# Names an illumos host has for what the machine calls otherwise; made only where the machine has the second
# and not the first.
ALIASES = {
    "gmake": "make",
    "gtar": "tar",
    "gsed": "sed",
    "ggrep": "grep",
    "gfind": "find",
    "gpatch": "patch",
    "gdiff": "diff",
    "gawk": "awk",
}
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
    for folder in (lab / "programs/usr/sbin", lab / "programs/usr/bin"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted({*tools.TOOLS, *tools.IN_ZONE} - {"ps", "pkill"}):
            _put(folder / name, _shim(name, python))
        _put(folder / "zonemgr", _zonemgr_shim())
        for name in ("ps", "pkill"):
            _put(folder / f"lab-{name}", _shim(name, python))
        _put(folder / "ps", contracts.PS)
        _put(folder / "pkill", contracts.PKILL)
    _link(lab / "programs/usr/sbin/sh", "/bin/sh")
    for alias, name in ALIASES.items():
        if Path("/usr/bin", name).exists() and not Path("/usr/bin", alias).exists():
            _link(lab / "programs/usr/bin" / alias, f"/usr/bin/{name}")
    _put(lab / "programs" / "interpreter.json", json.dumps(asdict(python)) + "\n")
    return python


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
        return f"#!{python.path} -IS\n{body}"
    # A moved Python may need its own shared library, which a #! line cannot say.
    inside = "/.lab/python/" + os.path.relpath(python.path, python.prefix)
    return (
        "#!/bin/sh\n"
        "LD_LIBRARY_PATH=/.lab/python/lib\n"
        "export LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(inside)} -IS -c {shlex.quote(body)} "$@"\n'
    )


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
    return f'#!/bin/sh\n{library}exec {shlex.quote(python)} -IS -c {shlex.quote(start)} "$@"\n'


def _put(path: Path, text: str) -> None:
    try:
        if path.read_text() == text:
            return
    except OSError:
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)


def _link(path: Path, target: str) -> None:
    with suppress(
        FileExistsError
    ):  # made already, or by another who comes up with the first cell at the same time
        path.symlink_to(target)
