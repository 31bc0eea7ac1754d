/* dev_postgres.c - initdb once, then a postgres child that listens on a Unix socket only. */
#include "coordinator/cli/dev_postgres.h"

#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/cli/client.h"
#include "coordinator/cli/interrupt.h"

#define SOCKET_NAME "/.s.PGSQL.5432.lock"
#define SOCKET_PATH_MAX 107 /* sun_path without its zero */
#define START_MS 60000
#define STOP_MS 20000

/* The newest PostgreSQL that Debian put there, else what PATH has. */
static int find_programs(struct dev_postgres *pg, struct err *e)
{
    const char *given = getenv("LOCKSTEP_PG_BIN"), *path = getenv("PATH");
    char candidate[600];
    glob_t found;
    int newest = 0;

    if (given && *given) {
        snprintf(pg->programs, sizeof(pg->programs), "%s", given);
        return 0;
    }
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int version = (int)strtol(found.gl_pathv[i] + 20, NULL, 10);

            if (version < newest)
                continue;
            newest = version;
            snprintf(pg->programs, sizeof(pg->programs), "%.*s",
                     (int)(strlen(found.gl_pathv[i]) - strlen("/initdb")), found.gl_pathv[i]);
        }
        globfree(&found);
        if (newest)
            return 0;
    }
    while (path && *path) {
        size_t n = strcspn(path, ":");

        snprintf(candidate, sizeof(candidate), "%.*s/initdb", n < 500 ? (int)n : 0, path);
        if (access(candidate, X_OK) == 0) {
            snprintf(pg->programs, sizeof(pg->programs), "%.*s", (int)n, path);
            return 0;
        }
        path += n + (path[n] == ':');
    }
    return err_set(e, ERR_NOT_FOUND,
                   "PostgreSQL is not installed: apt-get install postgresql-15, "
                   "or set LOCKSTEP_PG_BIN to the folder of initdb");
}

/* PostgreSQL refuses to be root. */
static int choose_user(struct dev_postgres *pg, struct err *e)
{
    const struct passwd *pw;

    pg->user = (struct dev_user){ .name = "" };
    if (geteuid() != 0)
        return 0;
    pw = getpwnam("postgres");
    if (!pw)
        pw = getpwnam("nobody");
    if (!pw)
        return err_set(e, ERR_SYSTEM,
                       "PostgreSQL cannot run as root, and there is no user postgres or nobody");
    pg->user.uid = pw->pw_uid;
    pg->user.gid = pw->pw_gid;
    snprintf(pg->user.name, sizeof(pg->user.name), "%s", pw->pw_name);
    return 0;
}

static const struct dev_user *user_of(const struct dev_postgres *pg)
{
    return pg->user.name[0] ? &pg->user : NULL;
}

/* May everybody pass through all folders above? (`dir` itself is ours to open up.) */
static bool is_reachable(const char *dir)
{
    char path[DEV_PATH];
    struct stat st;

    snprintf(path, sizeof(path), "%s", dir);
    for (char *slash; (slash = strrchr(path, '/')) && slash != path;) {
        *slash = 0;
        if (stat(path, &st) != 0 || !(st.st_mode & S_IXOTH))
            return false;
    }
    return true;
}

/* Make a folder that belongs to the user PostgreSQL runs as. One that is there already may have
 * been put there by a stranger, as long as its parent is open to all: it must be ours. */
static int make_folder(const struct dev_postgres *pg, const char *path, struct err *e)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_SYSTEM, "make the folder %s: %s", path, strerror(errno));
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) ||
        (st.st_uid != geteuid() && !(user_of(pg) && st.st_uid == pg->user.uid)))
        return err_set(e, ERR_SYSTEM, "%s is no folder of ours", path);
    if (user_of(pg) && chown(path, pg->user.uid, pg->user.gid) != 0)
        return err_set(e, ERR_SYSTEM, "give %s to %s: %s", path, pg->user.name, strerror(errno));
    return 0;
}

static unsigned long hash_of(const char *text)
{
    unsigned long h = 5381;

    for (; *text; text++)
        h = h * 33 ^ (unsigned char)*text;
    return h & 0xFFFFFFFF;
}

/* Data lies in DIR/postgres. Where another user cannot get there (DIR in /root), it lies beside,
 * under a name that the next start finds again. */
static int choose_folders(struct dev_postgres *pg, const char *dir, struct err *e)
{
    char home[DEV_PATH];

    if (user_of(pg) && !is_reachable(dir)) {
        snprintf(home, sizeof(home), "/var/tmp/lockstep-dev-%08lx", hash_of(dir));
        fprintf(stderr, "lockstep: PostgreSQL runs as %s, who cannot enter %s: its data is in %s\n",
                pg->user.name, dir, home);
    } else {
        snprintf(home, sizeof(home), "%.900s/postgres", dir);
        if (user_of(pg) && chmod(dir, 0711) != 0)
            return err_set(e, ERR_SYSTEM, "let %s into %s: %s", pg->user.name, dir,
                           strerror(errno));
    }
    if (make_folder(pg, home, e) != 0)
        return -1;
    snprintf(pg->data, sizeof(pg->data), "%.900s/data", home);
    snprintf(pg->sockets, sizeof(pg->sockets), "%.900s/s", home);
    if (strlen(pg->sockets) + strlen(SOCKET_NAME) <= SOCKET_PATH_MAX)
        return make_folder(pg, pg->sockets, e);
    snprintf(pg->sockets, sizeof(pg->sockets), "/tmp/lockstep-XXXXXX");
    if (!mkdtemp(pg->sockets))
        return err_set(e, ERR_SYSTEM, "make a short folder for the socket: %s", strerror(errno));
    pg->is_sockets_ours = true;
    return make_folder(pg, pg->sockets, e);
}

