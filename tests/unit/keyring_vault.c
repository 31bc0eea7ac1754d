/* keyring_vault.c - a Vault's transit engine as provider: a real HTTP server, its good and bad days. */
#include "coordinator/keyring/keyring.h"

#include <check.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/pulse.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

#define TOKEN "hvs.unit-test-token"
#define SERVER "tests/system/vault.py"

static char folder[TEMP_PATH / 2], token_file[TEMP_PATH], cert[TEMP_PATH], cert_key[TEMP_PATH];
static char url[64], tls_url[64];
static pid_t servers[2];
static struct keyring *k;
static struct err e;

/* Prints its port when it is ready. */
static pid_t start_server(const char *scheme, char url_out[64], bool is_tls)
{
    char port[16] = "";
    int ends[2];
    size_t n = 0;
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        execlp("python3", "python3", "-B", SERVER, "--token", TOKEN, is_tls ? "--cert" : NULL, cert,
               "--key", cert_key, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (!strchr(port, '\n') && n < sizeof(port) - 1) /* closed early, it would end the server */
        ck_assert_msg(read(ends[0], port + n++, 1) == 1, "python3 " SERVER " does not start");
    close(ends[0]);
    port[strcspn(port, "\n")] = '\0';
    snprintf(url_out, 64, "%s://localhost:%s", scheme, port);
    return pid;
}

static int run(const char *const *argv)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);

        dup2(nothing, STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

void test_begin(void)
{
    const char *const make_cert[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                      "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                                      "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                                      "-keyout", cert_key, "-out", cert, NULL };

    temp_make(folder);
    snprintf(token_file, sizeof(token_file), "%s/token", folder);
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(cert_key, sizeof(cert_key), "%s/cert.key", folder);
    servers[0] = start_server("http", url, false);
    ck_assert_msg(run(make_cert) == 0, "openssl makes no certificate");
    servers[1] = start_server("https", tls_url, true);
}

void test_end(void)
{
    for (unsigned i = 0; i < 2; i++) {
        kill(servers[i], SIGKILL);
        waitpid(servers[i], NULL, 0);
    }
    temp_remove(folder);
}

static void setup(void)
{
    unlink(token_file);
    temp_write(token_file, TOKEN "\n", 0600);
}

static void teardown(void)
{
    keyring_close(k);
    k = NULL;
}

struct test_frame test_frame = { .set_up = setup, .tear_down = teardown, .timeout_s = 120 };

/* The name of the key picks the server's mood. */
static struct keyring_settings settings(const char *key, int64_t timeout_ms)
{
    return (struct keyring_settings){ .provider = "vault",
                                      .vault_url = url,
                                      .vault_key = key,
                                      .vault_token_file = token_file,
                                      .vault_timeout_ms = timeout_ms };
}

static void use(const char *key)
{
    struct keyring_settings s = settings(key, 20000);

    keyring_close(k);
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
}

static void check_text(const char *part)
{
    ck_assert_msg(strstr(e.text, part) != NULL, "%s lacks %s", e.text, part);
    ck_assert_ptr_null(strstr(e.text, TOKEN));
    ck_assert_ptr_null(strstr(e.text, "a2tra2tra2"));
}

/* No new data key, for this reason. */
static void check_unavailable(const char *part)
{
    struct envelope_wrapped wrapped;
    struct seal_key key;

    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), -1);
    ck_assert_int_eq(e.kind, ERR_UNAVAILABLE);
    ck_assert_str_eq(e.code, "secrets_unavailable");
    check_text(part);
}

