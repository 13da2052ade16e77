// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The guest's devices as ACPI 6.5 names them: one PCI root. With the MCH, it is one of PCI Express, and the ECAM window is kept
 * for itself (PCI Firmware 3.3, 4.1).
 */
#include "acpi.h"

/*
 * AML (ACPI chapter 20). An object's length comes before its content: always in its two-byte form here (20.2.4), which counts
 * itself and goes up to 4095.
 */
enum {
    AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_DWORD = 0x0c, AML_SCOPE = 0x10, AML_BUFFER = 0x11,
    AML_METHOD = 0x14, AML_EXTENDED = 0x5b, AML_ARGUMENT = 0x68, AML_OR = 0x7d, AML_DEVICE = 0x82,
    AML_CREATE_DWORD_FIELD = 0x8a, AML_NOT = 0x92, AML_EQUAL = 0x93, AML_IF = 0xa0, AML_RETURN = 0xa4,
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

/* What a device is, as a compressed EISA name (19.3.4): `name` is _HID or _CID. */
enum { PNP0A03 = 0x030ad041, PNP0A08 = 0x080ad041, PNP0C02 = 0x020cd041 };

static void aml_id(struct bytes *b, const char *name, uint32_t id)
{
    aml_name(b, name);
    put(b, AML_DWORD, 1);
    put(b, id, 4);
}

static size_t aml_device(struct bytes *b, const char *name)
{
    size_t length;

    put(b, AML_EXTENDED | AML_DEVICE << 8, 2);
    length = aml_length(b);
    put_text(b, name, 4);

    return length;
}

/* 6.4.3.5: who has a range, the device itself or what is behind it. */
enum owner { BEHIND = 0, ITSELF = 1 };
enum { MEMORY = 0, BUSES = 2 };

/* 6.4.3.5.1 to 6.4.3.5.3: an address range; both ends are fixed. */
static void aml_range(struct bytes *b, unsigned int width, uint8_t type, enum owner owner, uint8_t flags, uint64_t first,
                      uint64_t last)
{
    put(b, width == 2 ? 0x88 : width == 4 ? 0x87 : 0x8a, 1);
    put(b, 3 + 5 * width, 2);
    put(b, type, 1);
    put(b, 0x0c | owner, 1);
    put(b, flags, 1);
    put(b, 0, width);
    put(b, first, width);
    put(b, last, width);
    put(b, 0, width);
    put(b, last - first + 1, width);
}

/* Memory that can be written and is not cached, from `first` up to but not including `end`; if there is any. */
static void aml_memory(struct bytes *b, enum owner owner, uint64_t first, uint64_t end)
{
    if ( first < end )
        aml_range(b, end > 1UL << 32 ? 8 : 4, MEMORY, owner, 1, first, end - 1);
}

/* A buffer of resources. */
struct resources {
    size_t length, size, start;
};

static struct resources aml_resources(struct bytes *b)
{
    struct resources r;

    aml_name(b, "_CRS");
    put(b, AML_BUFFER, 1);
    r.length = aml_length(b);
    put(b, AML_DWORD, 1);
    r.size = b->used;
    put(b, 0, 4);
    r.start = b->used;

