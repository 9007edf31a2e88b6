/* The configuration: the result of a file and a command line, and the place that each error names.
 * Each test has a directory of its own and works in it. */
#include "base/nearest.h"
#include "config/config.h"
#include "config/file.h"
#include "config/json_place.h"
#include "config/keys.h"
#include "library/libjansson.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKS_LEAKS 1
#endif
#endif
#ifdef CHECKS_LEAKS
int __lsan_do_recoverable_leak_check(void);
#define assert_no_leak() cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "leak")
#else
#define assert_no_leak() (void)0
#endif

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ONE "{\"services\":[{\"plugin\":\"a.so\"}]}"

static char directory[] = "/tmp/rpd-test-config-XXXXXX";

static void enter_directory(void)
{
    umask(022);
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
}

static void remove_directory(void)
{
    DIR *files = opendir(directory);
    const struct dirent *entry;

    while (files && (entry = readdir(files)))
        if (unlinkat(dirfd(files), entry->d_name, 0) < 0)
            unlinkat(dirfd(files), entry->d_name, AT_REMOVEDIR);
    if (files)
        closedir(files);
    cr_assert_eq(rmdir(directory), 0);
}

TestSuite(config, .init = enter_directory, .fini = remove_directory, .timeout = 30);

static void write_bytes(const char *name, const char *text, size_t size)
{
    FILE *file = fopen(name, "w");

    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void write_file(const char *text)
{
    write_bytes("rpd.json", text, strlen(text));
}

/* All errors of a load, one per line, which the caller frees; each must have this code. */
static char *errors_of(const struct config_request *request, int code)
{
    struct config config;
    struct error *errors;
    size_t count;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    cr_assert_eq(config_load(&config, request, &errors, &count), -1, "no error where one is due");
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq((int)errors[i].code, code, "code %d: %s", errors[i].code, errors[i].text);
        fprintf(stream, "%s%s", i ? "\n" : "", errors[i].text);
    }
    fclose(stream);
    free(errors);
    return text;
}

static void expect(const struct config_request *request, int code, const char *expected)
{
    char *text = errors_of(request, code);

    cr_assert_str_eq(text, expected, "\n  found %s\nexpected %s", text, expected);
    free(text);
}

static const struct config_request of_file = {.file = "rpd.json"};

static void load(struct config *config, const struct config_request *request)
{
    struct error *errors;
    size_t count;
    int result = config_load(config, request, &errors, &count);

    cr_assert_eq(result, 0, "%s", result ? errors[0].text : "");
    cr_assert_eq(count, 0);
    cr_assert_null(errors);
}

struct bad_text {
    const char *text;
    const char *expected;
};

static void expect_all(const struct bad_text *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        write_file(rows[i].text);
        expect(&of_file, 78, rows[i].expected);
    }
}

#define AT "config: rpd.json:"

/* ---- results ---- */

Test(config, defaults)
{
    struct config config;
    const struct config_request request = {.plugin = "echo.so"};

    load(&config, &request);
    cr_assert_null(config.path);
    cr_assert_eq(config.workers, 4);
    cr_assert_eq(config.loads, 0);
    cr_assert_null(config.plugin_dirs[0]);
    cr_assert_eq((int)config.log_level, RPD_LOG_INFO);
    cr_assert_eq((int)config.log_format, LOG_TEXT);
    cr_assert_null(config.log_file);
    cr_assert_eq((int)config.notify, NOTIFY_AT_BOUND);
    cr_assert_eq(config.endpoint_deadline_ms, 500);
    cr_assert_eq(config.code_deadline_ms, 5000);
    cr_assert_eq(config.drain_s, 10);
    cr_assert_eq(config.service_count, 1);
    cr_assert_null(config.services[0].name);
    cr_assert_str_eq(config.services[0].plugin, "echo.so");
    cr_assert_str_eq(config.services[0].plugin_base, directory);
    cr_assert_str_eq(config.services[0].origin, "command line");
    cr_assert_eq(config.services[0].listen_count, 0);
    cr_assert_eq((int)config.services[0].on_load_failure, LOAD_FAILURE_EXIT);
    cr_assert_eq(config.services[0].option_count, 0);
    config_finish(&config);
    assert_no_leak();
}

