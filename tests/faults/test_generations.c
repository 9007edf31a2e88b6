/* Generations: while clients connect all the time, one runner after the other takes over. No client
 * may notice: none is refused, reset or left without its answer, and none waits long.
 *
 * RPD_TEST_LONG=1 makes 1,000 generations of each sample in place of 50. */
#include "../integration/rpdctl_run.h"

#include <criterion/parameterized.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 3 };

static bool is_long(void)
{
    return getenv("RPD_TEST_LONG") != NULL;
}

/* ---- the daemon ---------------------------------------------------------------------------- */

struct scene {
    const char *dir, *run, *config, *endpoint;
    const char *plugin;
    struct process *rpd;
    int control;
};

static void write_config(const struct scene *scene, const char *top, const char *service)
{
    const char *next = textf("%s.next", scene->config);

    write_text(next, textf("{\"keeper\":true,%s\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                           "\"listen\":[\"%s\"]%s}]}",
                           top, scene->plugin, scene->endpoint, service));
    cr_assert_eq(rename(next, scene->config), 0);
}

static void await_ready(const struct scene *scene)
{
    assert_code(RPDCTL_ON(scene->run, "wait", "demo", "--ready", "--timeout", "60"), 0);
}

static struct scene begin(const char *plugin, const char *top, const char *service)
{
    const char *dir = temp_dir_make();
    struct scene scene = {.dir = dir,
                          .run = make_run(dir),
                          .config = textf("%s/rpd.json", dir),
                          .endpoint = textf("unix:%s/x.sock", dir),
                          .plugin = plugin};

    write_config(&scene, top, service);
    scene.rpd = RPD_START(scene.run, "-c", scene.config);
    cr_assert_eq(process_wait_bound(scene.rpd), 0, "%s", process_stderr(scene.rpd));
    await_ready(&scene);
    scene.control = client(textf("unix:%s/demo.control", scene.run));
    return scene;
}

