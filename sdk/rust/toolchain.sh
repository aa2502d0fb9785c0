# Sourced: finds a Rust toolchain that compiles for wasm32-unknown-unknown and defines
#   wasm_cargo_build MANIFEST_DIR [CARGO_ARGS...]
# which builds there in release. Target folder: CARGO_TARGET_DIR, else target/wasm at the repository's root.
# shellcheck shell=bash

wasm_target=wasm32-unknown-unknown
wasm_repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
wasm_target_folder=${CARGO_TARGET_DIR:-$wasm_repository/target/wasm}
wasm_rustup_seconds=60

# The standard library of the target, as rustup installs it.
wasm_library_is_there() {
  local sysroot
  sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
  [ -d "$sysroot/lib/rustlib/$wasm_target/lib" ]
}

# Debian's compiler beside its own library sources: the library is then built along with the policy.
wasm_debian_is_there() {
  [ -x /usr/bin/rustc ] &&
    [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ] &&
    [ -n "$(wasm_linker)" ]
}

# The linker that rustup's toolchains carry.
wasm_linker() {
  local sysroot host
  sysroot=$(rustc --print sysroot 2>/dev/null) || return 0
  host=$(rustc -vV | sed -n 's/^host: //p')
  [ -x "$sysroot/lib/rustlib/$host/bin/rust-lld" ] && printf '%s' "$sysroot/lib/rustlib/$host/bin/rust-lld"
  return 0
}

wasm_add_by_rustup() {
  command -v rustup >/dev/null || return 1
  timeout "$wasm_rustup_seconds" rustup --quiet target add "$wasm_target" >/dev/null 2>&1 && wasm_library_is_there
}

wasm_add_by_debian() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  apt-get update -qq >/dev/null 2>&1
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    rustc-web rust-web-src >/dev/null 2>&1 && wasm_debian_is_there
}

wasm_use_debian() {
  wasm_environment=(
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(wasm_linker)"
  )
  wasm_cargo_flags=(-Zbuild-std=std,panic_abort)
}

# rustup's library comes first: it is compiled already.
wasm_find_toolchain() {
  wasm_environment=()
  wasm_cargo_flags=()
  if ! command -v cargo >/dev/null; then
    echo "cargo is not on the PATH: install Rust with rustup" >&2
    return 1
  fi
  if wasm_library_is_there || wasm_add_by_rustup; then return; fi
  if wasm_debian_is_there || wasm_add_by_debian; then
    wasm_use_debian
    return
  fi
  cat >&2 <<MESSAGE
no Rust toolchain here compiles for $wasm_target; install one of
  rustup target add $wasm_target
  apt-get install rustc-web rust-web-src    (Debian, as root; beside a rustup toolchain)
MESSAGE
  return 1
}

# Flags of the compiler that put names of ours in place of this machine's folders, which a panic's message would name.
# They go to cargo as configuration, which adds to the flags of .cargo/config.toml; RUSTFLAGS would replace those.
wasm_remapped_folders() {
  local cargo_home=${CARGO_HOME:-$HOME/.cargo} folders folder registry flags=
  folders=("$wasm_repository=gatewright" "$wasm_target_folder=target" "$cargo_home=cargo")
  # The last that fits counts. A folder of crates is named after the host that they came from.
  for registry in "$cargo_home"/registry/src/*/; do
    [ -d "$registry" ] && folders+=("${registry%/}=crates")
  done
  for folder in "${folders[@]}"; do
    folder=${folder//\\/\\\\}
    flags+="\"--remap-path-prefix=${folder//\"/\\\"}\", "
  done
  printf 'target.%s.rustflags=[%s]' "$wasm_target" "$flags"
}

wasm_cargo_build() {
  local manifest_folder=$1 fetch=(fetch --quiet --target "$wasm_target")
  shift
  case " $* " in *" --locked "*) fetch+=(--locked) ;; esac
  # From within the folder, so that cargo reads its .cargo/config.toml (the size of the stack).
  (cd "$manifest_folder" &&
    # The folders of crates must be there to be named; what is missing is the build's to say.
    { cargo "${fetch[@]}" 2>/dev/null || :; } &&
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS "${wasm_environment[@]}" CARGO_TARGET_DIR="$wasm_target_folder" \
      cargo --config "$(wasm_remapped_folders)" build --release --target "$wasm_target" "${wasm_cargo_flags[@]}" "$@")
}

wasm_find_toolchain
