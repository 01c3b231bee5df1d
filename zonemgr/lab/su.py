"""su: become another user, as zlogin does for every command that is not run in failsafe mode.

The texts and what becomes of the environment are su(8)'s and login(1)'s (docs/illumos.md: zlogin and rights).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zonemgr.lab import accounts, shells
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError, World

DEFAULT_SHELL = "/usr/bin/sh"
SAFE_SHELL = "/sbin/sh"
ROOT_PATH, USER_PATH = "/usr/sbin:/usr/bin", "/usr/bin:"
LOCALE = ("LANG", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES", "LC_ALL")


def tell(text: str) -> None:
    """A line on this process' stderr: what runs here has left the command that was called."""
    os.write(2, (text + "\n").encode("utf-8", "surrogateescape"))


def run_program(path: str, argv: Sequence[str], env: dict[str, str]) -> None:
    """Execute a program; returns only when it cannot be."""
    program, words = shells.command(path)
    with suppress(OSError):
        os.execve(program, [argv[0], *words, *argv[1:]], env)


def switch(name: str, *, login: bool, words: Sequence[str], env: dict[str, str], really: bool = True) -> int:
    """Turn this process into su's shell for a user, with these words; returns a status when that fails.

    Without `really` it keeps its ids.
    """
    account = accounts.by_name(name)
    if account is None:
        tell(f"su: Unknown id: {name}")
        return 1
    if really:
        accounts.become(account)
    shell = account.shell if account.shell not in ("", DEFAULT_SHELL) else DEFAULT_SHELL
    shown = ("-" if login else "") + ("su" if shell == DEFAULT_SHELL else shell.rsplit("/", 1)[-1])
    if login:
        fresh = _login_environment(account, shell, env)
        if fresh is None:
            return 1
        env = fresh
    else:
        env = {key: value for key, value in env.items() if not key.startswith("LD_")}
        if account.uid == 0:
            env |= {"PATH": accounts.setting("/etc/default/su", "SUPATH") or ROOT_PATH, "PS1": "# "}
    run_program(shell, [shown, *words], env)
    return _without_shell(account, shell, login, words, env)


def _without_shell(
    account: accounts.Account, shell: str, login: bool, words: Sequence[str], env: dict[str, str]
) -> int:
    if account.name != "root" or shell == SAFE_SHELL:
        tell("su: No shell")
        return 3
    tell(f"su: No shell {shell}.  Trying fallback shell {SAFE_SHELL}.")
    if login:
        env = {**env, "SHELL": SAFE_SHELL}
    run_program(SAFE_SHELL, ["-sh" if login else "sh", *words], env)
    return 3


def _login_environment(account: accounts.Account, shell: str, env: dict[str, str]) -> dict[str, str] | None:
    """The environment of `su -`, built anew; None (and a line on stderr) when there is no home directory."""
    home = account.home
    if not home:
        tell("su: No directory! Using home=/")
        home = "/"
    try:
        os.chdir(home)
    except OSError:
        tell("su: No directory!")
        return None
    name, default = ("SUPATH", ROOT_PATH) if account.uid == 0 else ("PATH", USER_PATH)
    fresh = {
        "HOME": home,
        "PATH": accounts.setting("/etc/default/su", name) or default,
        "LOGNAME": account.name,
        "HZ": env.get("HZ", ""),
        **({"TERM": env["TERM"]} if "TERM" in env else {}),
        "SHELL": shell,
        "MAIL": f"/var/mail/{account.name}",
    }
    fresh |= {key: env[key] for key in LOCALE if key in env and not env[key].startswith("/")}
    zone = env.get("TZ") or accounts.setting("/etc/default/login", "TIMEZONE")
    return {**fresh, "TZ": zone} if zone and not zone.startswith("/") else fresh


def log_in(name: str, env: dict[str, str]) -> int:
    """Turn this process into the shell that `login -f` starts; returns a status when that fails."""
    account = accounts.by_name(name)
    if account is None:
        tell("Login incorrect")
        return 1
    accounts.become(account)
    home = account.home or "/"
    try:
        os.chdir(home)
    except OSError:
        tell("No directory! Logging in with home=/")
        home = "/"
        os.chdir(home)
    shell = account.shell or DEFAULT_SHELL
    name_of_path, default = ("SUPATH", ROOT_PATH) if account.uid == 0 else ("PATH", USER_PATH)
    fresh = {
        "HOME": home,
        "PATH": accounts.setting("/etc/default/login", name_of_path) or default,
        "LOGNAME": account.name,
        "SHELL": shell,
        "MAIL": f"/var/mail/{account.name}",
        **({"TERM": env["TERM"]} if "TERM" in env else {}),
    }
    zone = accounts.setting("/etc/default/login", "TIMEZONE")
    run_program(shell, ["-" + shell.rsplit("/", 1)[-1]], {**fresh, "TZ": zone} if zone else fresh)
    tell("No shell")
    return 1


# -- the command -------------------------------------------------------------------------------------------


def su(call: Call) -> int:
    """su(8) as a program, for root only: nobody's password is known here."""
    words = call.argv[1:]
    login = bool(words) and words[0] == "-"
    words = words[1:] if login else words
    if words and words[0].startswith("-"):
        return call.fail("Usage: su [-] [ username [ arg ... ] ]")
    if not Path("/.lab").is_dir():
        raise LabError("su is a program of the lab's global zone and of zones; it is not emulated in-process")
    if call.user != "root":
        raise LabError("su with a password is not emulated")
    name = words[0] if words else "root"
    child = os.fork()
    if child == 0:
        try:
            os._exit(_switch_as_caller(call, name, login, words[1:]))
        except LabError as trouble:
            tell(f"lab: {trouble}")
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _switch_as_caller(call: Call, name: str, login: bool, words: Sequence[str]) -> int:
    if call.zone is not None:
        return switch(name, login=login, words=words, env=dict(call.env))
    from zonemgr.lab import callers

    # As with `zonemgr lab run --user`: for the emulated commands it is that user, for the machine it stays
    # whoever runs the lab, or the lab's files could not be written.
    opened = World(call.world.dir)  # a connection does not survive a fork
    if accounts.by_name(name) is not None:
        callers.register(opened, callers.Caller(callers.find(opened).run, name, privileged=name == "root"))
    opened.close()
    return switch(name, login=login, words=words, env=dict(call.env), really=False)
