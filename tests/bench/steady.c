/* steady.c - one thread, many connections, a timetable. */
#include "tests/bench/steady.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"

#define ANSWER_MAX 65536
#define LOT 256

struct connection {
    int fd;
    int64_t due_us; /* of the request it waits for */
    size_t size;
    char answer[ANSWER_MAX];
};

struct steady {
    const struct steady_settings *settings;
    struct connection *connections;
    struct connection **idle;
    size_t idle_count;
    struct buffer requests;  /* all of them, one after the other */
    size_t *ends, count;     /* where each ends */
    uint64_t sent, answered, bad;
    int64_t began_us;
    int64_t *taken_us;
    int epoll;
};

/* ---------------------------------------------------------------- requests */

static void add_request(struct steady *s, const char *target)
{
    buffer_printf(&s->requests, "GET %s HTTP/1.1\r\nHost: %s\r\n", target, s->settings->address);
    if (s->settings->token)
        buffer_printf(&s->requests, "Authorization: Bearer %s\r\n", s->settings->token);
    buffer_add_text(&s->requests, "\r\n");
    s->ends = realloc(s->ends, (s->count + 1) * sizeof(*s->ends));
    MUST(s->ends);
    s->ends[s->count++] = s->requests.size;
}

static int read_targets(struct steady *s)
{
    FILE *f = fopen(s->settings->targets, "r");
    char line[2048];

    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        add_request(s, line);
    }
    fclose(f);
    return s->count > 0 ? 0 : -1;
}

/* ---------------------------------------------------------------- connections */

static int open_connection(struct steady *s, struct connection *c)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    char host[64] = "";
    unsigned port = 0;
    int one = 1;

    if (sscanf(s->settings->address, "%63[^:]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, host, &at.sin_addr) != 1)
        return -1;
    at.sin_port = htons((uint16_t)port);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s->idle[s->idle_count++] = c;
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static int64_t due_us(const struct steady *s, uint64_t n)
{
    return s->began_us + (int64_t)(n * 1000000 / s->settings->rate);
}

static int ask(struct steady *s)
{
    struct connection *c = s->idle[--s->idle_count];
    size_t at = s->sent % s->count, from = at ? s->ends[at - 1] : 0;
    size_t size = s->ends[at] - from;

    c->due_us = due_us(s, s->sent++);
    c->size = 0;
    return send(c->fd, s->requests.data + from, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

/* The whole answer is there: headers, and as many bytes as they say. */
static bool is_complete(struct connection *c)
{
    const char *end, *length;

    c->answer[c->size] = '\0';
    end = strstr(c->answer, "\r\n\r\n");
    if (!end)
        return false;
    length = strcasestr(c->answer, "\r\nContent-Length:");
    MUST(length && length < end);
    return c->size >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static int hear(struct steady *s, struct connection *c)
{
    ssize_t got = recv(c->fd, c->answer + c->size, ANSWER_MAX - 1 - c->size, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        return -1;
    c->size += (size_t)got;
    if (!is_complete(c))
        return 0;
    s->bad += strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0;
    s->taken_us[s->answered++] = clock_monotonic_us() - c->due_us;
    s->idle[s->idle_count++] = c;
    return 0;
}

/* ---------------------------------------------------------------- the run */

/* Until an answer comes or the next request is due, which is known to the microsecond. */
static int wait_events(struct steady *s, struct epoll_event *events, uint64_t wanted)
{
    int64_t left_us = 1000000;

    if (s->idle_count > 0 && s->sent < wanted)
        left_us = due_us(s, s->sent) - clock_monotonic_us();
    if (left_us < 0)
        left_us = 0;
    return epoll_pwait2(s->epoll, events, LOT,
                        &(struct timespec){ .tv_sec = left_us / 1000000,
                                            .tv_nsec = left_us % 1000000 * 1000 }, NULL);
}

static int play(struct steady *s, uint64_t wanted)
{
    struct epoll_event events[LOT];

    s->began_us = clock_monotonic_us();
    while (s->answered < wanted) {
        int n;

        while (s->sent < wanted && s->idle_count > 0 && due_us(s, s->sent) <= clock_monotonic_us())
            if (ask(s) < 0)
                return -1;
        n = wait_events(s, events, wanted);
        for (int i = 0; i < n; i++)
            if (hear(s, events[i].data.ptr) < 0)
                return -1;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void tell(struct steady *s)
{
    double seconds = (double)(clock_monotonic_us() - s->began_us) / 1e6;
    const int64_t *t = s->taken_us;
    uint64_t n = s->answered;

    qsort(s->taken_us, n, sizeof(*t), compare);
    printf("steady %.1f %.3f %.3f %.3f %.3f %llu\n", (double)n / seconds, (double)t[n / 2] / 1e3,
           (double)t[n - 1 - n / 100] / 1e3, (double)t[n - 1 - n / 1000] / 1e3,
           (double)t[n - 1] / 1e3, (unsigned long long)s->bad);
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int steady_run(const struct steady_settings *settings)
{
    struct steady s = { .settings = settings, .epoll = epoll_create1(0) };
    uint64_t wanted = (uint64_t)settings->rate * settings->seconds;

    if (read_targets(&s) < 0)
        return fail(settings->targets);
    s.connections = calloc(settings->connections, sizeof(*s.connections));
    s.idle = calloc(settings->connections, sizeof(struct connection *));
    s.taken_us = calloc(wanted, sizeof(*s.taken_us));
    MUST(s.connections && s.idle && s.taken_us);
    for (size_t i = 0; i < settings->connections; i++)
        if (open_connection(&s, &s.connections[i]) < 0)
            return fail(settings->address);
    if (play(&s, wanted) < 0)
        return fail("a connection ended");
    tell(&s);
    for (size_t i = 0; i < settings->connections; i++)
        close(s.connections[i].fd);
    close(s.epoll);
    buffer_fini(&s.requests);
    free(s.ends);
    free(s.connections);
    free(s.idle);
    free(s.taken_us);
    return 0;
}
