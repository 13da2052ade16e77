// SPDX-License-Identifier: MIT OR Apache-2.0
/* What is in the guest's memory when it starts. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

/* The note with the entry of the PVH boot protocol (elfnote.h). */
#define PHYS32_ENTRY 18

/* Pages that are mapped at a time. */
#define AT_A_TIME 1024

/*
 * Mapping a page of the guest's takes longer than anything else here, so what is to be zero the guest clears itself: a few
 * instructions of ours run before the kernel's entry.
 */
#define CLEAR_AT 0x1000UL
#define MAX_CLEARED 64
/* What is cleared so is aligned to this. */
#define GRAIN (64UL << 10)

struct cleared {
    struct { uint64_t start, size; } range[MAX_CLEARED];
    unsigned int used;
};

bool file_open(const char *name, struct file *file)
{
    struct stat about;
    int descriptor = open(name, O_RDONLY | O_CLOEXEC);

    if ( descriptor < 0 )
        return failed("opening %s", name);
    if ( fstat(descriptor, &about) )
        return failed("reading %s", name);
    file->size = about.st_size;
    file->at = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if ( file->at == MAP_FAILED )
        return failed("reading %s", name);

    return true;
}

static bool in_ram(const struct guest *g, uint64_t at, uint64_t size)
{
    uint64_t end = g->memory * MIB;

    return (at < LOW_END && size <= LOW_END - at) || (at >= HIGH_START && at < end && size <= end - at) ||
           (at == ACPI_AT && size <= PAGE_SIZE);
}

/* Copies to guest memory, or clears it where `from` is NULL. */
bool guest_copy(struct guest *g, uint64_t at, const void *from, size_t size)
{
    const uint8_t *source = from;

    if ( !size )
        return true;
    if ( !in_ram(g, at, size) )
    {
        errno = ENOSPC;
        return failed("copying to %lx: the guest has no memory for %zu bytes there", at, size);
    }
    while ( size )
    {
        size_t offset = at % PAGE_SIZE, room = AT_A_TIME * PAGE_SIZE - offset, now = size < room ? size : room;
        size_t pages = (offset + now + PAGE_SIZE - 1) / PAGE_SIZE;
        uint8_t *mapped = xen_map(g->domain, at / PAGE_SIZE, pages);

        if ( !mapped )
            return failed("mapping the guest's memory at %lx", at);
        if ( source )
        {
            memcpy(mapped + offset, source, now);
            source += now;
        }
        else
            memset(mapped + offset, 0, now);
        xen_unmap(mapped, pages);
        at += now;
        size -= now;
    }

    return true;
}

static bool not_a_kernel(const char *name, const char *why)
{
    errno = ENOEXEC;

    return failed("loading %s: %s", name, why);
}

/* Looks for the PVH entry in a segment of notes. */
static bool find_entry(struct file file, const Elf64_Phdr *notes, uint32_t *entry)
{
    size_t at = notes->p_offset, end = notes->p_offset + notes->p_filesz;

    while ( end >= at && end - at >= sizeof(Elf64_Nhdr) )
    {
        const Elf64_Nhdr *note = (const void *)(file.at + at);
        size_t name = at + sizeof(*note), content = name + ((note->n_namesz + 3UL) & ~3UL);

        at = content + ((note->n_descsz + 3UL) & ~3UL);
        if ( at > end )
            break;
        if ( note->n_type == PHYS32_ENTRY && note->n_namesz == 4 && !memcmp(file.at + name, "Xen", 4) &&
             note->n_descsz >= 4 )
        {
            memcpy(entry, file.at + content, 4);
            return true;
        }
    }

    return false;
}

/* Leaves a range to the guest, if there is room to note it. */
static bool clear_later(struct cleared *all, uint64_t start, uint64_t size)
{
    if ( all->used && all->range[all->used - 1].start + all->range[all->used - 1].size == start )
    {
        all->range[all->used - 1].size += size;
        return true;
    }
    if ( all->used == MAX_CLEARED )
        return false;
    all->range[all->used].start = start;
    all->range[all->used++].size = size;

    return true;
}

