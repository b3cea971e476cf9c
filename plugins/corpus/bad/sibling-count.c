/* The greatest value, and how many there were. */
#define NAME "sibling-count"
#define SAMPLE_A "a"
#define SAMPLE_B "b"
#define SAMPLE_C "c"
#include "../corpus.h"

RESOLVE {
    write_bytes(siblings.items[greatest(siblings)].value);
    write_text("#");
    write_number(siblings.length);
    return merged();
}
