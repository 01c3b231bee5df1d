#!/bin/sh
# A snapshot remembers the zone's configuration and all its datasets; a rollback brings both back.
. "${0%/*}/lib.sh"
image
scratch /export/zt-src
made zt-snap
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-snap --delegate-dataset rpool/export/zt-data
status 0 "$ZONEMGR" -q exec -z zt-snap --exec-cmd 'echo before > /root/note'
status 0 "$ZONEMGR" -q snapshot zt-snap@clean
expect "it runs again" running "$("$ZONEMGR" get-state zt-snap)"
status 0 "$ZONEMGR" -q exec -z zt-snap --exec-cmd 'echo after > /root/note'
status 0 "$ZONEMGR" -q modify -z zt-snap --mount-lofs '/src|/export/zt-src' --restart
"$ZONEMGR" list-snapshots -v zt-snap | grep -q clean || fail "list-snapshots -v does not show it"
status 0 "$ZONEMGR" -q rollback zt-snap@clean
expect "the files are as they were" before "$("$ZONEMGR" -Q exec -z zt-snap --exec-cmd 'cat /root/note')"
expect "and the configuration" "" "$(zonecfg -z zt-snap info fs)"

say "by its UUID"
uuid=$(zoneadm list -cp | awk -F: '$2 == "zt-snap" { print $5 }')
expect "the same zone" running "$("$ZONEMGR" get-state "$uuid")"
status 0 "$ZONEMGR" -q destroy zt-snap
expect "its dataset went with it" "" "$(zfs list -H -o name | grep zt-data)"
