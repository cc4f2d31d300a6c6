#!/usr/bin/env bash
# Runs every fuzz target for a bounded time each: scripts/fuzz.sh [seconds]
set -euo pipefail
cd "$(dirname "$0")/../rust/fuzz"
seconds=${1:-20}
host=$(rustc -vV | sed -n 's/^host: //p')
# Coverage without a sanitizer, so that the stable toolchain serves.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export CARGO_TARGET_DIR="$PWD/../../target/fuzz"
cargo build --release --target "$host"
for target in request_decoding policy_loading payload_scanning; do
    corpus="$CARGO_TARGET_DIR/corpus/$target"
    log="$CARGO_TARGET_DIR/$target.log"
    mkdir -p "$corpus"
    if ! "$CARGO_TARGET_DIR/$host/release/$target" "$corpus" -max_total_time="$seconds" \
        -rss_limit_mb=2048 -timeout=10 -max_len=65536 -artifact_prefix="$CARGO_TARGET_DIR/" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz: $target failed; the input is below target/fuzz/, the whole log in target/fuzz/$target.log" >&2
        exit 1
    fi
    echo "fuzz: $target ran ${seconds} s without a finding"
done
