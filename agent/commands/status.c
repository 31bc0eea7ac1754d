/* status.c - the command status: what the agent of this server does, and whether all is well. */
#include "agent/commands/status.h"

#include <stdio.h>
#include <string.h>

#include "agent/commands/local_client.h"
#include "agent/commands/status_words.h"
#include "agent/settings/settings.h"
#include "common/clock.h"
#include "common/scoped.h"

#define EXIT_NOT_WELL 1
#define EXIT_NO_AGENT 3
#define EXIT_FORBIDDEN 5
#define EXIT_TROUBLE 9

static int fail(const struct err *e)
{
    fprintf(stderr, "lockstep-agent: %s\n", e->text);
    return e->kind == ERR_NOT_FOUND   ? EXIT_NO_AGENT
           : e->kind == ERR_FORBIDDEN ? EXIT_FORBIDDEN
                                      : EXIT_TROUBLE;
}

/* Where the settings say that the agent listens. */
static int find_socket(const char *config, char *out, size_t size, struct err *e)
{
    struct agent_settings settings;
    int rc = 0;

    if (agent_settings_load(config, &settings, e)) {
        e->kind = ERR_INVALID; /* whatever it is about, it is not about an agent */
        return err_wrap(e, "--socket FILE names the agent's socket without the settings");
    }
    if (settings.local.socket)
        snprintf(out, size, "%s", settings.local.socket);
    else
        rc = err_set(e, ERR_INVALID, "%s: [local] has no socket that could be asked; "
                     "`lockstep-agent dump` shows what is stored", config);
    agent_settings_fini(&settings);
    return rc;
}

int status_show(const struct status_wish *wish)
{
    SCOPED_BUFFER struct buffer body = { 0 }, text = { 0 };
    char path[4096];
    struct err e = { 0 };
    json_t *status;
    bool is_well;

    if (wish->socket)
        snprintf(path, sizeof(path), "%s", wish->socket);
    else if (find_socket(wish->config, path, sizeof(path), &e))
        return fail(&e);
    if (local_client_get(path, "/v1/status", &body, &e))
        return fail(&e);
    status = json_loads(body.data, 0, NULL);
    if (!json_is_object(status)) {
        json_decref(status);
        err_set(&e, ERR_UNAVAILABLE, "what answers on %.300s is no agent", path);
        return fail(&e);
    }
    is_well = status_words(status, clock_wall_ms(), &text);
    json_decref(status);
    fputs(wish->is_json ? body.data : text.data, stdout);
    return is_well ? 0 : EXIT_NOT_WELL;
}
