"""What reaches a host: the wheel, its data, its dependencies where no binary wheels exist, and the set-up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from zonemgr import __version__, data

ROOT = Path(__file__).resolve().parent.parent
# One worker makes the wheel and its environment for all of these.
pytestmark = pytest.mark.xdist_group("packaging")
Ended = subprocess.CompletedProcess[str]


def run(*argv: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Ended:
    """A program that sees nothing of this checkout unless its arguments say so."""
    ours = ("PYTHON", "ZONEMGR_", "MAKE", "MFLAGS")
    around = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(argv, cwd=cwd, env={**around, **(environ or {})}, capture_output=True, text=True)


def pip(
    *words: str | Path, python: str | Path = sys.executable, environ: Mapping[str, str] | None = None
) -> Ended:
    return run(python, "-m", "pip", "--disable-pip-version-check", *words, environ=environ)


# --- dependencies, as illumos has to install them


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A package index that answers; without one these tests can say nothing."""
    target = tmp_path_factory.mktemp("reachable")
    asked = pip("download", "--quiet", "--no-deps", "--dest", target, "sh", "--retries", "1")
    if asked.returncode != 0:
        pytest.skip(f"no package index answers: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def markupsafe(index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MarkupSafe, the one package that may come as source, as a machine without a compiler builds it."""
    wheels = tmp_path_factory.mktemp("markupsafe")
    no_compiler = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    options = ("--no-cache-dir", "--no-deps", "--no-binary", "markupsafe", "--wheel-dir", wheels)
    built = pip("wheel", "--quiet", *options, "markupsafe>=2.0", environ=no_compiler)
    assert built.returncode == 0, built.stderr
    return wheels


def resolve(found: Path, requirements: Sequence[str], *, links: Path, python: str = "3.11") -> Ended:
    """Ask pip what it would install where no wheel but a pure-Python one fits; the answer goes to `found`."""
    platform = ("--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", python)
    only = ("--only-binary", ":all:", "--find-links", links, "--target", found.parent / "nowhere")
    return pip(
        "install", "--dry-run", "--ignore-installed", "--report", found, *platform, *only, *requirements
    )


def run_time_dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


@pytest.mark.network
def test_markupsafe_needs_no_compiler(markupsafe: Path) -> None:
    (wheel,) = markupsafe.iterdir()
    assert wheel.name.endswith("-none-any.whl")


@pytest.mark.network
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_all_dependencies_have_pure_python_wheels(markupsafe: Path, tmp_path: Path, python: str) -> None:
    """illumos has no binary wheels: one compiled package in the tree keeps zonemgr from installing."""
    report = tmp_path / "report.json"
    answer = resolve(report, run_time_dependencies(), links=markupsafe, python=python)
    assert answer.returncode == 0, answer.stderr
    chosen = {item["metadata"]["name"].lower(): item for item in json.loads(report.read_text())["install"]}
    files = {name: item["download_info"]["url"].rpartition("/")[2] for name, item in chosen.items()}
    assert {"typer", "sh", "jinja2", "tomli_w", "filelock", "rich", "markupsafe"} <= {
        name.replace("-", "_") for name in files
    }
    assert [file for file in files.values() if not file.endswith("-none-any.whl")] == []
    assert chosen["markupsafe"]["download_info"]["url"].startswith("file:")
    built_here = [name for name, item in chosen.items() if str(markupsafe) in item["download_info"]["url"]]
    assert built_here == ["markupsafe"]


@pytest.mark.network
def test_a_dependency_with_a_compiled_core_is_noticed(markupsafe: Path, tmp_path: Path) -> None:
    """typer 0.29 needs pydantic: the reason for its bound, and the proof that the test above can fail."""
    # Only pydantic's newest releases, or the resolver goes back through fifty of them.
    answer = resolve(tmp_path / "report.json", ["typer==0.29.*", "pydantic>=2.12"], links=markupsafe)
    assert answer.returncode != 0
    assert "pydantic-core" in answer.stdout + answer.stderr
    assert not (tmp_path / "report.json").exists()


def test_typer_stays_below_the_release_that_needs_pydantic() -> None:
    (typer,) = [line for line in run_time_dependencies() if line.startswith("typer")]
    assert "<0.29" in typer


# --- the wheel


@pytest.fixture(scope="module")
def wheel(index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    built = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", dist, ROOT)
    assert built.returncode == 0, built.stderr
    (found,) = dist.iterdir()
    return Path(found)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel in it; its bin directory."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True, symlinks=True)
    done = pip("install", "--quiet", wheel, python=home / "bin/python")
    assert done.returncode == 0, done.stderr
    return home / "bin"


def data_files() -> set[str]:
    files = (path for name in ("templates", "conf") for path in (ROOT / name).rglob("*") if path.is_file())
    return {f"zonemgr/_data/{path.relative_to(ROOT)}" for path in files}


@pytest.mark.network
def test_the_wheel_holds_the_package_its_data_and_its_licence_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"zonemgr-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "zonemgr").rglob("*.py")}
    info = {name for name in names if name.startswith(f"zonemgr-{__version__}.dist-info/")}
    assert names - info == code | data_files() | {"zonemgr/lab/commands.txt"}
    assert "zonemgr/_data/conf/zonemgr.toml" in names
    assert any(name.startswith("zonemgr/_data/templates/") for name in names)
    licence = zipfile.ZipFile(wheel).read(f"zonemgr-{__version__}.dist-info/licenses/LICENSE").decode()
    assert licence.startswith("Mozilla Public License Version 2.0")


@pytest.mark.network
def test_zonemgr_runs_from_the_installed_wheel_in_any_directory(installed: Path, tmp_path: Path) -> None:
    version = run(installed / "zonemgr", "--version", cwd=tmp_path)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"zonemgr {__version__}\n", "")
    shown = run(installed / "zonemgr", "--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "exec-diz" in shown.stdout
    as_module = run(installed / "python", "-m", "zonemgr", "--help", cwd=tmp_path)
    assert as_module.stdout == shown.stdout


@pytest.mark.network
def test_the_installed_wheel_finds_its_own_data_and_not_the_checkouts(
    installed: Path, tmp_path: Path
) -> None:
    code = "from zonemgr import data; print(data.templates(), data.conf(), sep='\\n')"
    found = run(installed / "python", "-c", code, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    for name, place in zip(("templates", "conf"), map(Path, found.stdout.splitlines()), strict=True):
        assert place.is_relative_to(installed.parent)
        assert contents(place) == contents(ROOT / name)


@pytest.mark.network
def test_a_refusal_of_the_installed_wheel_names_its_own_settings_file(
    installed: Path, tmp_path: Path
) -> None:
    code = "from zonemgr import config; config.load([], environ={'ZONEMGR_FOO': '1'})"
    found = run(
        installed / "python", "-c", f"try:\n {code}\nexcept Exception as e:\n print(e.hint)", cwd=tmp_path
    )
    hinted = Path(found.stdout.strip().rpartition(": ")[2])
    assert hinted.is_relative_to(installed.parent)
    assert hinted.read_bytes() == (ROOT / "conf/zonemgr.toml").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_checkout_finds_the_data_that_is_edited_there() -> None:
    assert data.templates() == ROOT / "templates"
    assert data.conf() == ROOT / "conf"


# --- what make asks of the machine

TOOLS = ("sh", "cat", "echo", "gcc", "make", "python3", "apt-get", "ksh93")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with just these tools, for taking some away."""
    path = tmp_path / "bin"
    path.mkdir()
    for tool in TOOLS:
        (path / tool).symlink_to(sys.executable if tool == "python3" else shutil.which(tool) or "/bin/true")
    return path


def prereqs(machine: Path) -> Ended:
    sh = shutil.which("sh") or "/bin/sh"
    return run(sh, ROOT / "scripts/prereqs", environ={"PATH": str(machine), "PYTHON": "python3"})


ILLUMOS = {
    "  OmniOS v11 r151058\n":
        "runtime/python-313 developer/gcc14 developer/linker system/header developer/build/gnu-make",
    "             OpenIndiana Hipster 2025.10 (powered by illumos)\n":
        "runtime/python-313 developer/gcc-14 system/header developer/build/gnu-make",
}  # fmt: skip


@pytest.mark.parametrize("release", ILLUMOS, ids=["omnios", "openindiana"])
def test_illumos_hosts_are_told_what_pkg_brings(machine: Path, tmp_path: Path, release: str) -> None:
    (tmp_path / "release").write_text(release)
    for tool in ("gcc", "make", "python3"):
        (machine / tool).unlink()
    environ = {"PATH": str(machine), "PYTHON": "python3", "RELEASE": str(tmp_path / "release")}
    ended = run(shutil.which("sh") or "/bin/sh", ROOT / "scripts/prereqs", environ=environ)
    assert ended.returncode == 1
    assert f"    pkg install {ILLUMOS[release]}\n" in ended.stderr
    assert "gmake" in ended.stderr and "apt-get" not in ended.stderr


@pytest.mark.parametrize("name", ["SmartOS", "Tribblix"])
def test_distributions_that_cannot_be_used_are_named_with_the_reason(
    machine: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "release").write_text(f"   {name} m34\n")
    environ = {"PATH": str(machine), "PYTHON": "python3", "RELEASE": str(tmp_path / "release")}
    ended = run(shutil.which("sh") or "/bin/sh", ROOT / "scripts/prereqs", environ=environ)
    assert ended.returncode == 1
    assert f"does not work on {name}: " in ended.stderr and "lab" not in ended.stderr


def script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def brings(ended: Ended) -> list[str]:
    """The packages of the one line that is said to bring what is missing."""
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if "apt-get install" in line]
    return line.partition("install -y ")[2].split()


def test_a_machine_with_everything_hears_nothing(machine: Path) -> None:
    ended = prereqs(machine)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_bare_machine_is_told_the_one_line_that_brings_it_all(machine: Path) -> None:
    for tool in ("gcc", "make", "python3"):
        (machine / tool).unlink()
    assert brings(prereqs(machine)) == ["python3", "python3-venv", "gcc", "libc6-dev", "make"]


def test_ksh93_is_recommended_and_comes_with_what_is_needed(machine: Path) -> None:
    (machine / "ksh93").unlink()
    ended = prereqs(machine)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "Labs are more like illumos with ksh93: apt-get install -y ksh93u+m\n"
    (machine / "make").unlink()
    assert brings(prereqs(machine)) == ["make", "ksh93u+m"]


def test_python_without_its_venv_module_is_named(machine: Path) -> None:
    """Debian's python3 comes without ensurepip; python3 -m venv then fails half-way."""
    script(machine / "python3", f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    ended = prereqs(machine)
    assert brings(ended) == ["python3-venv"]
    assert "Python's venv module" in ended.stderr


def test_a_compiler_without_the_headers_is_named(machine: Path) -> None:
    script(machine / "gcc", "cat >/dev/null; exit 1")
    assert brings(prereqs(machine)) == ["libc6-dev"]


def test_a_python_that_is_too_old_is_told_apart_because_no_package_helps(machine: Path) -> None:
    script(machine / "python3", 'case "$1" in -V) echo Python 3.9.2; exit;; esac; exit 1')
    ended = prereqs(machine)
    assert ended.returncode == 1
    assert "needs Python 3.11 or newer, and python3 is Python 3.9.2" in ended.stderr
    assert "apt-get" not in ended.stderr


def test_a_system_without_apt_is_told_the_names_all_the_same(machine: Path) -> None:
    (machine / "apt-get").unlink()
    (machine / "make").unlink()
    ended = prereqs(machine)
    assert ended.returncode == 1
    assert "apt-get" not in ended.stderr
    assert ended.stderr.rstrip().endswith(" make")


@pytest.mark.parametrize("target", ["test", "demo", "lint", "bench"])
def test_make_says_what_is_missing_before_it_does_anything(
    machine: Path, tmp_path: Path, target: str
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml", "scripts"):
        (checkout / name).symlink_to(ROOT / name)
    (machine / "gcc").unlink()
    (machine / "rm").symlink_to(shutil.which("rm") or "/bin/rm")
    ended = run(machine / "make", target, cwd=checkout, environ={"PATH": str(machine)})
    assert ended.returncode == 2
    assert "apt-get install -y gcc libc6-dev\n" in ended.stderr
    assert not (checkout / ".venv").exists()
