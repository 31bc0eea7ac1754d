/* main.c - lockstep-agent: command line, settings, keys, then the loop. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commands/check_settings.h"
#include "agent/commands/diff.h"
#include "agent/commands/dump.h"
#include "agent/commands/exec.h"
#include "agent/commands/read_commands.h"
#include "agent/commands/status.h"
#include "agent/link/curve_keys.h"
#include "agent/loop.h"
#include "agent/settings/settings.h"
#include "agent/tasks/agent.h"
#include "common/core_dump.h"
#include "common/log.h"
#include "common/service.h"

#define CONFIG_PRESET "/etc/lockstep/agent.ini"
#define EXIT_DIFFERENT 1
#define EXIT_USAGE 2
#define LARGE_BYTES (128 * 1024)
#define EXIT_COMPARING 9

static const char help[] =
    "usage: lockstep-agent [--config FILE]             run in the foreground\n"
    "       lockstep-agent check-settings [FILE]       is the settings file right?\n"
    "       lockstep-agent status                      what it does; exit status 0: all is well\n"
    "       lockstep-agent keygen [--key-file FILE]    make a key pair, print the public key\n"
    "       lockstep-agent show-key [--key-file FILE]  print the public key\n"
    "       lockstep-agent dump                        what the agent holds, as JSON\n"
    "       lockstep-agent diff [SCOPE] (or --noop)    what applying would change in the files;\n"
    "                                                  exit status 1: something\n"
    "\n"
    "       lockstep-agent get SCOPE [KEY]             what is active, from the published files\n"
    "       lockstep-agent wait SCOPE                  until there is one; for boot scripts\n"
    "       lockstep-agent watch SCOPE                 a line for each change\n"
    "       lockstep-agent exec SCOPE -- command       a command, the values its environment\n"
    "\n"
    "  -c, --config FILE    settings (default " CONFIG_PRESET ")\n"
    "  -k, --key-file FILE  the key pair, if not the one of the settings\n"
    "  -d, --document FILE  diff: of this JSON document, not of what the agent holds\n"
    "  -p, --prepared       diff: of what is prepared, not of what is active\n"
    "  -s, --socket FILE    status: the agent's socket, if not the one of the settings\n"
    "  -o, --output json    status: as JSON, for programs\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this\n"
    "\n"
    "The public key is what `lockstep server enroll NAME --scope SERVICE/ENV -- KEY` wants.\n"
    "SIGHUP reads the settings again: scopes, commands, intervals, labels, coordinators and\n"
    "log_level; state_dir, publish_dir, key_file and log_format need a restart.\n";

struct arguments {
    const char *config, *key_file, *operand;
    struct diff_wish diff;
    const char *socket, *output;
    bool is_noop;
};

static int fail(const struct err *e)
{
    fprintf(stderr, "lockstep-agent: %s\n", e->text);
    return EXIT_FAILURE;
}

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "lockstep-agent: %s%s; see --help\n", what, which);
    return EXIT_USAGE;
}

/* keygen and show-key: the key file of the command line, else that of the settings. */
static int show_or_make_keys(const struct arguments *args, bool is_new)
{
    struct agent_settings settings = { 0 };
    const char *path = args->key_file;
    struct curve_keys keys;
    struct err e;
    int rc;

    if (!path) {
        if (agent_settings_load(args->config, &settings, &e))
            return fail(&e);
        path = settings.key_file;
    }
    rc = is_new ? curve_keys_make(path, &keys, &e) : curve_keys_load(path, &keys, &e);
    agent_settings_fini(&settings);
    if (rc)
        return fail(&e);
    puts(keys.public_key);
    explicit_bzero(&keys, sizeof(keys));
    return EXIT_SUCCESS;
}

static int run_dump(const struct arguments *args)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct agent_settings settings;
    struct err e;
    int rc;

    if (agent_settings_load(args->config, &settings, &e))
        return fail(&e);
    rc = dump_state(&settings, &text, &e);
    agent_settings_fini(&settings);
    if (rc)
        return fail(&e);
    puts(text.data);
    return EXIT_SUCCESS;
}

/* As the comparing commands of `lockstep`: 1 is a difference, 9 an error. */
static int run_diff(const struct arguments *args)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct agent_settings settings;
    struct diff_wish wish = args->diff;
    struct err e;
    int count;

    wish.scope = args->operand;
    if (agent_settings_load(args->config, &settings, &e))
        return fail(&e), EXIT_COMPARING;
    count = diff_show(&settings, &wish, &text, &e);
    agent_settings_fini(&settings);
    if (text.data)
        fputs(text.data, stdout);
    if (count < 0)
        return fail(&e), EXIT_COMPARING;
    return count ? EXIT_DIFFERENT : EXIT_SUCCESS;
}

