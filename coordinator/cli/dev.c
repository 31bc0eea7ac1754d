/* dev.c - lockstep dev: PostgreSQL, a coordinator and agents on this machine, in the foreground. */
#include "coordinator/cli/nouns.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "coordinator/cli/context.h"
#include "coordinator/cli/dev_files.h"
#include "coordinator/cli/dev_port.h"
#include "coordinator/cli/dev_postgres.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/table.h"

#define AGENTS_PRESET 3
#define AGENTS_MAX 1000
#define SCOPES_MAX 16
#define HTTP_PRESET "127.0.0.1:7780"
#define ROUTER_PRESET "127.0.0.1:7781"
#define READY_MS 60000
#define STOP_MS 10000
#define ORPHANS_MS 15000  /* how long children of a killed `dev` may take to end */
#define QUICK_END_MS 5000 /* a child that ends sooner did not really run */
#define QUICK_ENDS_MAX 5  /* then we give up */
#define RESTART_MS 1000

const struct command_option dev_options[] = {
    { "dir", 0, "DIR", "everything lives here (.lockstep)" },
    { "agents", 0, "N", "so many agents, server-1 … server-N, zone=a|b|c in turn (3)" },
    { "scope", 0, "SERVICE/ENV", "what the agents read, repeatable (demo/prod)" },
    { "http", 0, "HOST:PORT", "HTTP API and dashboard (" HTTP_PRESET ")" },
    { "router", 0, "HOST:PORT", "where agents connect (" ROUTER_PRESET ")" },
    { NULL, 0, NULL, NULL },
};

struct dev {
    struct cli *cli;
    struct dev_plan plan;
    char dir[DEV_PATH];
    char programs[DEV_PATH]; /* folder of lockstepd and lockstep-agent: our own */
    char http[128], router[128];
    const char *scopes[SCOPES_MAX];
    int lock;
    struct dev_postgres postgres;
    struct dev_process lockstepd;
    struct dev_process *agents;
    struct client *client;
};

/* ---------------------------------------------------------------- what was asked for */

