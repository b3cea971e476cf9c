;; The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
;;
;; By hand in the canonical ABI of wit/plugin.wit: a list or string is a pointer and a length; a sibling is
;; 40 bytes and begins with its value. Answers are written to 16, texts and the description lie in the data
;; segments below, arguments and results from 4096 on.
;;
;; Invariant: the answer depends on the bytes of the siblings alone, never on their order. A call lives in an
;; instance of its own, so memory is handed out and never taken back.
(module
  (memory (export "cm32p2_memory") 2)
  (global $top (mut i32) (i32.const 4096))

  (func (export "cm32p2_initialize"))

  ;; The host places arguments with it.
  (func $realloc (export "cm32p2_realloc")
    (param $old i32) (param $had i32) (param $align i32) (param $want i32) (result i32)
    (local $place i32)
    (local.set $place (call $allocate (local.get $align) (local.get $want)))
    (memory.copy (local.get $place) (local.get $old) (local.get $had))
    (local.get $place))

  (func $allocate (param $align i32) (param $size i32) (result i32)
    (local $place i32) (local $pages i32)
    (local.set $place (i32.and
      (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $place) (local.get $size)))
    (local.set $pages (i32.add (i32.shr_u (global.get $top) (i32.const 16)) (i32.const 1)))
    (if (i32.gt_u (local.get $pages) (memory.size))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.sub (local.get $pages) (memory.size))))
          (then unreachable)))) ;; Out of the memory that the server grants.
    (local.get $place))

  ;; A text of the data segments ends with a zero byte, so nobody has to count it.
  (func $put_text (param $record i32) (param $text i32)
    (local $end i32)
    (local.set $end (local.get $text))
    (block $ended
      (loop $next
        (br_if $ended (i32.eqz (i32.load8_u (local.get $end))))
        (local.set $end (i32.add (local.get $end) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $record) (local.get $text))
    (i32.store offset=4 (local.get $record) (i32.sub (local.get $end) (local.get $text))))

  (func $put_sibling (param $record i32) (param $text i32)
    (call $put_text (local.get $record) (local.get $text))
    (call $put_text (i32.add (local.get $record) (i32.const 8)) (i32.const 640)) ;; content type
    (i64.store offset=24 (local.get $record) (i64.const 1700000000000)))

  ;; Who the plugin is: name, version, laws, samples, no extras; 36 bytes at 1024.
  (func (export "cm32p2|rejoin:plugin/about@1|describe") (result i32)
    (call $put_text (i32.const 1024) (i32.const 256))
    (call $put_text (i32.const 1032) (i32.const 384))
    (i32.store8 (i32.const 1040) (i32.const 7)) ;; commutative, associative, idempotent
    (i32.store (i32.const 1044) (i32.const 1088))
    (i32.store (i32.const 1048) (i32.const 2))
    ;; Two calls that the server tries the laws on, in canonical order: by value.
    (call $put_text (i32.const 1088) (i32.const 656))
    (i32.store (i32.const 1096) (i32.const 1152))
    (i32.store (i32.const 1100) (i32.const 2))
    (call $put_sibling (i32.const 1152) (i32.const 672))
    (call $put_sibling (i32.const 1192) (i32.const 688))
    (call $put_text (i32.const 1112) (i32.const 656))
    (i32.store (i32.const 1120) (i32.const 1232))
    (i32.store (i32.const 1124) (i32.const 3))
    (call $put_sibling (i32.const 1232) (i32.const 736)) ;; the empty text
    (call $put_sibling (i32.const 1272) (i32.const 704))
    (call $put_sibling (i32.const 1312) (i32.const 720))
    (i32.const 1024))

  (func (export "cm32p2|rejoin:plugin/about@1|check-params") (param $params i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 16) (i32.ne (local.get $length) (i32.const 0)))
    (call $put_text (i32.const 20) (i32.const 448))
    (i32.const 16))

  ;; Lines are kept as pointer and length, sorted, in a table of 8 bytes an entry.
  (global $lines (mut i32) (i32.const 0))
  (global $count (mut i32) (i32.const 0))

  (func $line (param $place i32) (result i32)
    (i32.add (global.get $lines) (i32.shl (local.get $place) (i32.const 3))))

  (func (export "cm32p2|rejoin:plugin/resolver@1|resolve")
    (param $key i32) (param $key-length i32) (param $siblings i32) (param $siblings-length i32)
    (param $extras i32) (param $extras-length i32) (param $params i32) (param $params-length i32)
    (result i32)
    (local $i i32) (local $sibling i32) (local $bytes i32)
    ;; A value of n bytes has at most n lines, so the table has room for all of them.
    (block $measured
      (loop $each
        (br_if $measured (i32.eq (local.get $i) (local.get $siblings-length)))
        (local.set $sibling (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))
        (local.set $bytes (i32.add (local.get $bytes) (i32.load offset=4 (local.get $sibling))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $each)))
    (global.set $lines (call $allocate (i32.const 4) (i32.shl (local.get $bytes) (i32.const 3))))
    (local.set $i (i32.const 0))
    (block $split
      (loop $each
        (br_if $split (i32.eq (local.get $i) (local.get $siblings-length)))
        (local.set $sibling (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))
        (call $add_lines (i32.load (local.get $sibling)) (i32.load offset=4 (local.get $sibling)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $each)))
    (call $join (local.get $bytes)))

  ;; An empty line is no line, so an empty value is an empty list.
  (func $add_lines (param $at i32) (param $length i32)
    (local $end i32) (local $from i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (local.set $from (local.get $at))
        (block $found
          (loop $byte
            (br_if $found (i32.eq (local.get $at) (local.get $end)))
            (br_if $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 10)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $byte)))
        (if (i32.gt_u (local.get $at) (local.get $from))
          (then (call $insert (local.get $from) (i32.sub (local.get $at) (local.get $from)))))
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))

  ;; Puts a line at its place, unless it is there already: a binary search, then a move.
  (func $insert (param $at i32) (param $length i32)
    (local $low i32) (local $high i32) (local $middle i32) (local $order i32) (local $entry i32)
    (local.set $high (global.get $count))
    (block $here
      (loop $halve
        (br_if $here (i32.ge_u (local.get $low) (local.get $high)))
        (local.set $middle (i32.shr_u (i32.add (local.get $low) (local.get $high)) (i32.const 1)))
        (local.set $entry (call $line (local.get $middle)))
        (local.set $order (call $compare (local.get $at) (local.get $length)
          (i32.load (local.get $entry)) (i32.load offset=4 (local.get $entry))))
        (if (i32.eqz (local.get $order)) (then return))
        (if (i32.lt_s (local.get $order) (i32.const 0))
          (then (local.set $high (local.get $middle)))
          (else (local.set $low (i32.add (local.get $middle) (i32.const 1)))))
        (br $halve)))
    (local.set $entry (call $line (local.get $low)))
    (memory.copy (i32.add (local.get $entry) (i32.const 8)) (local.get $entry)
      (i32.shl (i32.sub (global.get $count) (local.get $low)) (i32.const 3)))
    (i32.store (local.get $entry) (local.get $at))
    (i32.store offset=4 (local.get $entry) (local.get $length))
    (global.set $count (i32.add (global.get $count) (i32.const 1))))

  ;; Less than, equal to or greater than zero, byte by byte.
  (func $compare (param $a i32) (param $a-length i32) (param $b i32) (param $b-length i32) (result i32)
    (local $i i32) (local $difference i32)
    (loop $next
      (if (i32.or (i32.eq (local.get $i) (local.get $a-length)) (i32.eq (local.get $i) (local.get $b-length)))
        (then (return (i32.sub (local.get $a-length) (local.get $b-length)))))
      (local.set $difference (i32.sub
        (i32.load8_u (i32.add (local.get $a) (local.get $i)))
        (i32.load8_u (i32.add (local.get $b) (local.get $i)))))
      (if (local.get $difference) (then (return (local.get $difference))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; The answer `merged` with all lines, a newline between each two.
  (func $join (param $bytes i32) (result i32)
    (local $merged i32) (local $end i32) (local $i i32) (local $entry i32)
    (local.set $merged (call $allocate (i32.const 1) (i32.add (local.get $bytes) (global.get $count))))
    (local.set $end (local.get $merged))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (global.get $count)))
        (if (local.get $i)
          (then
            (i32.store8 (local.get $end) (i32.const 10))
            (local.set $end (i32.add (local.get $end) (i32.const 1)))))
        (local.set $entry (call $line (local.get $i)))
        (memory.copy (local.get $end) (i32.load (local.get $entry)) (i32.load offset=4 (local.get $entry)))
        (local.set $end (i32.add (local.get $end) (i32.load offset=4 (local.get $entry))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store8 (i32.const 16) (i32.const 0)) ;; merged
    (i32.store (i32.const 20) (local.get $merged))
    (i32.store (i32.const 24) (i32.sub (local.get $end) (local.get $merged)))
    (i32.const 16))

  ;; Texts have room up to the next number, less one byte.
  (data (i32.const 256) "line-union")
  (data (i32.const 384) "0.1.0")
  (data (i32.const 448) "line-union takes no params; bind the bucket with empty params")
  (data (i32.const 640) "text/plain")
  (data (i32.const 656) "list")
  (data (i32.const 672) "apple\npear")
  (data (i32.const 688) "pear\nplum")
  (data (i32.const 704) "apple")
  (data (i32.const 720) "quince"))
