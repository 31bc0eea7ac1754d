/* keys.c - the identities of a simulated fleet: name, public and secret key, one line each. */
#include "tests/bench/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "common/invariant.h"

int keys_print(size_t count, bool is_curve)
{
    for (size_t i = 1; i <= count; i++) {
        char public_key[41], secret_key[41] = "-";

        if (is_curve)
            MUST(zmq_curve_keypair(public_key, secret_key) == 0);
        else
            snprintf(public_key, sizeof(public_key), "%040zu", i);
        if (printf("server-%zu %s %s\n", i, public_key, secret_key) < 0)
            return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

struct bench_key *keys_read(const char *path, size_t first, size_t count)
{
    FILE *file = fopen(path, "r");
    struct bench_key *keys = calloc(count + 1, sizeof(*keys));
    size_t found = 0;

    MUST(keys);
    for (size_t line = 0; file && found < count; line++) {
        struct bench_key *k = &keys[found];

        if (fscanf(file, "%31s %40s %40s", k->name, k->public_key, k->secret_key) != 3)
            break;
        found += line >= first;
    }
    if (file)
        fclose(file);
    if (found == count)
        return keys;
    fprintf(stderr, "%s has no %zu keys from number %zu on\n", path, count, first);
    free(keys);
    return NULL;
}
