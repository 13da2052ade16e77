// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of physical functions: the library's engine, stepped by one tasklet. See docs/reset.md.
 *
 * Nobody waits for a device here. The tasklet makes one step of each reset that is due, and a timer calls it for the next;
 * a vCPU whose hypercall needs the outcome is blocked, and makes the hypercall again when it runs.
 *
 * Locks: pcidevs_lock, which the tasklet has all the time, then a domain's pci_lock, then that of resets.
 */
#include <xen/init.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/tasklet.h>
#include <xen/timer.h>

#include "physical.h"

/* How soon what could not be done is tried again: somebody has the list of devices, or pages do not leave the p2m. */
#define RETRY MILLISECS(1)

/* How often a function that came to no reset is tried to be given back. */
#define MOST_TRIES 10000

/* How long after the end of a reset who waited for it makes its hypercall again, at most. */
#define MOST_DELAY SECONDS(1)

static DEFINE_SPINLOCK(lock);
static struct tasklet tasklet;
static struct timer timer;

static uint64_t microseconds(void)
{
    return NOW() / 1000;
}

/* Whether a reset has it, its own or one of its bus. */
static bool is_busy(const struct vpci_physical *physical)
{
    return physical->phase != IDLE || physical->claimed;
}

/*
 * Who asks, and who waits
 */

/* Starts a reset, when the tasklet comes to it. The lock is held, and none goes on. */
static void ask(struct vpci_physical *physical, uint32_t methods)
{
    ASSERT(physical->phase == IDLE);
    physical->phase = ASKED;
    physical->methods = methods;
    physical->stays_away = false;
    physical->by_guest = false;
    physical->again = 0;
    physical->due = 0;
    /* Who waited for the last one, and did not come back, does not keep others from waiting for this one. */
    physical->waiting_domain = DOMID_INVALID;
    physical->left_waiting = false;
    tasklet_schedule(&tasklet);
}

static bool is_waiting(const struct vpci_physical *physical)
{
    return physical->waiting_domain == current->domain->domain_id &&
           physical->waiting_vcpu == current->vcpu_id;
}

/*
 * Has the running vCPU wait for the end of a reset that goes on: its hypercall is to be made again. The lock is held, so
 * that the end cannot be missed.
 */
static int wait_for(struct vpci_physical *physical)
{
    if ( !is_waiting(physical) )
    {
        if ( physical->waiting_domain != DOMID_INVALID )
            return -EBUSY;
        physical->waiting_domain = current->domain->domain_id;
        physical->waiting_vcpu = current->vcpu_id;
        physical->waiting_since = NOW();
    }
    else if ( NOW() - physical->waiting_since > LONGEST_WAIT )
    {
        physical->waiting_domain = DOMID_INVALID;
        physical->left_waiting = true;
        return -EAGAIN;
    }

    vcpu_block();

    return -ERESTART;
}

/*
 * Whether the running vCPU waited for a reset, which is over: then it waits no more. So did whoever was told to call again. It
 * was woken at once; if it did not come then, its hypercall ended otherwise, and this is another one. The lock is held.
 */
static bool has_waited(struct vpci_physical *physical)
{
    if ( !is_waiting(physical) && !physical->left_waiting )
        return false;

    physical->waiting_domain = DOMID_INVALID;
    physical->left_waiting = false;

    return NOW() - physical->ended < MOST_DELAY;
}

static void wake(domid_t domain, unsigned int vcpu)
{
    struct domain *d = rcu_lock_domain_by_id(domain);
    struct vcpu *v;

    if ( !d )
        return;

    v = domain_vcpu(d, vcpu);
    if ( v )
        vcpu_unblock(v);
    rcu_unlock_domain(d);
}

