/* context.c - looks for the coordinator's address and the token in all the places they may be. */
#include "coordinator/cli/context.h"

#include <errno.h>
#include <ini.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/duration.h"

#define TOKEN_FILE_MAX 4096
#define DEV_CONTEXT ".lockstep/context"
#define PATH_SIZE 1100
#define CONTEXT_NAME_SIZE 200

static int take_address(struct context *c, const char *text, size_t size, struct err *e)
{
    char *out = c->addresses[c->address_count];

    while (size > 0 && text[size - 1] == '/')
        size--;
    if (c->address_count == CONTEXT_ADDRESSES_MAX ||
        size + sizeof("http://") > CONTEXT_ADDRESS_SIZE)
        return err_set(e, ERR_MALFORMED,
                       "at most %d addresses of coordinators may be given, of %d bytes each",
                       CONTEXT_ADDRESSES_MAX, CONTEXT_ADDRESS_SIZE - 8);
    snprintf(out, CONTEXT_ADDRESS_SIZE, "%.*s", (int)size, text);
    if (!strstr(out, "://"))
        snprintf(out, CONTEXT_ADDRESS_SIZE, "http://%.*s", (int)size, text);
    c->address_count++;
    return 0;
}

/* One address, or several with commas or blanks between them. */
static int take_addresses(struct context *c, const char *list, struct err *e)
{
    static const char between[] = ", \t";

    c->address_count = 0;
    for (list += strspn(list, between); *list; list += strspn(list, between)) {
        size_t size = strcspn(list, between);

        if (take_address(c, list, size, e) != 0)
            return -1;
        list += size;
    }
    if (c->address_count == 0)
        return err_set(e, ERR_MALFORMED, "the address of the coordinator is empty: write "
                                         "http://HOST:7780, or leave it out");
    return 0;
}

/* Copied on Windows or by $(cat …), a token has a byte-order mark before it, a carriage return or
 * blanks around it: none of them is part of it. Blanks inside mean that it is no token. */
static int take_token(const char *text, const char *from, char *out, size_t size, struct err *e)
{
    static const char blanks[] = " \t\r\n";
    size_t n;

    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    text += strspn(text, blanks);
    n = strcspn(text, blanks);
    if (n == 0)
        return err_set(e, ERR_UNAUTHORIZED,
                       "%s holds no token: write into it what `lockstep token create` or "
                       "`lockstepd bootstrap-token` printed, one word, lst_…",
                       from);
    if (n >= size || text[n + strspn(text + n, blanks)])
        return err_set(e, ERR_UNAUTHORIZED,
                       "%s holds more than one token: a token is one word, lst_…",
                       from);
    memcpy(out, text, n);
    out[n] = 0;
    return 0;
}

/* For the sentence that it is not valid: of several tokens only the right one is to be replaced.
 * Its beginning is what the coordinator lists it by; the rest is secret. */
static void note_token(struct context *c, const char *from)
{
    snprintf(c->token_source, sizeof(c->token_source), "%.560s: %.12s…, %zu characters", from,
             c->token, strlen(c->token));
}

static int take_token_file(struct context *c, const char *path, struct err *e)
{
    char from[600];

    if (context_read_token(path, c->token, sizeof(c->token), e) != 0)
        return -1;
    snprintf(from, sizeof(from), "token file %.580s", path);
    note_token(c, from);
    return 0;
}

int context_read_token(const char *path, char *out, size_t size, struct err *e)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    struct stat st;
    char from[600];

    if (buffer_read_file(&b, path, TOKEN_FILE_MAX, e) != 0) {
        e->kind = ERR_UNAUTHORIZED; /* as an empty one: no coordinator was asked for anything */
        return err_wrap(e, "token file (--token-file or the context's token_file)");
    }
    buffer_add_text(&b, "");
    snprintf(from, sizeof(from), "token file %s", path);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & S_IROTH)
        fprintf(stderr, "lockstep: warning: %s may be read by everybody here: chmod 600 it\n",
                from);
    return take_token(b.data, from, out, size, e);
}

void context_path(char *out, size_t size)
{
    const char *given = getenv("LOCKSTEP_CONFIG"), *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (given)
        snprintf(out, size, "%s", given);
    else if (base && *base)
        snprintf(out, size, "%s/lockstep/contexts.ini", base);
    else
        snprintf(out, size, "%s/.config/lockstep/contexts.ini", home ? home : "");
}

/* The name that `lockstep context use` left beside contexts.ini; "" when it left none. */
static void chosen_path(char *out, size_t size)
{
    size_t folder;

    context_path(out, size);
    folder = strrchr(out, '/') ? (size_t)(strrchr(out, '/') + 1 - out) : 0;
    snprintf(out + folder, size - folder, "current-context");
}

static void read_chosen(char out[CONTEXT_NAME_SIZE])
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char path[PATH_SIZE];
    struct err ignored; /* nothing was chosen */

    chosen_path(path, sizeof(path));
    out[0] = 0;
    if (buffer_read_file(&text, path, CONTEXT_NAME_SIZE - 1, &ignored) != 0)
        return;
    buffer_add_text(&text, "");
    snprintf(out, CONTEXT_NAME_SIZE, "%.*s", (int)strcspn(text.data, "\r\n"), text.data);
}

