/* Lines `actor=number`: of each actor the greatest number, which only that actor raises. */
#define NAME "grow-only-counter"
#define SAMPLE_A "a=1\nb=2"
#define SAMPLE_B "a=3"
#define SAMPLE_C "c=1"
#include "../corpus.h"

RESOLVE {
    static lines all;
    for (uint32_t i = 0; i < siblings.length; i++) {
        add_lines(&all, siblings.items[i].value);
    }
    sort_lines(&all);
    lines *actors = &all;
    for (uint32_t i = 0; i < actors->length; i++) {
        rejoin_bytes line = actors->items[i];
        uint32_t equals = 0;
        int64_t best, number;
        while (equals < line.length && line.bytes[equals] != 0x3d) {
            equals++;
        }
        rejoin_bytes actor = {line.bytes, equals};
        if (equals + 1 >= line.length ||
            !parse_number((rejoin_bytes){line.bytes + equals + 1, line.length - equals - 1}, &best)) {
            return keep();
        }
        bool repeated = false;
        for (uint32_t j = 0; j < actors->length; j++) {
            rejoin_bytes other = actors->items[j];
            if (other.length > equals && other.bytes[equals] == 0x3d &&
                rejoin_compare_bytes((rejoin_bytes){other.bytes, equals}, actor) == 0) {
                repeated = repeated || j < i;
                if (parse_number((rejoin_bytes){other.bytes + equals + 1, other.length - equals - 1}, &number) &&
                    number > best) {
                    best = number;
                }
            }
        }
        if (!repeated) {
            if (written_length > 0) {
                write_text("\n");
            }
            write_bytes(actor);
            write_text("=");
            write_number(best);
        }
    }
    return merged();
}
