/* read_commands.c - the commands get, wait and watch: what the agent published, for shells and scripts. */
#include "agent/commands/read_commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/client/lockstep.h"
#include "agent/client/published.h"
#include "agent/publish/held.h"
#include "common/clock.h"
#include "common/duration.h"
#include "common/name.h"

#define TIMEOUT_PRESET_MS 60000
#define LOOK_MS 1000

int read_commands_say(int code, const char *fmt, ...)
{
    va_list ap;

    fputs("lockstep-agent: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return code;
}

bool read_commands_duration(const char *option, const char *text, int64_t *out)
{
    struct err e;

    if (duration_parse(text, out, &e) == 0 && *out <= INT_MAX)
        return true;
    read_commands_say(READ_COMMANDS_USAGE, "%s %s: write a time like 500ms, 30s or 5m", option,
                      text);
    return false;
}

static int not_loaded(struct lockstep *config, const char *scope, int64_t wait_ms)
{
    char trouble[512];

    lockstep_trouble(config, trouble, sizeof(trouble));
    if (wait_ms)
        return read_commands_say(READ_COMMANDS_TIME_UP, "no revision of %s is active here yet%s%s",
                                 scope, *trouble ? ": " : "", trouble);
    return read_commands_say(READ_COMMANDS_NOT_FOUND, "no revision of %s is active here%s%s", scope,
                             *trouble ? ": " : "", trouble);
}

/* What is there and closed to this user will not open by waiting. */
static bool is_closed(const char *folder, const char *scope)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    if (!folder)
        folder = getenv("LOCKSTEP_DIR");
    buffer_printf(&path, "%s/%s/" PUBLISHED_CONTROL, folder ? folder : PUBLISHED_FOLDER, scope);
    return access(path.data, R_OK) != 0 && errno == EACCES;
}

int read_commands_open(const char *folder, const char *scope, int64_t wait_ms,
                       struct lockstep **out)
{
    char service[NAME_BUFFER], environment[NAME_BUFFER], name[SCOPE_BUFFER];
    struct err e;
    int rc;

    if (name_split_scope(scope, service, environment, &e))
        return read_commands_say(READ_COMMANDS_USAGE, "%s", e.text);
    snprintf(name, sizeof(name), "%s/%s", service, environment);
    if (is_closed(folder, name))
        return read_commands_say(READ_COMMANDS_FORBIDDEN,
                                 "%s: this user may not read what the agent "
                                 "publishes; it needs the scope's readers_group",
                                 name);
    rc = folder ? lockstep_open_at(out, folder, name, (int)wait_ms)
                : lockstep_open(out, name, (int)wait_ms);
    if (rc < 0)
        return read_commands_say(READ_COMMANDS_FAILED, "%s cannot be read: %s", name,
                                 strerror(-rc));
    if (rc == 0)
        return 0;
    rc = not_loaded(*out, name, wait_ms);
    lockstep_close(*out);
    *out = NULL;
    return rc;
}

/* ---- get ---- */

static int print_key(const struct lockstep_snapshot *s, const char *scope, const char *key,
                     bool is_raw)
{
    struct lockstep_item item;

    if (!lockstep_held_find(s, key, &item))
        return read_commands_say(READ_COMMANDS_NOT_FOUND, "%s@%" PRIu64 " has no key \"%s\"", scope,
                                 lockstep_held_revision(s), key);
    if (item.type == LOCKSTEP_SECRET)
        return read_commands_say(READ_COMMANDS_FORBIDDEN,
                                 "\"%s\" is a secret: it is not in the published "
                                 "files",
                                 key);
    if (item.type != LOCKSTEP_JSON || strcmp(item.text, "null") != 0) /* an empty line for null */
        fwrite(item.text, 1, item.size, stdout);
    if (!is_raw)
        putchar('\n');
    return 0;
}

static int print_document(const struct lockstep_snapshot *s, const char *format,
                          const struct env_choice *choice)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err e;

    if (held_render(s, format, choice, &text, &e))
        return read_commands_say(READ_COMMANDS_CONFLICT, "%s", e.text);
    fwrite(text.data, 1, text.size, stdout);
    return 0;
}

static int flushed(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return read_commands_say(READ_COMMANDS_FAILED, "the output cannot be written");
}

