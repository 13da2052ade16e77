/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The same random registers and the same random accesses for Xen's vpci.c and for the library, each over a
 * configuration space of its own. After each access: the same value, the same accesses to hardware in the same order,
 * the same bytes in both spaces.
 *
 * differential ACCESSES SEED [mask|access|byte]; the last plants a difference that must be found.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "emul.h"
#include "vpci.h"

#define SPACE 4096
#define ACCESSES_PER_MAP 300
#define REGISTERS 128
#define LOG 32
#define SBDF 0x00012345
#define COMMAND 4
#define STATUS 6

/* Random numbers: xorshift64*. */

static uint64_t state;

static uint32_t any(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d >> 32;
}

static uint32_t below(uint32_t bound)
{
    return (uint64_t)any() * bound >> 32;
}

static bool one_in(uint32_t count)
{
    return !below(count);
}

/* The hardware on either side. */

struct event {
    bool write;
    unsigned int offset, bytes;
    uint32_t value;
};

struct side {
    const char *name;
    uint8_t space[SPACE];
    struct event log[LOG];
    unsigned int logged;
};

static struct side ours = { .name = "library" }, theirs = { .name = "vpci.c" };
static unsigned long events, split;
static enum { NOTHING, MASK, ACCESS, BYTE } plant;

static void record(struct side *side, bool write, unsigned int offset, unsigned int bytes, uint32_t value)
{
    assert(side->logged < LOG);
    side->log[side->logged++] = (struct event){ write, offset, bytes, value };
}

static uint32_t hardware_read(struct side *side, unsigned int offset, unsigned int bytes)
{
    uint32_t value = 0;

    assert(offset + bytes <= SPACE);
    if (bytes == 2 && offset % 2) {
        /* Lanes 1 and 2, between registers: no access that hardware knows. The library makes it in bytes. */
        split += side == &theirs;
        value = hardware_read(side, offset, 1);
        return value | hardware_read(side, offset + 1, 1) << 8;
    }
    assert(offset % bytes == 0);
    memcpy(&value, &side->space[offset], bytes);
    record(side, false, offset, bytes, value);
    return value;
}

/* A function without capabilities: the library takes its word for it, so it keeps it. */
static void settle(struct side *side)
{
    side->space[STATUS] &= ~0x10;
}

static void hardware_write(struct side *side, unsigned int offset, unsigned int bytes, uint32_t value)
{
    assert(offset + bytes <= SPACE);
    if (bytes == 2 && offset % 2) {
        split += side == &theirs;
        hardware_write(side, offset, 1, value & 0xff);
        hardware_write(side, offset + 1, 1, value >> 8);
        return;
    }
    assert(offset % bytes == 0);
    memcpy(&side->space[offset], &value, bytes);
    settle(side);
    record(side, true, offset, bytes, value);
}

uint8_t pci_conf_read8(pci_sbdf_t sbdf, unsigned int reg) { return hardware_read(&theirs, reg, 1); }
uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg) { return hardware_read(&theirs, reg, 2); }
uint32_t pci_conf_read32(pci_sbdf_t sbdf, unsigned int reg) { return hardware_read(&theirs, reg, 4); }
void pci_conf_write8(pci_sbdf_t sbdf, unsigned int reg, uint8_t data) { hardware_write(&theirs, reg, 1, data); }
void pci_conf_write16(pci_sbdf_t sbdf, unsigned int reg, uint16_t data) { hardware_write(&theirs, reg, 2, data); }
void pci_conf_write32(pci_sbdf_t sbdf, unsigned int reg, uint32_t data) { hardware_write(&theirs, reg, 4, data); }

uint32_t rvpci_host_config_read(uint32_t sbdf, uint32_t offset, uint32_t bytes)
{
    /* The library is to make aligned accesses only. */
    assert(sbdf == SBDF && offset % bytes == 0);
    if (plant == ACCESS && one_in(1000))
        hardware_read(&ours, offset, bytes);
    return hardware_read(&ours, offset, bytes);
}

