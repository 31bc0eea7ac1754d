/* kit.c - starts the throwaway PostgreSQL, copies databases, fills in small worlds. */
#include "tests/db/kit.h"

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/migrate.h"

static char folder[128];
static char programs[256];
static pid_t server;

static void give_up(const char *what)
{
    fprintf(stderr, "kit: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* PostgreSQL refuses to run as root: then it runs as its own user. */
static void become_ordinary(void)
{
    struct passwd *user;

    if (geteuid() != 0)
        return;
    user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody");
    if (!user || setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid))
        give_up("become an ordinary user");
}

static pid_t run(char *argv[])
{
    char path[512];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    become_ordinary();
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    snprintf(path, sizeof(path), "%s/log", folder);
    if (getppid() == 1 || chdir("/") || !freopen("/dev/null", "r", stdin) ||
        !freopen(path, "a", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        _exit(1);
    snprintf(path, sizeof(path), "%s/%s", *argv[0] == '/' ? "" : programs, argv[0]);
    argv[0] = path; /* by which initdb finds its sisters */
    execv(path, argv);
    _exit(127);
}

static void find_programs(void)
{
    glob_t found;

    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) || found.gl_pathc == 0)
        give_up("find initdb below /usr/lib/postgresql");
    snprintf(programs, sizeof(programs), "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(programs, '/') = 0;
    globfree(&found);
}

static void make_folder(void)
{
    struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;

    if (geteuid() == 0 && !user)
        user = getpwnam("nobody");
    snprintf(folder, sizeof(folder), "%s/lockstep-db.XXXXXX",
             getenv("LOCKSTEP_PG_FOLDER") ?: "/tmp");
    if (!mkdtemp(folder) || (user && chown(folder, user->pw_uid, user->pw_gid)))
        give_up(folder);
}

static void conninfo_of(const char *database, char *out, size_t size)
{
    snprintf(out, size, "host=%s user=lockstep dbname=%s", folder, database);
}

static struct pg *try_open(const char *database)
{
    char conninfo[256];
    struct pg *pg = NULL;
    struct err e;

    conninfo_of(database, conninfo, sizeof(conninfo));
    return pg_open(conninfo, "kit", &pg, &e) ? NULL : pg;
}

static void await_server(void)
{
    int64_t until = clock_monotonic_ms() + 60000;
    struct pg *pg;

    while (!(pg = try_open("postgres"))) {
        if (clock_monotonic_ms() > until || waitpid(server, NULL, WNOHANG) != 0)
            give_up("PostgreSQL did not start; see its log");
        usleep(20000);
    }
    pg_close(pg);
}

static void start_server(void)
{
    const char *ready = getenv("LOCKSTEP_PG_DATA"); /* the same, made once for all programs */
    char data[300], sockets[300];
    char *init[] = { "initdb",    "-D", data,   "-U",         "lockstep", "-A", "trust",
                     "--no-sync", "-E", "UTF8", "--locale=C", NULL };
    char *copy[] = { "/bin/cp", "-a", (char *)ready, data, NULL };
    char *start[] = { "postgres", "-D", data, "-k", sockets, "-c", "listen_addresses=", "-c",
                      "fsync=off", "-c", "max_connections=60", "-c", "log_lock_waits=on", NULL };
    int status;

    snprintf(data, sizeof(data), "%s/data", folder);
    snprintf(sockets, sizeof(sockets), "%s", folder);
    if (waitpid(run(ready ? copy : init), &status, 0) < 0 || status != 0)
        give_up(ready ? ready : "initdb");
    server = run(start);
    await_server();
}

static int forget(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void stop_server(void)
{
    kill(server, SIGQUIT);
    waitpid(server, NULL, 0);
    nftw(folder, forget, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_template(void)
{
    struct pg *pg = try_open("postgres");
    struct err e;

    if (!pg || pg_exec(pg, "CREATE DATABASE migrated", &e))
        give_up("create the migrated database");
    pg_close(pg);
    pg = try_open("migrated");
    if (!pg || migrate(pg, &e)) {
        fprintf(stderr, "kit: %s\n", pg ? e.text : "not there");
        stop_server();
        exit(1);
    }
    pg_close(pg);
}

void test_begin(void)
{
    find_programs();
    make_folder();
    start_server();
    make_template();
}

void test_end(void)
{
    stop_server();
}

/* ---------------------------------------------------------------- databases and statements */

static const char *database_like(const char *template)
{
    static char texts[32][256]; /* they live until the program ends */
    static unsigned count;
    char name[64], *conninfo = texts[count++];
    struct pg *pg = try_open("postgres");

    ck_assert(pg && count <= sizeof(texts) / sizeof(texts[0]));
    snprintf(name, sizeof(name), "t%d_%u", (int)getpid(), count);
    /* Its pages need not go through the log: half the time. */
    kit_sql(pg, "CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", name, template);
    pg_close(pg);
    conninfo_of(name, conninfo, sizeof(texts[0]));
    return conninfo;
}

const char *kit_database(void)
{
    return database_like("migrated");
}

const char *kit_empty_database(void)
{
    return database_like("template0");
}

struct pg *kit_open(const char *conninfo)
{
    struct pg *pg = NULL;
    struct err e;

    ck_assert_msg(pg_open(conninfo, "test", &pg, &e) == 0, "%s", e.text);
    return pg;
}

__attribute__((format(printf, 2, 0)))
static struct rows *ask(struct pg *pg, const char *fmt, va_list ap)
{
    char sql[8192];
    struct rows *rows = NULL;
    struct err e;

    vsnprintf(sql, sizeof(sql), fmt, ap);
    ck_assert_msg(pg_exec_rows(pg, sql, &rows, &e) == 0, "%s: %s", sql, e.text);
    return rows;
}

void kit_sql(struct pg *pg, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    rows_free(ask(pg, fmt, ap));
    va_end(ap);
}

int64_t kit_int(struct pg *pg, const char *fmt, ...)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    va_list ap;

    va_start(ap, fmt);
    rows = ask(pg, fmt, ap);
    va_end(ap);
    ck_assert_uint_eq(rows_count(rows), 1);
    return rows_int(rows, 0, 0);
}

const char *kit_text(struct pg *pg, const char *fmt, ...)
{
    static char text[4096];
    SCOPED(rows_free) struct rows *rows = NULL;
    va_list ap;

    va_start(ap, fmt);
    rows = ask(pg, fmt, ap);
    va_end(ap);
    ck_assert_uint_eq(rows_count(rows), 1);
    snprintf(text, sizeof(text), "%s", rows_text(rows, 0, 0));
    return text;
}

void kit_await(struct pg *pg, int64_t want, const char *fmt, ...)
{
    int64_t until = clock_monotonic_ms() + 10000, got;
    char sql[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sql, sizeof(sql), fmt, ap);
    va_end(ap);
    while ((got = kit_int(pg, "%s", sql)) != want) {
        ck_assert_msg(clock_monotonic_ms() < until, "%s: still %lld, not %lld", sql, (long long)got,
                      (long long)want);
        usleep(5000);
    }
}

/* ---------------------------------------------------------------- small worlds */

int64_t kit_scope(struct pg *pg, const char *service, int revisions)
{
    int64_t id = kit_int(pg,
                         "INSERT INTO scope (service, environment, head) VALUES ('%s', 'prod', %d)"
                         " RETURNING scope_id",
                         service, revisions);

    for (int i = 1; i <= revisions; i++) {
        kit_sql(pg,
                "INSERT INTO revision (scope_id, revision, created_by) VALUES (%lld, %d, 'kit');"
                "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
                " created_by) VALUES (%lld, 'k', %d, %d, 'string', '%s %d', 'kit')",
                (long long)id, i, (long long)id, i, i, service, i);
    }
    return id;
}

void kit_servers(struct pg *pg, int64_t scope_id, int count)
{
    kit_sql(
        pg,
        "INSERT INTO server (name, public_key, scopes) SELECT 'server-' || n,"
        " lpad(n::text, 40, 'k'), '{*}' FROM generate_series(1, %d) AS n ON CONFLICT DO NOTHING;"
        "INSERT INTO server_scope (server_id, scope_id) SELECT server_id, %lld FROM server",
        count, (long long)scope_id);
}

int64_t kit_rollout(struct pg *pg, const int64_t *scope_ids, int scope_count, int stages)
{
    int64_t id = kit_int(pg,
                         "INSERT INTO rollout (public_id, stage_count, salt, strategy, created_by)"
                         " VALUES ('r' || nextval('dseq'), %d, 'salt', '{\"stages\":[]}', 'kit')"
                         " RETURNING rollout_id",
                         stages);

    for (int i = 0; i < scope_count; i++) {
        int64_t head = kit_int(pg, "SELECT head FROM scope WHERE scope_id = %lld",
                               (long long)scope_ids[i]);
        struct hash hash;
        char hex[HASH_HEX_SIZE];
        struct err e;

        ck_assert_int_eq(
            revision_document(pg, scope_ids[i], (uint64_t)head, &hash, NULL, NULL, &e), 0);
        hash_to_hex(&hash, hex);
        kit_sql(pg,
                "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision,"
                " to_hash, is_open) SELECT %lld, scope_id, settled, %lld, '\\x%s', true"
                " FROM scope WHERE scope_id = %lld",
                (long long)id, (long long)head, hex, (long long)scope_ids[i]);
    }
    return id;
}

void kit_lead(struct pg *pg, uint64_t epoch)
{
    kit_sql(pg, "UPDATE leader SET epoch = %llu, lease_until = now() + interval '1 hour'",
            (unsigned long long)epoch);
}
