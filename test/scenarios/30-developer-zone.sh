#!/bin/sh
# A developer keeps a zone for a while: network, accounts, snapshots, the life of a zone.
. "${0%/*}/lib.sh"
image
home=/export/zt-home
scratch "$home"
made zt-dev
link=$(dladm show-link -p -o link,class | sed -n 's/:phys$//p' | head -1)

say "a zone with a mount, a VNIC and a user"
"$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-dev --mount-lofs "$home" --add-vnic-over "$link" \
	--copy-users builder --elevate-users builder >/dev/null
expect "it runs" running "$("$ZONEMGR" get-state zt-dev)"
expect "its name is its own" zt-dev "$("$ZONEMGR" -q exec -z zt-dev --exec-cmd 'cat /etc/nodename')"
expect "the user is there" builder "$("$ZONEMGR" -q exec -z zt-dev --exec-user builder --exec-cmd 'id -un')"
"$ZONEMGR" -q exec -z zt-dev --exec-cmd "grep '^builder:.*Primary Administrator' /etc/user_attr" >/dev/null ||
	fail "the user has no rights"
vnic=$(zonecfg -z zt-dev info net | sed -n 's/.*physical: //p')
dladm show-vnic "$vnic" >/dev/null || fail "there is no VNIC $vnic"
echo hello > "$home/file"
expect "the mount is the host's directory" hello "$("$ZONEMGR" -q exec -z zt-dev --exec-cmd "cat $home/file")"

say "snapshot, spoil, roll back"
status 0 "$ZONEMGR" -q snapshot zt-dev -s clean
"$ZONEMGR" -q exec -z zt-dev --exec-cmd 'rm -f /etc/passwd; echo spoilt > /etc/motd'
status 0 "$ZONEMGR" -q rollback zt-dev -s clean
expect "the account is back" builder "$("$ZONEMGR" -q exec -z zt-dev --exec-user builder --exec-cmd 'id -un')"
expect "it has one snapshot" clean "$("$ZONEMGR" list-snaps zt-dev)"

say "exec with a way back"
status 1 "$ZONEMGR" -q exec -z zt-dev --exec-discard onfail --exec-cmd 'echo mess > /root/mess; exit 1'
status 1 "$ZONEMGR" -q exec -z zt-dev --exec-cmd 'test -f /root/mess'
expect "still one snapshot" clean "$("$ZONEMGR" list-snaps zt-dev)"
status 0 "$ZONEMGR" -q destroy-snapshot zt-dev -s clean

say "up and down"
status 0 "$ZONEMGR" -q halt zt-dev
expect "halted" installed "$("$ZONEMGR" -z zt-dev status)"
status 0 "$ZONEMGR" -q -z zt-dev start
expect "started" running "$("$ZONEMGR" -z zt-dev state)"
status 0 "$ZONEMGR" -q -z zt-dev shutdown
status 0 "$ZONEMGR" -q -z zt-dev ready
expect "ready" ready "$("$ZONEMGR" get-state -z zt-dev)"
status 0 "$ZONEMGR" -q halt zt-dev
status 0 "$ZONEMGR" -q mount zt-dev
expect "mounted" mounted "$("$ZONEMGR" get-state -z zt-dev)"
status 0 "$ZONEMGR" -q umount zt-dev
status 0 "$ZONEMGR" -q singleuser zt-dev
status 0 "$ZONEMGR" -q reboot zt-dev
status 0 "$ZONEMGR" -q stop zt-dev
status 0 "$ZONEMGR" -q restart zt-dev

say "away with it, VNIC and all; the host's directory stays"
status 0 "$ZONEMGR" -q destroy zt-dev
! dladm show-vnic "$vnic" >/dev/null 2>&1 || fail "the VNIC is left"
expect "the directory" hello "$(cat "$home/file")"
