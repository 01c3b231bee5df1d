#!/bin/sh
# The nightly upgrade: silent when there is nothing, a report when there is, never a half-upgraded image.
. "${0%/*}/lib.sh"
image
served() { zfs get -H -o value zonemgr:current "rpool/zones/giz/$IMAGE"; }
old=$(served)

say "nothing to update: not a word, nothing touched"
expect "silent" "" "$("$ZONEMGR" upgrade-giz -z "$IMAGE" 2>&1)"
expect "still served" "$old" "$(served)"

# On a lab there can be something to update to; on a real host that is the publishers' business.
if [ -n "${ZONEMGR_LAB:-}" ]; then
	made zt-nightly
	status 0 "$ZONEMGR" -q create-giz -z zt-nightly -p developer/build/gnu-make
	"$ZONEMGR" lab publish developer/build/gnu-make > /dev/null

	say "a canary that fails: the image is what it was, the exit status says so"
	IMAGE=zt-nightly old=$(IMAGE=zt-nightly; served)
	status 1 "$ZONEMGR" -q upgrade-giz -z zt-nightly --canary-cmd 'exit 9' > /dev/null
	expect "still served" "$old" "$(served)"

	say "a canary that succeeds: a report, and the new snapshot is served"
	"$ZONEMGR" -q upgrade-giz -z zt-nightly --canary-cmd 'pkg list -H developer/build/gnu-make' | grep -q gnu-make \
		|| fail "the report does not name the package"
	expect "upgraded" upgraded- "$(served | cut -c1-9)"
	status 0 "$ZONEMGR" -q exec-diz -c zt-nightly --exec-cmd true
	IMAGE=zt-tools
fi

say "an unknown image, or one that is not golden"
status 1 "$ZONEMGR" upgrade-giz -z no-such