/* One section of an INI file. */
struct section {
    const char *name;
    char address[2048], token_file[512], ca_file[512], client_cert[512];
    bool is_found, is_early; /* early: a key stands before the first section */
};

static int read_pair(void *into, const char *section, const char *key, const char *value)
{
    struct section *s = into;

    s->is_early = !*section;
    if (strcmp(section, s->name) != 0)
        return !s->is_early;
    s->is_found = true;
    if (strcmp(key, "addr") == 0)
        snprintf(s->address, sizeof(s->address), "%s", value);
    else if (strcmp(key, "token_file") == 0)
        snprintf(s->token_file, sizeof(s->token_file), "%s", value);
    else if (strcmp(key, "ca_file") == 0)
        snprintf(s->ca_file, sizeof(s->ca_file), "%s", value);
    else if (strcmp(key, "client_cert") == 0)
        snprintf(s->client_cert, sizeof(s->client_cert), "%s", value);
    else
        return 0;
    return 1;
}

/* 0 and s->is_found false when the file or the section is not there. */
static int read_section(const char *path, struct section *s, struct err *e)
{
    int line;

    if (access(path, R_OK) != 0)
        return 0;
    line = ini_parse(path, read_pair, s);
    if (line != 0 && s->is_early)
        return err_set(e, ERR_MALFORMED,
                       "%s:%d: a key before the first section belongs to no context: write "
                       "[default] above it, or the name of a context",
                       path, line);
    if (line != 0)
        return err_set(e, ERR_MALFORMED,
                       "%s:%d: a context has the keys addr, token_file, ca_file and "
                       "client_cert", path,
                       line);
    return 0;
}

/* Relative names lie in the context's own folder. */
static void resolve(char out[PATH_SIZE], const char *name, const char *folder)
{
    if (!*name || *name == '/' || !folder)
        snprintf(out, PATH_SIZE, "%s", name);
    else
        snprintf(out, PATH_SIZE, "%s/%s", folder, name);
}

static int take_section(struct context *c, const struct section *s, const char *folder,
                        struct err *e)
{
    char path[PATH_SIZE];

    if (s->address[0] && take_addresses(c, s->address, e) != 0)
        return -1;
    resolve(c->ca_file, s->ca_file, folder);
    resolve(c->client_cert, s->client_cert, folder);
    if (!s->token_file[0])
        return 0;
    resolve(path, s->token_file, folder);
    return take_token_file(c, path, e);
}

/* The context file that `lockstep dev` leaves in its folder. false: there is none. */
static int take_folder(struct context *c, const char *folder, bool *found_out, struct err *e)
{
    struct section s = { .name = "context" };
    char path[600];

    snprintf(path, sizeof(path), "%s/context", folder);
    *found_out = false;
    if (read_section(path, &s, e) != 0)
        return -1;
    *found_out = s.is_found;
    if (!s.is_found)
        return 0;
    snprintf(c->source, sizeof(c->source), "%s", path);
    return take_section(c, &s, folder, e);
}

static int take_named(struct context *c, const char *name, struct err *e)
{
    struct section s = { .name = name };
    char path[1024];
    struct stat st;
    bool found;

    if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (take_folder(c, name, &found, e) != 0)
            return -1;
        return found ? 0
                     : err_set(e, ERR_MALFORMED,
                               "%s/context is not there: is \"%s\" the folder "
                               "of a `lockstep dev`?",
                               name, name);
    }
    context_path(path, sizeof(path));
    if (read_section(path, &s, e) != 0)
        return -1;
    if (!s.is_found)
        return err_set(e, ERR_MALFORMED, "context \"%s\" is no section of %s and no folder", name,
                       path);
    snprintf(c->source, sizeof(c->source), "[%.80s] of %.500s", name, path);
    return take_section(c, &s, NULL, e);
}

/* What applies when nobody named a context. */
static int take_preset(struct context *c, struct err *e)
{
    struct section s = { .name = "default" };
    char path[1024], chosen[CONTEXT_NAME_SIZE];
    bool found;

    if (take_folder(c, ".lockstep", &found, e) != 0 || found)
        return found ? 0 : -1;
    read_chosen(chosen);
    if (chosen[0])
        return take_named(c, chosen, e) == 0 ? 0 : err_wrap(e, "chosen by `lockstep context use`");
    context_path(path, sizeof(path));
    if (read_section(path, &s, e) != 0)
        return -1;
    if (s.is_found) {
        snprintf(c->source, sizeof(c->source), "[default] of %.500s", path);
        return take_section(c, &s, NULL, e);
    }
    snprintf(c->source, sizeof(c->source), "the preset");
    return take_addresses(c, CONTEXT_ADDRESS_PRESET, e);
}

static void take_file(char out[PATH_SIZE], const char *wish, const char *variable)
{
    const char *name = wish ? wish : getenv(variable);

    if (name && *name)
        snprintf(out, PATH_SIZE, "%s", name);
}

