// SPDX-License-Identifier: MIT OR Apache-2.0
/* Resets by the hypervisor, and what it knows of a function. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "vpci.h"

static const char *const kinds[] = { "cold", "warm", "hot", "flr" };

/* The kinds have the numbers of PCI_DEVICE_RESET_*; any other number is sent as it is. */
static bool parse_kind(const char *text, uint32_t *flags)
{
    char *end;

    for ( *flags = 0; *flags < sizeof(kinds) / sizeof(kinds[0]); ++*flags )
        if ( !strcmp(text, kinds[*flags]) )
            return true;
    *flags = strtoul(text, &end, 0);

    return *text && !*end;
}

static unsigned long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return now.tv_sec * 1000UL + now.tv_nsec / 1000000;
}

/* How long a virtual CPU of this domain has run. */
static unsigned long processor_time(unsigned int vcpu)
{
    struct xen_domctl op = { .u.getvcpuinfo.vcpu = vcpu };

    return xen_domctl(&op, XEN_DOMCTL_getvcpuinfo, 0) ? op.u.getvcpuinfo.cpu_time / 1000000 : 0;
}

/* Has Xen reset it; 0 or an errno. Xen waits for the end of a reset only for a while at a time: it took so many calls. */
static int reset(uint32_t host, uint32_t flags, unsigned int *calls)
{
    struct pci_device_reset op = {
        .dev = { .seg = host >> 16, .bus = host >> 8, .devfn = host },
        .flags = flags,
    };

    for ( *calls = 1; xen_physdev(PHYSDEVOP_pci_device_reset, &op) < 0; ++*calls )
        if ( errno != EAGAIN )
            return errno;

    return 0;
}

bool device_reset(uint32_t host, const char *kind)
{
    unsigned long start = milliseconds();
    unsigned int calls;
    const char *name;
    uint32_t flags;
    int error;

    if ( !parse_kind(kind, &flags) )
    {
        errno = EINVAL;
        return failed("reading %s", kind);
    }
    error = reset(host, flags, &calls);
    name = error ? strerrorname_np(error) : "done";
    printf("reset %s %s %s %lu %u\n", show_sbdf(host), kind, name ? name : "unknown", milliseconds() - start, calls);

    return !error;
}

/* What another processor sees of a reset. */
struct watch {
    int config;                         /* the function's configuration space */
    volatile bool over;
    unsigned long first, last;          /* when it read all ones first, and last */
    unsigned long ones, others, back;   /* how often; how often something else in between */
    unsigned long gap;                  /* the longest time in which it did not run */
};

static void *watch_reset(void *argument)
{
    struct watch *w = argument;
    unsigned long last = milliseconds();

    while ( !w->over )
    {
        uint32_t ids = 0;
        unsigned long now;

        if ( pread(w->config, &ids, sizeof(ids), 0) != sizeof(ids) )
            ids = 0;
        now = milliseconds();
        if ( now - last > w->gap )
            w->gap = now - last;
        last = now;
        if ( ids != ~0U )
        {
            w->others++;
            continue;
        }
        if ( !w->ones )
            w->first = now;
        else
            w->back += w->others;
        w->others = 0;
        w->ones++;
        w->last = now;
    }

    return NULL;
}

/* This thread, or another, runs on one processor alone. */
static bool stay(pthread_t thread, unsigned int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    errno = pthread_setaffinity_np(thread, sizeof(set), &set);

    return !errno || failed("staying on processor %u", processor);
}

bool device_reset_watched(uint32_t host, const char *kind)
{
    struct watch w = { .config = -1 };
    unsigned long used;
    pthread_t watcher;
    char name[64];
    bool good;

    snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s/config", show_sbdf(host));
    w.config = open(name, O_RDONLY | O_CLOEXEC);
    if ( w.config < 0 )
        return failed("opening %s", name);
    if ( !stay(pthread_self(), 0) )
        return false;
    errno = pthread_create(&watcher, NULL, watch_reset, &w);
    if ( errno )
        return failed("starting a thread");
    good = stay(watcher, 1);

    used = processor_time(0);
    good = good && device_reset(host, kind);
    used = processor_time(0) - used;

    w.over = true;
    pthread_join(watcher, NULL);
    printf("watched ones=%lu back=%lu away=%lu gap=%lu used=%lu\n", w.ones, w.back, w.last - w.first, w.gap, used);

    return good;
}

