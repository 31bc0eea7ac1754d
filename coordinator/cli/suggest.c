/* suggest.c - "did you mean": distances between names, and the lists of the API to compare with. */
#include "coordinator/cli/suggest.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/cli/cli.h"

#define LETTERS_MAX 160 /* SERVICE/ENV of usual names; what is longer is alike behind that */
#define NEAR_MAX 3      /* beyond that it is another word */

/* ---------------------------------------------------------------- nearness */

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t rows[3][LETTERS_MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2];
    size_t a_size = strnlen(a, LETTERS_MAX), b_size = strnlen(b, LETTERS_MAX);

    for (size_t j = 0; j <= b_size; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *free_row = before;

        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            now[j] = smallest(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        before = last;
        last = now;
        now = free_row;
    }
    return last[b_size];
}

/* A mistyped word may differ in one letter of four. */
static size_t slips_allowed(const char *given)
{
    size_t allowed = (strlen(given) + 2) / 4;

    return allowed < 1 ? 1 : allowed > NEAR_MAX ? NEAR_MAX : allowed;
}

static size_t distance_of(const char *name, const char *given, bool is_beginning)
{
    char beginning[LETTERS_MAX];

    if (!is_beginning || strlen(name) <= strlen(given))
        return suggest_distance(name, given);
    snprintf(beginning, sizeof(beginning), "%.*s", (int)strnlen(given, LETTERS_MAX - 1), name);
    return suggest_distance(beginning, given);
}

/* The nearest of the names that were looked at; none while two are as near. */
struct nearest {
    const char *name;
    size_t distance;
};

static void look_at(struct nearest *n, const char *name, size_t distance)
{
    if (distance == 0 || distance > n->distance)
        return;
    n->name = distance < n->distance ? name : NULL;
    n->distance = distance;
}

const char *suggest_nearest(const json_t *names, const char *given, bool is_beginning)
{
    struct nearest n = { .distance = slips_allowed(given) + 1 };
    size_t i;
    json_t *one;

    json_array_foreach(names, i, one) {
        const char *name = json_string_value(one);

        if (name)
            look_at(&n, name, distance_of(name, given, is_beginning));
    }
    return n.name;
}

const char *suggest_word(const char *const *words, size_t count, const char *given)
{
    struct nearest n = { .distance = slips_allowed(given) + 1 };

    for (size_t i = 0; i < count; i++)
        look_at(&n, words[i], suggest_distance(words[i], given));
    return n.name;
}

/* ---------------------------------------------------------------- what there is */

/* The names of a list of the API; SERVICE/ENV of what has both. NULL: it cannot be seen. */
static json_t *names_of(struct cli *cli, const char *path, const char *list_name)
{
    json_t *names, *list, *one;
    struct err e = { 0 };
    size_t i;

    if (!cli->client || client_list(cli->client, path, list_name, &list, &e) != 0)
        return NULL;
    names = json_array();
    MUST(names);
    json_array_foreach(list, i, one) {
        const char *name = cli_text(one, "name");

        json_array_append_new(names, *name ? json_string(name)
                                           : json_sprintf("%s/%s", cli_text(one, "service"),
                                                          cli_text(one, "environment")));
    }
    json_decref(list);
    return names;
}