struct getting {
    const char *folder, *format;
    struct env_choice choice;
    bool is_raw;
    int64_t wait_ms;
};

static int take_get_option(struct getting *g, int c, const char *text)
{
    struct err e;

    switch (c) {
    case 'd':
        g->folder = text;
        return 0;
    case 'f':
        g->format = text;
        return 0;
    case 'r':
        g->is_raw = true;
        return 0;
    case 'w':
        return read_commands_duration("--wait", text, &g->wait_ms) ? 0 : READ_COMMANDS_USAGE;
    case 'p':
        g->choice.prefix = text;
        return variable_check_prefix(text, &e)
                   ? read_commands_say(READ_COMMANDS_USAGE, "--prefix: %s", e.text)
                   : 0;
    case 'a':
        g->choice.allowed = text;
        return variable_check_list(text, &e)
                   ? read_commands_say(READ_COMMANDS_USAGE, "--allow-variable: %s", e.text)
                   : 0;
    default:
        return READ_COMMANDS_USAGE;
    }
}

int read_commands_get(int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },    { "format", required_argument, NULL, 'f' },
        { "raw", no_argument, NULL, 'r' },          { "wait", required_argument, NULL, 'w' },
        { "prefix", required_argument, NULL, 'p' }, { "allow-variable", required_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    struct getting g = { .choice.remedy = "rename the key, or give --prefix APP_ or "
                                          "--allow-variable NAME" };
    struct lockstep *config = NULL;
    const struct lockstep_snapshot *s;
    int c, rc = 0;

    while (rc == 0 && (c = getopt_long(argc, argv, "d:f:rw:", options, NULL)) != -1)
        rc = take_get_option(&g, c, optarg);
    if (rc)
        return rc;
    if (argc - optind < 1 || argc - optind > 2 || (argc - optind == 2 && g.format) ||
        (g.format && !held_knows_format(g.format)))
        return read_commands_say(READ_COMMANDS_USAGE,
                                 "usage: lockstep-agent get SCOPE [KEY] [--raw] "
                                 "[--format json|yaml|env] [--prefix P] [--allow-variable NAMES] "
                                 "[--wait 10s] [--dir DIR]");
    rc = read_commands_open(g.folder, argv[optind], g.wait_ms, &config);
    if (rc)
        return rc;
    s = lockstep_hold(config);
    rc = argc - optind == 2 ? print_key(s, argv[optind], argv[optind + 1], g.is_raw)
                            : print_document(s, g.format ? g.format : "json", &g.choice);
    lockstep_release(s);
    lockstep_close(config);
    return flushed(rc);
}

/* ---- wait ---- */

/* Sleeps until there may be news, or for so long. */
static void sleep_until_news(struct lockstep *config, int64_t most_ms)
{
    struct pollfd fd = { .fd = lockstep_fd(config), .events = POLLIN };

    if (most_ms > 0)
        (void)poll(&fd, 1, (int)(most_ms < LOOK_MS ? most_ms : LOOK_MS));
}

static int wait_for(struct lockstep *config, const char *scope, uint64_t revision,
                    int64_t until_ms)
{
    for (;;) {
        uint64_t now;

        (void)lockstep_changed(config);
        now = lockstep_revision(config);
        if (now && now >= revision) {
            printf("%" PRIu64 "\n", now);
            return flushed(0);
        }
        if (clock_monotonic_ms() >= until_ms)
            return read_commands_say(READ_COMMANDS_TIME_UP,
                                     "%s is at revision %" PRIu64 ", not at %" PRIu64, scope, now,
                                     revision);
        sleep_until_news(config, until_ms - clock_monotonic_ms());
    }
}

