"""What zfs says about how it is called: in words of its own, the options are those of illumos."""

from __future__ import annotations

from zonemgr.lab.zfs import props

SYNTAX: dict[str, tuple[str, ...]] = {
    "create": (
        "create [-p] [-o property=value] ... <filesystem>",
        "create [-ps] [-b blocksize] [-o property=value] ... -V <size> <volume>",
    ),
    "destroy": (
        "destroy [-fnpRrv] <filesystem|volume>",
        "destroy [-dnpRrv] <filesystem|volume>@<snap>[%<snap>][,...]",
        "destroy <filesystem|volume>#<bookmark>",
    ),
    "snapshot": ("snapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...",),
    "rollback": ("rollback [-rRf] <snapshot>",),
    "clone": ("clone [-p] [-o property=value] ... <snapshot> <filesystem|volume>",),
    "promote": ("promote <clone-filesystem>",),
    "rename": (
        "rename [-f] <filesystem|volume|snapshot> <filesystem|volume|snapshot>",
        "rename [-f] -p <filesystem|volume> <filesystem|volume>",
        "rename -r <snapshot> <snapshot>",
    ),
    "bookmark": ("bookmark <snapshot> <bookmark>",),
    "list": (
        "list [-Hp] [-r|-d max] [-o property[,...]] [-s property]...",
        "    [-S property]... [-t type[,...]] [filesystem|volume|snapshot] ...",
    ),
    "set": ("set <property=value> ... <filesystem|volume|snapshot> ...",),
    "get": (
        'get [-rHp] [-d max] [-o "all" | field[,...]]',
        "    [-t type[,...]] [-s source[,...]]",
        '    <"all" | property[,...]> [filesystem|volume|snapshot|bookmark] ...',
    ),
    "inherit": ("inherit [-rS] <property> <filesystem|volume|snapshot> ...",),
    "mount": ("mount", "mount [-lvO] [-o opts] <-a | filesystem>"),
    "unmount": ("unmount [-f] <-a | filesystem|mountpoint>",),
    "send": (
        "send [-DnPpRvLecwhb] [-[iI] snapshot] <snapshot>",
        "send [-nvPLecw] [-i snapshot|bookmark] <filesystem|volume|snapshot>",
        "send [-nvPe] -t <receive_resume_token>",
    ),
    "receive": (
        "receive [-vnsFhu] [-o <property>=<value>] ... [-x <property>] ...",
        "    <filesystem|volume|snapshot>",
        "receive [-vnsFhu] [-o <property>=<value>] ... [-x <property>] ...",
        "    [-d | -e] <filesystem>",
        "receive -A <filesystem|volume>",
    ),
    "hold": ("hold [-r] <tag> <snapshot> ...",),
    "holds": ("holds [-r] <snapshot> ...",),
    "release": ("release [-r] <tag> <snapshot> ...",),
}
_WITH_PROPERTIES = ("set", "get", "inherit", "list")


def text(command: str | None) -> str:
    if command is None:
        lines = ["usage: zfs command args ...", "where 'command' is one of the following:", ""]
        lines += [f"\t{line}" for syntax in SYNTAX.values() for line in syntax]
        lines += ["", "Each dataset is of the form: pool/[dataset/]*dataset[@name]"]
    else:
        lines = ["usage:", *(f"\t{line}" for line in SYNTAX[command])]
    if command in _WITH_PROPERTIES:
        lines += _properties()
    else:
        lines += ["", "For the property list, run: zfs set|get"]
        lines += ["", "For the delegated permission list, run: zfs allow|unallow"]
    return "\n".join(lines) + "\n"


def _properties() -> list[str]:
    lines = ["", "The following properties are supported:", "", "\tPROPERTY       EDIT  INHERIT   VALUES", ""]
    ordered = sorted(props.VISIBLE, key=lambda prop: (prop.attribute != props.READONLY, prop.name))
    for prop in ordered:
        edit = " NO    " if prop.readonly else "YES    "
        inherit = "  YES   " if prop.inheritable else "   NO   "
        lines.append(f"\t{prop.name:<15} {edit}{inherit}{prop.values or '-'}")
    lines += ["", "Sizes are specified in bytes with standard units such as K, M, G, etc."]
    return [*lines, "", "User-defined properties can be specified by using a name containing a colon (:)."]
