/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine in memory, for a program that resets its functions: a bridge and what is behind it, as far as they act in a
 * reset. The time is a number that the program sets, so that nothing waits.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vpci.h"

#define SPACE 4096
#define MEMBERS 8
#define NEVER UINT64_MAX
#define MS 1000

#define BRIDGE 0x0008
#define FIRST 0x0100
#define VENDOR 0x8086

#define COMMAND 0x04
#define STATUS 0x06
#define CLASS 0x08
#define CACHE_LINE_SIZE 0x0c
#define HEADER_TYPE 0x0e
#define BAR0 0x10
#define BAR5 0x24
#define POINTER 0x34
#define INTERRUPT_LINE 0x3c
#define BRIDGE_CONTROL 0x3e
#define BUS_RESET 0x40

/* Where capabilities are; a port has the first alone. A write between two of them resets a Radeon. */
#define EXPRESS 0x40
#define RADEON 0x7c
#define MSIX 0x80
#define MSI 0x8c
#define POWER 0xa4
#define ADVANCED 0xac
#define PCI_X 0xb4
#define OTHERS 0xbc
#define EXTENDED 0x100

#define DEVICE_CAPABILITIES (EXPRESS + 0x04)
#define DEVICE_CONTROL (EXPRESS + 0x08)
#define LINK_CAPABILITIES (EXPRESS + 0x0c)
#define LINK_STATUS (EXPRESS + 0x12)
#define SLOT_CAPABILITIES (EXPRESS + 0x14)
#define SLOT_CONTROL (EXPRESS + 0x18)
#define SLOT_STATUS (EXPRESS + 0x1a)
#define LINK_CAPABILITIES_2 (EXPRESS + 0x2c)
#define PMCSR (POWER + 0x04)
#define AF_CONTROL (ADVANCED + 0x04)

/* Host addresses of BARs 0 and 5, with room for each sequence. */
#define MEMORY0 0x10000000
#define MEMORY5 0x20000000
#define MEMORY 0x100000

struct function {
    /* How it is set up, and how a reset leaves it. */
    uint8_t space[SPACE], learnt[SPACE], fresh[SPACE];
    /* It answers from then on. */
    uint64_t ready;
    /* It was told to reset itself. */
    bool asked;
    /* How often it did. */
    unsigned int resets;
    struct rvpci_physical *physical;
};

/* What a reset brings with it. */
enum fault {
    NONE,
    /* The functions need three seconds, and the link one of them. */
    LATE,
    /* The functions do not get ready. */
    NOT_READY,
    /* Nor is there a link. */
    LINK,
    /* They are pulled. */
    GONE,
    /* The last capability is another, a BAR takes no value. */
    LAYOUT, BAR,
    /* The bus stays in reset. */
    STUCK,
};

/* What functions are below. The crowded port has as many capabilities as there can be. */
enum above { ROOT_BUS, CONVENTIONAL, PORT, CROWDED_PORT };

struct reset {
    const char *figure;
    uint32_t method;
    enum above above;
    enum fault fault;
    uint32_t reason;
    /* The number of a sequence, and how often the device says that it is not done. */
    uint32_t sequence, busy;
};

static struct function bridge, functions[MEMBERS];
static struct reset reset = { .figure = "learn" };
static uint64_t now, link_up;
static uint32_t radeon_index;

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s, sequence %u, fault %u: %s\n", reset.figure, reset.sequence, reset.fault, what);
        exit(1);
    }
}

/* Of the host as well: a few instructions in Xen, whatever the count. */

void *memset(void *to, int byte, size_t count)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(byte) : "memory");
    return start;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return start;
}

static uint32_t get(const uint8_t *space, unsigned int offset, unsigned int bytes)
{
    uint32_t value = 0;

    for (unsigned int i = 0; i < bytes; i++)
        value |= (uint32_t)space[offset + i] << 8 * i;
    return value;
}

static void put(uint8_t *space, unsigned int offset, unsigned int bytes, uint32_t value)
{
    for (unsigned int i = 0; i < bytes; i++)
        space[offset + i] = value >> 8 * i;
}

static struct function *of(uint32_t sbdf)
{
    check(sbdf == BRIDGE || sbdf - FIRST < MEMBERS, "a function of the machine");
    return sbdf == BRIDGE ? &bridge : &functions[sbdf - FIRST];
}

/* The hardware. A function resets itself between two steps: none does more with it after having told it. */

