;; What Go's runtime asks of an operating system, answered with constants: a plugin is a pure function.
;;
;; Merged with the module that `go build` leaves. The clock stands still, random bytes are zero, there are no
;; arguments, no environment and no files; what is written is dropped. Leaving and sleeping trap.
;;
;; Invariant: after the merge nothing is imported.
(module
  (import "go" "memory" (memory 1))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) (unreachable))

  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $at i32) (result i32)
    (i64.store (local.get $at) (i64.const 1))
    (i32.const 0))
  (func (export "random_get") (param $at i32) (param $length i32) (result i32)
    (memory.fill (local.get $at) (i32.const 0) (local.get $length))
    (i32.const 0))

  ;; Says that all of it was written.
  (func (export "fd_write") (param $file i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $parts))))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0)))
