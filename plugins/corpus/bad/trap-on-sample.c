/* A trap, also on its own sample. */
#define NAME "trap-on-sample"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    (void)siblings;
    __builtin_trap();
}
