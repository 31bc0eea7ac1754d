/* config_change.h - one write of many keys: sent or only planned, and how a difference is shown. */
#ifndef CLI_CONFIG_CHANGE_H
#define CLI_CONFIG_CHANGE_H

#include <stddef.h>

#include "coordinator/cli/cli.h"

struct json_t;

/* Once for every key that is a secret and whose value stood on the command line. */
void config_change_warn_typed(const char *key);
/* Send {"set":…, "delete":…}; adds what the option --message says. With --plan nothing
 * is written: the difference is shown and the exit code is 1 when there is any. Returns the exit
 * code. */
int config_change_send(struct cli *cli, const struct ref_scope *scope, struct json_t *change);
/* The same for a body that goes to a path under the scope ("/copy"; "" the scope itself). */
int config_change_post(struct cli *cli, const struct ref_scope *scope, const char *under,
                       struct json_t *body);
/* What became of a write, on standard error. */
void config_change_say(struct cli *cli, const struct ref_scope *scope,
                       const struct json_t *answer);

/* Ask what the types and schemas of the server say about it; nothing is written. */
int config_change_validate(struct cli *cli, const struct ref_scope *scope, struct json_t *change);

/* The lines "- key  old" and "+ key  new" of an answer that has `changes`. */
void config_change_show(const struct cli *cli, const struct json_t *answer);
size_t config_change_count(const struct json_t *answer);

#endif
