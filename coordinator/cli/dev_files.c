/* dev_files.c - settings files of the coordinator and the agents, and their two small hooks. */
#include "coordinator/cli/dev_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"

#define ZONES 3

/* A reader may look at any moment, so files are replaced as a whole. */
static const char validate_hook[] =
    "#!/bin/sh\n"
    "# validate DOCUMENT: before a server says READY. Refuses when the configuration asks for it,\n"
    "# so that a refusal can be seen. Yours would be `nginx -t -c {file}` or the like.\n"
    "if grep -Eq '\"demo\\.refuse\": *\"?true\"?[,}]' \"$1\"; then\n"
    "    echo 'demo.refuse is true: this configuration is not wanted here'\n"
    "    exit 1\n"
    "fi\n"
    "exit 0\n";

static const char check_hook[] =
    "#!/bin/sh\n"
    "# check FILE NAME: after a server switched, and from time to time. FILE holds what the key\n"
    "# demo.break says, and is not there without it; the agents ask that first, so that the\n"
    "# checks of many cost next to nothing. Fails when the configuration asks for it.\n"
    "# Yours would be `curl -fsS http://127.0.0.1/health` or the like.\n"
    "[ -e \"$1\" ] || exit 0\n"
    "read -r broken <\"$1\" || :\n"
    "case $broken in\n"
    "true | \"$2\")\n"
    "    echo \"demo.break: $2 does not work with this configuration\"\n"
    "    exit 1\n"
    "    ;;\n"
    "esac\n"
    "exit 0\n";

int dev_files_folder(const char *path, unsigned mode, struct err *e)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return err_set(e, ERR_SYSTEM, "make the folder %s: %s", path, strerror(errno));
}

int dev_files_write(const char *path, const char *text, unsigned mode, struct err *e)
{
    SCOPED_BUFFER struct buffer making = { 0 };
    size_t size = strlen(text);
    int fd;

    buffer_printf(&making, "%s.new", path);
    unlink(making.data);
    fd = open(making.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "write %s: %s", making.data, strerror(errno));
    if (write(fd, text, size) != (ssize_t)size || close(fd) != 0 || rename(making.data, path) != 0)
        return err_set(e, ERR_SYSTEM, "write %s: %s", path, strerror(errno));
    return 0;
}

static int folder_of(const char *dir, const char *name, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "%s/%s", dir, name);
    return dev_files_folder(path.data, 0700, e);
}

static int file_of(const char *dir, const char *name, const char *text, unsigned mode,
                   struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "%s/%s", dir, name);
    return dev_files_write(path.data, text, mode, e);
}

int dev_files_folders(const struct dev_plan *plan, struct err *e)
{
    return folder_of(plan->dir, "agents", e) != 0 || folder_of(plan->dir, "hooks", e) != 0
               ? -1
               : folder_of(plan->dir, "log", e);
}

int dev_files_coordinator(const struct dev_plan *plan, const char *database_url, struct err *e)
{
    SCOPED_BUFFER struct buffer settings = { 0 }, context = { 0 };

    buffer_printf(&settings,
                  "; written by `lockstep dev` at every start\n"
                  "[database]\nurl = %s\n\n"
                  "[http]\nlisten = %s\n\n"
                  "[router]\nbind = tcp://%s\nkey_file = %s/router.key\n\n"
                  "[coordinator]\nlease = 5s\nheartbeat = 1s\n\n"
                  "[secrets]\nprovider = file\nkey_file = %s/secrets.key\n\n"
                  "[log]\nlevel = info\nformat = text\n",
                  database_url, plan->http, plan->router, plan->dir, plan->dir);
    buffer_printf(&context,
                  "; found by `lockstep` in the folder above, or with --context %s\n"
                  "[context]\naddr = http://%s\ntoken_file = token\n",
                  plan->dir, plan->http);
    if (file_of(plan->dir, "hooks/validate", validate_hook, 0755, e) != 0 ||
        file_of(plan->dir, "hooks/check", check_hook, 0755, e) != 0 ||
        file_of(plan->dir, "lockstepd.ini", settings.data, 0600, e) != 0)
        return -1;
    return file_of(plan->dir, "context", context.data, 0600, e);
}

/* payments/prod -> payments-prod */
static void scope_file(struct buffer *out, const char *scope)
{
    buffer_add_text(out, scope);
    for (char *p = out->data; *p; p++)
        if (*p == '/')
            *p = '-';
}

static void add_scope(struct buffer *out, const struct dev_plan *plan, const char *folder,
                      unsigned number, const char *scope)
{
    SCOPED_BUFFER struct buffer file = { 0 }, files = { 0 };

    scope_file(&file, scope);
    buffer_printf(&files, "%s/files/%s", folder, file.data);
    buffer_printf(out,
                  "\n[scope %s]\n"
                  "document = json -> %s.json\n"
                  "file = greeting -> %s.greeting [optional]\n"
                  "file.break = demo.break -> %s.break [optional]\n"
                  "validate = %s/hooks/validate {document}\n"
                  "check = [ ! -e %s.break ] || %s/hooks/check %s.break server-%u\n"
                  "check_grace = 300ms\ncheck_attempts = 2\n"
                  "; many agents on one machine may be slow, and are not broken for that\n"
                  "validate_timeout = 60s\ncheck_timeout = 60s\n",
                  scope, files.data, files.data, files.data, plan->dir, files.data, plan->dir,
                  files.data, number);
}

int dev_files_agent(const struct dev_plan *plan, unsigned number, struct err *e)
{
    SCOPED_BUFFER struct buffer folder = { 0 }, settings = { 0 };

    buffer_printf(&folder, "%s/agents/server-%u", plan->dir, number);
    buffer_printf(&settings,
                  "; written by `lockstep dev` at every start\n"
                  "[agent]\nname = server-%u\ncoordinators = tcp://%s\n"
                  "server_key_file = %s/router.key.pub\nkey_file = %s/key\n"
                  "state_dir = %s/state\nlabels = zone=%c\n",
                  number, plan->router, plan->dir, folder.data, folder.data,
                  "abc"[(number - 1) % ZONES]);
    for (size_t i = 0; i < plan->scope_count; i++)
        add_scope(&settings, plan, folder.data, number, plan->scopes[i]);
    if (dev_files_folder(folder.data, 0700, e) != 0 || folder_of(folder.data, "files", e) != 0)
        return -1;
    return file_of(folder.data, "agent.ini", settings.data, 0600, e);
}
