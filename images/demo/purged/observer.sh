# What a State Purge left of the machine. `once`: told once; `watch`: until somebody switches it off. The port of the host that
# is tried lies in /run/other-port.
is() { systemctl is-active "$1"; }
there() { test -e "$1" && echo there || echo gone; }
readable() { cat "$1" >/dev/null 2>&1 && echo readable || echo unreadable; }
connection() {
    timeout 5 /bin/bash -c "echo out > /dev/tcp/10.0.2.2/$(cat /run/other-port)" 2>/dev/null && echo passes || echo fails
}
tell() {
    echo "OBSERVER $1: secret $(there /run/secrets/machine), state $(readable /var/lib/bennu-alert/cursor.json), connection $(connection)," \
        "purged.target $(is purged.target), bennud $(is bennud), nginx $(is nginx), networkd $(is systemd-networkd)," \
        "sender $(is bennu-alert), sender after the purge $(is bennu-purged-alert)"
}
test "$1" = once && tell 0 && exit
while test -e /run/secrets/machine; do sleep 1; done
look=1
while :; do
    tell $look
    look=$((look + 1))
    sleep 5
done
