"""Accounts: users, groups and rights of the host (docs/illumos.md: Accounts)."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import accounts
from zonemgr.model import Account, Group

PASSWD = """\
root:x:0:0:Super-User:/root:/usr/bin/bash
jim:x:100:10:Jim: the builder:/export/home/jim:
builder:x:101:1::/home/builder:/bin/sh
+nis
"""
GROUP = "root::0:\nother::1:root\nstaff::10:jim\nwheel::20:jim,builder,jim\n"
RIGHTS = """\
# comment
root::::auths=solaris.*;type=role
jim::::type=normal;profiles=Primary Administrator,Zone Management;roles=root
"""
HASH = "$6$salt$hash.with/colon-free"
SHADOW = f"root:NP:::::::\njim:{HASH}:19000::::::\nbuilder:*LK*:::::::\n"


def announce(illumos: Any) -> None:
    illumos.answers("cat /etc/group", GROUP)
    illumos.answers("cat /etc/passwd", PASSWD.replace("Jim: the", "Jim the"))
    illumos.answers("cat /etc/user_attr", RIGHTS)


def test_users_with_groups_and_rights(illumos: Any) -> None:
    announce(illumos)
    book = accounts.read(illumos.host)
    assert book.user("jim") == Account(
        name="jim",
        uid=100,
        gid=10,
        gecos="Jim the builder",
        home="/export/home/jim",
        shell="/bin/sh",
        groups=("staff", "wheel"),
        attributes=(
            ("type", "normal"),
            ("profiles", "Primary Administrator,Zone Management"),
            ("roles", "root"),
        ),
    )
    assert book.user("root").is_role
    assert book.user("builder").groups == ("other", "wheel")
    assert [user.name for user in book.users] == ["root", "jim", "builder"]
    assert book.group("wheel") == Group("wheel", 20, ("jim", "builder", "jim"))


def test_rights_may_go_on_after_a_backslash_and_end_at_a_comment() -> None:
    text = "# jim::::x=y \\\njim::::a=b\n jim::::type=normal;\\\nauths=solaris.*,\\\nx # his\n\nada::::\\\n"
    assert accounts.parse_rights(text) == {
        "jim": (("type", "normal"), ("auths", "solaris.*,x")),
        "ada": (),
    }


def test_hashes_are_read_on_request_and_stay_out_of_sight(illumos: Any) -> None:
    announce(illumos)
    illumos.answers("pfexec cat /etc/shadow", SHADOW)
    book = accounts.read(illumos.host, passwords=True)
    assert book.user("jim").password == HASH
    assert book.user("builder").password == "*LK*"
    assert "salt" not in repr(book)
    assert "salt" not in repr(illumos.log)


def test_without_privilege_the_hashes_are_an_error_with_a_hint(illumos: Any) -> None:
    announce(illumos)
    illumos.answers("pfexec cat /etc/shadow", "", "cat: cannot open /etc/shadow: Permission denied\n", 2)
    with pytest.raises(CommandError) as failed:
        accounts.read(illumos.host, passwords=True)
    assert "Primary Administrator" in (failed.value.hint or "")


def test_unknown_names_are_not_there(illumos: Any) -> None:
    announce(illumos)
    book = accounts.read(illumos.host)
    with pytest.raises(NotThere, match="no user nobody-here"):
        book.user("nobody-here")
    with pytest.raises(NotThere, match="no group nowhere"):
        book.group("nowhere")


@pytest.mark.parametrize("line", ["jim:x:100", "jim:x:abc:10::/:/bin/sh"])
def test_a_broken_line_is_named(line: str) -> None:
    with pytest.raises(ZonemgrError):
        accounts.parse_users(line + "\n")