/* RVPCI_METHOD_* by their bits; in a row about a device, from 1 on. */
static const char *const method_names[] = { "device", "flr", "advanced-flr", "power", "bus" };
enum { METHODS = sizeof(method_names) / sizeof(method_names[0]) };

static void print_methods(uint32_t methods)
{
    const char *comma = "";

    printf("%s", methods ? "" : "none");
    for ( unsigned int i = 0; i < METHODS; i++ )
        if ( methods >> i & 1 )
        {
            printf("%s%s", comma, method_names[i]);
            comma = ",";
        }
}

static const char *name_of(const char *const *names, size_t count, uint32_t number)
{
    return number < count ? names[number] : "unknown";
}
#define NAME_OF(names, number) name_of(names, sizeof(names) / sizeof((names)[0]), number)

bool device_function(uint32_t host)
{
    /* VPCI_FUNCTION_*, RVPCI_OUTCOME_* and RVPCI_REASON_*. */
    static const char *const states[] = { "used", "clean", "resetting", "lost" };
    static const char *const outcomes[] = { "never", "running", "ready", "refused", "quarantined" };
    static const char *const reasons[] = {
        "none", "no-snapshot", "busy", "virtual-functions", "no-method", "bus-in-use", "still-mapped", "gone", "power",
        "not-ready", "link", "sequence", "bridge", "bar", "layout", "cancelled",
    };
    struct xen_domctl_vpci op = { .op = VPCI_DOMCTL_function, .machine_sbdf = host };

    if ( !vpci_domctl(0, &op) )
        return failed("asking about %s", show_sbdf(host));
    printf("function %s state=%s outcome=%s reason=%s method=", show_sbdf(host), NAME_OF(states, op.u.function.state),
           NAME_OF(outcomes, op.u.function.outcome), NAME_OF(reasons, op.u.function.reason));
    print_methods(op.u.function.method);
    printf(" methods=");
    print_methods(op.u.function.methods);
    printf(" count=%u quirks=%x\n", op.u.function.count, op.u.function.quirks);

    return true;
}

/* METHOD[,METHOD...], the first one first. */
static bool parse_order(const char *text, uint8_t order[METHODS])
{
    for ( unsigned int at = 0; at < METHODS; at++ )
    {
        size_t length = strcspn(text, ",");
        unsigned int i = 0;

        while ( i < METHODS && (strncmp(method_names[i], text, length) || method_names[i][length]) )
            i++;
        if ( i == METHODS )
            return false;
        order[at] = i + 1;
        if ( !text[length] )
            return true;
        text += length + 1;
    }

    return false;
}

/*
 * VENDOR:DEVICE:SAYS:VALUE, the ids hexadecimal, the others the numbers of quirks::table::RawRow; the value of an order is its
 * methods.
 */
static bool parse_quirk(const char *text, struct rvpci_quirk *row)
{
    unsigned int vendor, device, says;
    int used = 0;

    if ( sscanf(text, "%4x:%4x:%u:%n", &vendor, &device, &says, &used) != 3 || !used )
        return false;
    *row = (struct rvpci_quirk) {
        .vendor = vendor, .first = device, .last = device, .mask = 0xffff, .revision_last = 0xff, .says = says,
    };
    text += used;
    if ( says == RVPCI_SAYS_ORDER )
        return parse_order(text, row->order);

    return sscanf(text, "%u%n", &row->value, &used) == 1 && !text[used];
}

bool quirks_set(char *const *rows, unsigned int count)
{
    struct rvpci_quirk given[VPCI_DOMCTL_QUIRKS];
    struct xen_domctl_vpci op = {
        .op = VPCI_DOMCTL_quirks, .u.quirks = { .rows = (uintptr_t)given, .nr_rows = count },
    };

    errno = EINVAL;
    for ( unsigned int i = 0; i < count; i++ )
        if ( i == VPCI_DOMCTL_QUIRKS || !parse_quirk(rows[i], &given[i]) )
            return failed("reading row %u", i);

    return vpci_domctl(0, &op) || failed("giving %u rows about devices", count);
}