uint32_t rvpci_host_config_read(uint32_t sbdf, uint32_t offset, uint32_t bytes)
{
    const struct function *function = of(sbdf);
    uint32_t ones = ~0U >> (32 - 8 * bytes);

    if (function == &bridge && offset == LINK_STATUS && now < link_up)
        return 0;
    if (function->ready <= now)
        return get(function->space, offset, bytes);
    /* Configuration RRS Software Visibility. */
    return offset || reset.fault == GONE ? ones : ones & 0xffff0001;
}

void rvpci_host_config_write(uint32_t sbdf, uint32_t offset, uint32_t bytes, uint32_t value)
{
    struct function *function = of(sbdf);
    uint32_t cleared = get(function->space, offset, bytes) & ~value;

    if (function->ready > now || offset < COMMAND || (offset == BAR0 && reset.fault == BAR))
        return;
    if (function == &bridge && offset == BRIDGE_CONTROL && cleared & BUS_RESET) {
        if (reset.fault == STUCK)
            return;
        for (unsigned int i = 0; i < MEMBERS; i++)
            functions[i].asked = true;
    }
    if (function != &bridge)
        function->asked |= (offset == DEVICE_CONTROL && value & 0x8000) || (offset == AF_CONTROL && value & 1) ||
                           (offset == PMCSR && cleared & 3) || offset == RADEON;
    put(function->space, offset, bytes, value);
}

static bool is_busy(void)
{
    return reset.busy && reset.busy--;
}

/* What sequences look at; HINIC's is big-endian. */
uint32_t rvpci_host_memory_read(uint32_t sbdf, uint64_t address)
{
    switch (address) {
    case MEMORY0 + 0x14: /* NVMe, CC: EN. */
        return 1;
    case MEMORY0 + 0x1c: /* CSTS: RDY. */
        return is_busy();
    case MEMORY0 + 0xc7200: /* Ivy Bridge's panel. */
        return is_busy() ? 0xb0000000 : 0;
    case MEMORY0 + 0x1000: /* HINIC's firmware takes part. */
        return __builtin_bswap32(1 << 30);
    case MEMORY0 + 0xe80:
        return is_busy() ? __builtin_bswap32(1 << 18) : 0;
    case MEMORY5 + 0x204: /* The program counter of Radeon's management controller. */
        return radeon_index == 0x80000370 ? 0x20100 : 0;
    case MEMORY5 + 0x5428: /* The size of its memory. */
        return is_busy() ? ~0U : 0;
    default:
        return 0;
    }
}

void rvpci_host_memory_write(uint32_t sbdf, uint64_t address, uint32_t value)
{
    if (address == MEMORY5 + 0x200)
        radeon_index = value;
    else if (address == MEMORY0 + 0xd0100)
        of(sbdf)->asked = true;
}

int32_t rvpci_host_withdraw(uint32_t sbdf) { return RVPCI_DONE; }
bool rvpci_host_claim(uint32_t sbdf) { return true; }
void rvpci_host_release(uint32_t sbdf) {}
bool rvpci_host_claim_bus(uint32_t bridge, uint32_t first) { return true; }
void rvpci_host_release_bus(uint32_t bridge, uint32_t first) {}

/* Those that were told to reset themselves do. */
static void settle(void)
{
    for (unsigned int i = 0; i < MEMBERS; i++) {
        struct function *function = &functions[i];

        if (!function->asked)
            continue;
        function->asked = false;
        function->resets++;
        memcpy(function->space, function->fresh, SPACE);
        if (reset.fault == LATE) {
            function->ready = now + 3000 * MS;
            link_up = now + 1000 * MS;
        } else if (reset.fault == NOT_READY || reset.fault == LINK || reset.fault == GONE) {
            function->ready = NEVER;
            link_up = reset.fault == NOT_READY ? now : NEVER;
        }
        if (reset.fault == GONE)
            put(bridge.space, SLOT_STATUS, 2, 0);
    }
}

/* Configuration spaces. */

static void make_header(uint8_t *space, uint16_t id, uint32_t class, uint8_t type)
{
    memset(space, 0, SPACE);
    put(space, 0, 4, (uint32_t)id << 16 | VENDOR);
    put(space, CLASS, 4, class << 8);
    put(space, HEADER_TYPE, 1, type);
}

static void add_standard(uint8_t *space, unsigned int at, uint8_t id)
{
    put(space, at, 2, id | get(space, POINTER, 1) << 8);
    put(space, POINTER, 1, at);
    put(space, STATUS, 2, 0x10);
}

/* Adds a capability of `bytes` at `at`, and returns where the next one can be. `*last` is the one before. */
static unsigned int add_extended(uint8_t *space, unsigned int *last, unsigned int at, uint16_t id, unsigned int bytes)
{
    put(space, at, 4, 1 << 16 | id);
    if (*last)
        put(space, *last + 2, 2, at << 4 | 1);
    *last = at;
    return at + bytes;
}

