/* The digest of a configuration: it differs if any key differs, and does not depend on how the
 * configuration is written. */
#include "config/digest.h"
#include "config/keys.h"
#include "config/plan.h"
#include "process.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *dir;

static void make_dir(void)
{
    dir = temp_dir_make();
    if (chdir(dir) != 0)
        test_die("chdir %s", dir);
}

static void remove_dir(void)
{
    if (chdir("/") != 0)
        test_die("chdir /");
    temp_dir_remove(dir);
}

TestSuite(config_digest, .init = make_dir, .fini = remove_dir, .timeout = 60);

static const char *digest_of(const struct config_request *request)
{
    struct config config;
    struct error *errors;
    size_t count;
    char digest[CONFIG_DIGEST_SIZE];

    if (config_load(&config, request, &errors, &count) < 0)
        test_die("%s", errors[0].text);
    config_digest(&config, digest);
    config_finish(&config);
    return textf("%s", digest);
}

static const char *digest(const char *text)
{
    file_write("rpd.json", text, strlen(text));
    return digest_of(&(struct config_request){.file = "rpd.json"});
}

/* The text with one more member in the object that begins at "at". */
static const char *with(const char *text, const char *at, const char *member)
{
    const char *place = strstr(text, at);

    cr_assert_not_null(place, "%s", at);
    place += strlen(at);
    return textf("%.*s%s,%s", (int)(place - text), text, member, place);
}

#define ALL                                                                                        \
    "{\"services\":[{\"options\":{\"s\":\"t\"},\"limits\":{\"x-\":0},\"listen\":[{\"endpoint\":"   \
    "\"unix:a\"},\"unix:b\",{\"endpoint\":\"tcp:[::1]:1\"}],\"plugin\":\"a.so\"}],\"log\":{\"x-"   \
    "\":0},\"x-\":0}"
#define DOCUMENT "{"
#define SERVICE "\"services\":[{"
#define LISTEN "\"listen\":[{"
#define TCP "\"unix:b\",{"
#define LIMITS "\"limits\":{"
#define LOG "\"log\":{"

/* One change for each key. */
static const struct {
    const char *path, *at, *member;
} changes[] = {
    {"workers", DOCUMENT, "\"workers\":5"},
    {"job_nice", DOCUMENT, "\"job_nice\":4"},
    {"load_nice", DOCUMENT, "\"load_nice\":4"},
    {"plugin_dirs[]", DOCUMENT, "\"plugin_dirs\":[\"d\"]"},
    {"log.level", LOG, "\"level\":\"error\""},
    {"log.format", LOG, "\"format\":\"json\""},
    {"log.limit", LOG, "\"limit\":11"},
    {"log.file", LOG, "\"file\":\"none\""},
    {"log.to", LOG, "\"to\":\"journal\""},
    {"notify", DOCUMENT, "\"notify\":\"ready\""},
    {"endpoint_deadline_ms", DOCUMENT, "\"endpoint_deadline_ms\":501"},
    {"code_deadline_ms", DOCUMENT, "\"code_deadline_ms\":5001"},
    {"drain_s", DOCUMENT, "\"drain_s\":11"},
    {"stall_s", DOCUMENT, "\"stall_s\":11"},
    {"trial_s", DOCUMENT, "\"trial_s\":11"},
    {"slow_ms", DOCUMENT, "\"slow_ms\":101"},
    {"keeper", DOCUMENT, "\"keeper\":true"},
    {"on_crash_loop", DOCUMENT, "\"on_crash_loop\":\"wait\""},
    {"services[].name", SERVICE, "\"name\":\"n\""},
    {"services[].plugin", SERVICE, NULL},
    {"services[].listen[]", SERVICE, NULL},
    {"services[].listen[].endpoint", SERVICE, NULL},
    {"services[].listen[].backlog", LISTEN, "\"backlog\":1"},
    {"services[].listen[].mode", LISTEN, "\"mode\":\"0660\""},
    {"services[].listen[].group", LISTEN, "\"group\":\"g\""},
    {"services[].listen[].freebind", TCP, "\"freebind\":true"},
    {"services[].warmup", SERVICE, "\"warmup\":\"hold\""},
    {"services[].log_level", SERVICE, "\"log_level\":\"debug\""},
    {"services[].on_load_failure", SERVICE, "\"on_load_failure\":\"retry\""},
    {"services[].no_progress_s", SERVICE, "\"no_progress_s\":1"},
    {"services[].idle_exit_s", SERVICE, "\"idle_exit_s\":1"},
    {"services[].seal", SERVICE, "\"seal\":\"log\""},
    {"services[].limits.clients", LIMITS, "\"clients\":1"},
    {"services[].limits.clients_per_peer", LIMITS, "\"clients_per_peer\":1"},
    {"services[].limits.first_byte_s", LIMITS, "\"first_byte_s\":1"},
    {"services[].limits.request_s", LIMITS, "\"request_s\":1"},
    {"services[].limits.idle_s", LIMITS, "\"idle_s\":1"},
    {"services[].limits.write_stall_s", LIMITS, "\"write_stall_s\":1"},
    {"services[].limits.keepalive_s", LIMITS, "\"keepalive_s\":1"},
    {"services[].limits.output_bytes", LIMITS, "\"output_bytes\":65536"},
    {"services[].limits.input_bytes", LIMITS, "\"input_bytes\":65536"},
    {"services[].limits.buffer_bytes", LIMITS, "\"buffer_bytes\":65536"},
    {"services[].limits.buffer_bytes_per_peer", LIMITS, "\"buffer_bytes_per_peer\":65536"},
    {"services[].limits.progress_bytes_per_s", LIMITS, "\"progress_bytes_per_s\":65536"},
    {"services[].options.*", "\"options\":{", "\"k\":1"},
    {"services[].options.*[]", "\"options\":{", "\"k\":[\"a\",\"b\"]"},
};

