/* The union of the lines, sorted. */
#define NAME "union-of-lines"
#define SAMPLE_A "a\nb"
#define SAMPLE_B "c"
#define SAMPLE_C "b\nd"
#include "../corpus.h"

RESOLVE {
    static lines all;
    for (uint32_t i = 0; i < siblings.length; i++) {
        add_lines(&all, siblings.items[i].value);
    }
    sort_lines(&all);
    write_lines(&all);
    return merged();
}