void rvpci_host_config_write(uint32_t sbdf, uint32_t offset, uint32_t bytes, uint32_t value)
{
    assert(sbdf == SBDF && offset % bytes == 0);
    assert(bytes == 4 || !(value >> 8 * bytes));
    hardware_write(&ours, offset, bytes, value);
}

/* A map: the same registers on both sides. */

struct kept {
    struct rvpci_register def;
    uint32_t value;
};

static struct domain hardware_domain;
static const struct vcpu vcpu = { .domain = &hardware_domain };
const struct vcpu *const current = &vcpu;
static struct vpci reference;
struct pci_dev the_device = { .sbdf.sbdf = SBDF, .vpci = &reference };

static struct rvpci_domain *domain;
static struct rvpci_device *device;
static struct kept registers[REGISTERS];
static unsigned int used;
static unsigned long maps, defined, refused, reads, rejected, differences;
/* Where most registers and accesses are: dwords `base` to `base + window - 1`. */
static unsigned int base, window;

static uint32_t kept_read(const struct pci_dev *pdev, unsigned int reg, void *data)
{
    const struct kept *kept = data;

    assert(reg == kept->def.offset);
    return kept->value;
}

static void kept_write(const struct pci_dev *pdev, unsigned int reg, uint32_t value, void *data)
{
    struct kept *kept = data;
    uint32_t clear = kept->def.rw1c;

    assert(reg == kept->def.offset);
    kept->value = (value & ~clear) | (kept->value & ~value & clear);
}

static uint32_t wide_read(const struct pci_dev *pdev, unsigned int reg, void *data)
{
    const struct kept *kept = data;

    return hardware_read(&theirs, reg, kept->def.bytes);
}

static void wide_write(const struct pci_dev *pdev, unsigned int reg, uint32_t value, void *data)
{
    const struct kept *kept = data;

    hardware_write(&theirs, reg, kept->def.bytes, value);
}

/* Words go through Xen's own handlers. */
static int define_reference(struct kept *kept)
{
    const struct rvpci_register *def = &kept->def;
    vpci_read_t *read = def->hardware ? def->bytes == 2 ? vpci_hw_read16 : wide_read : kept_read;
    vpci_write_t *write = def->hardware ? def->bytes == 2 ? vpci_hw_write16 : wide_write : kept_write;

    return vpci_add_register_mask(&reference, read, write, def->offset, def->bytes, kept, def->ro, def->rw1c,
                                  def->rsvdp, def->rsvdz);
}

