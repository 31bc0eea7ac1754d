/* batch.c - an example: a tool that runs once and uses one revision from its beginning to its end.
 *
 *     cc batch.c -o batch $(pkg-config --cflags --libs liblockstep)
 *     ./batch payments/prod              everything
 *     ./batch payments/prod database.url one value
 */
#include <stdio.h>

#include <lockstep.h>

static void print_all(const struct lockstep_snapshot *s)
{
    static const char *const types[] = { "string", "number", "boolean", "json", "yaml", "secret" };
    struct lockstep_item item;

    printf("# revision %llu, %s\n", (unsigned long long)lockstep_held_revision(s),
           lockstep_held_hash(s));
    for (size_t i = 0; lockstep_held_at(s, i, &item); i++)
        printf("%s\t%s\t%s\n", item.key, types[item.type], item.text ? item.text : "(encrypted)");
}

static int print_one(const struct lockstep_snapshot *s, const char *key)
{
    const char *text = lockstep_held_string(s, key, NULL);

    if (!text) {
        fprintf(stderr, "batch: there is no %s here\n", key);
        return 3;
    }
    puts(text);
    return 0;
}

int main(int argc, char **argv)
{
    const struct lockstep_snapshot *s;
    struct lockstep *config;
    char trouble[500];
    int rc;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: batch SERVICE/ENVIRONMENT [KEY]\n");
        return 2;
    }
    rc = lockstep_open(&config, argv[1], 5000);
    if (rc < 0) {
        fprintf(stderr, "batch: \"%s\" is no scope\n", argv[1]);
        return 2;
    }
    if (rc == LOCKSTEP_NOT_LOADED) { /* a tool that cannot do without */
        lockstep_trouble(config, trouble, sizeof(trouble));
        fprintf(stderr, "batch: no configuration: %s\n", trouble);
        lockstep_close(config);
        return 1;
    }
    s = lockstep_hold(config);
    if (argc == 3)
        rc = print_one(s, argv[2]);
    else
        print_all(s);
    lockstep_release(s);
    lockstep_close(config);
    return rc;
}