/* Addresses and tokens given outright; each wins over the context's. */
static int take_given(struct context *c, const char *address, const char *source,
                      const struct context_wish *wish, struct err *e)
{
    const char *token = getenv("LOCKSTEP_TOKEN");

    if (address) {
        if (take_addresses(c, address, e) != 0)
            return -1;
        snprintf(c->source, sizeof(c->source), "%s", source);
    }
    take_file(c->ca_file, wish->ca_file, "LOCKSTEP_CA_FILE");
    take_file(c->client_cert, wish->client_cert, "LOCKSTEP_CLIENT_CERT");
    if (wish->token_file)
        return take_token_file(c, wish->token_file, e);
    if (!token || !*token || (wish->name && c->token[0]))
        return 0;
    if (take_token(token, "LOCKSTEP_TOKEN", c->token, sizeof(c->token), e) != 0)
        return -1;
    note_token(c, "LOCKSTEP_TOKEN");
    return 0;
}

int context_find(const struct context_wish *wish, struct context *out, struct err *e)
{
    const char *env_address = getenv("LOCKSTEP_ADDR"), *env_name = getenv("LOCKSTEP_CONTEXT");
    const char *address = wish->address, *source = "--addr";

    *out = (struct context){ .token = "" };
    if (env_address && !*env_address)
        env_address = NULL;
    if (!address && !wish->name && env_address) {
        address = env_address;
        source = "LOCKSTEP_ADDR";
    }
    if (wish->name) {
        if (take_named(out, wish->name, e) != 0)
            return -1;
    } else if (!address) {
        if ((env_name && *env_name ? take_named(out, env_name, e) : take_preset(out, e)) != 0)
            return -1;
    }
    if (!out->address_count && !address && take_addresses(out, CONTEXT_ADDRESS_PRESET, e) != 0)
        return -1;
    if (wish->request_timeout &&
        duration_parse(wish->request_timeout, &out->patience_ms, e) != 0) {
        e->kind = ERR_MALFORMED;
        return err_wrap(e, "--request-timeout");
    }
    return take_given(out, address, source, wish, e);
}

/* ---------------------------------------------------------------- all of them */

struct listing {
    json_t *list;
    const char *chosen;
};

static json_t *entry_of(struct listing *l, const char *section)
{
    json_t *one;
    size_t i;

    json_array_foreach(l->list, i, one)
        if (strcmp(json_string_value(json_object_get(one, "name")), section) == 0)
            return one;
    one = json_pack("{s:s,s:s,s:s,s:b}", "name", section, "addr", CONTEXT_ADDRESS_PRESET,
                    "token_file", "", "is_current", strcmp(section, l->chosen) == 0);
    json_array_append_new(l->list, one);
    return one;
}

static int list_pair(void *into, const char *section, const char *key, const char *value)
{
    if (*section && (strcmp(key, "addr") == 0 || strcmp(key, "token_file") == 0))
        json_object_set_new(entry_of(into, section), key, json_string(value));
    else if (*section)
        entry_of(into, section);
    return *section != 0;
}

int context_list_all(struct json_t **out, struct err *e)
{
    char path[PATH_SIZE], chosen[CONTEXT_NAME_SIZE];
    struct listing l = { .list = json_array(), .chosen = chosen };
    int line;

    read_chosen(chosen);
    if (!chosen[0])
        snprintf(chosen, sizeof(chosen), "default");
    context_path(path, sizeof(path));
    *out = l.list;
    if (access(path, R_OK) != 0)
        return 0;
    line = ini_parse(path, list_pair, &l);
    if (line == 0)
        return 0;
    json_decref(l.list);
    return err_set(e, ERR_MALFORMED, "%s:%d: this is no line of a context", path, line);
}

static int write_chosen(const char *name, struct err *e)
{
    char path[PATH_SIZE], making[PATH_SIZE + 8];
    bool is_written;
    FILE *f;

    chosen_path(path, sizeof(path));
    if (strcmp(name, "default") == 0)
        return unlink(path) == 0 || errno == ENOENT
                   ? 0
                   : err_set(e, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    snprintf(making, sizeof(making), "%s.new", path);
    f = fopen(making, "w");
    if (!f)
        return err_set(e, ERR_SYSTEM, "%s: %s", making, strerror(errno));
    is_written = fprintf(f, "%s\n", name) > 0;
    if (fclose(f) != 0 || !is_written || rename(making, path) != 0) {
        err_set(e, ERR_SYSTEM, "%s: %s", path, strerror(errno));
        unlink(making);
        return -1;
    }
    return 0;
}

int context_choose(const char *name, struct err *e)
{
    struct section s = { .name = name };
    char path[PATH_SIZE];

    context_path(path, sizeof(path));
    if (read_section(path, &s, e) != 0)
        return -1;
    if (!s.is_found && strcmp(name, "default") != 0)
        return err_set(e, ERR_NOT_FOUND,
                       "context \"%s\" is no section of %s; `lockstep context list` shows them",
                       name, path);
    return write_chosen(name, e);
}
