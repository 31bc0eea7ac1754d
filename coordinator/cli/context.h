/* context.h - which coordinator to speak to, and with which token.
 *
 * First found wins: --addr and --token-file; --context; LOCKSTEP_ADDR and LOCKSTEP_TOKEN;
 * LOCKSTEP_CONTEXT; ./.lockstep/context (what `lockstep dev` leaves in its folder); what
 * `lockstep context use` chose; the section [default] of contexts.ini; http://127.0.0.1:7780. A
 * context is the name of a section of $LOCKSTEP_CONFIG (or ~/.config/lockstep/contexts.ini), or a
 * folder of `lockstep dev`:
 *
 *     [staging]
 *     addr = https://lockstep-1.staging.example:7780, https://lockstep-2.staging.example:7780
 *     token_file = /home/me/.config/lockstep/staging.token
 *     ca_file = /home/me/.config/lockstep/staging-ca.pem
 *
 * Several coordinators of one cluster are named with commas between them.
 *
 * A token found in a context goes to that context's addresses only, unless the context was named
 * on the command line.
 */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct json_t;

#define CONTEXT_ADDRESS_PRESET "http://127.0.0.1:7780"
#define CONTEXT_ADDRESSES_MAX 8
#define CONTEXT_ADDRESS_SIZE 512

struct context {
    unsigned address_count;
    char addresses[CONTEXT_ADDRESSES_MAX][CONTEXT_ADDRESS_SIZE]; /* without a slash at the end */
    char token[512];   /* "" when none is known */
    char token_source[640]; /* where the token comes from, and how it begins; "" without one */
    char ca_file[1100];     /* PEM: trusted in place of the system's authorities; "" none */
    char client_cert[1100]; /* PEM with certificate and key, for coordinators that ask; "" none */
    char source[600];  /* where the addresses come from, for -v and for errors */
    int64_t patience_ms; /* of one request; 0: the usual one */
};

/* What the command line said; NULL where it said nothing. */
struct context_wish {
    const char *address, *token_file, *ca_file, *client_cert, *name, *request_timeout;
};

int context_find(const struct context_wish *wish, struct context *out, struct err *e)
    __attribute__((warn_unused_result));

/* The sections of contexts.ini, sorted, as objects {"name","addr","token_file","is_current"}; an
 * empty list when there is no such file. The caller's. */
int context_list_all(struct json_t **out, struct err *e) __attribute__((warn_unused_result));
/* What counts from now on where nothing is said; "default": the section [default] again. */
int context_choose(const char *name, struct err *e) __attribute__((warn_unused_result));
/* Where contexts.ini is looked for. */
void context_path(char *out, size_t size);

/* Read the one token of a file; "-" is standard input. Blanks, line ends and a byte-order mark
 * around it are left out. One that everybody may read is remarked on. */
int context_read_token(const char *path, char *out, size_t size, struct err *e)
    __attribute__((warn_unused_result));

#endif
