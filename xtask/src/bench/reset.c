/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Resets of the functions of a machine in memory, for callgrind to count.
 *
 * Each call is dumped by itself, under the name of its figure. callgrind collects in rvpci_reset_step and
 * rvpci_physical_learn, and not in what they call of the host (--toggle-collect): a dump is what the library took, to
 * the instruction.
 */
#include <errno.h>
#include <valgrind/callgrind.h>

#include "machine.h"

#define FOREVER UINT32_MAX

/* Learning. */

static int32_t learn(unsigned int number, const char *figure)
{
    const struct rvpci_physical_info info = {
        .sbdf = FIRST + number, .bar = { [0] = { MEMORY0, MEMORY }, [5] = { MEMORY5, MEMORY } }
    };
    int32_t result;

    rvpci_physical_init(functions[number].physical);
    CALLGRIND_ZERO_STATS;
    result = rvpci_physical_learn(functions[number].physical, &info);
    if (figure)
        CALLGRIND_DUMP_STATS_AT(figure);
    return result;
}

/* How many more capabilities a function can have before there is no room for them. */
static unsigned int find_room(bool crowded)
{
    unsigned int more = 0;
    int32_t result;

    do
        make_large(functions[0].space, ++more, crowded);
    while (!(result = learn(0, NULL)));
    check(result == -E2BIG, "lists that are too long");
    return more - 1;
}

static void measure_learning(void)
{
    uint8_t *space = functions[0].space;

    make_typical(space);
    check(!learn(0, "learn_typical"), "a device");
    make_large(space, find_room(true), true);
    check(!learn(0, "learn_longest"), "the longest lists");
}

/* Resets. */

static void prepare(unsigned int number, unsigned int more)
{
    const struct rvpci_quirk row = {
        .vendor = VENDOR, .last = UINT16_MAX, .revision_last = UINT8_MAX, .says = 5, .value = reset.sequence
    };
    struct function *function = &functions[number];
    unsigned int last = make_large(function->space, more, false);

    function->ready = 0;
    function->resets = 0;
    check(!learn(number, NULL), "a snapshot");
    if (reset.sequence) {
        check(!rvpci_quirk_check(&row), "a sequence");
        rvpci_physical_quirks(function->physical, &row, 1, 0);
    }
    memcpy(function->learnt, function->space, SPACE);
    memcpy(function->fresh, function->space, SPACE);
    put(function->fresh, COMMAND, 2, 0);
    put(function->fresh, CACHE_LINE_SIZE, 1, 0);
    put(function->fresh, BAR0, 4, 0);
    put(function->fresh, BAR5, 4, 0);
    put(function->fresh, INTERRUPT_LINE, 1, 0);
    put(function->fresh, DEVICE_CONTROL, 2, 0);
    if (reset.fault == LAYOUT)
        put(function->fresh, last, 2, 0x04);
    /* The way to D0 is part of a reset. */
    if (reset.fault == NONE)
        put(function->space, PMCSR, 2, 3);
}

static void measure_reset(unsigned int more)
{
    unsigned int scope = reset.method == RVPCI_METHOD_BUS ? MEMBERS : 1;
    struct rvpci_physical *members[MEMBERS];
    struct rvpci_reset_state state;
    char figure[64];
    int32_t result;
    uint64_t due;

    snprintf(figure, sizeof(figure), "reset_step_%s", reset.figure);
    now = link_up = 0;
    make_bridge(reset.above);
    for (unsigned int i = 0; i < MEMBERS; i++) {
        members[i] = functions[i].physical;
        prepare(i, more);
    }
    check(!rvpci_reset_start(members[0], reset.above == ROOT_BUS ? RVPCI_NO_SBDF : BRIDGE, reset.method, false, now),
          "a reset");
    do {
        due = now;
        CALLGRIND_ZERO_STATS;
        result = rvpci_reset_step(members, MEMBERS, now, &due);
        CALLGRIND_DUMP_STATS_AT(figure);
        settle();
        now = due;
    } while (result == RVPCI_AGAIN);

    rvpci_reset_state(members[0], &state);
    check(state.reason == reset.reason, "how it ends");
    if (reset.reason)
        return;
    check(state.outcome == RVPCI_OUTCOME_READY && state.method == reset.method, "it was reset");
    for (unsigned int i = 0; i < scope; i++) {
        check(functions[i].resets == 1 + (reset.fault == NONE), "by that and the way to D0 alone");
        /* Without bus mastering. */
        put(functions[i].learnt, COMMAND, 2, 0x0402);
        check(!memcmp(functions[i].space, functions[i].learnt, SPACE), "it is as it was");
    }
}

