#!/usr/bin/env bash
# Builds policies for WebAssembly and drops them into the plugin folder.
#   policies/build.sh [--out DIR] [NAME...]      all policies without a name
set -euo pipefail

policies=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$policies/../plugins
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --out)
      out=${2:?"--out needs a folder"}
      shift 2
      ;;
    -*)
      echo "unknown option $1; usage: policies/build.sh [--out DIR] [NAME...]" >&2
      exit 2
      ;;
    *)
      names+=("$1")
      shift
      ;;
  esac
done

if [ ${#names[@]} -eq 0 ]; then
  for manifest in "$policies"/*/Cargo.toml; do
    # What is no component is a library that policies share.
    grep -q cdylib "$manifest" && names+=("$(basename "$(dirname "$manifest")")")
  done
fi
packages=()
for name in "${names[@]}"; do
  if [ ! -f "$policies/$name/Cargo.toml" ]; then
    echo "no policy \"$name\" in policies/" >&2
    exit 2
  fi
  packages+=(-p "$name")
done

# shellcheck source=../sdk/rust/toolchain.sh
source "$policies/../sdk/rust/toolchain.sh"
wasm_cargo_build "$policies" --locked "${packages[@]}"

mkdir -p "$out"
for name in "${names[@]}"; do
  built=$wasm_target_folder/$wasm_target/release/${name//-/_}.wasm
  # Equal bytes stay untouched, so that a running gateway has nothing to reload.
  cmp -s "$built" "$out/$name.wasm" && continue
  # The gateway never sees half a file: it ignores dot names, and a rename is atomic.
  cp "$built" "$out/.$name.wasm.$$"
  mv "$out/.$name.wasm.$$" "$out/$name.wasm"
  echo "$name.wasm $(wc -c <"$out/$name.wasm") bytes"
done
