/* The plugin contract, version 1, as C sees it: records, memory and text.
 *
 * Lays out the records of wit/v1/plugin.wit by the canonical ABI: a list or string is a pointer and
 * a length, a record is its fields in order, each at its natural alignment. For wasm32 that is
 * exactly what a C compiler does with a struct, which the assertions below hold it to.
 *
 * Needs no libc and gives none. Does not hold the exports of any world: see rejoin_resolver.h.
 *
 * Invariant: memory is handed out upwards and taken back all at once, after the answer has been
 * read, so no pointer outlives its call.
 */
#ifndef REJOIN_PLUGIN_H
#define REJOIN_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `list<u8>` and `string`. Never ends in a zero byte, and may be empty with any pointer. */
typedef struct {
    const uint8_t *bytes;
    uint32_t length;
} rejoin_bytes;

/* Bytes of a string literal, e.g. REJOIN_TEXT("milk"). Usable in static data. */
#define REJOIN_TEXT(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}

/* `tuple<string, string>` of the metadata and the record `extra`: both are two byte strings. */
typedef struct {
    rejoin_bytes name;
    rejoin_bytes value;
} rejoin_pair;

typedef struct {
    const rejoin_pair *items;
    uint32_t length;
} rejoin_pairs;

typedef struct {
    rejoin_bytes value;
    rejoin_bytes content_type;
    rejoin_pairs metadata;
    uint64_t written_at_ms;
    rejoin_pairs extras;
} rejoin_sibling;

typedef struct {
    const rejoin_sibling *items;
    uint32_t length;
} rejoin_siblings;

/* The bits of the flags `laws`. */
enum {
    REJOIN_COMMUTATIVE = 1 << 0,
    REJOIN_ASSOCIATIVE = 1 << 1,
    REJOIN_IDEMPOTENT = 1 << 2,
};

typedef struct {
    rejoin_bytes key;
    rejoin_siblings siblings;
    rejoin_bytes params;
} rejoin_sample;

typedef struct {
    const rejoin_sample *items;
    uint32_t length;
} rejoin_samples;

typedef struct {
    rejoin_bytes name;
    rejoin_bytes version;
    uint8_t laws;
    rejoin_samples samples;
    rejoin_pairs extras;
} rejoin_description;

/* `result<_, string>`: the error is read only if `is_error`. */
typedef struct {
    uint8_t is_error;
    rejoin_bytes error;
} rejoin_params_verdict;

/* The cases of the variant `resolution`, in the order of the contract. */
typedef enum {
    REJOIN_MERGED,
    REJOIN_DELETED,
    REJOIN_PICK,
    REJOIN_KEEP_SIBLINGS,
} rejoin_resolution_case;

typedef struct {
    uint8_t tag;
    union {
        rejoin_bytes bytes; /* of REJOIN_MERGED, and the reason of REJOIN_KEEP_SIBLINGS */
        uint32_t index;     /* of REJOIN_PICK */
    } payload;
} rejoin_resolution;

#ifdef __wasm__
_Static_assert(sizeof(rejoin_pair) == 16, "two strings");
_Static_assert(sizeof(rejoin_sibling) == 40, "aligned to eight because of the u64");
_Static_assert(offsetof(rejoin_sibling, written_at_ms) == 24, "after three lists");
_Static_assert(offsetof(rejoin_description, samples) == 20, "three flags take one byte");
_Static_assert(sizeof(rejoin_description) == 36, "aligned to four");
_Static_assert(offsetof(rejoin_resolution, payload) == 4, "the payload is aligned to four");
_Static_assert(sizeof(rejoin_resolution) == 12, "the tag and a list");
_Static_assert(sizeof(rejoin_params_verdict) == 12, "the tag and a string");
#endif

static inline rejoin_resolution rejoin_pick(uint32_t index) {
    return (rejoin_resolution){.tag = REJOIN_PICK, .payload.index = index};
}

static inline rejoin_resolution rejoin_keep_siblings(rejoin_bytes reason) {
    return (rejoin_resolution){.tag = REJOIN_KEEP_SIBLINGS, .payload.bytes = reason};
}

/* ---- Order ---- */

