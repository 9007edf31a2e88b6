/* Plugin files as elf_plugin.c judges them: each fault gets its own message, and no file does worse
 * than being refused, whatever it holds. The files are a real plugin that is patched, truncated and
 * flipped, and small ones made from notes. */
#include "plugin/elf_plugin.h"

#include <criterion/criterion.h>

#include <rpd/backend.h>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 8 << 20 };

static struct error last;
static struct elf_plugin plugin;

/* ---- files ---- */

/* A file with these bytes. The caller closes it. */
static int file_of(const void *bytes, size_t size)
{
    int fd = memfd_create("plugin", MFD_CLOEXEC);
    size_t done = 0;

    cr_assert_geq(fd, 0);
    while (done < size) {
        ssize_t written = write(fd, (const char *)bytes + done, size - done);

        cr_assert_gt(written, 0);
        done += (size_t)written;
    }
    return fd;
}

static int judge_fd(int fd)
{
    memset(&last, 0, sizeof last);
    memset(&plugin, 0xff, sizeof plugin);
    return elf_read_plugin(fd, "/p/x.so", &plugin, &last);
}

static int judge(const void *bytes, size_t size)
{
    int fd = file_of(bytes, size);
    int result = judge_fd(fd);

    close(fd);
    return result;
}

/* The file is refused properly, or accepted properly. */
static void assert_clean(int result, const char *what, size_t at)
{
    if (result == 0) {
        cr_assert_eq(plugin.abi, RPD_ABI);
        cr_assert_not_null(memchr(plugin.backend, 0, sizeof plugin.backend));
        cr_assert_neq(plugin.backend[0], 0);
        return;
    }
    cr_assert_eq(result, -1);
    cr_assert_eq(last.code, EXIT_PLUGIN, "%s %zu: code %d: %s", what, at, (int)last.code,
                 last.text);
    cr_assert_eq(strncmp(last.text, "inspect: /p/x.so: ", 18), 0, "%s", last.text);
    cr_assert_gt(strlen(last.text), 25);
    cr_assert_null(strchr(last.text, '\n'));
}

static void assert_refused(const void *bytes, size_t size, const char *words)
{
    const int result = judge(bytes, size);

    cr_assert_eq(result, -1, "accepted; expected \"%s\"", words);
    assert_clean(result, words, 0);
    cr_assert_not_null(strstr(last.text, words), "no \"%s\" in \"%s\"", words, last.text);
}

/* The real plugin, as it was built. */
static unsigned char *real;
static size_t real_size;

static void load_real(void)
{
    int fd = open(TEST_PLUGIN_SO, O_RDONLY | O_CLOEXEC);
    struct stat status;

    cr_assert_geq(fd, 0, "%s: build the plugins first", TEST_PLUGIN_SO);
    cr_assert_eq(fstat(fd, &status), 0);
    real_size = (size_t)status.st_size;
    cr_assert(real_size > sizeof(Elf64_Ehdr) && real_size < FILE_MAX);
    real = malloc(real_size);
    cr_assert_not_null(real);
    cr_assert_eq(pread(fd, real, real_size, 0), (ssize_t)real_size);
    close(fd);
}

static void free_real(void)
{
    free(real);
}

static Elf64_Ehdr *real_header(void)
{
    return (Elf64_Ehdr *)(void *)real;
}

static Elf64_Phdr *real_segment(uint32_t type)
{
    Elf64_Phdr *segments = (Elf64_Phdr *)(void *)(real + real_header()->e_phoff);

    for (unsigned i = 0; i < real_header()->e_phnum; i++)
        if (segments[i].p_type == type)
            return &segments[i];
    cr_assert_fail("no segment of type %u", type);
    return NULL;
}

/* The plugin's note, found by its owner and the name in it. */
static struct rpd_note *real_note(void)
{
    for (size_t at = 0; at + sizeof(struct rpd_note) <= real_size; at += 4) {
        struct rpd_note *note = (struct rpd_note *)(void *)(real + at);

        if (note->owner_size == 4 && note->body_size == 68 && !memcmp(note->owner, "rpd", 4))
            return note;
    }
    cr_assert_fail("no note");
    return NULL;
}

