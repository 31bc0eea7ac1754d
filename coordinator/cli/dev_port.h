/* dev_port.h - the addresses that `lockstep dev` listens on: read, found, checked. */
#ifndef CLI_DEV_PORT_H
#define CLI_DEV_PORT_H

#include "common/err.h"

#define DEV_PORT_SIZE 128

/* HOST:PORT, or a port alone: this machine; port 0: any that is free. given NULL: the preset. -1:
 * no address. */
int dev_port_take(const char *given, const char *preset, char out[DEV_PORT_SIZE])
    __attribute__((warn_unused_result));

/* Nobody listens there yet. Else our coordinator would fail, and we would speak to a stranger's. */
int dev_port_check(const char *option, const char *address, struct err *e)
    __attribute__((warn_unused_result));

#endif