int read_commands_wait(int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "revision", required_argument, NULL, 'r' },
        { "timeout", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int64_t timeout_ms = TIMEOUT_PRESET_MS, until_ms;
    const char *folder = NULL;
    struct lockstep *config = NULL;
    uint64_t revision = 0;
    char *end = NULL;
    int c, rc;

    while ((c = getopt_long(argc, argv, "d:r:t:", options, NULL)) != -1) {
        if (c == '?' || (c == 't' && !read_commands_duration("--timeout", optarg, &timeout_ms)))
            return READ_COMMANDS_USAGE;
        if (c == 'd')
            folder = optarg;
        if (c == 'r')
            revision = strtoull(optarg, &end, 10);
        if (c == 'r' && (*end || *optarg < '0' || *optarg > '9'))
            return read_commands_say(READ_COMMANDS_USAGE, "--revision %s: write a number", optarg);
    }
    if (argc - optind != 1)
        return read_commands_say(READ_COMMANDS_USAGE,
                                 "usage: lockstep-agent wait SCOPE [--revision N] "
                                 "[--timeout 60s] [--dir DIR]");
    until_ms = clock_monotonic_ms() + timeout_ms;
    rc = read_commands_open(folder, argv[optind], timeout_ms, &config);
    if (rc == 0)
        rc = wait_for(config, argv[optind], revision, until_ms);
    lockstep_close(config);
    return rc == READ_COMMANDS_NOT_FOUND ? READ_COMMANDS_TIME_UP : rc;
}

/* ---- watch ---- */

struct words {
    struct buffer changed, deleted;
};

static void add_word(void *ctx, const struct lockstep_item *was, const struct lockstep_item *is)
{
    struct words *w = ctx;
    struct buffer *to = is ? &w->changed : &w->deleted;

    (void)was;
    buffer_printf(to, "%s", to->size ? " " : "");
    buffer_add_text(to, is ? is->key : was->key);
}

static void print_change(const char *scope, const struct lockstep_snapshot *was,
                         const struct lockstep_snapshot *is)
{
    struct words w = { 0 };

    held_diff(was, is, add_word, &w);
    printf("%s@%" PRIu64, scope, lockstep_held_revision(is));
    if (was && w.changed.size)
        printf(" changed: %s", w.changed.data);
    if (w.deleted.size)
        printf("%s deleted: %s", w.changed.size ? ";" : "", w.deleted.data);
    printf("\n");
    buffer_fini(&w.changed);
    buffer_fini(&w.deleted);
}

static void add_json(void *ctx, const struct lockstep_item *was, const struct lockstep_item *is)
{
    struct buffer *out = ctx;

    buffer_add_text(out, out->size ? ",{" : "{");
    held_change(was, is, true, out);
    buffer_add_text(out, "}");
}

static void print_json(const char *scope, const struct lockstep_snapshot *was,
                       const struct lockstep_snapshot *is)
{
    SCOPED_BUFFER struct buffer changes = { 0 };

    held_diff(was, is, add_json, &changes);
    printf("{\"scope\":\"%s\",\"revision\":%" PRIu64 ",\"hash\":\"%s\",\"reset\":%s,\"changes\":"
           "[%s]}\n", scope, lockstep_held_revision(is), lockstep_held_hash(is),
           was ? "false" : "true", changes.size ? changes.data : "");
}

static int watch(struct lockstep *config, const char *scope, bool is_json, bool is_once)
{
    const struct lockstep_snapshot *was = NULL, *is;
    int rc = 0;

    while (rc == 0) {
        is = lockstep_hold(config);
        (is_json ? print_json : print_change)(scope, was, is);
        rc = flushed(0);
        if (was)
            lockstep_release(was);
        if (was && is_once)
            break;
        was = is;
        while (rc == 0 && lockstep_changed(config) <= 0)
            sleep_until_news(config, LOOK_MS);
    }
    lockstep_release(is);
    return rc;
}

int read_commands_watch(int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "json", no_argument, NULL, 'j' },
        { "once", no_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    const char *folder = NULL;
    struct lockstep *config = NULL;
    bool is_json = false, is_once = false;
    int c, rc;

    while ((c = getopt_long(argc, argv, "d:jo", options, NULL)) != -1) {
        if (c == '?')
            return READ_COMMANDS_USAGE;
        if (c == 'd')
            folder = optarg;
        else
            *(c == 'j' ? &is_json : &is_once) = true;
    }
    if (argc - optind != 1)
        return read_commands_say(READ_COMMANDS_USAGE,
                                 "usage: lockstep-agent watch SCOPE [--json] [--once] "
                                 "[--dir DIR]");
    rc = read_commands_open(folder, argv[optind], -1, &config);
    if (rc == 0) {
        (void)lockstep_changed(config);
        rc = watch(config, argv[optind], is_json, is_once);
    }
    lockstep_close(config);
    return rc;
}
