// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Starts PVH guests from dom0, by Xen's public hypercalls alone. What it finds out goes to stdout, a line each; what went
 * wrong likewise, as `failed STEP: ERRNO (text)`.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

static int usage(void)
{
    fputs("loader run OPTION...         starts a guest, waits until it shuts down, takes it away\n"
          "loader start OPTION...       starts it only, and prints `domain N`\n"
          "    --kernel FILE            an ELF file with a PVH entry\n"
          "    --initrd FILE\n"
          "    --cmdline TEXT\n"
          "    --memory MIB             32 if not given\n"
          "    --vcpus N                1 if not given\n"
          "    --device SBDF[@SLOT[.F]] a device, and where on bus 0 the guest sees it (hexadecimal); may be repeated\n"
          "    --show OFFSET:MASK       of the device before, these bits of a dword of its own (hexadecimal); may be repeated\n"
          "    --vpd FILE               of the device before, its vital product data\n"
          "    --firmware-bars          the guest places the BARs\n"
          "    --unreset                devices may be its without a reset, if they have none\n"
          "    --refusals               tries what Xen must refuse: to place, and about the MCH and servers\n"
          "    --no-vpci                no vPCI\n"
          "    --q35                    the MCH of a Q35 machine\n"
          "    --pciexbar VALUE         what its register holds at first: where the ECAM window is; none if not given\n"
          "    --hvm                    what HVM domains have emulated, and no vPCI\n"
          "    --seconds N              how long to wait; 60 if not given\n"
          "    --kill                   takes it away as soon as it waits for something\n"
          "    --meanwhile COMMAND      runs a shell's command before it is taken away\n"
          "    --paused                 does not let it run yet\n"
          "    --save FILE              with --kill: writes the state of its MCH first\n"
          "    --restore FILE           gives it an MCH with that state\n"
          "    --spoil                  not the state itself, but spoiled in several ways, which Xen has to refuse\n"
          "loader unpause DOMAIN        lets it run\n"
          "loader serve DOMAIN OPTION... is a device model of it, until SIGTERM or until the guest sends it away; see server.h\n"
          "    --function SBDF[-SBDF]   what it claims (segment 0); may be repeated\n"
          "    --extended               it has the registers from 100 on\n"
          "loader wait DOMAIN [SECONDS] waits until it shuts down, prints `shutdown REASON`\n"
          "loader destroy DOMAIN        takes it away\n"
          "loader audit DOMAIN SBDF     what was refused, by reason, and the last refusals\n"
          "loader query SBDF            a device's BARs\n"
          "loader release SBDF          gives a device that nobody has back to dom0\n"
          "loader reset SBDF KIND       has Xen reset a device: cold, warm, hot, flr, or a number\n"
          "loader watch SBDF KIND       likewise, while another processor reads its configuration space\n"
          "loader function SBDF         what Xen knows of a device and its resets\n"
          "loader quirks ROW...         tells Xen of devices: VENDOR:DEVICE:SAYS:VALUE, as quirks/src/table/raw.rs has them;\n"
          "                             VENDOR:DEVICE:6:METHOD,METHOD... for an order, by the names that `function` prints\n"
          "loader nvme-release FILE     has an NVMe controller leave queues to its virtual functions when it is reset\n"
          "loader nvme-assign FILE N    gives its Nth virtual function queues; how many interrupts that has stands from then on\n"
          "loader nvme-online FILE N    has that go online when there is one\n"
          "loader state                 domains, and free memory\n",
          stderr);

    return 2;
}

