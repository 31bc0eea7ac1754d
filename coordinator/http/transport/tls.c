/* tls.c - GnuTLS: loads certificates, hands them to handshakes, verifies those of clients. */
#include "coordinator/http/transport/tls.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/scoped.h"

#define CHAIN_MAX 16
#define FILE_MAX (1u << 20)
#define WARN_DAYS 14
#define DAY_S 86400.0
/* A handshake that began with certificates that were replaced since has ended by then: the deadline
 * of a connection that has sent no request is a fifth of it. */
#define RETIRED_MS 300000

/* What one reading of the files gave. Never changes. */
struct material {
    struct material *older;
    int64_t retired_ms;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned chain_count;
    gnutls_privkey_t key;
    gnutls_x509_trust_list_t authorities; /* of clients; NULL: none */
    time_t expires;
};

struct tls {
    struct tls_files files;
    struct buffer client_ca_pem; /* of the first load: it makes the library ask clients */
    pthread_mutex_t lock;        /* of loading */
    struct material *_Atomic newest;
    _Atomic uint64_t load; /* counts */
};

/* GnuTLS's callback has no argument for the caller. */
static struct tls *_Atomic only;

/* ---------------------------------------------------------------- reading */

static int no_good(const char *path, int rc, struct err *e)
{
    return err_set(e, ERR_INVALID, "%.200s: %s", path, gnutls_strerror(rc));
}

static int read_pem(const char *path, struct buffer *out, struct err *e)
{
    return buffer_read_file(out, path, FILE_MAX, e) < 0 ? -1 : 0;
}

static gnutls_datum_t datum(const struct buffer *b)
{
    return (gnutls_datum_t){ .data = (unsigned char *)b->data, .size = (unsigned)b->size };
}

