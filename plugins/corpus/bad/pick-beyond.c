/* A place that is not in the list. */
#define NAME "pick-beyond"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    return rejoin_pick(siblings.length);
}
