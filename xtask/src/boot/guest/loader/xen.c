// SPDX-License-Identifier: MIT OR Apache-2.0
/* Hypercalls from dom0's user space, through /dev/xen/privcmd. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "xen.h"

/*
 * What the driver takes. Linux's <xen/privcmd.h> has these too, but wants Linux's copy of Xen's headers.
 */
struct call {
    uint64_t number;
    uint64_t argument[5];
};

struct map_frames {
    unsigned int count;
    domid_t domain;
    uint64_t at;
    const xen_pfn_t *frames;
    int *errors;
};

struct dm_buffer {
    void *at;
    size_t size;
};

struct dm_call {
    domid_t domain;
    uint16_t count;
    const struct dm_buffer *buffers;
};

struct map_resource {
    domid_t domain;
    uint32_t type;
    uint32_t id;
    uint32_t first;
    uint64_t count;
    uint64_t at;
};

#define PRIVCMD_HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct call))
#define PRIVCMD_MMAPBATCH_V2 _IOC(_IOC_NONE, 'P', 4, sizeof(struct map_frames))
#define PRIVCMD_DM_OP _IOC(_IOC_NONE, 'P', 5, sizeof(struct dm_call))
#define PRIVCMD_MMAP_RESOURCE _IOC(_IOC_NONE, 'P', 7, sizeof(struct map_resource))

static int driver = -1;

bool failed(const char *what, ...)
{
    int number = errno;
    const char *name = strerrorname_np(number);
    va_list arguments;

    printf("failed ");
    va_start(arguments, what);
    vprintf(what, arguments);
    va_end(arguments);
    printf(": %s (%s)\n", name ? name : "unknown", strerror(number));

    return false;
}

void expect(const char *subject, const char *name, int found, int wanted)
{
    const char *error = found ? strerrorname_np(found) : "done";

    printf("check %s %s %s %s\n", subject, name, found == wanted ? "ok" : "fail", error ? error : "unknown");
}

void xen_open(void)
{
    driver = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if ( driver < 0 )
    {
        failed("opening /dev/xen/privcmd: is this dom0, with the module xen-privcmd");
        exit(2);
    }
    if ( mlockall(MCL_CURRENT | MCL_FUTURE) )
    {
        failed("locking memory");
        exit(2);
    }
}

static long hypercall(unsigned int number, uint64_t first, uint64_t second)
{
    struct call call = { .number = number, .argument = { first, second } };
    long result;

    /* A page that Linux is about to move is not there for a moment. */
    for ( int i = 0; i < 10; i++ )
    {
        result = ioctl(driver, PRIVCMD_HYPERCALL, &call);
        if ( result >= 0 || errno != EFAULT )
            break;
    }

    return result;
}

bool xen_domctl(struct xen_domctl *op, uint32_t cmd, domid_t domain)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domain;

    return hypercall(__HYPERVISOR_domctl, (uintptr_t)op, 0) >= 0;
}

bool xen_sysctl(struct xen_sysctl *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;

    return hypercall(__HYPERVISOR_sysctl, (uintptr_t)op, 0) >= 0;
}

long xen_memory(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, cmd, (uintptr_t)arg);
}

long xen_physdev(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_physdev_op, cmd, (uintptr_t)arg);
}

bool xen_dm_op(struct xen_dm_op *op, domid_t domain)
{
    struct dm_buffer buffer = { op, sizeof(*op) };
    struct dm_call call = { domain, 1, &buffer };

    return ioctl(driver, PRIVCMD_DM_OP, &call) >= 0;
}

void *xen_map_resource(domid_t domain, uint32_t type, uint32_t id, uint32_t frame)
{
    struct map_resource map = { .domain = domain, .type = type, .id = id, .first = frame, .count = 1 };
    void *mapped = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, driver, 0);

    if ( mapped == MAP_FAILED )
        return NULL;
    map.at = (uintptr_t)mapped;
    if ( ioctl(driver, PRIVCMD_MMAP_RESOURCE, &map) < 0 )
    {
        int error = errno;

        munmap(mapped, PAGE_SIZE);
        errno = error;
        return NULL;
    }

    return mapped;
}

void *xen_map(domid_t domain, uint64_t first, size_t count)
{
    xen_pfn_t *frames = calloc(count, sizeof(*frames));
    int *errors = calloc(count, sizeof(*errors));
    struct map_frames map = { .count = count, .domain = domain, .frames = frames, .errors = errors };
    void *mapped = MAP_FAILED;

    if ( !frames || !errors )
        goto out;
    for ( size_t i = 0; i < count; i++ )
        frames[i] = first + i;

    mapped = mmap(NULL, count * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, driver, 0);
    if ( mapped != MAP_FAILED )
    {
        int error = 0;

        map.at = (uintptr_t)mapped;
        if ( ioctl(driver, PRIVCMD_MMAPBATCH_V2, &map) )
            error = errno;
        for ( size_t i = 0; i < count && !error; i++ )
            error = -errors[i];
        if ( error )
        {
            munmap(mapped, count * PAGE_SIZE);
            mapped = MAP_FAILED;
            errno = error;
        }
    }

 out:
    free(frames);
    free(errors);

    return mapped == MAP_FAILED ? NULL : mapped;
}

void xen_unmap(void *mapped, size_t count)
{
    munmap(mapped, count * PAGE_SIZE);
}