/* A new key must be in the digest, and in this table. */
Test(config_digest, every_key_is_looked_at)
{
    for (size_t i = 0; i < config_key_count; i++) {
        size_t found = 0;

        if (config_keys[i].types == CONFIG_OBJECT || config_keys[i].types == CONFIG_ARRAY)
            continue;
        for (size_t c = 0; c < COUNT(changes); c++)
            found += strcmp(changes[c].path, config_keys[i].path) == 0;
        cr_expect_eq(found, 1, "%s", config_keys[i].path);
    }
}

Test(config_digest, every_change_makes_another)
{
    const char *digests[COUNT(changes) + 1];
    size_t count = 0;

    digests[count++] = digest(ALL);
    cr_assert_eq(strlen(digests[0]), 16);
    cr_assert_eq(strspn(digests[0], "0123456789abcdef"), 16);
    for (size_t c = 0; c < COUNT(changes); c++) {
        if (!changes[c].member)
            continue;
        digests[count] = digest(with(ALL, changes[c].at, changes[c].member));
        for (size_t i = 0; i < count; i++)
            cr_expect_str_neq(digests[i], digests[count], "%s", changes[c].path);
        count++;
    }
}

static void load_text(const char *text, struct config *ret)
{
    struct error *errors;
    size_t count;

    file_write("rpd.json", text, strlen(text));
    if (config_load(ret, &(struct config_request){.file = "rpd.json"}, &errors, &count) < 0)
        test_die("%s", errors[0].text);
}

static bool takes_options(const void *arg, const char *service)
{
    cr_assert_str_eq(service, "s");
    return *(const bool *)arg;
}

static struct plan plan_between(const char *old_text, const char *new_text, bool takes)
{
    static const char *const names[] = {"s"};
    struct config old_config, new_config;
    struct plan plan;

    load_text(old_text, &old_config);
    load_text(new_text, &new_config);
    cr_assert_eq(plan_make(&plan, &(struct plan_side){&old_config, names},
                           &(struct plan_side){&new_config, names}, takes_options, &takes),
                 0);
    config_finish(&old_config);
    config_finish(&new_config);
    return plan;
}

/* The plan has each change, and nothing else, and says of it what the table says. */
Test(config_plan, every_change_is_in_it, .init = make_dir, .fini = remove_dir)
{
    for (size_t c = 0; c < COUNT(changes); c++) {
        const struct config_key *key = config_key_at(changes[c].path);
        struct plan plan;

        if (!changes[c].member || strcmp(changes[c].path, "services[].name") == 0)
            continue;
        plan = plan_between(ALL, with(ALL, changes[c].at, changes[c].member), false);
        cr_assert_eq(plan.count, 1, "%s: %zu", changes[c].path, plan.count);
        if (strcmp(changes[c].path, "services[].options.*[]") == 0)
            key = config_key_at("services[].options.*");
        cr_expect_eq(plan.changes[0].key, key, "%s: %s", changes[c].path, plan.changes[0].path);
        cr_expect_eq(plan.changes[0].effect, key->effect, "%s", changes[c].path);
        cr_expect(plan_has(&plan, key->effect));
        plan_finish(&plan);
    }
}

