# How dom0 works with its devices: for init.sh and reset/reset.sh, behind common.sh. /devices has a line for each device: name,
# address, driver, kind.

is_bound() { [ -e "$pci/drivers/$2/$1" ]; }
bound() { until_true 20 is_bound "$1" "$2" || { why="$2 is not bound"; return 1; }; }

# Each kind has io_KIND ADDRESS [full]: proves that the device moves data, and sets $why.

turn=0
io_nvme() {
    until_true 20 nvme_disk "$1" || { why="no disk"; return 1; }
    if [ "$2" ]; then at=0 count=$((data_bytes / 65536)); else turn=$(((turn + 1) % 4)) at=$turn count=4; fi
    dd if=/payload of="$disk" bs=64k count=$count seek=$at oflag=direct conv=fsync,notrunc status=none ||
        { why="cannot write"; return 1; }
    [ "$2" ] && { sync; echo 3 >/proc/sys/vm/drop_caches; }
    want=$(dd if=/payload bs=64k count=$count status=none | sum)
    got=$(dd if="$disk" bs=64k count=$count skip=$at iflag=direct status=none | sum)
    why="$got"
    [ "$want" = "$got" ] || { why="wrote $want, read $got"; return 1; }
}
load_nvme() { nvme_disk "$1" && dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct status=none; }
# The half that the host filled.
disk_sum() {
    case $2 in
    nvme) nvme_disk "$1" ;;
    ahci) ahci_disk "$1" ;;
    esac
    why=$(dd if="$disk" bs=64k skip=$((data_bytes / 65536)) count=$((data_bytes / 65536)) iflag=direct status=none | sum)
}

# Right after a bind, the node of the disk that was there before may not be gone yet: a disk is one that can be read.
ahci_disk() { disk=$(cd "$pci/devices/$1" 2>/dev/null && echo ata*/host*/target*/*/block/sd*); disk=/dev/${disk##*/}; [ -b "$disk" ] && head -c 512 "$disk" >/dev/null 2>&1; }
io_ahci() {
    until_true 20 ahci_disk "$1" || { why="no disk"; return 1; }
    if [ "$2" ]; then count=$((data_bytes / 32768)); else count=4; fi
    got=$(dd if="$disk" bs=64k count=$count iflag=direct status=none | sum)
    why="$got"
    if [ "$2" ]; then first=$(dd if="$disk" bs=64k count=4 iflag=direct status=none | sum); echo "$first" >/tmp/ahci.sum; return; fi
    [ "$got" = "$(cat /tmp/ahci.sum)" ] || { why="read $got"; return 1; }
}
load_ahci() { ahci_disk "$1" && dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct status=none; }

nic_name() { nic=$(ls "$pci/devices/$1/net" 2>/dev/null); [ "$nic" ]; }
nic_carrier() { [ "$(cat "/sys/class/net/$nic/carrier" 2>/dev/null)" = 1 ]; }
nic_up() {
    until_true 20 nic_name "$1" || { why="no network interface"; return 1; }
    ip link set "$nic" up || { why="cannot be set up"; return 1; }
    until_true 20 nic_carrier || { why="no link"; return 1; }
}
# The driver asks for an interrupt when it comes up. The link takes seconds more.
nic_interrupted() {
    vectors=$(cd "$pci/devices/$1/msi_irqs" && echo *)
    grep -qE "^ *(${vectors// /|}): *[0-9 ]*[1-9]" /proc/interrupts
}
interrupt_nic() {
    until_true 20 nic_name "$1" || { why="no network interface"; return 1; }
    ip link set "$nic" up || { why="cannot be set up"; return 1; }
    . "/tmp/lease.$1"
    ip addr add "$address/24" dev "$nic" 2>/dev/null
    until_true 20 nic_interrupted "$1" || { why="no interrupt"; return 1; }
}
io_nic() {
    nic_up "$1" || return 1
    if [ "$2" ]; then
        udhcpc -i "$nic" -n -q -t 10 -T 1 -s /udhcpc.sh >/dev/null 2>&1 || { why="no DHCP lease"; return 1; }
        count=$network_bytes
    else
        . "/tmp/lease.$1"
        ip addr add "$address/24" dev "$nic" 2>/dev/null
        count=16384
    fi
    address=$(ip -4 -o addr show "$nic" | sed 's/.*inet \([0-9.]*\).*/\1/')
    echo "address=$address" >"/tmp/lease.$1"
    # The server sends back what it gets: as many bytes as the first line says.
    want=$(head -c "$count" /payload | sum)
    got=$({ echo "$count"; head -c "$count" /payload; } | timeout 30 nc "${address%.*}.2" "$echo_port" | sum)
    why="$address"
    [ "$want" = "$got" ] || { why="sent $want, got back $got"; return 1; }
}
load_nic() {
    nic_name "$1" && . "/tmp/lease.$1" &&
        { echo 16384; head -c 16384 /payload; } | timeout 1 nc "${address%.*}.2" "$echo_port" >/dev/null
}

