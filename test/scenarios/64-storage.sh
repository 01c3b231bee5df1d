#!/bin/sh
# Storage of a zone: delegated datasets, its own clone of a host dataset, limits; images as files.
. "${0%/*}/lib.sh"
image
say "a source tree of its own: what goes wrong inside never reaches the original"
zfs create -o mountpoint=/export/zt-tree rpool/export/zt-tree
echo original > /export/zt-tree/file
made zt-store
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-store --clone-dataset 'rpool/export/zt-tree|/tree' \
	--delegate-dataset rpool/export/zt-delegated --quota 2G --max-processes 500 --tmpfs-size 256M
expect "it is there" original "$("$ZONEMGR" -Q exec -z zt-store --exec-cmd 'cat /tree/file')"
status 0 "$ZONEMGR" -q exec -z zt-store --exec-cmd 'echo spoilt > /tree/file; rm -rf /tree/file'
expect "the original" original "$(cat /export/zt-tree/file)"
expect "the quota" 2147483648 "$(zfs get -Hp -o value quota rpool/zones/diz/zt-store)"
status 0 "$ZONEMGR" -q destroy zt-store
expect "nothing is left of them" "" "$(zfs list -H -o name | grep zt- | grep -v '^rpool/export/zt-tree$\|giz')"
expect "nor a snapshot" "" "$(zfs list -H -t snapshot -o name -r rpool/export/zt-tree)"
zfs destroy rpool/export/zt-tree

say "an image travels as a file"
scratch /export/zt-files
status 0 "$ZONEMGR" -q export -z "$IMAGE" -o /export/zt-files/image
made zt-imported
status 0 "$ZONEMGR" -q import /export/zt-files/image -z zt-imported
status 0 "$ZONEMGR" -q exec-diz -c zt-imported --exec-cmd true
status 0 "$ZONEMGR" -q destroy zt-imported