/* The end of a reset: whoever waits gets @result. One that was asked for meanwhile is next. */
static void finish(struct vpci_physical *physical, int result)
{
    domid_t domain;
    unsigned int vcpu;
    uint32_t again;

    spin_lock(&lock);
    domain = physical->waiting_domain;
    vcpu = physical->waiting_vcpu;
    again = physical->again;
    physical->result = result;
    physical->ended = NOW();
    physical->phase = IDLE;
    if ( again )
    {
        ask(physical, again);
        physical->by_guest = again == RVPCI_METHODS_FUNCTION;
    }
    spin_unlock(&lock);

    wake(domain, vcpu);
}

/* Likewise for one that was reset with another. If a reset of its own was asked for, it waits for that. */
static void finish_member(struct vpci_physical *physical, int result)
{
    bool waits;

    spin_lock(&lock);
    physical->claimed = false;
    waits = physical->phase == IDLE;
    if ( waits )
    {
        physical->result = result;
        physical->ended = NOW();
    }
    spin_unlock(&lock);

    if ( waits )
        wake(physical->waiting_domain, physical->waiting_vcpu);
}

int vpci_reset_and_wait(struct vpci_physical *physical, uint32_t methods)
{
    int rc;

    spin_lock(&lock);
    if ( physical->phase != IDLE )
        rc = wait_for(physical);
    else if ( has_waited(physical) && physical->methods == methods )
        rc = physical->result;
    else
    {
        ask(physical, methods);
        rc = wait_for(physical);
    }
    spin_unlock(&lock);

    return rc;
}

int vpci_wait_for_reset(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical = vpci_physical(sbdf, false);
    int rc = 0;

    if ( !physical )
        return 0;

    spin_lock(&lock);
    if ( is_busy(physical) )
        rc = wait_for(physical);
    else
        has_waited(physical);
    spin_unlock(&lock);

    return rc;
}

int vpci_reset_unless_clean(struct vpci_physical *physical, bool may_be_refused)
{
    struct rvpci_reset_state state;
    int rc = 0;

    spin_lock(&lock);
    if ( is_busy(physical) )
        rc = wait_for(physical);
    else if ( has_waited(physical) && physical->result )
    {
        rvpci_reset_state(physical_core(physical), &state);
        if ( !may_be_refused || physical->lost ||
             (!physical->error && state.outcome != RVPCI_OUTCOME_REFUSED) )
            rc = physical->result;
    }
    else if ( !physical->clean )
    {
        ask(physical, RVPCI_METHODS_ALL);
        rc = wait_for(physical);
    }
    if ( rc == -ERESTART )
        physical->stays_away = true;
    else if ( rc == -EAGAIN )
        physical->stays_away = false;
    /* Whatever comes of it now, it has had an owner, who is not trusted. */
    if ( !rc )
    {
        physical->clean = false;
        physical->tainted = true;
    }
    spin_unlock(&lock);

    return rc;
}

void vpci_reset_left(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical = vpci_physical(sbdf, false);

    if ( !physical )
        return;

    spin_lock(&lock);
    physical->clean = false;
    if ( physical->phase == IDLE )
        ask(physical, RVPCI_METHODS_ALL);
    else
        physical->again = RVPCI_METHODS_ALL;
    spin_unlock(&lock);
}

void vpci_reset_by_guest(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical = vpci_physical(sbdf, false);

    if ( !physical )
        return;

    spin_lock(&lock);
    if ( physical->phase == IDLE )
    {
        ask(physical, RVPCI_METHODS_FUNCTION);
        physical->by_guest = true;
    }
    else if ( !physical->again )
        physical->again = RVPCI_METHODS_FUNCTION;
    spin_unlock(&lock);
}

bool vpci_hide_until_reset(const struct pci_dev *pdev)
{
    struct vpci_physical *physical = vpci_physical(pdev->sbdf, false);

    if ( !physical )
        return false;

    spin_lock(&lock);
    physical->hidden = physical->claimed ||
                       (physical->phase != IDLE &&
                        physical->phase < GIVING_BACK);
    if ( !physical->hidden )
    {
        physical->clean = false;
        physical->stays_away = false;
        if ( physical->pdev != pdev )
        {
            /* It is another one. */
            physical->lost = false;
            physical->tainted = false;
            physical->pdev = pdev;
        }
    }
    spin_unlock(&lock);

    return physical->hidden;
}

