#!/bin/busybox sh
# dom0's first process: exercises every device and reports (see common.sh, exercise.sh).

. /common.sh
. /exercise.sh

interrupts() {
    while read -r name address driver kind; do
        for irq in "$pci/devices/$address/msi_irqs"/*; do
            [ -e "$irq" ] && read -r type <"$irq" && echo "device $name ${irq##*/} $type"
        done
    done </devices
    cat /proc/interrupts
}

reset() { echo 1 >"$pci/devices/$1/reset" || { why="cannot reset"; return 1; }; }

# nvme resumes after a reset.
reset_and_resume() {
    for i in $(seq "$rounds"); do
        reset "$1" || { why="round $i: $why"; return 1; }
    done
}

method() { why="$rounds times by $(cat "$pci/devices/$1/reset_method")"; }

no_method() { why="no reset method"; return 2; }

# What a device goes through, one after the other; the devices go through it side by side.
work_hard() {
    [ "$4" = port ] && return
    if [ ! -e "$pci/devices/$2/reset" ]; then
        check "$1" rebind rebind "$2" "$3" "$4"
        check "$1" reset no_method
    elif [ "$3" = nvme ]; then
        check "$1" rebind rebind "$2" "$3" "$4"
        in_use "$2" "$4"
        reset_and_resume "$2"
        resumed=$? wrong=$why
        at_rest
        why=$wrong
        if [ $resumed = 0 ] && "io_$4" "$2"; then
            check "$1" reset method "$2"
        else
            say "check $1 reset fail $why"
        fi
    else
        # A driver that cannot resume is bound anew after each reset.
        in_use "$2" "$4"
        check "$1" rebind rebind "$2" "$3" "$4" reset
        at_rest
        if [ "$verdict" = ok ]; then
            check "$1" reset method "$2"
        else
            say "check $1 reset fail $why"
        fi
    fi
}

# Every function with MSI-X leaves at once and comes back, without drivers: more often than Xen has MMIO handler slots.
# Linux moves the BARs of what it finds, and Xen's vPCI refuses that while they are mapped, so decoding is turned off.
replug_all() {
    rmmod e1000e nvme xhci_pci
    for i in $(seq "$storm"); do
        stop=
        for address in $storm_devices; do
            exists "$pci/devices/$address" || { why="round $i: $address is gone"; return 1; }
            exists "$pci/devices/$address/driver" || [ "$i" = 1 ] || continue
            ! exists "$pci/devices/$address/driver" || echo "$address" >"$pci/devices/$address/driver/unbind"
            stop="$stop -s $address COMMAND=0:2"
        done
        setpci $stop || { why="round $i: no setpci"; return 1; }
        for address in $storm_devices; do
            echo 1 >"$pci/devices/$address/remove"
        done
        echo 1 >"$pci/rescan"
    done
    dmesg -n 8
    load_modules
    while read -r name address driver kind; do
        bound "$address" "$driver" && "io_$kind" "$address" || { why="$name: $why"; return 1; }
    done </devices
    why="$storm times"
}

# Neither Linux nor a bus access without it finds the function.
unseen() {
    ! exists "$pci/devices/$1" || { why="dom0 found it"; return 1; }
    host=$(setpci -r -H1 -s 00:00.0 0.l) && why=$(setpci -r -H1 -s "$1" 0.l) || { why="no setpci"; return 1; }
    [ "$host" != ffffffff ] && [ "$why" = ffffffff ] || { why="reads $why, the host bridge $host"; return 1; }
}

step "loading the drivers"
load_modules
step "first exercise"
side_by_side exercise
block interrupts interrupts
[ ! "$hidden" ] || check dom0 hidden unseen "$hidden"
step "lspci"
lspci -vvvxxxx >/tmp/lspci
block lspci sh -c 'gzip -9 </tmp/lspci | base64'
ask before
if [ "$stress" ]; then
    step "unbinding and resetting devices in use"
    # Thousands of lines about what is found again would take much of the time; dmesg has them.
    dmesg -n 4
    side_by_side work_hard
    if [ "$storm" ]; then
        step "removing all devices at once"
        check dom0 replug-all replug_all
    fi
    ask after
fi
bye
