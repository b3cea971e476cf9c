/* Whatever comes first in the list. */
#define NAME "first-wins"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    (void)siblings;
    return rejoin_pick(0);
}
