/* The names in a plugin's code. See names.h.
 *
 * Where a reference is bound at load time there is a relocation with a symbol; what
 * the linker has bound already has none. So the relocations with a symbol that the
 * plugin itself defines are those in question. */
#include "plugin/names.h"

#include "guard/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

/* Of the dynamic section. */
struct tables {
    const Elf64_Sym *symbols;
    const char *strings;
    struct relocations {
        const Elf64_Rela *first;
        size_t size;
    } calls, others;
};

/* The loader has made it absolute on most machines, not on all. */
static const void *absolute(const struct link_map *map, Elf64_Addr address)
{
    if (address < map->l_addr)
        address += map->l_addr;
    return (const void *)address; /* NOLINT(performance-no-int-to-ptr) */
}

static void read_tables(const struct link_map *map, struct tables *ret)
{
    *ret = (struct tables){0};
    for (const Elf64_Dyn *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB: ret->symbols = absolute(map, entry->d_un.d_ptr); break;
        case DT_STRTAB: ret->strings = absolute(map, entry->d_un.d_ptr); break;
        case DT_JMPREL: ret->calls.first = absolute(map, entry->d_un.d_ptr); break;
        case DT_PLTRELSZ: ret->calls.size = entry->d_un.d_val; break;
        case DT_RELA: ret->others.first = absolute(map, entry->d_un.d_ptr); break;
        case DT_RELASZ: ret->others.size = entry->d_un.d_val; break;
        default: break;
        }
    }
}

static void look_at(const struct tables *tables, const struct link_map *map,
                    const Elf64_Sym *symbol, const struct plugin_names *found)
{
    const char *name = tables->strings + symbol->st_name;
    void *own = (void *)(map->l_addr + symbol->st_value); /* NOLINT(performance-no-int-to-ptr) */
    void *used;
    Dl_info info;

    if (symbol->st_shndx == SHN_UNDEF || symbol->st_name == 0 ||
        ELF64_ST_TYPE(symbol->st_info) == STT_TLS)
        return;
    if (ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE) {
        found->shared(found->arg, name);
        return;
    }
    used = dlsym(RTLD_DEFAULT, name);
    if (used && used != own && ELF64_ST_VISIBILITY(symbol->st_other) == STV_DEFAULT)
        found->taken(found->arg, name,
                     dladdr(used, &info) && info.dli_fname ? symbol_base_name(info.dli_fname)
                                                           : "another object");
}

static void look_at_all(const struct tables *tables, const struct link_map *map,
                        const struct relocations *relocations, const struct plugin_names *found)
{
    for (size_t i = 0; i < relocations->size / sizeof(Elf64_Rela); i++) {
        const size_t symbol = ELF64_R_SYM(relocations->first[i].r_info);

        if (symbol != 0)
            look_at(tables, map, &tables->symbols[symbol], found);
    }
}

static bool is_symbolic(const struct link_map *map)
{
    for (const Elf64_Dyn *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_SYMBOLIC ||
            (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_SYMBOLIC)))
            return true;
    return false;
}

static void ignore_taken(void *arg, const char *name, const char *object)
{
    (void)arg;
    (void)name;
    (void)object;
}

void plugin_names_find(const struct plugin *plugin, const struct plugin_names *found)
{
    struct plugin_names wanted = *found;
    const struct link_map *map = NULL;
    struct tables tables;

    if (dlinfo(plugin->handle, RTLD_DI_LINKMAP, &map) < 0 || !map || !map->l_ld)
        return;
    if (is_symbolic(map)) /* its own come first */
        wanted.taken = ignore_taken;
    read_tables(map, &tables);
    if (!tables.symbols || !tables.strings)
        return;
    if (tables.calls.first)
        look_at_all(&tables, map, &tables.calls, &wanted);
    if (tables.others.first)
        look_at_all(&tables, map, &tables.others, &wanted);
}
