# What guest.sh does for a guest with device-model servers. /tmp/servers.ROW has a line for each of them, PRESENCE NUMBER OPTIONS,
# as scenario.rs has it. What they say goes out as `note server ROW ROUND NUMBER LINE`.

decided() { grep -qE '^(ready|failed)' "$1"; }

# The guest has rung for the Nth visitor (RING_CALL of loader/server.h), or ended.
called() { exists "$1.over" || [ "$(grep -c '^W .* 0f8 4 04000000$' "$1.1")" -ge "$2" ]; }

# visitors LOG DOMAIN <SERVERS: each comes when the guest rings for it with its first server's bell, and goes by itself.
visitors() {
    turn=0
    while read -r presence number options; do
        [ "$presence" = visits ] || continue
        turn=$((turn + 1))
        until_true 120 called "$1" $turn || return
        exists "$1.over" && return
        loader serve "$2" $options >"$1.$number" 2>&1 &
        echo $! >"$1.visitor"
        wait
    done
}

# served ROW ROUND OPTION...
served() {
    row=$1 log=/tmp/$1.$2 servers=/tmp/servers.$1 running=
    shift 2
    loader start --paused "$@" >"$log" 2>&1 || return
    domain=$(sed -n 's/^domain //p' "$log")
    while read -r presence number options; do
        [ "$presence" != visits ] || continue
        loader serve "$domain" $options >"$log.$number" 2>&1 &
        running="$running $!"
        until_true 20 decided "$log.$number" || echo "failed waiting for server $number" >>"$log"
    done <"$servers"
    visitors "$log" "$domain" <"$servers" &
    coming=$!
    loader unpause "$domain" >>"$log" 2>&1
    loader wait "$domain" 240 >>"$log" 2>&1
    touch "$log.over"
    # Domains with a page that a server has mapped do not go.
    kill $running $(cat "$log.visitor" 2>/dev/null) 2>/dev/null
    wait $running $coming
    for device in $(sed -n 's/^device \(.*\) at .*/\1/p' "$log"); do
        loader audit "$domain" "$device" >>"$log" 2>&1
    done
    loader destroy "$domain" >>"$log" 2>&1
}

# said ROW ROUND
said() {
    while read -r presence number options; do
        exists "/tmp/$1.$2.$number" && sed "s/^/note server $1 $2 $number /" "/tmp/$1.$2.$number" >&3
    done <"/tmp/servers.$1"
}
