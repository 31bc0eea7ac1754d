/* seal.c - AES-256-GCM through OpenSSL, one context per thread. */
#include "common/crypto/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/invariant.h"

/* A new context and its algorithm cost more than sealing a short value: every thread keeps its
 * own. */
static pthread_key_t context_key;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

enum direction { OPEN = 0, CLOSE = 1 };

static void free_context(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void make_key(void)
{
    MUST(pthread_key_create(&context_key, free_context) == 0);
}

static EVP_CIPHER_CTX *context(void)
{
    EVP_CIPHER_CTX *c;

    MUST(pthread_once(&context_once, make_key) == 0);
    c = pthread_getspecific(context_key);
    if (!c) {
        c = EVP_CIPHER_CTX_new();
        MUST(c && pthread_setspecific(context_key, c) == 0);
        MUST(EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, NULL, NULL, CLOSE) == 1);
    }
    return c;
}

static EVP_CIPHER_CTX *begin(enum direction direction, const struct seal_key *key,
                             const uint8_t *iv, const void *aad, size_t aad_size)
{
    EVP_CIPHER_CTX *c = context();
    int written;

    MUST(EVP_CipherInit_ex(c, NULL, NULL, key->bytes, iv, (int)direction) == 1);
    MUST(aad_size <= SEAL_SIZE_MAX);
    if (aad_size > 0)
        MUST(EVP_CipherUpdate(c, NULL, &written, aad, (int)aad_size) == 1);
    return c;
}

static void run(EVP_CIPHER_CTX *c, const void *from, size_t size, uint8_t *to)
{
    int written = 0;

    MUST(size <= SEAL_SIZE_MAX);
    if (size > 0) /* without bytes there may be no address either */
        MUST(EVP_CipherUpdate(c, to, &written, from, (int)size) == 1 && (size_t)written == size);
}

/* The context stays, the key must not: setting another one overwrites its schedule. */
static void forget(EVP_CIPHER_CTX *c)
{
    static const uint8_t nothing[SEAL_KEY_SIZE];

    MUST(EVP_CipherInit_ex(c, NULL, NULL, nothing, nothing, CLOSE) == 1);
}

void seal_close(const struct seal_key *key, const void *aad, size_t aad_size, const void *plain,
                size_t size, struct seal *out, uint8_t *ciphertext)
{
    EVP_CIPHER_CTX *c;
    uint8_t none[SEAL_TAG_SIZE];
    int written;

    MUST(RAND_bytes(out->iv, SEAL_IV_SIZE) == 1);
    c = begin(CLOSE, key, out->iv, aad, aad_size);
    run(c, plain, size, ciphertext);
    MUST(EVP_CipherFinal_ex(c, none, &written) == 1 && written == 0);
    MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, out->tag) == 1);
    forget(c);
}

int seal_open(const struct seal_key *key, const void *aad, size_t aad_size,
              const struct seal *seal, const uint8_t *ciphertext, size_t size, void *plain)
{
    EVP_CIPHER_CTX *c = begin(OPEN, key, seal->iv, aad, aad_size);
    uint8_t none[SEAL_TAG_SIZE], tag[SEAL_TAG_SIZE];
    int written, rc = 0;

    for (unsigned i = 0; i < SEAL_TAG_SIZE; i++)
        tag[i] = seal->tag[i];
    run(c, ciphertext, size, plain);
    MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, tag) == 1);
    if (EVP_CipherFinal_ex(c, none, &written) != 1) {
        seal_wipe(plain, size);
        rc = -1;
    }
    forget(c);
    return rc;
}

void seal_key_draw(struct seal_key *out)
{
    MUST(RAND_priv_bytes(out->bytes, SEAL_KEY_SIZE) == 1);
}

void seal_wipe(void *data, size_t size)
{
    if (size > 0)
        OPENSSL_cleanse(data, size);
}

void seal_free(void *data, size_t size)
{
    if (data)
        seal_wipe(data, size);
    free(data);
}
