/* pg_rows.c - what a result holds: numbers, texts, hashes, bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/pg_internal.h"

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    PQclear(rows->result);
    free(rows);
}

size_t rows_count(const struct rows *rows)
{
    return (size_t)PQntuples(rows->result);
}

size_t rows_affected(const struct rows *rows)
{
    return strtoul(PQcmdTuples(rows->result), NULL, 10);
}

bool rows_is_null(const struct rows *rows, size_t row, int column)
{
    MUST(row < rows_count(rows) && column < PQnfields(rows->result));
    return PQgetisnull(rows->result, (int)row, column);
}

const char *rows_text(const struct rows *rows, size_t row, int column)
{
    MUST(row < rows_count(rows) && column < PQnfields(rows->result));
    return PQgetvalue(rows->result, (int)row, column);
}

size_t rows_size(const struct rows *rows, size_t row, int column)
{
    return (size_t)PQgetlength(rows->result, (int)row, column);
}

int64_t rows_int(const struct rows *rows, size_t row, int column)
{
    const char *text = rows_text(rows, row, column);
    char *end;
    long long n;

    if (!*text)
        return 0;
    n = strtoll(text, &end, 10);
    MUST(*end == 0); /* the statement selects a number, or it is wrong */
    return n;
}

bool rows_bool(const struct rows *rows, size_t row, int column)
{
    return rows_text(rows, row, column)[0] == 't';
}

struct hash rows_hash(const struct rows *rows, size_t row, int column)
{
    const char *text = rows_text(rows, row, column);
    struct hash hash = { 0 };

    if (strncmp(text, "\\x", 2) == 0)
        text += 2;
    if (*text && hash_from_hex(text, &hash) != 0)
        memset(&hash, 0xff, sizeof(hash));
    return hash;
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

char *rows_bytes(const struct rows *rows, size_t row, int column, size_t *size_out)
{
    const char *text = rows_text(rows, row, column);
    size_t size = rows_size(rows, row, column);
    char *out;

    MUST(size == 0 || (size >= 2 && size % 2 == 0 && strncmp(text, "\\x", 2) == 0));
    *size_out = size ? size / 2 - 1 : 0;
    out = malloc(*size_out + 1);
    MUST(out);
    for (size_t i = 0; i < *size_out; i++)
        out[i] = (char)(hex_digit(text[2 + 2 * i]) << 4 | hex_digit(text[3 + 2 * i]));
    out[*size_out] = 0;
    return out;
}
