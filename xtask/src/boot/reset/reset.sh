#!/bin/busybox sh
# dom0's first process for `cargo xtask boot --reset`: has Xen reset devices, and works with them afterwards (see common.sh,
# exercise.sh). A row of the table is a function row_NAME; it reports `check NAME PROPERTY`. $rows are those to run.

. /common.sh
. /exercise.sh

# of DEVICE: $sbdf, $driver and $kind of it.
of() {
    set -- $(grep "^$1 " /devices)
    sbdf=$2 driver=$3 kind=$4
}
unbind() { ! exists "$pci/devices/$1/driver" || echo "$1" >"$pci/devices/$1/driver/unbind" || { why="cannot unbind $1"; return 1; }; }
bind() { echo "$1" >"$pci/drivers/$2/bind" || { why="no driver takes $1"; return 1; }; }
# works DEVICE: its driver takes it, and moves data.
works() {
    of "$1"
    is_bound "$sbdf" "$driver" || bind "$sbdf" "$driver" || return 1
    "io_$kind" "$sbdf"
}
word() { setpci -s "$1" "$2"; }
reads_ones() { [ "$(word "$1" 0.l)" = ffffffff ]; }

# answers OUTCOME ADDRESS KIND: what Xen says to a reset, `done` or an error; it took $took milliseconds.
answers() {
    set -- "$1" $(loader reset "$2" "$3")
    outcome=$5 took=$6
    why="$outcome after $took ms"
    [ "$outcome" = "$1" ]
}

# known NAME ADDRESS: what Xen knows of a function.
known() { loader function "$2" | tr ' ' '\n' | sed -n "s/^$1=//p"; }

# By $by, which has to be done.
reset() {
    [ $((i % 10)) != 1 ] || [ "$rounds" = 10 ] || step "$name: reset $i of $rounds"
    answers done "$1" "$by" || return 1
    # QEMU's processors do not have one clock.
    [ $((took * 5)) -ge $((wait * 4)) ] || return 1
    [ "$took" -ge "${least:=$took}" ] || least=$took
    [ "$took" -le "${most:=$took}" ] || most=$took
}

# many DEVICE KIND METHOD LEAST [TIMES]: without its driver, it is reset by that kind, which uses that method and takes so many
# milliseconds at least, by a clock that is not Xen's; then its driver works with it. Again and again.
many() {
    of "$1"
    name=$1 by=$2 method=$3 wait=$4 rounds=${5:-$rounds} least= most=
    counted=$(known count "$sbdf")
    rebind "$sbdf" "$driver" "$kind" "" reset || return 1
    why="$why by $method, $least to $most ms"
    [ "$(known method "$sbdf")" = "$method" ] || { why="by $(known method "$sbdf")"; return 1; }
    counted=$(($(known count "$sbdf") - counted))
    [ $counted = "$rounds" ] || { why="Xen counts $counted"; return 1; }
}

row_flr() { check flr resets many nvme0 flr flr 95; }
row_igb() { check igb resets many igb flr flr 95; }
row_power() { check power resets many e1000e flr power 15; }
row_bus() {
    check bus resets many nvme1 hot bus 95
    check bus function-level many nvme1 flr flr 95 10
}
row_bus_only() {
    of xhci
    check bus-only function-level answers EOPNOTSUPP "$sbdf" flr
    check bus-only resets many xhci hot bus 95 10
}

# A bus with two functions. One goes on working while the other one's reset is refused; then both are reset.
both_work() { works nvme3 && works xhci3; }
row_shared_bus() {
    of nvme3 && first=$sbdf
    of xhci3 && second=$sbdf
    unbind "$first"
    check shared-bus in-use answers EBUSY "$first" hot
    check shared-bus untouched io_xhci "$second"
    unbind "$second"
    check shared-bus idle answers done "$first" hot
    check shared-bus work both_work
}

# It is reset while its driver works with it: Xen takes it from the driver, and gives it back.
in_use_resets() {
    of "$1"
    in_use "$sbdf" "$kind"
    usleep 500000
    answers done "$sbdf" flr
}
# Linux's nvme driver resets the controller when a request is not answered, twice, and then goes on. What it was asked for before,
# it is told not to ask for again: QEMU forgets requests that come before the controller has its shadow doorbells back.
nvme_asked_to() {
    echo "$1" >/sys/module/nvme_core/parameters/io_timeout
    echo "$2" >/sys/module/nvme_core/parameters/max_retries
    again "$sbdf" "$driver" && until_true 20 nvme_disk "$sbdf"
}
recovered() { dmesg | grep -q 'nvme.*timeout, reset controller' && [ "$(cat "$pci/devices/$sbdf"/nvme/nvme*/state)" = live ]; }
recovers() {
    until_true 60 recovered || { why="its driver does not reset it"; return 1; }
    is_bound "$sbdf" "$driver" && io_nvme "$sbdf"
}
anew() { unbind "$sbdf" && works "$1"; }
row_in_use() {
    of nvme0
    nvme_asked_to 3 0
    check in-use nvme in_use_resets nvme0
    check in-use nvme-recovers recovers
    at_rest
    nvme_asked_to 30 5
    check in-use e1000e in_use_resets e1000e
    at_rest
    check in-use e1000e-bound-anew anew e1000e
}

