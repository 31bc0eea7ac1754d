/* rollout_start.c - rollout plan and start: what would change where, and making it so. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/difference.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/rollout_wait.h"
#include "coordinator/cli/table.h"

#define STRATEGY_OPTION                                                                            \
    {                                                                                              \
        "strategy", 's', "NAME|@FILE",                                                             \
            "how; a file holds one, JSON or YAML (the environment's default)"                      \
    }

const struct command_option rollout_plan_options[] = {
    STRATEGY_OPTION,
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_start_options[] = {
    STRATEGY_OPTION,
    { "message", 'm', "TEXT", "why: kept with the rollout" },
    { "note", 'n', "TEXT", NULL },
    { "wait", 'w', NULL, "follow it to its end; the exit code says how it went" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { "expect-plan", 0, "HASH", "only if this is still what `rollout plan` showed" },
    { "include-rolled-back", 0, NULL, "also what was rolled back before" },
    { "break-glass", 0, NULL, "skip approvals, windows and freezes; wants -m" },
    { NULL, 0, NULL, NULL },
};
/* ---------------------------------------------------------------- the request */

static int add_changes(json_t *body, int argc, char **argv, struct err *e)
{
    json_t *changes = json_array();

    json_object_set_new(body, "changes", changes);
    for (int i = 0; i < argc; i++) {
        struct ref_scope scope;
        json_t *change;

        if (ref_scope_parse(argv[i], &scope, e) != 0)
            return -1;
        change =
            json_pack("{s:s, s:s}", "service", scope.service, "environment", scope.environment);
        if (scope.revision >= 0)
            json_object_set_new(change, "to_revision", json_integer(scope.revision));
        json_array_append_new(changes, change);
    }
    return 0;
}

static int add_strategy(const struct cli *cli, json_t *body, struct err *e)
{
    const char *strategy = command_option(&cli->line, "strategy");
    json_t *object;

    if (!strategy)
        return 0;
    if (strategy[0] != '@')
        return json_object_set_new(body, "strategy", json_string(strategy));
    if (strategy_read(strategy, &object, e) != 0)
        return -1;
    return json_object_set_new(body, "strategy", object);
}

static void add_text(json_t *body, const char *member, const char *value)
{
    if (value)
        json_object_set_new(body, member, json_string(value));
}

static int build_request(const struct cli *cli, int argc, char **argv, json_t *body, struct err *e)
{
    if (add_changes(body, argc, argv, e) != 0 || add_strategy(cli, body, e) != 0)
        return -1;
    add_text(body, "note", command_message(&cli->line));
    add_text(body, "plan", command_option(&cli->line, "expect-plan"));
    if (command_flag(&cli->line, "break-glass"))
        json_object_set_new(body, "break_glass", json_true());
    if (command_flag(&cli->line, "include-rolled-back"))
        json_object_set_new(body, "include_rolled_back", json_true());
    return 0;
}

/* ---------------------------------------------------------------- plan */

/* What changes, scope by scope; the scopes are named when there are several. */
static void show_plan_changes(const struct cli *cli, const json_t *plan)
{
    const json_t *changes = json_object_get(plan, "changes");
    SCOPED_BUFFER struct buffer text = { 0 };
    bool is_many = json_array_size(changes) > 1;
    size_t i;
    json_t *change;

    json_array_foreach(changes, i, change) {
        if (is_many)
            buffer_printf(&text, "%s/%s\n", cli_text(change, "service"),
                          cli_text(change, "environment"));
        difference_add_all(&cli->out, json_object_get(change, "keys"), is_many ? 2 : 0, &text);
    }
    output_text(&text);
}

/* "server-1 server-2 … and 15 more" */
static void name_servers(struct buffer *out, const json_t *servers)
{
    size_t i;
    json_t *one;

    buffer_add_text(out, "");
    json_array_foreach(servers, i, one) {
        const char *name = json_is_string(one) ? json_string_value(one) : cli_text(one, "server");

        if (i == 4) {
            buffer_printf(out, " and %zu more", json_array_size(servers) - i);
            break;
        }
        buffer_printf(out, "%s%s", i ? " " : "", name);
    }
}