#define DEVICE RVPCI_METHOD_DEVICE
#define FLR RVPCI_METHOD_FLR
#define ADVANCED_FLR RVPCI_METHOD_ADVANCED_FLR
#define D3HOT RVPCI_METHOD_POWER
#define BUS RVPCI_METHOD_BUS

static const struct reset resets[] = {
    { "device", DEVICE, .above = PORT, .sequence = 1 },
    { "device", DEVICE, .above = PORT, .sequence = 2, .busy = 3 },
    { "device", DEVICE, .above = PORT, .sequence = 3, .busy = 3 },
    { "device", DEVICE, .above = PORT, .sequence = 4 },
    { "device", DEVICE, .above = PORT, .sequence = 5 },
    { "device", DEVICE, .above = PORT, .sequence = 6, .busy = 3 },
    { "device", DEVICE, .above = PORT, .sequence = 7, .busy = 3 },
    { "flr", FLR, .above = ROOT_BUS },
    { "flr", FLR, .above = PORT, .fault = LATE },
    { "advanced_flr", ADVANCED_FLR, .above = ROOT_BUS },
    { "advanced_flr", ADVANCED_FLR, .above = PORT, .fault = LATE },
    { "power", D3HOT, .above = ROOT_BUS },
    { "power", D3HOT, .above = PORT, .fault = LATE },
    { "bus", BUS, .above = CONVENTIONAL },
    { "bus", BUS, .above = PORT },
    { "bus", BUS, .above = PORT, .fault = LATE },
    { "crowded_port", BUS, .above = CROWDED_PORT },
    { "gone", FLR, .above = PORT, .fault = GONE, .reason = RVPCI_REASON_GONE },
    { "gone", BUS, .above = PORT, .fault = GONE, .reason = RVPCI_REASON_GONE },
    { "not_ready", FLR, .above = PORT, .fault = NOT_READY, .reason = RVPCI_REASON_NOT_READY },
    { "not_ready", FLR, .above = PORT, .fault = LINK, .reason = RVPCI_REASON_NOT_READY },
    { "not_ready", BUS, .above = PORT, .fault = NOT_READY, .reason = RVPCI_REASON_NOT_READY },
    { "layout", FLR, .above = PORT, .fault = LAYOUT, .reason = RVPCI_REASON_LAYOUT },
    { "layout", BUS, .above = PORT, .fault = LAYOUT, .reason = RVPCI_REASON_LAYOUT },
    { "failed", DEVICE, .above = PORT, .reason = RVPCI_REASON_SEQUENCE, .sequence = 2, .busy = FOREVER },
    { "failed", DEVICE, .above = PORT, .reason = RVPCI_REASON_SEQUENCE, .sequence = 6, .busy = FOREVER },
    { "failed", DEVICE, .above = PORT, .reason = RVPCI_REASON_SEQUENCE, .sequence = 7, .busy = FOREVER },
    { "failed", BUS, .above = PORT, .fault = LINK, .reason = RVPCI_REASON_LINK },
    { "failed", BUS, .above = PORT, .fault = BAR, .reason = RVPCI_REASON_BAR },
    { "failed", BUS, .above = PORT, .fault = STUCK, .reason = RVPCI_REASON_BRIDGE },
};

int main(void)
{
    unsigned int more, i;

    for (i = 0; i < MEMBERS; i++) {
        functions[i].physical = aligned_alloc(8, rvpci_physical_size());
        check(functions[i].physical, "memory");
    }
    measure_learning();
    more = find_room(false);
    for (i = 0; i < sizeof(resets) / sizeof(*resets); i++) {
        reset = resets[i];
        measure_reset(more);
    }
    printf("bytes_per_physical %zu\n", rvpci_physical_size());
    return 0;
}