Test(config, every_key)
{
    struct config config;
    const struct config_service *service;
    char expected[200];

    write_file("{\n"
               "  \"workers\": 256, \"plugin_dirs\": [\"/a\", \"b\"], \"x-mine\": null,\n"
               "  \"log\": {\"level\": \"debug\", \"format\": \"json\", \"file\": \"l\","
               " \"x-\": {}},\n"
               "  \"notify\": \"ready\", \"endpoint_deadline_ms\": 10,\n"
               "  \"code_deadline_ms\": 600000, \"drain_s\": 0,\n"
               "  \"services\": [\n"
               "    {\"name\": \"one\", \"plugin\": \"one.so\", \"on_load_failure\": \"retry\",\n"
               "     \"listen\": [\"unix:é\", {\"endpoint\": \"unix:/s\", \"backlog\": 1,\n"
               "        \"mode\": \"0660\", \"group\": \"dev\", \"x-y\": 1}],\n"
               "     \"options\": {\"s\": \"t\", \"i\": 1, \"x-z\": [], \"n\": 1.5,"
               " \"b\": true}},\n"
               "    {\"plugin\": \"two.so\"}]}\n");
    load(&config, &of_file);
    snprintf(expected, sizeof expected, "%s/rpd.json", directory);
    cr_assert_str_eq(config.path, expected);
    snprintf(expected, sizeof expected, "%s/b", directory);
    cr_assert_eq(config.workers, 256);
    cr_assert_eq(config.loads, 256);
    cr_assert_str_eq(config.plugin_dirs[0], "/a");
    cr_assert_str_eq(config.plugin_dirs[1], expected);
    cr_assert_null(config.plugin_dirs[2]);
    cr_assert_eq((int)config.log_level, RPD_LOG_DEBUG);
    cr_assert_eq((int)config.log_format, LOG_JSON);
    snprintf(expected, sizeof expected, "%s/l", directory);
    cr_assert_str_eq(config.log_file, expected);
    cr_assert_eq((int)config.notify, NOTIFY_AT_READY);
    cr_assert_eq(config.endpoint_deadline_ms, 10);
    cr_assert_eq(config.code_deadline_ms, 600000);
    cr_assert_eq(config.drain_s, 0);
    cr_assert_eq(config.service_count, 2);

    service = &config.services[0];
    cr_assert_str_eq(service->name, "one");
    cr_assert_str_eq(service->origin, "rpd.json:7:5");
    cr_assert_eq((int)service->on_load_failure, LOAD_FAILURE_RETRY);
    cr_assert_eq(service->listen_count, 2);
    cr_assert_str_eq(service->listen[0].endpoint, "unix:é");
    cr_assert_eq(service->listen[0].backlog, 4096);
    cr_assert_eq(service->listen[0].mode, 0600);
    cr_assert_null(service->listen[0].group);
    cr_assert_str_eq(service->listen[0].origin, "rpd.json:8:17");
    cr_assert_eq(service->listen[1].backlog, 1);
    cr_assert_eq(service->listen[1].mode, 0660);
    cr_assert_str_eq(service->listen[1].group, "dev");
    cr_assert_str_eq(service->listen[1].origin, "rpd.json:8:27");
    cr_assert_eq(service->option_count, 4, "x- keys are not options");
    cr_assert_str_eq(service->options[2].name, "n");
    cr_assert_null(service->options[2].text);
    cr_assert_null(config.services[1].name);
    cr_assert_str_eq(config.services[1].origin, "rpd.json:11:5");
    cr_assert_str_eq(config.services[1].plugin_base, directory);
    config_finish(&config);
    assert_no_leak();
}

Test(config, file_in_another_directory)
{
    struct config config;
    char expected[200];
    const struct config_request request = {.file = "sub/../sub/c.json", .plugin = "x.so"};

    cr_assert_eq(mkdir("sub", 0755), 0);
    write_bytes("sub/c.json", ONE, strlen(ONE));
    load(&config, &request);
    snprintf(expected, sizeof expected, "%s/sub", directory);
    cr_assert_str_eq(config.services[0].plugin_base, expected);
    cr_assert_str_eq(config.services[1].plugin_base, directory);
    cr_assert_str_eq(config.services[0].origin, "sub/../sub/c.json:1:14");
    snprintf(expected, sizeof expected, "%s/sub/c.json", directory);
    cr_assert_str_eq(config.path, expected);
    config_finish(&config);
    unlink("sub/c.json");
}

Test(config, log_file)
{
    static const char *const rows[][2] = {
        {"/var/log/x", "/var/log/x"}, {"none", "none"}, {"./none", "DIR/./none"}, {"é", "DIR/é"}};
    struct config config;
    char text[200], expected[200];

    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(text, sizeof text,
                 "{\"log\":{\"file\":\"%s\"},\"services\":[{\"plugin\":\"a.so\"}]}", rows[i][0]);
        write_file(text);
        load(&config, &of_file);
        if (strncmp(rows[i][1], "DIR", 3) == 0)
            snprintf(expected, sizeof expected, "%s%s", directory, rows[i][1] + 3);
        else
            snprintf(expected, sizeof expected, "%s", rows[i][1]);
        cr_assert_str_eq(config.log_file, expected);
        config_finish(&config);
        assert_no_leak();
    }
}

/* ---- the command line ---- */

Test(config, plugin_is_one_more_service)
{
    struct config config;
    const char *listen[] = {"unix:a", "tcp:*:0"};
    const char *options[] = {"k=v=w", "e=", "x-mine=1"};
    const struct config_request request = {.file = "rpd.json",
                                           .plugin = "./x.so",
                                           .name = "new",
                                           .listen = listen,
                                           .listen_count = 2,
                                           .options = options,
                                           .option_count = 3};
    const struct config_service *service;

    write_file("{\"services\":[{\"plugin\":\"a.so\",\"name\":\"old\"}]}");
    load(&config, &request);
    cr_assert_eq(config.service_count, 2);
    service = &config.services[1];
    cr_assert_str_eq(service->name, "new");
    cr_assert_str_eq(service->plugin, "./x.so");
    cr_assert_str_eq(service->origin, "command line");
    cr_assert_eq(service->listen_count, 2);
    cr_assert_str_eq(service->listen[1].endpoint, "tcp:*:0");
    cr_assert_str_eq(service->listen[1].origin, "command line");
    cr_assert_eq(service->listen[1].backlog, 4096);
    cr_assert_eq(service->listen[1].mode, 0600);
    cr_assert_eq(service->option_count, 2);
    cr_assert_null(service->options[0].value);
    cr_assert_str_eq(service->options[0].text, "v=w");
    cr_assert_str_eq(service->options[1].text, "");
    config_finish(&config);
    assert_no_leak();
}