TEST(data_keys_come_back)
{
    struct envelope_wrapped one, two;
    struct seal_key first, second, back;
    char newest[ENVELOPE_KEY_ID_SIZE];

    use("lockstep");
    ck_assert_int_eq(keyring_new_key(k, &first, &one, &e), 0);
    ck_assert_int_eq(keyring_new_key(k, &second, &two, &e), 0);
    ck_assert(memcmp(&first, &second, SEAL_KEY_SIZE) != 0);
    ck_assert_str_eq(one.key_id, "vault:lockstep:v1");
    ck_assert(memcmp(one.bytes, "vault:v1:", 9) == 0);
    ck_assert_int_eq(keyring_unwrap(k, &one, &back, &e), 0);
    ck_assert(memcmp(&first, &back, SEAL_KEY_SIZE) == 0);
    ck_assert_int_eq(keyring_unwrap(k, &two, &back, &e), 0);
    ck_assert(memcmp(&second, &back, SEAL_KEY_SIZE) == 0);
    ck_assert_int_eq(keyring_check(k, newest, &e), 0);
    ck_assert_str_eq(newest, "vault:lockstep:v1");
}

static size_t take_bytes(char *data, size_t one, size_t count, void *into)
{
    (void)one;
    buffer_add(into, data, count);
    return count;
}

/* What the test itself asks the server. */
static void ask(const char *method, const char *path, struct buffer *answer)
{
    struct curl_slist *headers = curl_slist_append(NULL, "X-Vault-Token: " TOKEN);
    CURL *curl = curl_easy_init();
    char address[256];

    ck_assert(curl && headers);
    snprintf(address, sizeof(address), "%s%s", url, path);
    curl_easy_setopt(curl, CURLOPT_URL, address);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    ck_assert_int_eq(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

static void rotate(const char *key)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    char path[128];

    snprintf(path, sizeof(path), "/v1/transit/keys/%s/rotate", key);
    ask("POST", path, &b);
}

TEST(a_secret_survives_the_rotation)
{
    static const struct envelope_place place = { "payments", "prod", "database.password", 3 };
    SCOPED_ENVELOPE struct envelope v = { 0 };
    struct envelope_wrapped wrapped;
    struct seal_key key, back;
    char before[ENVELOPE_DIGEST_SIZE], after[ENVELOPE_DIGEST_SIZE], *value;
    size_t size;

    use("turning");
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), 0);
    envelope_seal(&key, &wrapped, &place, "hunter2", 7, &v);
    envelope_digest(&v, before);
    rotate("turning");
    ck_assert_int_eq(keyring_unwrap(k, &v.wrapped, &back, &e), 0);
    ck_assert_int_eq(keyring_rewrap(k, &v.wrapped, &v.wrapped, &e), 0);
    ck_assert_str_eq(v.wrapped.key_id, "vault:turning:v2");
    envelope_digest(&v, after);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(keyring_unwrap(k, &v.wrapped, &back, &e), 0);
    ck_assert_int_eq(envelope_open(&v, &back, &place, &value, &size, &e), 0);
    ck_assert_str_eq(value, "hunter2");
    seal_free(value, size);
}

