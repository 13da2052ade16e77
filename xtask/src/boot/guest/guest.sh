#!/bin/busybox sh
# dom0's first process for `cargo xtask boot --guest` and `--q35`: starts guests and reports (see common.sh). What the loader
# prints goes out as `note guest ROW ROUND LINE`. /rows has a line for each row of the table: MODE NAME TIMES OPTIONS. MODE is
# `with` for guests that run beside those of the next line, `back` for guests after which dom0 drives their device again. Before
# it, a line for each of its servers (see servers.sh).

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
        [ "$mode" = back ] || continue
        address=${options#*--device } verdict=ok why=
        drive "${address%% *}" || verdict=fail
        say "note guest $name $turn check dom0 driven $verdict $why"
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

# A controller's virtual function, which no driver of dom0's gets.
is_live() { [ "$(cat "$pci/devices/$physical"/nvme/nvme*/state)" = live ]; }
make_function() {
    until_true 20 is_live || { why="$physical has no driver"; return 1; }
    file=/dev/$(ls "$pci/devices/$physical/nvme")
    why=$(loader nvme-release "$file") || return 1
    # It gives them up when it is reset. Xen looks at the function's MSI-X once, when dom0 finds it.
    echo 1 >"$pci/devices/$physical/reset" && until_true 20 is_live || { why="$physical cannot be reset"; return 1; }
    why=$(loader nvme-assign "$file" 1) || return 1
    echo 0 >"$pci/devices/$physical/sriov_drivers_autoprobe"
    echo 1 >"$pci/devices/$physical/sriov_numvfs" || { why="$physical has no virtual function"; return 1; }
    why=$(loader nvme-online "$file" 1) || return 1
    why=$(readlink "$pci/devices/$physical/virtfn0") && why=${why##*/}
}

# A disk that a guest had is dom0's again: its driver reads what the host put there, writes, and is interrupted. What it writes,
# nobody reads later.
interrupts() { awk -v queue=" ${disk#/dev/}" 'BEGIN { sub("n1$", "q", queue) } $0 ~ queue { sum += $2 + $3 } END { print sum + 0 }' /proc/interrupts; }
drive() {
    why=$(loader release "$1") || return 1
    echo "$1" >"$pci/drivers/nvme/bind" || { why="no driver takes $1"; return 1; }
    until_true 20 nvme_disk "$1" || { why="no disk"; return 1; }
    before=$(interrupts)
    dd if=/payload of="$disk" bs=64k count=4 oflag=direct conv=fsync,notrunc status=none || { why="cannot write"; return 1; }
    want=$(dd if=/payload bs=64k count=4 status=none | sum)
    got=$(dd if="$disk" bs=64k count=4 iflag=direct status=none | sum)
    [ "$want" = "$got" ] || { why="wrote $want, read $got"; return 1; }
    got=$(dd if="$disk" bs=64k skip="$blocks" count="$blocks" iflag=direct status=none | sum)
    after=$(interrupts)
    echo "$1" >"$pci/drivers/nvme/unbind" || { why="cannot unbind $1"; return 1; }
    why="$got $((after - before))"
}

dmesg -n 4
step "loading the drivers"
load_modules
check dom0 let-go let_go
check dom0 virtual-function make_function
head -c 32768 /payload >/vpd
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
bye
