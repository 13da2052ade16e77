#!/bin/busybox sh
# The first process of a Linux guest: works with its NVMe disk. The kernel's log is its console; a line that begins with @k is
# a report (see ../protocol.rs). The command line says: fill=1 to write the disk's first half first, blocks=N of 64 KiB in each
# half, end=poweroff or reboot.

/bin/busybox mkdir -p /sbin /proc /sys /dev /tmp
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /settings
for argument in $(cat /proc/cmdline); do
    case $argument in
    fill=* | blocks=* | end=*) eval "$argument" ;;
    esac
done

# Without the kernel's rate limit for lines from user space.
echo on >/proc/sys/kernel/printk_devkmsg
say() { echo "<1>@k $*" >/dev/kmsg; }
half() { dd if="$disk" bs=64k skip="$1" count="$blocks" iflag=direct status=none | sha256sum | cut -c 1-64; }

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
    say "check linux filled ok $(half 0)"
    say "check linux host-data ok $(half "$blocks")"
    for irq in /sys/bus/pci/devices/*/msi_irqs/*; do
        number=${irq##*/}
        say "check linux interrupts ok $(cat "$irq") $(grep "^ *$number:" /proc/interrupts | tr -s ' ')"
    done
else
    say "check linux disk fail none"
fi
sync
[ "$end" = reboot ] && reboot -f
poweroff -f
