// SPDX-License-Identifier: MIT OR Apache-2.0
/* The configuration space of a device model's function (PCI 3.0, 6.1): type 0, no BARs, no capabilities. */
#include <string.h>

#include "server.h"

enum {
    VENDOR = 0x00,
    DEVICE = 0x02,
    CLASS = 0x0b,
    HEADER_END = 0x40,
    DOORBELL = 0xf8,
};

/* An id that no driver takes. */
enum { NOBODY = 0x1234, UNASSIGNED_CLASS = 0xff };

void function_init(struct function *f, uint32_t sbdf)
{
    uint8_t slot = sbdf;

    *f = (struct function) { .sbdf = sbdf, .claimed = true };
    f->config[VENDOR] = NOBODY & 0xff;
    f->config[VENDOR + 1] = NOBODY >> 8;
    f->config[DEVICE] = slot;
    f->config[CLASS] = UNASSIGNED_CLASS;
    /* Neighbours differ, and so do the same registers of two pages and of two slots. */
    for ( unsigned int at = HEADER_END; at < CONFIG_SIZE; at++ )
        f->config[at] = 7 * at + 13 * (at >> 8) + slot;
}

/* Whether a write leaves something there. */
static bool stores(unsigned int at)
{
    return at >= HEADER_END && (at & ~3U) != DOORBELL;
}

uint32_t function_read(const struct function *f, uint32_t at, unsigned int size)
{
    uint32_t value = 0;

    if ( (at & ~3U) == DOORBELL )
        value = f->status >> 8 * (at & 3);
    else
        memcpy(&value, f->config + at, size);

    return value & (0xffffffffU >> (32 - 8 * size));
}

bool function_write(struct function *f, uint32_t at, unsigned int size, uint32_t value)
{
    for ( unsigned int i = 0; i < size && stores(at); i++, value >>= 8 )
        f->config[at + i] = value;

    return at == DOORBELL && size == 4;
}