usb_device() { usb=$(cd "$pci/devices/$1" 2>/dev/null && grep -ls 0627 usb*/*/idVendor); usb=$pci/devices/$1/${usb%/idVendor}; [ -e "$usb/idVendor" ]; }
io_xhci() {
    until_true 20 usb_device "$1" || { why="no USB device"; return 1; }
    # Choosing the configuration again is a control transfer.
    for _ in 1 2 3 4; do
        echo 1 >"$usb/bConfigurationValue" || { why="no control transfer"; return 1; }
    done
    why="$(cat "$usb/idVendor"):$(cat "$usb/idProduct")"
}
# Its driver and the hubs keep it in use; a transfer that a reset kills would be waited for five seconds.
load_xhci() { usleep 500000; }

io_port() {
    ls -d "$pci/devices/$1"/0000:* >/dev/null 2>&1 || { why="nothing behind it"; return 1; }
    [ "$(ls "$pci/devices/$1/msi_irqs")" ] || { why="no interrupt"; return 1; }
    why=$(cd "$pci/devices/$1" && echo 0000:*:*.*)
}

# again ADDRESS DRIVER [COMMAND]: unbinds and binds; in between, the command is done to the address.
again() {
    echo "$1" >"$pci/drivers/$2/unbind" || { why="cannot unbind"; return 1; }
    [ -z "$3" ] || "$3" "$1" || return 1
    echo "$1" >"$pci/drivers/$2/bind" || { why="cannot bind"; return 1; }
}

# A device is in use from here to at_rest.
in_use() {
    busy=/tmp/busy.$1
    touch "$busy"
    (while [ -e "$busy" ]; do "load_$2" "$1" || usleep 100000; done) >/dev/null 2>&1 &
    loader=$!
}
at_rest() {
    rm "$busy"
    wait $loader
}

# rebind ADDRESS DRIVER KIND [BOUND [UNBOUND]]: unbinds and binds; before that, and in between, commands are done to the address.
rebind() {
    moved=0
    for i in $(seq "$rounds"); do
        proof=io_$3
        case $3:$i:$5 in
        # Where the hypervisor has reset it, each time.
        nic:*:?* | nic:1:* | nic:*5:* | nic:*0:*) moved=$((moved + 1)) ;;
        xhci:1:*) ;;
        nic:*) proof=interrupt_nic ;;
        # After a reset, Linux waits five seconds for the controller to let go of a device that is plugged in.
        xhci:*) echo 1 >"$usb/remove" ;;
        esac
        { [ -z "$4" ] || "$4" "$1"; } && again "$1" "$2" "$5" && "$proof" "$1" || { why="round $i: $why"; return 1; }
    done
    why="$rounds times"
    case $3 in
    nic) why="$why, data moved after $moved" ;;
    xhci) why="$why, with a device plugged in at first" ;;
    esac
}

exercise() {
    check "$1" bound bound "$2" "$3"
    check "$1" io "io_$4" "$2" full
    case $4 in
    nvme | ahci) check "$1" host-data disk_sum "$2" "$4" ;;
    esac
}

# side_by_side COMMAND: with the name, the address, the driver and the kind of each device.
side_by_side() {
    while read -r name address driver kind; do
        "$1" "$name" "$address" "$driver" "$kind" &
    done </devices
    wait
}
