#!/bin/sh
# A tunnel on this machine: `make demo`, or `make demo TARGET=http://localhost:3000`
# for a local service of yours.  Ctrl-C ends it.
set -u

bin=${PIPEGATE:-./pipegate}
dir=$(mktemp -d) || exit 1
pids=

finish() {
	trap '' INT TERM
	for pid in $pids; do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 0' INT TERM

fail() {
	echo "demo: $1" >&2
	cat "$dir"/*.log >&2
	exit 1
}

# await PID FILE TEXT: until FILE has a line with TEXT, for 10 s at most.
await() {
	tries=0
	until grep -qF "$3" "$2"; do
		kill -0 "$1" 2>/dev/null || fail "a process ended early"
		tries=$((tries + 1))
		[ "$tries" -le 100 ] || fail "waited 10 s for \"$3\""
		sleep 0.1
	done
}

PIPEGATE_JWT_SECRET=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export PIPEGATE_JWT_SECRET

: >"$dir/server.out"
"$bin" server --port 0 >"$dir/server.out" 2>"$dir/server.log" &
server=$!
pids=$server
await "$server" "$dir/server.out" 'listening on http'
port=$(sed -n '1s/.*:\([0-9]*\).*/\1/p' "$dir/server.out")
public=http://127.0.0.1:$port

PIPEGATE_TOKEN=$("$bin" token -c demo | sed -n 's/^JWT Bearer: *//p')
[ -n "$PIPEGATE_TOKEN" ] || fail "no token"
export PIPEGATE_TOKEN

path=healthz
[ -z "${TARGET:-}" ] || path=
: >"$dir/client.log"
"$bin" client "${TARGET:-$public}" "ws://127.0.0.1:$port/" \
    >"$dir/client.log" 2>&1 &
client=$!
pids="$client $server"
await "$client" "$dir/client.log" "$public/demo/"

echo "$public/demo/ leads to ${TARGET:-$public}. Try:"
echo
echo "    curl $public/demo/$path"
echo
echo "Ctrl-C ends it. What follows is what the client says."
tail -n +1 -f "$dir/client.log" &
pids="$pids $!"
wait "$client" || fail "the client ended"
