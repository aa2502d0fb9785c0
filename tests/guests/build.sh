#!/usr/bin/env bash
# Builds the guests of the outer tests for WebAssembly.
#   tests/guests/build.sh [--out DIR]      default: target/guests at the repository's root
set -euo pipefail

guests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$guests/../../target/guests
if [ "${1:-}" = --out ]; then
  out=${2:?"--out needs a folder"}
fi

# shellcheck source=../../sdk/rust/toolchain.sh
source "$guests/../../sdk/rust/toolchain.sh"
wasm_cargo_build "$guests" --locked

mkdir -p "$out"
for name in caller conformance hostile keeper service stamp; do
  # A rename is atomic: a test that reads meanwhile sees the old guest or the new one.
  cp "$wasm_target_folder/$wasm_target/release/$name.wasm" "$out/.$name.wasm.$$"
  mv "$out/.$name.wasm.$$" "$out/$name.wasm"
done
