/* cli_chain.c - the chain of the audit trail as a client follows it. */
#include "coordinator/cli/chain.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "tests/test.h"

#define ROWS 4

static char rows[ROWS][480]; /* canonical forms, oldest first */
static char hashes[ROWS + 1][HASH_HEX_SIZE];
static struct err err;

static void hash_of(const char *text, char out[HASH_HEX_SIZE])
{
    struct hash hash;

    digest_sha256(text, strlen(text), &hash);
    hash_to_hex(&hash, out);
}

static void set_up(void)
{
    hash_of("lockstep audit 1", hashes[0]);
    for (int i = 0; i < ROWS; i++) {
        snprintf(rows[i], sizeof(rows[i]),
                 "[%d, \"at\", \"ada\", \"\", \"\", null, null, null, {\"n\": 1.50}, \"\", \"%s\"]",
                 i + 1, hashes[i]);
        hash_of(rows[i], hashes[i + 1]);
    }
}

struct test_frame test_frame = { .set_up = set_up };

/* Rows newest first, "" leaves one out; 0 when all is sound. */
static int follow(const char *anchor)
{
    struct chain c;

    if (chain_begin(&c, ROWS, hashes[ROWS], anchor, &err) < 0)
        return -1;
    for (int i = ROWS; i-- > 0;)
        if (*rows[i] && chain_add(&c, rows[i], &err) < 0)
            return -1;
    return chain_end(&c, &err);
}

TEST(a_sound_chain)
{
    char anchor[100];

    ck_assert_int_eq(follow(NULL), 0);
    for (int i = 1; i <= ROWS; i++) {
        snprintf(anchor, sizeof(anchor), "%d:%s", i, hashes[i]);
        ck_assert_int_eq(follow(anchor), 0);
    }
}

TEST(an_empty_chain)
{
    struct chain c;

    ck_assert_int_eq(chain_begin(&c, 0, hashes[0], NULL, &err), 0);
    ck_assert_int_eq(chain_end(&c, &err), 0);
    ck_assert_int_eq(chain_begin(&c, 0, hashes[1], NULL, &err), 0);
    ck_assert_int_eq(chain_end(&c, &err), -1);
}

static void must_find(const char *number)
{
    ck_assert_int_eq(follow(NULL), -1);
    ck_assert_int_eq(err.kind, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, number), "%s", err.text);
}

TEST(a_changed_row, .to = ROWS)
{
    rows[_i][10]++;
    must_find((char[]){ (char)('1' + _i), '\0' });
}

TEST(a_removed_row, .to = ROWS)
{
    rows[_i][0] = '\0';
    must_find((char[]){ (char)('1' + _i), '\0' });
}

TEST(exchanged_rows)
{
    char kept[480];

    memcpy(kept, rows[1], sizeof(kept));
    memcpy(rows[1], rows[2], sizeof(kept));
    memcpy(rows[2], kept, sizeof(kept));
    must_find("3");
}

TEST(a_chain_written_anew)
{
    char anchor[100];

    snprintf(anchor, sizeof(anchor), "2:%s", hashes[3]);
    ck_assert_int_eq(follow(anchor), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "row 2"));
    snprintf(anchor, sizeof(anchor), "9:%s", hashes[3]);
    ck_assert_int_eq(follow(anchor), -1);
    ck_assert_int_eq(err.kind, ERR_CORRUPT);
}

/* Row 4 says that the trail was cut after row `number`; what was cut is left out. */
static void cut_after(int number, const char *hash)
{
    snprintf(rows[3], sizeof(rows[3]),
             "[4, \"at\", \"lockstepd\", \"\", \"audit.cut\", null, null, null, "
             "{\"hash\": \"%s\", \"rows\": 2, \"number\": %d}, \"\", \"%s\"]",
             hash, number, hashes[3]);
    hash_of(rows[3], hashes[4]);
    rows[0][0] = rows[1][0] = '\0';
}

TEST(a_recorded_cut)
{
    char anchor[100];

    cut_after(2, hashes[2]);
    ck_assert_msg(follow(NULL) == 0, "%s", err.text);
    snprintf(anchor, sizeof(anchor), "3:%s", hashes[3]);
    ck_assert_int_eq(follow(anchor), 0);
    snprintf(anchor, sizeof(anchor), "2:%s", hashes[2]);
    ck_assert_int_eq(follow(anchor), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "newer anchor"));
    cut_after(2, hashes[1]);
    must_find("cut");
    cut_after(1, hashes[1]);
    must_find("2");
}

TEST(what_is_no_anchor)
{
    static const char *const bad[] = { "", "4", "4:", "4:abc", ":abc", "x:y", "0:00", "4 :00" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(follow(bad[i]) == -1, "%s", bad[i]);
        ck_assert_int_eq(err.kind, ERR_MALFORMED);
    }
}

TEST(what_is_no_row)
{
    static const char *const bad[] = { "x", "[]", "{}", "[4]", "[\"4\",1,1,1,1,1,1,1,1,1,\"00\"]",
                                       "[4,1,1,1,1,1,1,1,1,1,7]" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(rows[3], sizeof(rows[3]), "%s", bad[i]);
        must_find("4");
    }
}