static size_t show_plan_stages(const struct cli *cli, const json_t *plan)
{
    static const char *const headings[] = { ">STAGE", "NAME", ">SERVERS", "WHICH", NULL };
    struct table *t = table_new(headings);
    size_t i, total = 0;
    json_t *stage;

    json_array_foreach(json_object_get(plan, "stages"), i, stage) {
        const json_t *servers = json_object_get(stage, "servers");
        SCOPED_BUFFER struct buffer which = { 0 };
        long long count = json_is_array(servers) ? (long long)json_array_size(servers)
                                                 : cli_number(stage, "servers");

        name_servers(&which, servers);
        total += count > 0 ? (size_t)count : 0;
        table_cellf(t, TINT_PLAIN, "%zu", i + 1);
        table_cell(t, TINT_PLAIN, cli_text(stage, "name"));
        table_cellf(t, TINT_PLAIN, "%lld", count);
        table_cell(t, TINT_DIM, which.data);
    }
    output_table(&cli->out, t);
    table_free(t);
    return total;
}

/* The command that starts what the plan shows, but for its options. */
static void add_start(const struct cli *cli, const json_t *plan, struct buffer *out)
{
    const char *strategy = command_option(&cli->line, "strategy");
    size_t i;
    json_t *change;

    buffer_add_text(out, "lockstep rollout start");
    json_array_foreach(json_object_get(plan, "changes"), i, change)
        buffer_printf(out, " %s/%s@%lld", cli_text(change, "service"),
                      cli_text(change, "environment"), cli_number(change, "to_revision"));
    if (strategy)
        buffer_printf(out, " -s %s", strategy);
}

/* A start would be refused for these. */
static void show_rolled_back(const struct cli *cli, const json_t *plan)
{
    const json_t *list = json_object_get(plan, "rolled_back");
    SCOPED_BUFFER struct buffer start = { 0 };
    size_t i;
    json_t *one;

    json_array_foreach(list, i, one)
        printf("%s%s%s was rolled back with %s%s\n", i ? "" : "\n",
               tint_on(TINT_BAD, cli->out.is_colour), cli_text(one, "key"),
               cli_text(one, "rollout"), tint_off(TINT_BAD, cli->out.is_colour));
    add_start(cli, plan, &start);
    if (json_array_size(list))
        printf("to bring it again all the same: %s --include-rolled-back\n", start.data);
}

static bool is_away(const json_t *unreachable, const json_t *server)
{
    size_t i;
    json_t *one;

    json_array_foreach(unreachable, i, one)
        if (json_equal(one, server))
            return true;
    return false;
}

/* The first stage that has servers, and not one of them answers: -1 when one does, or when nobody
 * answers in later ones either, where nothing is gained by waiting. */
static int untested_stage(const json_t *plan)
{
    const json_t *unreachable = json_object_get(plan, "unreachable");
    int first = -1;
    size_t i, k;
    json_t *stage, *server;

    json_array_foreach(json_object_get(plan, "stages"), i, stage) {
        const json_t *servers = json_object_get(stage, "servers");

        json_array_foreach(servers, k, server)
            if (!is_away(unreachable, server))
                return first;
        if (first < 0 && json_array_size(servers) > 0)
            first = (int)i;
    }
    return -1;
}

static void show_untested(const struct cli *cli, const json_t *plan)
{
    const json_t *strategy = json_object_get(plan, "strategy");
    int stage = untested_stage(plan);

    if (stage >= 0 && strcmp(cli_text(strategy, "mode"), "two-phase") == 0 &&
        strcmp(cli_text(strategy, "unreachable"), "skip") == 0)
        printf("\n%snobody of stage %d answers: when that stays so, nobody tests the change, and "
               "the rollout pauses there for a person%s\n", tint_on(TINT_BACK, cli->out.is_colour),
               stage + 1, tint_off(TINT_BACK, cli->out.is_colour));
}

