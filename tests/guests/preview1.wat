;; A policy as a bare core module that imports WASI preview 1 and knows nothing of components. It does what the first
;; letter of the request's path says, and its allocator reads the clocks, as a collector may.
(module
  (import "gatewright:policy/types@0.1.0" "[method]exchange.path" (func $path (param i32 i32)))
  (import "gatewright:policy/types@0.1.0" "[resource-drop]exchange" (func $drop_exchange (param i32)))
  (import "gatewright:policy/types@0.1.0" "[constructor]reply" (func $reply (param i32) (result i32)))
  (import "gatewright:policy/types@0.1.0" "[method]reply.set-body" (func $set_body (param i32 i32 i32 i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)

  ;; 0: what a phase returns, zeros for `next`. 64: pieces of output. 128: the answer. 256: what `path` returns.
  (data (i32.const 512) "{}")
  (data (i32.const 520) "text/plain")
  (data (i32.const 540) "one ")
  (data (i32.const 544) "line\0asecond line\0a")
  (data (i32.const 570) "caf\c3\a9 \ff \f0\9f\98\80 \ed\a0\80 \e2\82\0a")
  (data (i32.const 600) "without an end")
  (global $free (mut i32) (i32.const 8192))

  (func $print (param $fd i32) (param $at i32) (param $len i32) (param $at2 i32) (param $len2 i32) (result i32)
    (i32.store (i32.const 64) (local.get $at))
    (i32.store (i32.const 68) (local.get $len))
    (i32.store (i32.const 72) (local.get $at2))
    (i32.store (i32.const 76) (local.get $len2))
    (drop (call $fd_write (local.get $fd) (i32.const 64) (i32.const 2) (i32.const 80)))
    (i32.load (i32.const 80)))

  ;; Answers with bytes of the answer's place.
  (func $answer (param $len i32)
    (local $made i32)
    (local.set $made (call $reply (i32.const 200)))
    (call $set_body (local.get $made) (i32.const 520) (i32.const 10) (i32.const 128) (local.get $len))
    (i32.store8 (i32.const 4) (i32.const 2))
    (i32.store (i32.const 8) (local.get $made)))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $len i32) (result i32)
    (local $at i32)
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 144)))
    (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 152)))
    (drop (call $print (i32.const 1) (i32.const 600) (i32.const 0) (i32.const 548) (i32.const 1)))
    (local.set $at (global.get $free))
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 7)) (i32.const -8)))
    (local.get $at))

  (func (export "gatewright:policy/lifecycle@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const 512))
    (i32.store (i32.const 20) (i32.const 2))
    (i32.const 16))
  ;; The component model lets nobody call out here either.
  (func (export "cabi_post_gatewright:policy/lifecycle@0.1.0#describe") (param i32)
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 128))))
  (func (export "gatewright:policy/lifecycle@0.1.0#validate-config") (param i32 i32) (result i32) (i32.const 32))
  (func (export "gatewright:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 32))

  (func (export "gatewright:policy/on-request@0.1.0#handle") (param $exchange i32) (result i32)
    (local $deed i32)
    (call $path (local.get $exchange) (i32.const 256))
    (call $drop_exchange (local.get $exchange))
    (local.set $deed (i32.load8_u offset=1 (i32.load (i32.const 256))))
    (if (i32.eq (local.get $deed) (i32.const 0x70)) (then (call $prints)))
    (if (i32.eq (local.get $deed) (i32.const 0x63)) (then (call $clocks)))
    (if (i32.eq (local.get $deed) (i32.const 0x72))
      (then (drop (call $random_get (i32.const 128) (i32.const 29))) (call $answer (i32.const 29))))
    (if (i32.eq (local.get $deed) (i32.const 0x66)) (then (call $files)))
    (if (i32.eq (local.get $deed) (i32.const 0x78))
      (then
        (drop (call $print (i32.const 2) (i32.const 600) (i32.const 14) (i32.const 0) (i32.const 0)))
        (call $proc_exit (i32.const 0))))
    (i32.const 0))

  ;; Answers with how many bytes were taken: 22 in two pieces, 21, 4096.
  (func $prints
    (i32.store (i32.const 128)
      (call $print (i32.const 1) (i32.const 540) (i32.const 4) (i32.const 544) (i32.const 17)))
    (i32.store (i32.const 132)
      (call $print (i32.const 2) (i32.const 570) (i32.const 21) (i32.const 0) (i32.const 0)))
    (memory.fill (i32.const 16384) (i32.const 0x78) (i32.const 4096))
    (i32.store (i32.const 136)
      (call $print (i32.const 1) (i32.const 16384) (i32.const 4096) (i32.const 0) (i32.const 0)))
    (call $answer (i32.const 12)))

  ;; Answers with both clocks now, and as they were in the allocation that the path's text took.
  (func $clocks
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 128)))
    (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 136)))
    (call $answer (i32.const 32)))

  ;; Answers with error numbers and sizes, a byte each.
  (func $files
    (i32.store8 (i32.const 128) (call $fd_prestat_get (i32.const 3) (i32.const 64)))
    (i32.store8 (i32.const 129)
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 2) (i32.const 0) (i64.const 0)
        (i64.const 0) (i32.const 0) (i32.const 64)))
    (i32.store8 (i32.const 130) (call $fd_write (i32.const 3) (i32.const 64) (i32.const 0) (i32.const 80)))
    (i32.store (i32.const 80) (i32.const 7))
    (i32.store8 (i32.const 131) (call $fd_read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 80)))
    (i32.store8 (i32.const 132) (i32.load (i32.const 80)))
    (drop (call $args_sizes_get (i32.const 80) (i32.const 84)))
    (i32.store8 (i32.const 133) (i32.load (i32.const 80)))
    (drop (call $environ_sizes_get (i32.const 80) (i32.const 84)))
    (i32.store8 (i32.const 134) (i32.load (i32.const 80)))
    (i32.store8 (i32.const 135) (call $clock_time_get (i32.const 9) (i64.const 0) (i32.const 80)))
    ;; A subscription to the clock whose user data is 5.
    (i64.store (i32.const 1024) (i64.const 5))
    (i32.store8 (i32.const 136)
      (call $poll_oneoff (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 80)))
    (i32.store8 (i32.const 137) (i32.load (i32.const 80)))
    (i32.store8 (i32.const 138) (i32.load (i32.const 2048)))
    (call $answer (i32.const 11))))