bool vpci_stop_hiding(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical = vpci_physical(sbdf, false);
    bool hidden = physical && physical->hidden;

    if ( hidden )
        physical->hidden = false;

    return hidden;
}

bool vpci_is_being_reset(pci_sbdf_t sbdf)
{
    const struct vpci_physical *physical = vpci_physical(sbdf, false);

    return physical && (physical->phase == RUNNING || physical->claimed);
}

uint32_t vpci_reset_state(const struct vpci_physical *physical)
{
    if ( is_busy(physical) )
        return VPCI_FUNCTION_RESETTING;
    if ( physical->lost )
        return VPCI_FUNCTION_LOST;

    return physical->clean ? VPCI_FUNCTION_CLEAN : VPCI_FUNCTION_USED;
}

/*
 * The functions that a reset takes care of
 */

static bool is_member(const struct vpci_physical *first,
                      const struct vpci_physical *other)
{
    unsigned int i;

    for ( i = 0; i < first->nr_members; i++ )
        if ( first->member[i] == other )
            return true;

    return false;
}

/* Makes members of the idle functions behind the bridge. */
static int cf_check add_member(struct pci_dev *pdev, void *arg)
{
    struct vpci_physical *first = arg, *physical;

    if ( !vpci_is_behind(pdev->sbdf, first->bridge) ||
         pdev->sbdf.sbdf == first->sbdf.sbdf || !vpci_is_idle(pdev) ||
         first->nr_members == MAX_MEMBERS )
        return 0;

    physical = vpci_physical(pdev->sbdf, true);
    if ( physical && !is_busy(physical) )
        first->member[first->nr_members++] = physical;

    return 0;
}

struct behind {
    const struct vpci_physical *first;
    bool all;       /* those found so far are idle, and are members */
};

/* Whether a function behind the bridge can do with a reset now. */
static int cf_check check_member(struct pci_dev *pdev, void *arg)
{
    struct behind *behind = arg;
    const struct vpci_physical *physical;

    if ( !vpci_is_behind(pdev->sbdf, behind->first->bridge) ||
         pdev->sbdf.sbdf == behind->first->sbdf.sbdf )
        return 0;

    physical = vpci_physical(pdev->sbdf, false);
    behind->all = behind->all && physical && vpci_is_idle(pdev) &&
                  is_member(behind->first, physical) && physical->learnt &&
                  !is_busy(physical);

    return 0;
}

static struct vpci_physical *from_library(uint32_t sbdf)
{
    return vpci_physical((pci_sbdf_t){ .sbdf = sbdf }, false);
}

bool rvpci_host_claim(uint32_t sbdf)
{
    struct vpci_physical *physical = from_library(sbdf);

    if ( !physical || physical->claimed )
        return false;

    physical->claimed = true;

    return true;
}

void rvpci_host_release(uint32_t sbdf)
{
    struct vpci_physical *physical = from_library(sbdf);

    if ( physical )
        physical->claimed = false;
}

static void claim_members(struct vpci_physical *physical, bool claimed)
{
    unsigned int i;

    for ( i = 1; i < physical->nr_members; i++ )
        physical->member[i]->claimed = claimed;
    physical->has_bus = claimed;
}

bool rvpci_host_claim_bus(uint32_t bridge, uint32_t first)
{
    struct vpci_physical *physical = from_library(first);
    struct behind behind = { .first = physical, .all = true };

    if ( !physical || physical->bridge != bridge )
        return false;

    pci_iterate_devices(check_member, &behind);
    if ( behind.all )
    {
        claim_members(physical, true);
        physical->has_released = false;
        vpci_freeze(bridge, true);
    }

    return behind.all;
}

void rvpci_host_release_bus(uint32_t bridge, uint32_t first)
{
    struct vpci_physical *physical = from_library(first);

    vpci_freeze(bridge, false);
    /* The others stay claimed until they are given back, if this is the end of the reset. */
    if ( physical )
        physical->has_released = true;
}

