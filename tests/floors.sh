#!/bin/sh
# Knowledge runs one way: floor by floor, each room links with those below it
# and the codecs alone, so that an upward call is an undefined symbol.  So does
# its unit test.  And what a room exports is used by another.
#	sh tests/floors.sh "OBJECT OF A CODEC ..." "OBJECT OF A ROOM ..." DOOR CC FLAG...
set -u

codecs=$1 rooms=$2 door=$3
shift 3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
bad=0

echo 'int main(void) { return 0; }' >"$dir/main.c"
below=
for room in $rooms; do
	below="$below $room"
	main=$dir/main.c
	name=$(basename "$room" .o)
	if [ -f "tests/unit_$name.c" ]; then
		main="-DONLY=test_$name tests/unit.c tests/unit_$name.c"
	fi
	# shellcheck disable=SC2086 # several words each
	if ! "$@" -o "$dir/floor" $main $below $codecs >"$dir/log" 2>&1; then
		echo "$room, or its unit test, calls a room above it:" >&2
		sed -n "s/.*undefined reference to \(.*\)/    \1/p" "$dir/log" |
		    sort -u >&2
		bad=1
	fi
done

# Exported by a room: in no other object's list of what is undefined.
for object in $rooms $codecs; do
	nm -u "$object" | sed 's/.* //'
done >"$dir/used"
nm -u "$door" | sed 's/.* //' >>"$dir/used"
for room in $rooms; do
	nm -g --defined-only "$room" | sed -n 's/.* //p' | sort >"$dir/exports"
	sort -u "$dir/used" | comm -23 "$dir/exports" - >"$dir/idle"
	if [ -s "$dir/idle" ]; then
		echo "$room exports what no other room uses:" >&2
		sed 's/^/    /' "$dir/idle" >&2
		bad=1
	fi
done
exit $bad
