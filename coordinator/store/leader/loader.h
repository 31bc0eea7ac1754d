/* loader.h - the threads that read for the loop: one for work and roster, one for documents.
 *
 * Nothing is shared, and no document keeps work waiting: each thread has a connection and wishes of
 * its own.
 * Wishes coalesce: asking twice before the answer gives one answer that is at least as new as the
 * last wish. A lost database is retried; what was asked for then comes later.
 */
#ifndef COORDINATOR_STORE_LEADER_LOADER_H
#define COORDINATOR_STORE_LEADER_LOADER_H

#include "common/wire/packing.h"
#include "coordinator/store/leader/load.h"
#include "coordinator/store/leader/wishes.h"

struct loader_news {
    struct snapshot *snapshot; /* the taker's; NULL: a document */
    enum load_what what;
    struct parcel parcel;
    uint8_t *bytes; /* of the document, malloc'ed, the taker's; NULL: there is no such document */
    size_t size;    /* 0: not to be had in this packing, or not smaller by it */
    uint32_t server; /* whose wish it was, or WISHES_OWN */
};

struct loader;
struct loader *loader_start(const char *conninfo);
void loader_stop(struct loader *l); /* NULL is fine */
int loader_fd(const struct loader *l); /* readable when loader_next has something */
bool loader_next(struct loader *l, struct loader_news *out);
void loader_want(struct loader *l, enum load_what what); /* WORK or ROSTER */
/* What is no smaller for being packed is answered with an empty parcel and the whole document. */
/* `server`: its index, one document at a time (what is not taken is asked for again); WISHES_OWN:
 * the leader itself, before all servers. */
void loader_want_document(struct loader *l, const struct parcel *parcel, uint32_t server);

#endif
