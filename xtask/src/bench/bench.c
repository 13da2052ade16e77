/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Xen's vpci.c and the library under the same accesses, for callgrind to count.
 *
 * A phase makes ACCESSES accesses and is dumped under the name "figure loop". What a loop costs by itself is counted
 * with a function that is one instruction, and dumped under the name "loop".
 */
#include <stdio.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "emul.h"
#include "vpci.h"

#define ACCESSES 2048
#define REGISTERS 512

struct access {
    uint64_t address;
    uint32_t sbdf, offset, bytes, value;
};

static struct access accesses[ACCESSES];
static struct rvpci_domain *domain;
static struct rvpci_mch *mch;

/* The hardware: it reads 0 at once. */

static struct domain hardware_domain;
static const struct vcpu vcpu = { .domain = &hardware_domain };
const struct vcpu *const current = &vcpu;
static struct vpci reference;
struct pci_dev the_device = { .vpci = &reference };

uint8_t pci_conf_read8(pci_sbdf_t sbdf, unsigned int reg) { return 0; }
uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg) { return 0; }
uint32_t pci_conf_read32(pci_sbdf_t sbdf, unsigned int reg) { return 0; }
void pci_conf_write8(pci_sbdf_t sbdf, unsigned int reg, uint8_t data) {}
void pci_conf_write16(pci_sbdf_t sbdf, unsigned int reg, uint16_t data) {}
void pci_conf_write32(pci_sbdf_t sbdf, unsigned int reg, uint32_t data) {}

uint32_t rvpci_host_config_read(uint32_t sbdf, uint32_t offset, uint32_t bytes) { return 0; }
void rvpci_host_config_write(uint32_t sbdf, uint32_t offset, uint32_t bytes, uint32_t value) {}

/* A register that Xen's code keeps through its handlers. */

static uint32_t kept[REGISTERS];

static uint32_t kept_read(const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return *(uint32_t *)data;
}

static void kept_write(const struct pci_dev *pdev, unsigned int reg, uint32_t value, void *data)
{
    *(uint32_t *)data = value;
}

/* What an access takes in all: the owner, then the register or the hardware. */

__attribute__((noipa)) static uint32_t full_read(uint32_t sbdf, uint32_t offset, uint32_t bytes)
{
    struct rvpci_device *device;

    switch (rvpci_find(domain, sbdf, &device)) {
    case RVPCI_OWNER_DEVICE:
        return rvpci_read(device, offset, bytes);
    case RVPCI_OWNER_HIDDEN:
        return ~0U;
    default:
        return rvpci_host_config_read(sbdf, offset, bytes);
    }
}

/* The loops. Each makes its calls in the same way, to whatever function. */

static volatile uint32_t sink;

__asm__("nothing: ret");

#define LOOP(loop, result, keep, types, ...)                                         \
    typedef result loop##_function types;                                            \
    extern loop##_function loop##_nothing __asm__("nothing");                        \
    __attribute__((noipa)) static void loop(const char *name, loop##_function *call, \
                                            struct rvpci_device *device)             \
    {                                                                                \
        CALLGRIND_ZERO_STATS;                                                        \
        for (unsigned int i = 0; i < ACCESSES; i++) {                                \
            const struct access *a = &accesses[i];                                   \
            keep call(__VA_ARGS__);                                                  \
        }                                                                            \
        CALLGRIND_DUMP_STATS_AT(name);                                               \
    }

#define PCI(number) ((pci_sbdf_t){ .sbdf = (number) })

LOOP(loop_read, uint32_t, sink =, (struct rvpci_device *d, uint32_t o, uint32_t b),
     device, a->offset, a->bytes)
LOOP(loop_write, int32_t, sink =, (struct rvpci_device *d, uint32_t o, uint32_t b, uint32_t v, uint32_t l),
     device, a->offset, a->bytes, a->value, RVPCI_SHARED)
LOOP(loop_find, uint32_t, sink =, (const struct rvpci_domain *d, uint32_t s, struct rvpci_device **to),
     domain, a->sbdf, &device)
LOOP(loop_decode, uint32_t, sink =, (const struct rvpci_mch *m, uint64_t address), mch, a->address)
LOOP(loop_full, uint32_t, sink =, (uint32_t s, uint32_t o, uint32_t b), a->sbdf, a->offset, a->bytes)
LOOP(loop_c_read, uint32_t, sink =, (pci_sbdf_t s, unsigned int o, unsigned int b),
     PCI(a->sbdf), a->offset, a->bytes)
LOOP(loop_c_write, void, , (pci_sbdf_t s, unsigned int o, unsigned int b, uint32_t v),
     PCI(a->sbdf), a->offset, a->bytes, a->value)

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

static void *memory(size_t size)
{
    void *memory = aligned_alloc(8, (size + 7) & ~(size_t)7);

    check(memory, "memory");
    return memory;
}

/* Where machines have their functions: so many for each device, so many devices for each bus. */
struct layout {
    unsigned int functions, devices;
};

static const struct layout layouts[] = {
    { 4, 2 }, { 1, 1 }, { 2, 1 }, { 8, 1 }, { 1, 4 }, { 2, 2 }, { 1, 32 }, { 8, 32 },
};

