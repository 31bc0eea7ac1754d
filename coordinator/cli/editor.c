/* editor.c - a text in the editor of whoever sits there. */
#include "coordinator/cli/editor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/document/document.h"

int editor_begin(const struct buffer *text, const char *ending, char path_out[EDITOR_PATH_SIZE],
                 struct err *e)
{
    const char *folder = getenv("TMPDIR");
    int fd;

    snprintf(path_out, EDITOR_PATH_SIZE, "%.400s/lockstep-XXXXXX%.100s",
             folder && *folder ? folder : "/tmp", ending);
    fd = mkstemps(path_out, (int)strlen(ending));
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "cannot make %.200s: %s", path_out, strerror(errno));
    if ((text->size && write(fd, text->data, text->size) != (ssize_t)text->size) ||
        close(fd) != 0) {
        err_set(e, ERR_SYSTEM, "cannot write %.200s: %s", path_out, strerror(errno));
        unlink(path_out);
        return -1;
    }
    return 0;
}

/* Ctrl-C in the editor is the editor's. */
static int run(const char *path)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, kept_int, kept_quit;
    int status = -1;
    pid_t pid;

    sigaction(SIGINT, &ignore, &kept_int);
    sigaction(SIGQUIT, &ignore, &kept_quit);
    pid = fork();
    if (pid == 0) {
        sigaction(SIGINT, &kept_int, NULL);
        sigaction(SIGQUIT, &kept_quit, NULL);
        execl("/bin/sh", "sh", "-c", "exec ${VISUAL:-${EDITOR:-vi}} \"$1\"", "sh", path,
              (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    sigaction(SIGINT, &kept_int, NULL);
    sigaction(SIGQUIT, &kept_quit, NULL);
    return status;
}

int editor_run(const char *path, struct buffer *text_out, struct err *e)
{
    int status = run(path);

    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, ERR_SYSTEM,
                       "the editor (VISUAL, EDITOR, or vi) ended badly%s: nothing was written",
                       status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 127
                           ? ", or is not there"
                           : "");
    buffer_clear(text_out);
    return buffer_read_file(text_out, path, DOCUMENT_SIZE_MAX, e);
}
