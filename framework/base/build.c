/* Which rpd this is. See build.h. */
#include "base/build.h"

#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The start of the object that this file is linked into; the linker defines it. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((weak, visibility("hidden")));

enum { ID_BYTES = 4, NOTE_ALIGNMENT = 4 };

static size_t padded(size_t size)
{
    return (size + NOTE_ALIGNMENT - 1) / NOTE_ALIGNMENT * NOTE_ALIGNMENT;
}

/* The notes belong to our own loaded object, so they are trusted. */
static const unsigned char *id_in_notes(const unsigned char *at, size_t size)
{
    while (size > sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        size_t whole;

        memcpy(&note, at, sizeof note);
        whole = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0 &&
            note.n_descsz >= ID_BYTES)
            return at + sizeof note + padded(note.n_namesz);
        if (whole >= size)
            break;
        at += whole;
        size -= whole;
    }
    return NULL;
}

static const unsigned char *find_id(void)
{
    const ElfW(Ehdr) *header = &__ehdr_start;
    const unsigned char *base = (const unsigned char *)header;
    const unsigned char *id = NULL;

    if (!header)
        return NULL;
    for (size_t i = 0; i < header->e_phnum && !id; i++) {
        const ElfW(Phdr) *segment = (const void *)(base + header->e_phoff +
                                                   i * header->e_phentsize);

        if (segment->p_type == PT_NOTE)
            id = id_in_notes(base + segment->p_vaddr, segment->p_memsz);
    }
    return id;
}

void build_text(char *ret_text, size_t room)
{
    const unsigned char *id = find_id();

    if (id)
        snprintf(ret_text, room, "%s %02x%02x%02x%02x", RPD_VERSION, id[0], id[1], id[2], id[3]);
    else
        snprintf(ret_text, room, "%s", RPD_VERSION);
}
