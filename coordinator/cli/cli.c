/* cli.c - steps that commands share: connecting, failing, asking, reading members of answers. */
#include "coordinator/cli/cli.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/cli/advice.h"
#include "coordinator/cli/context.h"
#include "coordinator/cli/import.h"
#include "coordinator/cli/suggest.h"

#define JSON_FILE_MAX (16u << 20)

int cli_connect(struct cli *cli, struct err *e)
{
    struct context context;
    struct context_wish wish = {
        .address = command_option(&cli->line, "addr"),
        .token_file = command_option(&cli->line, "token-file"),
        .ca_file = command_option(&cli->line, "ca-file"),
        .client_cert = command_option(&cli->line, "client-cert"),
        .name = command_option(&cli->line, "context"),
        .request_timeout = command_option(&cli->line, "request-timeout"),
    };

    if (cli->client)
        return 0;
    if (context_find(&wish, &context, e) != 0)
        return -1;
    if (cli->is_verbose)
        cli_note("coordinator %s%s, from %s, %s token", context.addresses[0],
                 context.address_count > 1 ? " and others" : "", context.source,
                 context.token[0] ? "with a" : "without a");
    cli->client = client_new(&context, cli->is_verbose);
    explicit_bzero(context.token, sizeof(context.token));
    return 0;
}

int cli_call(struct cli *cli, const char *method, const char *path, const json_t *body,
             struct client_reply *reply, struct err *e)
{
    *reply = (struct client_reply){ 0 };
    if (cli_connect(cli, e) != 0)
        return -1;
    return client_call(cli->client, method, path, body, reply, e);
}

int cli_exit_code(const struct cli *cli, const struct err *e)
{
    switch (e->kind) {
    case ERR_MALFORMED:
        return CLI_USAGE;
    case ERR_NOT_FOUND:
    case ERR_GONE:
        return CLI_NOT_FOUND;
    case ERR_CONFLICT:
    case ERR_STALE:
        return CLI_CONFLICT;
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
        return CLI_NOT_PERMITTED;
    case ERR_INVALID:
    case ERR_TOO_LARGE:
        return CLI_INVALID;
    case ERR_NONE:
    case ERR_THROTTLED:
    case ERR_UNAVAILABLE:
    case ERR_FENCED:
    case ERR_CORRUPT:
    case ERR_SYSTEM:
        break;
    }
    if (e->code && strcmp(e->code, "interrupted") == 0)
        return CLI_INTERRUPTED;
    return cli->is_comparing ? CLI_COMPARE_FAILED : CLI_FAILED;
}

