// SPDX-License-Identifier: MIT OR Apache-2.0
/* What Xen keeps of a domain, as records that go to another one (public/hvm/save.h). */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

void record(struct records *all, uint16_t type, const void *content, size_t size)
{
    struct hvm_save_descriptor descriptor = { .typecode = type, .length = size };

    memcpy(all->at + all->used, &descriptor, sizeof(descriptor));
    if ( size )
        memcpy(all->at + all->used + sizeof(descriptor), content, size);
    all->used += sizeof(descriptor) + size;
}

void records_start(struct records *all)
{
    /* A frequency of 0 leaves the one that Xen chose. */
    struct hvm_save_header header = { .magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION };
    unsigned int ebx, ecx, edx;

    all->used = 0;
    __cpuid(1, header.cpuid, ebx, ecx, edx);
    record(all, HVM_SAVE_CODE(HEADER), &header, sizeof(header));
}

bool records_load(domid_t domain, struct records *all)
{
    struct xen_domctl op = { 0 };

    record(all, HVM_SAVE_CODE(END), NULL, 0);
    op.u.hvmcontext.size = all->used;
    set_xen_guest_handle(op.u.hvmcontext.buffer, all->at);

    return xen_domctl(&op, XEN_DOMCTL_sethvmcontext, domain);
}

/* The records of a domain, which are the caller's to free. */
static uint8_t *get(domid_t domain, size_t *size)
{
    struct xen_domctl op = { 0 };
    uint8_t *all;

    if ( !xen_domctl(&op, XEN_DOMCTL_gethvmcontext, domain) )
        return NULL;
    *size = op.u.hvmcontext.size;
    all = malloc(*size);
    if ( !all )
        return NULL;
    memset(&op, 0, sizeof(op));
    op.u.hvmcontext.size = *size;
    set_xen_guest_handle(op.u.hvmcontext.buffer, all);
    if ( xen_domctl(&op, XEN_DOMCTL_gethvmcontext, domain) )
    {
        *size = op.u.hvmcontext.size;
        return all;
    }
    free(all);

    return NULL;
}

/* The content of the first record of a type, or NULL. */
static const uint8_t *find(const uint8_t *at, size_t left, uint16_t type, size_t *size)
{
    struct hvm_save_descriptor descriptor;

    while ( left >= sizeof(descriptor) )
    {
        memcpy(&descriptor, at, sizeof(descriptor));
        at += sizeof(descriptor);
        left -= sizeof(descriptor);
        if ( descriptor.length > left )
            break;
        *size = descriptor.length;
        if ( descriptor.typecode == type )
            return at;
        at += descriptor.length;
        left -= descriptor.length;
    }
    errno = ENOENT;

    return NULL;
}

bool mch_save(domid_t domain, const char *name)
{
    size_t size = 0, length = 0;
    uint8_t *all = get(domain, &size);
    const uint8_t *mch = all ? find(all, size, VPCI_SAVE_MCH, &length) : NULL;
    int file = mch ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool good = file >= 0 && write(file, mch, length) == (ssize_t)length;

    if ( file >= 0 )
        close(file);
    free(all);
    if ( good )
        printf("saved %zu bytes\n", length);

    return good || failed("saving the MCH");
}

/* A record that is not one that any MCH has. */
struct spoiled {
    const char *name;
    unsigned int at;
    uint8_t flip;
};

/* Fields of `Image` in q35/src/image.rs: magic, version, length, registers from 16 on, window, reserved. */
static const struct spoiled spoiled[] = {
    { "magic", 0, 0x20 },
    { "newer-version", 4, 0x03 },
    { "length", 8, 0x04 },
    { "vendor", 16, 0x01 },
    { "window-elsewhere", 272 + 3, 0x10 },
    { "something-reserved", 284, 0x01 },
};

static bool load(domid_t domain, const uint8_t *mch, size_t size)
{
    struct records all;

    records_start(&all);
    record(&all, VPCI_SAVE_MCH, mch, size);

    return records_load(domain, &all);
}

static void must_refuse(domid_t domain, const uint8_t *mch, size_t size, const char *name, int error)
{
    expect("spoiled", name, load(domain, mch, size) ? 0 : errno, error);
}

bool mch_restore(domid_t domain, const char *name, bool spoil)
{
    uint8_t mch[1024];
    int file = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, mch, sizeof(mch) - 1) : -1;

    if ( file >= 0 )
        close(file);
    if ( size < 0 )
        return failed("reading %s", name);
    if ( !spoil )
        return load(domain, mch, size) || failed("restoring the MCH");
    for ( unsigned int i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++ )
    {
        if ( spoiled[i].at >= size )
            continue;
        mch[spoiled[i].at] ^= spoiled[i].flip;
        must_refuse(domain, mch, size, spoiled[i].name, EINVAL);
        mch[spoiled[i].at] ^= spoiled[i].flip;
    }
    mch[size] = 0;
    must_refuse(domain, mch, size + 1, "byte-more", ENODATA);
    must_refuse(domain, mch, size - 1, "byte-less", ENODATA);

    return true;
}