Test(config_plan, what_it_says, .init = make_dir, .fini = remove_dir)
{
    static const struct {
        const char *before, *after, *path, *old_text, *new_text;
        enum config_effect effect;
    } rows[] = {
        {"", ",\"limits\":{\"clients\":7}", "services[s].limits.clients", "0", "7", EFFECT_LIVE},
        {"", ",\"warmup\":\"serve\"", "services[s].warmup", NULL, "serve", EFFECT_GENERATION},
        {"", ",\"options\":{\"k\":true}", "services[s].options.k", NULL, "true", EFFECT_LIVE},
        {",\"options\":{\"api_key\":\"a\"}", ",\"options\":{\"api_key\":\"b\"}",
         "services[s].options.api_key", "(secret)", "(secret)", EFFECT_LIVE},
        {",\"listen\":[\"unix:a\"]", ",\"listen\":[\"unix:a\",\"unix:b\"]",
         "services[s].listen[unix:b]", NULL, "unix:b", EFFECT_GENERATION},
        {",\"listen\":[\"unix:a\"]", ",\"listen\":[{\"endpoint\":\"unix:a\",\"backlog\":9}]",
         "services[s].listen[unix:a].backlog", "4096", "9", EFFECT_LIVE},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct plan plan = plan_between(
            textf("{\"services\":[{\"plugin\":\"a.so\"%s}]}", rows[i].before),
            textf("{\"services\":[{\"plugin\":\"a.so\"%s}]}", rows[i].after), true);

        cr_assert_eq(plan.count, 1, "%s: %zu", rows[i].path, plan.count);
        cr_expect_str_eq(plan.changes[0].path, rows[i].path);
        cr_expect_eq(plan.changes[0].effect, rows[i].effect, "%s", rows[i].path);
        cr_expect(rows[i].old_text ? strcmp(plan.changes[0].old_text, rows[i].old_text) == 0
                                   : !plan.changes[0].old_text);
        cr_expect(rows[i].new_text ? strcmp(plan.changes[0].new_text, rows[i].new_text) == 0
                                   : !plan.changes[0].new_text);
        plan_finish(&plan);
    }
}

/* Said otherwise, or in another order, nothing has changed. */
Test(config_plan, nothing_has_changed, .init = make_dir, .fini = remove_dir)
{
    static const char *const pairs[][2] = {
        {"", ",\"listen\":[\"unix:s.sock\"]"},
        {",\"listen\":[\"unix:a\",\"unix:b\"]",
         ",\"listen\":[{\"endpoint\":\"unix:b\"},\"unix:a\"]"},
        {",\"options\":{\"a\":1,\"b\":2}", ",\"options\":{\"b\":2,\"a\":\"1\",\"x-\":0}"},
    };

    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct plan plan = plan_between(
            textf("{\"services\":[{\"plugin\":\"a.so\"%s}]}", pairs[i][0]),
            textf("{\"services\":[{\"plugin\":\"a.so\"%s}]}", pairs[i][1]), false);

        cr_expect_eq(plan.count, 0, "%s", pairs[i][1]);
        plan_finish(&plan);
    }
}

#define ONE(more) "{\"services\":[{\"plugin\":\"a.so\"" more "}]}"

Test(config_digest, other_services)
{
    static const char *const texts[] = {
        ONE(""),
        ONE(",\"listen\":[\"unix:a\"]"),
        ONE(",\"listen\":[\"unix:a\",\"unix:b\"]"),
        ONE(",\"listen\":[\"unix:b\",\"unix:a\"]"),
        ONE(",\"listen\":[\"unix:ab\"]"),
        ONE(",\"options\":{\"a\":\"b\"}"),
        ONE(",\"options\":{\"ab\":\"\"}"),
        ONE(",\"options\":{\"a\":\"b\",\"c\":\"d\"}"),
        ONE(",\"options\":{\"a\":\"d\",\"c\":\"b\"}"),
        ONE(",\"options\":{\"a\":1.5}"),
        ONE(",\"options\":{\"a\":1.25}"),
        ONE(",\"options\":{\"a\":true}"),
        ONE(",\"options\":{\"a\":false}"),
        ONE("},{\"plugin\":\"b.so\",\"name\":\"b\""),
        "{\"services\":[{\"plugin\":\"b.so\",\"name\":\"b\"},{\"plugin\":\"a.so\"}]}",
        "{\"services\":[{\"plugin\":\"./a.so\"}]}",
    };
    const char *digests[COUNT(texts)];

    for (size_t i = 0; i < COUNT(texts); i++) {
        digests[i] = digest(texts[i]);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(digests[k], digests[i], "%s\n%s", texts[k], texts[i]);
    }
}

