/* context.c - looks for the coordinator's address and the token in all the places they may be. */
#include "coordinator/cli/context.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"

#define TOKEN_FILE_MAX 4096
#define DEV_CONTEXT ".lockstep/context"

static void take_address(struct context *c, const char *address)
{
    size_t n;

    snprintf(c->address, sizeof(c->address), "%s%s", strstr(address, "://") ? "" : "http://",
             address);
    n = strlen(c->address);
    while (n > 0 && c->address[n - 1] == '/')
        c->address[--n] = 0;
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
    char from[600];

    if (buffer_read_file(&b, path, TOKEN_FILE_MAX, e) != 0) {
        e->kind = ERR_UNAUTHORIZED; /* as an empty one: no coordinator was asked for anything */
        return err_wrap(e, "token file (--token-file or the context's token_file)");
    }
    buffer_add_text(&b, "");
    snprintf(from, sizeof(from), "token file %s", path);
    return take_token(b.data, from, out, size, e);
}

/* One section of an INI file. */
struct section {
    const char *name;
    char address[512], token_file[512], ca_file[512], client_cert[512];
    bool is_found;
};

static int read_pair(void *into, const char *section, const char *key, const char *value)
{
    struct section *s = into;

    if (strcmp(section, s->name) != 0)
        return 1;
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
    if (line != 0)
        return err_set(e, ERR_MALFORMED,
                       "%s:%d: a context has the keys addr, token_file, ca_file and "
                       "client_cert", path,
                       line);
    return 0;
}

#define PATH_SIZE 1100

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

    if (s->address[0])
        take_address(c, s->address);
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

static void contexts_path(char *out, size_t size)
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
    contexts_path(path, sizeof(path));
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
    char path[1024];
    bool found;

    if (take_folder(c, ".lockstep", &found, e) != 0 || found)
        return found ? 0 : -1;
    contexts_path(path, sizeof(path));
    if (read_section(path, &s, e) != 0)
        return -1;
    if (s.is_found) {
        snprintf(c->source, sizeof(c->source), "[default] of %.500s", path);
        return take_section(c, &s, NULL, e);
    }
    take_address(c, CONTEXT_ADDRESS_PRESET);
    snprintf(c->source, sizeof(c->source), "the preset");
    return 0;
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
        take_address(c, address);
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
    if (!out->address[0] && !address)
        take_address(out, CONTEXT_ADDRESS_PRESET);
    return take_given(out, address, source, wish, e);
}