static const char *reason_name(unsigned int reason)
{
    static const char *const names[] = { "poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset" };

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

static bool number(const char *text, unsigned long least, unsigned long most, unsigned long *value)
{
    char *end;

    *value = strtoul(text, &end, 0);

    return *text && !*end && *value >= least && *value <= most;
}

/* SBDF[@SLOT[.FUNCTION]] */
static bool parse_device(char *text, struct device *device)
{
    char *where = strchr(text, '@');
    unsigned int slot, function = 0;
    int used = 0;

    device->guest = FIRST_FREE;
    if ( where )
    {
        *where++ = 0;
        if ( (sscanf(where, "%2x.%1x%n", &slot, &function, &used) != 2 || where[used]) &&
             (function = 0, sscanf(where, "%2x%n", &slot, &used) != 1 || where[used]) )
            return false;
        if ( slot > 31 || function > 7 )
            return false;
        device->guest = slot << 3 | function;
    }

    return parse_sbdf(text, &device->host);
}

/* OFFSET:MASK */
static bool parse_rule(const char *text, struct device *device)
{
    struct vpci_domctl_rule *rule = &device->rules[device->nr_rules];
    unsigned int offset, mask;
    int used = 0;

    if ( device->nr_rules == MAX_RULES || sscanf(text, "%3x:%8x%n", &offset, &mask, &used) != 2 || text[used] )
        return false;
    *rule = (struct vpci_domctl_rule) {
        .vendor = 0xffff, .device = 0xffff, .scope = VPCI_RULE_BYTES, .offset = offset, .length = 4, .read = mask,
    };
    device->nr_rules++;

    return true;
}

struct options {
    struct guest guest;
    const char *meanwhile;
    unsigned long seconds;
    bool kill, paused, spoil;
    const char *save, *restore;         /* files with the MCH's state */
};

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        { "kernel", required_argument, NULL, 'k' },
        { "initrd", required_argument, NULL, 'i' },
        { "cmdline", required_argument, NULL, 'c' },
        { "memory", required_argument, NULL, 'm' },
        { "vcpus", required_argument, NULL, 'v' },
        { "device", required_argument, NULL, 'd' },
        { "show", required_argument, NULL, 'r' },
        { "vpd", required_argument, NULL, 'V' },
        { "firmware-bars", no_argument, NULL, 'f' },
        { "unreset", no_argument, NULL, 'U' },
        { "refusals", no_argument, NULL, 'R' },
        { "no-vpci", no_argument, NULL, 'P' },
        { "q35", no_argument, NULL, 'Q' },
        { "pciexbar", required_argument, NULL, 'E' },
        { "hvm", no_argument, NULL, 'H' },
        { "seconds", required_argument, NULL, 's' },
        { "kill", no_argument, NULL, 'K' },
        { "meanwhile", required_argument, NULL, 'M' },
        { "paused", no_argument, NULL, 'p' },
        { "save", required_argument, NULL, 'S' },
        { "restore", required_argument, NULL, 'T' },
        { "spoil", no_argument, NULL, 'X' },
        { NULL, 0, NULL, 0 },
    };
    struct guest *g = &o->guest;
    unsigned long vcpus = 1;
    bool good = true;
    int which;

    *o = (struct options) {
        .guest = { .memory = 32, .vpci = true, .command_line = "", .next_bar = HOLE_START },
        .seconds = 60,
    };
    while ( good && (which = getopt_long(argc, argv, "", known, NULL)) != -1 )
        switch ( which )
        {
        case 'k': g->kernel = optarg; break;
        case 'i': g->initrd = optarg; break;
        case 'c': g->command_line = optarg; break;
        case 'm': good = number(optarg, 4, MAX_MEMORY, &g->memory); break;
        case 'v': good = number(optarg, 1, MAX_VCPUS, &vcpus); break;
        case 'd':
            good = g->nr_devices < MAX_DEVICES && parse_device(optarg, &g->devices[g->nr_devices++]);
            break;
        case 'r': good = g->nr_devices && parse_rule(optarg, &g->devices[g->nr_devices - 1]); break;
        case 'V': good = g->nr_devices && file_open(optarg, &g->devices[g->nr_devices - 1].vpd); break;
        case 'f': g->firmware_bars = true; break;
        case 'U': g->unreset = true; break;
        case 'R': g->refusals = true; break;
        case 'P': g->vpci = false; break;
        case 'Q': g->q35 = true; break;
        case 'E': good = number(optarg, 0, ~0UL, &g->pciexbar); break;
        case 'H': g->hvm = true; g->vpci = false; break;
        case 'K': o->kill = true; break;
        case 'M': o->meanwhile = optarg; break;
        case 'p': o->paused = true; break;
        case 'S': o->save = optarg; break;
        case 'T': o->restore = optarg; break;
        case 'X': o->spoil = true; break;
        case 's': good = number(optarg, 1, 3600, &o->seconds); break;
        default: good = false; break;
        }
    g->vcpus = vcpus;

    return good && optind == argc && g->kernel && (g->q35 || !g->pciexbar);
}

/* SBDF[-SBDF] */
static bool parse_range(char *text, struct server_options *o)
{
    char *last = strchr(text, '-');
    __typeof__(o->ranges[0]) *range = &o->ranges[o->nr_ranges];

    if ( o->nr_ranges++ == MAX_RANGES )
        return false;
    if ( last )
        *last++ = 0;

    return parse_sbdf(text, &range->first) && parse_sbdf(last ? last : text, &range->last);
}

static bool parse_server(int argc, char **argv, struct server_options *o)
{
    static const struct option known[] = {
        { "function", required_argument, NULL, 'f' },
        { "extended", no_argument, NULL, 'x' },
        { NULL, 0, NULL, 0 },
    };
    bool good = true;
    int which;

    *o = (struct server_options) { .nr_ranges = 0 };
    while ( good && (which = getopt_long(argc, argv, "", known, NULL)) != -1 )
        switch ( which )
        {
        case 'f': good = parse_range(optarg, o); break;
        case 'x': o->extended = true; break;
        default: good = false; break;
        }

    return good && optind == argc;
}

static bool start(struct options *o)
{
    struct guest *g = &o->guest;
    uint32_t entry = 0, start_info = 0;

    if ( !guest_create(g) || !guest_populate(g) || (g->q35 && !guest_set_q35(g)) )
        return false;
    for ( unsigned int i = 0; g->refusals && i < g->nr_devices; i++ )
        device_refusals(g->domain, g->devices[i].host);
    for ( unsigned int i = 0; i < g->nr_devices; i++ )
        if ( !guest_add_device(g, &g->devices[i]) )
            return false;
    if ( g->refusals && g->q35 )
        q35_refusals(g);
    if ( o->restore && !mch_restore(g->domain, o->restore, o->spoil) )
        return false;

    return guest_load(g, &entry, &start_info) && guest_ready(g, entry, start_info) &&
           (o->paused || domain_unpause(g->domain));
}

