// SPDX-License-Identifier: MIT OR Apache-2.0
/* A device model with PCI functions that the guest can tell from each other and from any other device. */
#ifndef LOADER_SERVER_H
#define LOADER_SERVER_H

#include "guest.h"

#define CONFIG_SIZE 4096U
#define MAX_FUNCTIONS 32
#define MAX_RANGES 4

struct server_options {
    bool extended;                      /* it has the registers from 0x100 on */
    struct { uint32_t first, last; } ranges[MAX_RANGES];
    unsigned int nr_ranges;
};

/*
 * What a guest writes to a function's doorbell: an operation (bits 31:24) and bus, device, function (bits 15:0). It is done when
 * the write is. The register then reads 0, or the errno.
 */
enum {
    RING_CLAIM = 1,
    RING_RELEASE = 2,
    RING_LEAVE = 3,                     /* the server releases everything and goes */
    RING_CALL = 4,                      /* nothing; it is for whoever reads what the server prints */
};

struct function {
    uint32_t sbdf;
    bool claimed;
    uint32_t status;                    /* of the doorbell */
    uint8_t config[CONFIG_SIZE];
};

/* function.c. Accesses are within a dword. */
void function_init(struct function *f, uint32_t sbdf);
uint32_t function_read(const struct function *f, uint32_t at, unsigned int size);
/* Whether it rang the doorbell. */
bool function_write(struct function *f, uint32_t at, unsigned int size, uint32_t value);

/* server.c: serves until SIGTERM, or until the guest sends it away. Prints `ready as ID` when it has what it shall have. */
bool serve(domid_t domain, const struct server_options *options);

#endif
