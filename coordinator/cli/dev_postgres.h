/* dev_postgres.h - the private PostgreSQL of `lockstep dev`: on a Unix socket, as another user than
 * root, with its data kept from one start to the next. */
#ifndef CLI_DEV_POSTGRES_H
#define CLI_DEV_POSTGRES_H

#include <stdbool.h>

#include "coordinator/cli/dev_process.h"

struct dev_postgres {
    struct dev_process process;
    struct dev_user user; /* name "" when we run it as ourselves */
    char programs[512];   /* folder of initdb, postgres, pg_isready */
    char data[DEV_PATH];
    char sockets[DEV_PATH]; /* folder of the socket */
    bool is_sockets_ours;   /* a short folder under /tmp, removed at the end */
    int keep_fd;
};

/* Makes the data folder on the first start, starts the server, waits until it answers and the
 * database is there. `dir` is absolute. */
int dev_postgres_start(struct dev_postgres *pg, const char *dir, int keep_fd, struct err *e)
    __attribute__((warn_unused_result));
void dev_postgres_stop(struct dev_postgres *pg);
/* For [database] url. */
void dev_postgres_url(const struct dev_postgres *pg, struct buffer *out);

#endif
