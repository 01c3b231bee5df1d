#!/bin/sh
# Golden images as layers: the second job with the same needs starts at once.
. "${0%/*}/lib.sh"
image
make=developer/build/gnu-make

say "a job says what it needs, and gets an image that has it"
status 0 "$ZONEMGR" -q exec-diz -p "$make" --exec-cmd "pkg list -H $make"
name=$("$ZONEMGR" -q create-giz -Z -p "$make")
made "$name"
expect "the image has the name of its contents" giz- "$(printf %.4s "$name")"
before=$("$ZONEMGR" list-giz | wc -l)
status 0 "$ZONEMGR" -q exec-diz -p "$make" --exec-cmd true
expect "no second image" "$before" "$("$ZONEMGR" list-giz | wc -l)"
expect "same request, same name" "$name" "$("$ZONEMGR" -q create-giz -Z -p "$make $make")"

say "an image from an image, by hand; and the whole lineage"
made zt-derived
status 0 "$ZONEMGR" -q create-giz -z zt-derived -c "$name" -P "$make"
refused zt-derived "$ZONEMGR" destroy "$name"
"$ZONEMGR" tree | grep -q zt-derived || fail "tree does not show the derived image"
status 0 "$ZONEMGR" -q destroy zt-derived
status 0 "$ZONEMGR" -q destroy "$name"
