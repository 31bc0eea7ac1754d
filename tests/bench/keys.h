/* keys.h - the identities of a simulated fleet: name, public and secret key, one line each. */
#ifndef TESTS_BENCH_KEYS_H
#define TESTS_BENCH_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct bench_key {
    char name[32];
    char public_key[41], secret_key[41]; /* plain: 40 digits, and "-" */
};

/* Writes count lines `NAME PUBLIC SECRET` to standard output. */
int keys_print(size_t count, bool is_curve);
/* Lines first … first + count - 1 of the file; the caller frees them. NULL: said on stderr. */
struct bench_key *keys_read(const char *path, size_t first, size_t count);

#endif
