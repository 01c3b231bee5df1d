"""A machine's program in the place of an illumos one that knows fewer options: a small script that looks at them first.

What illumos' would not take is refused here too, or a script that works in the lab would fail on a host. GNU's programs
look for options behind operands as well; with POSIXLY_CORRECT they do not, as illumos' do not.
"""

from __future__ import annotations

_HEAD = "#!/.lab/usr/bin/sh\n"

_OPTIONS = """\
refused() {{ echo "lab: {name} $1 is not emulated: illumos' {name} has no such option" >&2; exit 2; }}
while getopts ':{letters}' option; do
	case $option$OPTARG in '?-') eval refused "\\"\\${{$((OPTIND - 1))}}\\"" ;; '?'*) refused "-$OPTARG" ;; esac
	case $option in {stop}+) ;; esac
done
POSIXLY_CORRECT=1 exec {program} "$@"
"""
# Words such as tar's or chmod's first one are no options to getopts.
_SHORT = """\
refused() {{ echo "lab: {name} $1 is not emulated: illumos' {name} has no long options" >&2; exit 2; }}
for word; do
	case $word in --) break ;; --?*) refused "$word" ;; -*) ;; *) {operand} ;; esac
done
exec {program} "$@"
"""
# ls(1) of illumos knows some long options of GNU's.
_LS = """\
refused() {{ echo "lab: {name} $1 is not emulated: illumos' {name} has no such option" >&2; exit 2; }}
for word; do
	case $word in
	--) break ;;
	--block-size=* | --color | --color=* | --file-type | --si | --time-style=*) ;;
	--?* | -*[BDGINQTUXZev@]*) refused "$word" ;;
	-*) ;;
	*) break ;;
	esac
done
exec {program} "$@"
"""
# find(1) wants a path, and has none of these primaries.
_FIND = """\
refused() {{ echo "lab: {name} $1 is not emulated: illumos' {name} has no such primary" >&2; exit 2; }}
[ $# -gt 0 ] || {{ echo 'find: insufficient number of arguments' >&2; exit 1; }}
path=
for word; do
	case $word in
	-H | -L) ;;
	-printf | -fprintf | -fprint | -fprint0 | -fls | -quit | -regextype | -daystart | -executable | -readable \\
	| -writable | -samefile | -newer?? | -wholename | -iwholename | -lname | -ilname | -ipath | -uid | -gid | -used \\
	| -context | -files0-from | -noleaf | -ignore_readdir_race) refused "$word" ;;
	-* | \\( | !) [ "$path" ] || {{ echo 'find: path-list predicate-list' >&2; exit 1; }} ;;
	*) path=yes ;;
	esac
done
exec {program} "$@"
"""
_SPECIAL = {
    "short": _SHORT.replace("{operand}", ":"),
    "leading": _SHORT.replace("{operand}", "break"),
    "ls": _LS,
    "find": _FIND,
}


def script(name: str, program: str, options: str) -> str:
    """The text of a program that passes only these options on; `options` as in commands.txt."""
    if options in _SPECIAL:
        return _HEAD + _SPECIAL[options].format(name=name, program=program)
    stops = "|".join(options[number - 1] for number, letter in enumerate(options) if letter == "!")
    stop = f"{stops}) break ;; " if stops else ""
    letters = options.replace("!", "")
    return _HEAD + _OPTIONS.format(name=name, program=program, letters=letters, stop=stop)