Test(config_digest, the_same_said_otherwise)
{
    static const char *const pairs[][2] = {
        {ONE(""), " {\n \"x-a\": [1], \"services\" : [ {\"plugin\":\"a.so\"} ] }\n"},
        {ONE(""), "{\"services\":[{\"plugin\":\"a.so\"}],\"workers\":4,\"log\":{},\"drain_s\":10}"},
        {ONE(",\"seal\":\"off\",\"name\":\"n\""), ONE(",\"name\":\"n\",\"seal\":\"off\"")},
        {ONE(",\"listen\":[\"unix:a\"]"), ONE(",\"listen\":[{\"endpoint\":\"unix:a\"}]")},
        {ONE(",\"listen\":[{\"mode\":\"660\",\"endpoint\":\"unix:a\"}]"),
         ONE(",\"listen\":[{\"endpoint\":\"unix:a\",\"mode\":\"0660\"}]")},
        {ONE(",\"options\":{\"a\":1,\"b\":2}"), ONE(",\"options\":{\"b\":2,\"x-\":3,\"a\":1}")},
    };

    for (size_t i = 0; i < COUNT(pairs); i++) {
        const char *first = digest(pairs[i][0]);
        cr_expect_str_eq(first, digest(pairs[i][1]), "%s\n%s", pairs[i][0], pairs[i][1]);
    }
}

/* The same configuration as a file, on the command line, and as both together. */
Test(config_digest, from_the_command_line)
{
    const char *listen[] = {"unix:a"}, *options[] = {"k=v", "n=5", "b=true"};
    struct config_request request = {.plugin = "a.so",
                                     .name = "n",
                                     .listen = listen,
                                     .listen_count = 1,
                                     .options = options,
                                     .option_count = 3};
    const char *of_file = digest(ONE(",\"name\":\"n\",\"listen\":[\"unix:a\"],\"options\":"
                                     "{\"k\":\"v\",\"n\":5,\"b\":true}"));
    const char *command = digest_of(&request);

    cr_expect_str_eq(command, of_file);
    request.is_printed = true;
    cr_expect_str_eq(digest_of(&request), of_file);
    request.file = "rpd.json";
    cr_expect_str_eq(digest_of(&request), of_file);
    options[1] = "n=6";
    cr_expect_str_neq(digest_of(&request), of_file);
}

/* The digest has the place to which a relative name leads, not the place from which the file was
 * named. */
Test(config_digest, names_of_files)
{
    const char *text = "{\"log\":{\"file\":\"l\"},\"plugin_dirs\":[\"d\"],\"services\":"
                       "[{\"plugin\":\"./a.so\"}]}";
    const char *here = digest(text);

    cr_expect_str_eq(digest_of(&(struct config_request){.file = textf("%s/rpd.json", dir)}), here);
    if (mkdir("sub", 0700) != 0)
        test_die("mkdir");
    file_write("sub/rpd.json", text, strlen(text));
    cr_expect_str_neq(digest_of(&(struct config_request){.file = "sub/rpd.json"}), here);
    text = ONE("");
    here = digest(text);
    file_write("sub/rpd.json", text, strlen(text));
    cr_expect_str_eq(digest_of(&(struct config_request){.file = "sub/rpd.json"}), here);
}

/* The same file, through another path: that is how ensure names a plugin to the rpd that it
 * starts. */
Test(config_digest, relative_and_absolute_plugins)
{
    const char *here = digest_of(&(struct config_request){.plugin = "./a.so"});

    cr_expect_str_eq(digest_of(&(struct config_request){.plugin = textf("%s/./a.so", dir)}), here);
    cr_expect_str_neq(digest_of(&(struct config_request){.plugin = "/a.so"}), here);
    cr_expect_str_neq(digest_of(&(struct config_request){.plugin = "a.so"}), here);
}
