/* migrate.h - brings the database's tables to what this program expects, once per numbered file.
 *
 * The files sql/NNN_name.sql are inside the program (the Makefile embeds them). Each is applied in
 * a transaction of its own, in order, under an advisory lock, so that several coordinators may
 * start at once; the table `migration` remembers which, with the digest of the bytes.
 */
#ifndef COORDINATOR_STORE_MIGRATE_H
#define COORDINATOR_STORE_MIGRATE_H

#include "common/err.h"

/* One embedded file. The table ends with a row without a name. */
struct migration_text {
    const char *name; /* "001_base" */
    const char *at, *end; /* the byte at end is zero */
};
extern const struct migration_text migration_texts[];

struct pg;
/* Apply what is missing; create the cluster row with a random cluster_id when there is none.
 * ERR_CORRUPT: an applied file has other bytes than the one in this program, or the database has
 * migrations that this program does not know. */
int migrate(struct pg *pg, struct err *e) __attribute__((warn_unused_result));
/* The same with another list: tests. */
int migrate_with(struct pg *pg, const struct migration_text *texts, struct err *e)
    __attribute__((warn_unused_result));

#endif
