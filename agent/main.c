/* main.c - lockstep-agent: command line, settings, keys, then the loop. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "agent/keys.h"
#include "agent/loop.h"
#include "agent/settings.h"
#include "common/log.h"

#define CONFIG_PRESET "/etc/lockstep/agent.ini"
#define EXIT_USAGE 2

static const char help[] =
    "usage: lockstep-agent [--config FILE]             run in the foreground\n"
    "       lockstep-agent keygen [--key-file FILE]    make a key pair, print the public key\n"
    "       lockstep-agent show-key [--key-file FILE]  print the public key\n"
    "       lockstep-agent dump                        what the agent holds, as JSON\n"
    "\n"
    "  -c, --config FILE    settings (default " CONFIG_PRESET ")\n"
    "  -k, --key-file FILE  the key pair, if not the one of the settings\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this\n"
    "\n"
    "The public key is what `lockstep server enroll NAME KEY` wants.\n";

struct arguments {
    const char *config, *key_file, *verb;
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
static int run_keys(const struct arguments *args, bool is_new)
{
    struct agent_settings settings = { 0 };
    const char *path = args->key_file;
    struct keys keys;
    struct err e;
    int rc;

    if (!path) {
        if (agent_settings_load(args->config, &settings, &e))
            return fail(&e);
        path = settings.key_file;
    }
    rc = is_new ? keys_make(path, &keys, &e) : keys_load(path, &keys, &e);
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

static int pick_level(const struct agent_settings *settings, enum log_level *out, struct err *e)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(settings->log_level, names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    return err_set(e, ERR_INVALID, "[agent] log_level: \"%s\" is none of debug, info, warn, error",
                   settings->log_level);
}

static int get_keys(const char *path, struct keys *out, struct err *e)
{
    if (keys_exist(path))
        return keys_load(path, out, e);
    if (keys_make(path, out, e))
        return -1;
    log_info("made a new key pair; enroll its public key", "key_file", path);
    return 0;
}

static int run_agent(const struct arguments *args)
{
    struct agent_settings settings;
    enum log_level level;
    struct keys keys;
    struct err e;
    int rc;

    if (agent_settings_load(args->config, &settings, &e))
        return fail(&e);
    rc = pick_level(&settings, &level, &e);
    if (rc == 0) {
        log_init("lockstep-agent", level, settings.log_json);
        rc = get_keys(settings.key_file, &keys, &e);
    }
    if (rc == 0) {
        log_info("starting", "name", settings.name, "version", AGENT_VERSION, "public_key",
                 keys.public_key);
        rc = loop_run(&settings, keys.public_key, keys.secret_key, &e);
        explicit_bzero(&keys, sizeof(keys));
    }
    agent_settings_fini(&settings);
    return rc ? fail(&e) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "key-file", required_argument, NULL, 'k' },
        { "version", no_argument, NULL, 'V' },      { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct arguments args = { .config = CONFIG_PRESET };
    int c;

    while ((c = getopt_long(argc, argv, "c:k:Vh", options, NULL)) != -1)
        switch (c) {
        case 'c':
            args.config = optarg;
            break;
        case 'k':
            args.key_file = optarg;
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
    if (optind + 1 < argc)
        return usage("too many arguments: ", argv[optind + 1]);
    args.verb = argv[optind];
    if (!args.verb)
        return run_agent(&args);
    if (strcmp(args.verb, "keygen") == 0)
        return run_keys(&args, true);
    if (strcmp(args.verb, "show-key") == 0)
        return run_keys(&args, false);
    if (strcmp(args.verb, "dump") == 0)
        return run_dump(&args);
    return usage("unknown command ", args.verb);
}