/* A small file: header, one segment, and notes in it, from `at` in the file. */
struct small {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    unsigned char notes[2048];
};

static void small_init(struct small *small)
{
    memset(small, 0, sizeof *small);
    memcpy(&small->header, real, sizeof small->header);
    small->header.e_phoff = sizeof small->header;
    small->header.e_phnum = 1;
    small->segment.p_type = PT_NOTE;
    small->segment.p_offset = offsetof(struct small, notes);
    small->segment.p_align = 4;
}

static void small_add(struct small *small, uint32_t type, uint32_t abi, const char *name)
{
    struct rpd_note note = {4, 68, type, "rpd", abi, ""};

    memcpy(note.backend, name, strnlen(name, sizeof note.backend));
    memcpy(small->notes + small->segment.p_filesz, &note, sizeof note);
    small->segment.p_filesz += sizeof note;
}

/* ---- files that are accepted ---- */

Test(elf, the_real_plugin, .init = load_real, .fini = free_real)
{
    cr_assert_eq(judge(real, real_size), 0, "%s", last.text);
    cr_assert_eq(plugin.abi, RPD_ABI);
    cr_assert_eq(plugin.has_own_bind, false);
    cr_assert_str_eq(plugin.backend, "echo");
}

Test(elf, the_offset_of_the_descriptor_is_left_alone, .init = load_real, .fini = free_real)
{
    int fd = file_of(real, real_size);

    cr_assert_eq(lseek(fd, 7, SEEK_SET), 7);
    cr_assert_eq(judge_fd(fd), 0);
    cr_assert_eq(lseek(fd, 0, SEEK_CUR), 7);
    close(fd);
}

Test(elf, an_own_bind, .init = load_real, .fini = free_real)
{
    struct small small;

    small_init(&small);
    small_add(&small, RPD_NOTE_OWN_BIND, RPD_ABI, "");
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "0a-b_c");
    cr_assert_eq(judge(&small, sizeof small), 0, "%s", last.text);
    cr_assert_eq(plugin.has_own_bind, true);
    cr_assert_str_eq(plugin.backend, "0a-b_c");
}

Test(elf, names_up_to_63_bytes_and_notes_twice, .init = load_real, .fini = free_real)
{
    struct small small;
    char name[64];

    memset(name, 'n', 63);
    name[63] = 0;
    small_init(&small);
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, name);
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, name);
    small_add(&small, 77, RPD_ABI, "of a later rpd, same ABI");
    cr_assert_eq(judge(&small, sizeof small), 0, "%s", last.text);
    cr_assert_str_eq(plugin.backend, name);
}

Test(elf, notes_of_others_and_of_alignment_8, .init = load_real, .fini = free_real)
{
    const Elf64_Nhdr other = {4, 5, 5};
    struct small small;

    small_init(&small);
    small.segment.p_align = 8;
    memcpy(small.notes, &other, sizeof other);
    memcpy(small.notes + sizeof other, "GNU", 4);
    small.segment.p_filesz = 24; /* 12 + 4, then 5 rounded up to 8 */
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "eight");
    cr_assert_eq(judge(&small, sizeof small), 0, "%s", last.text);
    cr_assert_str_eq(plugin.backend, "eight");
}

Test(elf, notes_and_headers_far_into_the_file, .init = load_real, .fini = free_real)
{
    static unsigned char bytes[3 << 20];
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Phdr *segment = (Elf64_Phdr *)(void *)(bytes + (2 << 20));
    struct small small;

    small_init(&small);
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "far");
    *header = small.header;
    header->e_phoff = 2 << 20;
    *segment = small.segment;
    segment->p_offset = (1 << 20) + 4090; /* across two windows */
    memcpy(bytes + segment->p_offset, small.notes, sizeof(struct rpd_note));
    cr_assert_eq(judge(bytes, sizeof bytes), 0, "%s", last.text);
    cr_assert_str_eq(plugin.backend, "far");
}

/* ---- files that are refused ---- */

