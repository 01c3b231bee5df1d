# For the scenarios: a few words to tell a story with. Source it: . "${0%/*}/lib.sh"
# $ZONEMGR is the program (default: zonemgr on the PATH); $IMAGE a golden image that exists, made if it does not.
set -eu
ZONEMGR=${ZONEMGR:-zonemgr}
IMAGE=${IMAGE:-zt-tools}
HERE=$(CDPATH= cd "${0%/*}" && pwd)
ZONES=                   # what a story made, removed at its end
DIRS=

say() { echo "-- $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; echo "ok: $1"; }
# status WANTED COMMAND...: run it, its exit status must be this
status() {
	wanted=$1; shift; got=0
	"$@" || got=$?
	[ "$got" -eq "$wanted" ] || fail "exit status of: $* - wanted $wanted, got $got"
	echo "ok: exit $wanted: $*"
}
# refused TEXT COMMAND...: it fails, and says this on stderr
refused() {
	text=$1; shift; got=0
	said=$("$@" 2>&1 >/dev/null) || got=$?
	[ "$got" -ne 0 ] || fail "not refused: $*"
	case $said in *"$text"*) echo "ok: refused ($got): $text" ;; *) fail "$*: said '$said', not '$text'" ;; esac
}

made() { ZONES="$ZONES $1"; }
scratch() { DIRS="$DIRS $1"; mkdir -p "$1"; }
finish() {
	code=$?
	trap - EXIT
	for zone in $ZONES; do "$ZONEMGR" is-managed -Q -z "$zone" 2>/dev/null && "$ZONEMGR" -Q destroy -z "$zone" || :; done
	for dir in $DIRS; do rm -rf "$dir"; done
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What builds need in a zone: on illumos a new one has neither a compiler nor make, and GNU make is gmake there. A lab
# shows its machine's.
TOOLS= GMAKE=make
if [ "$(uname -s)" = SunOS ] && [ ! -d /.lab ]; then
	GMAKE=gmake
	case $(cat /etc/release) in
		*OmniOS*) TOOLS='-p developer/gcc14 -p developer/linker -p system/header -p developer/build/gnu-make' ;;
		*) TOOLS='-p developer/gcc-14 -p system/header -p developer/build/gnu-make' ;;
	esac
fi
image() { "$ZONEMGR" is-giz -Q -z "$IMAGE" 2>/dev/null || "$ZONEMGR" -q create-giz -z "$IMAGE" $TOOLS >/dev/null; }