Test(config, same_name_overrides_only_what_is_given)
{
    struct config config;
    const char *options[] = {"b=2", "c=3"};
    struct config_request request = {
        .file = "rpd.json", .plugin = "x.so", .name = "s", .options = options, .option_count = 2};
    const struct config_service *service;

    write_file("{\"services\":[{\"plugin\":\"f.so\"},{\"plugin\":\"a.so\",\"name\":\"s\","
               "\"listen\":[\"unix:q\"],\"on_load_failure\":\"retry\","
               "\"options\":{\"a\":1,\"b\":1}}]}");
    load(&config, &request);
    cr_assert_eq(config.service_count, 2);
    service = &config.services[1];
    cr_assert_str_eq(service->plugin, "x.so");
    cr_assert_str_eq(service->origin, "rpd.json:1:32");
    cr_assert_eq((int)service->on_load_failure, LOAD_FAILURE_RETRY);
    cr_assert_str_eq(service->listen[0].endpoint, "unix:q");
    cr_assert_str_eq(service->listen[0].origin, "rpd.json:1:70");
    cr_assert_eq(service->option_count, 3);
    cr_assert_null(service->options[0].text);
    cr_assert_str_eq(service->options[1].name, "b");
    cr_assert_not_null(service->options[1].text);
    cr_assert_not_null(service->options[2].text);
    config_finish(&config);
    assert_no_leak();
}

