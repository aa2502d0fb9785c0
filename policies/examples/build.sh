#!/usr/bin/env bash
# Builds the policies in other languages, with the tools of each language's own registry, pinned.
#   policies/examples/build.sh [--out DIR] [LANGUAGE...]      c, go, javascript, javascript-wasi, python
# The tools go to DIR/tools, once. DIR is target/examples at the repository's root by default.
# Exits with 3 where a language cannot be built here for want of python3 or npm.
set -euo pipefail

examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$examples/../../target/examples
languages=()
while [ $# -gt 0 ]; do
  case $1 in
    --out)
      out=${2:?"--out needs a folder"}
      shift 2
      ;;
    c | go | javascript | javascript-wasi | python)
      languages+=("$1")
      shift
      ;;
    *)
      echo "unknown argument $1; usage: policies/examples/build.sh [--out DIR] [c] [go] [javascript] [javascript-wasi] [python]" >&2
      exit 2
      ;;
  esac
done
[ ${#languages[@]} -gt 0 ] || languages=(c go javascript javascript-wasi python)
mkdir -p "$out/tools"
out=$(cd "$out" && pwd)

require() {
  command -v "$1" >/dev/null && return
  echo "$1 is not on the PATH: install it to build the example in $2" >&2
  exit 3
}

# installed FOLDER MANIFEST: whether a folder holds what a manifest asks for; the copy is written last.
installed() {
  cmp -s "$2" "$1/manifest"
}

# A virtual environment of Python with the pinned packages of one language.
python_tools() {
  local folder=$out/tools/$1 manifest=$examples/$1/requirements.txt
  require python3 "$1"
  installed "$folder" "$manifest" && return
  python3 -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$manifest"
  cp "$manifest" "$folder/manifest"
}

# The one package pins the one binary that it needs, so there is nothing for a lock file to add.
node_tools() {
  local folder=$out/tools/javascript manifest=$examples/javascript/package.json
  require npm javascript
  installed "$folder" "$manifest" && return
  mkdir -p "$folder"
  cp "$manifest" "$folder/"
  npm install --prefix "$folder" --no-package-lock --no-audit --no-fund --loglevel=error >&2
  cp "$manifest" "$folder/manifest"
}

# The world of the examples beside the contract, as the tools want them.
wit_folder() {
  rm -rf "$out/wit"
  mkdir -p "$out/wit/deps/policy"
  cp "$examples"/wit/*.wit "$out/wit/"
  cp "$examples"/../../wit/*.wit "$out/wit/deps/policy/"
}

build_c() {
  python_tools c
  # zig's C library for WASI preview 1: the gateway adapts what it imports. The stack is 16 MiB unless one says so.
  ZIG_GLOBAL_CACHE_DIR=$out/tools/zig-cache "$out/tools/c/bin/python" -m ziglang cc \
    --target=wasm32-wasi -mexec-model=reactor -D_GNU_SOURCE -std=c17 -Wall -Wextra -Werror -Os -s \
    -Wl,--stack=65536 -I"$examples/c/conformance/generated" \
    "$examples"/c/conformance/generated/*.c "$examples"/c/conformance/*.c -o "$1"
}

# No modules are downloaded. The world is the gateway's to add, and WASI preview 1 its to adapt.
build_go() {
  python_tools go
  (cd "$examples/go/greeter" &&
    GOOS=wasip1 GOARCH=wasm GOCACHE=$out/tools/go-cache GOFLAGS=-mod=mod GOTOOLCHAIN=local GOTELEMETRY=off \
      "$out/tools/go/bin/go" build -buildmode=c-shared -ldflags='-s -w' -o "$1" .)
}

# `--stub-wasi` leaves no WASI imports: the policy needs none, and is called without a stack of its own.
build_javascript() {
  componentize_qjs "$1" --stub-wasi
}

# With WASI 0.2, as a policy has it that wants `Date.now()`.
build_javascript-wasi() {
  componentize_qjs "$1"
}

componentize_qjs() {
  local to=$1
  shift
  node_tools
  "$out/tools/javascript/node_modules/.bin/componentize-qjs" --sync --opt-size --minify "$@" \
    --wit "$out/wit" --world conformance --js "$examples/javascript/conformance/policy.js" --output "$to" >&2
  node "$examples/javascript/give-back.mjs" "$to" "$to"
}

build_python() {
  python_tools python
  # Whatever is in an active environment would be packed as well.
  env -u VIRTUAL_ENV "$out/tools/python/bin/componentize-py" --quiet --wit-path "$out/wit" --world conformance \
    componentize --stub-wasi --python-path "$examples/python/conformance" policy --output "$1"
}

wit_folder
for language in "${languages[@]}"; do
  "build_$language" "$out/.$language.wasm"
  # A rename is atomic: who reads meanwhile sees the old file or the new one.
  mv "$out/.$language.wasm" "$out/$language.wasm"
  echo "$language.wasm $(wc -c <"$out/$language.wasm") bytes"
done
