/* census.h - how many secrets there are, and how they are wrapped: counted now and then, for /metrics.
 *
 * A thread of its own asks the database and the keyring, which may be another machine; who reads
 * the numbers waits for neither. They are as old as a moment ago.
 */
#ifndef COORDINATOR_SERVICE_CENSUS_H
#define COORDINATOR_SERVICE_CENSUS_H

#include <stdbool.h>

struct buffer;
struct keyring;
struct pg_pool;

struct census;
struct census *census_start(struct pg_pool *pool, struct keyring *keyring);
void census_stop(struct census *c); /* NULL is fine */
void census_metrics(const struct census *c, struct buffer *to);
/* Is the key of this coordinator another one than that of the database's secrets? */
bool census_is_foreign(const struct census *c);

#endif
