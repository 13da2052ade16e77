# What the first processes of dom0, init.sh, guest/guest.sh and reset/reset.sh, begin with. They report over the second serial port, one
# line a report:
#   step NAME                       what starts now
#   check DEVICE NAME ok|fail|skip DETAIL
#   block NAME / = LINE ... / end   several lines of text
#   note TEXT
#   ask WHAT                        waits for a line from the other side
# /settings has shell variables. stderr and the kernel's messages go to Xen's console.

/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -F /dev/ttyS1 raw -echo 115200
exec 3<>/dev/ttyS1
. /settings

pci=/sys/bus/pci

say() { echo "$*" >&3; }
step() { say "step $*"; }
ask() { say "ask $*"; read -r answer <&3; }

# block NAME COMMAND: what the command prints.
block() {
    say "block $1"
    shift
    "$@" | sed 's/^/= /' >&3
    say end
}

# check DEVICE NAME COMMAND: a verdict; the command leaves its detail in $why, and returns 2 where there is nothing to check.
check() {
    subject=$1 property=$2
    shift 2
    why=
    "$@"
    case $? in
    0) verdict=ok ;;
    2) verdict=skip ;;
    *) verdict=fail ;;
    esac
    say "check $subject $property $verdict $why"
}

# until_true SECONDS COMMAND
until_true() {
    tries=$(($1 * 20))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        usleep 50000
    done
}

sum() { sha256sum | cut -c 1-64; }
exists() { [ -e "$1" ]; }

# The disk of an NVMe controller. A path of a multipath disk has a c in its name, which the disk has not.
nvme_disk() { disk=$(cd "$pci/devices/$1" 2>/dev/null && echo nvme/nvme*/nvme*n1 | sed 's/c[0-9]*n/n/'); disk=/dev/${disk##*/}; [ -b "$disk" ]; }

load_modules() {
    for module in $modules; do
        exists "/sys/module/${module//-/_}" || insmod "/modules/$module.ko" || say "note cannot load $module"
    done
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

# The end.
bye() {
    block problems sh -c 'dmesg | grep -E "BUG|Oops|Call Trace|WARNING:|hung task|DMAR.*fault|nobody cared"'
    say "bye"
    sync
    poweroff -f
}