static uint32_t sbdf_of(const struct layout *layout, unsigned int number)
{
    unsigned int device = number / layout->functions;

    return (device / layout->devices) << 8 | (device % layout->devices) << 3 | number % layout->functions;
}

static uint32_t offset_of(unsigned int number, unsigned int registers)
{
    return number * (4096 / registers);
}

/* A domain at the fullest that its table may be, each function with `registers` registers. */
static struct rvpci_device *populate(const struct layout *layout, unsigned int functions,
                                     unsigned int registers)
{
    unsigned int slots = 4 * functions, i, number;
    size_t size = rvpci_domain_size(slots);
    struct rvpci_device *device = NULL;

    domain = memory(size);
    check(!rvpci_domain_init(domain, size, slots, NULL, NULL), "a domain");
    for (i = 0; i < functions; i++) {
        struct rvpci_device_info info = {
            .sbdf = sbdf_of(layout, i), .guest = sbdf_of(layout, i), .flags = RVPCI_IGNORE_BARS, .registers = registers + 2
        };

        size = rvpci_device_size(info.sbdf, info.registers);
        device = memory(size);
        check(rvpci_device_attach(domain, device, size, &info) == RVPCI_DONE, "a device");
        for (number = 0; number < registers; number++) {
            struct rvpci_register reg = {
                .offset = offset_of(number, registers), .bytes = 4, .value = ~number
            };

            check(!rvpci_define(device, &reg), "a register");
        }
    }
    return device;
}

static void populate_reference(unsigned int registers)
{
    unsigned int number;

    INIT_LIST_HEAD(&reference.handlers);
    for (number = 0; number < registers; number++) {
        kept[number] = ~number;
        check(!vpci_add_register(&reference, kept_read, kept_write, offset_of(number, registers), 4, &kept[number]),
              "a register of Xen's");
    }
}

/* Every register equally often, and every lane of each; `beside` bytes behind it. */
static void aim(unsigned int registers, unsigned int bytes, unsigned int beside)
{
    unsigned int i;

    for (i = 0; i < ACCESSES; i++) {
        accesses[i].offset = offset_of(i * 389 % registers, registers) + beside + i / registers % (4 / bytes) * bytes;
        accesses[i].bytes = bytes;
        accesses[i].value = i * 0x9e3779b9;
    }
}

#define EACH(expression, expected, what)           \
    for (unsigned int i = 0; i < ACCESSES; i++) {  \
        const struct access *a = &accesses[i];     \
        check((expression) == (expected), what);   \
    }

static void measure_reference(const char *prefix, const char *suffix)
{
    char name[64];

    snprintf(name, sizeof(name), "c_%sread%s loop_c_read", prefix, suffix);
    loop_c_read(name, vpci_read, NULL);
    snprintf(name, sizeof(name), "c_%swrite%s loop_c_write", prefix, suffix);
    loop_c_write(name, vpci_write, NULL);
}

static void measure(const char *prefix, const char *suffix, struct rvpci_device *device)
{
    char name[64];

    snprintf(name, sizeof(name), "%sread%s loop_read", prefix, suffix);
    loop_read(name, rvpci_read, device);
    snprintf(name, sizeof(name), "%swrite%s loop_write", prefix, suffix);
    loop_write(name, rvpci_write, device);
    measure_reference(prefix, suffix);
    EACH(rvpci_read(device, a->offset, a->bytes), vpci_read(PCI(a->sbdf), a->offset, a->bytes), "the same bits");
}

static void measure_registers(unsigned int registers)
{
    struct rvpci_device *device = populate(layouts, 1, registers);
    char suffix[16];

    populate_reference(registers);
    aim(registers, 4, 0);
    EACH(rvpci_read(device, a->offset, 4), ~(a->offset * registers / 4096), "a register's first value");
    for (unsigned int bytes = 4; bytes; bytes /= 2) {
        aim(registers, bytes, 0);
        snprintf(suffix, sizeof(suffix), "%u_%u", bytes, registers);
        measure("", suffix, device);
    }
    if (registers == 64) {
        aim(registers, 4, 32);
        EACH(rvpci_read(device, a->offset, 4), 0, "a gap");
        measure("gap_", "4", device);
    }
}

/* A guest has the header, and the dword at 100h, where the extended list starts: its registers are beside them. */
#define HEADER_BYTES 0x40
#define HEADER_REGISTERS 16

static uint32_t guest_offset_of(unsigned int number, unsigned int registers)
{
    return offset_of(number, registers) + 4;
}

