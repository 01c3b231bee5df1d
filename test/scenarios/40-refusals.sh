#!/bin/sh
# What cannot be meant is refused in one sentence, before anything is changed.
. "${0%/*}/lib.sh"
image
before=$(zfs list -H -o name; zoneadm list -cp)
run() { "$ZONEMGR" -q "$@"; }

status 2 run frobnicate
status 2 run create-diz -s x
status 2 run create-diz -c "$IMAGE" -z 'bad name'
status 2 run create-diz -c "$IMAGE" -z global
status 2 run create-diz -c "$IMAGE" --mount-lofs relative
status 2 run create-diz -c "$IMAGE" --mount-lofs '/a"b'
status 2 run create-diz -c "$IMAGE" --add-vnic no-hyphens
status 2 run create-diz -c "$IMAGE" --delegate-dataset rpool//x
status 2 run boot -z zt-x --quota 1G
status 2 run exec-diz -c "$IMAGE"
status 2 run exec-diz -c "$IMAGE" --exec-discard sometimes --exec-cmd true
refused "no directory /export/nowhere" run create-diz -c "$IMAGE" --mount-lofs /export/nowhere
refused "no link nosuch0" run create-diz -c "$IMAGE" --add-vnic-over nosuch0
refused "no user nobodyatall" run create-diz -c "$IMAGE" --copy-users nobodyatall
refused "no snapshot nosuch" run create-diz -c "$IMAGE" -s nosuch
refused "no zone nosuch" run boot -z nosuch
refused "no zone nosuch" run get-state nosuch
refused "$IMAGE" run create-diz -c "$IMAGE" -z "$IMAGE"

expect "nothing was changed" "$before" "$(zfs list -H -o name; zoneadm list -cp)"
