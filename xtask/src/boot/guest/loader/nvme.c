// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Virtual functions of an NVMe controller: its driver in Linux enables them, but leaves them without queues. The command is
 * Virtualization Management (NVMe 1.4, 5.22).
 */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

enum { VIRTUALIZATION_MANAGEMENT = 0x1c };

/* Dword 10, 3:0. */
enum action { PRIMARY_FLEXIBLE = 1, SECONDARY_ASSIGN = 8, SECONDARY_ONLINE = 9 };

/* Dword 10, 10:8. */
enum resource { QUEUES, INTERRUPTS };

static bool manage(const char *path, unsigned int controller, enum resource kind, enum action action, unsigned int count)
{
    struct nvme_admin_cmd command = {
        .opcode = VIRTUALIZATION_MANAGEMENT,
        .cdw10 = controller << 16 | kind << 8 | action,
        .cdw11 = count,
    };
    int file = open(path, O_RDWR | O_CLOEXEC), status;

    if ( file < 0 )
        return failed("opening %s", path);
    status = ioctl(file, NVME_IOCTL_ADMIN_CMD, &command);
    close(file);
    if ( status > 0 )
        printf("failed action %u on controller %u: status %x\n", action, controller, status);
    else if ( status < 0 )
        failed("sending a command to %s", path);

    return !status;
}

bool nvme_release(const char *path)
{
    return manage(path, 0, INTERRUPTS, PRIMARY_FLEXIBLE, 0) && manage(path, 0, QUEUES, PRIMARY_FLEXIBLE, 0);
}

bool nvme_assign(const char *path, unsigned int number)
{
    /* An admin queue and one more. */
    return manage(path, number, INTERRUPTS, SECONDARY_ASSIGN, 2) && manage(path, number, QUEUES, SECONDARY_ASSIGN, 2);
}

bool nvme_online(const char *path, unsigned int number)
{
    return manage(path, number, QUEUES, SECONDARY_ONLINE, 0);
}