static void measure_guest(unsigned int registers)
{
    const struct rvpci_device_info info = {
        .view = RVPCI_VIEW_GUEST, .registers = registers + HEADER_REGISTERS,
        .bar = { RVPCI_NO_ADDRESS, RVPCI_NO_ADDRESS, RVPCI_NO_ADDRESS, RVPCI_NO_ADDRESS,
                 RVPCI_NO_ADDRESS, RVPCI_NO_ADDRESS, RVPCI_NO_ADDRESS }
    };
    size_t size = rvpci_domain_size(4);
    struct rvpci_device *device;
    unsigned int first = 0, i;
    char name[64];

    domain = memory(size);
    check(!rvpci_domain_init(domain, size, 4, NULL, NULL), "a guest");
    size = rvpci_device_size(info.sbdf, info.registers);
    device = memory(size);
    check(rvpci_device_attach(domain, device, size, &info) == RVPCI_DONE, "a device of a guest");
    while (guest_offset_of(first, registers) < HEADER_BYTES)
        first++;
    for (i = first; i < registers; i++) {
        struct rvpci_register reg = { .offset = guest_offset_of(i, registers), .bytes = 4, .value = ~i };

        check(!rvpci_define(device, &reg), "a register of a guest");
    }
    for (i = 0; i < ACCESSES; i++)
        accesses[i] = (struct access){
            .offset = guest_offset_of(first + i * 389 % (registers - first), registers), .bytes = 4, .value = i * 0x9e3779b9
        };
    EACH(rvpci_read(device, a->offset, 4), ~((a->offset - 4) * registers / 4096), "a guest's register's first value");
    snprintf(name, sizeof(name), "guest_read4_%u loop_read", registers);
    loop_read(name, rvpci_read, device);
    snprintf(name, sizeof(name), "guest_write4_%u loop_write", registers);
    loop_write(name, rvpci_write, device);
}

static void aim_functions(const struct layout *layout, unsigned int functions)
{
    struct rvpci_device *device;

    for (unsigned int i = 0; i < ACCESSES; i++)
        accesses[i].sbdf = sbdf_of(layout, i * 389 % functions);
    EACH(rvpci_find(domain, a->sbdf, &device), RVPCI_OWNER_DEVICE, "a function is found");
}

/* One phase for each layout, all of the same name. */
static void measure_lookup(unsigned int functions)
{
    char name[32];

    snprintf(name, sizeof(name), "lookup_%u loop_find", functions);
    for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
        populate(&layouts[i], functions, 1);
        aim_functions(&layouts[i], functions);
        loop_find(name, rvpci_find, NULL);
    }
}

/* Addresses all over a window for `buses` buses, 64 to 256, high up and with RAM on both sides of 4 GiB. */
static void measure_decode(unsigned int buses)
{
    const uint64_t base = 0x800000000;
    const struct rvpci_mch_info info = {
        .pciexbar = base | (buses == 256 ? 0 : buses == 128 ? 1 : 2) << 1 | 1,
        .low_ram_end = 0x80000000, .high_ram_end = 0x180000000, .address_bits = 48
    };
    size_t size = rvpci_mch_size();
    char name[32];

    mch = memory(size);
    memset(mch, 0, size);
    check(!rvpci_mch_init(mch, size, &info), "an MCH");
    for (unsigned int i = 0; i < ACCESSES; i++) {
        accesses[i].sbdf = i * 0x9e3779b9 % (buses * 256);
        accesses[i].offset = i * 389 % 1024 * 4;
        accesses[i].address = base + accesses[i].sbdf * 4096UL + accesses[i].offset;
    }
    EACH(rvpci_mch_decode(mch, a->address), a->sbdf << 12 | a->offset, "an address is decoded");
    check(rvpci_mch_decode(mch, base + buses * 0x100000UL) == RVPCI_NO_POSITION, "the window ends");
    snprintf(name, sizeof(name), "decode_%u loop_decode", buses);
    loop_decode(name, rvpci_mch_decode, NULL);
}

int main(void)
{
    loop_read("loop_read", loop_read_nothing, NULL);
    loop_write("loop_write", loop_write_nothing, NULL);
    loop_find("loop_find", loop_find_nothing, NULL);
    loop_decode("loop_decode", loop_decode_nothing, NULL);
    loop_full("loop_full", loop_full_nothing, NULL);
    loop_c_read("loop_c_read", loop_c_read_nothing, NULL);
    loop_c_write("loop_c_write", loop_c_write_nothing, NULL);

    measure_registers(8);
    measure_registers(64);
    measure_registers(512);

    measure_guest(8);
    measure_guest(64);
    measure_guest(512);

    measure_lookup(1);
    measure_lookup(32);
    measure_lookup(256);

    measure_decode(64);
    measure_decode(128);
    measure_decode(256);

    populate(layouts, 256, 64);
    aim_functions(layouts, 256);
    aim(64, 4, 0);
    EACH(full_read(a->sbdf, a->offset, 4), ~(a->offset * 64 / 4096), "a register of a function that is found");
    loop_full("full_read4_64 loop_full", full_read, NULL);

    /* No function has these addresses. */
    the_device.vpci = NULL;
    for (unsigned int i = 0; i < ACCESSES; i++)
        accesses[i].sbdf |= 0x80;
    EACH(full_read(a->sbdf, a->offset, 4), 0, "no function");
    loop_full("absent_read4 loop_full", full_read, NULL);
    measure_reference("absent_", "4");

    printf("accesses %u\n", ACCESSES);
    printf("bytes_per_device %zu\n", rvpci_device_size(0, RVPCI_REGISTERS));
    return 0;
}
