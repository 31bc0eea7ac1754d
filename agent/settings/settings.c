/* settings.c - the agent's settings file: its own keys, and where the whole is checked. */
#include "agent/settings/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/published.h"
#include "agent/settings/file_settings.h"
#include "agent/settings/scope_settings.h"
#include "common/buffer.h"
#include "common/invariant.h"
#include "common/scoped.h"
#include "common/settings.h"

#define CURVE_KEY_TEXT 40 /* Z85 of 32 bytes */
#define LABEL_NAME_BYTES 100
#define LABEL_VALUE_BYTES 256
#define STATE_PRESET "/var/lib/lockstep-agent"

#define FIELD(name) offsetof(struct agent_settings, name)
static const struct settings_key keys[] = {
    { .section = "agent", .key = "name", .type = SETTINGS_TEXT, .offset = FIELD(name) },
    { .section = "agent", .key = "coordinators", .type = SETTINGS_TEXT,
      .offset = FIELD(coordinators_text) },
    { .section = "agent", .key = "server_key", .type = SETTINGS_TEXT, .offset = FIELD(server_key) },
    { .section = "agent", .key = "server_key_file", .type = SETTINGS_TEXT,
      .offset = FIELD(server_key_file) },
    { .section = "agent", .key = "key_file", .type = SETTINGS_TEXT, .offset = FIELD(key_file),
      .preset = "/etc/lockstep/agent.key" },
    { .section = "agent", .key = "state_dir", .type = SETTINGS_TEXT, .offset = FIELD(state_dir),
      .preset = STATE_PRESET },
    { .section = "agent", .key = "publish_dir", .type = SETTINGS_TEXT,
      .offset = FIELD(publish_dir) },
    { .section = "agent", .key = "secrets_key_file", .type = SETTINGS_TEXT,
      .offset = FIELD(secrets_key_file) },
    { .section = "agent", .key = "labels", .type = SETTINGS_TEXT, .offset = FIELD(labels_text) },
    { .section = "agent", .key = "log_level", .type = SETTINGS_TEXT, .offset = FIELD(log_level),
      .preset = "info" },
    { .section = "agent", .key = "log_format", .type = SETTINGS_TEXT, .offset = FIELD(log_format),
      .preset = "text" },
    { .section = "agent", .key = "stop_timeout", .type = SETTINGS_DURATION,
      .offset = FIELD(stop_timeout_ms), .preset = "5s", .most = 3600000 },
    { .section = "local", .key = "socket", .type = SETTINGS_TEXT, .offset = FIELD(local.socket) },
    { .section = "local", .key = "mode", .type = SETTINGS_TEXT, .offset = FIELD(local.mode_text),
      .preset = "0660" },
    { .section = "local", .key = "group", .type = SETTINGS_TEXT, .offset = FIELD(local.group_text) },
    { .section = "local", .key = "listen", .type = SETTINGS_TEXT,
      .offset = FIELD(local.listen_text) },
    { .section = "local", .key = "secret_users", .type = SETTINGS_TEXT,
      .offset = FIELD(local.secret_users_text) },
    { .section = "local", .key = "connections", .type = SETTINGS_NUMBER,
      .offset = FIELD(local.connections), .preset = "128", .least = 4, .most = 10000 },
    { .section = "local", .key = "metrics_file", .type = SETTINGS_TEXT,
      .offset = FIELD(local.metrics_file) },
    { .section = "local", .key = "metrics_interval", .type = SETTINGS_DURATION,
      .offset = FIELD(local.metrics_interval_ms), .preset = "15s", .least = 100,
      .most = 3600000 },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

const char *agent_settings_key(size_t index, const char **section_out)
{
    *section_out = index < KEY_COUNT ? keys[index].section : "scope";
    return index < KEY_COUNT ? keys[index].key : scope_settings_name(index - KEY_COUNT);
}

static char *duplicate(const char *text, size_t size)
{
    char *copy = strndup(text, size);

    MUST(copy);
    return copy;
}

static int on_section(void *into, const char *section, const char *name, const char *key,
                      const char *value, struct err *e)
{
    struct agent_settings *s = into;
    struct agent_scope *scope;

    if (strcmp(section, "scope") != 0)
        return err_set(e, ERR_INVALID, "unknown section [%s]: there are [agent], [local] and "
                       "[scope SERVICE/ENVIRONMENT]", section);
    if (scope_settings_open(s, name, &scope, e))
        return -1;
    return key ? scope_settings_key(s, scope, key, value, e) : 0; /* read over the socket alone */
}

/* The next item of a list, whose items commas or blanks separate; false at the end. */
static bool next_item(const char **rest, const char **item_out, size_t *size_out)
{
    const char *at = *rest + strspn(*rest, " \t,");
    size_t size = strcspn(at, " \t,");

    *rest = at + size;
    *item_out = at;
    *size_out = size;
    return size > 0;
}

/* tcp://HOST:PORT. ZeroMQ takes 99999 for what is left of it in 16 bits, and knocks there. */
static bool is_address(const char *item, size_t size)
{
    const char *colon = memrchr(item, ':', size);
    size_t digits = colon ? (size_t)(item + size - colon - 1) : 0;

    if (strncmp(item, "tcp://", 6) != 0 || colon < item + 7 || !digits || digits > 5 ||
        strspn(colon + 1, "0123456789") < digits)
        return false;
    return strtoul(colon + 1, NULL, 10) >= 1 && strtoul(colon + 1, NULL, 10) <= 65535;
}

static int split_coordinators(struct agent_settings *s, struct err *e)
{
    const char *rest = s->coordinators_text ? s->coordinators_text : "";
    const char *item;
    size_t size;

    while (next_item(&rest, &item, &size)) {
        if (s->coordinator_count == AGENT_COORDINATORS_MAX)
            return err_set(e, ERR_INVALID, "[agent] coordinators: at most %d addresses",
                           AGENT_COORDINATORS_MAX);
        if (size < 9 || !is_address(item, size))
            return err_set(e, ERR_INVALID, "[agent] coordinators: \"%.*s\" is not an address like "
                           "tcp://host:7781; a port is a number up to 65535", (int)size, item);
        s->coordinators[s->coordinator_count++] = duplicate(item, size);
    }
    if (!s->coordinator_count)
        return err_set(e, ERR_INVALID, "[agent] coordinators is missing: name at least one, like "
                       "tcp://host:7781");
    return 0;
}

static int split_labels(struct agent_settings *s, struct err *e)
{
    const char *rest = s->labels_text ? s->labels_text : "";
    const char *item;
    size_t size;

    while (next_item(&rest, &item, &size)) {
        const char *equals = memchr(item, '=', size);
        size_t name_size = equals ? (size_t)(equals - item) : 0;
        size_t value_size = equals ? size - name_size - 1 : 0;

        if (s->label_count == AGENT_LABELS_MAX)
            return err_set(e, ERR_INVALID, "[agent] labels: at most %d", AGENT_LABELS_MAX);
        if (!name_size || !value_size || name_size > LABEL_NAME_BYTES ||
            value_size > LABEL_VALUE_BYTES || !name_is_utf8(item, size))
            return err_set(e, ERR_INVALID, "[agent] labels: \"%.*s\" is not a label like zone=a "
                           "(name at most %d bytes, value at most %d)", (int)size, item,
                           LABEL_NAME_BYTES, LABEL_VALUE_BYTES);
        s->labels[s->label_count].name = duplicate(item, name_size);
        s->labels[s->label_count++].value = duplicate(equals + 1, value_size);
    }
    return 0;
}

/* The coordinators' own key file begins with the public key, too, and its second line is a secret
 * that no agent's machine may have. */
static int read_server_key(struct agent_settings *s, struct err *e)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    const char *text;
    size_t size;

    if (buffer_read_file(&b, s->server_key_file, 4096, e))
        return err_wrap(e, "[agent] server_key_file");
    buffer_add_text(&b, "");
    text = b.data;
    size = strcspn(text, " \t\r\n");
    s->server_key = duplicate(text, size);
    if (!text[size + strspn(text + size, " \t\r\n")])
        return 0;
    explicit_bzero(b.data, b.size);
    return err_set(e, ERR_INVALID,
                   "[agent] server_key_file: %.300s holds more than one key, as the coordinators' "
                   "secret key file does: take it from this machine, and give router.key.pub",
                   s->server_key_file);
}