Test(config, command_line_mistakes)
{
    const char *listen[] = {"unix:a"}, *empty[] = {""}, *bytes[] = {"unix:\xff"};
    const char *bad[] = {"novalue"}, *keyless[] = {"=v"}, *twice[] = {"a=1", "ab=1", "a=2"};
    const char *not_text[] = {"a=\xff"};
    const char hint[] = "is about a plugin of the command line, and none is named; see rpd --help";
    char text[200];
    const struct {
        struct config_request request;
        const char *expected;
    } rows[] = {
        {{0}, "command line: rpd: name a plugin or a configuration; see rpd --help"},
        {{.plugin = "a", .name = "Bad"},
         "command line: -n Bad: expected 1 to 63 of a-z, 0-9, _ and -, starting with a letter or "
         "digit; see rpd --help"},
        {{.plugin = ""}, "command line: plugin : is empty; see rpd --help"},
        {{.plugin = "a", .listen = empty, .listen_count = 1},
         "command line: -l : is empty; see rpd --help"},
        {{.plugin = "a", .listen = bytes, .listen_count = 1},
         "command line: -l unix:\xff: is not UTF-8; see rpd --help"},
        {{.plugin = "a", .options = bad, .option_count = 1},
         "command line: -o novalue: expected KEY=VALUE; see rpd --help"},
        {{.plugin = "a", .options = keyless, .option_count = 1},
         "command line: -o =v: expected KEY=VALUE; see rpd --help"},
        {{.plugin = "a", .options = not_text, .option_count = 1},
         "command line: -o a=\xff: is not UTF-8; see rpd --help"},
        {{.plugin = "a", .options = twice, .option_count = 3},
         "command line: -o a=2: this option is given twice; see rpd --help"},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        expect(&rows[i].request, 64, rows[i].expected);
    snprintf(text, sizeof text, "command line: -l: %s", hint);
    expect(&(struct config_request){.file = "no", .listen = listen, .listen_count = 1}, 64, text);
    snprintf(text, sizeof text, "command line: -n: %s", hint);
    expect(&(struct config_request){.file = "no", .name = "a"}, 64, text);
    snprintf(text, sizeof text, "command line: -o: %s", hint);
    expect(&(struct config_request){.file = "no", .options = twice, .option_count = 1}, 64, text);
    assert_no_leak();
}

/* ---- texts that are not JSON, or not within bounds ---- */

Test(config, syntax)
{
    static const struct bad_text rows[] = {
        {"", AT "1:1: the file is empty; the least is {\"services\": [{\"plugin\": \"NAME.so\"}]}"},
        {" \n\t",
         AT "1:1: the file is empty; the least is {\"services\": [{\"plugin\": \"NAME.so\"}]}"},
        {"\xef\xbb\xbf" ONE, AT "1:1: starts with a byte order mark; save it as UTF-8 without one"},
        {"{\n \"workers\": 1,\n \"workers\": 2}",
         AT "3:10: this is not JSON: duplicate object key near '\"workers\"'; fix it here"},
        {"{\"workers\": NaN}", AT "1:15: this is not JSON: invalid token near 'NaN'; fix it here"},
        {"{\"workers\": Infinity}",
         AT "1:20: this is not JSON: invalid token near 'Infinity'; fix it here"},
        {"{\"workers\":\n1e400}",
         AT "2:5: this is not JSON: real number overflow near '1e400'; fix it here"},
        {"{\"workers\": 9223372036854775808}",
         AT "1:31: this is not JSON: too big integer near '9223372036854775808'; fix it here"},
        {"{\"notify\": \"\\u0000\"}", AT "1:19: this is not JSON: \\u0000 is not allowed without "
                                         "JSON_ALLOW_NUL near '\"\\u0000\"'; fix it here"},
        {"{\"\\u0000\": 1}", AT "1:9: this is not JSON: NUL byte in object key not supported near "
                                "'\"\\u0000\"'; fix it here"},
        {ONE " x", AT "1:34: this is not JSON: end of file expected near 'x'; fix it here"},
        {"{\"a\": \"\xff\"}",
         AT "1:7: this is not JSON: unable to decode byte 0xff near '\"'; fix it here"},
        {"{\"a\": \"\\ud800\"}",
         AT "1:14: this is not JSON: invalid Unicode '\\uD800' near '\"\\ud800\"'; fix it here"},
        {"{\"workers\": 1,}",
         AT "1:15: this is not JSON: string or '}' expected near '}'; fix it here"},
        {"{", AT "1:1: this is not JSON: string or '}' expected near end of file; fix it here"},
    };

    expect_all(rows, COUNT(rows));
    write_bytes("rpd.json", "{\"a\": \"\0\"}", 10);
    expect(&of_file, 78, AT "1:7: this is not JSON: control character 0x0 near '\"'; fix it here");
    write_bytes("rpd.json", "{}\0", 3);
    expect(&of_file, 78,
           AT "1:3: this is not JSON: end of file expected near end of file; fix it here");
    assert_no_leak();
}

/* A valid file, except that a value is nested this deep below the document. */
static void write_nested(size_t depth)
{
    FILE *file = fopen("rpd.json", "w");

    fputs("{\"services\":[{\"plugin\":\"]\\\"[\"}],\n\"x-deep\":", file);
    for (size_t i = 0; i < depth; i++)
        fputc('[', file);
    for (size_t i = 0; i < depth; i++)
        fputc(']', file);
    fputs("}", file);
    fclose(file);
}

Test(config, depth)
{
    struct config config;

    write_nested(31); /* the document is the first level */
    load(&config, &of_file);
    config_finish(&config);
    write_nested(32);
    expect(&of_file, 78, AT "2:41: nested more than 32 levels deep");
    write_nested(3000);
    expect(&of_file, 78, AT "2:41: nested more than 32 levels deep");
    write_nested(400000);
    expect(&of_file, 78, AT "2:41: nested more than 32 levels deep");
    assert_no_leak();
}

/* Spaces up to the limit, and one more. */
Test(config, size)
{
    struct config config;
    char *text = malloc(CONFIG_FILE_SIZE_MAX + 1);

    memset(text, ' ', CONFIG_FILE_SIZE_MAX + 1);
    memcpy(text, ONE, strlen(ONE));
    write_bytes("rpd.json", text, CONFIG_FILE_SIZE_MAX);
    load(&config, &of_file);
    config_finish(&config);
    write_bytes("rpd.json", text, CONFIG_FILE_SIZE_MAX + 1);
    expect(&of_file, 78, "config: rpd.json: is larger than 1048576 bytes; make it smaller");
    free(text);
    cr_assert_eq(truncate("rpd.json", 1L << 40), 0); /* sparse: a read would not end */
    expect(&of_file, 78, "config: rpd.json: is larger than 1048576 bytes; make it smaller");
}

/* ---- values that the keys do not allow ---- */

#define S(inner) "{\"services\":[{\"plugin\":\"p\"," inner "}]}"
#define L(inner) "{\"services\":[{\"plugin\":\"p\",\"listen\":[" inner "]}]}"
#define P(inner) "{\"services\":[{\"plugin\":\"p\"}]," inner "}"

Test(config, keys_and_values)
{
    static const struct bad_text rows[] = {
        /* unknown keys, with a near known one and without */
        {S("\n \"drian_s\":1"), AT "2:2: $.services[0].drian_s: unknown key"},
        {P("\"drian_s\":1"), AT "1:30: $.drian_s: unknown key; did you mean \"drain_s\"?"},
        {P("\"é\":1, \"é2\":1"),
         AT "1:30: $[\"é\"]: unknown key\n" AT "1:37: $[\"é2\"]: unknown key"},
        {P("\"bananas\":1"), AT "1:30: $.bananas: unknown key"},
        {P("\"wor\\u006bres\":1"), AT "1:30: $.workres: unknown key; did you mean \"workers\"?"},
        {P("\"a b\\n\\\"\":1"), AT "1:30: $[\"a b\\u000a\\\"\"]: unknown key"},
        {P("\"log\":{\"levle\":1}"), AT "1:37: $.log.levle: unknown key; did you mean \"level\"?"},
        {S("\"limits\":{\"client\":1},\"sael\":1,\"idle_exit_s\":-1"),
         AT "1:38: $.services[0].limits.client: unknown key; did you mean \"clients\"?\n" AT
            "1:50: $.services[0].sael: unknown key; did you mean \"seal\"?\n" AT
            "1:73: $.services[0].idle_exit_s: expected an integer from 0 to 31536000, or a "
            "duration such as \"1h30m\", found -1"},
        {L("{\"endpoint\":\"unix:a\",\"bcklog\":1}"),
         AT "1:59: $.services[0].listen[0].bcklog: unknown key; did you mean \"backlog\"?"},
        /* types */
        {"[]", AT "1:1: $: expected an object, found an array"},
        {P("\"workers\":\"4\""),
         AT "1:40: $.workers: expected an integer from 1 to 256, found a string"},
        {P("\"workers\":4.0"),
         AT "1:40: $.workers: expected an integer from 1 to 256, found a number"},
        {P("\"workers\":null"),
         AT "1:40: $.workers: expected an integer from 1 to 256, found null"},
        {P("\"workers\":true"),
         AT "1:40: $.workers: expected an integer from 1 to 256, found true"},
        {P("\"plugin_dirs\":\"a\""), AT "1:44: $.plugin_dirs: expected an array, found a string"},
        {P("\"plugin_dirs\":[\"a\", 3]"),
         AT "1:50: $.plugin_dirs[1]: expected a string, found an integer"},
        {P("\"plugin_dirs\":[\"\"]"), AT "1:45: $.plugin_dirs[0]: is an empty string"},
        {P("\"log\":{\"file\":\"\"}"), AT "1:44: $.log.file: is an empty string"},
        {P("\"log\":\"info\""), AT "1:36: $.log: expected an object, found a string"},
        {"{\"services\":{}}", AT "1:13: $.services: expected an array, found an object"},
        {"{\"services\":[1]}", AT "1:14: $.services[0]: expected an object, found an integer"},
        {L("1"), AT "1:38: $.services[0].listen[0]: expected a string or an object, found an "
                    "integer"},
        {S("\"options\":{\"a\":null,\"b\":[1]}"),
         AT "1:43: $.services[0].options.a: expected a string, an integer, a number, true or false "
            "or an array, found null\n" AT
            "1:53: $.services[0].options.b[0]: expected a string, found an integer"},
        /* with a unit */
        {P("\"drain_s\":\"250ms\""),
         AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a duration such as "
            "\"1h30m\", found \"250ms\""},
        {P("\"drain_s\":\"2d\""),
         AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a duration such as "
            "\"1h30m\", found \"2d\""},
        {P("\"drain_s\":\"1M\""),
         AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a duration such as "
            "\"1h30m\", found \"1M\"; did you mean \"m\"?"},
        {P("\"drain_s\":\"10\""),
         AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a duration such as "
            "\"1h30m\", found \"10\""},
        {P("\"workers\":\"4K\""),
         AT "1:40: $.workers: expected an integer from 1 to 256, found a string"},
        {S("\"limits\":{\"input_bytes\":\"64MB\"}"),
         AT "1:52: $.services[0].limits.input_bytes: expected an integer from 1024 to 1073741824, "
            "or a size such as \"64M\", found \"64MB\"; did you mean \"MiB\"?"},
        /* ranges: both ends, and values that a narrower type would truncate to valid ones */
        {P("\"workers\":0"), AT "1:40: $.workers: expected an integer from 1 to 256, found 0"},
        {P("\"workers\":257"), AT "1:40: $.workers: expected an integer from 1 to 256, found 257"},
        {P("\"workers\":4294967297"),
         AT "1:40: $.workers: expected an integer from 1 to 256, found 4294967297"},
        {P("\"endpoint_deadline_ms\":9"),
         AT "1:53: $.endpoint_deadline_ms: expected an integer from 10 to 600000, or a duration "
            "such as \"1h30m\", found 9"},
        {P("\"code_deadline_ms\":600001"),
         AT "1:49: $.code_deadline_ms: expected an integer from 10 to 600000, or a duration such "
            "as \"1h30m\", found 600001"},
        {P("\"drain_s\":-1"), AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a "
                                 "duration such as \"1h30m\", found -1"},
        {P("\"drain_s\":86401"), AT "1:40: $.drain_s: expected an integer from 0 to 86400, or a "
                                    "duration such as \"1h30m\", found 86401"},
        {L("{\"endpoint\":\"a\",\"backlog\":65536}"),
         AT "1:64: $.services[0].listen[0].backlog: expected an integer from 1 to 65535, found "
            "65536"},
        /* choices and patterns */
        {P("\"log\":{\"level\":\"inof\"}"),
         AT "1:45: $.log.level: expected \"error\", \"warning\", \"info\" or \"debug\", found "
            "\"inof\"; did you mean \"info\"?"},
        {P("\"log\":{\"format\":\"xml\"}"),
         AT "1:46: $.log.format: expected \"text\" or \"json\", found \"xml\""},
        {P("\"notify\":\"redy\""), AT "1:39: $.notify: expected \"bound\" or \"ready\", found "
                                      "\"redy\"; did you mean \"ready\"?"},
        {S("\"on_load_failure\":\"die\""), AT "1:46: $.services[0].on_load_failure: expected "
                                              "\"exit\", \"retry\" or \"degraded\", found \"die\""},
        {S("\"name\":\"\""),
         AT "1:35: $.services[0].name: expected 1 to 63 of a-z, 0-9, _ and -, starting with a "
            "letter or digit, found \"\""},
        {S("\"name\":\"-a\""),
         AT "1:35: $.services[0].name: expected 1 to 63 of a-z, 0-9, _ and -, starting with a "
            "letter or digit, found \"-a\""},
        {L("{\"endpoint\":\"unix:a\",\"mode\":\"4755\"}"),
         AT "1:66: $.services[0].listen[0].mode: expected permission bits in octal such as "
            "\"0660\", found \"4755\""},
        {L("{\"endpoint\":\"unix:a\",\"mode\":432}"),
         AT "1:66: $.services[0].listen[0].mode: expected permission bits in octal such as "
            "\"0660\", found an integer"},
        /* missing */
        {"{}", AT "1:1: $.services: no service; name one here, or a plugin on the command line"},
        {"{\"services\": []}",
         AT "1:2: $.services: no service; name one here, or a plugin on the command line"},
        {"{\"services\":[{}]}", AT "1:14: $.services[0].plugin: missing; this key is required"},
        {"{\"services\":[{\"plugin\":\"\"}]}", AT "1:24: $.services[0].plugin: is an empty string"},
        {L(""), AT "1:37: $.services[0].listen: is empty; name at least one, or leave the key "
                   "out"},
        {L("\"\""), AT "1:38: $.services[0].listen[0]: is an empty string"},
        {L("{}"), AT "1:38: $.services[0].listen[0].endpoint: missing; this key is required"},
        /* combinations of keys */
        {L("{\"endpoint\":\"tcp:*:1\",\"mode\":\"0600\"}"),
         AT "1:60: $.services[0].listen[0].mode: only an endpoint with a unix path has a mode, "
            "not \"tcp:*:1\""},
        {L("\"unix:a\", {\"endpoint\":\"unix:@a\",\"group\":\"g\"}"),
         AT "1:70: $.services[0].listen[1].group: only an endpoint with a unix path has a group, "
            "not \"unix:@a\""},
        {"{\"services\":[{\"plugin\":\"p\",\"name\":\"a\"},\n{\"plugin\":\"p\",\"name\":\"a\"}]}",
         AT "2:22: $.services[1].name: \"a\" is the name of $.services[0] already; give it "
            "another"},
    };

    expect_all(rows, COUNT(rows));
    assert_no_leak();
}

Test(config, all_mistakes_at_once)
{
    write_file("{\n  \"workers\": 0,\n  \"notfy\": 1,\n  \"services\": [{\"name\": \"A\"}]\n}\n");
    expect(&of_file, 78,
           AT "2:14: $.workers: expected an integer from 1 to 256, found 0\n" AT
              "3:3: $.notfy: unknown key; did you mean \"notify\"?\n" AT
              "4:16: $.services[0].plugin: missing; this key is required\n" AT
              "4:25: $.services[0].name: expected 1 to 63 of a-z, 0-9, _ and -, starting with a "
              "letter or digit, found \"A\"");
}

static void write_unknown_keys(unsigned count)
{
    FILE *file = fopen("rpd.json", "w");

    fputs("{\"services\":[{\"plugin\":\"p\"}]", file);
    for (unsigned i = 0; i < count; i++)
        fprintf(file, ",\n\"%x\":1", i);
    fputs("}", file);
    fclose(file);
}

Test(config, at_most_100_errors)
{
    struct config config;
    struct error *errors;
    size_t count;

    write_unknown_keys(100);
    cr_assert_eq(config_load(&config, &of_file, &errors, &count), -1);
    cr_assert_eq(count, 100);
    cr_assert_str_eq(errors[99].text, AT "101:1: $.63: unknown key");
    free(errors);
    write_unknown_keys(90000);
    cr_assert_eq(config_load(&config, &of_file, &errors, &count), -1);
    cr_assert_eq(count, 101);
    cr_assert_str_eq(errors[100].text, "config: rpd.json: and 89900 more");
    cr_assert_eq((int)errors[100].code, 78);
    free(errors);
    assert_no_leak();
}

Test(config, large_but_allowed)
{
    struct config config;
    FILE *file = fopen("rpd.json", "w");

    fputs("{\"services\":[{\"plugin\":\"p\",\"listen\":[\"unix:first\"", file);
    for (unsigned i = 0; i < 50000; i++)
        fprintf(file, ",\n\"unix:%u\"", i);
    fputs("]}]}", file);
    fclose(file);
    load(&config, &of_file); /* in linear time */
    cr_assert_eq(config.services[0].listen_count, 50001);
    cr_assert_str_eq(config.services[0].listen[50000].origin, "rpd.json:50001:1");
    config_finish(&config);
}

Test(config, long_values_are_cut)
{
    enum { ROOM = 900000, VALUE_SIZE = 800000 };
    char *text = malloc(ROOM);
    const int start = snprintf(text, ROOM, "{\"services\":[{\"plugin\":\"p\",\"name\":\"");
    char *const end = text + start + VALUE_SIZE;
    char *found;

    memset(text + start, 'X', VALUE_SIZE);
    snprintf(end, (size_t)(text + ROOM - end), "\"}]}");
    write_file(text);
    found = errors_of(&of_file, 78);
    cr_assert_lt(strlen(found), 400);
    cr_assert_not_null(strstr(found, "XXX...\""));
    free(found);
    free(text);
}

/* ---- the kind of file ---- */

Test(config, missing_file)
{
    expect(&of_file, 66, "config: rpd.json: No such file or directory; name a file that is there");
    cr_assert_eq(symlink("nowhere", "link"), 0);
    expect(&(struct config_request){.file = "link"}, 66,
           "config: link: No such file or directory; name a file that is there");
    write_file(ONE);
    expect(&(struct config_request){.file = "rpd.json/x"}, 66,
           "config: rpd.json/x: Not a directory; name a file that is there");
}

Test(config, not_a_regular_file, .timeout = 5)
{
    static const char *const names[] = {"fifo", "/dev/zero", "/dev/tty0", "sub", "zero"};

    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_assert_eq(mkdir("sub", 0700), 0);
    cr_assert_eq(symlink("/dev/zero", "zero"), 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        char expected[100];

        if (access(names[i], F_OK) < 0)
            continue; /* a container may lack that device */
        snprintf(expected, sizeof expected, "config: %s: is not a regular file; name one",
                 names[i]);
        expect(&(struct config_request){.file = names[i]}, 77, expected);
    }
}

Test(config, writable_by_others)
{
    static const struct {
        mode_t mode;
        const char *shown;
    } rows[] = {{0666, "0666"}, {0664, "0664"}, {0602, "0602"}};

    write_file(ONE);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char expected[200];

        cr_assert_eq(chmod("rpd.json", rows[i].mode), 0);
        snprintf(expected, sizeof expected,
                 "config: rpd.json: can be written by others than its owner (mode %s); chmod "
                 "go-w it",
                 rows[i].shown);
        expect(&of_file, 77, expected);
    }
}

