#include "sys/shed.h"

#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE ((uintptr_t)4096)

/* Only what cannot be written and hence is as in its file: relocated constants are in a writable piece as the file
 * has it, and code is not relocated on the machines we build for. */
static int
shed_object(struct dl_phdr_info *object, size_t size, void *arg)
{
    unsigned *n = arg;

    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *piece = &object->dlpi_phdr[i];
        uintptr_t from = object->dlpi_addr + piece->p_vaddr, to = from + piece->p_memsz;

        if (piece->p_type != PT_LOAD || (piece->p_flags & PF_W) != 0)
            continue;
        from -= from % PAGE;
        to += (PAGE - to % PAGE) % PAGE;
        *n += madvise((void *)from, to - from, MADV_DONTNEED) == 0;
    }
    return 0;
}

unsigned
shed_code(void)
{
    unsigned n = 0;

    (void)dl_iterate_phdr(shed_object, &n);
    return n;
}