    return r;
}

/* 6.4.2.9: the end; a checksum of 0 counts as good. */
static void aml_resources_end(struct bytes *b, struct resources r)
{
    put(b, 0x79, 2);
    patch(b, r.size, b->used - r.start, 4);
    aml_close(b, r.length);
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t upper(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The root's: its buses, the ports of configuration mechanism 1, the hole as the window for BARs, without ECAM. */
static void root_resources(struct bytes *b, struct ecam ecam)
{
    struct resources r = aml_resources(b);

    aml_range(b, 2, BUSES, BEHIND, 0, 0, ecam.size ? ecam.size / MIB - 1 : 0xff);
    /* 6.4.2.5: an I/O port descriptor with 16-bit decode. */
    put(b, 0x47, 1);
    put(b, 1, 1);
    put(b, 0xcf8, 2);
    put(b, 0xcf8, 2);
    put(b, 1, 1);
    put(b, 8, 1);
    if ( ecam.size )
    {
        aml_memory(b, BEHIND, HOLE_START, lower(HOLE_END, ecam.base));
        aml_memory(b, BEHIND, upper(HOLE_START, ecam.base + ecam.size), HOLE_END);
    }
    else
        aml_memory(b, BEHIND, HOLE_START, HOLE_END);
    aml_resources_end(b, r);
}

/* dword |= value, by name. */
static void aml_or(struct bytes *b, const char *name, uint8_t value)
{
    put(b, AML_OR, 1);
    put_text(b, name, 4);
    put(b, AML_BYTE, 1);
    put(b, value, 1);
    put_text(b, name, 4);
}

/*
 * _OSC (6.2.11, PCI Firmware 4.5.1): the system may control all that it asks for. There is no firmware that would, and what the
 * guest does not have stays hidden. Bits of the first dword say what was not understood: the UUID, or the revision.
 *
 *     Method (_OSC, 4, Serialized) {
 *         CreateDWordField (Arg3, 0, CDW1)
 *         If (Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766")) {
 *             If (!(Arg1 == 1)) { CDW1 |= 8 }
 *             Return (Arg3)
 *         }
 *         CDW1 |= 4
 *         Return (Arg3)
 *     }
 */
static void root_control(struct bytes *b)
{
    static const uint8_t uuid[] = {
        0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66,
    };
    enum { SERIALIZED = 1 << 3, WRONG_UUID = 1 << 2, WRONG_REVISION = 1 << 3 };
    size_t method, known, buffer, revision;

    put(b, AML_METHOD, 1);
    method = aml_length(b);
    put_text(b, "_OSC", 4);
    put(b, SERIALIZED | 4, 1);
    put(b, AML_CREATE_DWORD_FIELD, 1);
    put(b, AML_ARGUMENT + 3, 1);
    put(b, AML_ZERO, 1);
    put_text(b, "CDW1", 4);

    put(b, AML_IF, 1);
    known = aml_length(b);
    put(b, AML_EQUAL, 1);
    put(b, AML_ARGUMENT + 0, 1);
    put(b, AML_BUFFER, 1);
    buffer = aml_length(b);
    put(b, AML_BYTE, 1);
    put(b, sizeof(uuid), 1);
    for ( unsigned int i = 0; i < sizeof(uuid); i++ )
        put(b, uuid[i], 1);
    aml_close(b, buffer);
    put(b, AML_IF, 1);
    revision = aml_length(b);
    put(b, AML_NOT, 1);
    put(b, AML_EQUAL, 1);
    put(b, AML_ARGUMENT + 1, 1);
    put(b, AML_ONE, 1);
    aml_or(b, "CDW1", WRONG_REVISION);
    aml_close(b, revision);
    put(b, AML_RETURN, 1);
    put(b, AML_ARGUMENT + 3, 1);
    aml_close(b, known);

    aml_or(b, "CDW1", WRONG_UUID);
    put(b, AML_RETURN, 1);
    put(b, AML_ARGUMENT + 3, 1);
    aml_close(b, method);
}

size_t dsdt(struct bytes *b, const struct guest *g)
{
    struct ecam ecam = guest_ecam(g);
    size_t start = table_start(b, "DSDT", 2), scope, device;

    put(b, AML_SCOPE, 1);
    scope = aml_length(b);
    put_text(b, "_SB_", 4);

    /* A PCI host bridge: of PCI Express, if there is extended configuration space. */
    device = aml_device(b, "PCI0");
    aml_id(b, "_HID", ecam.size ? PNP0A08 : PNP0A03);
    if ( ecam.size )
    {
        aml_id(b, "_CID", PNP0A03);
        root_control(b);
    }
    aml_name(b, "_BBN");
    put(b, AML_ZERO, 1);
    root_resources(b, ecam);
    aml_close(b, device);

    /* PCI Firmware 4.1.2: the window is a motherboard resource. */
    if ( ecam.size )
    {
        struct resources r;

        device = aml_device(b, "ECAM");
        aml_id(b, "_HID", PNP0C02);
        r = aml_resources(b);
        aml_memory(b, ITSELF, ecam.base, ecam.base + ecam.size);
        aml_resources_end(b, r);
        aml_close(b, device);
    }
    aml_close(b, scope);
    table_end(b, start);

    return start;
}
