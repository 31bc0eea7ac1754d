/* refetch.c - documents that a promise names and the cache lost are fetched again. */
#include "agent/tasks/refetch.h"

#include "agent/tasks/download.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/log.h"

#define LOOK_MS 1000
#define FAILED_MS 30000

static const struct hash *find_lost(const struct agent *a)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        const struct promise *p = &a->durable[i];
        const struct hash *named[] = { &p->active.hash, &p->lkg.hash, &p->slot.hash };

        for (unsigned k = 0; k < sizeof(named) / sizeof(named[0]); k++)
            if (!hash_is_zero(named[k]) && !cache_has_document(a->cache, named[k]))
                return named[k];
    }
    return NULL;
}

void refetch_step(struct agent *a, int64_t now_ms)
{
    char hex[HASH_HEX_SIZE];
    const struct hash *lost;

    if (!a->session.is_welcomed)
        return;
    if (!a->repair.is_on && now_ms >= a->repair_ms) {
        a->repair_ms = now_ms + LOOK_MS;
        lost = find_lost(a);
        if (lost) {
            hash_to_hex(lost, hex);
            log_warn("a document was lost or corrupt; fetching it again", "hash", hex);
            download_begin(a, &a->repair, lost, 0, NULL);
        }
    }
    download_step(a, &a->repair, now_ms);
}

static void keep(struct agent *a)
{
    struct cache_document document = { a->repair.parcel.hash, a->repair.content.data,
                                       a->repair.content.size };
    struct err e;

    if (cache_put_documents(a->cache, &document, 1, &e))
        log_warn("the fetched document cannot be kept", "reason", e.text);
    else
        log_info("the lost document is back");
}

void refetch_take_chunk(struct agent *a, const struct wire_chunk *chunk)
{
    int64_t now_ms = clock_monotonic_ms();
    struct err e;

    switch (download_chunk(a, &a->repair, chunk, &e)) {
    case FETCH_IGNORED:
    case FETCH_MORE:
    case FETCH_ARRIVED:
        return;
    case FETCH_DONE:
        keep(a);
        break;
    case FETCH_FAILED:
        log_warn("a lost document is not to be had", "reason", e.text);
        a->repair_ms = now_ms + FAILED_MS;
        break;
    }
    fetch_end(&a->repair);
}