static int load_chain(struct material *m, const char *path, struct err *e)
{
    SCOPED_BUFFER struct buffer pem = { 0 };
    gnutls_x509_crt_t list[CHAIN_MAX];
    gnutls_datum_t data;
    unsigned count = CHAIN_MAX;
    int rc;

    if (read_pem(path, &pem, e) < 0)
        return -1;
    data = datum(&pem);
    rc = gnutls_x509_crt_list_import(list, &count, &data, GNUTLS_X509_FMT_PEM,
                                     GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (rc < 0)
        return no_good(path, rc, e);
    m->expires = gnutls_x509_crt_get_expiration_time(list[0]);
    for (unsigned i = 0; i < count; i++) {
        time_t expires = gnutls_x509_crt_get_expiration_time(list[i]);

        if (expires < m->expires)
            m->expires = expires;
        if (rc >= 0)
            rc = gnutls_pcert_import_x509(&m->chain[i], list[i], 0);
        if (rc >= 0)
            m->chain_count++;
        gnutls_x509_crt_deinit(list[i]);
    }
    return rc < 0 ? no_good(path, rc, e) : 0;
}

static int load_key(struct material *m, const char *path, struct err *e)
{
    struct buffer pem = { 0 };
    gnutls_datum_t data;
    struct stat st;
    int rc;

    if (stat(path, &st) == 0 && st.st_mode & 07)
        return err_set(e, ERR_INVALID, "%.200s is a private key that everybody may read: "
                       "chmod 640 or less", path);
    if (read_pem(path, &pem, e) < 0)
        return -1;
    data = datum(&pem);
    rc = gnutls_privkey_init(&m->key);
    MUST(rc >= 0);
    rc = gnutls_privkey_import_x509_raw(m->key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
    explicit_bzero(pem.data, pem.size);
    buffer_fini(&pem);
    return rc < 0 ? no_good(path, rc, e) : 0;
}

/* The two belong together: what the one signs, the other verifies. */
static int check_pair(const struct tls *t, struct material *m, struct err *e)
{
    static unsigned char text[] = "lockstep";
    const gnutls_datum_t said = { text, sizeof(text) };
    gnutls_datum_t signature = { NULL, 0 };
    int kind = gnutls_privkey_get_pk_algorithm(m->key, NULL), rc;
    gnutls_digest_algorithm_t hash = GNUTLS_DIG_SHA256;
    gnutls_sign_algorithm_t algorithm;

    if (gnutls_pubkey_get_preferred_hash_algorithm(m->chain[0].pubkey, &hash, NULL) < 0)
        hash = GNUTLS_DIG_SHA256;
    algorithm = gnutls_pk_to_sign((gnutls_pk_algorithm_t)kind, hash);
    rc = gnutls_privkey_sign_data2(m->key, algorithm, 0, &said, &signature);
    if (rc >= 0)
        rc = gnutls_pubkey_verify_data2(m->chain[0].pubkey, algorithm, 0, &said, &signature);
    gnutls_free(signature.data);
    if (rc < 0)
        return err_set(e, ERR_INVALID, "%.150s is not the key of the certificate in %.150s",
                       t->files.key, t->files.cert);
    return 0;
}

static int load_authorities(struct tls *t, struct material *m, struct err *e)
{
    struct buffer pem = { 0 };
    gnutls_datum_t data;
    int count;

    if (!t->files.client_ca)
        return 0;
    if (read_pem(t->files.client_ca, &pem, e) < 0)
        return -1;
    MUST(gnutls_x509_trust_list_init(&m->authorities, 0) >= 0);
    data = datum(&pem);
    count = gnutls_x509_trust_list_add_trust_mem(m->authorities, &data, NULL, GNUTLS_X509_FMT_PEM,
                                                 0, 0);
    if (t->client_ca_pem.size == 0)
        t->client_ca_pem = pem;
    else
        buffer_fini(&pem);
    if (count <= 0)
        return err_set(e, ERR_INVALID, "%.200s: there is no certificate of an authority in it",
                       t->files.client_ca);
    return 0;
}

/* Signed by one of the authorities, and not outdated: a list that stopped growing hides what was
 * revoked since. One that gets old while it is in use stays: it is better than none. */
static int load_revoked(struct tls *t, struct material *m, struct err *e)
{
    SCOPED_BUFFER struct buffer pem = { 0 };
    gnutls_datum_t data;

    if (!t->files.client_crl)
        return 0;
    if (read_pem(t->files.client_crl, &pem, e) < 0)
        return -1;
    data = datum(&pem);
    if (gnutls_x509_trust_list_add_trust_mem(m->authorities, NULL, &data, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_TL_VERIFY_CRL | GNUTLS_TL_FAIL_ON_INVALID_CRL,
                                             0) <= 0)
        return err_set(e, ERR_INVALID,
                       "%.200s: there is no revocation list in it that tls_client_ca has signed "
                       "and that is not outdated", t->files.client_crl);
    return 0;
}

/* ---------------------------------------------------------------- loading */

static void material_free(struct material *m)
{
    for (unsigned i = 0; i < m->chain_count; i++)
        gnutls_pcert_deinit(&m->chain[i]);
    if (m->key)
        gnutls_privkey_deinit(m->key);
    if (m->authorities)
        gnutls_x509_trust_list_deinit(m->authorities, 1);
    free(m);
}

/* What handshakes may still use is kept for a while. */
static void free_retired(struct material *m)
{
    int64_t now_ms = clock_monotonic_ms();

    while (m->older && (!m->older->retired_ms || now_ms - m->older->retired_ms < RETIRED_MS)) {
        if (!m->older->retired_ms)
            m->older->retired_ms = now_ms;
        m = m->older;
    }
    for (struct material *old = MOVE(m->older), *older; old; old = older) {
        older = old->older;
        material_free(old);
    }
}

static double days_left(const struct material *m)
{
    return difftime(m->expires, time(NULL)) / DAY_S;
}

static void take_over(struct tls *t, struct material *m)
{
    m->older = t->newest;
    t->newest = m;
    t->load++;
    free_retired(m);
    if (days_left(m) < WARN_DAYS)
        log_warn(days_left(m) < 0 ? "the TLS certificate has expired"
                                  : "the TLS certificate expires soon",
                 "file", t->files.cert, "remedy", "renew it and send SIGHUP");
}

int tls_load(struct tls *t, struct err *e)
{
    struct material *m = memory_new(sizeof(*m));
    int rc;

    pthread_mutex_lock(&t->lock);
    rc = load_chain(m, t->files.cert, e) < 0 || load_key(m, t->files.key, e) < 0 ||
                 check_pair(t, m, e) < 0 || load_authorities(t, m, e) < 0 ||
                 load_revoked(t, m, e) < 0
             ? -1
             : 0;
    if (rc == 0)
        take_over(t, m);
    else
        material_free(m);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

int tls_new(const struct tls_files *files, struct tls **out, struct err *e)
{
    struct tls *t = calloc(1, sizeof(*t));

    MUST(t && pthread_mutex_init(&t->lock, NULL) == 0);
    t->files = *files;
    if (tls_load(t, e) < 0) {
        tls_free(t);
        return -1;
    }
    only = t;
    *out = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    only = NULL;
    for (struct material *m = t->newest, *older; m; m = older) {
        older = m->older;
        material_free(m);
    }
    buffer_fini(&t->client_ca_pem);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---------------------------------------------------------------- handshakes */

static int give_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                            const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                            gnutls_pcert_st **chain, unsigned int *chain_count,
                            gnutls_privkey_t *key)
{
    struct tls *t = only;
    struct material *m = t->newest;

    /* The library would send the names of the authorities of its start, and clients that choose
     * their certificate by these names would have none for a new authority. */
    gnutls_certificate_send_x509_rdn_sequence(session, 1);
    (void)authorities;
    (void)count;
    (void)algorithms;
    (void)algorithm_count;
    *chain = m->chain;
    *chain_count = m->chain_count;
    *key = m->key;
    return 0;
}

void tls_options(struct tls *t, struct MHD_OptionItem *out)
{
    static const char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

    *out++ = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                      (void *)(uintptr_t)give_certificate };
    *out++ = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
                                      (void *)(uintptr_t)priorities };
    if (t->files.client_ca)
        *out++ = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_TRUST, 0, t->client_ca_pem.data };
    *out = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
}

