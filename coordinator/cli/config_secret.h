/* config_secret.h - secrets on the command line: asked for without an echo, shown as what they are. */
#ifndef CLI_CONFIG_SECRET_H
#define CLI_CONFIG_SECRET_H

#include "coordinator/cli/cli.h"

struct json_t;

/* Ask at the terminal; nothing is shown while it is typed. Appended, without the line's end. */
int config_secret_ask(const char *key, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

/* What a table says of a value: its text, or of a secret that it is one, whoever may read it. */
const char *config_secret_shown(const struct json_t *item, const char *member);

#endif
