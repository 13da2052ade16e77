// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A device model: an ioreq server (public/hvm/dm_op.h) that has PCI functions and nothing else. It prints what it is asked, a
 * line each, in order, as `R|W BB:DD.F REGISTER SIZE VALUE`, and what it should not have been asked as `error ...`.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server.h"

/* Linux's, which does not say what a domid_t is. */
#include <xen/evtchn.h>

struct server {
    const struct server_options *options;
    domid_t domain;
    ioservid_t id;
    volatile struct shared_iopage *page;
    unsigned int vcpus;
    int events;                         /* /dev/xen/evtchn */
    evtchn_port_t ports[MAX_VCPUS];     /* this end's, by vCPU */
    struct function functions[MAX_FUNCTIONS];
    bool leaving;
};

static bool dm_op(struct server *s, struct xen_dm_op *op, uint32_t which)
{
    op->op = which;

    return xen_dm_op(op, s->domain);
}

/* Claims or releases functions, both ends included. False with errno set. */
static bool range(struct server *s, uint32_t which, uint32_t first, uint32_t last)
{
    struct xen_dm_op op = {
        .u.map_io_range_to_ioreq_server = {
            .id = s->id, .type = XEN_DMOP_IO_RANGE_PCI, .start = first, .end = last,
        },
    };

    return dm_op(s, &op, which);
}

static struct function *find(struct server *s, uint32_t sbdf)
{
    for ( unsigned int i = 0; i < MAX_FUNCTIONS; i++ )
        if ( s->functions[i].claimed && s->functions[i].sbdf == sbdf )
            return &s->functions[i];

    return NULL;
}

static bool claim(struct server *s, uint32_t first, uint32_t last)
{
    unsigned int room = 0;

    for ( unsigned int i = 0; i < MAX_FUNCTIONS; i++ )
        room += !s->functions[i].claimed;
    if ( last < first || last - first >= room )
    {
        errno = E2BIG;
        return false;
    }
    if ( !range(s, XEN_DMOP_map_io_range_to_ioreq_server, first, last) )
        return false;
    for ( unsigned int i = 0; first <= last; i++ )
        if ( !s->functions[i].claimed )
            function_init(&s->functions[i], first++);

    return true;
}

static bool release(struct server *s, uint32_t sbdf)
{
    struct function *f = find(s, sbdf);

    if ( !range(s, XEN_DMOP_unmap_io_range_from_ioreq_server, sbdf, sbdf) )
        return false;
    if ( f )
        f->claimed = false;

    return true;
}

static void release_all(struct server *s)
{
    for ( unsigned int i = 0; i < MAX_FUNCTIONS; i++ )
        if ( s->functions[i].claimed && !release(s, s->functions[i].sbdf) )
            failed("releasing %s", show_sbdf(s->functions[i].sbdf));
}

/* What the guest rings for. An errno. */
static int ring(struct server *s, uint32_t value)
{
    uint32_t sbdf = value & 0xffff;

    switch ( value >> 24 )
    {
    case RING_CLAIM: return claim(s, sbdf, sbdf) ? 0 : errno;
    case RING_RELEASE: return release(s, sbdf) ? 0 : errno;
    case RING_LEAVE: s->leaving = true; return 0;
    case RING_CALL: return 0;
    default: return EINVAL;
    }
}

/* Says why a request is not one that Xen may send here. NULL if it is. */
static const char *unfit(const struct server *s, const struct function *f, const struct ioreq *r)
{
    uint32_t at = r->addr;

    if ( r->type != IOREQ_TYPE_PCI_CONFIG )
        return "it is not for configuration space";
    if ( r->data_is_ptr || r->count != 1 )
        return "it is a repeated one";
    if ( r->size != 1 && r->size != 2 && r->size != 4 )
        return "it is too wide";
    if ( (at & 3) + r->size > 4 )
        return "it crosses a dword";
    if ( at >= (s->options->extended ? CONFIG_SIZE : 256) )
        return "it is beyond the registers known here";
    if ( !f )
        return "the function is not this server's";

    return NULL;
}

static void answer(struct server *s, struct ioreq *r)
{
    uint32_t sbdf = r->addr >> 32, at = r->addr, value;
    struct function *f = find(s, sbdf);
    const char *why = unfit(s, f, r);

    /* These go to every server, and ask for nothing that this one has. */
    if ( r->type == IOREQ_TYPE_INVALIDATE || r->type == IOREQ_TYPE_TIMEOFFSET )
        return;
    if ( why )
    {
        printf("error type %u %s %08x:%03x size %u count %u data %lx: %s\n", r->type,
               r->dir == IOREQ_READ ? "R" : "W", sbdf, at, r->size, r->count, r->data, why);
        r->data = ~0UL;
        return;
    }
    if ( r->dir == IOREQ_READ )
        value = r->data = function_read(f, at, r->size);
    else
        value = r->data & (0xffffffffU >> (32 - 8 * r->size));
    printf("%c %s %03x %u %0*x\n", r->dir == IOREQ_READ ? 'R' : 'W', show_sbdf(sbdf) + strlen("0000:"), at, r->size,
           2 * (int)r->size, value);
    if ( r->dir != IOREQ_READ && function_write(f, at, r->size, value) )
        f->status = ring(s, value);
}