TEST(changed_data_keys_are_corrupt)
{
    struct envelope_wrapped wrapped, changed;
    struct seal_key key, back;

    use("lockstep");
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), 0);
    changed = wrapped;
    changed.bytes[12] = changed.bytes[12] == 'A' ? 'B' : 'A';
    ck_assert_int_eq(keyring_unwrap(k, &changed, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    check_text("changed at rest");
    ck_assert_int_eq(keyring_rewrap(k, &changed, &changed, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    changed = wrapped;
    changed.bytes[7] = '2'; /* not what its id says */
    ck_assert_int_eq(keyring_unwrap(k, &changed, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    changed = wrapped;
    changed.bytes[20] = '"';
    ck_assert_int_eq(keyring_unwrap(k, &changed, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    changed = wrapped;
    snprintf(changed.key_id, sizeof(changed.key_id), "file:k1");
    ck_assert_int_eq(keyring_unwrap(k, &changed, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_UNAVAILABLE);
    check_text("written under file:k1");
    use("other");
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &back, &e), -1);
    check_text("written under vault:lockstep:v1");
}

/* Key, what the sentence says. */
static const struct {
    const char *key, *part;
} bad_days[] = {
    { "missing", "refuses transit/datakey/plaintext/missing: HTTP 400: encryption key not found" },
    { "sealed", "HTTP 503: Vault is sealed" },
    { "broken", "HTTP 500: internal error" },
    { "busy", "HTTP 429" },
    { "chatty", "HTTP 500" },
    { "redirect", "redirect (HTTP 307)" },
    { "cut", "gives no answer" },
    { "half", "gives no answer" },
    { "huge", "far too long" },
    { "page", "does not answer as a Vault does" },
    { "nothing", "does not answer as a Vault does" },
    { "empty", "does not answer as a Vault does" },
    { "list", "does not answer as a Vault does" },
    { "no-key", "does not answer as a Vault does" },
    { "number", "does not answer as a Vault does" },
    { "short", "does not answer as a Vault does" },
    { "long", "does not answer as a Vault does" },
    { "outside", "does not answer as a Vault does" },
    { "open-end", "does not answer as a Vault does" },
    { "bare", "does not answer as a Vault does" },
    { "no-version", "does not answer as a Vault does" },
    { "quoted", "does not answer as a Vault does" },
    { "giant", "does not answer as a Vault does" },
    { "unwrapped", "does not answer as a Vault does" },
    { "twice", "does not answer as a Vault does" },
    { "echo", "HTTP 400" },
};

TEST_EACH(bad_days_have_their_sentence, bad_days)
{
    use(bad_days[_i].key);
    check_unavailable(bad_days[_i].part);
}

/* How many requests the server has seen for this key. */
static unsigned requests_for(const char *key)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    const char *at;
    char name[64];

    ask("GET", "/test/counts", &b);
    snprintf(name, sizeof(name), "\"%s\": ", key);
    at = strstr(b.data, name);
    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : 0;
}

TEST(retries_help_and_are_bounded)
{
    struct envelope_wrapped wrapped;
    struct seal_key key;
    unsigned before;

    use("flaky");
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), 0);
    ck_assert_uint_eq(requests_for("flaky"), 3);
    before = requests_for("sealed");
    use("sealed");
    check_unavailable("sealed");
    ck_assert_uint_eq(requests_for("sealed") - before, 3);
    before = requests_for("missing");
    use("missing");
    check_unavailable("not found");
    ck_assert_msg(requests_for("missing") - before == 1, "a refusal is final");
}

/* Silence, and answers that never end: after the time-out the caller has its reason. The upper
 * limit is far from the time-out, since it says only that there is one. */
TEST(slow_answers_end)
{
    static const char *const keys[] = { "slow", "trickle" };

    for (unsigned i = 0; i < 2; i++) {
        struct keyring_settings s = settings(keys[i], 300);
        int64_t began_ms = clock_monotonic_ms();

        keyring_close(k);
        ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
        check_unavailable("too slow ([secrets] vault_timeout)");
        ck_assert_int_lt(clock_monotonic_ms() - began_ms, 20000);
        ck_assert_msg(requests_for(keys[i]) == 1, "the time-out is that of the whole call");
    }
}

/* As long as the Vault may take, the thread that waits for it is not missed. */
TEST(who_waits_is_alive)
{
    struct keyring_settings s = settings("lockstep", 60000);
    struct pulse_late late;

    pulse_begin("waits");
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    pulse_beat();
    s.vault_url = "http://127.0.0.1:9";
    keyring_close(k);
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    check_unavailable("gives no answer");
    ck_assert_msg(!pulse_find_late(clock_monotonic_ms() + s.vault_timeout_ms, &late),
                  "%s is late by %lld ms", late.name, (long long)late.late_ms);
}

TEST(nobody_there)
{
    struct keyring_settings s = settings("lockstep", 20000);

    s.vault_url = "http://127.0.0.1:9";
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    check_unavailable("the Vault at http://127.0.0.1:9 gives no answer");
}

TEST(what_cannot_be_unwrapped_is_noticed)
{
    char newest[ENVELOPE_KEY_ID_SIZE];

    use("liar");
    ck_assert_int_eq(keyring_check(k, newest, &e), -1);
    check_text("to another one");
    use("old");
    ck_assert_int_eq(keyring_check(k, newest, &e), -1);
    check_text("update transit/decrypt/old (HTTP 403: permission denied)");
}

static void check_token_file(const char *text, mode_t mode, const char *part)
{
    unlink(token_file);
    temp_write(token_file, text, mode);
    use("lockstep");
    check_unavailable(part);
    check_text(token_file);
    ck_assert_ptr_null(strstr(e.text, "hvs."));
}

TEST(tokens)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    struct envelope_wrapped wrapped;
    struct seal_key key;

    check_token_file("hvs.wrong\n", 0600, "HTTP 403: permission denied");
    check_token_file("", 0600, "one line");
    check_token_file("\n", 0600, "one line");
    check_token_file("hvs.a\nhvs.b\n", 0600, "one line");
    check_token_file("hvs.a b\n", 0600, "does not hold a token");
    check_token_file("hvs.\xC3\xA9\n", 0600, "does not hold a token");
    check_token_file("hvs.a\r\nX-Evil: 1\r\n", 0600, "one line");
    check_token_file(TOKEN "\n", 0604, "everybody may read it");
    while (b.size < 5000)
        buffer_add_text(&b, "hvs.");
    check_token_file(b.data, 0600, "too long");
    unlink(token_file);
    check_unavailable("No such file");
    temp_write(token_file, TOKEN "\r\n\n", 0640);
    ck_assert_msg(keyring_new_key(k, &key, &wrapped, &e) == 0, "a renewed token needs no restart");
}

TEST(tls_is_verified)
{
    struct keyring_settings s = settings("lockstep", 20000);
    struct envelope_wrapped wrapped;
    struct seal_key key;
    char other[64];

    s.vault_url = tls_url;
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    check_unavailable("gives no answer: SSL certificate problem");
    keyring_close(k);
    s.vault_ca_file = cert;
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), 0);
    keyring_close(k);
    snprintf(other, sizeof(other), "https://127.0.0.1:%s", strrchr(tls_url, ':') + 1);
    s.vault_url = other;
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    check_unavailable("matches target host name");
    keyring_close(k);
    s.vault_url = tls_url;
    s.vault_ca_file = token_file;
    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
    check_unavailable("vault_ca_file");
}

