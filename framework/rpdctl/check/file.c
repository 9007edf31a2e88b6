/* Checks of the file, and of its code as it is opened; no daemon runs. */
#include "library/libjansson.h"
#include "rpdctl/check/checks.h"
#include "rpdctl/descriptor.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

enum { OPEN_MS = 100, ENTRIES_MAX = 4096 };

static enum verdict check_owner(struct kit *kit)
{
    if (kit->file_error.code == EXIT_SECURITY)
        return kit_failed(kit, "%s", kit->file_error.text);
    return kit_passes(kit);
}

static enum verdict check_note(struct kit *kit)
{
    if (kit->file_error.code == EXIT_SECURITY)
        return kit_skipped(kit, "rpd does not read a file that others can change");
    if (*kit->file_error.text)
        return kit_failed(kit, "%s", kit->file_error.text);
    return kit_passed(kit, "%s, ABI %u%s", kit->note.backend, kit->note.abi,
                      kit->note.has_own_bind ? ", binds by itself" : "");
}

/* What its dynamic section says. The file's headers are known to be sound. */
struct dynamic {
    bool has_text_relocations;
    size_t constructors; /* the compiler's own one included */
};

static void read_entries(int fd, const Elf64_Phdr *segment, struct dynamic *ret)
{
    for (size_t i = 0; i < segment->p_filesz / sizeof(Elf64_Dyn) && i < ENTRIES_MAX; i++) {
        Elf64_Dyn entry;

        if (pread(fd, &entry, sizeof entry, (off_t)(segment->p_offset + i * sizeof entry)) !=
                (ssize_t)sizeof entry ||
            entry.d_tag == DT_NULL)
            return;
        if (entry.d_tag == DT_TEXTREL ||
            (entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_TEXTREL)))
            ret->has_text_relocations = true;
        if (entry.d_tag == DT_INIT_ARRAYSZ)
            ret->constructors = entry.d_un.d_val / sizeof(Elf64_Addr);
    }
}

static bool read_dynamic(const struct kit *kit, struct dynamic *ret)
{
    const int fd = open(kit->path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    *ret = (struct dynamic){0};
    if (fd < 0)
        return false;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        header.e_phnum = 0;
    for (unsigned i = 0; i < header.e_phnum; i++)
        if (pread(fd, &segment, sizeof segment, (off_t)(header.e_phoff + i * sizeof segment)) ==
                (ssize_t)sizeof segment &&
            segment.p_type == PT_DYNAMIC)
            read_entries(fd, &segment, ret);
    close(fd);
    return header.e_phnum > 0;
}

static enum verdict check_text_relocations(struct kit *kit)
{
    struct dynamic dynamic;

    if (*kit->file_error.text || !read_dynamic(kit, &dynamic))
        return kit_skipped(kit, "it is no plugin");
    if (dynamic.has_text_relocations)
        return kit_failed(kit, "its code is changed when it is loaded; compile all of it with "
                               "-fPIC");
    return kit_passes(kit);
}

static enum verdict check_symbols(struct kit *kit)
{
    if (*kit->file_error.text)
        return kit_skipped(kit, "it is no plugin");
    if (strstr(kit->code_error.text, "cannot load it"))
        return kit_failed(kit, "%s", kit->code_error.text);
    return kit_passes(kit);
}

static enum verdict check_names(struct kit *kit)
{
    const json_t *taken = json_object_get(kit->descriptor, "taken_names");
    const json_t *shared = json_object_get(kit->descriptor, "shared_names");
    void *first = json_object_iter((json_t *)(uintptr_t)taken);

    if (first)
        return kit_failed(kit,
                          "it calls %s of %s instead of its own (%zu names in all; rpdctl describe "
                          "has them); make them hidden, or link with -Wl,-Bsymbolic",
                          json_object_iter_key(first),
                          json_string_value(json_object_iter_value(first)),
                          json_object_size(taken));
    if (*descriptor_text(kit->descriptor, "borrowed_library"))
        return kit_failed(kit, "it calls %s and is not linked with it; link it",
                          descriptor_text(kit->descriptor, "borrowed_library"));
    first = json_object_iter((json_t *)(uintptr_t)shared);
    if (first)
        return kit_passed(kit,
                          "with other plugins it shares %s (%zu names in all); compile with "
                          "-fno-gnu-unique",
                          json_object_iter_key(first), json_object_size(shared));
    return kit_passes(kit);
}

/* One entry of the array is the compiler's. */
static enum verdict check_constructors(struct kit *kit)
{
    struct dynamic dynamic;
    long long opened_us;

    if (*kit->file_error.text || !read_dynamic(kit, &dynamic))
        return kit_skipped(kit, "it is no plugin");
    if (!kit->descriptor)
        return strstr(kit->code_error.text, "while it was loaded") ||
                       kit->code_error.code == EXIT_CONTRACT
                   ? kit_failed(kit, "%s", kit->code_error.text)
                   : kit_skipped(kit, "its code cannot be loaded");
    opened_us = json_integer_value(json_object_get(kit->descriptor, "opened_us"));
    if (opened_us > OPEN_MS * 1000LL)
        return kit_failed(kit,
                          "it takes %lld ms to load its code, more than %d: constructors, its own "
                          "or those of its libraries, work; move that to load",
                          opened_us / 1000, OPEN_MS);
    return kit_passed(kit, "%zu of its own; its code is loaded in %.1f ms",
                      dynamic.constructors > 1 ? dynamic.constructors - 1 : 0,
                      (double)opened_us / 1e3);
}

static enum verdict check_descriptor(struct kit *kit)
{
    if (kit->descriptor)
        return kit_passes(kit);
    if (*kit->file_error.text || strstr(kit->code_error.text, "cannot load it") ||
        strstr(kit->code_error.text, "while it was loaded") ||
        kit->code_error.code == EXIT_CONTRACT)
        return kit_skipped(kit, "its code cannot be loaded");
    return kit_failed(kit, "%s", kit->code_error.text);
}

const struct check checks_of_file[] = {
    {"file.owner", "no other user can change it", check_owner, false},
    {"file.note", "it carries rpd's note", check_note, false},
    {"file.relocations", "no text relocations", check_text_relocations, false},
    {"code.symbols", "no undefined symbols", check_symbols, false},
    {"code.names", "its names are its own", check_names, true},
    {"code.constructors", "constructors do next to nothing", check_constructors, false},
    {"code.descriptor", "its descriptor and options are sound", check_descriptor, false},
    {0},
};
