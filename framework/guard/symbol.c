/* Addresses to names, within a signal handler. See symbol.h for the invariants. */
#include "guard/symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The sanitizers would object to looking at what is not ours. */
#define FOREIGN_MEMORY __attribute__((no_sanitize("address", "thread", "alignment")))

enum {
    CHUNK = 4096, /* of a file, at a time; handlers' stacks are small */
    MAX_SECTIONS = 65535,
    MAX_SYMBOLS = 4 << 20, /* far above the largest libraries; bounds the time */
    MAX_DYNAMIC = 1024
};

const char *symbol_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

const void *symbol_object(uintptr_t address)
{
    struct dl_find_object object;

    return _dl_find_object((void *)address, &object) < 0 ? NULL : object.dlfo_link_map;
}

/* What is looked for, and what was found so far. */
struct search {
    uintptr_t address; /* in the object: relative to its load address */
    struct symbol *found;
};

static bool covers(const ElfW(Sym) *symbol, uintptr_t address)
{
    const unsigned type = symbol->st_info & 15U;

    return (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
           symbol->st_shndx != SHN_UNDEF && address >= symbol->st_value &&
           address - symbol->st_value < symbol->st_size;
}

/* ---- the symbol table in the file: it has the static functions too ---- */

static size_t read_some(int fd, uint64_t start, void *to, size_t size)
{
    ssize_t got;

    do
        got = pread(fd, to, size, (off_t)start);
    while (got < 0 && errno == EINTR);
    return got < 0 ? 0 : (size_t)got;
}

static bool read_all(int fd, uint64_t start, void *to, size_t size)
{
    return start <= INT64_MAX && read_some(fd, start, to, size) == size;
}

/* Is the file still the one that is loaded? One that was built again since has
 * other names. Its first page, with headers and build id, is mapped as it is. */
FOREIGN_MEMORY static bool is_same_file(const struct dl_find_object *object, int fd)
{
    const volatile unsigned char *mapped = object->dlfo_map_start;
    unsigned char bytes[1024];
    size_t size = read_some(fd, 0, bytes, sizeof bytes);

    if (size < sizeof(ElfW(Ehdr)) ||
        (uintptr_t)object->dlfo_map_start != (uintptr_t)object->dlfo_link_map->l_addr)
        return size >= sizeof(ElfW(Ehdr)); /* not loaded from its start: not known */
    if ((uintptr_t)object->dlfo_map_end - (uintptr_t)object->dlfo_map_start < sizeof bytes)
        return true;
    for (size_t i = 0; i < size; i++)
        if (mapped[i] != bytes[i])
            return false;
    return true;
}

static bool read_section(int fd, const ElfW(Ehdr) *header, unsigned index, ElfW(Shdr) *ret)
{
    return index < header->e_shnum && header->e_shoff <= INT64_MAX &&
           read_all(fd, header->e_shoff + (uint64_t)index * sizeof *ret, ret, sizeof *ret);
}

/* Stripped files have no SHT_SYMTAB; their SHT_DYNSYM is in memory as well. */
static bool find_symbol_table(int fd, ElfW(Shdr) *ret_symbols, ElfW(Shdr) *ret_strings)
{
    ElfW(Ehdr) header;

    if (!read_all(fd, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_shentsize != sizeof(ElfW(Shdr)))
        return false;
    for (unsigned i = 0; i < header.e_shnum && i < MAX_SECTIONS; i++) {
        if (!read_section(fd, &header, i, ret_symbols))
            return false;
        if (ret_symbols->sh_type == SHT_SYMTAB)
            return ret_symbols->sh_entsize == sizeof(ElfW(Sym)) &&
                   read_section(fd, &header, ret_symbols->sh_link, ret_strings) &&
                   ret_strings->sh_type == SHT_STRTAB;
    }
    return false;
}

static bool take_name_from_file(int fd, const ElfW(Shdr) *strings, const ElfW(Sym) *symbol,
                                struct search *search)
{
    struct symbol *found = search->found;
    uint64_t left;
    size_t got;

    if (symbol->st_name >= strings->sh_size || strings->sh_offset > INT64_MAX - UINT32_MAX)
        return false;
    left = strings->sh_size - symbol->st_name;
    if (left > sizeof found->function - 1)
        left = sizeof found->function - 1;
    got = read_some(fd, strings->sh_offset + symbol->st_name, found->function, (size_t)left);
    found->function[got] = 0;
    found->function_offset = search->address - symbol->st_value;
    return found->function[0] != 0;
}

static bool search_file_table(int fd, struct search *search)
{
    ElfW(Sym) symbols[CHUNK / sizeof(ElfW(Sym))];
    ElfW(Shdr) table, strings;
    uint64_t count;

    if (!find_symbol_table(fd, &table, &strings) || table.sh_offset > INT64_MAX / 2)
        return false;
    count = table.sh_size / sizeof *symbols;
    if (count > MAX_SYMBOLS)
        count = MAX_SYMBOLS;
    while (count > 0) {
        const size_t wanted = count < CHUNK / sizeof *symbols ? (size_t)count
                                                              : CHUNK / sizeof *symbols;
        const size_t got = read_some(fd, table.sh_offset, symbols, wanted * sizeof *symbols) /
                           sizeof *symbols;

        for (size_t i = 0; i < got; i++)
            if (covers(&symbols[i], search->address) &&
                take_name_from_file(fd, &strings, &symbols[i], search))
                return true;
        if (got < wanted)
            return false;
        count -= got;
        table.sh_offset += got * sizeof *symbols;
    }
    return false;
}

static bool search_file(const struct dl_find_object *object, struct search *search)
{
    const char *path = object->dlfo_link_map->l_name;
    struct stat status;
    bool found;
    int fd;

    if (!path[0])
        path = "/proc/self/exe"; /* the loader's name for the program is empty */
    if (!strchr(path, '/'))      /* the vdso */
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    found = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_same_file(object, fd) &&
            search_file_table(fd, search);
    close(fd);
    return found;
}

/* ---- the dynamic symbol table: in memory, without the static functions ---- */

struct dynamic {
    uintptr_t start, end; /* of the object's mapping: nothing outside is touched */
    const ElfW(Sym) *symbols;
    const char *strings;
    size_t strings_size;
    const uint32_t *hash;
    const uint32_t *gnu_hash;
};

static bool is_within(const struct dynamic *dynamic, const void *from, size_t size)
{
    const uintptr_t start = (uintptr_t)from;

    return start >= dynamic->start && start <= dynamic->end && size <= dynamic->end - start;
}

/* glibc has made most of these absolute, but not where the table is read-only. */
static const void *to_pointer(const struct dynamic *dynamic, uintptr_t base, uintptr_t value)
{
    const uintptr_t address = value < dynamic->start ? base + value : value;

    return address >= dynamic->start && address < dynamic->end ? (const void *)address : NULL;
}

FOREIGN_MEMORY static void read_dynamic(const struct dl_find_object *object,
                                        struct dynamic *dynamic)
{
    const uintptr_t base = object->dlfo_link_map->l_addr;
    const ElfW(Dyn) *entry = object->dlfo_link_map->l_ld;

    for (int i = 0;
         i < MAX_DYNAMIC && is_within(dynamic, entry, sizeof *entry) && entry->d_tag != DT_NULL;
         i++, entry++) {
        const uintptr_t value = entry->d_un.d_ptr;

        switch (entry->d_tag) {
        case DT_SYMTAB: dynamic->symbols = to_pointer(dynamic, base, value); break;
        case DT_STRTAB: dynamic->strings = to_pointer(dynamic, base, value); break;
        case DT_STRSZ: dynamic->strings_size = value; break;
        case DT_HASH: dynamic->hash = to_pointer(dynamic, base, value); break;
        case DT_GNU_HASH: dynamic->gnu_hash = to_pointer(dynamic, base, value); break;
        default: break;
        }
    }
}

/* Nothing says how many symbols there are; the end of the last chain does. */
FOREIGN_MEMORY static size_t count_by_gnu_hash(const struct dynamic *dynamic)
{
    const uint32_t *table = dynamic->gnu_hash;
    const uint32_t *buckets, *chains;
    size_t last = 0, first;

    if (!table || !is_within(dynamic, table, 4 * sizeof *table) || table[0] > MAX_SYMBOLS ||
        table[2] > MAX_SYMBOLS)
        return 0;
    first = table[1];
    buckets = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof *table);
    chains = buckets + table[0];
    if (!is_within(dynamic, buckets, table[0] * sizeof *table))
        return 0;
    for (size_t i = 0; i < table[0]; i++)
        if (buckets[i] > last)
            last = buckets[i];
    if (last < first)
        return first;
    while (last < MAX_SYMBOLS && is_within(dynamic, chains + (last - first), sizeof *table) &&
           !(chains[last - first] & 1))
        last++;
    return last + 1;
}

FOREIGN_MEMORY static size_t count_symbols(const struct dynamic *dynamic)
{
    size_t count = dynamic->hash && is_within(dynamic, dynamic->hash, 2 * sizeof(uint32_t))
                       ? dynamic->hash[1]
                       : count_by_gnu_hash(dynamic);

    return count < MAX_SYMBOLS ? count : MAX_SYMBOLS;
}

FOREIGN_MEMORY static bool take_name_from_memory(const struct dynamic *dynamic,
                                                 const ElfW(Sym) *symbol, struct search *search)
{
    struct symbol *found = search->found;
    size_t i;

    for (i = 0; i < sizeof found->function - 1; i++) {
        const size_t at = symbol->st_name + i;

        if (at >= dynamic->strings_size || !is_within(dynamic, dynamic->strings + at, 1) ||
            !dynamic->strings[at])
            break;
        found->function[i] = dynamic->strings[at];
    }
    found->function[i] = 0;
    found->function_offset = search->address - symbol->st_value;
    return i > 0;
}

FOREIGN_MEMORY static bool search_memory(const struct dl_find_object *object, struct search *search)
{
    struct dynamic dynamic = {.start = (uintptr_t)object->dlfo_map_start,
                              .end = (uintptr_t)object->dlfo_map_end};
    size_t count;

    read_dynamic(object, &dynamic);
    if (!dynamic.symbols || !dynamic.strings)
        return false;
    count = count_symbols(&dynamic);
    for (size_t i = 0;
         i < count && is_within(&dynamic, dynamic.symbols + i, sizeof *dynamic.symbols); i++)
        if (covers(&dynamic.symbols[i], search->address) &&
            take_name_from_memory(&dynamic, &dynamic.symbols[i], search))
            return true;
    return false;
}

/* ---- both ---- */

bool symbol_find(uintptr_t address, unsigned how, struct symbol *ret)
{
    /* A call that does not return may be the last of its function, and the
     * address behind it the next function's. */
    const uintptr_t code = how & SYMBOL_RETURN_ADDRESS ? address - 1 : address;
    struct search search = {.found = ret};
    struct dl_find_object object;
    const char *name;

    ret->function[0] = 0;
    ret->function_offset = 0;
    if (_dl_find_object((void *)code, &object) < 0)
        return false;
    name = object.dlfo_link_map->l_name;
    ret->is_program = !name[0];
    ret->object = name[0] ? name : program_invocation_name;
    ret->object_offset = address - object.dlfo_link_map->l_addr;
    search.address = code - object.dlfo_link_map->l_addr;
    if ((!(how & SYMBOL_NO_FILES) && search_file(&object, &search)) ||
        search_memory(&object, &search))
        ret->function_offset += address - code;
    else
        ret->function[0] = 0;
    return true;
}

void symbol_add(struct text_builder *text, uintptr_t address, unsigned how)
{
    struct symbol symbol;

    if (!symbol_find(address, how, &symbol)) {
        text_add_hex(text, address);
        return;
    }
    if (!symbol.function[0]) {
        text_add(text, symbol_base_name(symbol.object));
        text_add(text, "+");
        text_add_hex(text, symbol.object_offset);
        return;
    }
    text_add(text, symbol.function);
    text_add(text, "+");
    text_add_hex(text, symbol.function_offset);
    text_add(text, " (");
    text_add(text, symbol_base_name(symbol.object));
    text_add(text, ")");
}