int32_t rvpci_host_withdraw(uint32_t sbdf)
{
    struct pci_dev *pdev = pci_get_pdev(NULL, (pci_sbdf_t){ .sbdf = sbdf });

    return pdev && pdev->domain ? vpci_withdraw(pdev) : RVPCI_DONE;
}

/*
 * A reset, phase by phase
 */

static void enter(struct vpci_physical *physical, enum vpci_phase phase)
{
    physical->at = 0;
    physical->due = 0;

    spin_lock(&lock);
    physical->phase = phase;
    spin_unlock(&lock);
}

/* Gives a function back to whoever has it, and says what has become of it. Whether that is done. */
static bool settle(struct vpci_physical *physical, struct vpci_physical *member,
                   uint32_t outcome)
{
    struct pci_dev *pdev = pci_get_pdev(NULL, member->sbdf);
    bool ready = outcome == RVPCI_OUTCOME_READY;
    bool lost = outcome == RVPCI_OUTCOME_QUARANTINED;
    bool clean = ready && pdev &&
                 (pdev->domain == dom_io || member->stays_away);
    /* What a guest has reset by itself, it goes on with. */
    bool guests = pdev && pdev->domain && pdev->domain != dom_io &&
                  !is_hardware_domain(pdev->domain);
    int rc;

    if ( pdev && pdev->domain && !lost && !clean )
    {
        bool hidden = member->hidden;

        /* It may be hidden anew, if another reset has come before. */
        member->hidden = false;
        rc = vpci_give_back(pdev, hidden);
        lost = rc < 0 || rc == RVPCI_AGAIN;
        if ( lost && hidden )
            member->hidden = true;
        if ( rc == RVPCI_AGAIN && physical->tries++ < MOST_TRIES )
        {
            physical->due = NOW() + RETRY;
            return false;
        }
        if ( lost )
            printk(XENLOG_WARNING "%pp: cannot be given back to %pd: %d\n",
                   &member->sbdf, pdev->domain, rc);
        physical->maps = physical->maps || rc == RVPCI_PENDING;
    }

    spin_lock(&lock);
    /* What was refused is as it was before. */
    if ( ready || lost )
    {
        member->lost = lost;
        member->clean = clean;
        member->tainted = member->tainted && (!ready || guests);
    }
    spin_unlock(&lock);

    if ( member != physical )
        finish_member(member, lost ? -EIO : 0);

    return true;
}

static void find_members(struct vpci_physical *physical)
{
    uint32_t methods;

    /* Its bus is being reset: it is not to be looked at before that is over. */
    if ( physical->claimed )
    {
        physical->due = NOW() + RETRY;
        return;
    }

    spin_lock(&lock);
    methods = physical->methods;
    spin_unlock(&lock);

    physical->has_bus = false;
    physical->maps = false;
    physical->error = 0;
    physical->tries = 0;
    physical->member[0] = physical;
    physical->nr_members = 1;

    physical->bridge = vpci_bridge_above(physical->sbdf);
    if ( (methods & RVPCI_METHOD_BUS) && physical->bridge != RVPCI_NO_SBDF )
        pci_iterate_devices(add_member, physical);

    enter(physical, LEARNING);
}

/* Reads a function, or sees to it that it was read before. */
static int learn(struct vpci_physical *physical)
{
    const struct pci_dev *pdev = pci_get_pdev(NULL, physical->sbdf);
    int rc = 0;

    if ( !pdev )
        rc = -ENODEV;
    else if ( vpci_is_credible(physical, pdev) )
        rc = vpci_learn(physical, pdev);
    else if ( !physical->learnt )
        rc = -ENODATA;
    if ( !rc )
        vpci_look_up(physical);

    return rc;
}