/* A vCPU may have a request. */
static void look(struct server *s, unsigned int vcpu)
{
    volatile struct ioreq *shared = &s->page->vcpu_ioreq[vcpu];
    struct ioreq request;
    struct ioctl_evtchn_notify notify = { s->ports[vcpu] };

    if ( shared->state != STATE_IOREQ_READY )
        return;
    atomic_thread_fence(memory_order_acquire);
    shared->state = STATE_IOREQ_INPROCESS;
    request = *shared;
    answer(s, &request);
    /* Before it goes on, the guest no longer has the functions that leave. */
    if ( s->leaving )
        release_all(s);
    shared->data = request.data;
    atomic_thread_fence(memory_order_release);
    shared->state = STATE_IORESP_READY;
    if ( ioctl(s->events, IOCTL_EVTCHN_NOTIFY, &notify) < 0 )
        failed("answering");
}

/* Without that, Xen asks for nothing from 0x100 on. */
static bool knows_extended(struct server *s)
{
    struct xen_domctl_vpci op = {
        .op = VPCI_DOMCTL_server, .flags = VPCI_SERVER_EXTENDED, .u.server.id = s->id,
    };

    return vpci_domctl(s->domain, &op);
}

/* The server and what it shares with Xen. */
static bool create(struct server *s)
{
    struct xen_dm_op op = { .u.create_ioreq_server.handle_bufioreq = HVM_IOREQSRV_BUFIOREQ_OFF };

    if ( !dm_op(s, &op, XEN_DMOP_create_ioreq_server) )
        return failed("creating a server");
    s->id = op.u.create_ioreq_server.id;

    memset(&op, 0, sizeof(op));
    if ( !dm_op(s, &op, XEN_DMOP_nr_vcpus) )
        return failed("asking for the number of vCPUs");
    s->vcpus = op.u.nr_vcpus.vcpus;
    if ( s->vcpus > MAX_VCPUS )
    {
        errno = E2BIG;
        return failed("serving %u vCPUs", s->vcpus);
    }

    if ( s->options->extended && !knows_extended(s) )
        return failed("saying that it has extended registers");

    s->page = xen_map_resource(s->domain, XENMEM_resource_ioreq_server, s->id,
                               XENMEM_resource_ioreq_server_frame_ioreq(0));

    return s->page || failed("mapping the page of requests");
}

/* From here on it can be asked; ports are in the page only now. */
static bool listen_to(struct server *s)
{
    struct xen_dm_op op = { .u.set_ioreq_server_state = { .id = s->id, .enabled = 1 } };

    if ( !dm_op(s, &op, XEN_DMOP_set_ioreq_server_state) )
        return failed("enabling the server");
    s->events = open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC);
    if ( s->events < 0 )
        return failed("opening /dev/xen/evtchn: has dom0 the module xen-evtchn");
    for ( unsigned int i = 0; i < s->vcpus; i++ )
    {
        struct ioctl_evtchn_bind_interdomain bind = { s->domain, s->page->vcpu_ioreq[i].vp_eport };
        int port = ioctl(s->events, IOCTL_EVTCHN_BIND_INTERDOMAIN, &bind);

        if ( port < 0 )
            return failed("listening to vCPU %u", i);
        s->ports[i] = port;
    }

    return true;
}

/* Takes one event. */
static bool take(struct server *s)
{
    evtchn_port_t port;

    if ( read(s->events, &port, sizeof(port)) != sizeof(port) || write(s->events, &port, sizeof(port)) != sizeof(port) )
        return failed("taking an event");
    for ( unsigned int i = 0; i < s->vcpus; i++ )
        if ( s->ports[i] == port )
            look(s, i);

    return true;
}

/* Until SIGTERM comes, or the guest sends it away. */
static bool work(struct server *s)
{
    struct pollfd sources[2] = { { .fd = s->events, .events = POLLIN }, { .events = POLLIN } };
    sigset_t end;

    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    sources[1].fd = signalfd(-1, &end, SFD_CLOEXEC);
    if ( sources[1].fd < 0 )
        return failed("waiting for signals");
    printf("ready as %u\n", s->id);
    while ( !s->leaving )
    {
        if ( poll(sources, 2, -1) < 0 )
            return failed("waiting");
        if ( sources[0].revents && !take(s) )
            return false;
        if ( sources[1].revents )
            break;
    }

    return true;
}

static bool destroy(struct server *s)
{
    struct xen_dm_op op = { .u.destroy_ioreq_server.id = s->id };

    close(s->events);
    if ( s->page )
        munmap((void *)s->page, PAGE_SIZE);

    return dm_op(s, &op, XEN_DMOP_destroy_ioreq_server) || failed("destroying the server");
}

bool serve(domid_t domain, const struct server_options *options)
{
    /* Not of the stack: xen_open locks what there is of it. */
    static struct server server;
    struct server *s = &server;
    bool good;

    s->options = options;
    s->domain = domain;
    s->events = -1;
    if ( !create(s) )
        return false;
    good = listen_to(s);
    for ( unsigned int i = 0; good && i < options->nr_ranges; i++ )
    {
        good = claim(s, options->ranges[i].first, options->ranges[i].last);
        if ( !good )
            failed("claiming %s", show_sbdf(options->ranges[i].first));
    }
    good = good && work(s);

    return destroy(s) && good;
}
