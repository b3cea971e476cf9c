/* The greatest in canonical order, by comparing and not by place. */
#define NAME "greatest-value"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    return rejoin_pick(greatest(siblings));
}
