/* clones.h - what is recorded of two machines that answer with the key of one server. */
#ifndef COORDINATOR_STORE_LEADER_CLONES_H
#define COORDINATOR_STORE_LEADER_CLONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CLONE_ADDRESS_SIZE 48 /* an IPv6 address as text */

struct clone_note {
    int64_t server_id;
    bool is_over;                       /* one at most is there from now on */
    bool is_new;                        /* addresses says from where; else it only goes on */
    char addresses[2][CLONE_ADDRESS_SIZE];
};

/* How long a note counts without another one. */
#define CLONE_NOTE_SECONDS 330

struct pg;
int clones_write(struct pg *pg, const struct clone_note *notes, size_t count, struct err *e)
    __attribute__((warn_unused_result));

#endif