Test(config, owned_by_another)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    write_file(ONE);
    cr_assert_eq(chown("rpd.json", 12345, 0), 0);
    expect(&of_file, 77,
           "config: rpd.json: belongs to user 12345, who could change it; chown it to root or to "
           "user 0");
}

Test(config, link_to_a_regular_file)
{
    struct config config;

    write_bytes("real", ONE, strlen(ONE));
    cr_assert_eq(symlink("real", "rpd.json"), 0);
    load(&config, &of_file);
    cr_assert_str_eq(config.services[0].origin, "rpd.json:1:14");
    config_finish(&config);
}

/* ---- printing ---- */

static char *printed(void (*print)(const struct config *), const struct config *config)
{
    char *text = calloc(1, 100000);
    int out = dup(1);
    int fd = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);

    fflush(stdout);
    dup2(fd, 1);
    print(config);
    fflush(stdout);
    dup2(out, 1);
    cr_assert_gt(pread(fd, text, 99999, 0), 0);
    close(fd);
    close(out);
    return text;
}

Test(config, print_config)
{
    struct config config;
    const char *options[] = {"b=2", "c=3"};
    const struct config_request request = {
        .file = "rpd.json", .plugin = "x.so", .name = "s", .options = options, .option_count = 2};
    static const char expected[] =
        "workers = 8                                        # rpd.json:1:13\n"
        "job_nice = 5                                       # default\n"
        "load_nice = 5                                      # default\n"
        "plugin_dirs[0] = \"/d\"                              # rpd.json:1:31\n"
        "log.level = \"info\"                                 # default\n"
        "log.format = \"text\"                                # default\n"
        "log.limit = 10                                     # default\n"
        "log.file = null                                    # default\n"
        "log.to = null                                      # default\n"
        "notify = \"bound\"                                   # default\n"
        "endpoint_deadline_ms = 500                         # default\n"
        "code_deadline_ms = 5000                            # default\n"
        "drain_s = 10                                       # default\n"
        "stall_s = 10                                       # default\n"
        "slow_ms = 100                                      # default\n"
        "trial_s = 10                                       # default\n"
        "keeper = false                                     # default\n"
        "on_crash_loop = \"exit\"                             # default\n"
        "services[0].name = \"s\"                             # rpd.json:3:23\n"
        "services[0].plugin = \"x.so\"                        # command line\n"
        "services[0].listen[0].endpoint = \"unix:echo.sock\"  # rpd.json:4:13\n"
        "services[0].listen[0].backlog = 4096               # default\n"
        "services[0].listen[0].mode = \"0600\"                # default\n"
        "services[0].listen[0].group = null                 # default\n"
        "services[0].listen[1].endpoint = \"tcp:*:0\"         # rpd.json:4:43\n"
        "services[0].listen[1].backlog = 7                  # rpd.json:4:63\n"
        "services[0].listen[1].freebind = false             # default\n"
        "services[0].warmup = null                          # default\n"
        "services[0].on_load_failure = \"exit\"               # default\n"
        "services[0].log_level = null                       # default\n"
        "services[0].no_progress_s = 300                    # default\n"
        "services[0].idle_exit_s = null                     # default\n"
        "services[0].seal = \"enforce\"                       # default\n"
        "services[0].limits.clients = 0                     # default\n"
        "services[0].limits.clients_per_peer = 0            # default\n"
        "services[0].limits.first_byte_s = 0                # default\n"
        "services[0].limits.request_s = 10                  # default\n"
        "services[0].limits.idle_s = 0                      # default\n"
        "services[0].limits.write_stall_s = 60              # default\n"
        "services[0].limits.progress_bytes_per_s = 1024     # default\n"
        "services[0].limits.keepalive_s = 60                # default\n"
        "services[0].limits.output_bytes = 16777216         # default\n"
        "services[0].limits.input_bytes = 67108864          # default\n"
        "services[0].limits.buffer_bytes = 268435456        # default\n"
        "services[0].limits.buffer_bytes_per_peer = 0       # default\n"
        "services[0].options.a = true                       # rpd.json:5:18\n"
        "services[0].options.b = \"2\"                        # command line\n"
        "services[0].options[\"d e\"] = 1.5                   # rpd.json:5:54\n"
        "services[0].options.c = \"3\"                        # command line\n";
    char *text;
    char *one_space;

    write_file("{\"workers\": 8, \"plugin_dirs\":[\"/d\"],\n"
               " \"services\":[\n"
               "{\"plugin\":\"p\", \"name\":\"s\",\n"
               "  \"listen\":[\"unix:echo.sock\", {\"endpoint\":\"tcp:*:0\",\"backlog\":7}],\n"
               "  \"options\":{\"a\":true, \"x-h\":[1,{}],\"b\":1.5,   \"d e\":1.5}}]}");
    load(&config, &request);
    text = printed(config_print, &config);
    config_finish(&config);
    /* The width of the gap before "#" is not tested. */
    for (one_space = text; (one_space = strstr(one_space, "   # "));)
        memmove(one_space, one_space + 1, strlen(one_space));
    cr_assert_str_eq(text, expected, "\n%s", text);
    free(text);
    assert_no_leak();
}