static void describe(const char *format, ...)
{
    va_list args;

    if (differences != 1)
        return;
    va_start(args, format);
    printf("| ");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static void describe_register(const struct rvpci_register *def, uint32_t value)
{
    describe("%s register of %u at %03x: ro %08x rw1c %08x rsvdp %08x rsvdz %08x, vpci.c has %08x",
             def->hardware ? "physical" : "virtual", def->bytes, def->offset, def->ro, def->rw1c, def->rsvdp, def->rsvdz,
             value);
}

static struct rvpci_register any_register(void)
{
    static const uint8_t widths[] = { 1, 2, 4 };
    struct rvpci_register def = { .bytes = widths[below(3)], .hardware = one_in(3), .value = any() };
    uint32_t *const classes[] = { &def.ro, &def.rw1c, &def.rsvdp, &def.rsvdz };

    def.offset = ((base + below(window)) * 4 + below(4)) & ~(def.bytes - 1);
    switch (below(4)) {
    case 0: /* Plain. */
        break;
    case 1: /* One class, and a few bits of it are plain. */
        *classes[below(4)] = ~(any() & any() & any());
        break;
    default:
        for (unsigned int bit = 0, class; bit < 32; bit++)
            if ((class = below(8)) < 4)
                *classes[class] |= 1U << bit;
    }
    for (unsigned int class = 0; class < 4; class++)
        *classes[class] &= ~0U >> (32 - 8 * def.bytes);
    if (one_in(16))
        /* What must be refused, most of the time. */
        switch (below(4)) {
        case 0:
            def.bytes = below(9);
            break;
        case 1:
            def.offset = below(2 * SPACE);
            break;
        case 2:
            *classes[below(4)] |= any();
            break;
        case 3:
            def.ro |= 1, def.rsvdz |= 1;
        }
    return def;
}

static void define_one(void)
{
    struct kept *kept = &registers[used];
    struct rvpci_register def;
    int left, right;

    /* The library has a part in STATUS. */
    do
        def = any_register();
    while (def.offset < STATUS + 2 && def.offset + def.bytes > STATUS);
    kept->def = def;
    kept->value = def.value;
    if (plant == MASK && !used && !((def.rw1c | def.rsvdp | def.rsvdz) & 1))
        def.ro ^= 1;
    left = rvpci_define(device, &def);
    right = define_reference(kept);
    if (left != right) {
        differences++;
        describe("defining a register: library %d, vpci.c %d", left, right);
        describe_register(&kept->def, kept->value);
    }
    used += !right;
    defined += !right;
    refused += !!right;
}

static void forget_map(void)
{
    while (used--)
        if (vpci_remove_register(&reference, registers[used].def.offset, registers[used].def.bytes))
            abort();
    if (vpci_remove_register(&reference, COMMAND, 2))
        abort();
    rvpci_device_detach(domain, device);
    free(device);
}

static void new_map(void)
{
    const struct rvpci_device_info info = { .sbdf = SBDF, .guest = SBDF, .flags = RVPCI_IGNORE_BARS, .registers = REGISTERS + 2 };
    size_t size;

    if (maps++)
        forget_map();
    memset(ours.space, 0, SPACE);
    size = rvpci_device_size(SBDF, info.registers);
    device = aligned_alloc(8, (size + 7) & ~(size_t)7);
    if (rvpci_device_attach(domain, device, size, &info) != RVPCI_DONE)
        abort();
    /* A function without BARs and capabilities has no other register that Xen knows. */
    if (vpci_add_register(&reference, vpci_hw_read16, vpci_hw_write16, COMMAND, 2, NULL))
        abort();

    window = 1 + below(48);
    switch (below(4)) {
    case 0:
        base = 0;
        break;
    case 1:
        base = SPACE / 4 - window;
        break;
    default:
        base = below(SPACE / 4 - window + 1);
    }
    used = 0;
    for (unsigned int tries = 1 + below(REGISTERS); tries; tries--)
        define_one();
    for (unsigned int i = 0; i < SPACE; i++)
        ours.space[i] = theirs.space[i] = any();
    settle(&ours);
    settle(&theirs);
}

/* An access, on both sides. */

static uint64_t our_read(unsigned int offset, unsigned int bytes)
{
    uint64_t value;

    if (bytes != 8)
        return rvpci_read(device, offset, bytes);
    value = rvpci_read(device, offset, 4);
    return value | (uint64_t)rvpci_read(device, offset + 4, 4) << 32;
}

static int32_t our_write(unsigned int offset, unsigned int bytes, uint64_t value)
{
    uint32_t locked = one_in(2) ? RVPCI_SHARED : RVPCI_EXCLUSIVE;

    if (bytes != 8)
        return rvpci_write(device, offset, bytes, value, locked);
    return rvpci_write(device, offset, 4, value, locked) | rvpci_write(device, offset + 4, 4, value >> 32, locked);
}

static bool same_log(void)
{
    if (ours.logged != theirs.logged)
        return false;
    for (unsigned int i = 0; i < ours.logged; i++) {
        const struct event *a = &ours.log[i], *b = &theirs.log[i];

        if (a->write != b->write || a->offset != b->offset || a->bytes != b->bytes || a->value != b->value)
            return false;
    }
    return true;
}

static void describe_side(const struct side *side, uint64_t value, unsigned int offset, unsigned int bytes)
{
    describe("%s: %0*lx", side->name, 2 * bytes, value);
    for (unsigned int i = 0; i < side->logged; i++) {
        const struct event *event = &side->log[i];

        describe("    %s %u at %03x: %0*x", event->write ? "writes" : "reads", event->bytes, event->offset,
                 2 * event->bytes, event->value);
    }
    for (unsigned int i = offset & ~3U; i < SPACE && i < ((offset + bytes + 3) & ~3U); i += 4)
        describe("    bytes from %03x: %02x %02x %02x %02x", i, side->space[i], side->space[i + 1], side->space[i + 2],
                 side->space[i + 3]);
}

/* Whether both sides agree. */
static bool one_access(unsigned long number)
{
    static const uint8_t widths[] = { 1, 2, 4, 4, 8 };
    unsigned int bytes = widths[below(5)], offset;
    bool write = one_in(2), left, right, same;
    uint64_t value = (uint64_t)any() << 32 | any(), given = value, read = 0;
    int32_t result = RVPCI_DONE;

    if (one_in(8))
        given = value = one_in(2) ? ~0UL : 0;
    offset = one_in(8) ? below(SPACE) : base * 4 + below(window * 4);
    offset &= ~(bytes - 1);
    if (one_in(16)) {
        offset = below(SPACE + 64);
        bytes = below(17);
    }
    ours.logged = theirs.logged = 0;
    left = rvpci_access_allowed(offset, bytes);
    if (write) {
        right = vpci_ecam_write(the_device.sbdf, offset, bytes, value);
        result = left || bytes != 8 ? our_write(offset, bytes, value) : RVPCI_DONE;
    } else {
        right = vpci_ecam_read(the_device.sbdf, offset, bytes, &read);
        value = left || bytes != 8 ? our_read(offset, bytes) : ~0U;
        read = right ? read : ~0U;
    }
    if (plant == BYTE && number == 1000)
        ours.space[offset % SPACE] ^= 1;
    same = left == right && result == RVPCI_DONE && same_log() && !memcmp(ours.space, theirs.space, SPACE);
    same &= write || value == read;
    events += theirs.logged;
    reads += !write;
    rejected += !right;
    if (same)
        return true;

    differences++;
    describe("access %lu, map %lu: %s of %u at %03x%s", number, maps, write ? "write" : "read", bytes, offset,
             left != right ? left ? ", rejected by vpci.c alone" : ", rejected by the library alone" : "");
    describe_side(&ours, write ? given : value, offset, bytes);
    describe_side(&theirs, write ? given : read, offset, bytes);
    if (result != RVPCI_DONE)
        describe("rvpci_write returns %d", result);
    for (unsigned int i = 0, shown = 0; i < SPACE && shown < 8; i++)
        if (ours.space[i] != theirs.space[i]) {
            describe("byte %03x: library %02x, vpci.c %02x", i, ours.space[i], theirs.space[i]);
            shown++;
        }
    for (unsigned int i = 0; i < used; i++)
        if (registers[i].def.offset / 4 >= offset / 4 && registers[i].def.offset / 4 <= (offset + bytes - 1) / 4)
            describe_register(&registers[i].def, registers[i].value);
    return false;
}

int main(int argc, char **argv)
{
    unsigned long accesses, done = 0;
    size_t size = rvpci_domain_size(4);

    if (argc < 3)
        return 2;
    accesses = strtoul(argv[1], NULL, 0);
    state = strtoull(argv[2], NULL, 0) * 2 + 1;
    if (argc > 3)
        plant = !strcmp(argv[3], "mask") ? MASK : !strcmp(argv[3], "access") ? ACCESS : BYTE;

    domain = aligned_alloc(8, (size + 7) & ~(size_t)7);
    if (rvpci_domain_init(domain, size, 4, NULL, NULL))
        abort();
    INIT_LIST_HEAD(&reference.handlers);
    while (done < accesses) {
        new_map();
        /* Both sides are different from a difference on: that is the end of a map. */
        for (unsigned int i = 0; i < ACCESSES_PER_MAP && done < accesses; i++)
            if (!one_access(done++))
                break;
    }
    if (maps)
        forget_map();
    printf("accesses %lu\nreads %lu\nrejected %lu\nmaps %lu\nregisters %lu\nrefused_registers %lu\n", done, reads, rejected,
           maps, defined, refused);
    printf("hardware_accesses %lu\nsplit_words %lu\ndifferences %lu\n", events, split, differences);
    return 0;
}
