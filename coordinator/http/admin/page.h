/* page.h - the live page (dashboards/web), served from inside the program. */
#ifndef COORDINATOR_HTTP_ADMIN_PAGE_H
#define COORDINATOR_HTTP_ADMIN_PAGE_H

struct request;
struct reply;
struct err;

/* One embedded file of dashboards/web; the Makefile makes the table, which ends without a name. */
struct page_file {
    const char *name;     /* "app.js" */
    const char *at, *end; /* the byte at end is zero */
};
extern const struct page_file page_files[];

/* GET /, /app.js, /style.css. */
int page_get(struct request *rq, struct reply *re, struct err *e);

#endif