static bool is_zero(const uint8_t *at, size_t size)
{
    return !size || (!*at && !memcmp(at, at + 1, size - 1));
}

/* How much from `at` on, aligned to GRAIN at its end, is all zero or all not; there are `filled` bytes that may not be. */
static size_t alike(uint64_t at, const uint8_t *from, size_t filled, size_t size, bool *zero)
{
    size_t done = 0;

    while ( done < size )
    {
        size_t now = GRAIN - (at + done) % GRAIN, left = filled > done ? filled - done : 0;
        bool clear;

        now = now < size - done ? now : size - done;
        clear = is_zero(from + done, now < left ? now : left);
        if ( done && clear != *zero )
            break;
        *zero = clear;
        done += now;
    }

    return done;
}

/* Copies `filled` bytes to `at`, and has the rest of `size` cleared. */
static bool load_segment(struct guest *g, uint64_t at, const uint8_t *from, size_t filled, size_t size,
                         struct cleared *cleared)
{
    if ( !in_ram(g, at, size) )
    {
        errno = ENOSPC;
        return failed("loading a segment of %zu bytes at %lx: the guest has no memory there", size, at);
    }
    while ( size )
    {
        bool zero = false;
        size_t now = alike(at, from, filled, size, &zero), copied = now < filled ? now : filled;

        if ( !zero || !clear_later(cleared, at, now) )
        {
            if ( !guest_copy(g, at, from, copied) || !guest_copy(g, at + copied, NULL, now - copied) )
                return false;
        }
        at += now;
        size -= now;
        from += copied;
        filled -= copied;
    }

    return true;
}

static bool load_segments(struct guest *g, struct file file, uint32_t *entry, uint64_t *end, struct cleared *cleared)
{
    const Elf64_Ehdr *head = (const void *)file.at;
    bool found = false;

    for ( unsigned int i = 0; i < head->e_phnum; i++ )
    {
        const Elf64_Phdr *part = (const Elf64_Phdr *)(file.at + head->e_phoff) + i;
        uint64_t at = part->p_paddr;

        if ( part->p_offset > file.size || part->p_filesz > file.size - part->p_offset )
            return not_a_kernel(g->kernel, "a segment is not in it");
        if ( part->p_type == PT_NOTE )
            found |= find_entry(file, part, entry);
        if ( part->p_type != PT_LOAD )
            continue;
        if ( part->p_memsz < part->p_filesz )
            return not_a_kernel(g->kernel, "a segment is larger than its memory");
        if ( at < CLEAR_AT + PAGE_SIZE )
            return not_a_kernel(g->kernel, "a segment is in the first two pages");
        if ( !load_segment(g, at, file.at + part->p_offset, part->p_filesz, part->p_memsz, cleared) )
            return false;
        if ( at + part->p_memsz > *end )
            *end = at + part->p_memsz;
    }

    return found || not_a_kernel(g->kernel, "no PVH entry in its notes");
}

/* The instructions that clear memory and go on to the entry, which is replaced by theirs. */
static bool load_clearing(struct guest *g, const struct cleared *cleared, uint32_t *entry)
{
    struct __attribute__((packed)) one {
        uint8_t mov_edi;
        uint32_t start;
        uint8_t mov_ecx;
        uint32_t size;
        uint16_t xor_eax_eax, rep_stosb;
    } *one;
    struct __attribute__((packed)) {
        struct one each[MAX_CLEARED + 1];
    } code;
    struct __attribute__((packed)) last {
        uint8_t mov_eax;
        uint32_t entry;
        uint16_t jmp_eax;
    } last = { 0xb8, *entry, 0xe0ff };

    _Static_assert(sizeof(code) <= PAGE_SIZE, "a page of instructions");
    for ( unsigned int i = 0; i < cleared->used; i++ )
    {
        one = &code.each[i];
        *one = (struct one) { 0xbf, cleared->range[i].start, 0xb9, cleared->range[i].size, 0xc031, 0xaaf3 };
    }
    memcpy(&code.each[cleared->used], &last, sizeof(last));
    *entry = CLEAR_AT;

    return guest_copy(g, CLEAR_AT, &code, cleared->used * sizeof(*one) + sizeof(last));
}

