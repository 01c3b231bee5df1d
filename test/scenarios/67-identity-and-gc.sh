#!/bin/sh
# Two clones do not share an identity; what vanished zones have left is found.
. "${0%/*}/lib.sh"
image
made zt-one
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-one --add-vnic-over net0
expect "its hosts entry" 1 "$("$ZONEMGR" -Q exec -z zt-one --exec-cmd 'grep -c zt-one /etc/inet/hosts')"
link=$(zonecfg -z zt-one info attr name=zonemgr.autovnic | sed -n 's/.*value: "\{0,1\}\([^|"]*\)|.*/\1/p')
status 0 "$ZONEMGR" -q halt zt-one

say "a VNIC that a reboot of the host has taken is made again"
dladm delete-vnic -t "$link"
status 0 "$ZONEMGR" -q start zt-one
expect "the link is back" "$link" "$(dladm show-vnic -p -o link "$link")"
status 0 "$ZONEMGR" -q destroy zt-one

say "an orphan is listed, and removed only on request"
dladm create-vnic -t -l net0 zm0abc12_0
"$ZONEMGR" gc | grep -q zm0abc12_0 || fail "gc does not list the orphan"
expect "it is still there" zm0abc12_0 "$(dladm show-vnic -p -o link zm0abc12_0)"
status 0 "$ZONEMGR" -q gc --yes
expect "now it is gone" "" "$(dladm show-vnic -p -o link | grep zm0abc12_0)"
