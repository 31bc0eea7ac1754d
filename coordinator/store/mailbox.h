/* mailbox.h - pointers from one thread to another, first in first out, with a descriptor to poll. */
#ifndef COORDINATOR_STORE_MAILBOX_H
#define COORDINATOR_STORE_MAILBOX_H

struct mailbox;
typedef void mailbox_free_fn(void *item);

struct mailbox *mailbox_new(void);
/* What was not taken is given to free_item. */
void mailbox_free(struct mailbox *m, mailbox_free_fn *free_item);
void mailbox_put(struct mailbox *m, void *item); /* given away */
void *mailbox_take(struct mailbox *m);           /* NULL: nothing now */
int mailbox_fd(const struct mailbox *m);         /* readable while something lies in it */

#endif