static bool load_kernel(struct guest *g, uint32_t *entry, uint64_t *end)
{
    struct file file;
    struct cleared cleared = { .used = 0 };
    const Elf64_Ehdr *head;

    if ( !file_open(g->kernel, &file) )
        return false;
    head = (const void *)file.at;
    if ( file.size < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) || head->e_ident[EI_CLASS] != ELFCLASS64 ||
         head->e_machine != EM_X86_64 )
        return not_a_kernel(g->kernel, "not an x86-64 ELF file");
    if ( head->e_phentsize != sizeof(Elf64_Phdr) || head->e_phoff > file.size ||
         head->e_phnum > (file.size - head->e_phoff) / sizeof(Elf64_Phdr) )
        return not_a_kernel(g->kernel, "its program headers are not in it");
    *end = 0;
    if ( !load_segments(g, file, entry, end, &cleared) )
        return false;
    munmap((void *)file.at, file.size);

    return load_clearing(g, &cleared, entry);
}

/* The initrd at the end of memory, below the page of the start information. */
static bool load_initrd(struct guest *g, uint64_t kernel_end, uint64_t top, struct hvm_modlist_entry *module)
{
    struct file file;

    if ( !file_open(g->initrd, &file) )
        return false;
    module->size = file.size;
    module->paddr = file.size < top ? (top - file.size) & ~(PAGE_SIZE - 1) : 0;
    if ( module->paddr < kernel_end )
    {
        errno = ENOSPC;
        return failed("loading %s: kernel and initrd do not fit into %lu MiB", g->initrd, g->memory);
    }
    if ( !guest_copy(g, module->paddr, file.at, file.size) )
        return false;
    munmap((void *)file.at, file.size);

    return true;
}

bool guest_load(struct guest *g, uint32_t *entry, uint32_t *start_info)
{
    uint64_t top = g->memory * MIB - PAGE_SIZE, kernel_end = 0;
    uint8_t tables[PAGE_SIZE];
    size_t acpi;
    struct {
        struct hvm_start_info info;
        struct hvm_modlist_entry module;
        struct hvm_memmap_table_entry map[MAX_MAP];
        char command_line[2048];
    } page = {
        .info = {
            .magic = XEN_HVM_START_MAGIC_VALUE,
            .version = 1,
            .cmdline_paddr = top + offsetof(__typeof__(page), command_line),
            .memmap_paddr = top + offsetof(__typeof__(page), map),
        },
    };

    _Static_assert(sizeof(page) <= PAGE_SIZE, "the start information has a page");
    if ( strlen(g->command_line) >= sizeof(page.command_line) )
    {
        errno = E2BIG;
        return failed("taking the command line");
    }
    strcpy(page.command_line, g->command_line);
    page.info.memmap_entries = guest_memory_map(g, page.map);
    if ( !load_kernel(g, entry, &kernel_end) )
        return false;
    if ( kernel_end > top )
    {
        errno = ENOSPC;
        return failed("loading %s: it does not fit into %lu MiB", g->kernel, g->memory);
    }
    if ( g->initrd )
    {
        page.info.nr_modules = 1;
        page.info.modlist_paddr = top + offsetof(__typeof__(page), module);
        if ( !load_initrd(g, kernel_end, top, &page.module) )
            return false;
    }
    page.info.rsdp_paddr = ACPI_AT;
    acpi = acpi_build(tables, sizeof(tables), g);
    if ( !acpi )
    {
        errno = ENOSPC;
        return failed("building the ACPI tables");
    }
    if ( !guest_copy(g, ACPI_AT, tables, acpi) )
        return false;
    *start_info = top;

    return guest_copy(g, top, &page, sizeof(page));
}