Test(elf, what_is_no_elf_file)
{
    assert_refused("", 0, "an empty file");
    assert_refused("hello, world\n", 13, "not an ELF file: it looks like text");
    assert_refused("a", 1, "not an ELF file: it looks like text");
    assert_refused("#!/bin/sh\n", 10, "it looks like a script");
    assert_refused("{\"services\": []}", 16, "it looks like JSON text (a configuration");
    assert_refused("/* GNU ld script */", 19, "it looks like a linker script");
    assert_refused("!<arch>\nfoo", 11, "it looks like a static library (.a)");
    assert_refused("gr\303\274\303\237e", 7, "it looks like text");
    assert_refused("\0\1\2\3", 4, "binary data of another kind");
    assert_refused("\177ELG", 4, "not an ELF file");
    assert_refused("\177E", 2, "truncated: the ELF header");
    assert_refused("\177ELF", 4, "truncated: the ELF header");
}

Test(elf, what_is_no_regular_file)
{
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ends[2];

    cr_assert_eq(judge_fd(directory), -1);
    assert_clean(-1, "directory", 0);
    cr_assert_not_null(strstr(last.text, "not a regular file"));
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(judge_fd(ends[0]), -1);
    cr_assert_not_null(strstr(last.text, "not a regular file"));
    cr_assert_eq(judge_fd(-1), -1);
    cr_assert_eq(last.code, EXIT_SYSTEM);
    close(directory);
    close(ends[0]);
    close(ends[1]);
}

static void assert_header_refused(size_t at, unsigned char byte, const char *words)
{
    const unsigned char before = real[at];

    real[at] = byte;
    assert_refused(real, real_size, words);
    real[at] = before;
}

Test(elf, other_machines_and_kinds, .init = load_real, .fini = free_real)
{
    const size_t machine = offsetof(Elf64_Ehdr, e_machine);
    const size_t type = offsetof(Elf64_Ehdr, e_type);

    assert_header_refused(EI_CLASS, ELFCLASS32, "a 32-bit ELF file, and this rpd is 64-bit");
    assert_header_refused(EI_CLASS, 9, "class 9 is neither");
    assert_header_refused(EI_DATA, ELFDATA2MSB, "wrong byte order: it is big-endian");
    assert_header_refused(EI_DATA, 0, "unknown byte order 0");
    assert_header_refused(EI_VERSION, 3, "unknown ELF version 3");
#if defined(__x86_64__)
    assert_header_refused(machine, EM_AARCH64, "it is for aarch64, this is x86-64");
#else
    assert_header_refused(machine, EM_X86_64, "it is for x86-64, this is ");
#endif
    assert_header_refused(machine, EM_386, "it is for i386, this is ");
    assert_header_refused(machine, EM_ARM, "it is for arm, this is ");
    assert_header_refused(machine, 201, "it is for machine number 201, this is ");
    assert_header_refused(type, ET_EXEC, "an executable, not a shared object");
    assert_header_refused(type, ET_REL, "an object file that was not linked");
    assert_header_refused(type, ET_CORE, "a core dump");
    assert_header_refused(type, 77, "unknown ELF type 77");
    assert_header_refused(offsetof(Elf64_Ehdr, e_phentsize), 32, "program headers of 32 bytes");
}

Test(elf, impossible_headers, .init = load_real, .fini = free_real)
{
    const Elf64_Ehdr before = *real_header();

    real_header()->e_phnum = 0;
    assert_refused(real, real_size, "no program headers");
    real_header()->e_phnum = 0xffff;
    assert_refused(real, real_size, "65535 program headers; rpd takes 1024 at most");
    real_header()->e_phnum = 1024;
    assert_refused(real, 4096, "truncated: the table of program headers");
    *real_header() = before;
    real_header()->e_phoff = UINT64_MAX;
    assert_refused(real, real_size, "truncated: the table of program headers");
    real_header()->e_phoff = real_size - 8;
    assert_refused(real, real_size, "truncated: the table of program headers");
}

