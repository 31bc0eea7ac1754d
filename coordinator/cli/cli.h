/* cli.h - what every command gets: its command line, the output, the conversation; shared steps. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/err.h"
#include "coordinator/cli/client.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/ref.h"

struct json_t;

struct cli {
    struct command_line line;
    struct output out;
    struct client *client; /* NULL until cli_connect */
    bool is_verbose, is_yes;
    bool is_comparing; /* differences are exit 1, so other errors must not be */
    struct json_t *typed; /* keys whose values were arguments, lent; NULL: none */
};

/* Find the context and make the client, once. */
int cli_connect(struct cli *cli, struct err *e) __attribute__((warn_unused_result));

/* Connects when needed, then client_call. */
int cli_call(struct cli *cli, const char *method, const char *path, const struct json_t *body,
             struct client_reply *reply, struct err *e) __attribute__((warn_unused_result));

/* Say what went wrong on standard error (with the fields the server named, and the name that was
 * probably meant when one does not exist) and return the exit code of its kind. */
int cli_fail(struct cli *cli, const struct err *e);
/* The command line made no sense: says so, points to the help; CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_exit_code(const struct cli *cli, const struct err *e);

/* One line on standard error: messages are not data. */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ask on the terminal; true with -y, false when there is nobody to ask. */
bool cli_confirm(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The exit code after a false: the person said no, or the command line lacks -y. */
int cli_unconfirmed(void);

/* "/api/v1/config/payments/prod" and the like. */
void cli_scope_path(struct buffer *out, const char *noun, const struct ref_scope *scope);
/* Says when no server reads the scope: its name may be mistyped. Silent where it cannot be seen. */
void cli_warn_unread(struct cli *cli, const struct ref_scope *scope);

/* JSON or YAML from FILE, "-" or "@FILE". */
int cli_read_json(const char *path, struct json_t **out, struct err *e)
    __attribute__((warn_unused_result));

/* Member texts and numbers with a fallback; never NULL. */
const char *cli_text(const struct json_t *object, const char *name);
long long cli_number(const struct json_t *object, const char *name);
/* 2026-11-21T00:42:56.123Z as people like it: "12s ago", "3h ago", the date when older. */
void cli_ago(const char *time, char out[32]);
/* Milliseconds since 1970 of an RFC 3339 text; 0 when it is none. */
long long cli_time_ms(const char *time);

/* Order a list of objects as people count: server-2 before server-10. */
void cli_sort(struct json_t *list, const char *field);

/* Print the object for json, yaml and name; false: the caller draws the table. */
bool cli_print_object(const struct cli *cli, const struct json_t *object, const char *name_field);
bool cli_print_list(const struct cli *cli, const char *list_name, struct json_t *list,
                    const char *name_field);

#endif