static void print_schema(const struct config *unused)
{
    struct error error;

    (void)unused;
    cr_assert_eq(config_print_schema(&error), 0, "%s", error.text);
}

/* The schema's node of a key, from the key's path in the table. */
static const json_t *schema_of(const json_t *schema, const char *path)
{
    char step[64];
    const char *at = path;

    while (schema && *at) {
        size_t length = strcspn(at, ".[");

        if (length > 0) {
            snprintf(step, sizeof step, "%.*s", (int)length, at);
            schema = strcmp(step, "*") == 0
                         ? json_object_get(schema, "additionalProperties")
                         : json_object_get(json_object_get(schema, "properties"), step);
            at += length;
        } else if (*at == '[') {
            schema = json_object_get(schema, "items");
            at += strlen("[]");
        } else {
            at++;
        }
    }
    return schema;
}

static void check_schema_row(const json_t *node, const struct config_key *key)
{
    json_t *preset = config_key_preset(key);

    cr_assert_not_null(node, "%s", key->path);
    cr_assert_str_eq(json_string_value(json_object_get(node, "description")), key->meaning);
    cr_assert(json_equal(json_object_get(node, "default"), preset) ||
              (!preset && !json_object_get(node, "default")));
    cr_assert_not_null(json_object_get(node, "type"));
    if (key->types == CONFIG_INTEGER) {
        cr_assert_eq(json_integer_value(json_object_get(node, "minimum")), key->min);
        cr_assert_eq(json_integer_value(json_object_get(node, "maximum")), key->max);
    }
    for (size_t i = 0; key->choices && key->choices[i]; i++)
        cr_assert_str_eq(json_string_value(json_array_get(json_object_get(node, "enum"), i)),
                         key->choices[i]);
    if (key->types & CONFIG_OBJECT) {
        cr_assert_not_null(json_object_get(node, "additionalProperties"));
        cr_assert_not_null(json_object_get(json_object_get(node, "patternProperties"), "^x-"));
    }
    json_decref(preset);
}

