/* pg_internal.h - what the files around libpq share: a result. */
#ifndef COORDINATOR_STORE_PG_INTERNAL_H
#define COORDINATOR_STORE_PG_INTERNAL_H

#include <libpq-fe.h>

struct rows {
    PGresult *result;
};

#endif
