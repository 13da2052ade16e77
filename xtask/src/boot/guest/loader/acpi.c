// SPDX-License-Identifier: MIT OR Apache-2.0
/* The ACPI tables of a guest (ACPI 6.5): hardware-reduced; with the MCH, MCFG tells where ECAM is. */
#include "acpi.h"

void put(struct bytes *b, uint64_t value, unsigned int size)
{
    for ( ; size; size--, value >>= 8 )
    {
        if ( b->used < b->room )
            b->at[b->used] = value;
        b->used++;
    }
}

void put_text(struct bytes *b, const char *text, unsigned int size)
{
    for ( unsigned int i = 0; i < size; i++ )
        put(b, *text ? *text++ : ' ', 1);
}

void patch(struct bytes *b, size_t at, uint64_t value, unsigned int size)
{
    struct bytes there = { b->at, at, b->room };

    put(&there, value, size);
}

/* Makes the bytes from `from` on add up to 0, by the one at `at`. */
static void check(struct bytes *b, size_t from, size_t at)
{
    uint8_t sum = 0;

    if ( b->used > b->room )
        return;
    for ( size_t i = from; i < b->used; i++ )
        sum += b->at[i];
    b->at[at] -= sum;
}

size_t table_start(struct bytes *b, const char *signature, uint8_t revision)
{
    size_t start;

    while ( b->used % 16 )
        put(b, 0, 1);
    start = b->used;
    put_text(b, signature, 4);
    put(b, 0, 4);
    put(b, revision, 1);
    put(b, 0, 1);
    put_text(b, "RVPCI", 6);
    put_text(b, "GUEST", 8);
    put(b, 1, 4);
    put_text(b, "RVPC", 4);
    put(b, 1, 4);

    return start;
}

void table_end(struct bytes *b, size_t start)
{
    patch(b, start + 4, b->used - start, 4);
    check(b, start, start + 9);
}

/* PCI Firmware 4.1.2: where the window is. */
static size_t mcfg(struct bytes *b, struct ecam ecam)
{
    size_t start = table_start(b, "MCFG", 1);

    put(b, 0, 8);
    put(b, ecam.base, 8);
    /* Segment, first and last bus. */
    put(b, 0, 2);
    put(b, 0, 1);
    put(b, ecam.size / MIB - 1, 1);
    put(b, 0, 4);
    table_end(b, start);

    return start;
}

/* 5.2.9, revision 5: nothing of a PC's fixed hardware is there. */
static size_t fadt(struct bytes *b, size_t dsdt_at)
{
    enum { DSDT = 40, BOOT_FLAGS = 109, FLAGS = 112, X_DSDT = 140, LENGTH = 268 };
    enum { NO_VGA = 1 << 2, NO_CMOS_RTC = 1 << 5, HW_REDUCED = 1 << 20 };
    size_t start = table_start(b, "FACP", 5);

    while ( b->used < start + LENGTH )
        put(b, 0, 1);
    patch(b, start + DSDT, ACPI_AT + dsdt_at, 4);
    patch(b, start + BOOT_FLAGS, NO_VGA | NO_CMOS_RTC, 2);
    patch(b, start + FLAGS, HW_REDUCED, 4);
    patch(b, start + X_DSDT, ACPI_AT + dsdt_at, 8);
    table_end(b, start);

    return start;
}

/* 5.2.12: local APICs, whose IDs Xen gives out by twos. */
static size_t madt(struct bytes *b, unsigned int vcpus)
{
    size_t start = table_start(b, "APIC", 3);

    put(b, 0xfee00000, 4);
    put(b, 0, 4);
    for ( unsigned int i = 0; i < vcpus; i++ )
    {
        put(b, 0, 1);
        put(b, 8, 1);
        put(b, i, 1);
        put(b, 2 * i, 1);
        put(b, 1, 4);
    }
    table_end(b, start);

    return start;
}

size_t acpi_build(uint8_t *at, size_t room, const struct guest *g)
{
    enum { RSDP_V1 = 20, RSDP = 36 };
    struct bytes all = { at, 0, room }, *b = &all;
    struct ecam ecam = guest_ecam(g);
    size_t tables[3], xsdt;
    unsigned int used = 0;

    for ( unsigned int i = 0; i < RSDP; i++ )
        put(b, 0, 1);
    tables[used++] = fadt(b, dsdt(b, g));
    tables[used++] = madt(b, g->vcpus);
    if ( ecam.size )
        tables[used++] = mcfg(b, ecam);
    xsdt = table_start(b, "XSDT", 1);
    for ( unsigned int i = 0; i < used; i++ )
        put(b, ACPI_AT + tables[i], 8);
    table_end(b, xsdt);
    if ( b->used > room )
        return 0;

    /* 5.2.5.3: the root pointer, which stands first. */
    struct bytes root = { at, 0, RSDP };

    put_text(&root, "RSD PTR ", 8);
    put(&root, 0, 1);
    put_text(&root, "RVPCI", 6);
    put(&root, 2, 1);
    put(&root, 0, 4);
    check(&root, 0, 8);
    put(&root, RSDP, 4);
    put(&root, ACPI_AT + xsdt, 8);
    put(&root, 0, 4);
    check(&root, 0, 32);

    return b->used;
}
