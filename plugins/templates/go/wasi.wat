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
    (i32.const 0))

  ;; There are no files, folders and sockets: every descriptor and every path is a bad one (EBADF, 8).
  (func (export "fd_close") (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func
    (export "fd_fdstat_get")
    (export "fd_fdstat_set_flags")
    (export "fd_filestat_get")
    (export "fd_prestat_get")
    (export "sock_shutdown")
    (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func
    (export "fd_pread")
    (export "fd_pwrite")
    (export "fd_readdir")
    (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func
    (export "fd_prestat_dir_name")
    (export "path_create_directory")
    (export "path_remove_directory")
    (export "path_unlink_file")
    (export "sock_accept")
    (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8)))