static void learn_next(struct vpci_physical *physical)
{
    int rc = learn(physical->member[physical->at]);

    /* With another one that cannot be learnt, only the bus is not to be had. */
    if ( physical->at )
        rc = 0;

    if ( !rc && ++physical->at < physical->nr_members )
        return;

    if ( !rc )
        rc = rvpci_reset_start(physical_core(physical), physical->bridge,
                               physical->methods, physical->by_guest,
                               microseconds());
    if ( !rc )
    {
        enter(physical, RUNNING);
        return;
    }

    physical->error = rc;
    enter(physical, GIVING_BACK);
}

static void step(struct vpci_physical *physical)
{
    struct rvpci_physical *core[MAX_MEMBERS];
    struct rvpci_reset_state state;
    uint64_t now = microseconds(), due = now;
    unsigned int i;

    for ( i = 0; i < physical->nr_members; i++ )
        core[i] = physical_core(physical->member[i]);

    if ( rvpci_reset_step(core, physical->nr_members, now,
                          &due) == RVPCI_AGAIN )
    {
        /* What is waited for counts from the end of the step. */
        physical->due = NOW() + (max(due, now) - now) * 1000;
        if ( physical->has_released )
            claim_members(physical, false);
        physical->has_released = false;
        return;
    }

    rvpci_reset_state(physical_core(physical), &state);
    if ( state.outcome == RVPCI_OUTCOME_READY )
    {
        /* Who asked while it went on was served as well. */
        spin_lock(&lock);
        physical->again = 0;
        spin_unlock(&lock);
    }
    enter(physical, GIVING_BACK);
}

static void give_back_next(struct vpci_physical *physical)
{
    struct vpci_physical *member = physical->member[physical->at];
    struct rvpci_reset_state state;

    rvpci_reset_state(physical_core(physical), &state);
    if ( physical->error )
        state.outcome = RVPCI_OUTCOME_REFUSED;
    if ( (member == physical || physical->has_bus) &&
         !settle(physical, member, state.outcome) )
        return;

    if ( ++physical->at == physical->nr_members )
        enter(physical, MAPPING);
}

/* Only the hardware domain has devices that decode at once. */
static void map_next(struct vpci_physical *physical)
{
    struct rvpci_reset_state state;

    if ( physical->maps && vpci_map_pending(hardware_domain) )
        return;

    finish(physical, physical->error ?:
                     rvpci_reset_state(physical_core(physical), &state));
}

static void advance(struct vpci_physical *physical)
{
    switch ( physical->phase )
    {
    case IDLE:
        break;

    case ASKED:
        find_members(physical);
        break;

    case LEARNING:
        learn_next(physical);
        break;

    case RUNNING:
        step(physical);
        break;

    case GIVING_BACK:
        give_back_next(physical);
        break;

    case MAPPING:
        map_next(physical);
        break;
    }
}

/* The reset that is due next; NULL if none goes on. */
static struct vpci_physical *next_due(void)
{
    struct vpci_physical *physical, *first = NULL;

    for ( physical = vpci_next_physical(NULL); physical;
          physical = vpci_next_physical(physical) )
        if ( physical->phase != IDLE && (!first || physical->due < first->due) )
            first = physical;

    return first;
}

/* One step of one reset: whoever needs this CPU waits for no more. */
static void cf_check run(void *unused)
{
    struct vpci_physical *physical;
    s_time_t next = STIME_MAX;

    if ( !pcidevs_trylock() )
    {
        set_timer(&timer, NOW() + RETRY);
        return;
    }

    physical = next_due();
    if ( physical && physical->due <= NOW() )
    {
        advance(physical);
        physical = next_due();
    }
    if ( physical )
        next = physical->due;

    pcidevs_unlock();

    if ( next == STIME_MAX )
        return;

    if ( next <= NOW() )
        tasklet_schedule(&tasklet);
    else
        set_timer(&timer, next);
}

static void cf_check kick(void *unused)
{
    tasklet_schedule(&tasklet);
}

static int __init cf_check init(void)
{
    tasklet_init(&tasklet, run, NULL);
    init_timer(&timer, kick, NULL, 0);

    return 0;
}
__initcall(init);

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
