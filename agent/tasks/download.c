/* download.c - documents on their way here: what is at hand as a base, asking, opening what arrived. */
#include "agent/tasks/download.h"

#include "agent/tasks/say.h"
#include "common/clock.h"

void download_step(struct agent *a, struct fetch *f, int64_t now_ms)
{
    struct wire_fetch ask;

    if (a->session.is_welcomed && fetch_is_due(f, now_ms, &ask))
        say_fetch(a, &ask);
}

void download_begin(struct agent *a, struct fetch *f, const struct hash *hash, uint32_t size,
                    const struct hash *near)
{
    bool is_at_hand = near && !hash_is_zero(near) && cache_has_document(a->cache, near);

    fetch_begin(f, hash, size, is_at_hand ? near : NULL);
    download_step(a, f, clock_monotonic_ms());
}

enum fetch_result download_chunk(struct agent *a, struct fetch *f, const struct wire_chunk *chunk,
                                 struct err *e)
{
    SCOPED_BUFFER struct buffer base = { 0 };
    enum fetch_result result = fetch_take(f, chunk, e);
    struct err unused;

    if (result == FETCH_ARRIVED) {
        if (f->parcel.packing == PACKING_DELTA &&
            cache_get_document(a->cache, &f->parcel.base, &base, &unused))
            buffer_fini(&base); /* lost meanwhile: the delta does not open, and it goes on whole */
        result = fetch_unpack(f, base.data, base.size, e);
    }
    if (result == FETCH_MORE)
        download_step(a, f, clock_monotonic_ms());
    return result;
}
