/* Judges plugin files. See elf_plugin.h for the invariants. */
#include "plugin/elf_plugin.h"

#include <rpd/backend.h>

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WINDOW_SIZE = 4096,
    MAX_SEGMENTS = 1024,          /* a plugin has about ten */
    MAX_NOTE_BYTES = 1024 * 1024, /* of all note segments together; usually under 200 */
    MAX_DYNAMIC_ENTRIES = 4096,
    NOTE_BODY_SIZE = sizeof(struct rpd_note) - offsetof(struct rpd_note, abi)
};

_Static_assert(sizeof(struct rpd_note) == 84 && NOTE_BODY_SIZE == 68, "the note layout is frozen");
_Static_assert(sizeof(((struct elf_plugin *)0)->backend) == sizeof(((struct rpd_note *)0)->backend),
               "a name fits");

#if defined(__x86_64__) && defined(__LP64__)
enum { HOST_MACHINE = EM_X86_64 };
#elif defined(__aarch64__) && defined(__LP64__)
enum { HOST_MACHINE = EM_AARCH64 };
#elif defined(__riscv) && __riscv_xlen == 64
enum { HOST_MACHINE = EM_RISCV };
#else
#error "elf_plugin.c does not know this machine: add its EM_ number here"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { HOST_ORDER = ELFDATA2LSB };
#else
enum { HOST_ORDER = ELFDATA2MSB };
#endif

/* A part of the file that has been read. */
struct window {
    uint64_t start;
    size_t used;
    unsigned char bytes[WINDOW_SIZE];
};

/* The head stays, because the headers are there and are come back to; the
 * other window moves to whatever is asked for beyond it. */
struct reader {
    int fd;
    const char *path;
    struct error *error;
    uint64_t size; /* of the file */
    struct window head;
    struct window other;
};

/* What the segments say. */
struct findings {
    bool has_interpreter;
    Elf64_Phdr dynamic; /* p_filesz 0: none */
    uint64_t note_bytes;
    bool has_backend;
    bool has_own_bind;
    char backend[64]; /* as it stands in the note */
};

/* -1, as error_set() returns; said here, so that an analyzer of this file knows it. */
#define FAIL(reader, code, ...)                                                                    \
    (error_set((reader)->error, code, "inspect", (reader)->path, __VA_ARGS__), -1)
#define REFUSE(reader, ...) FAIL(reader, EXIT_PLUGIN, __VA_ARGS__)

static int refuse_truncated(struct reader *reader, const char *what)
{
    return REFUSE(reader,
                  "truncated: %s reaches past the end of the file (%" PRIu64
                  " bytes); build or copy it again",
                  what, reader->size);
}

static int window_fill(struct reader *reader, struct window *window, uint64_t start)
{
    uint64_t wanted = start < reader->size ? reader->size - start : 0;

    if (wanted > WINDOW_SIZE)
        wanted = WINDOW_SIZE;
    window->start = start;
    window->used = 0;
    while (window->used < wanted) {
        ssize_t got = pread(reader->fd, window->bytes + window->used, (size_t)wanted - window->used,
                            (off_t)(start + window->used));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL(reader, EXIT_SYSTEM, "cannot read it: %s", strerror(errno));
        if (got == 0) /* it has shrunk since fstat; what was wanted of it will be missed */
            break;
        window->used += (size_t)got;
    }
    return 0;
}

static bool window_copy(const struct window *window, uint64_t start, void *to, size_t size)
{
    if (start < window->start || start - window->start > window->used ||
        size > window->used - (start - window->start))
        return false;
    memcpy(to, window->bytes + (start - window->start), size);
    return true;
}

/* size: at most WINDOW_SIZE. */
static int take(struct reader *reader, uint64_t start, void *to, size_t size, const char *what)
{
    if (start > reader->size || size > reader->size - start)
        return refuse_truncated(reader, what);
    if (window_copy(&reader->head, start, to, size) || window_copy(&reader->other, start, to, size))
        return 0;
    if (window_fill(reader, &reader->other, start) < 0)
        return -1;
    if (!window_copy(&reader->other, start, to, size))
        return refuse_truncated(reader, what);
    return 0;
}