static void check_settings(const struct keyring_settings *s, const char *part)
{
    struct keyring *none;

    ck_assert_int_eq(keyring_open(s, &none, &e), -1);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    check_text(part);
}

TEST(wrong_settings_are_named)
{
    static const char *const urls[] = { "", "vault", "ftp://127.0.0.1", "http://vault.example:8200",
                                        "http://127.0.0.1.evil.example", "https://",
                                        "https://u:hvs.unit-test-token@vault.example",
                                        "https://vault.example/?a=b", "https://vault.example/#a" };
    static const char *const keys[] = { "", "a/b", "../sys", "a b", "..", "a?b" };
    struct keyring_settings s = settings("lockstep", 1000);

    for (unsigned i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        s.vault_url = urls[i];
        check_settings(&s, "[secrets] vault_url");
    }
    s.vault_url = NULL;
    check_settings(&s, "vault_url is missing");
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        s = settings(keys[i], 1000);
        check_settings(&s, "[secrets] vault_key");
    }
    s.vault_key = NULL;
    check_settings(&s, "vault_key is missing");
    s = settings("lockstep", 1000);
    s.vault_token_file = NULL;
    check_settings(&s, "vault_token_file is missing");
    s = settings("lockstep", 0);
    check_settings(&s, "vault_timeout");
}

static void *use_keys(void *failed)
{
    struct envelope_wrapped wrapped;
    struct seal_key key, back;
    struct err mine;

    for (unsigned i = 0; i < 20; i++)
        if (keyring_new_key(k, &key, &wrapped, &mine) != 0 ||
            keyring_rewrap(k, &wrapped, &wrapped, &mine) != 0 ||
            keyring_unwrap(k, &wrapped, &back, &mine) != 0 ||
            memcmp(&key, &back, SEAL_KEY_SIZE) != 0)
            *(bool *)failed = true;
    return NULL;
}

TEST(rotation_under_load)
{
    bool failed[20] = { false };
    pthread_t threads[20];

    use("loaded");
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_keys, &failed[i]), 0);
    for (unsigned i = 0; i < 5; i++)
        rotate("loaded");
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!failed[i]);
    }
}