static int fill_server_key(struct agent_settings *s, struct err *e)
{
    if (s->server_key && s->server_key_file)
        return err_set(e, ERR_INVALID, "[agent] server_key and server_key_file are both set: "
                       "keep one of them");
    if (s->server_key_file && read_server_key(s, e))
        return -1;
    if (!s->server_key)
        return err_set(e, ERR_INVALID, "[agent] server_key is missing: it is the coordinators' "
                       "public key, printed by lockstepd at its start");
    if (strlen(s->server_key) != CURVE_KEY_TEXT)
        return err_set(e, ERR_INVALID, "[agent] server_key: a public key has %d characters, this "
                       "one %zu", CURVE_KEY_TEXT, strlen(s->server_key));
    return 0;
}

static int check_log(struct agent_settings *s, struct err *e)
{
    if (log_level_of(s->log_level, &s->level))
        return err_set(e, ERR_INVALID, "[agent] log_level: \"%s\" is none of debug, info, warn, "
                       "error", s->log_level);
    s->is_log_json = strcmp(s->log_format, "json") == 0;
    if (!s->is_log_json && strcmp(s->log_format, "text") != 0)
        return err_set(e, ERR_INVALID, "[agent] log_format: \"%s\" is neither text nor json",
                       s->log_format);
    return 0;
}

