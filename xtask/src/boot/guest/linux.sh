#!/bin/busybox sh
# The first process of a Linux guest: works with its NVMe disk. The kernel's log is its console; a line that begins with @k is
# a report (see ../protocol.rs). The command line says: fill=1 to write the disk's first half first, blocks=N of 64 KiB in each
# half, end=poweroff or reboot, mch=1 if it is behind the MCH, resets=N to have the disk's controller reset so often before.

/bin/busybox mkdir -p /sbin /proc /sys /dev /tmp
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /settings
for argument in $(cat /proc/cmdline); do
    case $argument in
    fill=* | blocks=* | end=* | mch=* | resets=*) eval "$argument" ;;
    esac
done

# Without the kernel's rate limit for lines from user space.
echo on >/proc/sys/kernel/printk_devkmsg
say() { echo "<1>@k $*" >/dev/kmsg; }
half() { dd if="$disk" bs=64k skip="$1" count="$blocks" iflag=direct status=none | sha256sum | cut -c 1-64; }

# number FILE OFFSET BYTES: what is there, in hexadecimal.
number() { od -An -v -t "x$3" -j $(($2)) -N "$3" "$1" | tr -d ' '; }
# verdict CONDITION...
verdict() { "$@" && echo ok || echo fail; }

pci=/sys/bus/pci/devices
bridge=$pci/0000:00:00.0

# The host bridge, the window and the extended space behind it (PCIe 6.0, 7.6.3), and what the kernel says of it.
mch() {
    found="$(cat $bridge/vendor $bridge/device $bridge/class | tr '\n' ' ')"
    say "check linux host-bridge $(verdict [ "$found" = "0x8086 0x29c0 0x060000 " ]) $found"
    register=$(number $bridge/config 0x60 8)
    table=/sys/firmware/acpi/tables/MCFG
    window="$(number $table 44 8) $((0x$(number $table 55 1)))"
    length=$((0x$register >> 1 & 3))
    from_register="$(printf %016x $((0x$register & ~7))) $(((256 >> length) - 1))"
    say "check linux mcfg $(verdict [ "$window" = "$from_register" ]) $window, register $register"
    dmesg | grep -E 'MMCONFIG|ECAM|_OSC' >/tmp/said
    while read -r line; do say "note dmesg $line"; done </tmp/said
    refused=$(grep -E 'not using|not reserved|_OSC.*(fail|disab|does not)' /tmp/said)
    used=$(grep -oE '(MMCONFIG|ECAM) .*reserved.*' /tmp/said)
    say "check linux ecam $(verdict [ -z "$refused" -a -n "$used" ]) ${refused:-$used}"
    iomem=$(grep -E 'MMCONFIG|ECAM' /proc/iomem | tr -s ' \n' ' ')
    say "check linux iomem $(verdict [ -n "$iomem" ]) $iomem"
    for device in $pci/*; do
        [ $device = $bridge ] && wanted=256 || wanted=4096
        bytes=$(stat -c %s $device/config)
        address=${device##*/0000:}
        say "check $address config-size $(verdict [ "$bytes" = $wanted ]) $bytes"
        [ $device = $bridge ] || say "check $address extended-capabilities ok $(extended $device/config)"
    done
}

# The list of extended capabilities: id@offset of each.
extended() {
    at=256 list=
    while [ $at != 0 ] && [ ${#list} -lt 400 ]; do
        header=$(number "$1" $at 4)
        case $header in '' | 00000000) break ;; esac
        header=0x$header
        list="$list $(printf '%04x@%03x' $((header & 0xffff)) $at)"
        at=$((header >> 20 & 0xffc))
    done
    echo ${list:-none}
}

# The kernel resets the controller under its driver, by what configuration space says: data there and back, and interrupts, each time.
came() { awk '/nvme/ { sum += $2 } END { print sum + 0 }' /proc/interrupts; }
own_reset() {
    controller=$(readlink -f /sys/class/nvme/nvme0/device)
    methods=$(cat "$controller/reset_method")
    [ "$methods" = flr ] || { why="its methods are $methods"; return 1; }
    for turn in $(seq "$resets"); do
        echo 1 >"$controller/reset" || { why="reset $turn is an error"; return 1; }
        [ "$(cat /sys/class/nvme/nvme0/state)" = live ] || { why="it is $(cat /sys/class/nvme/nvme0/state) after reset $turn"; return 1; }
        before=$(came)
        dd if=/payload of=$disk bs=64k oflag=direct conv=fsync,notrunc status=none || { why="cannot write after reset $turn"; return 1; }
        [ "$(half 0)" = "$(sha256sum </payload | cut -c 1-64)" ] || { why="other data after reset $turn"; return 1; }
        [ "$(came)" -gt "$before" ] || { why="no interrupt after reset $turn"; return 1; }
    done
    why="$methods, $resets"
}

[ "$mch" = 1 ] && mch
disk=/dev/nvme0n1
for module in $modules; do
    insmod "/modules/$module.ko" || say "check linux modules fail $module"
done
tries=100
until [ -b $disk ] || [ $tries = 0 ]; do
    tries=$((tries - 1))
    usleep 100000
done
if [ -b $disk ]; then
    [ "$fill" = 0 ] || dd if=/payload of=$disk bs=64k oflag=direct conv=fsync,notrunc status=none ||
        say "check linux fill fail"
    [ -z "$resets" ] || { own_reset && verdict=ok || verdict=fail; say "check linux own-reset $verdict $why"; }
    say "check linux filled ok $(half 0)"
    say "check linux host-data ok $(half "$blocks")"
    for irq in $pci/*/msi_irqs/*; do
        number=${irq##*/}
        say "check linux interrupts ok $(cat "$irq") $(grep "^ *$number:" /proc/interrupts | tr -s ' ')"
    done
else
    say "check linux disk fail none"
fi
sync
[ "$end" = reboot ] && reboot -f
poweroff -f