static int reader_init(struct reader *reader, int fd, const char *path, struct error *error)
{
    struct stat status;

    reader->fd = fd;
    reader->path = path;
    reader->error = error;
    reader->other.start = 0;
    reader->other.used = 0;
    if (fstat(fd, &status) < 0)
        return FAIL(reader, EXIT_SYSTEM, "cannot look at it: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return REFUSE(reader, "not a regular file; name a plugin's .so file");
    reader->size = (uint64_t)status.st_size;
    if (reader->size == 0)
        return REFUSE(reader, "an empty file, not a plugin; build or copy it again");
    return window_fill(reader, &reader->head, 0);
}

/* What people pass by mistake. Contents are never quoted: the file may be a secret. */
static const char *likeness(const struct window *head)
{
    static const struct {
        const char *start;
        size_t size;
        const char *name;
    } known[] = {
        {"#!", 2, "a script"},
        {"{", 1, "JSON text (a configuration is given with -c)"},
        {"/* GNU ld script", 16, "a linker script"},
        {"INPUT", 5, "a linker script"},
        {"GROUP", 5, "a linker script"},
        {"!<arch>\n", 8, "a static library (.a)"},
        {"!<thin>\n", 8, "a static library (.a)"},
        {"\x1f\x8b", 2, "gzip data"},
        {"MZ", 2, "a Windows program"},
        {"\xcf\xfa\xed\xfe", 4, "a macOS program"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (head->used >= known[i].size && !memcmp(head->bytes, known[i].start, known[i].size))
            return known[i].name;
    for (size_t i = 0; i < head->used; i++) {
        unsigned char byte = head->bytes[i];

        if (byte == 0x7f || (byte < 0x20 && !(byte >= '\t' && byte <= '\r') && byte != 0x1b))
            return "binary data of another kind";
    }
    return "text";
}

static const char *machine_name(unsigned machine)
{
    switch (machine) {
    case EM_X86_64: return "x86-64";
    case EM_AARCH64: return "aarch64";
    case EM_386: return "i386";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv";
    default: return NULL;
    }
}

static int refuse_machine(struct reader *reader, unsigned machine)
{
    const char *name = machine_name(machine);

    if (name)
        return REFUSE(reader,
                      "built for another machine: it is for %s, this is %s; "
                      "build it for this machine",
                      name, machine_name(HOST_MACHINE));
    return REFUSE(reader,
                  "built for another machine: it is for machine number %u, this is %s; "
                  "build it for this machine",
                  machine, machine_name(HOST_MACHINE));
}

/* The first 20 bytes: they mean the same in each kind of ELF. */
static int check_identity(struct reader *reader)
{
    const unsigned char *bytes = reader->head.bytes;
    size_t used = reader->head.used;

    if (memcmp(bytes, ELFMAG, used < SELFMAG ? used : SELFMAG) != 0)
        return REFUSE(reader, "not an ELF file: it looks like %s; name a plugin's .so file",
                      likeness(&reader->head));
    if (used < offsetof(Elf64_Ehdr, e_version))
        return refuse_truncated(reader, "the ELF header");
    if (bytes[EI_CLASS] == ELFCLASS32)
        return REFUSE(reader, "a 32-bit ELF file, and this rpd is 64-bit; build it for %s",
                      machine_name(HOST_MACHINE));
    if (bytes[EI_CLASS] != ELFCLASS64)
        return REFUSE(
            reader, "a malformed ELF header: class %u is neither 32-bit nor 64-bit; build it again",
            bytes[EI_CLASS]);
    if (bytes[EI_DATA] != ELFDATA2LSB && bytes[EI_DATA] != ELFDATA2MSB)
        return REFUSE(reader, "a malformed ELF header: unknown byte order %u; build it again",
                      bytes[EI_DATA]);
    if (bytes[EI_DATA] != HOST_ORDER)
        return REFUSE(reader,
                      "wrong byte order: it is %s-endian and this machine (%s) is not; "
                      "build it for this machine",
                      bytes[EI_DATA] == ELFDATA2MSB ? "big" : "little", machine_name(HOST_MACHINE));
    if (bytes[EI_VERSION] != EV_CURRENT)
        return REFUSE(reader, "a malformed ELF header: unknown ELF version %u; build it again",
                      bytes[EI_VERSION]);
    return 0;
}

static int check_type(struct reader *reader, unsigned type)
{
    switch (type) {
    case ET_DYN: return 0;
    case ET_EXEC: return REFUSE(reader, "an executable, not a shared object; link it with -shared");
    case ET_REL:
        return REFUSE(reader, "an object file that was not linked, not a shared object; "
                              "link it with -shared");
    case ET_CORE:
        return REFUSE(reader, "a core dump, not a shared object; name a plugin's .so file");
    default:
        return REFUSE(reader, "not a shared object: unknown ELF type %u; build it again", type);
    }
}

static int check_header(struct reader *reader, Elf64_Ehdr *ret)
{
    if (check_identity(reader) < 0)
        return -1;
    if (take(reader, 0, ret, sizeof *ret, "the ELF header") < 0)
        return -1;
    if (ret->e_machine != HOST_MACHINE)
        return refuse_machine(reader, ret->e_machine);
    if (check_type(reader, ret->e_type) < 0)
        return -1;
    if (ret->e_phnum == 0)
        return REFUSE(reader, "a malformed ELF header: no program headers; build it again");
    if (ret->e_phentsize != sizeof(Elf64_Phdr))
        return REFUSE(
            reader, "a malformed ELF header: program headers of %u bytes, not %zu; build it again",
            ret->e_phentsize, sizeof(Elf64_Phdr));
    if (ret->e_phnum > MAX_SEGMENTS)
        return REFUSE(reader, "%u program headers; rpd takes %d at most; build it with fewer",
                      ret->e_phnum, MAX_SEGMENTS);
    if (ret->e_phoff > reader->size ||
        ret->e_phnum * sizeof(Elf64_Phdr) > reader->size - ret->e_phoff)
        return refuse_truncated(reader, "the table of program headers");
    return 0;
}

static int check_abi(struct reader *reader, uint32_t abi)
{
    if (abi > RPD_ABI)
        return REFUSE(reader,
                      "built for a newer rpd: want ABI %d, got ABI %" PRIu32
                      "; rebuild it against this rpd's headers, or install a newer rpd",
                      RPD_ABI, abi);
    if (abi < RPD_ABI)
        return REFUSE(reader,
                      "built for an older rpd: want ABI %d, got ABI %" PRIu32
                      "; rebuild it against this rpd's headers",
                      RPD_ABI, abi);
    return 0;
}

/* A name as it may be printed: cut at its end, other bytes than ASCII masked. */
static void printable(char to[65], const char from[64])
{
    size_t i;

    for (i = 0; i < 64 && from[i]; i++)
        to[i] = from[i] > 0x20 && from[i] < 0x7f ? from[i] : '?';
    to[i] = 0;
}

static int add_backend(struct reader *reader, struct findings *findings, const char name[64])
{
    char first[65], second[65];

    if (!findings->has_backend) {
        findings->has_backend = true;
        memcpy(findings->backend, name, sizeof findings->backend);
        return 0;
    }
    if (!memcmp(findings->backend, name, sizeof findings->backend))
        return 0;
    printable(first, findings->backend);
    printable(second, name);
    return REFUSE(reader,
                  "two backend notes that disagree: \"%s\" and \"%s\"; "
                  "a plugin has one RPD_BACKEND()",
                  first, second);
}

/* One note whose owner is rpd. The ABI comes first, so that a plugin of another
 * ABI gets that error even if that ABI's note looks different. */
static int read_rpd_note(struct reader *reader, uint32_t type, uint64_t body, uint32_t body_size,
                         struct findings *findings)
{
    uint32_t abi;
    char name[64];

    if (body_size < sizeof abi)
        return REFUSE(reader, "a malformed rpd note: %" PRIu32 " bytes, not %d; build it again",
                      body_size, NOTE_BODY_SIZE);
    if (take(reader, body, &abi, sizeof abi, "the rpd note") < 0 || check_abi(reader, abi) < 0)
        return -1;
    /* Of a later rpd of this ABI: additions that an older one can do without. */
    if (type != RPD_NOTE_BACKEND && type != RPD_NOTE_OWN_BIND)
        return 0;
    if (body_size != NOTE_BODY_SIZE)
        return REFUSE(reader, "a malformed rpd note: %" PRIu32 " bytes, not %d; build it again",
                      body_size, NOTE_BODY_SIZE);
    if (type == RPD_NOTE_OWN_BIND) {
        findings->has_own_bind = true;
        return 0;
    }
    if (take(reader, body + sizeof abi, name, sizeof name, "the rpd note") < 0)
        return -1;
    return add_backend(reader, findings, name);
}

static uint64_t round_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) / align * align;
}

/* Walks one PT_NOTE segment, which lies within the file. Each round moves on
 * by 12 bytes or more, so the cap on the bytes bounds the rounds too. */
static int read_notes(struct reader *reader, const Elf64_Phdr *segment, struct findings *findings)
{
    const uint64_t align = segment->p_align == 8 ? 8 : 4;
    const uint64_t size = segment->p_filesz;
    uint64_t at = 0;

    if (size > MAX_NOTE_BYTES - findings->note_bytes)
        return REFUSE(reader, "more than %d bytes of notes; it is not a plugin that rpd can trust",
                      MAX_NOTE_BYTES);
    findings->note_bytes += size;
    while (at < size && size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        char owner[4];
        uint64_t body, end;

        if (take(reader, segment->p_offset + at, &note, sizeof note, "a note") < 0)
            return -1;
        body = at + round_up(sizeof note + (uint64_t)note.n_namesz, align);
        end = body + note.n_descsz;
        if (body > size || end > size)
            return REFUSE(reader, "a malformed note: it reaches past the end of its segment; "
                                  "build it again");
        if (note.n_namesz == sizeof owner) {
            if (take(reader, segment->p_offset + at + sizeof note, owner, sizeof owner, "a note") <
                0)
                return -1;
            if (!memcmp(owner, "rpd", sizeof owner) &&
                read_rpd_note(reader, note.n_type, segment->p_offset + body, note.n_descsz,
                              findings) < 0)
                return -1;
        }
        at = round_up(end, align);
    }
    return 0;
}

static int read_segment(struct reader *reader, const Elf64_Phdr *segment, struct findings *findings)
{
    if (segment->p_type == PT_NULL)
        return 0;
    if (segment->p_filesz > 0 &&
        (segment->p_offset > reader->size || segment->p_filesz > reader->size - segment->p_offset))
        return refuse_truncated(reader, "a segment");
    if (segment->p_type == PT_INTERP)
        findings->has_interpreter = true;
    if (segment->p_type == PT_DYNAMIC)
        findings->dynamic = *segment;
    return 0;
}

/* A position-independent executable is an ET_DYN too. libc.so.6, for one, has
 * an interpreter without being one; the flag decides. */
static int check_not_executable(struct reader *reader, const struct findings *findings)
{
    uint64_t count = findings->dynamic.p_filesz / sizeof(Elf64_Dyn);

    if (!findings->has_interpreter)
        return 0;
    if (count > MAX_DYNAMIC_ENTRIES)
        count = MAX_DYNAMIC_ENTRIES;
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Dyn entry;

        if (take(reader, findings->dynamic.p_offset + i * sizeof entry, &entry, sizeof entry,
                 "the dynamic section") < 0)
            return -1;
        if (entry.d_tag == DT_NULL)
            return 0;
        if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE))
            return REFUSE(reader, "an executable, not a shared object; link it with -shared");
    }
    return 0;
}

