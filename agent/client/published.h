/* published.h - the layout of what an agent publishes for local readers, and how it is checked.
 *
 * FOLDER/SERVICE/ENVIRONMENT/HASH is the document of that content hash as a hash table: written
 * once, never changed, mapped read-only by any number of processes. FOLDER/SERVICE/ENVIRONMENT/
 * current is the control file, mapped too: its sequence number says which entry of its ring names
 * the revision to read. Both are of one machine and in its own byte order; the magic tells.
 *
 * Shared by the agent, which writes, and liblockstep, which reads and must not need the rest of
 * the agent: nothing here but libc and xxHash (a header).
 */
#ifndef AGENT_CLIENT_PUBLISHED_H
#define AGENT_CLIENT_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUBLISHED_FOLDER "/var/lib/lockstep"
#define PUBLISHED_CONTROL "current"
#define PUBLISHED_SOCKET ".consumers" /* in the folder; no service may be called so */
#define PUBLISHED_HASH_SIZE 32
#define PUBLISHED_VERSION 1
#define PUBLISHED_DOCUMENT_MAGIC UINT64_C(0x31434f44504b4c00) /* "\0LKPDOC1" */
#define PUBLISHED_CONTROL_MAGIC UINT64_C(0x314c5443504b4c00)  /* "\0LKPCTL1" */

/* ---- a document ---- */

struct published_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t file_size;
    uint64_t checksum; /* XXH3 of everything behind this field */
    uint8_t hash[PUBLISHED_HASH_SIZE]; /* SHA-256 of the canonical document */
    uint64_t reserved;    /* 0 */
    uint32_t entry_count; /* fewer than there are slots */
    uint32_t slot_mask;   /* the number of slots, a power of two, less one */
    uint32_t slots_at;    /* struct published_slot [slot_mask + 1] */
    uint32_t order_at;    /* uint32_t [entry_count]: where each entry is, in key order */
};

/* Linear probing from hash & slot_mask, at most every second slot in use; tag is the upper half of
 * the hash (lookup.h). */
struct published_slot {
    uint32_t tag;
    uint32_t at; /* of the entry, from the beginning of the file; 0: empty, the key is absent */
};

enum published_type {
    PUBLISHED_STRING,
    PUBLISHED_NUMBER,
    PUBLISHED_BOOLEAN,
    PUBLISHED_JSON,
    PUBLISHED_YAML,
    PUBLISHED_SECRET, /* the key alone */
    PUBLISHED_TYPE_COUNT
};

/* What the text can be read as: decided by the writer, once. */
enum published_fact {
    PUBLISHED_IS_INT = 1,
    PUBLISHED_IS_DOUBLE = 2,
    PUBLISHED_IS_BOOL = 4,
    PUBLISHED_IS_TRUE = 8,
};

/* At a multiple of 8; key, zero, text, zero follow. */
struct published_entry {
    int64_t integer;
    double real;
    uint32_t text_size;
    uint16_t key_size;
    uint8_t type;  /* enum published_type */
    uint8_t facts; /* of enum published_fact */
    char bytes[];
};

static inline const char *published_text(const struct published_entry *entry)
{
    return entry->bytes + entry->key_size + 1;
}

uint64_t published_checksum(const void *document, size_t size);

/* Everything a reader will rely on: afterwards no lookup leaves the `size` bytes. NULL, or what is
 * wrong with it as the end of a sentence. hash NULL: any. */
const char *published_check_document(const void *document, size_t size,
                                     const uint8_t hash[PUBLISHED_HASH_SIZE]);

/* ---- the control file ---- */

#define PUBLISHED_RING 16
#define PUBLISHED_CONTROL_SIZE 4096

/* 64 bytes: what one sequence number stands for. */
struct published_current {
    uint64_t sequence;
    uint64_t revision;
    uint64_t hash[PUBLISHED_HASH_SIZE / 8]; /* zero: revision 0, there is no document */
    uint64_t wall_ms;                       /* when it was switched */
    uint64_t checksum;                      /* of the fields before */
};

/* Only the agent writes: first ring[(sequence + 1) % PUBLISHED_RING], then the sequence, in one
 * store. Then it writes the bell through the descriptor, which wakes those who watch the file. */
struct published_control {
    uint64_t magic;
    uint32_t version;
    uint32_t size;     /* PUBLISHED_CONTROL_SIZE */
    uint64_t sequence; /* 0: nothing was published yet */
    uint32_t consumer_count; /* registered processes, so that a restarted agent expects them */
    uint32_t bell;
    uint64_t reserved[4];
    struct published_current ring[PUBLISHED_RING];
};

static inline uint64_t published_sequence(const struct published_control *control)
{
    return __atomic_load_n(&control->sequence, __ATOMIC_ACQUIRE);
}

/* Of a control file's first bytes; NULL, or what is wrong. */
const char *published_check_control(const void *control, size_t size);
/* What is current, whole: false while nothing is, or when the ring makes no sense. */
bool published_read_current(const struct published_control *control,
                            struct published_current *out);
/* For the one writer. `first`: the number that a new control file begins with, above those
 * of the one it replaces: the clock. */
void published_switch(struct published_control *control, struct published_current *next,
                      uint64_t first);
/* For the one writer: a number that the ring does not know. Whoever still maps a control file that
 * was removed or replaced looks for the one that is there now. */
void published_forsake(struct published_control *control);

#endif
