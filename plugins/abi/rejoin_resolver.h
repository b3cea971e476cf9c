/* The exports of the world `resolver-plugin`, for a plugin written in C.
 *
 * Include it once, in the only source file of the plugin, and define the three functions declared
 * first. Holds no policy. An answer may point into the arguments, into static data, or nowhere
 * else.
 *
 * Invariant: the names and the lowered signatures are those that the canonical ABI gives to
 * wit/v1/plugin.wit. A function of more than one result word answers with a pointer to them; the
 * host calls `..._post` when it has read them.
 */
#ifndef REJOIN_RESOLVER_H
#define REJOIN_RESOLVER_H

#include "rejoin_plugin.h"

/* Who the plugin is. Must point to static data. */
static const rejoin_description *describe(void);

/* Asked when a bucket is bound to the plugin with these params. */
static rejoin_params_verdict check_params(rejoin_bytes params);

/* At least two siblings, in canonical order; at most one answer. */
static rejoin_resolution resolve(rejoin_bytes key, rejoin_siblings siblings, rejoin_pairs extras,
                                 rejoin_bytes params);

REJOIN_EXPORT("cm32p2|rejoin:plugin/about@1|describe")
const rejoin_description *rejoin_describe(void) { return describe(); }

REJOIN_EXPORT("cm32p2|rejoin:plugin/about@1|describe_post")
void rejoin_describe_post(const rejoin_description *answer) {
    (void)answer;
    rejoin_free_all();
}

REJOIN_EXPORT("cm32p2|rejoin:plugin/about@1|check-params")
const rejoin_params_verdict *rejoin_check_params(const uint8_t *params, uint32_t params_length) {
    static rejoin_params_verdict answer;
    answer = check_params((rejoin_bytes){params, params_length});
    return &answer;
}

REJOIN_EXPORT("cm32p2|rejoin:plugin/about@1|check-params_post")
void rejoin_check_params_post(const rejoin_params_verdict *answer) {
    (void)answer;
    rejoin_free_all();
}

REJOIN_EXPORT("cm32p2|rejoin:plugin/resolver@1|resolve")
const rejoin_resolution *rejoin_resolve(const uint8_t *key, uint32_t key_length,
                                        const rejoin_sibling *siblings, uint32_t siblings_length,
                                        const rejoin_pair *extras, uint32_t extras_length,
                                        const uint8_t *params, uint32_t params_length) {
    static rejoin_resolution answer;
    answer = resolve((rejoin_bytes){key, key_length}, (rejoin_siblings){siblings, siblings_length},
                     (rejoin_pairs){extras, extras_length}, (rejoin_bytes){params, params_length});
    return &answer;
}

REJOIN_EXPORT("cm32p2|rejoin:plugin/resolver@1|resolve_post")
void rejoin_resolve_post(const rejoin_resolution *answer) {
    (void)answer;
    rejoin_free_all();
}

#endif