/* Agents that keep their state apart publish apart too. */
static int fill_publish_dir(struct agent_settings *s, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    if (!s->publish_dir && strcmp(s->state_dir, STATE_PRESET) == 0)
        s->publish_dir = duplicate(PUBLISHED_FOLDER, strlen(PUBLISHED_FOLDER));
    if (!s->publish_dir) {
        buffer_printf(&path, "%s.public", s->state_dir);
        s->publish_dir = buffer_take(&path);
    }
    return file_settings_check_path("[agent] publish_dir", s->publish_dir, e);
}

static int check_whole(struct agent_settings *s, struct err *e)
{
    if (check_log(s, e) || split_coordinators(s, e) || split_labels(s, e) || fill_server_key(s, e))
        return -1;
    if (file_settings_check_path("[agent] state_dir", s->state_dir, e) ||
        fill_publish_dir(s, e) || local_settings_check(&s->local, s->publish_dir, e))
        return -1;
    if (!s->name)
        s->name = duplicate("agent", 5);
    if (!s->scope_count)
        return err_set(e, ERR_INVALID, "there is no [scope SERVICE/ENVIRONMENT] section: the agent "
                       "would have nothing to do");
    for (unsigned i = 0; i < s->scope_count; i++)
        if (scope_settings_check(s->scopes[i], e))
            return -1;
    return 0;
}

int agent_settings_load(const char *path, struct agent_settings *out, struct err *e)
{
    *out = (struct agent_settings){ 0 };
    if (settings_load(path, keys, KEY_COUNT, out, on_section, e) == 0) {
        if (check_whole(out, e) == 0)
            return 0;
        err_wrap(e, "%s", path);
    }
    agent_settings_fini(out);
    return -1;
}

void agent_settings_judge(const char *path, struct agent_settings *out,
                          struct settings_report *report)
{
    struct err e;

    *out = (struct agent_settings){ 0 };
    if (settings_judge(path, keys, KEY_COUNT, out, on_section, report) > 0)
        return;
    if (check_whole(out, &e)) {
        err_wrap(&e, "%s", path);
        settings_report_add(report, e.text);
    }
}

void agent_settings_fini(struct agent_settings *s)
{
    for (unsigned i = 0; i < s->coordinator_count; i++)
        free(s->coordinators[i]);
    for (unsigned i = 0; i < s->label_count; i++) {
        free(s->labels[i].name);
        free(s->labels[i].value);
    }
    for (unsigned i = 0; i < s->scope_count; i++)
        scope_settings_free(s->scopes[i]);
    settings_fini(keys, KEY_COUNT, s);
    *s = (struct agent_settings){ 0 };
}

int agent_settings_new(const char *path, struct agent_settings **out, struct err *e)
{
    *out = calloc(1, sizeof(**out));
    MUST(*out);
    if (agent_settings_load(path, *out, e) == 0)
        return 0;
    free(MOVE(*out));
    return -1;
}

void agent_settings_free(struct agent_settings *s)
{
    if (!s)
        return;
    agent_settings_fini(s);
    free(s);
}

int agent_settings_find(const struct agent_settings *s, const char *service,
                        const char *environment)
{
    for (unsigned i = 0; i < s->scope_count; i++)
        if (strcmp(s->scopes[i]->service, service) == 0 &&
            strcmp(s->scopes[i]->environment, environment) == 0)
            return (int)i;
    return -1;
}
