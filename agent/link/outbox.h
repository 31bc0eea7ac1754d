/* outbox.h - acknowledgements not yet receipted, in memory as in the cache, and when to repeat them.
 *
 * Everything is said at once after WELCOME, and again every second, doubling to 60 s, each time
 * jittered by half, until its receipt; a new entry starts the doubling over.
 */
#ifndef AGENT_LINK_OUTBOX_H
#define AGENT_LINK_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox_entry {
    uint64_t id;
    uint8_t *body; /* an encoded ack; its first byte is the type */
    size_t size;
};

struct outbox {
    struct outbox_entry *entries;
    size_t count, capacity;
    int64_t repeat_ms, wait_ms;
};

void outbox_fini(struct outbox *o);
/* body is copied. */
void outbox_add(struct outbox *o, uint64_t id, const void *body, size_t size);
bool outbox_remove(struct outbox *o, uint64_t id); /* false: not there */
/* Start the doubling over; chance: random bits. */
void outbox_restart(struct outbox *o, int64_t now_ms, uint64_t chance);
/* True: send all entries now. */
bool outbox_is_due(struct outbox *o, int64_t now_ms, uint64_t chance);

#endif
