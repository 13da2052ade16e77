#!/bin/busybox sh
# What udhcpc runs on an event: takes the address that was leased.
[ "$1" = bound ] && ip addr add "$ip/24" dev "$interface"
exit 0
