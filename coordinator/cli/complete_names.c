/* complete_names.c - the candidates at the cursor: from the table of commands, or the coordinator.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/complete.h"
#include "coordinator/cli/context.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/suggest.h"

#define PATIENCE_MS 1000 /* a person waits at the tabulator */

struct finder {
    struct cli *cli;
    struct cursor at;
    struct buffer out;    /* lines of candidates */
    const char *files;    /* "words", "files" or "dirs" */
    char before_file[80]; /* what of the typed word stands in front of the file's name */
};

/* Offer a candidate if the word typed so far is its beginning. */
static void offer(struct finder *f, const char *name, const char *behind, const char *what)
{
    size_t before = (size_t)(f->at.word - f->at.typed);

    if (strncmp(name, f->at.word, strlen(f->at.word)) != 0 || strpbrk(name, "\n\t"))
        return;
    buffer_add(&f->out, f->at.typed, before);
    buffer_printf(&f->out, "%s%s\t%.*s\n", name, behind, (int)strcspn(what, "\n\t"), what);
}

/* ---------------------------------------------------------------- from the table */

static void offer_options(struct finder *f, const struct command_option *options)
{
    for (const struct command_option *o = options; o && o->name; o++) {
        char name[80];

        if (!o->help)
            continue;
        snprintf(name, sizeof(name), "--%s", o->name);
        offer(f, name, "", o->help);
    }
}

static void offer_nouns(struct finder *f)
{
    for (size_t i = 0; i < command_count; i++)
        if (i == 0 || strcmp(commands[i].noun, commands[i - 1].noun) != 0)
            offer(f, commands[i].noun, "", commands[i].verb ? "" : commands[i].summary);
}

static void offer_verbs(struct finder *f, const char *noun)
{
    for (size_t i = 0; i < command_count; i++)
        if (commands[i].verb && strcmp(commands[i].noun, noun) == 0)
            offer(f, commands[i].verb, "", commands[i].summary);
}

/* Words with blanks between them. */
static void offer_words(struct finder *f, const char *words)
{
    for (const char *at = words; *at; at += strspn(at, " ")) {
        char word[80];
        size_t size = strcspn(at, " ");

        snprintf(word, sizeof(word), "%.*s", (int)size, at);
        offer(f, word, "", "");
        at += size;
    }
}

static void offer_help(struct finder *f, const char *unused)
{
    const struct command_line *line = &f->cli->line;

    (void)unused;
    if (line->arg_count == 0) {
        offer_nouns(f);
        offer_words(f, "exit-codes contexts");
    } else if (line->arg_count == 1) {
        offer_verbs(f, line->args[0]);
    }
}

/* ---------------------------------------------------------------- files */

static void offer_files(struct finder *f, const char *before)
{
    size_t inside = (size_t)(f->at.word - f->at.typed);

    if (strncmp(f->at.word, before, strlen(before)) != 0)
        return;
    f->files = "files";
    snprintf(f->before_file, sizeof(f->before_file), "%.*s%s", (int)inside, f->at.typed, before);
}

static void offer_dirs(struct finder *f, const char *before)
{
    bool has_files = strcmp(f->files, "files") == 0;

    offer_files(f, before);
    if (!has_files)
        f->files = "dirs";
}

static void offer_contexts(struct finder *f, const char *only)
{
    struct err ignored; /* a file that cannot be read offers nothing */
    json_t *list, *one;
    size_t i;

    if (context_list_all(&list, &ignored) == 0) {
        json_array_foreach(list, i, one)
            offer(f, cli_text(one, "name"), "", cli_text(one, "addr"));
        json_decref(list);
    }
    if (!*only)
        offer_dirs(f, "");
}

/* ---------------------------------------------------------------- from the coordinator */

/* Every page of a list; NULL when it does not come in time, or may not be seen. */
static json_t *list_of(struct finder *f, const char *path, const char *name)
{
    json_t *list = NULL;
    struct err e = { 0 };

    if (cli_connect(f->cli, &e) != 0)
        return NULL;
    client_hurry(f->cli->client, PATIENCE_MS);
    return client_list(f->cli->client, path, name, &list, &e) == 0 ? list : NULL;
}

/* "PATH LIST FIELD [WHAT]": members of a list by one of their fields, and what says what they are.
 */
static void offer_list(struct finder *f, const char *where)
{
    char path[80], name[40], field[40], what[40] = "";
    json_t *list, *one;
    size_t i;

    if (sscanf(where, "%79s %39s %39s %39s", path, name, field, what) < 3)
        return;
    list = list_of(f, path, name);
    json_array_foreach(list, i, one)
        offer(f, cli_text(one, field), "", cli_text(one, what));
    json_decref(list);
}

