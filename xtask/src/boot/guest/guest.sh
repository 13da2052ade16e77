#!/bin/busybox sh
# dom0's first process for `cargo xtask boot --guest` and `--q35`: starts guests and reports (see common.sh). What the loader
# prints goes out as `note guest ROW ROUND LINE`. /rows has a line for each row of the table: MODE NAME TIMES OPTIONS. MODE is
# `with` for guests that run beside those of the next line. Before it, a line for each of its servers (see servers.sh).

. /common.sh
. /servers.sh

# launch NAME ROUND OPTION...
launch() {
    row=$1 round=$2
    shift 2
    if exists "/tmp/servers.$row"; then
        served "$row" "$round" "$@"
        said "$row" "$round"
    else
        loader run "$@" >"/tmp/$row.$round" 2>&1
    fi
    sed "s/^/note guest $row $round /" "/tmp/$row.$round" >&3
}

# rounds NAME TIMES OPTIONS
rounds() {
    eval "set -- $1 $2 $3"
    last=$2 name=$1
    shift 2
    for turn in $(seq "$last"); do
        launch "$name" "$turn" "$@"
    done
}

# Everything that the guests get is dom0's first: its driver lets go of it.
let_go() {
    for address in $devices; do
        until_true 20 exists "$pci/devices/$address/driver" || { why="$address has no driver"; return 1; }
    done
    for address in $devices; do
        echo "$address" >"$pci/devices/$address/driver/unbind" || { why="cannot unbind $address"; return 1; }
    done
    why=$devices
}

# What Xen frees late is not free at once: the state when it has settled, or when it is again what is in FILE.
state() {
    now=
    for _ in $(seq 10); do
        before=$now
        now=$(loader state)
        [ "$now" = "$(cat "${1:-/dev/null}")" ] && break
        [ -z "$1" ] && [ "$now" = "$before" ] && break
        sleep 1
    done
    echo "$now"
}

dmesg -n 4
step "loading the drivers"
load_modules
check dom0 let-go let_go
for address in $devices; do
    block "query $address" loader query "$address"
done

running= first=yes
while read -r mode name times options; do
    case $mode in
    stays | visits | refused)
        echo "$mode $name $times $options" >>/tmp/servers
        continue
        ;;
    esac
    exists /tmp/servers && mv /tmp/servers "/tmp/servers.$name"
    step "$name"
    rounds "$name" "$times" "$options" &
    running="$running $!"
    [ "$mode" = with ] || { wait $running; running=; }
    # What the first guest needs of dom0 and of Xen stays.
    [ "$first" ] && { state >/tmp/before; block state-before cat /tmp/before; ask before; }
    first=
done </rows
block state-after state /tmp/before
ask after
block problems sh -c 'dmesg | grep -E "BUG|Oops|Call Trace|WARNING:|hung task|DMAR.*fault|nobody cared"'
say "bye"
sync
poweroff -f