/* The folder's name stands in commands of the agents' settings. */
static int take_dir(struct dev *d, const char *given, struct err *e)
{
    char *real;

    if (dev_files_folder(given, 0700, e) != 0)
        return -1;
    real = realpath(given, NULL);
    if (!real || strlen(real) > 600) {
        free(real);
        return err_set(e, ERR_INVALID, "--dir %.100s: the path is too long or not there", given);
    }
    snprintf(d->dir, sizeof(d->dir), "%s", real);
    free(real);
    for (const char *p = d->dir; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._/@+=:,-", *p))
            return err_set(e, ERR_MALFORMED,
                           "--dir %s: use a path of letters, digits and ._/@+=:,- only", d->dir);
    return 0;
}

static int take_scopes(struct dev *d, struct err *e)
{
    d->plan.scope_count = command_option_all(&d->cli->line, "scope", d->scopes, SCOPES_MAX);
    if (d->plan.scope_count == 0)
        d->scopes[d->plan.scope_count++] = "demo/prod";
    for (size_t i = 0; i < d->plan.scope_count; i++) {
        struct ref_scope scope;

        if (ref_scope_parse_plain(d->scopes[i], &scope, e) != 0)
            return -1;
    }
    d->plan.scopes = d->scopes;
    return 0;
}

static int find_programs(struct dev *d, struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", d->programs, sizeof(d->programs) - 1);
    static const char *const names[] = { "lockstepd", "lockstep-agent" };

    if (n < 0)
        return err_set(e, ERR_SYSTEM, "find our own program: %s", strerror(errno));
    d->programs[n] = 0;
    *strrchr(d->programs, '/') = 0;
    for (size_t i = 0; i < 2; i++) {
        char path[DEV_PATH + 32];

        snprintf(path, sizeof(path), "%s/%s", d->programs, names[i]);
        if (access(path, X_OK) != 0)
            return err_set(e, ERR_NOT_FOUND,
                           "%s is not there; `lockstep dev` needs it beside "
                           "itself",
                           path);
    }
    return 0;
}

static int take_options(struct dev *d, struct err *e)
{
    const struct command_line *line = &d->cli->line;
    const char *agents = command_option(line, "agents"), *dir = command_option(line, "dir");
    int64_t count = AGENTS_PRESET;

    if (agents && ref_number_parse("agents", agents, 0, AGENTS_MAX, &count, e) != 0)
        return -1;
    if (dev_port_take(command_option(line, "http"), HTTP_PRESET, d->http) != 0 ||
        dev_port_take(command_option(line, "router"), ROUTER_PRESET, d->router) != 0)
        return err_set(e, ERR_MALFORMED,
                       "--http and --router are HOST:PORT or a port, from 0 to 65535");
    if (take_scopes(d, e) != 0 || find_programs(d, e) != 0)
        return -1;
    if (take_dir(d, dir ? dir : ".lockstep", e) != 0)
        return -1;
    d->plan.agent_count = (unsigned)count;
    d->plan.dir = d->dir;
    d->plan.http = d->http;
    d->plan.router = d->router;
    return 0;
}

/* ---------------------------------------------------------------- one at a time */

/* The lock is inherited by the children: it is free when the last of them has ended. A living
 * owner is refused at once, the children of a killed one are waited for. */
static int take_lock(struct dev *d, struct err *e)
{
    int64_t end_ms = clock_monotonic_ms() + ORPHANS_MS;
    char path[DEV_PATH + 16], pid[32] = "";

    snprintf(path, sizeof(path), "%s/lock", d->dir);
    d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock < 0)
        return err_set(e, ERR_SYSTEM, "open %s: %s", path, strerror(errno));
    while (flock(d->lock, LOCK_EX | LOCK_NB) != 0) {
        long owner = pread(d->lock, pid, sizeof(pid) - 1, 0) > 0 ? strtol(pid, NULL, 10) : 0;

        if (owner > 0 && kill((pid_t)owner, 0) == 0)
            return err_set(e, ERR_CONFLICT,
                           "another `lockstep dev` (process %ld) is at work in "
                           "%s; take another --dir",
                           owner, d->dir);
        if (interrupt_happened() || clock_monotonic_ms() > end_ms)
            return err_set(e, ERR_CONFLICT, "programs of an earlier `lockstep dev` still run in %s",
                           d->dir);
        interrupt_sleep(100);
    }
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(d->lock, 0) != 0 || pwrite(d->lock, pid, strlen(pid), 0) < 0)
        return err_set(e, ERR_SYSTEM, "write %s: %s", path, strerror(errno));
    return 0;
}

/* ---------------------------------------------------------------- starting */

