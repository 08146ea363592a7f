#!/bin/sh
# fuzz.sh RUNS: feeds each parser that many inputs, beginning with the seeds in
# tests/seeds/TARGET.  What is found grows in build/corpus.  T=name runs one.
set -u

runs=$1
failed=0
for target in ${T:-$(FUZZ_TARGET=list ./build/fuzz)}; do
	mkdir -p "build/corpus/$target"
	set -- "build/corpus/$target"
	[ ! -d "tests/seeds/$target" ] || set -- "$@" "tests/seeds/$target"
	if FUZZ_TARGET=$target ./build/fuzz -runs="$runs" -seed=1 -timeout=10 \
	    -max_len=20000 -artifact_prefix="build/$target-" "$@" \
	    >"build/fuzz-$target.log" 2>&1; then
		echo "ok fuzz.$target ($runs runs)"
	else
		tail -n 40 "build/fuzz-$target.log"
		echo "not ok fuzz.$target"
		failed=1
	fi
done
exit $failed