static void show_plan(const struct cli *cli, const json_t *plan)
{
    SCOPED_BUFFER struct buffer changes = { 0 }, silent = { 0 };
    const json_t *unreachable = json_object_get(plan, "unreachable");

    picture_changes(plan, cli->out.is_utf8, &changes);
    printf("%s%s%s\n\n", tint_on(TINT_BOLD, cli->out.is_colour), changes.data,
           tint_off(TINT_BOLD, cli->out.is_colour));
    show_plan_changes(cli, plan);
    putchar('\n');
    if (show_plan_stages(cli, plan) == 0)
        cli_warn("no server that was ever seen reads this: a rollout would release the revision "
                 "and bring it to nobody (lockstep server list)");
    name_servers(&silent, unreachable);
    if (json_array_size(unreachable))
        printf("\n%sunreachable: %s%s\n", tint_on(TINT_BACK, cli->out.is_colour), silent.data,
               tint_off(TINT_BACK, cli->out.is_colour));
    show_untested(cli, plan);
    show_rolled_back(cli, plan);
    if (json_is_true(json_object_get(plan, "pauses_for_secrets")))
        printf("\nsecrets change: a failure pauses for a person, unless the strategy says "
               "on_failure\n");
    if (cli_number(plan, "approvals") > 0)
        printf("\nneeds %lld approval%s of others than its author\n", cli_number(plan, "approvals"),
               cli_number(plan, "approvals") == 1 ? "" : "s");
    if (*cli_text(plan, "blocked_by"))
        printf("\n%sblocked now: %s%s\n", tint_on(TINT_BAD, cli->out.is_colour),
               cli_text(plan, "blocked_by"), tint_off(TINT_BAD, cli->out.is_colour));
    if (*cli_text(plan, "plan"))
        printf("\nplan %s\n", cli_text(plan, "plan"));
}

/* The API calls a revision that is not there a wrong field; here it is something not found. */
static int fail(struct cli *cli, struct err *e)
{
    const char *revision = cli->client ? client_field(cli->client, "/to_revision") : NULL;

    if (e->kind == ERR_INVALID && revision)
        return cli_fail(cli, (err_code(e, ERR_NOT_FOUND, "unknown_revision", "%s", revision), e));
    return cli_fail(cli, e);
}