static void offer_revisions(struct finder *f, const char *scope)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope ref;
    struct err e = { 0 };
    char name[2 * SCOPE_BUFFER];
    json_t *one;
    size_t i;

    snprintf(name, sizeof(name), "%s@head", scope);
    offer(f, name, "", "the newest, drafts and all");
    snprintf(name, sizeof(name), "%s@released", scope);
    offer(f, name, "", "what servers are meant to run");
    if (ref_scope_parse_plain(scope, &ref, &e) != 0 || cli_connect(f->cli, &e) != 0)
        return;
    client_hurry(f->cli->client, PATIENCE_MS);
    cli_scope_path(&path, "revisions", &ref);
    buffer_add_text(&path, "?limit=50"); /* the newest */
    if (cli_call(f->cli, "GET", path.data, NULL, &reply, &e) != 0)
        return;
    json_array_foreach(json_object_get(reply.body, "revisions"), i, one) {
        snprintf(name, sizeof(name), "%s@%lld", scope, cli_number(one, "revision"));
        offer(f, name, "", cli_text(one, "change_description"));
    }
}

static void offer_scopes(struct finder *f, const char *behind)
{
    const char *revision = strchr(f->at.word, '@');
    json_t *list, *one;
    size_t i;

    if (revision && *behind) {
        char scope[SCOPE_BUFFER];

        snprintf(scope, sizeof(scope), "%.*s", (int)(revision - f->at.word), f->at.word);
        offer_revisions(f, scope);
        return;
    }
    list = list_of(f, "/api/v1/services?limit=500", "services");
    json_array_foreach(list, i, one) {
        char name[SCOPE_BUFFER];

        snprintf(name, sizeof(name), "%s/%s", cli_text(one, "service"),
                 cli_text(one, "environment"));
        offer(f, name, "", "");
    }
    json_decref(list);
}

static void offer_services(struct finder *f, const char *unused)
{
    json_t *list = list_of(f, "/api/v1/services?limit=500", "services"), *one;
    const char *last = "";
    size_t i;

    (void)unused;
    json_array_foreach(list, i, one) { /* in order of their names */
        const char *name = cli_text(one, "service");

        if (strcmp(name, last) != 0)
            offer(f, name, "", "");
        last = name;
    }
    json_decref(list);
}

/* Keys of the scope that is the first argument. */
static void offer_keys(struct finder *f, const char *behind)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    const struct command_line *line = &f->cli->line;
    struct ref_scope scope;
    json_t *list, *one;
    struct err e = { 0 };
    size_t i;

    if (line->arg_count == 0 || ref_scope_parse(line->args[0], &scope, &e) != 0)
        return;
    buffer_printf(&path, "/api/v1/config/search?limit=500&revision=head&service=%s&environment=%s",
                  scope.service, scope.environment);
    list = list_of(f, path.data, "configs");
    json_array_foreach(list, i, one)
        offer(f, cli_text(one, "config_key"), behind, cli_text(one, "description"));
    json_decref(list);
}

/* Scopes of the newest rollouts, for a rollout is named by its scope, too, and their ids. */
static void offer_rollouts(struct finder *f, const char *unused)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *one, *seen = json_array();
    size_t i;

    (void)unused;
    if (cli_connect(f->cli, &e) == 0) {
        client_hurry(f->cli->client, PATIENCE_MS);
        if (cli_call(f->cli, "GET", "/api/v1/rollouts?limit=50", NULL, &reply, &e) != 0)
            reply.body = NULL;
    }
    json_array_foreach(json_object_get(reply.body, "rollouts"), i, one) {
        const json_t *change = json_array_get(json_object_get(one, "changes"), 0);
        char scope[SCOPE_BUFFER], what[2 * SCOPE_BUFFER];

        snprintf(scope, sizeof(scope), "%s/%s", cli_text(change, "service"),
                 cli_text(change, "environment"));
        snprintf(what, sizeof(what), "%s %lld → %lld, %s", scope,
                 cli_number(change, "from_revision"), cli_number(change, "to_revision"),
                 cli_text(one, "state"));
        offer(f, cli_text(one, "id"), "", what);
        if (!suggest_has(seen, scope))
            offer(f, scope, "", cli_text(one, "state"));
        json_array_append_new(seen, json_string(scope));
    }
    json_decref(seen);
}

/* ---------------------------------------------------------------- what stands for what */

/* The first row counts whose command is the one at hand, or the beginning of its words, and whose
 * name is that of the option ("--scope") or the word of the usage line ("SERVICE/ENV"). */
