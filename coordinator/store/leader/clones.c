/* clones.c - statements about two machines that answer with the key of one server. */
#include "coordinator/store/leader/clones.h"

#include "common/buffer.h"
#include "coordinator/store/pg.h"

static int write_one(struct pg *pg, const struct clone_note *note, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const char *const addresses[] = { note->addresses[0], note->addresses[1] };

    if (note->is_over)
        return PG_QUERY(pg, "UPDATE server SET clone_until = now() WHERE server_id = $1", NULL, e,
                        PARAM_INT(note->server_id));
    return PG_QUERY(pg,
                    "UPDATE server SET clone_since = CASE WHEN clone_until > now() "
                    " THEN clone_since ELSE now() END, clone_until = now() + make_interval(secs => "
                    " $2), clone_addresses = CASE WHEN $3 THEN $4 ELSE clone_addresses END "
                    "WHERE server_id = $1",
                    NULL, e, PARAM_INT(note->server_id), PARAM_INT(CLONE_NOTE_SECONDS),
                    PARAM_BOOL(note->is_new), pg_array_text(addresses, 2, &memory));
}

int clones_write(struct pg *pg, const struct clone_note *notes, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (write_one(pg, &notes[i], e))
            return -1;
    return 0;
}
