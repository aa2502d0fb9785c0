;; WASI preview 1 for the modules that import it (C with stdio, Go, Rust for wasm32-wasip1), in terms of the contract:
;; output goes to the log, a line at a time; there are no arguments, no environment, no files, no sockets and no sleep;
;; ending the process ends the call. What a module does not import is dropped, and its imports with it.
;;
;; The component model forbids calling out while the host allocates in the guest or releases what it returned, yet a
;; collector may start just then, and reads the clock. `$busy` is set by the wrappers that `preview1.rs` puts around
;; those exports: while it is, the clocks only tick, output is dropped, and randomness, which nothing can replace, traps.
(module $preview1
  (import "gatewright:policy/log@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
  (import "gatewright:policy/clock@0.1.0" "now" (func $now (result f64)))
  (import "gatewright:policy/clock@0.1.0" "monotonic" (func $monotonic (result f64)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (import "env" "memory" (memory 0))
  (import "__main_module__" "gatewright-busy" (global $busy (mut i32)))

  ;; By this name `wit-component` knows it, and has it point past a page of our own before the module's first instruction:
  ;; an allocator that saw the memory grow later (Go's) would take the new page for its own. It is never moved.
  (global $__stack_pointer (mut i32) (i32.const 0))
  ;; Bytes in the line of standard output and in that of standard error.
  (global $out (mut i32) (i32.const 0))
  (global $err (mut i32) (i32.const 0))
  ;; Nanoseconds that the clocks showed last.
  (global $wall (mut i64) (i64.const 0))
  (global $steady (mut i64) (i64.const 0))

  (func $is_output (param $fd i32) (result i32)
    (i32.lt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 2)))

  ;; Where the line of a file descriptor starts, in the page.
  (func $line (param $fd i32) (result i32)
    (i32.add (i32.sub (global.get $__stack_pointer) (i32.const 65536))
      (i32.shl (i32.sub (local.get $fd) (i32.const 1)) (i32.const 10))))

  (func $used (param $fd i32) (result i32)
    (select (global.get $out) (global.get $err) (i32.eq (local.get $fd) (i32.const 1))))

  (func $set_used (param $fd i32) (param $used i32)
    (if (i32.eq (local.get $fd) (i32.const 1))
      (then (global.set $out (local.get $used)))
      (else (global.set $err (local.get $used)))))

  ;; Writes a piece of output to its line, and each line that is whole or full (1 KiB) to the log.
  (func $print (param $fd i32) (param $from i32) (param $len i32)
    (local $line i32) (local $byte i32) (local $end i32)
    (local.set $line (call $line (local.get $fd)))
    (local.set $end (i32.add (local.get $from) (local.get $len)))
    (loop $next
      (if (i32.eq (local.get $from) (local.get $end)) (then (return)))
      (local.set $byte (i32.load8_u (local.get $from)))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (if (i32.eq (local.get $byte) (i32.const 10))
        (then (call $flush (local.get $fd)) (br $next)))
      (if (i32.eq (call $used (local.get $fd)) (i32.const 1024)) (then (call $flush (local.get $fd))))
      (i32.store8 (i32.add (local.get $line) (call $used (local.get $fd))) (local.get $byte))
      (call $set_used (local.get $fd) (i32.add (call $used (local.get $fd)) (i32.const 1)))
      (br $next)))

  (func $flush (param $fd i32)
    (local $line i32) (local $used i32)
    (local.set $used (call $used (local.get $fd)))
    (if (i32.eqz (local.get $used)) (then (return)))
    (call $set_used (local.get $fd) (i32.const 0))
    (if (global.get $busy) (then (return)))
    (local.set $line (call $line (local.get $fd)))
    (call $make_text (local.get $line) (i32.add (local.get $line) (local.get $used)))
    ;; `info` (2) for standard output, `warn` (3) for standard error; no attributes.
    (call $emit (i32.add (local.get $fd) (i32.const 1)) (local.get $line) (local.get $used)
      (i32.const 0) (i32.const 0)))

  ;; Overwrites with `?` what is not UTF-8 (RFC 3629 section 4), which the log does not take.
  (func $make_text (param $at i32) (param $end i32)
    (local $size i32)
    (loop $next
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return)))
      (local.set $size (call $character (local.get $at) (i32.sub (local.get $end) (local.get $at))))
      (if (i32.eqz (local.get $size))
        (then (i32.store8 (local.get $at) (i32.const 0x3f)) (local.set $size (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (local.get $size)))
      (br $next)))

  ;; Bytes of the character at an address, 0 where there is none within `$left` bytes.
  (func $character (param $at i32) (param $left i32) (result i32)
    (local $first i32) (local $second i32) (local $size i32) (local $low i32) (local $high i32) (local $more i32)
    (local.set $first (i32.load8_u (local.get $at)))
    (if (i32.lt_u (local.get $first) (i32.const 0x80)) (then (return (i32.const 1))))
    (if (i32.lt_u (local.get $first) (i32.const 0xc2)) (then (return (i32.const 0))))
    (if (i32.gt_u (local.get $first) (i32.const 0xf4)) (then (return (i32.const 0))))
    (local.set $size (i32.add (i32.const 2)
      (i32.add (i32.ge_u (local.get $first) (i32.const 0xe0)) (i32.ge_u (local.get $first) (i32.const 0xf0)))))
    (if (i32.gt_u (local.get $size) (local.get $left)) (then (return (i32.const 0))))
    ;; The second byte excludes overlong forms, surrogates and what is past U+10FFFF.
    (local.set $low (i32.const 0x80))
    (local.set $high (i32.const 0xbf))
    (if (i32.eq (local.get $first) (i32.const 0xe0)) (then (local.set $low (i32.const 0xa0))))
    (if (i32.eq (local.get $first) (i32.const 0xed)) (then (local.set $high (i32.const 0x9f))))
    (if (i32.eq (local.get $first) (i32.const 0xf0)) (then (local.set $low (i32.const 0x90))))
    (if (i32.eq (local.get $first) (i32.const 0xf4)) (then (local.set $high (i32.const 0x8f))))
    (local.set $second (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
    (if (i32.lt_u (local.get $second) (local.get $low)) (then (return (i32.const 0))))
    (if (i32.gt_u (local.get $second) (local.get $high)) (then (return (i32.const 0))))
    (local.set $more (i32.const 2))
    (loop $next
      (if (i32.eq (local.get $more) (local.get $size)) (then (return (local.get $size))))
      (if (i32.ne (i32.and (i32.load8_u (i32.add (local.get $at) (local.get $more))) (i32.const 0xc0)) (i32.const 0x80))
        (then (return (i32.const 0))))
      (local.set $more (i32.add (local.get $more) (i32.const 1)))
      (br $next))
    (unreachable))

  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $total i32) (local $len i32)
    (if (i32.eqz (call $is_output (local.get $fd))) (then (return (i32.const 8))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $len (i32.load offset=4 (local.get $pieces)))
        (call $print (local.get $fd) (i32.load (local.get $pieces)) (local.get $len))
        (local.set $total (i32.add (local.get $total) (local.get $len)))
        (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $total))
    (i32.const 0))

  ;; Standard input is at its end.
  (func (export "fd_read") (param $fd i32) (param i32 i32) (param $read i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $read) (i32.const 0))
    (i32.const 0))

  ;; The three descriptors are terminals, so that a C library writes at each line's end.
  (func (export "fd_fdstat_get") (param $fd i32) (param $stat i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (i64.store (local.get $stat) (i64.const 2))
    (i64.store offset=8 (local.get $stat) (select (i64.const 0x40) (i64.const 2) (local.get $fd)))
    (i64.store offset=16 (local.get $stat) (i64.const 0))
    (i32.const 0))
  (func (export "fd_fdstat_set_flags") (param $fd i32) (param i32) (result i32)
    (select (i32.const 8) (i32.const 0) (i32.gt_u (local.get $fd) (i32.const 2))))
  (func (export "fd_close") (param $fd i32) (result i32)
    (select (i32.const 8) (i32.const 0) (i32.gt_u (local.get $fd) (i32.const 2))))

  (func (export "args_sizes_get") (export "environ_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "clock_res_get") (param $id i32) (param $resolution i32) (result i32)
    (if (i32.gt_u (local.get $id) (i32.const 3)) (then (return (i32.const 28))))
    (i64.store (local.get $resolution) (i64.const 1000000))
    (i32.const 0))

  ;; Clock 0 is the wall clock; the others never go back, nor show the 0 that Go takes for a missing clock.
  (func (export "clock_time_get") (param $id i32) (param i64) (param $time i32) (result i32)
    (local $read i64)
    (if (i32.gt_u (local.get $id) (i32.const 3)) (then (return (i32.const 28))))
    (if (i32.eqz (local.get $id))
      (then
        (global.set $wall
          (if (result i64) (global.get $busy)
            (then (i64.add (global.get $wall) (i64.const 1000)))
            (else (i64.trunc_sat_f64_u (f64.mul (call $now) (f64.const 1000000))))))
        (i64.store (local.get $time) (global.get $wall))
        (return (i32.const 0))))
    (global.set $steady (i64.add (global.get $steady) (i64.const 1000)))
    (if (i32.eqz (global.get $busy))
      (then
        (local.set $read (i64.trunc_sat_f64_u (f64.mul (call $monotonic) (f64.const 1000000))))
        ;; What is up to a second back was made up by ticks; what is further back is another process's, kept in an image.
        (if (i64.gt_u (i64.sub (global.get $steady) (local.get $read)) (i64.const 1000000000))
          (then (global.set $steady (local.get $read))))))
    (i64.store (local.get $time) (global.get $steady))
    (i32.const 0))

  ;; Eight bytes of the operating system's randomness at a time.
  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (local $bits i64) (local $left i32) (local $end i32)
    (if (global.get $busy) (then (unreachable)))
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (loop $next
      (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 0))))
      (if (i32.eqz (local.get $left))
        (then (local.set $bits (call $random)) (local.set $left (i32.const 8))))
      (i64.store8 (local.get $at) (local.get $bits))
      (local.set $bits (i64.shr_u (local.get $bits) (i64.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; Whatever is waited for is there: the first subscription (48 bytes) becomes the one event (32 bytes).
  (func (export "poll_oneoff") (param $subscriptions i32) (param $events i32) (param $count i32) (param $done i32)
    (result i32)
    (if (i32.eqz (local.get $count)) (then (return (i32.const 28))))
    (i64.store (local.get $events) (i64.load (local.get $subscriptions)))
    (i64.store offset=8 (local.get $events)
      (i64.shl (i64.load8_u offset=8 (local.get $subscriptions)) (i64.const 16)))
    (i64.store offset=16 (local.get $events) (i64.const 0))
    (i64.store offset=24 (local.get $events) (i64.const 0))
    (i32.store (local.get $done) (i32.const 1))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32)
    (call $flush (i32.const 1))
    (call $flush (i32.const 2))
    (unreachable))
  (func (export "proc_raise") (param i32) (result i32) (unreachable))

  ;; There are no files and no sockets, so no descriptor of one is good: EBADF (8).
  (func (export "fd_datasync") (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (export "fd_prestat_get") (export "fd_renumber") (export "fd_tell")
    (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (export "path_create_directory") (export "path_remove_directory")
    (export "path_unlink_file") (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (export "path_symlink") (export "sock_send") (param i32 i32 i32 i32 i32) (result i32)
    (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (export "path_rename") (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.const 8)))