int cli_fail(struct cli *cli, const struct err *e)
{
    int rc;

    fflush(stdout);
    if (e->code && strcmp(e->code, "interrupted") == 0)
        return CLI_INTERRUPTED;
    fprintf(stderr, "lockstep: %s\n", e->text);
    if (cli->client)
        fputs(client_field_errors(cli->client), stderr);
    rc = cli_exit_code(cli, e); /* the next request takes the code's text away */
    advice_after(cli, e);
    suggest_after(cli, e);
    return rc;
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    const struct command *c = cli->line.command;
    va_list ap;

    fputs("lockstep: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    if (c)
        fprintf(stderr, "\n`lockstep help %s%s%s` says how it goes.\n", c->noun, c->verb ? " " : "",
                c->verb ? c->verb : "");
    else
        fputs("\n`lockstep help` lists the commands.\n", stderr);
    return CLI_USAGE;
}

void cli_note(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("lockstep: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void cli_warn(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("lockstep: warning: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool cli_confirm(const struct cli *cli, const char *fmt, ...)
{
    char answer[16] = "";
    va_list ap;

    if (cli->is_yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        cli_note("nobody to ask; give -y when you mean it");
        return false;
    }
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs(" [y/N] ", stderr);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

int cli_unconfirmed(void)
{
    return isatty(STDIN_FILENO) ? CLI_FAILED : CLI_USAGE;
}

void cli_scope_path(struct buffer *out, const char *noun, const struct ref_scope *scope)
{
    buffer_printf(out, "/api/v1/%s/", noun);
    client_escape(out, scope->service);
    buffer_add(out, "/", 1);
    client_escape(out, scope->environment);
}

void cli_warn_unread(struct cli *cli, const struct ref_scope *scope)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    const json_t *servers;
    struct err e = { 0 };

    buffer_add_text(&path, "/api/v1/servers?limit=1&service=");
    client_escape(&path, scope->service);
    buffer_add_text(&path, "&environment=");
    client_escape(&path, scope->environment);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return;
    servers = json_object_get(reply.body, "servers");
    if (!json_is_array(servers) || json_array_size(servers) > 0)
        return;
    cli_warn("no server that was ever seen reads %s/%s: is its name right? "
             "(lockstep service list)", scope->service, scope->environment);
    suggest_scope(cli, scope);
}

static bool is_json(const struct buffer *b)
{
    const char *at = b->data + strspn(b->data, " \t\r\n");

    return *at == '{' || *at == '[';
}

int cli_read_json(const char *path, json_t **out, struct err *e)
{
    SCOPED_BUFFER struct buffer b = { 0 }, text = { 0 }, warnings = { 0 };
    json_error_t je;

    if (path[0] == '@')
        path++;
    if (buffer_read_file(&b, path, JSON_FILE_MAX, e) != 0)
        return -1;
    buffer_add_text(&b, "");
    if (!is_json(&b)) {
        if (import_json(b.data, b.size, path, &text, &warnings, e) != 0)
            return -1;
        fputs(warnings.size ? warnings.data : "", stderr);
    }
    *out = json_loadb(text.size ? text.data : b.data, text.size ? text.size : b.size,
                      JSON_REJECT_DUPLICATES, &je);
    if (!*out)
        return err_set(e, ERR_INVALID, "%s:%d:%d: %s", path, je.line, je.column, je.text);
    return 0;
}

const char *cli_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

long long cli_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

long long cli_time_ms(const char *time)
{
    struct tm tm = { .tm_year = 0 };
    int ms = 0;
    const char *rest = strptime(time, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!rest)
        return 0;
    if (*rest == '.')
        ms = (int)strtol(rest + 1, NULL, 10);
    return (long long)timegm(&tm) * 1000 + ms;
}

void cli_ago(const char *time, char out[32])
{
    long long then = cli_time_ms(time), s = (clock_wall_ms() - then) / 1000;

    if (then == 0)
        snprintf(out, 32, "never");
    else if (s < 1)
        snprintf(out, 32, "now");
    else if (s < 100)
        snprintf(out, 32, "%llds ago", s);
    else if (s < 100 * 60)
        snprintf(out, 32, "%lldm ago", s / 60);
    else if (s < 48 * 3600)
        snprintf(out, 32, "%lldh ago", s / 3600);
    else
        snprintf(out, 32, "%.10s", time);
}

/* Insertion from the back: lists come nearly sorted, by bytes. */
void cli_sort(json_t *list, const char *field)
{
    for (size_t i = 1; i < json_array_size(list); i++) {
        json_t *one = json_incref(json_array_get(list, i));
        size_t to = i;

        while (to > 0 &&
               strverscmp(cli_text(json_array_get(list, to - 1), field), cli_text(one, field)) > 0)
            to--;
        if (to < i) {
            json_array_remove(list, i);
            json_array_insert(list, to, one);
        }
        json_decref(one);
    }
}

bool cli_print_object(const struct cli *cli, const json_t *object, const char *name_field)
{
    if (cli->out.format == OUTPUT_TABLE)
        return false;
    if (cli->out.format == OUTPUT_NAME)
        output_names(object, name_field);
    else
        output_value(&cli->out, object);
    return true;
}

bool cli_print_list(const struct cli *cli, const char *list_name, json_t *list,
                    const char *name_field)
{
    json_t *wrapped;

    if (cli->out.format == OUTPUT_TABLE)
        return false;
    if (cli->out.format == OUTPUT_NAME) {
        output_names(list, name_field);
        return true;
    }
    wrapped = json_pack("{s:O, s:n}", list_name, list, "next");
    MUST(wrapped);
    output_value(&cli->out, wrapped);
    json_decref(wrapped);
    return true;
}
