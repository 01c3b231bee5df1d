#!/bin/sh
# Packages of zones that exist: installed and removed with a way back, publishers added.
. "${0%/*}/lib.sh"
image
made zt-pkg
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-pkg
has() { "$ZONEMGR" -Q exec -z zt-pkg --exec-cmd "pkg list -H $1 >/dev/null 2>&1 && echo yes || echo no"; }

say "installed, with a snapshot before and after"
status 0 "$ZONEMGR" -q pkg-install -z zt-pkg -p developer/build/gnu-make
expect "it is there" yes "$(has developer/build/gnu-make)"
expect "the zone runs again" running "$("$ZONEMGR" get-state zt-pkg)"
count=$("$ZONEMGR" list-snapshots zt-pkg | wc -l)

say "nothing to do is done, and leaves nothing"
status 0 "$ZONEMGR" -q pkg-install -z zt-pkg -p developer/build/gnu-make
expect "no more snapshots" "$count" "$("$ZONEMGR" list-snapshots zt-pkg | wc -l)"

say "a package that does not exist changes nothing"
refused "no/such/package" "$ZONEMGR" -q pkg-install -z zt-pkg -p 'no/such/package'
expect "still running" running "$("$ZONEMGR" get-state zt-pkg)"

say "removed again; catalogues; nothing to upgrade"
status 0 "$ZONEMGR" -q pkg-uninstall -z zt-pkg -P developer/build/gnu-make
expect "it is gone" no "$(has developer/build/gnu-make)"
status 0 "$ZONEMGR" -q pkg-refresh -z zt-pkg
status 0 "$ZONEMGR" -q pkg-upgrade -z zt-pkg
status 0 "$ZONEMGR" -q destroy zt-pkg
