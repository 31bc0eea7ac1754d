/* knocks.h - agents that ask to be let in with a key that nobody enrolled, for those who enrol them.
 *
 * Kept in memory, of this coordinator alone: an agent that is refused goes round all coordinators,
 * so each hears of it within half a minute. Bounded in all and per address, so that a stranger who
 * makes up keys takes places from nobody at another address; who knocks no more is forgotten.
 */
#ifndef COORDINATOR_POLICY_KNOCKS_H
#define COORDINATOR_POLICY_KNOCKS_H

#include <stddef.h>
#include <stdint.h>

#define KNOCKS_MAX 256
#define KNOCKS_OF_ADDRESS_MAX 32
#define KNOCKS_KEPT_MS 600000
#define KNOCK_KEY_SIZE 41 /* Z85 and the zero */
#define KNOCK_ADDRESS_SIZE 64

struct knock {
    char key[KNOCK_KEY_SIZE];
    char address[KNOCK_ADDRESS_SIZE]; /* where it came from last, without the port */
    int64_t first_ms, last_ms;        /* since 1970 */
    uint64_t count;
};

struct knocks;
struct knocks *knocks_new(void);
void knocks_free(struct knocks *k); /* NULL is fine */

/* From any thread. NULL is fine: then nothing is kept. */
void knocks_note(struct knocks *k, const char *key, const char *address, int64_t now_ms);
void knocks_clear(struct knocks *k); /* NULL is fine */
/* The newest first; how many. */
size_t knocks_list(struct knocks *k, int64_t now_ms, struct knock out[KNOCKS_MAX]);

#endif
