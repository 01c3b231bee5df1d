#!/bin/sh
# A CI agent builds a C program in a disposable zone and gets the command's own exit status.
. "${0%/*}/lib.sh"
image
src=/export/zt-ci
scratch "$src"
cp -R "$HERE/hello-c/." "$src"

say "a build that works: its artefact is on the host, the zone is gone"
"$ZONEMGR" -q exec-diz -c "$IMAGE" --mount-lofs "/work|$src" --exec-cwd /work --exec-cmd "$GMAKE clean check CC=gcc" \
	> "$src/out" 2> "$src/err" || { cat "$src/err" >&2; fail "the build failed"; }
grep -q '^ok  ' "$src/out" || fail "the output of the build is not on stdout"
[ -x "$src/tally" ] || fail "there is no artefact"
expect "no zone is left" "" "$("$ZONEMGR" list-diz)"

say "a build that fails: its own status, on request a zone to look at"
status 3 "$ZONEMGR" -q exec-diz -c "$IMAGE" --exec-cmd 'exit 3'
expect "no zone is left" "" "$("$ZONEMGR" list-diz)"
made zt-look
status 7 "$ZONEMGR" -q exec-diz -c "$IMAGE" -z zt-look --exec-discard onsuccess --exec-cmd 'echo note > /root/note; exit 7'
expect "it runs" running "$("$ZONEMGR" get-state zt-look)"
expect "with what the build left" note "$("$ZONEMGR" -q exec -z zt-look --exec-cmd 'cat /root/note')"
status 0 "$ZONEMGR" -q destroy zt-look

say "success keeps the zone only if asked to"
made zt-kept
status 0 "$ZONEMGR" -q exec-diz -c "$IMAGE" -z zt-kept --exec-discard onfail --exec-cmd true
status 0 "$ZONEMGR" -q is-diz zt-kept
status 0 "$ZONEMGR" -q destroy zt-kept

say "a build that dies is not a success"
status 137 "$ZONEMGR" -q exec-diz -c "$IMAGE" --exec-cmd 'kill -9 $$'
say "a build that takes too long"
status 124 "$ZONEMGR" -q exec-diz -c "$IMAGE" --exec-timeout 1 --exec-cmd 'sleep 600'
expect "no zone is left" "" "$("$ZONEMGR" list-diz)"

say "variables, directory, quoting"
expect "environment" "a  b 'c' \$d" \
	"$("$ZONEMGR" -q exec-diz -c "$IMAGE" --exec-env "V=a  b 'c' \$d" --exec-cwd /var --exec-cmd 'echo "$V"')"
expect "directory" /var "$("$ZONEMGR" -q exec-diz -c "$IMAGE" --exec-cwd /var -- pwd)"
