/* schema_pattern.c - ECMA 262 patterns on PCRE2, with every step of a match counted. */
#include "common/schema/schema_internal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

#define PATTERN_SIZE_MAX 16384
#define PARENTHESES_MAX 100
#define HEAP_MAX_KIB 32768
#define REPEATS_MAX 65535 /* PCRE2's own */
#define MATCH_MAX SCHEMA_WORK_MAX
/* What PCRE2 does between two of our steps is charged by the byte at this rate. */
#define BYTES_PER_STEP 32

struct schema_pattern {
    pcre2_code *code;
    char *text;
    uint64_t surcharge;  /* steps that one step of PCRE2 may hide: repeats {1000} */
    bool has_references; /* \1 compares as much as it once took */
};

/* ---------------------------------------------------------------- from ECMA 262 to PCRE2 */

struct translation {
    const char *at, *start;
    struct buffer *out;
    uint64_t repeats; /* the greatest number in {} */
    struct err *e;
};

static int foreign(const struct translation *t, const char *what)
{
    return err_set(t->e, ERR_INVALID, "at character %zu of the pattern: %s is not part of ECMA 262",
                   (size_t)(t->at - t->start) + 1, what);
}

static int translate_escape(struct translation *t)
{
    static const char known[] = "dDwWsSbBfnrtvcxukpP";
    char letter = t->at[1];

    if (!letter)
        return err_set(t->e, ERR_INVALID, "the pattern ends with a lone backslash");
    if (((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z')) &&
        !strchr(known, letter))
        return foreign(t, "this escape");
    if (letter == 'v')
        buffer_add_text(t->out, "\\x0b");
    else
        buffer_add(t->out, t->at, 2);
    t->at += 2;
    return 0;
}

static bool is_set_escape(const char *at)
{
    return at[0] == '\\' && at[1] && strchr("dDwWsS", at[1]);
}

/* PCRE2 wants \- beside \w, and reads [:names:], where ECMA 262 sees plain characters. */
static int translate_class(struct translation *t)
{
    const char *before = NULL;

    buffer_add(t->out, t->at++, 1);
    if (*t->at == '^')
        buffer_add(t->out, t->at++, 1);
    while (*t->at && *t->at != ']') {
        const char *here = t->at;

        if (*here == '\\') {
            if (translate_escape(t))
                return -1;
        } else if (*here == '[' || (*here == '-' && ((before && is_set_escape(before)) ||
                                                     is_set_escape(here + 1)))) {
            buffer_add(t->out, (char[]){ '\\', *here }, 2);
            t->at++;
        } else {
            buffer_add(t->out, t->at++, 1);
        }
        before = here;
    }
    if (!*t->at)
        return err_set(t->e, ERR_INVALID, "the pattern has a [ without its ]");
    buffer_add(t->out, t->at++, 1);
    return 0;
}

/* Which groups ECMA 262 knows; and flags, which many write all the same. */
static int check_group(const struct translation *t)
{
    const char *g = t->at + 1;
    size_t flags;

    if (*g == '*')
        return foreign(t, "(*");
    if (*g != '?')
        return 0;
    g++;
    flags = strspn(g, "ims-");
    if (*g && (strchr(":=!", *g) || (flags > 0 && (g[flags] == ')' || g[flags] == ':'))))
        return 0;
    if (*g == '<' && g[1] && (strchr("=!_", g[1]) || (g[1] | 0x20) >= 'a'))
        return 0;
    return foreign(t, "this kind of (? group");
}

static void note_repeat(struct translation *t)
{
    uint64_t n = 0;

    for (const char *p = t->at + 1; (*p >= '0' && *p <= '9') || *p == ','; p++) {
        n = *p == ',' ? 0 : n * 10 + (uint64_t)(*p - '0');
        if (n > REPEATS_MAX)
            n = REPEATS_MAX;
        if (n > t->repeats)
            t->repeats = n;
    }
}

static int translate(const char *text, struct buffer *out, uint64_t *repeats, struct err *e)
{
    struct translation t = { .at = text, .start = text, .out = out, .e = e };

    buffer_add(out, "", 0);
    while (*t.at) {
        if (*t.at == '\\') {
            if (translate_escape(&t))
                return -1;
        } else if (*t.at == '[') {
            if (translate_class(&t))
                return -1;
        } else {
            if (*t.at == '(' && check_group(&t))
                return -1;
            if (*t.at == '{')
                note_repeat(&t);
            buffer_add(out, t.at++, 1);
        }
    }
    *repeats = t.repeats;
    return 0;
}

/* ---------------------------------------------------------------- compile */

static pcre2_code *compile(const struct buffer *pattern, struct err *e)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_SIZE offset;
    PCRE2_UCHAR reason[200];
    int code;
    pcre2_code *made;

    MUST(context);
    pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    pcre2_set_parens_nest_limit(context, PARENTHESES_MAX);
    pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    made = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->size,
                         PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_AUTO_CALLOUT |
                             PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_NEVER_BACKSLASH_C,
                         &code, &offset, context);
    pcre2_compile_context_free(context);
    if (made)
        return made;
    pcre2_get_error_message(code, reason, sizeof(reason));
    err_set(e, ERR_INVALID, "at character %zu of the pattern: %s", (size_t)offset + 1,
            (const char *)reason);
    return NULL;
}

