"""The commands about a configuration as a whole: create, delete, commit, revert, export, exit, help."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from zonemgr.lab import accounts
from zonemgr.lab.zonecfg import errors, words
from zonemgr.lab.zonecfg.admins import deauthorise
from zonemgr.lab.zonecfg.document import BadDocument, Document, parse
from zonemgr.lab.zonecfg.handle import Handle, destroy
from zonemgr.lab.zonecfg.options import Option
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.reports import export
from zonemgr.lab.zonecfg.session import Quit, Session
from zonemgr.lab.zonestore import StoreError


def takes_no_more(session: Session, command: Command, *, force: bool = False) -> bool | None:
    """Parse the words of a command that knows at most -F: is it forced? None when the words were wrong.

    Any wrong option makes these commands print their help as if `-?` had been asked for, and exit 0.
    """
    found, rest = session.options(command.arguments, "?F" if force else "?")
    bad = [option for option in found if option.bad or option.letter == "?"]
    for _ in bad:
        session.longer_usage(command.name)
    if bad:
        return None
    if rest != len(command.arguments):
        session.short_usage(command.name)
        return None
    return any(option.letter == "F" for option in found)


# -- create ----------------------------------------------------------------------------------------------


def create(session: Session, command: Command) -> None:
    found = _options(session, command, "?a:bFt:")
    if found is None or session.refuses_change("create"):
        return
    letters = {option.letter: option.argument for option in found}
    if not _may_overwrite(session, force="F" in letters):
        return
    if "a" in letters:
        _attach(session, letters["a"])
        return
    template = "SUNWdefault"
    for option in found:
        if option.letter in "bt":
            template = _template(session, option.letter, option.argument)
    _from_template(session, template)


def _options(session: Session, command: Command, known: str) -> list[Option] | None:
    """The options of create and export; None when something was wrong or help was asked for."""
    found, rest = session.options(command.arguments, known)
    bad = [option for option in found if option.bad or option.letter == "?"]
    for option in bad:
        session.longer_usage(command.name) if option.letter == "?" else session.short_usage(command.name)
    if not bad and rest != len(command.arguments):
        session.short_usage(command.name)
        return None
    return None if bad else found


def _template(session: Session, letter: str, name: str) -> str:
    if letter == "b":
        return "SUNWblank"
    if session.world.omnios and not name[:1].isupper():
        name = f"OMNI{name}"
    return name[:63]


def _from_template(session: Session, template: str) -> None:
    try:
        session.use_template(template)
    except StoreError as failure:
        session.failed(template, failure)


def _may_overwrite(session: Session, *, force: bool) -> bool:
    """False when create has to stop; a zone whose document cannot be read is overwritten without a word."""
    try:
        Handle(session.world).open(session.zone)
    except StoreError:
        return True
    if session.state_at_least("installed"):
        session.complain(f"Zone {session.zone} already installed; create not allowed.")
        return False
    if force:
        session.out(f"Zone {session.zone} already exists; overwriting.\n")
        return True
    answer = session.ask(f"Zone {session.zone} already exists; create anyway")
    if answer is None:
        session.complain(
            "Zone exists, input not from terminal and -F not specified:\ncreate command ignored, exiting."
        )
        raise Quit
    return answer


def _attach(session: Session, path: str) -> None:
    """Take the configuration that `zoneadm detach` left in a zonepath."""
    host = session.call.path(os.fsdecode(path.encode("latin-1")))
    try:
        if not (host / "root").is_dir():
            raise FileNotFoundError
        document = parse((host / "SUNWdetached.xml").read_bytes(), omnios=session.world.omnios)
    except OSError:
        session.err("invalid path to detached zone\n")
        return
    except BadDocument:
        document = None
    if document is None or not document.is_valid():
        session.err("Cannot attach to an earlier release of the operating system\n")
        return
    session.take(_attached(session, document, path))


def _attached(session: Session, document: Document, path: str) -> Handle:
    document.root.children = [child for child in document.root.children if child.tag != "package"]
    document.set("zonepath", path)
    document.set("name", session.zone)
    return Handle(session.world, document, new=True)


# -- delete, revert, commit ------------------------------------------------------------------------------


def delete(session: Session, command: Command) -> None:
    force = takes_no_more(session, command, force=True)
    if force is None or session.refuses_change("delete"):
        return
    if not force and not _really(session, "delete", f"Are you sure you want to delete zone {session.zone}"):
        return
    if session.initialize():
        deauthorise(session.world, session.handle.config, session.zone)
    _destroy(session, force=force)
    session.need_to_commit = False
    if force and not session.has_document and session.interactive:
        session.say_create()
    if session.got_handle:
        _reopen(session)


def _destroy(session: Session, *, force: bool) -> None:
    try:
        destroy(session.world, session.zone, force=force)
    except StoreError as failure:
        if str(failure) == errors.BAD_ZONE_STATE and not force:
            session.complain(
                f"Zone {session.zone} not in configured state; delete not allowed.  Use -F to force delete."
            )
        else:
            session.failed(session.zone, failure)


def _reopen(session: Session) -> None:
    session.handle = Handle(session.world)
    try:
        session.handle.open(session.zone)
    except StoreError as failure:
        if str(failure) != errors.NO_ZONE:
            session.failed(session.zone, failure)
        session.got_handle = False


def _really(session: Session, command: str, question: str) -> bool:
    if command == "delete" and not session.initialize():
        return False
    answer = session.ask(question)
    if answer is None:
        session.complain(
            f"Input not from terminal and -F not specified:\n{command} command ignored, exiting."
        )
        raise Quit
    return answer


def revert(session: Session, command: Command) -> None:
    force = takes_no_more(session, command, force=True)
    if force is None or session.refuses_change("revert"):
        return
    if not session.in_global_scope:
        session.complain(
            "You can only use revert in the global scope.\n"
            "Use 'cancel' to cancel changes to a resource specification.",
            flag=True,
        )
        return
    if not session.has_document:
        session.complain("No changes to revert.", flag=True)
        return
    if not force and not _really(session, "revert", "Are you sure you want to revert"):
        return
    _open_saved(session)


def _open_saved(session: Session) -> None:
    session.handle = Handle(session.world)
    try:
        session.handle.open(session.saved_name)
    except StoreError as failure:
        session.saw_error, session.got_handle = True, False
        if str(failure) == errors.NO_ZONE:
            session.complain(f"{session.saved_name}: no such saved zone to revert to.")
        else:
            session.failed(session.zone, failure)
    session.zone = session.saved_name


# -- export, exit, help ----------------------------------------------------------------------------------


def export_command(session: Session, command: Command) -> None:
    found = _options(session, command, "?f:")
    if found is None:
        return
    target = found[-1].argument if found else ""
    if target:
        _export_to(session, target)
    elif session.initialize():
        session.out(export(session))


def _export_to(session: Session, target: str) -> None:
    """The file is emptied first, so a zone that is not there leaves an empty one."""
    path = session.call.path(os.fsdecode(target.encode("latin-1")))
    try:
        if not session.call.privileged and not _may_write(session, path):
            raise PermissionError(errno.EACCES, "")
        file = path.open("wb")
    except OSError as failure:
        session.complain(f"opening file {target}: {os.strerror(failure.errno or 0)}")
        return
    with file:
        if session.initialize():
            file.write(export(session).encode("latin-1"))


def _may_write(session: Session, path: Path) -> bool:
    """May the calling user, who is not root, write or make this file? The lab's files know owners and modes."""
    status = (path if path.exists() else path.parent).stat()
    account = accounts.by_name(session.call.user, str(session.world.host))
    if account is None:
        return bool(status.st_mode & 0o002)
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o200)
    if status.st_gid in accounts.groups(account, str(session.world.host)):
        return bool(status.st_mode & 0o020)
    return bool(status.st_mode & 0o002)


def exit_command(session: Session, command: Command) -> None:
    force = takes_no_more(session, command, force=True)
    if force is None:
        return
    session.force_exit |= force
    if session.in_global_scope or session.force_exit:
        session.time_to_exit = True
        return
    answer = session.ask("Resource incomplete; really quit")
    if answer is None:
        session.complain(
            "Resource incomplete, input not from terminal and -F not specified:\n"
            "exit command ignored, but exiting anyway."
        )
        raise Quit
    session.time_to_exit |= answer


def help_command(session: Session, command: Command) -> None:
    about = command.arguments[0] if command.arguments else ""
    in_scope = not about and not session.in_global_scope
    match about:
        case "" if in_scope:
            session.out(words.scope(session.scope))
        case "" | "commands":
            session.out(words.subcommands(verbose=True))
        case "usage":
            session.out(words.usage(session.program))
        case "syntax":
            session.out(words.syntax(verbose=True) + session.help_texts("resources", "properties"))
        case "-?":
            session.longer_usage("help")
        case name if name in words.COMMANDS:
            session.longer_usage(name)
        case _:
            session.err(f"Unknown help subject {about}.  {words.more_help()}")