static void end(struct scene *scene)
{
    close(scene->control);
    cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* The deadline of a read is the test's own: a load may take long on a busy machine. */
static const char *ask_reload(const struct scene *scene, const char *more)
{
    const char *answer = ask(scene->control, textf("{\"v\":1,\"id\":1,\"do\":\"reload\"%s}", more));

    cr_assert_not_null(answer, "no answer\n%s", process_stderr(scene->rpd));
    return answer;
}

static void renew(const struct scene *scene)
{
    const char *answer = ask_reload(scene, ",\"fresh\":true,\"force\":true");

    cr_assert_not_null(strstr(answer, "\"ok\":true"), "%s\n%s", answer, process_stderr(scene->rpd));
}

static struct rpd_state_page page_of(const struct scene *scene)
{
    const int run = open(scene->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    if (state_view_read(run, "demo", &page) < 0)
        memset(&page, 0, sizeof page);
    close(run);
    return page;
}

static unsigned generation_of(const struct scene *scene)
{
    return page_of(scene).generation;
}

#define wait_until(scene, condition)                                                               \
    do {                                                                                           \
        const int64_t until_ = now_ns() + INT64_C(60000000000);                                    \
        while (!(condition) && now_ns() < until_)                                                  \
            poll(NULL, 0, 2);                                                                      \
        cr_assert((condition), "%s\n%s", #condition, process_stderr((scene)->rpd));                \
    } while (0)

static size_t children_of(pid_t pid, pid_t *ret, size_t room)
{
    const char *text = file_read(textf("/proc/%d/task/%d/children", (int)pid, (int)pid));
    size_t count = 0;

    for (char *end = NULL; text && *text && count < room; text = end + strspn(end, " ")) {
        ret[count] = (pid_t)strtol(text, &end, 10);
        if (end == text)
            break;
        count++;
    }
    return count;
}

static size_t runners_of(const struct scene *scene)
{
    pid_t all[64];

    return children_of(process_pid(scene->rpd), all, 64);
}

/* ---- clients --------------------------------------------------------------------------------- */

struct crowd {
    const char *endpoint;
    atomic_bool stop;
    atomic_ulong answered, refused, unanswered, reset;
    atomic_ulong longest_us;
    pthread_t threads[THREADS];
};

static void note_longest(struct crowd *crowd, int64_t since_ns)
{
    const unsigned long us = (unsigned long)((now_ns() - since_ns) / 1000);
    unsigned long before = atomic_load(&crowd->longest_us);

    while (us > before && !atomic_compare_exchange_weak(&crowd->longest_us, &before, us))
        continue;
}

static void be_client(struct crowd *crowd)
{
    const int64_t since_ns = now_ns();
    const int fd = connect_to(crowd->endpoint);
    char answer[512];
    ssize_t got;

    if (fd < 0) {
        atomic_fetch_add(&crowd->refused, 1);
        return;
    }
    got = send_all(fd, "l\n", 2) == 0 ? read(fd, answer, sizeof answer) : -1;
    if (got > 0)
        atomic_fetch_add(&crowd->answered, 1);
    else
        atomic_fetch_add(got == 0 ? &crowd->unanswered : &crowd->reset, 1);
    note_longest(crowd, since_ns);
    close(fd);
}

static void *be_clients(void *arg)
{
    struct crowd *crowd = arg;

    while (!atomic_load(&crowd->stop))
        be_client(crowd);
    return NULL;
}

static void send_crowd(struct crowd *crowd, const struct scene *scene)
{
    *crowd = (struct crowd){.endpoint = scene->endpoint};
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&crowd->threads[i], NULL, be_clients, crowd), 0);
}

static void await_crowd(struct crowd *crowd)
{
    atomic_store(&crowd->stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(crowd->threads[i], NULL);
}

static void assert_unharmed(const struct crowd *crowd, const struct scene *scene)
{
    cr_assert(crowd->refused + crowd->unanswered + crowd->reset == 0,
              "%lu answered, %lu refused, %lu unanswered, %lu reset\n%s", crowd->answered,
              crowd->refused, crowd->unanswered, crowd->reset, process_stderr(scene->rpd));
    cr_assert_gt(crowd->answered, 0);
}

/* ---- what is left behind ------------------------------------------------------------------------
 */

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    for (; dir && readdir(dir);)
        count++;
    if (dir)
        closedir(dir);
    return count;
}

struct belongings {
    size_t descriptors, mappings;
};

static struct belongings belongings_of(pid_t pid)
{
    return (struct belongings){count_entries(textf("/proc/%d/fd", (int)pid)),
                               lines_with(file_read(textf("/proc/%d/maps", (int)pid)), "-")};
}

/* ---- one after the other
 * ------------------------------------------------------------------------- */

static const struct {
    const char *plugin, *service;
} samples[] = {
    {"samples/hello.so", ""},
    {"samples/index.so", ",\"options\":{\"directory\":\"/usr/lib\"}"},
    {"samples/slow_start.so", ",\"options\":{\"load_s\":0.05}"},
};

ParameterizedTestParameters(generations, one_after_the_other)
{
    static size_t all[] = {0, 1, 2};

    return cr_make_param_array(size_t, all, sizeof all / sizeof *all);
}

ParameterizedTest(const size_t *sample, generations, one_after_the_other, .timeout = 1800)
{
    const unsigned count = is_long() ? 1000 : 50;
    struct scene scene = begin(build_path(samples[*sample].plugin), "\"trial_s\":0,",
                               samples[*sample].service);
    struct belongings before, after;
    struct crowd crowd;
    unsigned long at_rest_us;
    const int64_t since_ns = now_ns();

    renew(&scene); /* what is loaded once, and stays, is there then */
    wait_until(&scene, runners_of(&scene) == 1);
    before = belongings_of(process_pid(scene.rpd));
    send_crowd(&crowd, &scene);
    poll(NULL, 0, 300);
    at_rest_us = atomic_load(&crowd.longest_us);
    for (unsigned i = 0; i < count; i++)
        renew(&scene);
    await_crowd(&crowd);
    cr_log_info(
        "%s: %u generations in %.1f s: %lu answered, %lu refused, %lu unanswered, %lu reset; "
        "longest wait %.1f ms, %.1f ms at rest",
        samples[*sample].plugin, count, (double)(now_ns() - since_ns) / 1e9, crowd.answered,
        crowd.refused, crowd.unanswered, crowd.reset, (double)crowd.longest_us / 1e3,
        (double)at_rest_us / 1e3);
    assert_unharmed(&crowd, &scene);
    cr_assert_eq(generation_of(&scene), count + 2);
    wait_until(&scene, runners_of(&scene) == 1);
    wait_until(&scene,
               (after = belongings_of(process_pid(scene.rpd))).descriptors == before.descriptors);
    cr_assert_leq(after.mappings, before.mappings + 2, "%zu mappings, %zu before", after.mappings,
                  before.mappings);
    end(&scene);
}
