#!/bin/sh
# The demonstration: a golden image, a build in a disposable zone, a failing build whose zone is kept.
# On illumos it uses this host; elsewhere it makes a lab, which stands in for one (see README.md, "The lab").
# Usage: ZONEMGR=/path/to/zonemgr test/demo.sh
set -eu

here=$(CDPATH= cd "$(dirname "$0")" && pwd)
ZONEMGR=${ZONEMGR:-zonemgr}
lab=
src=/export/zonemgr-demo
image=demo-tools

say() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }
plain() { printf '\n== %s\n' "$*" >&2; }
[ -t 2 ] || alias say=plain

# on COMMAND...: run it on the host the zones live on
on() {
	if [ -n "$lab" ]; then "$ZONEMGR" lab run --dir "$lab" -- "$@"; else "$@"; fi
}
zonemgr() { on "$zonemgr_there" "$@"; }
# show COMMAND...: say it, then do it
show() {
	printf '\n$ zonemgr' >&2
	for word; do
		case $word in *[!A-Za-z0-9_./:=@+-]*) printf " '%s'" "$word" >&2 ;; *) printf ' %s' "$word" >&2 ;; esac
	done
	printf '\n' >&2
	zonemgr "$@"
}

cleanup() {
	status=$?
	trap - EXIT INT TERM
	if [ -n "$lab" ]; then
		"$ZONEMGR" lab destroy --dir "$lab" --yes >/dev/null 2>&1 || :
		rm -rf "${lab%/*}"
	else
		for zone in demo-kept "$image"; do zonemgr -Q destroy -z "$zone" 2>/dev/null || :; done
		rm -rf "$src"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools= make=make
if [ "$(uname -s)" = SunOS ]; then
	zonemgr_there=$ZONEMGR make=gmake
	# A new zone has neither a compiler nor make on illumos.
	case $(cat /etc/release) in
		*OmniOS*) tools='-p developer/gcc14 -p developer/linker -p system/header -p developer/build/gnu-make' ;;
		*) tools='-p developer/gcc-14 -p system/header -p developer/build/gnu-make' ;;
	esac
	say "This is an illumos host: the zones will be real"
else
	zonemgr_there=zonemgr
	say "This is not illumos, so a lab stands in for a host"
	lab=$(mktemp -d "${TMPDIR:-/tmp}/zonemgr-demo.XXXXXX")/lab
	"$ZONEMGR" lab create "$lab" --share "$here:ro"
fi

say "A golden image: installed, booted once, snapshot, served"
show create-giz -z "$image" $tools

say "A small C program to build, in $src on the host"
on mkdir -p "$src"
on cp -R "$here/scenarios/hello-c/." "$src"
on ls "$src"

say "Build it in a disposable zone: cloned, booted, built, discarded"
show exec-diz -c "$image" --mount-lofs "$src" --exec-cwd "$src" \
	--exec-cmd "$make clean all CC=gcc && echo Built in zone \$(uname -n). Its commonest words: && ./tally -n 3 words.c"

say "Its artefact is back on the host, the zone is gone"
on ls -l "$src/tally"
show list

say "A build that fails: its own exit status, and the zone kept for a look"
status=0
show exec-diz -c "$image" -z demo-kept --mount-lofs "$src" --exec-discard onsuccess --exec-cwd "$src" \
	--exec-cmd "$make broken CC=gcc" || status=$?
echo "exit status $status" >&2
[ "$status" -ne 0 ] || { echo "the broken build did not fail" >&2; exit 1; }
show list -cv
show exec -z demo-kept --exec-cmd "ls -l $src | head -4"

say "Done with it"
show destroy -z demo-kept
show destroy -z "$image"
[ -z "$(zonemgr -q list)" ] || { echo "something is left" >&2; exit 1; }
say "Nothing is left. That was the main job: zonemgr --help has the rest"