static inline int rejoin_compare_bytes(rejoin_bytes a, rejoin_bytes b) {
    for (uint32_t i = 0; i < a.length && i < b.length; i++) {
        if (a.bytes[i] != b.bytes[i]) {
            return a.bytes[i] < b.bytes[i] ? -1 : 1;
        }
    }
    return (a.length > b.length) - (a.length < b.length);
}

static inline int rejoin_compare_pairs(rejoin_pairs a, rejoin_pairs b) {
    for (uint32_t i = 0; i < a.length && i < b.length; i++) {
        int name = rejoin_compare_bytes(a.items[i].name, b.items[i].name);
        int order = name ? name : rejoin_compare_bytes(a.items[i].value, b.items[i].value);
        if (order) {
            return order;
        }
    }
    return (a.length > b.length) - (a.length < b.length);
}

/* The canonical order of siblings: by value, then content type, metadata and write time. The
 * server lists them in this order; a plugin that breaks its ties by asking here, instead of by the
 * place in the list, is commutative by itself. */
static inline int rejoin_compare_siblings(const rejoin_sibling *a, const rejoin_sibling *b) {
    int order = rejoin_compare_bytes(a->value, b->value);
    order = order ? order : rejoin_compare_bytes(a->content_type, b->content_type);
    order = order ? order : rejoin_compare_pairs(a->metadata, b->metadata);
    return order ? order : (a->written_at_ms > b->written_at_ms) - (a->written_at_ms < b->written_at_ms);
}

/* ---- Text for people ---- */

/* A message under construction. What does not fit is cut off: a message is never worth a trap. */
typedef struct {
    uint8_t bytes[256];
    uint32_t length;
} rejoin_message;

static inline void rejoin_append(rejoin_message *message, const char *text) {
    while (*text && message->length < sizeof message->bytes) {
        message->bytes[message->length++] = (uint8_t)*text++;
    }
}

static inline void rejoin_append_number(rejoin_message *message, uint32_t number) {
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    rejoin_append(message, first);
}

static inline rejoin_bytes rejoin_text_of(const rejoin_message *message) {
    return (rejoin_bytes){message->bytes, message->length};
}

/* ---- What only exists inside WebAssembly ---- */

#ifdef __wasm__

#define REJOIN_EXPORT(name) __attribute__((export_name(name)))

/* The one import. A plugin that never calls it does not import it. */
enum { REJOIN_DEBUG, REJOIN_INFO, REJOIN_WARN, REJOIN_ERROR };
__attribute__((import_module("cm32p2|rejoin:plugin/log@1"), import_name("emit")))
void rejoin_log_emit(uint32_t level, const uint8_t *text, uint32_t length);

/* Placed by the linker behind the stack and the static data. */
extern uint8_t __heap_base;
static uintptr_t rejoin_heap_end = 0;

static void rejoin_free_all(void) { rejoin_heap_end = (uintptr_t)&__heap_base; }

static uint8_t *rejoin_allocate(uint32_t align, uint32_t size) {
    if (!rejoin_heap_end) {
        rejoin_free_all();
    }
    uint64_t start = ((uint64_t)rejoin_heap_end + align - 1) & ~(uint64_t)(align - 1);
    uint64_t pages = (start + size + 65535) / 65536;
    uint32_t have = __builtin_wasm_memory_size(0);
    if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (size_t)-1) {
        __builtin_trap(); /* Out of the memory that the server grants. */
    }
    rejoin_heap_end = (uintptr_t)(start + size);
    return (uint8_t *)(uintptr_t)start;
}

/* Called by the host to place arguments. Growing in place is left out: hosts do not need it for
 * UTF-8 strings and lists, whose size they know before they ask. */
REJOIN_EXPORT("cm32p2_realloc")
uint8_t *rejoin_realloc(uint8_t *old, uint32_t old_size, uint32_t align, uint32_t new_size) {
    if (new_size <= old_size) {
        return old;
    }
    uint8_t *moved = rejoin_allocate(align, new_size);
    for (uint32_t i = 0; i < old_size; i++) {
        moved[i] = old[i];
    }
    return moved;
}

/* Part of the ABI; C without constructors has nothing to do here. */
REJOIN_EXPORT("cm32p2_initialize") void rejoin_initialize(void) {}

#else
#define REJOIN_EXPORT(name)
static inline void rejoin_free_all(void) {}
#endif

#endif
