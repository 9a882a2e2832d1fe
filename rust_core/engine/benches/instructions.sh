#!/usr/bin/env bash
# Counts the instructions of one check, one reserve and one reserve + confirm under callgrind
# and compares them with the bounds in instructions.txt. Counts, unlike times, do not depend on
# what else the machine does. Needs valgrind; give the binary to skip the build:
#   rust_core/engine/benches/instructions.sh [path/to/engine_bench]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
times=10000 # operations in one run of the example, as its constant TIMES says
positions=2000

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed: install the package valgrind, then run this again" >&2
    exit 2
fi
binary=${1:-}
if [[ -z $binary ]]; then
    cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p bespeak-engine --example engine_bench
    binary=${CARGO_TARGET_DIR:-$root/target}/release/examples/engine_bench
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Instructions of the whole process with one kind of work; "nothing" is all but the work.
collected() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/out" "$binary" instructions "$positions" "$1" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

base=$(collected nothing)
failed=0
while read -r what bound; do
    [[ -z $what || $what == \#* ]] && continue
    count=$((($(collected "$what") - base) / times))
    echo "{\"bench\": \"engine_instructions\", \"what\": \"$what\", \"instructions\": $count, \"bound\": $bound}"
    if ((count > bound)); then
        echo "$what takes $count instructions, at most $bound are allowed: find what was added, or raise the bound in $here/instructions.txt and say why" >&2
        failed=1
    elif ((count * 10 < bound * 8)); then
        echo "$what takes $count instructions, far below its bound of $bound: lower the bound in $here/instructions.txt" >&2
        failed=1
    fi
done <"$here/instructions.txt"
exit "$failed"