Test(elf, segments_past_the_end, .init = load_real, .fini = free_real)
{
    Elf64_Phdr *segment = real_segment(PT_LOAD);
    const Elf64_Phdr before = *segment;

    segment->p_filesz = UINT64_MAX;
    assert_refused(real, real_size, "truncated: a segment reaches past the end of the file");
    segment->p_offset = UINT64_MAX;
    assert_refused(real, real_size, "truncated: a segment");
    *segment = before;
    segment->p_offset = real_size;
    assert_refused(real, real_size, "truncated: a segment");
}

static void assert_path_refused(const char *path, const char *words)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(judge_fd(fd), -1);
    cr_assert_eq(last.code, EXIT_PLUGIN);
    cr_assert_not_null(strstr(last.text, words), "%s: %s", path, last.text);
    close(fd);
}

Test(elf, executables_and_other_libraries)
{
    Dl_info libc;

    assert_path_refused("/proc/self/exe", "an executable, not a shared object");
    cr_assert_neq(dladdr((void *)(uintptr_t)gnu_get_libc_version, &libc), 0);
    assert_path_refused(libc.dli_fname, "not an rpd plugin: it carries no rpd note");
}

Test(elf, no_note, .init = load_real, .fini = free_real)
{
    real_segment(PT_NOTE)->p_type = PT_NULL;
    memcpy(real_note()->owner, "xyz", 4);
    assert_refused(real, real_size,
                   "not an rpd plugin: it carries no rpd note; "
                   "was it built with RPD_BACKEND()?");
}

Test(elf, malformed_notes, .init = load_real, .fini = free_real)
{
    struct rpd_note *note = real_note();
    const struct rpd_note before = *note;

    note->body_size = UINT32_MAX;
    assert_refused(real, real_size, "a malformed note: it reaches past the end of its segment");
    note->body_size = 3;
    assert_refused(real, real_size, "a malformed rpd note: 3 bytes, not 68");
    note->body_size = 64;
    assert_refused(real, real_size, "a malformed rpd note: 64 bytes, not 68");
    *note = before;
    note->owner_size = UINT32_MAX;
    assert_refused(real, real_size, "a malformed note");
}

Test(elf, other_abis, .init = load_real, .fini = free_real)
{
    real_note()->abi = RPD_ABI + 1;
    assert_refused(real, real_size, "built for a newer rpd: want ABI 1, got ABI 2; rebuild it");
    real_note()->abi = UINT32_MAX;
    assert_refused(real, real_size, "got ABI 4294967295; rebuild it");
    real_note()->abi = RPD_ABI - 1;
    assert_refused(real, real_size, "built for an older rpd: want ABI 1, got ABI 0; rebuild it");
    /* The note of a newer ABI may be shorter: the error is still about the ABI. */
    real_note()->abi = RPD_ABI + 1;
    real_note()->body_size = 8;
    assert_refused(real, real_size, "built for a newer rpd");
}

static void assert_name_refused(const char name[64], const char *words)
{
    memcpy(real_note()->backend, name, 64);
    assert_refused(real, real_size, words);
}

Test(elf, names, .init = load_real, .fini = free_real)
{
    char name[64];

    memset(name, 'n', sizeof name);
    assert_name_refused(name, "the backend's name does not end");
    memset(name, 0, sizeof name);
    assert_name_refused(name, "the backend's name is empty");
    memcpy(name, "Echo", 5);
    assert_name_refused(name, "the backend's name \"Echo\" is malformed");
    memcpy(name, "-a", 3);
    assert_name_refused(name, "\"-a\" is malformed");
    memcpy(name, "_a", 3);
    assert_name_refused(name, "\"_a\" is malformed");
    memcpy(name, "a/b", 4);
    assert_name_refused(name, "\"a/b\" is malformed");
    memcpy(name, "a\n\xff", 4);
    assert_name_refused(name, "\"a?\?\" is malformed");
}