/* Waits for a domain's end and says how it ended. */
static bool ended(domid_t domain, unsigned int seconds)
{
    unsigned int reason;

    if ( !domain_wait(domain, seconds, &reason) )
        return false;
    printf("shutdown %s\n", reason_name(reason));

    return true;
}

static int run(int argc, char **argv, bool whole)
{
    struct options o;
    struct guest *g = &o.guest;
    bool good;

    if ( !parse(argc, argv, &o) )
        return usage();
    good = start(&o);
    if ( good && !whole )
        return 0;
    good = good && (o.kill ? domain_idle(g->domain, o.seconds) : ended(g->domain, o.seconds));
    if ( good && o.meanwhile && system(o.meanwhile) )
        good = failed("running the command");
    good = good && (!o.save || mch_save(g->domain, o.save));
    if ( good && g->refusals && g->q35 )
        q35_refusals_after(g);
    for ( unsigned int i = 0; g->exists && whole && i < g->nr_devices; i++ )
        device_audit(g->domain, g->devices[i].host);
    if ( g->exists && !domain_destroy(g->domain) )
        good = false;
    if ( good && o.kill )
        printf("killed\n");

    return !good;
}

/* Domains but for this one, and free memory. */
static int state(void)
{
    struct xen_domctl op;
    struct xen_sysctl sysctl = { 0 };
    unsigned int domain = 0, others = 0;

    for ( ;; )
    {
        memset(&op, 0, sizeof(op));
        if ( !xen_domctl(&op, XEN_DOMCTL_getdomaininfo, domain) )
            break;
        if ( !op.domain )
            printf("dom0-pages %lu\n", op.u.getdomaininfo.tot_pages);
        else
            others++;
        domain = op.domain + 1;
    }
    printf("guests %u\n", others);
    if ( !xen_sysctl(&sysctl, XEN_SYSCTL_physinfo) )
        return !failed("asking for the machine's memory");
    printf("free-pages %lu\n", sysctl.u.physinfo.free_pages + sysctl.u.physinfo.scrub_pages);

    return 0;
}

static int query(uint32_t host)
{
    struct vpci_domctl_bar bar[VPCI_DOMCTL_BARS];

    /* No guest is meant: the addresses of dom0. */
    return !device_query(0, host, bar);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    unsigned long domain = 0, seconds = 60, function;
    struct server_options server;
    bool has_domain = argc > 2 && number(argv[2], 1, DOMID_FIRST_RESERVED - 1, &domain);
    uint32_t host;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if ( argc > 1 )
        xen_open();
    if ( !strcmp(command, "run") || !strcmp(command, "start") )
        return run(argc - 1, argv + 1, !strcmp(command, "run"));
    if ( !strcmp(command, "state") && argc == 2 )
        return state();
    if ( !strcmp(command, "query") && argc == 3 && parse_sbdf(argv[2], &host) )
        return query(host);
    if ( !strcmp(command, "release") && argc == 3 && parse_sbdf(argv[2], &host) )
        return !device_release(host);
    if ( !strcmp(command, "reset") && argc == 4 && parse_sbdf(argv[2], &host) )
        return !device_reset(host, argv[3]);
    if ( !strcmp(command, "watch") && argc == 4 && parse_sbdf(argv[2], &host) )
        return !device_reset_watched(host, argv[3]);
    if ( !strcmp(command, "function") && argc == 3 && parse_sbdf(argv[2], &host) )
        return !device_function(host);
    if ( !strcmp(command, "quirks") )
        return !quirks_set(argv + 2, argc - 2);
    if ( !strcmp(command, "nvme-release") && argc == 3 )
        return !nvme_release(argv[2]);
    if ( !strcmp(command, "nvme-assign") && argc == 4 && number(argv[3], 1, 127, &function) )
        return !nvme_assign(argv[2], function);
    if ( !strcmp(command, "nvme-online") && argc == 4 && number(argv[3], 1, 127, &function) )
        return !nvme_online(argv[2], function);
    if ( !strcmp(command, "destroy") && has_domain && argc == 3 )
        return !domain_destroy(domain);
    if ( !strcmp(command, "unpause") && has_domain && argc == 3 )
        return !domain_unpause(domain);
    if ( !strcmp(command, "serve") && has_domain && parse_server(argc - 2, argv + 2, &server) )
        return !serve(domain, &server);
    if ( !strcmp(command, "wait") && has_domain && (argc == 3 || (argc == 4 && number(argv[3], 1, 3600, &seconds))) )
        return !ended(domain, seconds);
    if ( !strcmp(command, "audit") && has_domain && argc == 4 && parse_sbdf(argv[3], &host) )
        return !device_audit(domain, host);

    return usage();
}
