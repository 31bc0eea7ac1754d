/* steps.c - how the steps of applying, as the API tells them, are shown on one line. */
#include "coordinator/cli/steps.h"

#include <jansson.h>
#include <string.h>

#include "coordinator/cli/cli.h"

#define HASH_DIGITS 12 /* enough to tell two documents of one scope apart */

void steps_text(const json_t *object, struct buffer *out)
{
    const char *failed = cli_text(object, "failed_step");
    bool is_told = !*failed;
    size_t i;
    json_t *step;

    buffer_add_text(out, "");
    json_array_foreach(json_object_get(object, "steps"), i, step) {
        const char *name = cli_text(step, "step");
        bool is_failed = *failed && strcmp(name, failed) == 0;

        buffer_printf(out, "%s%s %lldms%s", out->size ? ", " : "", name,
                      cli_number(step, "took_ms"), is_failed ? " (failed)" : "");
        is_told |= is_failed;
    }
    if (!is_told)
        buffer_printf(out, "%s%s (failed)", out->size ? ", " : "", failed);
}

long long steps_total_ms(const json_t *object)
{
    long long total = -1;
    size_t i;
    json_t *step;

    json_array_foreach(json_object_get(object, "steps"), i, step)
        total = (total < 0 ? 0 : total) + cli_number(step, "took_ms");
    return total;
}

bool steps_has_failed(const json_t *server)
{
    size_t i;
    json_t *s;

    json_array_foreach(json_object_get(server, "scopes"), i, s)
        if (strcmp(cli_text(s, "state"), "failed") == 0)
            return true;
    return false;
}

static void add_reverted(const json_t *to, struct buffer *out)
{
    const char *hash = cli_text(to, "hash");

    buffer_add_text(out, out->size ? ", " : "");
    if (*cli_text(to, "service"))
        buffer_printf(out, "%s/%s", cli_text(to, "service"), cli_text(to, "environment"));
    buffer_printf(out, "@%lld", cli_number(to, "revision"));
    if (cli_number(to, "revision") > 0)
        buffer_printf(out, " %.*s", HASH_DIGITS, hash);
}

void steps_reverted(const json_t *object, struct buffer *out)
{
    const json_t *to = json_object_get(object, "reverted_to");
    size_t i;
    json_t *one;

    buffer_add_text(out, "");
    if (json_is_object(to))
        add_reverted(to, out);
    json_array_foreach(to, i, one)
        add_reverted(one, out);
}
