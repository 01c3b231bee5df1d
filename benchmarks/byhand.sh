#!/bin/sh
# What zonemgr's exec-diz does, by hand and no more than is needed to do it correctly: a disposable zone from a
# golden snapshot that exists, one lofs mount, one VNIC, a command, and everything removed again.
# Usage: byhand.sh GOLDEN SNAPSHOT ZONE LOFS-DIR LINK 'COMMAND'. Its exit status is the command's.
# The number of host commands it needs is what zonemgr is held against (benchmarks/run.py).
set -u
golden=$1 snapshot=$2 zone=$3 dir=$4 link=$5 command=$6
vnic=byhand0
parent=rpool/zones/diz
path=/zones/diz/$zone
script=$(mktemp) || exit 125
trap 'rm -f "$script"' EXIT
die() { echo "byhand: $*" >&2; exit 125; }

# What must hold before anything is changed.
zoneadm list -cp | grep -q ":$zone:" && die "zone $zone exists"
[ "$(zoneadm -z "$golden" list -p | cut -d: -f3)" = installed ] || die "$golden is not installed"
gz=$(beadm list -H | awk -F';' '$3 ~ /N/ { print $2 }')
root=$(zfs list -H -r -o name,org.opensolaris.libbe:parentbe,org.opensolaris.libbe:active \
	"rpool/zones/giz/$golden/ROOT" | awk -v gz="$gz" '$2 == gz && $3 == "on" { print $1 }')
[ -n "$root" ] || die "$golden has no active root"
# Without a hold the uninstall of the last clone destroys the golden snapshot.
[ "$(zfs get -H -o value userrefs "$root@$snapshot")" -gt 0 ] || zfs hold byhand "$root@$snapshot" || die "no hold"
dladm show-link "$link" >/dev/null || die "no link $link"

zfs create "$parent/$zone" || die "no dataset"
dladm create-vnic -t -l "$link" "$vnic" || die "no VNIC"
cat > "$script" <<EOF
create -b
set brand=$(zoneadm -z "$golden" list -p | cut -d: -f6)
set zonepath=$path
set autoboot=false
set ip-type=exclusive
add fs
set dir=$dir
set special=$dir
set type=lofs
end
add net
set physical=$vnic
end
verify
commit
EOF
zonecfg -z "$zone" -f "$script" || die "not configured"
zonecfg -z "$zone" info net | grep -q "physical: $vnic" || die "the configuration is not what it should be"
zoneadm -z "$zone" clone -s "$snapshot" "$golden" > "$script" 2>&1 || die "not cloned"
# A failed clean-up of the clone ends with 0 all the same.
! grep -q ERROR: "$script" || die "the clone was not reset"
[ "$(zoneadm -z "$zone" list -p | cut -d: -f3)" = installed ] || die "the clone is not installed"
zoneadm -z "$zone" boot -- -s || die "not booted"
until svcs -z "$zone" -H -o state svc:/milestone/single-user:default 2>/dev/null | grep -qx online; do sleep 0.05; done
zlogin -S "$zone" /bin/sh <<EOF || die "not set up"
echo $zone > /etc/nodename
printf '::1\tlocalhost\n127.0.0.1\tlocalhost loghost $zone\n' > /etc/inet/hosts
: > /etc/hostname.$vnic
: > /etc/dhcp.$vnic
svcadm milestone all
EOF
until svcs -z "$zone" -H -o state svc:/milestone/multi-user-server:default 2>/dev/null | grep -qx online; do
	sleep 0.05
done
zlogin -n -S "$zone" "($command); echo BYHAND-\$?" > "$script"
status=$(sed -n 's/^BYHAND-//p' "$script")
sed '/^BYHAND-/d' "$script"

zoneadm -z "$zone" halt || die "not halted"
[ "$(zoneadm -z "$zone" list -p | cut -d: -f3)" = installed ] || die "still up"
zoneadm -z "$zone" uninstall -F || die "not uninstalled"
zonecfg -z "$zone" delete -F || die "not deleted"
dladm delete-vnic "$vnic" || die "the VNIC is left"
# Exit 0 of uninstall does not mean gone.
! zfs list "$parent/$zone" >/dev/null 2>&1 || die "the dataset is left"
zoneadm list -cp | grep -q ":$zone:" && die "the zone is left"
exit "${status:-125}"