Test(elf, notes_that_do_not_go_together, .init = load_real, .fini = free_real)
{
    struct small small;

    small_init(&small);
    small_add(&small, RPD_NOTE_OWN_BIND, RPD_ABI, "");
    assert_refused(&small, sizeof small, "an own bind but none of a backend");
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "one");
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "two");
    assert_refused(&small, sizeof small, "two backend notes that disagree: \"one\" and \"two\"");
    small_init(&small);
    small_add(&small, RPD_NOTE_BACKEND, RPD_ABI, "one");
    small_add(&small, RPD_NOTE_OWN_BIND, RPD_ABI + 1, "");
    assert_refused(&small, sizeof small, "built for a newer rpd");
}

/* ---- hostile files ---- */

Test(elf, too_many_notes, .init = load_real, .fini = free_real)
{
    static unsigned char bytes[2 << 20]; /* zeros: empty notes of 12 bytes each */
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Phdr *segments = (Elf64_Phdr *)(void *)(bytes + sizeof *header);

    *header = *real_header();
    header->e_phoff = sizeof *header;
    header->e_phnum = 1024;
    for (int i = 0; i < 1024; i++)
        segments[i] = (Elf64_Phdr){
            .p_type = PT_NOTE, .p_offset = 1 << 20, .p_filesz = 1024, .p_align = 4};
    assert_refused(bytes, sizeof bytes, "carries no rpd note"); /* 1 MiB is within the cap */
    segments[5].p_filesz++;
    assert_refused(bytes, sizeof bytes, "more than 1048576 bytes of notes");
    segments[0].p_filesz = 1 << 20;
    assert_refused(bytes, sizeof bytes, "more than 1048576 bytes of notes");
}

Test(elf, truncation_anywhere, .init = load_real, .fini = free_real, .timeout = 60)
{
    const size_t headers = sizeof(Elf64_Ehdr) + real_header()->e_phnum * sizeof(Elf64_Phdr);
    int fd = file_of(real, real_size);
    size_t refused = 0;

    srand(1);
    for (int i = 0; i < 64; i++) {
        const size_t cut = headers + (size_t)rand() % (real_size - headers);

        assert_clean(judge(real, cut), "cut at", cut);
    }
    for (size_t cut = headers + 256; cut-- > 0; refused++) {
        cr_assert_eq(ftruncate(fd, (off_t)cut), 0);
        cr_assert_eq(judge_fd(fd), -1, "accepted when cut at %zu", cut);
        assert_clean(-1, "cut at", cut);
    }
    cr_assert_eq(refused, headers + 256);
    close(fd);
}

Test(elf, each_flipped_bit_of_the_first_512_bytes, .init = load_real, .fini = free_real,
     .timeout = 60)
{
    int fd = file_of(real, real_size);

    for (size_t at = 0; at < 512; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            const unsigned char flipped = (unsigned char)(real[at] ^ (1U << bit));

            cr_assert_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
            assert_clean(judge_fd(fd), "flipped at", at);
            cr_assert_eq(pwrite(fd, real + at, 1, (off_t)at), 1);
        }
    cr_assert_eq(judge_fd(fd), 0);
    close(fd);
}

/* Several bytes at once, in headers and notes, with harmful values. */
Test(elf, many_random_changes, .init = load_real, .fini = free_real, .timeout = 60)
{
    static const uint64_t values[] = {
        0,      1,         4,          8,         0x7f,       0xff,           0xfff,
        0xffff, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 11};
    const size_t region = real_size < 1024 ? real_size : 1024;
    int fd = file_of(real, real_size);

    srand(2);
    for (int round = 0; round < 20000; round++) {
        for (int i = rand() % 4; i >= 0; i--) {
            const uint64_t value = values[(size_t)rand() % (sizeof values / sizeof *values)];
            const size_t size = (size_t)1 << rand() % 4;
            /* The first bytes stay: otherwise every file would be refused for its magic. */
            const size_t at = 16 + (size_t)rand() % (region - 24);

            cr_assert_eq(pwrite(fd, &value, size, (off_t)(at & ~(size - 1))), (ssize_t)size);
        }
        assert_clean(judge_fd(fd), "round", (size_t)round);
        cr_assert_eq(pwrite(fd, real, region, 0), (ssize_t)region);
    }
    close(fd);
}