row_refused() {
    of nvme0
    check refused cold answers EOPNOTSUPP "$sbdf" cold
    check refused warm answers EOPNOTSUPP "$sbdf" warm
    check refused hot-on-a-root-bus answers EOPNOTSUPP "$sbdf" hot
    check refused unknown-kind answers EINVAL "$sbdf" 4
    check refused unknown-flag answers EINVAL "$sbdf" 0x80000003
    check refused untouched io_nvme "$sbdf"
    of port2
    check refused bridge answers EOPNOTSUPP "$sbdf" flr
    check refused nobody answers ENODEV 0000:00:05.0 flr
    of ahci
    in_use "$sbdf" "$kind"
    check refused no-method answers EOPNOTSUPP "$sbdf" flr
    at_rest
    check refused goes-on io_ahci "$sbdf"
}

# Two virtual CPUs ask for the same at the same time: Xen has one of them wait.
two_at_once() {
    of nvme0
    unbind "$sbdf" || return 1
    before=$(known count "$sbdf")
    for cpu in 1 2; do
        taskset $cpu loader reset "$sbdf" flr >/tmp/at-once.$cpu &
    done
    wait
    after=$(known count "$sbdf")
    why="$(cut -d' ' -f4- /tmp/at-once.1) ms and $(cut -d' ' -f4- /tmp/at-once.2) ms, $((after - before)) resets"
    [ $((after - before)) -ge 1 ] && grep -q ' done ' /tmp/at-once.* && ! grep -qvE ' (done|EBUSY) ' /tmp/at-once.*
}
row_at_once() {
    check at-once both two_at_once
    check at-once works works nvme0
}

# says ADDRESS SAYS:VALUE...: tells Xen so of devices of its kind, by rows as quirks/src/table/raw.rs has them.
says() {
    ids=$(cut -c 3- "$pci/devices/$1/vendor"):$(cut -c 3- "$pci/devices/$1/device")
    shift
    given=
    for row in "$@"; do given="$given $ids:$row"; done
    why=$(loader quirks $given)
}
says_nothing() { loader quirks; }
# delays ADDRESS D3HOT BUS: they need so many milliseconds after D3hot and after a bus reset.
delays() { says "$1" "1:$2" "3:$3"; }
# order ADDRESS METHOD,METHOD...: these reset them, the first one first.
order() { says "$1" "6:$2"; }
sleeps() { word "$1" CAP_PM+4.w=3:3; }

# A reset of eleven seconds, which is more than Xen has anyone wait in one call. See loader/guest.h for what `loader watch` says.
watch() {
    unbind "$1" && delays "$1" 5000 6000 || return 1
    sleeps "$1"
    loader watch "$1" hot >/tmp/watched
    set -- $(cat /tmp/watched)
    outcome=$4 took=$5
    why="$outcome after $took ms and $6 calls"
    says_nothing
    [ "$outcome" = done ] && [ "$took" -ge 10900 ] && [ "$6" = 2 ]
}
watched() { sed -n "s/^watched.* $1=\([0-9]*\).*/\1/p" /tmp/watched; }
all_ones() {
    why="$(watched ones) reads in $(watched away) ms, $(watched back) others between them"
    [ "$(watched away)" -ge 10500 ] && [ "$(watched back)" = 0 ]
}
nobody_waits() {
    why="the other processor stood still for $(watched gap) ms at most, the one that waited ran for $(watched used) ms"
    [ "$(watched gap)" -lt 1000 ] && [ "$(watched used)" -lt 5000 ]
}
row_delayed() {
    of nvme1
    check delayed resets watch "$sbdf"
    check delayed all-ones all_ones
    check delayed nobody-waits nobody_waits
    check delayed works works nvme1
}

# by METHOD KIND: it is reset by that kind, and Xen uses that method.
by() {
    answers done "$sbdf" "$2" || return 1
    why="by $(known method "$sbdf")"
    [ "$why" = "by $1" ]
}
no_function_level() {
    order "$sbdf" bus && answers EOPNOTSUPP "$sbdf" flr || return 1
    why="$(known methods "$sbdf"), $(known reason "$sbdf")"
    [ "$why" = "bus, no-method" ]
}
next() { order "$sbdf" bus,flr && by flr flr; }
# assigned METHOD: it is reset twice, before a guest has it and afterwards, each time by that method. Then it is dom0's again.
is_clean() { [ "$(known state "$sbdf")" = clean ]; }
guest() { why=$(loader start --paused --kernel /tiny.elf "$@") && domain=$(echo "$why" | sed -n 's/^domain //p') && [ "$domain" ]; }
assigned() {
    counted=$(known count "$sbdf")
    guest --device "$sbdf" || return 1
    first=$(known method "$sbdf")
    why=$(loader destroy "$domain") || return 1
    until_true 20 is_clean || { why=$(loader function "$sbdf"); return 1; }
    why="by $first and $(known method "$sbdf"), $(($(known count "$sbdf") - counted)) resets"
    [ "$why" = "by $1 and $1, 2 resets" ] || return 1
    loader release "$sbdf" >/dev/null || { why="not given back"; return 1; }
}
taken_back() { says_nothing && by flr flr; }
row_order() {
    of nvme1
    check order bus-alone no_function_level
    check order untouched io_nvme "$sbdf"
    unbind "$sbdf"
    check order by-bus by bus hot
    check order next next
    check order assigned assigned bus
    check order taken-back taken_back
    check order assigned-by-flr assigned flr
    check order works works nvme1
}