static const struct source {
    const char *command, *name;
    void (*offer)(struct finder *f, const char *detail);
    const char *detail;
} sources[] = {
    { "", "--output", offer_words, "table json yaml name" },
    { "", "--context", offer_contexts, "" },
    { "context use", "CONTEXT", offer_contexts, "only" },
    { "", "--type", offer_words, "string number boolean json yaml" },
    { "", "--format", offer_words, "json yaml env" },
    { "", "--revision", offer_words, "head released" },
    { "", "--role", offer_words, "viewer editor releaser approver admin hook" },
    { "", "--right", offer_words, "secret.read token.issue rollout.break_glass" },
    { "rollout servers", "--state", offer_words, "pending ready applied failed rolled_back" },
    { "rollout list", "--state", offer_words,
      "open awaiting_approval scheduled running paused rolling_back completed aborted rolled_back "
      "rejected failed" },
    { "", "--strategy", offer_list, "/api/v1/strategies strategies name" },
    { "", "--default-strategy", offer_list, "/api/v1/strategies strategies name" },
    { "", "--allow", offer_list, "/api/v1/strategies strategies name" },
    { "", "--environment", offer_list, "/api/v1/environments environments name" },
    { "", "--service", offer_services, "" },
    { "", "--server", offer_list, "/api/v1/servers?limit=500 servers name" },
    { "", "--rollout", offer_rollouts, "" },
    { "help", "NOUN", offer_help, "" },
    { "help", "VERB", offer_help, "" },
    { "", "SERVICE/ENV", offer_scopes, "" },
    { "", "SERVICE/ENV@REV", offer_scopes, "@" },
    { "", "PARENT", offer_scopes, "" },
    { "", "SERVICE", offer_services, "" },
    { "", "ROLLOUT", offer_rollouts, "" },
    { "config", "KEY", offer_keys, "" },
    { "config", "KEY=VALUE", offer_keys, "=" },
    { "server enroll", "NAME", offer_words, "" }, /* a new one */
    { "server", "NAME", offer_list, "/api/v1/servers?limit=500 servers name" },
    { "strategy", "NAME", offer_list, "/api/v1/strategies strategies name" },
    { "environment", "NAME", offer_list, "/api/v1/environments environments name" },
    { "freeze", "NAME", offer_list, "/api/v1/freezes freezes name reason" },
    { "token", "ID", offer_list, "/api/v1/tokens?limit=500 tokens id name" },
    { "", "@FILE", offer_files, "@" },
    { "", "FILE", offer_files, "" },
    { "", "DIR", offer_dirs, "" },
};

static bool is_meant(const struct source *s, const struct command *c, const char *name)
{
    char words[80] = "";

    if (c)
        snprintf(words, sizeof(words), "%s %s", c->noun, c->verb ? c->verb : "");
    return strcmp(s->name, name) == 0 && strncmp(words, s->command, strlen(s->command)) == 0;
}

static bool offer_source(struct finder *f, const char *name)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        if (is_meant(&sources[i], f->at.command, name)) {
            sources[i].offer(f, sources[i].detail);
            return true;
        }
    return false;
}

/* A word in small letters is what is written there: auto|manual. */
static void offer_what(void *ctx, const char *what)
{
    struct finder *f = ctx;

    if (!offer_source(f, what) && what[strspn(what, "abcdefghijklmnopqrstuvwxyz-")] == 0)
        offer(f, what, "", "");
}

static void offer_all(struct finder *f)
{
    const struct cursor *at = &f->at;
    char name[80];

    if (at->option && at->option->arg) {
        snprintf(name, sizeof(name), "--%s", at->option->name);
        if (!offer_source(f, name) || strchr(at->option->arg, '@'))
            complete_places(at->option->arg, 0, offer_what, f);
    } else if (at->word[0] == '-' && !at->is_behind_dashes) {
        offer_options(f, at->command ? at->command->options : NULL);
        offer_options(f, command_globals);
    } else if (at->command) {
        complete_places(at->command->args, f->cli->line.arg_count, offer_what, f);
    } else if (at->noun) {
        offer_verbs(f, at->noun);
    } else {
        offer_nouns(f);
    }
}

int complete_run(struct cli *cli, int word_count, char **words)
{
    struct finder f = { .cli = cli, .files = "words" };

    complete_read(commands, command_count, word_count, words, &cli->line, &f.at);
    offer_all(&f);
    printf("%s %s\n%s", f.files, f.before_file, f.out.size ? f.out.data : "");
    buffer_fini(&f.out);
    return CLI_DONE;
}
