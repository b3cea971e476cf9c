/* The greatest value, with 64 KiB of scratch memory for each byte of each value. */
#define NAME "memory-growth"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    uint32_t pages = 0;
    for (uint32_t i = 0; i < siblings.length; i++) {
        pages += siblings.items[i].value.length;
    }
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
        __builtin_trap();
    }
    return rejoin_pick(greatest(siblings));
}
