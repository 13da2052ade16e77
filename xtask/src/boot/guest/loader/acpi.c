// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The ACPI tables of a guest (ACPI 6.5): hardware-reduced, one PCI root without a window into ECAM.
 */
#include <string.h>

#include "guest.h"

/* Bytes in the making. Running out of room is noticed at the end. */
struct bytes {
    uint8_t *at;
    size_t used, room;
};

static void put(struct bytes *b, uint64_t value, unsigned int size)
{
    for ( ; size; size--, value >>= 8 )
    {
        if ( b->used < b->room )
            b->at[b->used] = value;
        b->used++;
    }
}

static void put_text(struct bytes *b, const char *text, unsigned int size)
{
    for ( unsigned int i = 0; i < size; i++ )
        put(b, *text ? *text++ : ' ', 1);
}

static void patch(struct bytes *b, size_t at, uint64_t value, unsigned int size)
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

/* 5.2.6: the head of a table. table_end fills in the length and the checksum. */
static size_t table_start(struct bytes *b, const char *signature, uint8_t revision)
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

static void table_end(struct bytes *b, size_t start)
{
    patch(b, start + 4, b->used - start, 4);
    check(b, start, start + 9);
}

/*
 * AML (chapter 20). An object's length comes before its content: always in its two-byte form here (20.2.4), which counts
 * itself and goes up to 4095.
 */
enum {
    AML_NAME = 0x08, AML_DWORD = 0x0c, AML_SCOPE = 0x10, AML_BUFFER = 0x11, AML_EXTENDED = 0x5b, AML_DEVICE = 0x82,
};

static size_t aml_length(struct bytes *b)
{
    put(b, 0, 2);

    return b->used - 2;
}

static void aml_close(struct bytes *b, size_t length)
{
    size_t size = b->used - length;

    patch(b, length, 0x40 | (size & 0xf) | ((size >> 4) << 8), 2);
}

static void aml_name(struct bytes *b, const char *name)
{
    put(b, AML_NAME, 1);
    put_text(b, name, 4);
}

/* 6.4.3.5.2, 6.4.3.5.3: an address range that the root passes on to its children; both ends are fixed. */
static void aml_range(struct bytes *b, unsigned int width, uint8_t type, uint8_t flags, uint64_t first, uint64_t last)
{
    put(b, width == 4 ? 0x87 : 0x88, 1);
    put(b, 3 + 5 * width, 2);
    put(b, type, 1);
    put(b, 0x0c, 1);
    put(b, flags, 1);
    put(b, 0, width);
    put(b, first, width);
    put(b, last, width);
    put(b, 0, width);
    put(b, last - first + 1, width);
}

/* _CRS: buses 0 to ff, the ports of configuration mechanism 1, the hole as the window for BARs. */
static void aml_resources(struct bytes *b)
{
    size_t length, size, start;

    aml_name(b, "_CRS");
    put(b, AML_BUFFER, 1);
    length = aml_length(b);
    put(b, AML_DWORD, 1);
    size = b->used;
    put(b, 0, 4);
    start = b->used;
    aml_range(b, 2, 2, 0, 0, 0xff);
    /* 6.4.2.5: an I/O port descriptor with 16-bit decode. */
    put(b, 0x47, 1);
    put(b, 1, 1);
    put(b, 0xcf8, 2);
    put(b, 0xcf8, 2);
    put(b, 1, 1);
    put(b, 8, 1);
    /* Memory, writable, not cacheable. */
    aml_range(b, 4, 0, 1, HOLE_START, HOLE_END - 1);
    /* 6.4.2.9: the end; a checksum of 0 counts as good. */
    put(b, 0x79, 2);
    patch(b, size, b->used - start, 4);
    aml_close(b, length);
}

static size_t dsdt(struct bytes *b)
{
    size_t start = table_start(b, "DSDT", 2), scope, device;

    put(b, AML_SCOPE, 1);
    scope = aml_length(b);
    put_text(b, "_SB_", 4);
    put(b, AML_EXTENDED | AML_DEVICE << 8, 2);
    device = aml_length(b);
    put_text(b, "PCI0", 4);
    /* PNP0A03: a PCI host bridge, as a compressed EISA name (19.3.4). */
    aml_name(b, "_HID");
    put(b, AML_DWORD, 1);
    put(b, 0x030ad041, 4);
    aml_name(b, "_BBN");
    put(b, 0, 1);
    aml_resources(b);
    aml_close(b, device);
    aml_close(b, scope);
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

size_t acpi_build(uint8_t *at, size_t room, unsigned int vcpus)
{
    enum { RSDP_V1 = 20, RSDP = 36 };
    struct bytes all = { at, 0, room }, *b = &all;
    size_t tables[3], xsdt;

    for ( unsigned int i = 0; i < RSDP; i++ )
        put(b, 0, 1);
    tables[2] = dsdt(b);
    tables[0] = fadt(b, tables[2]);
    tables[1] = madt(b, vcpus);
    xsdt = table_start(b, "XSDT", 1);
    put(b, ACPI_AT + tables[0], 8);
    put(b, ACPI_AT + tables[1], 8);
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
