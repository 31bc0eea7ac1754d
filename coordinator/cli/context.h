/* context.h - which coordinator to speak to, and with which token.
 *
 * First found wins: --addr and --token-file; --context; LOCKSTEP_ADDR and LOCKSTEP_TOKEN;
 * LOCKSTEP_CONTEXT; ./.lockstep/context (what `lockstep dev` leaves in its folder); the section
 * [default] of contexts.ini; http://127.0.0.1:7780. A context is the name of a section of
 * $LOCKSTEP_CONFIG (or ~/.config/lockstep/contexts.ini), or a folder of `lockstep dev`:
 *
 *     [staging]
 *     addr = https://lockstep.staging.example:7780
 *     token_file = /home/me/.config/lockstep/staging.token
 *     ca_file = /home/me/.config/lockstep/staging-ca.pem
 *
 * A token found in a context goes to that context's address only, unless the context was named
 * on the command line.
 */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include <stddef.h>

#include "common/err.h"

#define CONTEXT_ADDRESS_PRESET "http://127.0.0.1:7780"

struct context {
    char address[512]; /* without a slash at its end */
    char token[512];   /* "" when none is known */
    char token_source[640]; /* where the token comes from, and how it begins; "" without one */
    char ca_file[1100];     /* PEM: trusted in place of the system's authorities; "" none */
    char client_cert[1100]; /* PEM with certificate and key, for coordinators that ask; "" none */
    char source[600];  /* where the address comes from, for -v and for errors */
};

/* What the command line said; NULL where it said nothing. */
struct context_wish {
    const char *address, *token_file, *ca_file, *client_cert, *name;
};

int context_find(const struct context_wish *wish, struct context *out, struct err *e)
    __attribute__((warn_unused_result));

/* Read the one token of a file; "-" is standard input. Blanks, line ends and a byte-order mark
 * around it are left out. */
int context_read_token(const char *path, char *out, size_t size, struct err *e)
    __attribute__((warn_unused_result));

#endif