/* Each dword becomes a capability, and PCI Express is the last: nothing keeps a device from saying so. */
static void crowd(uint8_t *space)
{
    for (unsigned int at = EXPRESS; at < EXTENDED; at += 4) {
        if (!get(space, at, 1))
            put(space, at, 1, 0x09);
        put(space, at + 1, 1, at + 4);
    }
    put(space, EXTENDED - 3, 1, EXPRESS);
    put(space, EXPRESS + 1, 1, 0);
    put(space, POINTER, 1, EXPRESS + 4);
}

/* A root port with a hot-plug slot and a link of 16 GT/s, or a bridge to conventional PCI without capabilities. */
static void make_bridge(enum above above)
{
    uint8_t *space = bridge.space;

    make_header(space, 0xa340, 0x060400, 1);
    if (above < PORT)
        return;
    add_standard(space, EXPRESS, 0x10);
    put(space, EXPRESS + 2, 2, 0x0142);
    put(space, LINK_CAPABILITIES, 4, 1 << 20);
    put(space, LINK_STATUS, 2, 0x2000);
    put(space, SLOT_CAPABILITIES, 4, 0x40);
    put(space, SLOT_CONTROL, 2, 0x1008);
    put(space, SLOT_STATUS, 2, 0x40);
    put(space, LINK_CAPABILITIES_2, 4, 0x1e);
    if (above == CROWDED_PORT)
        crowd(space);
}

/* An NVMe controller with PCI Express, MSI-X and power management. */
static void make_controller(uint8_t *space)
{
    make_header(space, 0x0a55, 0x010802, 0);
    put(space, COMMAND, 2, 0x0406);
    put(space, CACHE_LINE_SIZE, 1, 0x10);
    put(space, BAR0, 4, MEMORY0);
    put(space, BAR5, 4, MEMORY5);
    put(space, INTERRUPT_LINE, 1, 11);
    add_standard(space, EXPRESS, 0x10);
    put(space, EXPRESS + 2, 2, 0x0002);
    put(space, DEVICE_CAPABILITIES, 4, 1 << 28);
    put(space, DEVICE_CONTROL, 2, 0x2810);
    add_standard(space, MSIX, 0x11);
    put(space, MSIX + 2, 2, 0x001f);
    add_standard(space, POWER, 0x01);
}

/* With AER, a serial number, LTR and L1 substates. */
static void make_typical(uint8_t *space)
{
    unsigned int last = 0, at = EXTENDED;

    make_controller(space);
    at = add_extended(space, &last, at, 0x01, 0x48);
    at = add_extended(space, &last, at, 0x03, 0x0c);
    at = add_extended(space, &last, at, 0x18, 0x08);
    add_extended(space, &last, at, 0x1e, 0x10);
}

/*
 * With each register that a reset restores, as often as it can be there, and `more` capabilities that are nothing but
 * a header, or have standard ones wherever they can be as well. Returns where the last one is.
 */
static unsigned int make_large(uint8_t *space, unsigned int more, bool crowded)
{
    static const struct {
        uint8_t id, bytes;
    } all[] = {
        { 0x01, 0x2c }, { 0x0d, 0x08 }, { 0x0f, 0x08 }, { 0x10, 0x40 }, { 0x13, 0x10 }, { 0x18, 0x08 },
        { 0x1b, 0x08 }, { 0x1e, 0x10 }, { 0x1f, 0x0c }, { 0x02, 0x74 }, { 0x15, 0x38 },
    };
    unsigned int last = 0, at = EXTENDED, i;

    make_controller(space);
    add_standard(space, MSI, 0x05);
    put(space, MSI + 2, 2, 0x0180);
    add_standard(space, ADVANCED, 0x13);
    put(space, ADVANCED + 2, 2, 0x0306);
    add_standard(space, PCI_X, 0x07);
    for (i = OTHERS; i < EXTENDED; i += 4)
        add_standard(space, i, 0x09);
    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        /* Eight virtual channels, six resizable BARs. */
        if (all[i].id == 0x02)
            put(space, at + 4, 4, 7);
        else if (all[i].id == 0x15)
            put(space, at + 8, 4, 6 << 5);
        at = add_extended(space, &last, at, all[i].id, all[i].bytes);
    }
    for (i = 0; i < more; i++)
        at = add_extended(space, &last, at, 0x03, 4);
    if (crowded)
        crowd(space);
    return last;
}

#endif
