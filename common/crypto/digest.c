/* digest.c - SHA-256 through OpenSSL, and hashes as text. */
#include "common/crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

#include "common/invariant.h"

/* A context costs more than the digest of a small document, so every thread keeps its own. */
static pthread_key_t context_key;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

static void free_context(void *context)
{
    EVP_MD_CTX_free(context);
}

static void make_key(void)
{
    MUST(pthread_key_create(&context_key, free_context) == 0);
}

static EVP_MD_CTX *begin(void)
{
    EVP_MD_CTX *context;

    MUST(pthread_once(&context_once, make_key) == 0);
    context = pthread_getspecific(context_key);
    if (!context) {
        context = EVP_MD_CTX_new();
        MUST(context && pthread_setspecific(context_key, context) == 0);
        MUST(EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
    } else {
        /* No algorithm named: the one of the context again, without looking it up. */
        MUST(EVP_DigestInit_ex(context, NULL, NULL) == 1);
    }
    return context;
}

static void add(EVP_MD_CTX *context, const void *data, size_t size)
{
    MUST(EVP_DigestUpdate(context, data, size) == 1);
}

static void end(EVP_MD_CTX *context, struct hash *out)
{
    unsigned size = 0;

    MUST(EVP_DigestFinal_ex(context, out->bytes, &size) == 1 && size == HASH_SIZE);
}

void digest_sha256(const void *data, size_t size, struct hash *out)
{
    EVP_MD_CTX *context = begin();

    add(context, data, size);
    end(context, out);
}

void digest_sha256_parts(const struct digest_part *parts, unsigned count, struct hash *out)
{
    EVP_MD_CTX *context = begin();

    for (unsigned i = 0; i < count; i++)
        add(context, parts[i].data, parts[i].size);
    end(context, out);
}

void digest_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                        struct hash *out)
{
    unsigned out_size = 0;

    MUST(HMAC(EVP_sha256(), key, (int)key_size, data, size, out->bytes, &out_size) &&
         out_size == HASH_SIZE);
}

uint64_t digest_rank(const char *salt, const char *name)
{
    EVP_MD_CTX *context = begin();
    struct hash hash;
    uint64_t rank = 0;

    add(context, salt, strlen(salt));
    add(context, name, strlen(name));
    end(context, &hash);
    for (unsigned i = 0; i < 8; i++)
        rank = rank << 8 | hash.bytes[i];
    return rank;
}

void hash_to_hex(const struct hash *hash, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < HASH_SIZE; i++) {
        out[2 * i] = digits[hash->bytes[i] >> 4];
        out[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    out[HASH_HEX_SIZE - 1] = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hash_from_hex(const char *text, struct hash *out)
{
    struct hash hash;

    if (strlen(text) != HASH_HEX_SIZE - 1)
        return -1;
    for (unsigned i = 0; i < HASH_SIZE; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -1;
        hash.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = hash;
    return 0;
}