/* ---------------------------------------------------------------- clients */

bool tls_is_current(const struct tls *t, uint64_t load)
{
    return !t->files.client_ca || load == t->load;
}

static bool is_issued_by(gnutls_x509_trust_list_t authorities, const gnutls_datum_t *certificates,
                         unsigned count)
{
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *)(uintptr_t)
                                          GNUTLS_KP_TLS_WWW_CLIENT };
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned imported = 0, verdict = 1;
    int rc = 0;

    for (; imported < count && rc >= 0; imported++) {
        MUST(gnutls_x509_crt_init(&chain[imported]) >= 0);
        rc = gnutls_x509_crt_import(chain[imported], &certificates[imported],
                                    GNUTLS_X509_FMT_DER);
    }
    if (rc >= 0)
        rc = gnutls_x509_trust_list_verify_crt2(authorities, chain, count, &purpose, 1, 0,
                                                &verdict, NULL);
    for (unsigned i = 0; i < imported; i++)
        gnutls_x509_crt_deinit(chain[i]);
    return rc >= 0 && verdict == 0;
}

bool tls_verify_client(struct tls *t, void *session, uint64_t *load_out)
{
    uint64_t load = t->load; /* before: an older verdict is asked for again */
    struct material *m = t->newest;
    unsigned count = 0;
    const gnutls_datum_t *certificates = gnutls_certificate_get_peers(session, &count);

    *load_out = 0;
    if (!certificates || count == 0 || count > CHAIN_MAX)
        return false;
    if (!is_issued_by(m->authorities, certificates, count))
        return false;
    *load_out = load;
    return true;
}

double tls_days_left(struct tls *t)
{
    return days_left(t->newest);
}
