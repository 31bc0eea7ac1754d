/* vault_words.c - checks the settings of a Vault, and puts its refusals into sentences. */
#include "coordinator/keyring/vault_words.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto/seal.h"
#include "common/invariant.h"
#include "coordinator/keyring/provider.h"

#define QUOTE_MAX 120

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0');
}

/* A data key comes back in plain text: only TLS keeps it secret on a network. */
static const char *problem_of(CURLU *url)
{
    char *scheme = NULL, *host = NULL;
    const char *why = NULL;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        why = "is not an address like https://vault.example:8200";
    else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
             has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        why = "must be scheme, host and port alone; the token has a file of its own";
    else if (strcmp(scheme, "http") == 0 && !is_loopback(host))
        why = "must begin with https://: data keys come back over it";
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        why = "must begin with https://";
    curl_free(scheme);
    curl_free(host);
    return why;
}

int vault_check_url(const char *url, struct err *e)
{
    CURLU *parts = curl_url();
    const char *why = "is not an address like https://vault.example:8200";

    MUST(parts);
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        why = problem_of(parts);
    curl_url_cleanup(parts);
    return why ? err_set(e, ERR_INVALID, "[secrets] vault_url %s", why) : 0;
}

/* A token is one line of printable ASCII, since it becomes a header. */
static int check_token(const char *path, char *text, size_t size, struct err *e)
{
    size_t n = strcspn(text, "\r\n");

    if (n == 0 || strspn(text + n, "\r\n") != size - n)
        return provider_unavailable(e, "token file %s: it must hold the token in one line", path);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return provider_unavailable(e, "token file %s: it does not hold a token", path);
    text[n] = '\0';
    return 0;
}

int vault_read_token(const char *path, char out[VAULT_TOKEN_SIZE], struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return provider_unavailable(e, "token file %s: %s", path, strerror(errno));
    n = fstat(fd, &st) == 0 ? read(fd, out, VAULT_TOKEN_SIZE - 1) : -1;
    if (n < 0)
        rc = provider_unavailable(e, "token file %s: %s", path, strerror(errno));
    else if (st.st_mode & 007)
        rc = provider_unavailable(e, "token file %s: everybody may read it; chmod 600 it", path);
    else if (n == VAULT_TOKEN_SIZE - 1)
        rc = provider_unavailable(e, "token file %s: it is too long for a token", path);
    else {
        out[n] = '\0';
        rc = check_token(path, out, (size_t)n, e);
    }
    close(fd);
    if (rc != 0)
        seal_wipe(out, VAULT_TOKEN_SIZE);
    return rc;
}

/* What the Vault says, as ": …"; empty when it says nothing that can be shown. */
static void quote(const struct vault_request *request, const char *answer, size_t size,
                  char out[QUOTE_MAX])
{
    json_error_t why;
    json_t *root = json_loadb(answer, size, JSON_REJECT_DUPLICATES, &why);
    const char *text = json_string_value(json_array_get(json_object_get(root, "errors"), 0));
    size_t n = 0;

    if (text && text[0] && strlen(text) < QUOTE_MAX - 3 && !strstr(text, request->token)) {
        memcpy(out, ": ", 2);
        for (n = 2; text[n - 2]; n++)
            out[n] = text[n - 2] >= ' ' && text[n - 2] <= '~' ? text[n - 2] : ' ';
    }
    out[n] = '\0';
    json_decref(root);
}

int vault_refused(const struct vault_request *request, long status, const char *answer,
                  size_t size, struct err *e)
{
    char said[QUOTE_MAX];

    quote(request, answer, size, said);
    if (status == 400 && (strstr(said, "invalid ciphertext") || strstr(said, "authentication")))
        return err_set(e, ERR_CORRUPT,
                       "a data key was changed at rest: the Vault at %.160s did not wrap it "
                       "(HTTP 400%s)",
                       request->url, said);
    if (status == 403)
        return provider_unavailable(e,
                                    "the Vault at %.100s does not let the token of %.100s update "
                                    "%.120s (HTTP 403%s)",
                                    request->url, request->token_file, request->path, said);
    if (status >= 300 && status < 400)
        return provider_unavailable(e,
                                    "the Vault at %.160s answers with a redirect (HTTP %ld): give "
                                    "the address of the active one",
                                    request->url, status);
    return provider_unavailable(e, "the Vault at %.100s refuses %.120s: HTTP %ld%s", request->url,
                                request->path, status, said);
}