int rollout_plan(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_pack("{s:b}", "dry_run", 1);
    struct err e = { 0 };
    int rc = build_request(cli, argc, argv, body, &e);

    if (rc == 0)
        rc = cli_call(cli, "POST", "/api/v1/rollouts", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME)
        printf("%s\n", cli_text(reply.body, "plan"));
    else if (!cli_print_object(cli, reply.body, ""))
        show_plan(cli, reply.body);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- start */

/* "workers by bob, mode by ada": what the plan brings that others wrote. Returns how many. */
static size_t name_foreign(const json_t *plan, const char *own, struct buffer *out)
{
    size_t i, k, count = 0;
    json_t *change, *key;

    json_array_foreach(json_object_get(plan, "changes"), i, change) {
        json_array_foreach(json_object_get(change, "keys"), k, key) {
            if (strcmp(cli_text(key, "author"), own) == 0)
                continue;
            if (count++ < 8)
                buffer_printf(out, "%s%s by %s", out->size ? ", " : "", cli_text(key, "key"),
                              cli_text(key, "author"));
        }
    }
    if (count > 8)
        buffer_printf(out, " and %zu more", count - 8);
    return count;
}

/* What the plan says of a scope; its order of scopes is its own. NULL: nothing. */
static const json_t *find_planned(const json_t *plan, const json_t *change)
{
    size_t i;
    const json_t *one;

    json_array_foreach(json_object_get(plan, "changes"), i, one)
        if (strcmp(cli_text(one, "service"), cli_text(change, "service")) == 0 &&
            strcmp(cli_text(one, "environment"), cli_text(change, "environment")) == 0)
            return one;
    return NULL;
}

/* A rollout of what nobody reads releases the revision, and a name that was mistyped keeps it. */
static bool has_readers(const json_t *plan)
{
    size_t i;
    json_t *stage;

    json_array_foreach(json_object_get(plan, "stages"), i, stage)
        if (json_array_size(json_object_get(stage, "servers")) > 0 ||
            cli_number(stage, "servers") > 0)
            return true;
    return false;
}

/* What was looked at is what is started: a draft that is written meanwhile is not. */
static void fix_revisions(json_t *body, const json_t *plan)
{
    size_t i;
    json_t *change;

    json_array_foreach(json_object_get(body, "changes"), i, change) {
        json_t *revision = json_object_get(find_planned(plan, change), "to_revision");

        if (revision && !json_object_get(change, "to_revision"))
            json_object_set(change, "to_revision", revision);
    }
}

/* Who starts a rollout of the head brings the drafts of others as well: they are named, and on a
 * terminal asked about, as is a rollout that reaches nobody. What cannot be found out is left to
 * the start itself to refuse. */
static bool is_meant(struct cli *cli, json_t *body)
{
    SCOPED_REPLY struct client_reply plan = { 0 }, self = { 0 };
    SCOPED_BUFFER struct buffer foreign = { 0 };
    json_t *question = json_deep_copy(body);
    struct err ignored = { 0 };
    const char *own;
    bool is_known;
    size_t count;

    json_object_set_new(question, "dry_run", json_true());
    is_known = cli_call(cli, "GET", "/api/v1/whoami", NULL, &self, &ignored) == 0 &&
               cli_call(cli, "POST", "/api/v1/rollouts", question, &plan, &ignored) == 0;
    json_decref(question);
    own = *cli_text(self.body, "subject") ? cli_text(self.body, "subject")
                                         : cli_text(self.body, "name");
    if (!is_known)
        return true;
    fix_revisions(body, plan.body);
    if (!cli->is_yes && isatty(STDIN_FILENO) && !has_readers(plan.body) &&
        !cli_confirm(cli, "No server reads this: release it all the same?"))
        return false;
    if ((count = name_foreign(plan.body, own, &foreign)) == 0)
        return true;
    cli_note("%zu key%s of others go%s out with it: %s", count, count == 1 ? "" : "s",
             count == 1 ? "es" : "", foreign.data);
    return cli->is_yes || !isatty(STDIN_FILENO) || cli_confirm(cli, "Start it?");
}

/* "shop/prod web/prod": who inherits from a scope and has drafts; what came down waits there. */
static void find_waiting_children(struct cli *cli, const json_t *children, struct buffer *out)
{
    json_t *all, *one, *child;
    struct err ignored = { 0 };
    size_t i, k;

    if (client_list(cli->client, "/api/v1/services?limit=500", "services", &all, &ignored) != 0)
        return;
    json_array_foreach(all, i, one) {
        char name[SCOPE_BUFFER];

        snprintf(name, sizeof(name), "%s/%s", cli_text(one, "service"),
                 cli_text(one, "environment"));
        json_array_foreach(children, k, child)
            if (cli_number(one, "head") > cli_number(one, "released") &&
                strcmp(name, json_string_value(child)) == 0)
                buffer_printf(out, " %s", name);
    }
    json_decref(all);
}

/* A rollout of a parent brings nothing to the servers of its children: each has its own. */
static void say_children(struct cli *cli, const struct ref_scope *scope)
{
    SCOPED_BUFFER struct buffer path = { 0 }, waiting = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err ignored = { 0 };

    cli_scope_path(&path, "parents", scope);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &ignored) != 0 ||
        json_array_size(json_object_get(reply.body, "children")) == 0)
        return;
    find_waiting_children(cli, json_object_get(reply.body, "children"), &waiting);
    if (waiting.size)
        cli_note("what inherits from %s/%s has it as a draft, and a rollout of its own: lockstep "
                 "rollout start%s",
                 scope->service, scope->environment, waiting.data);
}

int rollout_start(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_object();
    struct ref_scope scope;
    struct err e = { 0 };
    int rc = rollout_check_timeout(cli, &e);

    if (rc == 0)
        rc = build_request(cli, argc, argv, body, &e);
    if (rc == 0)
        rc = cli_connect(cli, &e);
    if (rc == 0 && !is_meant(cli, body)) {
        json_decref(body);
        return CLI_FAILED;
    }
    if (rc == 0)
        rc = cli_call(cli, "POST", "/api/v1/rollouts", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return fail(cli, &e);
    for (int i = 0; i < argc; i++)
        if (ref_scope_parse(argv[i], &scope, &e) == 0) {
            cli_warn_unread(cli, &scope);
            say_children(cli, &scope);
        }
    return rollout_show_and_wait(cli, reply.body, "started", ROLLOUT_WAIT);
}