# meanwhile COMMAND ADDRESS KIND: done while it is reset and reads all ones.
meanwhile() {
    loader reset "$2" "$3" >/tmp/meanwhile &
    reset=$!
    until_true 5 reads_ones "$2" && "$1" && cut=yes || cut=
    wait $reset
    outcome=$(cut -d' ' -f4 /tmp/meanwhile) took=$(cut -d' ' -f5 /tmp/meanwhile)
    why="$outcome after $took ms"
    [ "$cut" ] || { why="$why; not done meanwhile"; return 1; }
}

# Takes the device out. QEMU does so when power and its indicator are switched off; the port's driver gets to know of it when they
# are on again.
pull() { setpci -s "$port" CAP_EXP+18.w=0700:0720 CAP_EXP+18.w=0120:0720; }
unplug() {
    unbind "$sbdf" && delays "$sbdf" 5000 0 || return 1
    sleeps "$sbdf"
    meanwhile pull "$sbdf" flr || return 1
    says_nothing
    [ "$outcome" = ENODEV ]
}
# The port's driver has let go of it, the slot is without power, and the reset that it was taken out of is over.
gone() {
    ! exists "$pci/devices/$sbdf" && [ "$(word "$port" CAP_EXP+18.w | cut -c 2)" = 7 ] &&
        [ "$(known state "$sbdf")" != resetting ]
}
plug() {
    until_true 20 gone || { why="$(loader function "$sbdf"), and dom0 may have it still"; return 1; }
    [ "$(known reason "$sbdf")" = gone ] || { why=$(loader function "$sbdf"); return 1; }
    ask "plug $1"
    until_true 20 is_bound "$sbdf" "$driver" || { why="no driver takes it"; return 1; }
    works "$1"
}
# While the bus is being reset, dom0 does not write to the port.
press() {
    pull
    word "$port" BRIDGE_CONTROL=0000:0040
}
frozen() {
    unbind "$sbdf" && delays "$sbdf" 0 5000 || return 1
    before=$(word "$port" CAP_EXP+18.w)
    meanwhile press "$sbdf" hot || return 1
    says_nothing
    after=$(word "$port" CAP_EXP+18.w)
    [ "$outcome" = done ] || return 1
    [ "$before" = "$after" ] || { why="Slot Control is $after, was $before"; return 1; }
}
row_unplugged() {
    of port2 && port=$sbdf
    of nvme1
    check unplugged ends unplug
    check unplugged plugged plug nvme1
    check unplugged frozen frozen
    check unplugged works works nvme1
}

wanted() { case " $rows " in *" $1 "*) ;; *) return 1 ;; esac; }
row() {
    wanted "$1" || return 0
    step "$1"
    "row_${1//-/_}"
}

# What Xen keeps of a function from its first reset on, it has.
resets_once() { loader reset "$1" flr >/dev/null || true; }
first_resets() {
    while read -r name address driver kind; do
        [ "$kind" != port ] || continue
        again "$address" "$driver" resets_once
        "io_$kind" "$address"
    done </devices
}
# And what it and dom0 take for the first guest.
first_guest() { ! guest || loader destroy "$domain"; }

# The BARs of all devices are where they were, and as much of them is mapped.
bars() {
    while read -r name address driver kind; do
        loader query "$address"
    done </devices
}
same_bars() {
    bars >/tmp/bars.now
    cmp -s /tmp/bars /tmp/bars.now || { why=$(diff /tmp/bars /tmp/bars.now | tr '\n' ' '); return 1; }
    why="$(grep -c mapped /tmp/bars) mapped"
}

step "loading the drivers"
load_modules
step "first exercise"
side_by_side exercise
step "first resets"
dmesg -n 4
first_resets
first_guest >/dev/null
bars >/tmp/bars
state >/tmp/before
block state-before cat /tmp/before
ask before
# The network cards wait for their links most of the time.
row igb &
row power &
row flr
row bus
row bus-only
wait
row shared-bus
row refused
row at-once
row delayed
row order
row unplugged
row in-use
check dom0 bars same_bars
block state-after state /tmp/before
ask after
bye