static void say(const struct dev *d, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(const struct dev *d, const char *what, const char *fmt, ...)
{
    bool is_colour = d->cli->out.is_colour;
    va_list ap;

    printf("  %s%-12s%s ", tint_on(TINT_DIM, is_colour), what, tint_off(TINT_DIM, is_colour));
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static int start_postgres(struct dev *d, struct err *e)
{
    SCOPED_BUFFER struct buffer url = { 0 };

    if (dev_files_folders(&d->plan, e) != 0)
        return -1;
    if (dev_postgres_start(&d->postgres, d->dir, d->lock, e) != 0)
        return -1;
    dev_postgres_url(&d->postgres, &url);
    say(d, "postgresql", "in %s", d->postgres.data);
    return dev_files_coordinator(&d->plan, url.data, e);
}

/* The key of all secrets, made once. */
static int make_secret_key(struct dev *d, const char *program, const char *settings, struct err *e)
{
    const char *const argv[] = { program, "--config", settings, "new-secret-key", NULL };
    SCOPED_BUFFER struct buffer out = { 0 };
    char path[DEV_PATH + 16];

    snprintf(path, sizeof(path), "%s/secrets.key", d->dir);
    return access(path, F_OK) == 0 ? 0 : dev_run_program(argv, NULL, d->lock, &out, e);
}

/* The first token comes from the host, with the database's credentials; it is kept. */
static int make_token(struct dev *d, const char *program, const char *settings, struct err *e)
{
    const char *const argv[] = { program,  "--config", settings, "bootstrap-token",
                                 "--name", "dev",      NULL };
    SCOPED_BUFFER struct buffer out = { 0 };
    char path[DEV_PATH + 16], *token;

    snprintf(path, sizeof(path), "%s/token", d->dir);
    if (access(path, R_OK) == 0)
        return 0;
    if (dev_run_program(argv, NULL, d->lock, &out, e) != 0)
        return -1;
    token = out.size ? strstr(out.data, "lst_") : NULL;
    if (!token)
        return err_set(e, ERR_SYSTEM, "lockstepd bootstrap-token printed no token");
    token[strcspn(token, " \r\n\t")] = 0;
    return dev_files_write(path, token, 0600, e);
}

static int wait_coordinator(struct dev *d, struct err *e)
{
    int64_t end_ms = clock_monotonic_ms() + READY_MS;
    int status = 0;
    char how[32];

    for (;;) {
        SCOPED_REPLY struct client_reply reply = { 0 };
        bool is_ready = client_call(d->client, "GET", "/readyz", NULL, &reply, e) == 0;

        if (interrupt_happened())
            return err_code(e, ERR_UNAVAILABLE, "interrupted", "interrupted");
        if (is_ready && dev_process_runs(&d->lockstepd, &status))
            return 0;
        if (!dev_process_runs(&d->lockstepd, &status)) {
            dev_process_say_status(status, how);
            return err_set(e, ERR_SYSTEM, "lockstepd ended with %s; its last words are in %s", how,
                           d->lockstepd.log);
        }
        if (clock_monotonic_ms() > end_ms)
            return err_wrap(e, "lockstepd is not ready after %d s (log: %s)", READY_MS / 1000,
                            d->lockstepd.log);
        interrupt_sleep(50);
    }
}

static int start_coordinator(struct dev *d, struct err *e)
{
    char program[DEV_PATH + 16], settings[DEV_PATH + 16], log[DEV_PATH + 24], folder[DEV_PATH];
    const char *const argv[] = { program, "--config", settings, NULL };
    struct context context;
    struct context_wish wish = { .name = folder };

    snprintf(program, sizeof(program), "%s/lockstepd", d->programs);
    snprintf(settings, sizeof(settings), "%s/lockstepd.ini", d->dir);
    snprintf(log, sizeof(log), "%s/log/lockstepd.log", d->dir);
    snprintf(folder, sizeof(folder), "%s", d->dir);
    if (make_secret_key(d, program, settings, e) != 0 ||
        make_token(d, program, settings, e) != 0 || context_find(&wish, &context, e) != 0)
        return -1;
    d->client = client_new(&context, d->cli->is_verbose);
    client_stop_on(d->client, interrupt_flag());
    explicit_bzero(context.token, sizeof(context.token));
    dev_process_init(&d->lockstepd, "lockstepd", log, SIGTERM, d->lock, argv);
    if (dev_process_start(&d->lockstepd, e) != 0 || wait_coordinator(d, e) != 0)
        return -1;
    say(d, "lockstepd", "http://%s, agents at tcp://%s", d->http, d->router);
    return 0;
}

/* ---------------------------------------------------------------- agents */

/* The public key of server N; makes the pair on the first start. */
static int agent_key(const struct dev *d, const char *program, unsigned number, struct buffer *key,
                     struct err *e)
{
    char path[DEV_PATH + 64];
    const char *argv[] = { program, "keygen", "--key-file", path, NULL };
    size_t n;

    snprintf(path, sizeof(path), "%s/agents/server-%u/key", d->dir, number);
    if (access(path, R_OK) == 0)
        argv[1] = "show-key";
    if (dev_run_program(argv, NULL, d->lock, key, e) != 0)
        return -1;
    n = key->size ? strcspn(key->data, "\r\n") : 0;
    if (n != 40)
        return err_set(e, ERR_SYSTEM, "%s %s printed no key", program, argv[1]);
    key->data[n] = 0;
    key->size = n;
    return 0;
}

/* Enrolled in an earlier life is fine, when it was with this key. */
static int enroll(const struct dev *d, unsigned number, const char *key, struct err *e)
{
    SCOPED_REPLY struct client_reply have = { 0 }, made = { 0 };
    char name[32], path[64];
    json_t *body;
    int rc;

    snprintf(name, sizeof(name), "server-%u", number);
    snprintf(path, sizeof(path), "/api/v1/servers/%s", name);
    if (client_call(d->client, "GET", path, NULL, &have, e) == 0) {
        const char *known = cli_text(have.body, "public_key");

        if (!*known || strcmp(known, key) == 0)
            return 0;
        return err_set(e, ERR_CONFLICT,
                       "%s is enrolled with another key; forget it first, or take "
                       "another --dir",
                       name);
    }
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    body = json_pack("{s:s, s:s, s:[s]}", "name", name, "public_key", key, "scopes", "*");
    rc = client_call(d->client, "POST", "/api/v1/servers", body, &made, e);
    json_decref(body);
    return rc;
}

static int start_agent(struct dev *d, unsigned number, struct err *e)
{
    char program[DEV_PATH + 32], settings[DEV_PATH + 64], log[DEV_PATH + 64], name[32];
    const char *const argv[] = { program, "--config", settings, NULL };
    struct dev_process *p = &d->agents[number - 1];
    SCOPED_BUFFER struct buffer key = { 0 };

    snprintf(name, sizeof(name), "server-%u", number);
    snprintf(program, sizeof(program), "%s/lockstep-agent", d->programs);
    snprintf(settings, sizeof(settings), "%s/agents/%s/agent.ini", d->dir, name);
    snprintf(log, sizeof(log), "%s/log/%s.log", d->dir, name);
    if (dev_files_agent(&d->plan, number, e) != 0 || agent_key(d, program, number, &key, e) != 0 ||
        enroll(d, number, key.data, e) != 0)
        return err_wrap(e, "%s", name);
    dev_process_init(p, name, log, SIGTERM, d->lock, argv);
    return dev_process_start(p, e);
}

static int start_agents(struct dev *d, struct err *e)
{
    SCOPED_BUFFER struct buffer scopes = { 0 };

    d->agents = memory_array(d->plan.agent_count + 1, sizeof(*d->agents));
    for (unsigned i = 1; i <= d->plan.agent_count; i++) {
        if (interrupt_happened())
            return err_code(e, ERR_UNAVAILABLE, "interrupted", "interrupted");
        if (start_agent(d, i, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < d->plan.scope_count; i++)
        buffer_printf(&scopes, "%s%s", i ? ", " : "", d->scopes[i]);
    if (d->plan.agent_count == 0)
        say(d, "agents", "none");
    else
        say(d, "agents", "%u, server-1 … server-%u, zones a b c, reading %s", d->plan.agent_count,
            d->plan.agent_count, scopes.data);
    return 0;
}

/* ---------------------------------------------------------------- running */

static void say_ready(const struct dev *d)
{
    char here[PATH_MAX];
    bool is_here = getcwd(here, sizeof(here)) && strncmp(d->dir, here, strlen(here)) == 0 &&
                   strcmp(d->dir + strlen(here), "/.lockstep") == 0;

    say(d, "dashboard", "http://%s/", d->http);
    say(d, "token", "%s/token", d->dir);
    say(d, "logs", "%s/log", d->dir);
    if (is_here)
        printf("\nReady. In another terminal, in this folder:\n\n");
    else
        printf("\nReady. In another terminal:\n\n  export LOCKSTEP_CONTEXT=%s\n", d->dir);
    printf("  lockstep config set %s greeting=hello\n"
           "  lockstep rollout start %s --wait\n"
           "  lockstep server list\n\n"
           "Ctrl-C stops everything; the next start goes on with the data.\n",
           d->scopes[0], d->scopes[0]);
    fflush(stdout);
}

/* A child that ended is started again: killing one is part of playing. */
static int look_after(struct dev_process *p, struct err *e)
{
    int64_t now_ms = clock_monotonic_ms();
    int status = 0;
    char how[32];

    if (p->pid == 0) {
        if (p->restart_ms > now_ms)
            return 0;
        return dev_process_start(p, e);
    }
    if (dev_process_runs(p, &status))
        return 0;
    dev_process_say_status(status, how);
    p->quick_ends = now_ms - p->started_ms < QUICK_END_MS ? p->quick_ends + 1 : 0;
    p->restart_ms = now_ms + RESTART_MS;
    if (p->quick_ends >= QUICK_ENDS_MAX)
        return err_set(e, ERR_SYSTEM, "%s ends again and again (%s); its last words are in %s",
                       p->name, how, p->log);
    cli_note("%s ended with %s; starting it again (log: %s)", p->name, how, p->log);
    return 0;
}

static int supervise(struct dev *d, struct err *e)
{
    while (!interrupt_happened()) {
        int status = 0;

        if (!dev_process_runs(&d->postgres.process, &status))
            return err_set(e, ERR_SYSTEM, "PostgreSQL ended; its last words are in %s",
                           d->postgres.process.log);
        if (look_after(&d->lockstepd, e) != 0)
            return -1;
        for (unsigned i = 0; i < d->plan.agent_count; i++)
            if (look_after(&d->agents[i], e) != 0)
                return -1;
        interrupt_sleep(200);
    }
    return 0;
}

/* Agents first, the database last: everybody can say good-bye to somebody. */
static void stop_all(struct dev *d)
{
    for (unsigned i = 0; d->agents && i < d->plan.agent_count; i++)
        dev_process_ask(&d->agents[i], SIGTERM);
    for (unsigned i = 0; d->agents && i < d->plan.agent_count; i++) {
        dev_process_wait(&d->agents[i], STOP_MS);
        dev_process_fini(&d->agents[i]);
    }
    free(d->agents);
    dev_process_ask(&d->lockstepd, SIGTERM);
    dev_process_wait(&d->lockstepd, STOP_MS);
    dev_process_fini(&d->lockstepd);
    dev_postgres_stop(&d->postgres);
    client_free(d->client);
    if (d->lock >= 0)
        close(d->lock);
}

/* Settings of other databases and coordinators in the environment have nothing to say here. */
static void forget_environment(void)
{
    static const char *const prefixes[] = { "PG", "LOCKSTEP_" };
    static const char kept[] = "LOCKSTEP_PG_BIN";

    for (size_t i = 0; environ[i];) {
        char name[128];
        bool is_foreign = false;

        snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        for (size_t p = 0; p < 2; p++)
            is_foreign |= strncmp(name, prefixes[p], strlen(prefixes[p])) == 0;
        if (is_foreign && strcmp(name, kept) != 0 && unsetenv(name) == 0)
            continue; /* the list closed up */
        i++;
    }
}

int dev_run(struct cli *cli, int argc, char **argv)
{
    struct dev d = { .cli = cli, .lock = -1 };
    struct err e = { 0 };
    int rc;

    (void)argc, (void)argv;
    forget_environment();
    interrupt_catch();
    if (take_options(&d, &e) != 0)
        return cli_fail(cli, &e);
    rc = take_lock(&d, &e);
    if (rc == 0 && (dev_port_check("--http", d.http, &e) != 0 ||
                    dev_port_check("--router", d.router, &e) != 0))
        rc = -1;
    if (rc == 0) {
        printf("lockstep dev in %s\n\n", d.dir);
        fflush(stdout);
        rc = start_postgres(&d, &e);
    }
    if (rc == 0)
        rc = start_coordinator(&d, &e);
    if (rc == 0)
        rc = start_agents(&d, &e);
    if (rc == 0) {
        say_ready(&d);
        rc = supervise(&d, &e);
    }
    rc = rc == 0 ? CLI_DONE : cli_fail(cli, &e);
    if (d.postgres.process.pid)
        cli_note("stopping");
    stop_all(&d);
    return rc;
}
