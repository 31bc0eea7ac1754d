/* places.c - the places that candidates were ever put beside, kept in STATE_DIR/places. */
#include "agent/files/places.h"

#include <stdio.h>
#include <string.h>

#include "agent/disk/file_tree.h"
#include "agent/files/place.h"
#include "common/log.h"

/* Every destination of the settings at its longest, and the former places. */
#define FILE_MAX                                                                                   \
    ((size_t)AGENT_SCOPES_MAX * (AGENT_FILES_MAX + AGENT_GROUPS_MAX) * PATH_MAX + PLACES_FORMER_MAX)

/* ---- the file: one path a line ---- */

static void name_of(const char *state_dir, const char *suffix, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s/places%s", state_dir, suffix) >= PATH_MAX)
        out[PATH_MAX - 1] = '\0';
}

static int load(const char *state_dir, struct buffer *out, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;

    int there;

    name_of(state_dir, "", path);
    buffer_add_text(out, "");
    there = spot_read(&SPOT(path), FILE_MAX, out, &st, e);
    if (there < 0)
        return -1;
    return there && (size_t)st.st_size > FILE_MAX
               ? err_code(e, ERR_CORRUPT, "io", "%.300s is larger than the agent writes it: look "
                          "for .lockstep-* at the places in it, then remove it", path)
               : 0;
}

static int save(const char *state_dir, const struct buffer *text, struct err *e)
{
    const struct disk_access access = { .mode = 0600, .uid = geteuid(), .gid = getegid() };
    char path[PATH_MAX], aside[PATH_MAX];

    name_of(state_dir, "", path);
    name_of(state_dir, ".new", aside);
    return disk_write(aside, text->data, text->size, &access, e) || disk_rename(aside, path, e) ||
           disk_sync_folder_of(path, e) ? -1 : 0;
}

static bool has_line(const struct buffer *text, const char *line)
{
    size_t size = strlen(line);

    for (const char *at = text->data; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : at)
        if (strncmp(at, line, size) == 0 && at[size] == '\n')
            return true;
    return false;
}

/* ---- places ---- */

/* Where it really is; the settings' own path while that cannot be said. A line break, which only
 * a link can bring in, would make two lines of it: such a place is not written down. */
static void add_place(const char *path, struct buffer *out)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named itself;
    struct err ignored;
    const char *place = path;

    if (place_open(path, &p, &ignored) == 0) {
        place_itself(&p, &itself);
        place = itself.path;
    }
    if (!strchr(place, '\n') && !has_line(out, place))
        buffer_printf(out, "%s\n", place);
}

static void add_scope(const struct agent_scope *scope, struct buffer *out)
{
    for (unsigned i = 0; i < scope->group_count; i++)
        add_place(scope->groups[i].path, out);
    for (unsigned i = 0; i < scope->file_count; i++)
        if (scope->files[i].group == AGENT_NO_GROUP)
            add_place(scope->files[i].path, out);
}

/* Once, when nothing is left over: who writes there after this is not disturbed. */
static bool forget(const char *path, size_t *entries_left)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct err ignored;

    if (place_open(path, &p, &ignored))
        return false;
    place_sweep(path, NULL, 0, entries_left);
    if (!*entries_left)
        return false;
    log_warn("a place is no destination any more: what was applied there stays as it is, and "
             "secrets in it, too",
             "path", path, "remedy", "remove it when nobody reads it");
    return true;
}

static void add_settings(const struct agent_settings *s, struct buffer *out)
{
    buffer_add_text(out, "");
    for (unsigned i = 0; i < s->scope_count; i++)
        add_scope(s->scopes[i], out);
}

/* The next line from `*at` on; false at the end. */
static bool next_line(const char **at, char line[PATH_MAX])
{
    size_t size = strcspn(*at, "\n");

    if (!(*at)[size])
        return false;
    snprintf(line, PATH_MAX, "%.*s", (int)size, *at);
    *at += size + 1;
    return true;
}

/* Sweep the lines of `before` that are not in `now`; left_out are those that cannot be reached. */
static void forget_former(const char *before, const struct buffer *now, struct buffer *left_out)
{
    size_t entries_left = FILE_TREE_ENTRIES_MAX;
    char line[PATH_MAX];

    buffer_add_text(left_out, "");
    for (const char *at = before; next_line(&at, line);)
        if (line[0] && !has_line(now, line) && !forget(line, &entries_left))
            buffer_printf(left_out, "%s\n", line);
}

/* A list of former places that is too long loses its older half. */
static const char *newest_half(const struct buffer *left)
{
    const char *at = left->data;
    char line[PATH_MAX] = "";
    unsigned count = 0;

    while (left->size - (size_t)(at - left->data) > PLACES_FORMER_MAX / 2 && next_line(&at, line))
        count++;
    if (count)
        log_warn("former places cannot be reached and are not swept any more", "count",
                 LOG_NUMBER(count), "newest", line);
    return at;
}

static size_t size_of_former(const char *text, const struct buffer *now)
{
    size_t size = 0;
    char line[PATH_MAX];

    for (const char *at = text; next_line(&at, line);)
        size += has_line(now, line) ? 0 : strlen(line) + 1;
    return size;
}

/* Who may turn a link, does not make this file grow. */
static void shrink(const struct agent_settings *s, const struct agent_scope *scope,
                   struct buffer *text)
{
    SCOPED_BUFFER struct buffer now = { 0 }, left = { 0 };

    add_settings(s, &now);
    add_scope(scope, &now);
    if (size_of_former(text->data, &now) <= PLACES_FORMER_MAX)
        return;
    forget_former(text->data, &now, &left);
    buffer_clear(text);
    buffer_add_text(text, newest_half(&left));
    buffer_add_text(text, now.data);
}

int places_remember(const struct agent_settings *s, const struct agent_scope *scope,
                    struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    size_t before;

    if (load(s->state_dir, &text, e))
        return -1;
    before = text.size;
    add_scope(scope, &text);
    if (text.size == before)
        return 0;
    if (text.size > PLACES_FORMER_MAX)
        shrink(s, scope, &text);
    return save(s->state_dir, &text, e);
}

int places_forget(const struct agent_settings *s, struct err *e)
{
    SCOPED_BUFFER struct buffer before = { 0 }, now = { 0 }, left = { 0 };

    if (load(s->state_dir, &before, e))
        return -1;
    add_settings(s, &now);
    forget_former(before.data, &now, &left);
    buffer_add_text(&now, left.data);
    return strcmp(before.data, now.data) == 0 ? 0 : save(s->state_dir, &now, e);
}
