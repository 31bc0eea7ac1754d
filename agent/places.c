/* places.c - the places that candidates were ever put beside, kept in STATE_DIR/places. */
#include "agent/places.h"

#include <stdio.h>
#include <string.h>

#include "agent/place.h"
#include "common/log.h"

#define FILE_MAX ((size_t)1 << 20)

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

    name_of(state_dir, "", path);
    buffer_add_text(out, "");
    return spot_read(&SPOT(path), FILE_MAX, out, &st, e) < 0 ? -1 : 0;
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

int places_remember(const char *state_dir, const struct agent_scope *scope, struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    size_t before;

    if (load(state_dir, &text, e))
        return -1;
    before = text.size;
    add_scope(scope, &text);
    return text.size == before ? 0 : save(state_dir, &text, e);
}

/* Once: who writes there after this is not disturbed. */
static bool forget(const char *path)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct err ignored;

    if (place_open(path, &p, &ignored))
        return false;
    place_sweep(path, NULL, 0);
    log_info("a place is no destination any more", "path", path, "stays", "as it is");
    return true;
}

int places_forget(const struct agent_settings *s, struct err *e)
{
    SCOPED_BUFFER struct buffer before = { 0 }, now = { 0 };

    if (load(s->state_dir, &before, e))
        return -1;
    buffer_add_text(&now, "");
    for (unsigned i = 0; i < s->scope_count; i++)
        add_scope(s->scopes[i], &now);
    for (const char *at = before.data; *at; at += strcspn(at, "\n") + 1) {
        char line[PATH_MAX];

        if (!strchr(at, '\n'))
            break;
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        if (line[0] && !has_line(&now, line) && !forget(line))
            buffer_printf(&now, "%s\n", line);
    }
    return strcmp(before.data, now.data) == 0 ? 0 : save(s->state_dir, &now, e);
}
