// SPDX-License-Identifier: MIT OR Apache-2.0
/* ACPI tables in the making. */
#ifndef LOADER_ACPI_H
#define LOADER_ACPI_H

#include "guest.h"

/* Bytes. Running out of room is noticed at the end. */
struct bytes {
    uint8_t *at;
    size_t used, room;
};

/* acpi.c */
void put(struct bytes *b, uint64_t value, unsigned int size);
void put_text(struct bytes *b, const char *text, unsigned int size);
void patch(struct bytes *b, size_t at, uint64_t value, unsigned int size);
/* ACPI 5.2.6: the head of a table, and where it is. table_end fills in the length and the checksum. */
size_t table_start(struct bytes *b, const char *signature, uint8_t revision);
void table_end(struct bytes *b, size_t start);

/* dsdt.c: what there is, in AML. */
size_t dsdt(struct bytes *b, const struct guest *g);

#endif
