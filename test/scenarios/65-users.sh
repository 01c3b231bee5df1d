#!/bin/sh
# Accounts of the host in a zone: whole, once, and with rights where asked for.
. "${0%/*}/lib.sh"
image
user=${ZT_USER:-builder}
made zt-user
status 0 "$ZONEMGR" -q create-diz -c "$IMAGE" -z zt-user --copy-users "$user" --elevate-users "$user"
inside() { "$ZONEMGR" -Q exec -z zt-user --exec-cmd "$1"; }
expect "one line in passwd" 1 "$(inside "grep -c '^$user:' /etc/passwd")"
expect "one in user_attr" 1 "$(inside "grep -c '^$user:' /etc/user_attr")"
expect "the same number" "$(id -u "$user")" "$(inside "id -u $user" 2>/dev/null || inside "awk -F: '\$1==\"$user\"{print \$3}' /etc/passwd")"
status 0 "$ZONEMGR" -q modify -z zt-user --elevate-users "$user" --restart
expect "still one" 1 "$(inside "grep -c '^$user:' /etc/user_attr")"
expect "its own name" zt-user "$(inside 'cat /etc/nodename')"
status 0 "$ZONEMGR" -q destroy zt-user
