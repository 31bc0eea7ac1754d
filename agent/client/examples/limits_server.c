/* limits_server.c - an example: a server that reads its limits live, and says which revision it runs.
 *
 *     cc limits_server.c -o limits_server $(pkg-config --cflags --libs liblockstep)
 *     ./limits_server payments/prod 8080
 *
 * Every connection is answered with one line. limits.per_second connections are served in a
 * second, the others are told to come again; server.greeting is what they hear. A revision that
 * asks for more than limits.ceiling is refused, and taken back on this server.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <lockstep.h>

#define CEILING 100000

static volatile sig_atomic_t is_asked_to_stop;

static void stop(int number)
{
    (void)number;
    is_asked_to_stop = 1;
}

/* Only on this machine: it is an example. */
static int listen_on(const char *port)
{
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
        perror("limits_server");
        exit(1);
    }
    return fd;
}

/* What belongs together is looked at in one snapshot. Then the agent is told: this process runs
 * it, or it cannot, and why. */
static void take_over(struct lockstep *config)
{
    const struct lockstep_snapshot *s = lockstep_hold(config);
    int64_t limit = lockstep_held_int(s, "limits.per_second", 10);
    int64_t ceiling = lockstep_held_int(s, "limits.ceiling", CEILING);
    int is_good = limit >= 0 && limit <= ceiling;

    lockstep_confirm(config, s, is_good ? NULL : "limits.per_second is above limits.ceiling");
    printf("revision %llu: %s\n", (unsigned long long)lockstep_held_revision(s),
           is_good ? "running" : "refused");
    fflush(stdout);
    lockstep_release(s);
}

/* A single value needs no snapshot: it is the newest at this moment. */
static int is_allowed(struct lockstep *config)
{
    static time_t second;
    static int64_t served;
    time_t now = time(NULL);

    if (now != second)
        served = 0;
    second = now;
    return served++ < lockstep_int(config, "limits.per_second", 10);
}

static void serve(struct lockstep *config, int listener)
{
    char greeting[200], line[300];
    int fd = accept(listener, NULL, NULL), size;

    if (fd < 0)
        return;
    lockstep_string(config, "server.greeting", "hello", greeting, sizeof(greeting));
    size = snprintf(line, sizeof(line), "%s (revision %llu)\n",
                    is_allowed(config) ? greeting : "come again later",
                    (unsigned long long)lockstep_revision(config));
    if (write(fd, line, (size_t)size) < 0)
        perror("limits_server");
    close(fd);
}

int main(int argc, char **argv)
{
    struct lockstep *config;
    struct pollfd fds[2];

    if (argc != 3) {
        fprintf(stderr, "usage: limits_server SERVICE/ENVIRONMENT PORT\n");
        return 2;
    }
    /* Without an agent it begins after two seconds, with the defaults that stand in the code. */
    if (lockstep_open(&config, argv[1], 2000) < 0) {
        fprintf(stderr, "limits_server: \"%s\" is no scope\n", argv[1]);
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    lockstep_register(config, "limits_server");
    take_over(config);
    fds[0].fd = listen_on(argv[2]);
    fds[1].fd = lockstep_fd(config);
    fds[0].events = fds[1].events = POLLIN;
    while (!is_asked_to_stop) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents && lockstep_changed(config) == 1)
            take_over(config);
        if (fds[0].revents)
            serve(config, fds[0].fd);
    }
    lockstep_close(config);
    return 0;
}
