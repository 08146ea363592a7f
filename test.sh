#!/bin/sh
# Every test there is: unit tests (plain, without the kernel's ready set, and with
# sanitizers where they work), the static program, scenarios with all of these,
# other programs' ends of the wire, frameworks in a browser, valgrind.
#	make test T=pattern	only what matches, as "http.keep" or "unit"
#	QUICK=1 sh test.sh	unit tests and one scenario of each kind
#	LONG=1 sh test.sh	the long scenarios too
#	NO_SKIP=1 sh test.sh	what had to be left out is a failure
set -u

cd "$(dirname "$0")" || exit 1
make=${MAKE:-make}
only=${T:-}
quick=${QUICK:-}
passed=0 failed=0
dir=$(mktemp -d) || exit 1
log=$dir/log
# A line for each thing that cannot run here: its name, a tab, and why.
LEFT_OUT=$dir/left-out
export LEFT_OUT
: >"$LEFT_OUT"
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

ok() {
	echo "ok $1"
	passed=$((passed + 1))
}

not_ok() {
	echo "not ok $1: $2"
	failed=$((failed + 1))
}

leave_out() {
	printf '%s\t%s\n' "$1" "$2" >>"$LEFT_OUT"
}

# Says in one line what was left out, and why.
say_left_out() {
	[ -s "$LEFT_OUT" ] || return 0
	awk -F '\t' '
	!($2 in n) { why[++kinds] = $2 }
	{ n[$2]++ }
	n[$2] == 1 { names[$2] = $1 }
	END {
		printf "left out: "
		for (i = 1; i <= kinds; i++) {
			w = why[i]
			more = n[w] > 1 ? " and " n[w] - 1 " more" : ""
			printf "%s%s%s (%s)", (i > 1 ? ", " : ""), names[w], more, w
		}
		printf "\n"
	}' "$LEFT_OUT"
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

# count LABEL: adds up the "ok" and "not ok" lines of $log.
count() {
	passed=$((passed + $(grep -c '^ok ' "$log")))
	failed=$((failed + $(grep -c '^not ok ' "$log")))
	sed -E "s/^(ok|not ok) /&$1./" "$log"
}

# builds FLAG...: whether a program made with them starts.
builds() {
	echo 'int main(void) { return 0; }' >"$dir/probe.c" &&
	    ${CC:-cc} "$@" -o "$dir/probe" "$dir/probe.c" >/dev/null 2>&1 &&
	    "$dir/probe" 2>/dev/null
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
	cp "$LEFT_OUT" "$dir/before"
	: >"$LEFT_OUT"
	PIPEGATE=$program SLOW=$slow python3 tests/run.py "$@" >"$log" 2>&1
	status=$?
	grep -v ' passed, ' "$log" >"$log.lines"
	mv "$log.lines" "$log"
	count "$label"
	if [ $status -ne 0 ] && ! grep -q '^not ok ' "$log"; then
		not_ok "$label" "the runner ended with $status"
	fi
	sed "s/^/$label./" "$LEFT_OUT" >>"$dir/before"
	mv "$dir/before" "$LEFT_OUT"
}

# static_in FOLDER [VARIABLE=VALUE...]: copies the sources there and makes the
# static program of them; what make says is in $log.
static_in() {
	place=$1
	shift
	mkdir -p "$place/contrib"
	cp ./*.c ./*.h Makefile "$place/" && cp contrib/static.sh "$place/contrib/"
	if [ -d gate ]; then
		cp -R gate "$place/"
	fi
	(cd "$place" && "$make" static "$@") >"$log" 2>&1
}

# What is wrong with how the static program $1 is laid out; $log has what make
# said about it.
elf_faults() {
	readelf -hldW "$1" >"$dir/elf"
	! grep -q 'INTERP' "$dir/elf" || echo "it wants an interpreter"
	! grep -qE '^ *LOAD .* (RWE|WE|W E) ' "$dir/elf" ||
	    echo "a segment is writable and executable"
	grep -qE '^ *GNU_STACK .* RW ' "$dir/elf" || echo "its stack is executable"
	grep -q 'GNU_RELRO' "$dir/elf" || echo "no relro"
	if ! grep -q 'at a fixed address' "$log"; then
		grep -qE 'FLAGS_1.* PIE' "$dir/elf" || echo "no PIE, and not a word about it"
		grep -qE 'FLAGS.* (BIND_)?NOW' "$dir/elf" || echo "not bound at once"
	fi
	grep -q 'Advanced Micro Devices X86-64' "$dir/elf" || return 0
	objdump -d "$1" >"$dir/code"
	grep -q '%fs:0x28' "$dir/code" || echo "no stack protector"
	grep -qE 'orq +.0x0,' "$dir/code" || echo "no protection from stack clashes"
}

# The bar is for musl on x86-64.
STATIC_MAX=393216
static_size() {
	chosen static.size || return 0
	size=$(wc -c <"$1")
	if grep -q 'this glibc' "$log" || [ "$(uname -m)" != x86_64 ]; then
		leave_out static.size "install musl-tools, on x86-64"
	elif [ "$size" -le $STATIC_MAX ]; then
		ok static.size
	else
		not_ok static.size "$size octets, more than $STATIC_MAX"
	fi
}

static_elf() {
	chosen static.hardened || return 0
	faults=$(elf_faults "$1")
	if [ -z "$faults" ]; then
		ok static.hardened
	else
		not_ok static.hardened "$(echo "$faults" | tr '\n' ';')"
	fi
}

# The same octets from two places, whoever builds them.
static_same() {
	chosen static.reproducible || return 0
	if static_in build/static/b/c &&
	    cmp build/static/a/pipegate-static build/static/b/c/pipegate-static; then
		ok static.reproducible
	else
		not_ok static.reproducible "two folders give two programs"
	fi
}

# The CC that was given makes it, whichever others are here.
static_given_cc() {
	chosen static.given_cc || return 0
	# shellcheck disable=SC2016 # for the script that is written
	printf '#!/bin/sh\necho x >>%s\nexec %s "$@"\n' "$dir/used" "${CC:-cc}" >"$dir/given"
	chmod +x "$dir/given"
	if static_in build/static/d CC="$dir/given" && [ -s "$dir/used" ]; then
		ok static.given_cc
	else
		not_ok static.given_cc "another compiler was used"
	fi
}

static_program() {
	chosen static.size || chosen static.hardened || chosen static.reproducible ||
	    chosen static.given_cc || return 0
	if ! builds -static; then
		leave_out static "install a static libc, as in musl-tools"
		return 0
	fi
	rm -rf build/static
	if static_in build/static/a; then
		static_size build/static/a/pipegate-static
		static_elf build/static/a/pipegate-static
		static_same
		static_given_cc
	else
		cat "$log"
		not_ok static "does not build"
	fi
	rm -rf build/static
}

if [ -d ../shared/vectors ]; then
	VECTORS=${VECTORS:-../shared/vectors}
	export VECTORS
fi

san=
if [ -n "$quick" ]; then
	:
elif builds -fsanitize=address,undefined; then
	san=build/pipegate-san
else
	leave_out unit-san "install a compiler with sanitizers"
	leave_out san "install a compiler with sanitizers"
fi

unit unit build/unit
[ -n "$quick" ] || unit unit-poll build/unit-poll
[ -z "$san" ] || unit unit-san build/unit-san
[ -n "$quick" ] || static_program

if ! have python3; then
	leave_out scenarios "install python3"
elif [ ! -e /proc/self/stat ]; then
	leave_out scenarios "mount /proc"
elif ! "$make" pipegate >"$log" 2>&1; then
	cat "$log"
	not_ok scenarios "pipegate does not build"
else
	scenarios plain "$PWD/pipegate" 1
	[ -n "$quick" ] ||
	    scenarios interop "$PWD/pipegate" 1 interop_v1 interop_tls interop_tools interop_ws \
		interop_apps
	if [ -n "$quick" ]; then
		:
	elif ! "$make" build/pipegate-poll >"$log" 2>&1; then
		cat "$log"
		not_ok poll "build/pipegate-poll does not build"
	else
		scenarios poll "$PWD/build/pipegate-poll" 1
	fi
	if [ -z "$san" ]; then
		:
	elif ! "$make" "$san" >"$log" 2>&1; then
		cat "$log"
		not_ok san "$san does not build"
	else
		scenarios san "$PWD/$san" 3
	fi
fi

say_left_out
skipped=$(wc -l <"$LEFT_OUT" | tr -d ' ')
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] || exit 1
[ -z "${NO_SKIP:-}" ] || [ "$skipped" -eq 0 ]
