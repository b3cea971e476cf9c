;; A plugin in the canonical ABI of wit/v1, by hand: a core module whose functions carry the contract's
;; names. The tests put instructions in the place of the words in braces.
;;
;; A sibling is 40 bytes: value (pointer, length), content type, metadata, time at 24, extras at 32.
;; Answers are written to 64, descriptions lie at 128, texts from 256 on, the heap starts at 4096.
(module
  (import "cm32p2|rejoin:plugin/log@1" "emit" (func $emit (param i32 i32 i32)))
  (memory (export "cm32p2_memory") {memory})
  (global $top (mut i32) (i32.const 4096))
  (func $grow (param $pages i32) (result i32) (memory.grow (local.get $pages)))

  (func $realloc (export "cm32p2_realloc") (param $old i32) (param $had i32) (param $align i32) (param $want i32) (result i32)
    (local $place i32) (local $end i32)
    (local.set $place (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                               (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $place) (local.get $want)))
    (global.set $top (local.get $end))
    (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (i32.const -1)
                  (memory.grow (i32.add (i32.const 1) (i32.div_u (i32.sub (local.get $end) (i32.mul (memory.size) (i32.const 65536))) (i32.const 65536)))))
              (then unreachable))))
    (local.get $place))

  ;; Answers with variant $case, whose payload is two words.
  (func $answer (param $case i32) (param $first i32) (param $second i32) (result i32)
    (i32.store8 (i32.const 64) (local.get $case))
    (i32.store (i32.const 68) (local.get $first))
    (i32.store (i32.const 72) (local.get $second))
    (i32.const 64))

  (func $recurse (param $depth i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get $depth) (i32.const 1))) (local.get $depth)))

  ;; The values of all siblings, one after the other.
  (func $concatenate (param $siblings i32) (param $count i32) (result i32)
    (local $size i32) (local $i i32) (local $to i32) (local $at i32)
    (loop $sizes
      (local.set $size (i32.add (local.get $size)
        (i32.load offset=4 (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))))
      (br_if $sizes (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $size)))
    (local.set $at (local.get $to))
    (local.set $i (i32.const 0))
    (loop $copies
      (memory.copy (local.get $at)
        (i32.load (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))
        (local.tee $size (i32.load offset=4 (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))))
      (local.set $at (i32.add (local.get $at) (local.get $size)))
      (br_if $copies (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (call $answer (i32.const 0) (local.get $to) (i32.sub (local.get $at) (local.get $to))))

  (func (export "cm32p2|rejoin:plugin/about@1|describe") (result i32)
    {describe})
  (func (export "cm32p2|rejoin:plugin/about@1|check-params") (param $params i32) (param $length i32) (result i32)
    (if (result i32) (i32.eqz (local.get $length))
      (then (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))
      (else (call $answer (i32.const 1) (local.get $params) (local.get $length)))))
  {resolver}
  {validator}
  {more}

  (data (i32.const 128) "\00\01\00\00" "{name-length}" "\20\01\00\00\05\00\00\00" "\07\00\00\00" "{samples}" "\00\00\00\00\00\00\00\00")
  (data (i32.const 256) "{name}")
  (data (i32.const 288) "1.2.3")
  (data (i32.const 320) "no entry\ff")
  (data (i32.const 352) "help me")
  ;; One sample: key "h", one sibling "m", no params.
  (data (i32.const 384) "\60\01\00\00\01\00\00\00" "\a8\01\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00")
  (data (i32.const 424) "\65\01\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\2a\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00"))
