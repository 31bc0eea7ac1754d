/* tls.h - certificates for HTTPS: loaded from PEM files, loaded again, and those of clients judged.
 *
 * The library asks for the certificate at every handshake, so new ones are used from the next
 * handshake on, and connections that are open go on as they are. TLS 1.2 and up. libmicrohttpd
 * asks clients for a certificate and believes whatever comes: tls_verify_client is what counts.
 */
#ifndef COORDINATOR_HTTP_TRANSPORT_TLS_H
#define COORDINATOR_HTTP_TRANSPORT_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "coordinator/http/request/deps.h"

#define TLS_OPTIONS_MAX 4

struct MHD_OptionItem;
struct tls;

/* One per process. */
int tls_new(const struct tls_files *files, struct tls **out, struct err *e)
    __attribute__((warn_unused_result));
void tls_free(struct tls *t); /* after the last connection; NULL is fine */
/* Read the files. On -1 what was loaded before stays. */
int tls_load(struct tls *t, struct err *e) __attribute__((warn_unused_result));
/* out: TLS_OPTIONS_MAX of them. */
void tls_options(struct tls *t, struct MHD_OptionItem *out);

/* Is a client that was found good by this load (0: by none) still good? */
bool tls_is_current(const struct tls *t, uint64_t load);
/* session: GnuTLS's. The client's certificate leads to the CA, is valid now and not revoked. */
bool tls_verify_client(struct tls *t, void *session, uint64_t *load_out);

/* Of the chain that is in use, until its first certificate expires; negative: one has. */
double tls_days_left(struct tls *t);

#endif
