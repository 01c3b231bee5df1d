#!/bin/sh
# A CI job is killed with KILL in the middle; the next command clears up what it left.
. "${0%/*}/lib.sh"
image
fifo=/var/tmp/zt-fifo.$$
mkfifo "$fifo"
DIRS="$DIRS $fifo"

say "kill it while the build runs"
"$ZONEMGR" -q exec-diz -c "$IMAGE" -z zt-killed --exec-cmd 'echo begun; sleep 600' > "$fifo" &
pid=$!
read -r line < "$fifo"
expect "the build runs" begun "$line"
kill -KILL "$pid"
wait "$pid" 2>/dev/null || :

say "it has left a zone; recover removes it"
"$ZONEMGR" -q recover
status 1 "$ZONEMGR" -q is-managed zt-killed
! zfs list "$("$ZONEMGR" config get diz.dataset)/zt-killed" >/dev/null 2>&1 || fail "a dataset is left"
status 0 "$ZONEMGR" -q recover

say "an aborted job cleans up by itself"
"$ZONEMGR" -q exec-diz -c "$IMAGE" -z zt-aborted --exec-cmd 'echo begun; sleep 600' > "$fifo" &
pid=$!
read -r line < "$fifo"
kill -TERM "$pid"
got=0; wait "$pid" || got=$?
expect "its exit status" 143 "$got"
status 1 "$ZONEMGR" -q is-managed zt-aborted
