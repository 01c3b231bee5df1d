#!/bin/sh
# Changing a zone that exists: at its next boot, or at once with --restart.
. "${0%/*}/lib.sh"
image
scratch /export/zt-more
echo hello > /export/zt-more/file
made zt-mod
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-mod
status 0 "$ZONEMGR" -q modify -z zt-mod --mount-lofs '/more|/export/zt-more' --quota 1G --restart
expect "the mount is there" hello "$("$ZONEMGR" -Q exec -z zt-mod --exec-cmd 'cat /more/file')"
expect "the quota" 1073741824 "$(zfs get -Hp -o value quota rpool/zones/diz/zt-mod)"
refused /no/such "$ZONEMGR" modify -z zt-mod --mount-lofs '/x|/no/such' --drop-quota
expect "nothing of it was done" 1073741824 "$(zfs get -Hp -o value quota rpool/zones/diz/zt-mod)"
status 0 "$ZONEMGR" -q modify -z zt-mod --drop-mount-lofs /more --drop-quota --restart
status 1 "$ZONEMGR" -Q exec -z zt-mod --exec-cmd 'test -e /more/file'
status 0 "$ZONEMGR" -q destroy zt-mod