bool suggest_has(const json_t *names, const char *given)
{
    size_t i;
    json_t *one;

    json_array_foreach(names, i, one)
        if (strcmp(json_string_value(one), given) == 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------- what was given */

/* What of one word of the command line may be a name of that kind; false: nothing. `before` is what
 * stands in front of the name and is said again. */
struct kind {
    const char *code, *path, *list;
    const char *option; /* which may hold it, too */
    bool (*read)(const char *word, char name[SCOPE_BUFFER], char before[SCOPE_BUFFER]);
};

static bool read_plain(const char *word, char name[SCOPE_BUFFER], char before[SCOPE_BUFFER])
{
    before[0] = 0;
    snprintf(name, SCOPE_BUFFER, "%s", word);
    return !strchr(word, '/') && strlen(word) < SCOPE_BUFFER;
}

static bool read_scope(const char *word, char name[SCOPE_BUFFER], char before[SCOPE_BUFFER])
{
    struct ref_scope scope;
    struct err e;

    before[0] = 0;
    if (!strchr(word, '/') || ref_scope_parse(word, &scope, &e) != 0)
        return false;
    snprintf(name, SCOPE_BUFFER, "%s/%s", scope.service, scope.environment);
    return true;
}

static bool read_environment(const char *word, char name[SCOPE_BUFFER], char before[SCOPE_BUFFER])
{
    struct ref_scope scope;
    struct err e;

    if (!strchr(word, '/'))
        return read_plain(word, name, before);
    if (ref_scope_parse(word, &scope, &e) != 0)
        return false;
    snprintf(before, SCOPE_BUFFER, "%s/", scope.service);
    snprintf(name, SCOPE_BUFFER, "%s", scope.environment);
    return true;
}

enum { KIND_SERVER, KIND_SCOPE, KIND_ENVIRONMENT, KIND_STRATEGY };

static const struct kind kinds[] = {
    [KIND_SERVER] = { "unknown_server", "/api/v1/servers?limit=500", "servers", NULL, read_plain },
    [KIND_SCOPE] = { "unknown_scope", "/api/v1/services", "services", "scope", read_scope },
    [KIND_ENVIRONMENT] = { "unknown_environment", "/api/v1/environments", "environments",
                           "environment", read_environment },
    [KIND_STRATEGY] = { "unknown_strategy", "/api/v1/strategies", "strategies", "strategy",
                        read_plain },
};

/* Scopes that have no configuration yet, and that servers read: who writes the first one may well
 * mean such a scope. One page of servers is enough to know them by. */
static void add_read_scopes(struct cli *cli, json_t *names)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *server, *scope;
    size_t i, k;

    if (client_call(cli->client, "GET", "/api/v1/servers?limit=500", NULL, &reply, &e) != 0)
        return;
    json_array_foreach(json_object_get(reply.body, "servers"), i, server) {
        json_array_foreach(json_object_get(server, "scopes"), k, scope) {
            json_t *name = json_sprintf("%s/%s", cli_text(scope, "service"),
                                        cli_text(scope, "environment"));

            if (!suggest_has(names, json_string_value(name)))
                json_array_append(names, name);
            json_decref(name);
        }
    }
}

static json_t *scope_names(struct cli *cli)
{
    json_t *names = names_of(cli, "/api/v1/services", "services");

    if (names)
        add_read_scopes(cli, names);
    return names;
}

/* True: the word names nothing there is, something is near it, and that is said. */
static bool offer(const struct kind *k, const json_t *names, const char *word)
{
    char name[SCOPE_BUFFER], before[SCOPE_BUFFER];
    const char *meant;

    if (!word || !k->read(word, name, before) || suggest_has(names, name))
        return false;
    meant = suggest_nearest(names, name, false);
    if (meant)
        fprintf(stderr, "Did you mean %s%s?\n", before, meant);
    return meant;
}

/* Where no scope is near it may be that the environment of the one that was asked for is none. */
static void offer_environment(struct cli *cli, const char *word)
{
    json_t *names = names_of(cli, "/api/v1/environments", "environments");
    struct ref_scope scope;
    struct err e;

    if (names && strchr(word, '/') && ref_scope_parse(word, &scope, &e) == 0 &&
        !suggest_has(names, scope.environment)) {
        cli_note("there is no environment %s (lockstep environment list)", scope.environment);
        offer(&kinds[KIND_ENVIRONMENT], names, word);
    }
    json_decref(names);
}

void suggest_after(struct cli *cli, const struct err *e)
{
    const struct kind *k = NULL;
    json_t *names;
    bool is_said;

    for (size_t i = 0; e->kind == ERR_NOT_FOUND && e->code && i < sizeof(kinds) / sizeof(*kinds);
         i++)
        if (strcmp(kinds[i].code, e->code) == 0)
            k = &kinds[i];
    if (!k)
        return;
    names = k == &kinds[KIND_SCOPE] ? scope_names(cli) : names_of(cli, k->path, k->list);
    if (!names)
        return;
    is_said = k->option && offer(k, names, command_option(&cli->line, k->option));
    for (int i = 0; !is_said && i < cli->line.arg_count; i++)
        is_said = offer(k, names, cli->line.args[i]);
    json_decref(names);
    if (k == &kinds[KIND_SCOPE] && !is_said && cli->line.arg_count > 0)
        offer_environment(cli, cli->line.args[0]);
}

static void warn_unknown(const char *what, json_t *names, const char *name)
{
    const char *meant;

    if (names && !strpbrk(name, "*?") && !suggest_has(names, name)) {
        meant = suggest_nearest(names, name, false);
        cli_warn("there is no %s %s", what, name);
        if (meant)
            fprintf(stderr, "Did you mean %s?\n", meant);
    }
    json_decref(names);
}

void suggest_environment(struct cli *cli, const char *name)
{
    warn_unknown("environment", names_of(cli, "/api/v1/environments", "environments"),
                 name_environment(name));
}

/* Scopes are what is listed; a service is the beginning of one. */
void suggest_service(struct cli *cli, const char *name)
{
    json_t *scopes = names_of(cli, "/api/v1/services", "services"), *names, *one;
    size_t i;

    if (!scopes)
        return;
    names = json_array();
    json_array_foreach(scopes, i, one) {
        const char *text = json_string_value(one);
        json_t *service = json_stringn(text, strcspn(text, "/"));

        if (!suggest_has(names, json_string_value(service)))
            json_array_append(names, service);
        json_decref(service);
    }
    json_decref(scopes);
    warn_unknown("service", names, name);
}

void suggest_scope(struct cli *cli, const struct ref_scope *scope)
{
    json_t *names = scope_names(cli);
    char given[SCOPE_BUFFER];
    const char *meant;

    snprintf(given, sizeof(given), "%s/%s", scope->service, scope->environment);
    meant = names ? suggest_nearest(names, given, false) : NULL;
    if (meant)
        fprintf(stderr, "Did you mean %s?\n", meant);
    json_decref(names);
}