static int run_status(const struct arguments *args)
{
    const struct status_wish wish = { args->config, args->socket, args->output != NULL };

    if (args->output && strcmp(args->output, "json") != 0)
        return usage("--output knows json alone, not ", args->output);
    return status_show(&wish);
}

static int run_keygen(const struct arguments *args)
{
    return show_or_make_keys(args, true);
}

static int run_show_key(const struct arguments *args)
{
    return show_or_make_keys(args, false);
}

static int run_check_settings(const struct arguments *args)
{
    return check_settings(args->operand ? args->operand : args->config);
}

static int get_keys(const char *path, struct curve_keys *out, struct err *e)
{
    if (curve_keys_exist(path))
        return curve_keys_load(path, out, e);
    if (curve_keys_make(path, out, e))
        return -1;
    log_info("made a new key pair; enroll its public key", "key_file", path);
    return 0;
}

static int run_agent(const struct arguments *args)
{
    SCOPED(agent_settings_free) struct agent_settings *settings = NULL;
    struct lifecycle_keys lent;
    struct curve_keys keys;
    struct err e;
    int rc;

    core_dump_forbid();
    service_init();
    /* Documents come and go in large pieces: their memory goes back to the system at once. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
    if (agent_settings_new(args->config, &settings, &e))
        return fail(&e);
    log_init("lockstep-agent", settings->level, settings->is_log_json);
    if (get_keys(settings->key_file, &keys, &e))
        return fail(&e);
    log_info("starting", "name", settings->name, "version", AGENT_VERSION, "public_key",
             keys.public_key);
    lent = (struct lifecycle_keys){ keys.public_key, keys.secret_key };
    rc = loop_run(args->config, &settings, &lent, &e);
    explicit_bzero(&keys, sizeof(keys));
    return rc ? fail(&e) : EXIT_SUCCESS;
}

static const struct verb {
    const char *name;
    int (*run)(const struct arguments *args);
    bool takes_operand;
} verbs[] = {
    { "status", run_status, false },
    { "check-settings", run_check_settings, true },
    { "keygen", run_keygen, false },
    { "show-key", run_show_key, false },
    { "dump", run_dump, false },
    { "diff", run_diff, true },
};

/* Commands that need neither settings nor agent, with options of their own behind their name. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} readers[] = {
    { "get", read_commands_get }, { "wait", read_commands_wait }, { "watch", read_commands_watch },
    { "exec", exec_run },
};

/* -1: the first word is none of these. */
static int run_reader(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < sizeof(readers) / sizeof(readers[0]); i++)
        if (strcmp(argv[1], readers[i].name) == 0)
            return readers[i].run(argc - 1, argv + 1);
    return -1;
}

static int obey(struct arguments *args, char **words)
{
    if (args->is_noop && (!words[0] || strcmp(words[0], "diff") != 0)) {
        args->operand = words[0];
        return words[0] && words[1] ? usage("too many arguments: ", words[1]) : run_diff(args);
    }
    if (!words[0])
        return run_agent(args);
    for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(words[0], verbs[i].name) != 0)
            continue;
        args->operand = words[1];
        if (words[1] && (!verbs[i].takes_operand || words[2]))
            return usage("too many arguments: ", words[verbs[i].takes_operand ? 2 : 1]);
        return verbs[i].run(args);
    }
    return usage("unknown command ", words[0]);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "key-file", required_argument, NULL, 'k' },
        { "document", required_argument, NULL, 'd' }, { "prepared", no_argument, NULL, 'p' },
        { "noop", no_argument, NULL, 'n' },         { "socket", required_argument, NULL, 's' },
        { "output", required_argument, NULL, 'o' },
        { "version", no_argument, NULL, 'V' },      { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct arguments args = { .config = CONFIG_PRESET };
    int c;

    signal(SIGCHLD, SIG_DFL); /* where it is ignored nobody learns how a command ended */
    c = run_reader(argc, argv);
    if (c >= 0)
        return c;
    while ((c = getopt_long(argc, argv, "c:k:d:s:o:pnVh", options, NULL)) != -1)
        switch (c) {
        case 'c':
            args.config = optarg;
            break;
        case 'k':
            args.key_file = optarg;
            break;
        case 'd':
            args.diff.document = optarg;
            break;
        case 's':
            args.socket = optarg;
            break;
        case 'o':
            args.output = optarg;
            break;
        case 'p':
            args.diff.is_prepared = true;
            break;
        case 'n':
            args.is_noop = true;
            break;
        case 'V':
            puts("lockstep-agent " AGENT_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        default:
            return EXIT_USAGE;
        }
    return obey(&args, argv + optind);
}
