#!/bin/sh
# An administrator makes a golden image, looks at it, and is kept from spoiling it.
. "${0%/*}/lib.sh"
made zt-golden

say "make it"
expect "its name is printed" zt-golden "$("$ZONEMGR" -q create-giz -z zt-golden)"
status 0 "$ZONEMGR" -q is-managed zt-golden
status 0 "$ZONEMGR" -q is-giz -z zt-golden
status 1 "$ZONEMGR" -q is-diz zt-golden
expect "it is halted" installed "$("$ZONEMGR" -q get-state zt-golden)"
status 0 "$ZONEMGR" -q verify -z zt-golden

say "three snapshots, the last one served"
expect "its snapshots" "initial-installed-zt-golden initial-manifest_import_booted-zt-golden initial-postinstalled-zt-golden" \
	"$("$ZONEMGR" list-snapshots -z zt-golden | xargs)"
expect "what is served" initial-postinstalled-zt-golden \
	"$(zfs get -H -o value zonemgr:current "$("$ZONEMGR" config get giz.dataset)/zt-golden")"

say "the tuned home of golden images"
expect "compression" gzip-9 "$(zfs get -H -o value compression "$("$ZONEMGR" config get giz.dataset)")"
expect "atime" off "$(zfs get -H -o value atime "$("$ZONEMGR" config get giz.dataset)")"
expect "auto-snapshot" false "$(zfs get -H -o value com.sun:auto-snapshot "$("$ZONEMGR" config get giz.dataset)")"

say "no second one of that name, no removal of what it serves"
refused "exists already" "$ZONEMGR" create-giz -z zt-golden
refused "new clones" "$ZONEMGR" destroy-snapshot -z zt-golden -s initial-postinstalled-zt-golden

say "away with it"
status 0 "$ZONEMGR" -q destroy zt-golden
status 1 "$ZONEMGR" -q is-managed zt-golden
