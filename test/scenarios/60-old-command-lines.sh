#!/bin/sh
# Jobs and crontabs written for illumos-zonemgr go on working: options anywhere, all spellings, plain answers.
. "${0%/*}/lib.sh"
image
scratch /export/zt-old

say "a configuration of shell variables serves as it is, and can be taken over"
cat > /export/zt-old/old.conf <<-'EOF'
	# golden and disposable zones
	DATASET_CONTAINMENT_GIZ="rpool/zones/giz" ; DATASET_CONTAINMENT_GIZ_MPT=/zones/giz
	DATASET_CONTAINMENT_DIZ="rpool/zones/diz" ; DATASET_CONTAINMENT_DIZ_MPT=/zones/diz
	:
EOF
expect "the old file" rpool/zones/giz \
	"$("$ZONEMGR" --config /export/zt-old/old.conf -d 0 DEVEL_DEBUG eval echo '$DATASET_CONTAINMENT_GIZ')"
"$ZONEMGR" config import-legacy /export/zt-old/old.conf > /export/zt-old/new.toml
expect "the new file" rpool/zones/diz "$("$ZONEMGR" --config /export/zt-old/new.toml config get diz.dataset)"

say "the clone option alone means create-diz; -O gets the name"
status 0 "$ZONEMGR" -q -c "$IMAGE" -O /export/zt-old/name
. /export/zt-old/name
zone=$GENERATED_ZONENAME
made "$zone"
expect "the state, one word" running "$("$ZONEMGR" -q getstate -z "$zone")"
expect "one name per line" "$zone" "$("$ZONEMGR" list-diz -z "$zone")"
status 0 "$ZONEMGR" -q is-managed-diz "$zone"
status 1 "$ZONEMGR" -q is-managed-giz "$zone"
status 0 "$ZONEMGR" -q -z "$zone" validate

say "--exec-cmd alone means exec; what the action has no use for is left aside aloud"
expect "a command" "$zone" "$("$ZONEMGR" -Q -z "$zone" --exec-cmd hostname --copy-user root)"
status 5 "$ZONEMGR" -q run -z "$zone" --exec-discard off --exec-cmd 'exit 5'

say "its life, options before the action"
status 0 "$ZONEMGR" -q -z "$zone" halt
status 0 "$ZONEMGR" -q -z "$zone" ready
status 0 "$ZONEMGR" -q -z "$zone" halt
status 0 "$ZONEMGR" -q -z "$zone" mount
status 0 "$ZONEMGR" -q -z "$zone" umount
status 0 "$ZONEMGR" -q -z "$zone" boot-single
expect "a zone at single-user takes commands" yes "$("$ZONEMGR" -Q -z "$zone" --exec-cmd 'echo yes')"
status 0 "$ZONEMGR" -q -z "$zone" halt

say "snapshots: the part behind the @"
status 0 "$ZONEMGR" -q snapshot -z "$zone" -s snap1
expect "plain" snap1 "$("$ZONEMGR" list-snaps "$zone" | tail -1)"
status 0 "$ZONEMGR" -q rollback -z "$zone@snap1"
status 0 "$ZONEMGR" -q destroy-snap -z "$zone" -s snap1
refused "is empty" "$ZONEMGR" destroy -z "$zone" -s ""
status 0 "$ZONEMGR" -q -z "$zone" destroy