Test(config, schema_has_every_row)
{
    char *text = printed(print_schema, NULL);
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    cr_assert_not_null(schema);
    cr_assert_str_eq(json_string_value(json_object_get(schema, "$schema")),
                     "https://json-schema.org/draft/2020-12/schema");
    for (size_t i = 0; i < config_key_count; i++)
        check_schema_row(schema_of(schema, config_keys[i].path), &config_keys[i]);
    cr_assert(json_is_false(json_object_get(schema, "additionalProperties")));
    json_decref(schema);
    free(text);
    assert_no_leak();
}

/* Each default is a value that the check itself accepts. */
Test(config, defaults_are_allowed)
{
    struct error error;

    cr_assert_eq(libjansson_load(&error), 0, "%s", error.text);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        json_t *preset = config_key_preset(key);

        cr_assert_eq(preset == NULL, key->preset == NULL, "%s", key->path);
        if (json_is_integer(preset))
            cr_assert(key->min <= json_integer_value(preset) &&
                      json_integer_value(preset) <= key->max);
        if (json_is_string(preset) && key->choices)
            cr_assert_not_null(key->choices[config_key_choice(key, json_string_value(preset))]);
        if (json_is_string(preset) && key->fits)
            cr_assert(key->fits(json_string_value(preset)));
        json_decref(preset);
    }
}