int schema_pattern_new(const char *text, size_t *bytes, struct schema_pattern **out, struct err *e)
{
    SCOPED_BUFFER struct buffer translated = { 0 };
    struct schema_pattern *p;
    pcre2_code *code;
    uint64_t repeats;
    uint32_t references = 0;
    size_t size = 0;

    if (strlen(text) > PATTERN_SIZE_MAX)
        return err_set(e, ERR_TOO_LARGE, "a pattern has more than %d bytes", PATTERN_SIZE_MAX);
    if (translate(text, &translated, &repeats, e))
        return -1;
    code = compile(&translated, e);
    if (!code)
        return -1;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &references);
    *bytes += size;
    p = memory_new(sizeof(*p));
    p->code = code;
    p->text = memory_text(text);
    p->surcharge = repeats / BYTES_PER_STEP;
    p->has_references = references > 0;
    *out = p;
    return 0;
}

void schema_pattern_free(struct schema_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p->text);
    free(p);
}

const char *schema_pattern_text(const struct schema_pattern *p)
{
    return p->text;
}

/* ---------------------------------------------------------------- match */

struct meter {
    struct schema_check *check;
    uint64_t surcharge;
    size_t last;
};

/* Before every item of the pattern: match limits count per starting point, we count them all. */
static int count_step(pcre2_callout_block *block, void *data)
{
    struct meter *m = data;
    size_t here = block->current_position;
    size_t way = here > m->last ? here - m->last : 0;

    m->last = here;
    return schema_charge(m->check, 1 + m->surcharge + way / BYTES_PER_STEP) ? 0
                                                                            : PCRE2_ERROR_CALLOUT;
}

/* The memory of one match is kept for the next. */
static pcre2_match_data *match_data(struct schema_check *c)
{
    if (!c->match_data)
        c->match_data = pcre2_match_data_create(1, NULL);
    MUST(c->match_data);
    return c->match_data;
}

bool schema_pattern_fits(struct schema_check *c, const struct schema_pattern *p, const char *text)
{
    size_t size = strlen(text);
    struct meter meter = { c, p->surcharge, 0 };
    pcre2_match_context *context;
    int code;

    if (!schema_charge(c, 10 + size / BYTES_PER_STEP))
        return false;
    if (p->has_references)
        meter.surcharge += size / 1024;
    context = pcre2_match_context_create(NULL);
    MUST(context);
    pcre2_set_callout(context, count_step, &meter);
    pcre2_set_match_limit(context, MATCH_MAX);
    pcre2_set_heap_limit(context, HEAP_MAX_KIB);
    code =
        pcre2_match(p->code, (PCRE2_SPTR)text, size, 0, PCRE2_NO_UTF_CHECK, match_data(c), context);
    pcre2_match_context_free(context);
    if (code < 0 && code != PCRE2_ERROR_NOMATCH && !c->is_over)
        return schema_give_up(c,
                              "the pattern \"%.100s\" is too much work for a text of %zu bytes: "
                              "write it without repeats inside repeats",
                              p->text, size);
    return code >= 0;
}

void schema_pattern_forget(struct schema_check *c)
{
    pcre2_match_data_free(c->match_data);
    c->match_data = NULL;
}
