/* The siblings, always: some conflicts are for people. */
#define NAME "keep-always"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    (void)siblings;
    return keep();
}
