/* main.c - the benchmark's programs in one: keys, fleet, echo, rounds, steady. */
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/echo.h"
#include "tests/bench/fleet.h"
#include "tests/bench/keys.h"
#include "tests/bench/rounds.h"
#include "tests/bench/steady.h"

/* What any of the programs may be told. */
struct options {
    const char *address, *keys, *server_key, *secret_key, *service, *environment, *token, *targets;
    size_t first, count, echo_size, sizes[2];
    unsigned repetitions, rate, seconds;
    bool is_curve;
};

static void usage(void)
{
    fputs("usage: bench keys   --count N [--curve]\n"
          "       bench fleet  --address A --keys FILE --first N --count N [--server-key K]\n"
          "                    [--service S --environment E | --echo BYTES]\n"
          "       bench echo   --address A --count N [--size BYTES --second BYTES --repeat N]\n"
          "       bench rounds --address A --keys FILE --count N [--secret-key K --size BYTES]\n"
          "       bench steady --address A --targets FILE --count N --rate N --seconds N\n"
          "                    [--token T]\n",
          stderr);
}

enum kind { TEXT, SIZE, NUMBER, FLAG };
#define AT(field) offsetof(struct options, field)
static const struct {
    const char *name;
    enum kind kind;
    size_t at;
} known[] = {
    { "address", TEXT, AT(address) },    { "keys", TEXT, AT(keys) },
    { "server-key", TEXT, AT(server_key) }, { "secret-key", TEXT, AT(secret_key) },
    { "service", TEXT, AT(service) },    { "environment", TEXT, AT(environment) },
    { "token", TEXT, AT(token) },        { "targets", TEXT, AT(targets) },
    { "first", SIZE, AT(first) },        { "count", SIZE, AT(count) },
    { "echo", SIZE, AT(echo_size) },     { "size", SIZE, AT(sizes[0]) },
    { "second", SIZE, AT(sizes[1]) },    { "repeat", NUMBER, AT(repetitions) },
    { "rate", NUMBER, AT(rate) },        { "seconds", NUMBER, AT(seconds) },
    { "curve", FLAG, AT(is_curve) },
};
#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

static void set(struct options *o, size_t i, const char *text)
{
    void *at = (char *)o + known[i].at;

    switch (known[i].kind) {
    case TEXT:
        *(const char **)at = text;
        break;
    case SIZE:
        *(size_t *)at = strtoul(text, NULL, 10);
        break;
    case NUMBER:
        *(unsigned *)at = (unsigned)strtoul(text, NULL, 10);
        break;
    case FLAG:
        *(bool *)at = true;
        break;
    }
}

static int read_options(int argc, char **argv, struct options *o)
{
    struct option options[KNOWN_COUNT + 1] = { 0 };
    int c, i = 0;

    for (size_t n = 0; n < KNOWN_COUNT; n++)
        options[n] = (struct option){ known[n].name, known[n].kind != FLAG, NULL, 1 };
    while ((c = getopt_long(argc, argv, "", options, &i)) == 1)
        set(o, (size_t)i, optarg);
    return c == -1 && optind == argc && o->count > 0 ? 0 : -1;
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

static int run_steady(const struct options *o)
{
    struct steady_settings s = { .address = o->address,
                                 .token = o->token,
                                 .targets = o->targets,
                                 .connections = o->count,
                                 .rate = o->rate,
                                 .seconds = o->seconds };

    return steady_run(&s);
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
    if (strcmp(program, "steady") == 0 && o.address && o.targets && o.rate && o.seconds)
        return run_steady(&o);
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