/* Two rounds: what kind of file it is comes before what its notes say. */
static int read_segments(struct reader *reader, const Elf64_Ehdr *header, struct findings *findings)
{
    Elf64_Phdr segment;

    for (unsigned i = 0; i < header->e_phnum; i++)
        if (take(reader, header->e_phoff + i * sizeof segment, &segment, sizeof segment,
                 "the table of program headers") < 0 ||
            read_segment(reader, &segment, findings) < 0)
            return -1;
    if (check_not_executable(reader, findings) < 0)
        return -1;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (take(reader, header->e_phoff + i * sizeof segment, &segment, sizeof segment,
                 "the table of program headers") < 0)
            return -1;
        /* Checked again: the file may have changed between the rounds. */
        if (segment.p_type == PT_NOTE && (read_segment(reader, &segment, findings) < 0 ||
                                          read_notes(reader, &segment, findings) < 0))
            return -1;
    }
    return 0;
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int check_name(struct reader *reader, const char name[64])
{
    char shown[65];
    bool good = is_name_start(name[0]);

    if (!memchr(name, 0, 64))
        return REFUSE(reader, "a malformed rpd note: the backend's name does not end; "
                              "build it with RPD_BACKEND()");
    if (!name[0])
        return REFUSE(reader, "a malformed rpd note: the backend's name is empty; "
                              "build it with RPD_BACKEND()");
    for (size_t i = 1; good && name[i]; i++)
        good = is_name_start(name[i]) || name[i] == '_' || name[i] == '-';
    if (good)
        return 0;
    printable(shown, name);
    return REFUSE(reader,
                  "the backend's name \"%s\" is malformed: it must match "
                  "[a-z0-9][a-z0-9_-]{0,62}; rename it in RPD_BACKEND()",
                  shown);
}

static int check_findings(struct reader *reader, const struct findings *findings)
{
    if (!findings->has_backend && findings->has_own_bind)
        return REFUSE(reader, "it carries rpd's note of an own bind but none of a backend; "
                              "RPD_BACKEND_BIND() needs RPD_BACKEND() beside it");
    if (!findings->has_backend)
        return REFUSE(reader, "not an rpd plugin: it carries no rpd note; "
                              "was it built with RPD_BACKEND()?");
    return check_name(reader, findings->backend);
}

int elf_read_plugin(int fd, const char *path, struct elf_plugin *ret, struct error *error)
{
    struct reader reader; /* two windows: 8 KiB, not worth clearing */
    struct findings findings = {0};
    Elf64_Ehdr header;

    if (reader_init(&reader, fd, path, error) < 0 || check_header(&reader, &header) < 0 ||
        read_segments(&reader, &header, &findings) < 0 || check_findings(&reader, &findings) < 0)
        return -1;
    ret->abi = RPD_ABI;
    ret->has_own_bind = findings.has_own_bind;
    memcpy(ret->backend, findings.backend, sizeof ret->backend);
    return 0;
}
