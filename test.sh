#!/bin/sh
# Every test there is: unit tests (plain, and with sanitizers where they work),
# scenarios with both binaries, other programs' ends of the wire, valgrind.
#	T=pattern sh test.sh	only what matches, as "http.keep" or "unit"
#	LONG=1 sh test.sh	the long scenarios too
#	NO_SKIP=1 sh test.sh	what had to be left out is a failure
set -u

cd "$(dirname "$0")" || exit 1
make=${MAKE:-make}
only=${T:-}
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 1' INT TERM

ok() {
	echo "ok $1"
	passed=$((passed + 1))
}

not_ok() {
	echo "not ok $1: $2"
	failed=$((failed + 1))
}

skip() {
	echo "skip $1: $2"
	skipped=$((skipped + 1))
}

# have NAME...: whether all these programs are here.
have() {
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || return 1
	done
}

# chosen NAME: whether T lets this suite run.  A T that names none of the
# suites made here is for the scenarios to match.
chosen() {
	[ -z "$only" ] || echo "$1" | grep -qE -e "$only"
}

# count LABEL: adds up the "ok", "not ok" and "skip" lines of $log.
count() {
	passed=$((passed + $(grep -c '^ok ' "$log")))
	failed=$((failed + $(grep -c '^not ok ' "$log")))
	skipped=$((skipped + $(grep -c '^skip ' "$log")))
	sed -E "s/^(ok|not ok|skip) /&$1./" "$log"
}

sanitizers_work() {
	echo 'int main(void) { return 0; }' >"$log.c" &&
	    ${CC:-cc} -fsanitize=address,undefined -o "$log.san" "$log.c" \
	    >/dev/null 2>&1 && "$log.san" 2>/dev/null
	works=$?
	rm -f "$log.c" "$log.san"
	return $works
}

# unit LABEL PROGRAM
unit() {
	chosen "$1" || return 0
	if ! "$make" "$2" >"$log" 2>&1; then
		cat "$log"
		not_ok "$1" "does not build"
		return 0
	fi
	"./$2" >"$log" 2>&1
	status=$?
	count "$1"
	if [ $status -ne 0 ] && ! grep -q '^not ok ' "$log"; then
		not_ok "$1" "exit status $status"
	fi
}

# scenarios LABEL PROGRAM SLOW FILE...
scenarios() {
	label=$1 program=$2 slow=$3
	shift 3
	PIPEGATE=$program SLOW=$slow python3 tests/run.py "$@" >"$log" 2>&1
	status=$?
	grep -v ' passed, ' "$log" >"$log.lines"
	mv "$log.lines" "$log"
	count "$label"
	if [ $status -ne 0 ] && ! grep -q '^not ok ' "$log"; then
		not_ok "$label" "the runner ended with $status"
	fi
}

# The same octets from two places, whoever builds them.
same_static() {
	chosen static.reproducible || return 0
	if ! have readelf; then
		skip static.reproducible "no readelf on this machine"
		return 0
	fi
	for place in a b/c; do
		mkdir -p "build/static/$place/gate"
		cp ./*.c ./*.h Makefile "build/static/$place/"
		cp gate/*.c gate/*.h "build/static/$place/gate/"
		if ! (cd "build/static/$place" && "$make" static) >"$log" 2>&1; then
			cat "$log"
			not_ok static.reproducible "does not build"
			return 0
		fi
	done
	if cmp build/static/a/pipegate-static build/static/b/c/pipegate-static; then
		ok static.reproducible
	else
		not_ok static.reproducible "two folders give two programs"
	fi
	rm -rf build/static
}

if [ -d ../shared/vectors ]; then
	VECTORS=${VECTORS:-../shared/vectors}
	export VECTORS
fi

san=
if sanitizers_work; then
	san=build/pipegate-san
fi

unit unit build/unit
if [ -n "$san" ]; then
	unit unit-san build/unit-san
else
	skip unit-san "the sanitizers do not work here"
fi
same_static

if ! have python3; then
	skip scenarios "no python3 on this machine"
elif ! "$make" pipegate >"$log" 2>&1; then
	cat "$log"
	not_ok scenarios "pipegate does not build"
else
	scenarios plain "$PWD/pipegate" 1
	scenarios interop "$PWD/pipegate" 1 interop_v1 interop_tls interop_tools interop_ws
	if [ -z "$san" ]; then
		skip san "the sanitizers do not work here"
	elif ! "$make" "$san" >"$log" 2>&1; then
		cat "$log"
		not_ok san "$san does not build"
	else
		scenarios san "$PWD/$san" 3
	fi
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] || exit 1
[ -z "${NO_SKIP:-}" ] || [ "$skipped" -eq 0 ]
