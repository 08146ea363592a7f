#!/bin/sh
# A tunnel on this machine: `make demo` leads to a page of the program's own,
# `make demo TARGET=http://localhost:3000` to a local service of yours.  Ctrl-C
# ends it.
set -u

bin=${PIPEGATE:-./pipegate}
dir=$(mktemp -d) || exit 1
pids=

# The last of all, which may not even have begun, is not waited for.
finish() {
	trap '' INT TERM
	set +u
	# shellcheck disable=SC2086 # several numbers
	kill $pids 2>/dev/null
	# shellcheck disable=SC2086
	wait $pids
	kill "$!" 2>/dev/null
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

# listener NAME ARG...: starts the program in the background, and waits for
# its first line.  Sets pid and url.
listener() {
	name=$1
	shift
	: >"$dir/$name.out"
	"$bin" "$@" >"$dir/$name.out" 2>"$dir/$name.log" &
	pid=$!
	pids="$pids $pid"
	await "$pid" "$dir/$name.out" 'listening on http'
	url=http://127.0.0.1:$(sed -n '1s/.*:\([0-9]*\).*/\1/p' "$dir/$name.out")
}

PIPEGATE_JWT_SECRET=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export PIPEGATE_JWT_SECRET

target=${TARGET:-}
if [ -z "$target" ]; then
	listener welcome welcome --port 0
	target=$url
fi
unset PIPEGATE_PUBLIC_URL PIPEGATE_OFFLINE_PAGE PIPEGATE_ADMIN PIPEGATE_SCHEME \
    PIPEGATE_PROXY_PROTOCOL PIPEGATE_TRUSTED_PROXIES
PIPEGATE_DOMAIN=localhost
export PIPEGATE_DOMAIN
listener server server --host 127.0.0.1 --port 0
public=$url
host=http://demo.localhost:${url##*:}

PIPEGATE_TOKEN=$("$bin" token -c demo 2>"$dir/token.log" | sed -n 's/^JWT Bearer: *//p')
[ -n "$PIPEGATE_TOKEN" ] || fail "no token"
export PIPEGATE_TOKEN

: >"$dir/client.log"
"$bin" client "$target" "ws${public#http}/" >"$dir/client.log" 2>&1 &
client=$!
pids="$client $pids"
await "$client" "$dir/client.log" "$public/demo/"

echo "A tunnel leads from $public/demo/ to $target,"
echo "and from a host of its own: $host/"
if command -v curl >/dev/null 2>&1; then
	echo "Open that in a browser, or try:"
	echo
	echo "    curl $public/demo/"
	echo "    curl $host/"
else
	echo "Open this in a browser:"
	echo
	echo "    $public/demo/"
	echo "    $host/"
fi
echo
echo "Ctrl-C ends it. What follows is what the client says."
tail -n +1 -f "$dir/client.log" &
wait "$client" || fail "the client ended"