/* ---- the helpers alone ---- */

Test(config, nearest_names)
{
    static const struct {
        const char *wanted, *known, *best;
    } rows[] = {
        {"drian_s", "drain_s", "drain_s"},
        {"bcklog", "backlog", "backlog"},
        {"workerss", "workers", "workers"},
        {"wrkrs", "workers", NULL},
        {"", "a", NULL},
        {"x", "y", NULL},
        {"drain_s", "workers", NULL},
        {"nam", "name", "name"},
        {"ab", "cd", NULL},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct nearest nearest;

        nearest_start(&nearest, rows[i].wanted);
        nearest_try(&nearest, rows[i].known);
        if (rows[i].best)
            cr_assert(nearest.best && strcmp(nearest.best, rows[i].best) == 0, "%s",
                      rows[i].wanted);
        else
            cr_assert_null(nearest.best, "%s", rows[i].wanted);
    }
}

Test(config, places)
{
    static const char text[] = " {\"é\" : [1, [\"a]\", {}],\n"
                               "  {\"k\\\"\\u0065\": -1.5e3}],\"b\":{}}";
    const struct json_path root = {NULL, NULL, 0}, e = {&root, "é", 0}, e0 = {&e, NULL, 0},
                           e1 = {&e, NULL, 1}, e10 = {&e1, NULL, 0}, e11 = {&e1, NULL, 1},
                           e2 = {&e, NULL, 2}, k = {&e2, "k\"e", 0}, b = {&root, "b", 0},
                           e3 = {&e, NULL, 3}, no = {&root, "no", 0};
    const struct {
        const struct json_path *path;
        enum json_part part;
        bool found;
        size_t line, column;
    } rows[] = {
        {&root, JSON_VALUE, true, 1, 2}, {&e, JSON_KEY, true, 1, 3},
        {&e, JSON_VALUE, true, 1, 9},    {&e0, JSON_VALUE, true, 1, 10},
        {&e1, JSON_KEY, true, 1, 13},    {&e10, JSON_VALUE, true, 1, 14},
        {&e11, JSON_VALUE, true, 1, 20}, {&e2, JSON_VALUE, true, 2, 3},
        {&k, JSON_KEY, true, 2, 4},      {&k, JSON_VALUE, true, 2, 17},
        {&b, JSON_KEY, true, 2, 26},     {&b, JSON_VALUE, true, 2, 30},
        {&e3, JSON_VALUE, false, 1, 9},  {&no, JSON_KEY, false, 1, 2},
    };
    struct error error;

    cr_assert_eq(libjansson_load(&error), 0, "%s", error.text);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct json_place place;

        cr_assert_eq(json_place_find(&place, text, strlen(text), rows[i].path, rows[i].part),
                     rows[i].found, "row %zu", i);
        cr_assert_eq(place.line, rows[i].line, "row %zu: line %zu", i, place.line);
        cr_assert_eq(place.column, rows[i].column, "row %zu: column %zu", i, place.column);
    }
    assert_no_leak();
}

/* ---- sizes and durations ---- */

Test(config, keys_with_units)
{
    struct config config;

    write_file(
        "{\"drain_s\":\"1m30s\",\"stall_s\":\"0s\",\"endpoint_deadline_ms\":\"1.5s\","
        "\"code_deadline_ms\":7000,\"services\":[{\"plugin\":\"a.so\",\"idle_exit_s\":\"1d\","
        "\"limits\":{\"input_bytes\":\"1M\",\"output_bytes\":\"0.5GiB\","
        "\"progress_bytes_per_s\":\"2K\",\"request_s\":\"2m\"}}]}");
    load(&config, &of_file);
    cr_expect_eq(config.drain_s, 90);
    cr_expect_eq(config.stall_s, 0);
    cr_expect_eq(config.endpoint_deadline_ms, 1500);
    cr_expect_eq(config.code_deadline_ms, 7000);
    cr_expect_eq(config.services[0].idle_exit_s, 86400);
    cr_expect_eq(config.services[0].limits.input_bytes, 1048576);
    cr_expect_eq(config.services[0].limits.output_bytes, 536870912);
    cr_expect_eq(config.services[0].limits.progress_bytes_per_s, 2048);
    cr_expect_eq(config.services[0].limits.request_s, 120);
    config_finish(&config);
}

/* All keys for time or bytes: add a new one here, too. */
Test(config, every_key_that_counts_time_or_bytes_has_a_unit)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const char *path = config_keys[i].path;
        const size_t size = strlen(path);
        const bool is_time = size > 2 && strcmp(path + size - 2, "_s") == 0 &&
                             !strstr(path, "bytes_per_s");
        const bool is_ms = size > 3 && strcmp(path + size - 3, "_ms") == 0;

        cr_expect_eq(config_keys[i].unit,
                     is_time                 ? UNIT_SECONDS
                     : is_ms                 ? UNIT_MILLISECONDS
                     : strstr(path, "bytes") ? UNIT_BYTES
                                             : UNIT_NONE,
                     "%s", path);
    }
}
