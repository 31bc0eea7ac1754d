/* config_secret.c - config destroy; secrets typed at a terminal, and secrets in tables. */
#include "coordinator/cli/config_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "coordinator/cli/nouns.h"

#define CONTROL_C 3
#define CONTROL_D 4

const struct command_option config_destroy_options[] = {
    { "versions", 0, "1,2", "the versions whose data keys are shredded" },
    { "force", 0, NULL, "also what a released revision, a rollout or a server still needs" },
    { "message", 'm', "TEXT", "why: kept in the audit trail" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- asking */

/* With signals off, so that no way out leaves a terminal without an echo. */
static int read_line(int fd, struct buffer *out, struct err *e)
{
    for (char c; read(fd, &c, 1) == 1;) {
        if (c == CONTROL_C)
            return err_code(e, ERR_SYSTEM, "interrupted", "interrupted; nothing was written");
        if (c == '\n' || c == '\r' || c == CONTROL_D) {
            buffer_add(out, "", 0);
            return 0;
        }
        if (c == '\b' || c == 127)
            out->size -= out->size > 0;
        else
            buffer_add(out, &c, 1);
    }
    return err_set(e, ERR_SYSTEM, "the terminal was closed; nothing was written");
}

int config_secret_ask(const char *key, struct buffer *out, struct err *e)
{
    struct termios before, silent;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC), rc;

    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0)
            close(fd);
        return err_set(e, ERR_MALFORMED,
                       "there is no terminal to ask for \"%.200s\": give - or @FILE", key);
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    dprintf(fd, "Value of %s (not shown): ", key);
    (void)tcsetattr(fd, TCSAFLUSH, &silent);
    rc = read_line(fd, out, e);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    dprintf(fd, "\n");
    close(fd);
    return rc;
}

/* ---------------------------------------------------------------- showing */

const char *config_secret_shown(const json_t *item, const char *member)
{
    if (json_is_true(json_object_get(item, "destroyed")))
        return "(destroyed)";
    if (json_is_true(json_object_get(item, "encrypted")) &&
        (strcmp(member, "config_value") == 0 || !json_is_string(json_object_get(item, member))))
        return "(encrypted)";
    return cli_text(item, member);
}

/* ---------------------------------------------------------------- destroying */

static int read_versions(const char *text, json_t *list, struct err *e)
{
    for (const char *at = text;; at++) {
        char *end;
        long long number = strtoll(at, &end, 10);

        if (end == at || number < 1 || (*end != ',' && *end != '\0'))
            return err_set(e, ERR_MALFORMED, "--versions \"%.100s\": give numbers, as in 1,2",
                           text);
        json_array_append_new(list, json_integer(number));
        if (*end == '\0')
            return 0;
        at = end;
    }
}

static int destroy(struct cli *cli, const struct ref_scope *scope, const char *key, json_t *body)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *one;
    size_t i;

    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, "/");
    client_escape(&path, key);
    buffer_add_text(&path, "/destroy");
    if (cli_call(cli, "POST", path.data, body, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "config_key"))
        json_array_foreach(json_object_get(reply.body, "destroyed"), i, one)
            printf("%s version %lld is destroyed\n", key, (long long)json_integer_value(one));
    json_array_foreach(json_object_get(reply.body, "needed"), i, one)
        cli_warn("version %lld in %s %s", cli_number(one, "version"), cli_text(one, "scope"),
                 cli_text(one, "why"));
    return CLI_DONE;
}

int config_destroy(struct cli *cli, int argc, char **argv)
{
    const char *versions = command_option(&cli->line, "versions");
    const char *message = command_option(&cli->line, "message");
    struct ref_scope scope;
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (!versions)
        return cli_usage(cli, "say which: --versions 1,2 (config history %s %s)", argv[0], argv[1]);
    body = json_pack("{s:[]}", "versions");
    if (message)
        json_object_set_new(body, "reason", json_string(message));
    if (command_flag(&cli->line, "force"))
        json_object_set_new(body, "force", json_true());
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0 ||
        read_versions(versions, json_object_get(body, "versions"), &e) != 0)
        rc = cli_fail(cli, &e);
    else if (!cli_confirm(cli, "Destroy %s of %s %s for good, on every server?", versions, argv[0],
                          argv[1]))
        rc = cli_unconfirmed();
    else
        rc = destroy(cli, &scope, argv[1], body);
    json_decref(body);
    return rc;
}
