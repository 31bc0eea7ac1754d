/* main.c - the benchmark's programs in one: keys, fleet, echo, rounds. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/echo.h"
#include "tests/bench/fleet.h"
#include "tests/bench/keys.h"
#include "tests/bench/rounds.h"

/* What any of the programs may be told. */
struct options {
    const char *address, *keys, *server_key, *secret_key, *service, *environment;
    size_t first, count, echo_size, sizes[2];
    unsigned repetitions;
    bool is_curve;
};

static void usage(void)
{
    fputs("usage: bench keys   --count N [--curve]\n"
          "       bench fleet  --address A --keys FILE --first N --count N [--server-key K]\n"
          "                    [--service S --environment E | --echo BYTES]\n"
          "       bench echo   --address A --count N [--size BYTES --second BYTES --repeat N]\n"
          "       bench rounds --address A --keys FILE --count N [--secret-key K --size BYTES]\n",
          stderr);
}

static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        { "address", 1, 0, 'a' },    { "keys", 1, 0, 'k' },
        { "server-key", 1, 0, 'K' }, { "secret-key", 1, 0, 'S' },
        { "service", 1, 0, 's' },    { "environment", 1, 0, 'e' },
        { "first", 1, 0, 'f' },      { "count", 1, 0, 'n' },
        { "echo", 1, 0, 'E' },       { "size", 1, 0, '1' },
        { "second", 1, 0, '2' },     { "repeat", 1, 0, 'r' },
        { "curve", 0, 0, 'c' },      { 0, 0, 0, 0 }
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        size_t number = optarg ? strtoul(optarg, NULL, 10) : 0;

        switch (c) {
        case 'a':
            o->address = optarg;
            break;
        case 'k':
            o->keys = optarg;
            break;
        case 'K':
            o->server_key = optarg;
            break;
        case 'S':
            o->secret_key = optarg;
            break;
        case 's':
            o->service = optarg;
            break;
        case 'e':
            o->environment = optarg;
            break;
        case 'f':
            o->first = number;
            break;
        case 'n':
            o->count = number;
            break;
        case 'E':
            o->echo_size = number;
            break;
        case '1':
            o->sizes[0] = number;
            break;
        case '2':
            o->sizes[1] = number;
            break;
        case 'r':
            o->repetitions = (unsigned)number;
            break;
        case 'c':
            o->is_curve = true;
            break;
        default:
            return -1;
        }
    }
    return optind == argc && o->count > 0 ? 0 : -1;
}

static int run_fleet(const struct options *o, const struct bench_key *keys)
{
    struct fleet_settings s = { .address = o->address,
                                .server_key = o->server_key,
                                .service = o->service,
                                .environment = o->environment,
                                .keys = keys,
                                .count = o->count,
                                .echo_size = o->echo_size };

    return fleet_run(&s);
}

static int run_rounds(const struct options *o, const struct bench_key *keys)
{
    struct rounds_settings s = { .bind = o->address,
                                 .secret_key = o->secret_key,
                                 .service = o->service,
                                 .environment = o->environment,
                                 .keys = keys,
                                 .agents = o->count,
                                 .document_size = o->sizes[0],
                                 .repetitions = o->repetitions };

    return rounds_run(&s);
}

static int run_echo(const struct options *o)
{
    struct echo_settings s = { .bind = o->address,
                               .agents = o->count,
                               .sizes = { o->sizes[0], o->sizes[1] },
                               .repetitions = o->repetitions };

    return echo_run(&s);
}

/* As many descriptors as may be had. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct options o = {
        .service = "bench", .environment = "prod", .sizes = { 4096, 4096 }, .repetitions = 1
    };
    const char *program = argc > 1 ? argv[1] : "";
    bool is_fleet = strcmp(program, "fleet") == 0, is_rounds = strcmp(program, "rounds") == 0;
    struct bench_key *keys;
    int status;

    if (argc < 2 || read_options(argc - 1, argv + 1, &o) != 0) {
        usage();
        return 2;
    }
    raise_limit();
    if (strcmp(program, "keys") == 0)
        return keys_print(o.count, o.is_curve);
    if (strcmp(program, "echo") == 0 && o.address)
        return run_echo(&o);
    if (!(is_fleet || is_rounds) || !o.address || !o.keys) {
        usage();
        return 2;
    }
    keys = keys_read(o.keys, o.first, o.count);
    if (!keys)
        return 1;
    status = is_fleet ? run_fleet(&o, keys) : run_rounds(&o, keys);
    free(keys);
    return status;
}