static int run_one(const struct dev_postgres *pg, const char *program, const char *const *args,
                   struct err *e)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    const char *argv[DEV_ARGS_MAX] = { 0 };
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", pg->programs, program);
    argv[0] = path;
    for (size_t i = 0; args[i] && i + 2 < DEV_ARGS_MAX; i++)
        argv[i + 1] = args[i];
    return dev_run_program(argv, user_of(pg), pg->keep_fd, &out, e);
}

/* Into a folder beside and then renamed: a start that was interrupted leaves nothing half made. */
static int init_data(struct dev_postgres *pg, struct err *e)
{
    char making[DEV_PATH + 8];
    const char *const init[] = { "-D",    making, "-U",   "lockstep",   "-A",
                                 "trust", "-E",   "UTF8", "--locale=C", NULL };

    if (access(pg->data, F_OK) == 0)
        return 0;
    snprintf(making, sizeof(making), "%s.new", pg->data);
    if (access(making, F_OK) == 0) {
        const char *const rm[] = { "/bin/rm", "-rf", making, NULL };
        SCOPED_BUFFER struct buffer out = { 0 };

        if (dev_run_program(rm, user_of(pg), -1, &out, e) != 0)
            return -1;
    }
    if (run_one(pg, "initdb", init, e) != 0)
        return -1;
    if (rename(making, pg->data) != 0)
        return err_set(e, ERR_SYSTEM, "rename %s: %s", making, strerror(errno));
    return 0;
}

static int wait_ready(struct dev_postgres *pg, struct err *e)
{
    const char *const ready[] = { "-q", "-h", pg->sockets, "-U", "lockstep", NULL };
    int64_t end_ms = clock_monotonic_ms() + START_MS;
    int status = 0;
    struct err ignored;

    while (run_one(pg, "pg_isready", ready, &ignored) != 0) {
        if (interrupt_happened())
            return err_code(e, ERR_UNAVAILABLE, "interrupted", "interrupted");
        if (!dev_process_runs(&pg->process, &status))
            return err_set(e, ERR_SYSTEM, "PostgreSQL did not start; its last words are in %s",
                           pg->process.log);
        if (clock_monotonic_ms() > end_ms)
            return err_set(e, ERR_SYSTEM, "PostgreSQL is not ready after %d s; see %s",
                           START_MS / 1000, pg->process.log);
        interrupt_sleep(50);
    }
    return 0;
}

static int make_database(struct dev_postgres *pg, struct err *e)
{
    const char *const ask[] = { "-X", "-q",       "-h", pg->sockets, "-U", "lockstep",
                                "-d", "lockstep", "-c", "SELECT 1",  NULL };
    const char *const create[] = { "-h", pg->sockets, "-U", "lockstep", "lockstep", NULL };
    struct err ignored;

    if (run_one(pg, "psql", ask, &ignored) == 0)
        return 0;
    return run_one(pg, "createdb", create, e);
}

int dev_postgres_start(struct dev_postgres *pg, const char *dir, int keep_fd, struct err *e)
{
    char program[600], log[DEV_PATH];
    const char *argv[] = { program,
                           "-D",
                           pg->data,
                           "-k",
                           pg->sockets,
                           "-c",
                           "listen_addresses=",
                           "-c",
                           "max_connections=200",
                           NULL };

    pg->keep_fd = keep_fd;
    pg->process.keep_fd = keep_fd;
    if (find_programs(pg, e) != 0 || choose_user(pg, e) != 0 || choose_folders(pg, dir, e) != 0)
        return -1;
    if (init_data(pg, e) != 0)
        return err_wrap(e, "initdb");
    snprintf(program, sizeof(program), "%s/postgres", pg->programs);
    snprintf(log, sizeof(log), "%.900s/log/postgres.log", dir);
    dev_process_init(&pg->process, "postgres", log, SIGINT, keep_fd, argv);
    pg->process.user = user_of(pg);
    if (dev_process_start(&pg->process, e) != 0 || wait_ready(pg, e) != 0)
        return -1;
    return make_database(pg, e);
}

void dev_postgres_stop(struct dev_postgres *pg)
{
    char path[DEV_PATH + 32];

    dev_process_ask(&pg->process, SIGINT);
    dev_process_wait(&pg->process, STOP_MS);
    dev_process_fini(&pg->process);
    if (!pg->is_sockets_ours)
        return;
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", pg->sockets);
    unlink(path);
    snprintf(path, sizeof(path), "%s" SOCKET_NAME, pg->sockets);
    unlink(path);
    rmdir(pg->sockets);
}

void dev_postgres_url(const struct dev_postgres *pg, struct buffer *out)
{
    buffer_add_text(out, "postgresql://lockstep@/lockstep?host=");
    client_escape(out, pg->sockets);
}
