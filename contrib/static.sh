#!/bin/sh
# Makes a static program: sh contrib/static.sh OUT "SOURCE..." CC FLAG...
# It may lie at any address (PIE) where the toolchain truly makes such a one;
# otherwise it lies at a fixed address, and a line says so.
set -u

out=$1 sources=$2
shift 2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# The compiler's own way comes first.  A musl-gcc quietly makes a dynamic
# program of -static-pie, although musl has the start-up file of a static one:
# that is then linked by its name.
own=-static-pie
musl='-static -nostartfiles -l:rcrt1.o -Wl,-pie,-z,text,--no-dynamic-linker'
fixed='-fno-pie -static -no-pie'

# Like our programs it has a table of pointers, which must be relocated.
cat >"$dir/probe.c" <<'END'
static int yes(void) { return 0; }
static int no(void) { return 1; }
int (*const answers[2])(void) = { no, yes };
int main(int argc, char **argv) { (void)argv; return answers[argc > 0](); }
END

# is_pie COMMAND...: whether what it makes is static, lies anywhere, and starts
# (126: it is for another processor).
is_pie() {
	"$@" -o "$dir/probe" "$dir/probe.c" >/dev/null 2>&1 || return 1
	readelf -lW "$dir/probe" >"$dir/elf" || return 1
	grep -q '^Elf file type is DYN' "$dir/elf" || return 1
	! grep -q INTERP "$dir/elf" || return 1
	"$dir/probe" 2>/dev/null
	case $? in 0 | 126) return 0 ;; *) return 1 ;; esac
}

with_glibc() {
	printf '#include <features.h>\n#ifdef __GLIBC__\nglibc\n#endif\n' \
	    >"$dir/libc.c"
	"$@" -E -P "$dir/libc.c" 2>/dev/null | grep -q '^glibc'
}

how=$fixed
for way in "$own" "$musl"; do
	# shellcheck disable=SC2086 # several words each
	if is_pie "$@" $way; then
		how=$way
		break
	fi
done

glibc=no
with_glibc "$@" && glibc=yes

# shellcheck disable=SC2086 # several words each
set -- "$@" $how -o "$out" $sources
rm -f "$out"
echo "$*"
"$@" || exit 1

[ "$how" != "$fixed" ] ||
    echo "$out: at a fixed address, for this compiler makes no static PIE"
[ $glibc = no ] ||
    echo "$out: looks up names with the shared libraries of this glibc, which must be there when it runs"
echo "$out: $(wc -c <"$out") bytes"
