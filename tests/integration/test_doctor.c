/* rpdctl doctor: each row plants one fault in a sound scene, and doctor has to find that, and
 * nothing else; before, it must have found nothing. */
#include "common.h"
#include "environments.h"
#include "observe/metrics_view.h"
#include "rpdctl_run.h"

#include <criterion/parameterized.h>

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define DENY(error, calls) RPD_BUILD_DIR "/tests/support/deny", (error), (calls)

struct scene {
    const char *dir, *run, *config, *plugin, *endpoint, *binary;
    struct process *rpd; /* "demo", sound; NULL: it was not started, or was killed */
    /* How doctor is run: */
    const char *argument;         /* NULL: none */
    const char *const *before;    /* words before rpdctl; NULL: none */
    const char *const *variables; /* NULL: none */
    /* Of a service that only its files show: "fake". */
    struct rpd_state_page page;
    pid_t child;
    int lock;
};

/* ---- a sound scene --------------------------------------------------------------------------- */

static void copy_as(const char *from, const char *to, mode_t mode)
{
    struct process *cp = process_start(&(struct process_options){.argv = ARGS("cp", from, to)});

    cr_assert_eq(process_code(process_wait_exit(cp)), 0);
    process_free(cp);
    cr_assert_eq(chmod(to, mode), 0);
}

static const char *config_with(const struct scene *scene, const char *top, const char *service)
{
    return textf("{%s\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\",%s\"listen\":[\"%s\"]}]}",
                 top, scene->plugin, service, scene->endpoint);
}

static struct scene begin(void)
{
    struct scene scene = {.dir = temp_dir_make(), .lock = -1};

    scene.run = make_run(scene.dir);
    scene.config = textf("%s/demo.json", scene.dir);
    scene.plugin = textf("%s/kv.so", scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    scene.binary = build_path("rpd");
    copy_as(build_path("plugins/kv.so"), scene.plugin, 0644);
    write_text(scene.config, config_with(&scene, "", ""));
    return scene;
}

static void start_demo_of(struct scene *scene)
{
    scene->rpd = process_start(
        &(struct process_options){.argv = ARGS(scene->binary, "-c", scene->config),
                                  .runtime_dir = scene->run,
                                  .notify = true});
    assert_line(scene->rpd, ": ready ");
}

static void end(struct scene *scene)
{
    if (scene->rpd)
        process_free(scene->rpd);
    if (scene->child > 0) {
        kill(scene->child, SIGKILL);
        waitpid(scene->child, NULL, 0);
    }
    if (scene->lock >= 0)
        close(scene->lock);
    temp_dir_remove(scene->dir);
}

/* ---- a service that only its files show --------------------------------------------------------
 */

static const char *read_whole(const char *path, void *to, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(read(fd, to, size), (ssize_t)size, "%s", path);
    close(fd);
    return to;
}

static pid_t begin_child(void)
{
    const pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

/* As demo is, but of a process that does nothing, whose page does not change. */
static void begin_fake(struct scene *scene)
{
    scene->child = begin_child();
    scene->page = page_for(scene->child, RPD_PHASE_READY);
    struct rpd_state_page demo;
    read_whole(textf("%s/demo.state", scene->run), &demo, sizeof demo);
    memcpy(scene->page.build, demo.build, sizeof demo.build);
    scene->page.bound_us = scene->page.turned_us;
    scene->lock = hold_lock(scene->run, "fake");
    copy_as(textf("%s/demo.metrics", scene->run), textf("%s/fake.metrics", scene->run), 0644);
    put_record(scene->run, "fake", scene->child, "");
    scene->argument = "fake";
}

static void show_fake(struct scene *scene)
{
    /* (It shall not be old when doctor looks.) */
    scene->page.turned_us = (uint64_t)now_ns() / 1000u + 60000000u;
    put_page(scene->run, "fake", &scene->page);
}

/* ---- faults of the machine ----------------------------------------------------------------------
 */

static void deny_pidfd(struct scene *scene)
{
    static const char *const words[] = {DENY("ENOSYS", "pidfd_open"), NULL};
    scene->before = words;
}

static void deny_inotify(struct scene *scene)
{
    static const char *const words[] = {DENY("EPERM", "inotify_init1"), NULL};
    scene->before = words;
}

static void deny_locks(struct scene *scene)
{
    static const char *const words[] = {DENY("EPERM", "F_OFD_SETLK"), NULL};
    scene->before = words;
}

static void limit_descriptors(struct scene *scene)
{
    static const char *const words[] = {"prlimit", "--nofile=256:256", NULL};
    scene->before = words;
}

static void hide_proc(struct scene *scene)
{
    static const char *const words[] = {WITHOUT_PROC, NULL};
    scene->before = words;
    process_signal(scene->rpd,
                   SIGKILL); /* (What cannot be seen of one that lives is another row.) */
    process_wait_exit(scene->rpd);
    for (size_t i = 0; i < 4; i++) {
        static const char *const suffixes[] = {"state", "json", "metrics", "control"};
        unlink(textf("%s/demo.%s", scene->run, suffixes[i]));
    }
}

/* ---- of the run-time directory ------------------------------------------------------------------
 */

static void open_directory(struct scene *scene)
{
    cr_assert_eq(chmod(scene->run, 0777), 0);
}

static const char *const *set_run(const char *run)
{
    static const char *variables[2];

    variables[0] = textf("RPD_RUNTIME_DIR=%s", run);
    return variables;
}

static void put_file_there(struct scene *scene)
{
    const char *path = textf("%s/file", scene->dir);

    write_text(path, "");
    scene->variables = set_run(path);
}

static const char *const *in_mounts(const char *script)
{
    static const char *words[16];
    const char *const head[] = {
        MOUNT_NAMESPACE, "sh", "-c", textf("%s && exec \"$@\"", script), "sh", NULL};

    memcpy(words, head, sizeof head);
    return words;
}

static void fill_disk(struct scene *scene)
{
    const char *run = textf("%s/full", scene->dir);

    cr_assert_eq(mkdir(run, 0700), 0);
    scene->before = in_mounts(textf("mount -t tmpfs -o size=64k,mode=0700 none %s", run));
    scene->variables = set_run(run);
}

static void mount_read_only(struct scene *scene)
{
    const char *run = textf("%s/fixed", scene->dir);

    cr_assert_eq(mkdir(run, 0700), 0);
    scene->before = in_mounts(textf("mount -t tmpfs -o ro,mode=0700 none %s", run));
    scene->variables = set_run(run);
}

static void let_it_go_at_logout(struct scene *scene)
{
    scene->before = in_mounts(
        "mount -t tmpfs -o mode=0755 none /run && "
        "mkdir -p -m 0755 /run/user/65534 /run/systemd/users && "
        "mkdir -m 0700 /run/user/65534/rpd && touch /run/systemd/users/65534");
    scene->variables = set_run("/run/user/65534/rpd");
}

static void make_it_long(struct scene *scene)
{
    const char *run = textf("%s/%0*d", scene->dir, 100, 0);

    cr_assert_eq(mkdir(run, 0700), 0);
    scene->variables = set_run(run);
}

static void leave_private_file(struct scene *scene)
{
    const pid_t gone = begin_child();

    kill(gone, SIGKILL);
    waitpid(gone, NULL, 0);
    write_text(textf("%s/.demo.json.%d.tmp", scene->run, (int)gone), "");
}

/* ---- of the past -------------------------------------------------------------------------------
 */

static void kill_it(struct scene *scene)
{
    process_signal(scene->rpd, SIGKILL);
    process_wait_exit(scene->rpd);
}

static void fail_once(struct scene *scene)
{
    close(hold_lock(scene->run, "fake"));
    put_history(scene->run, "fake", 1, 1, 70, "it failed");
    scene->argument = "fake";
}

static void fail_often(struct scene *scene)
{
    const long long now = (long long)time(NULL) * 1000;
    const char *text = "";

    for (int i = 5; i > 0; i--)
        text = textf("%s%lld %d 1 bound 0 -\n%lld %d 1 ended 70 code: it failed\n", text,
                     now - i * 1000, 100 + i, now - i * 1000 + 5, 100 + i);
    close(hold_lock(scene->run, "fake"));
    write_text(textf("%s/fake.history", scene->run), text);
    scene->argument = "fake";
}

static void set_clock_back(struct scene *scene)
{
    close(hold_lock(scene->run, "fake"));
    write_text(textf("%s/fake.history", scene->run),
               textf("%lld 1 1 bound 0 -\n%lld 1 1 ended 0 -\n",
                     (long long)(time(NULL) + 7200) * 1000, (long long)(time(NULL) + 7201) * 1000));
    scene->argument = "fake";
}

/* ---- of a service that runs
 * ---------------------------------------------------------------------- */

static void stop_process(struct scene *scene)
{
    begin_fake(scene);
    kill(scene->child, SIGSTOP);
    scene->page.turned_us = (uint64_t)now_ns() / 1000u - 60000000u;
    put_page(scene->run, "fake", &scene->page);
}

static void stand_still(struct scene *scene)
{
    begin_fake(scene);
    scene->page.turned_us = (uint64_t)now_ns() / 1000u - 60000000u;
    put_page(scene->run, "fake", &scene->page);
}

static void be_elsewhere(struct scene *scene)
{
    begin_fake(scene);
    scene->page.namespaces[RPD_STATE_PID_NAMESPACE] = 1;
    show_fake(scene);
}

static void lose_endpoint(struct scene *scene)
{
    begin_fake(scene);
    put_record(scene->run, "fake", scene->child,
               textf(",\"endpoints\":[\"unix:%s/gone.sock\"]", scene->dir));
    show_fake(scene);
}

static void lose_record(struct scene *scene)
{
    begin_fake(scene);
    show_fake(scene);
    cr_assert_eq(unlink(textf("%s/fake.json", scene->run)), 0);
}

static void lose_page(struct scene *scene)
{
    begin_fake(scene);
}

static void lose_metrics(struct scene *scene)
{
    begin_fake(scene);
    show_fake(scene);
    cr_assert_eq(unlink(textf("%s/fake.metrics", scene->run)), 0);
}

static void degrade(struct scene *scene)
{
    begin_fake(scene);
    scene->page.flags = RPD_STATE_DEGRADED;
    show_fake(scene);
}

static void pause_part(struct scene *scene)
{
    begin_fake(scene);
    scene->page.part_count = 1;
    scene->page.parts[0] = (struct rpd_state_part){
        .name = "index", .state = RPD_PART_PAUSED, .attempts = 3};
    show_fake(scene);
}

static void stall_part(struct scene *scene)
{
    pause_part(scene);
    scene->page.parts[0].state = RPD_PART_STALLED;
    show_fake(scene);
}

static void have_errors(struct scene *scene)
{
    begin_fake(scene);
    scene->page.errors = 2;
    snprintf(scene->page.error, sizeof scene->page.error, "the disk is gone");
    show_fake(scene);
}

static void be_slow(struct scene *scene)
{
    begin_fake(scene);
    scene->page.slow_callbacks = 3;
    scene->page.slow_us = 250000;
    snprintf(scene->page.slow, sizeof scene->page.slow, "on_data: sort+0x10");
    show_fake(scene);
}

static void pause_accepting(struct scene *scene)
{
    begin_fake(scene);
    scene->page.accept_pauses = 7;
    show_fake(scene);
}

static void refuse_jobs(struct scene *scene)
{
    begin_fake(scene);
    scene->page.jobs_refused = 7;
    show_fake(scene);
}

static void crash_runner(struct scene *scene)
{
    begin_fake(scene);
    scene->page.generation = 1;
    scene->page.runner_pid = (uint32_t)scene->child;
    scene->page.restarts = 2;
    scene->page.crash_code = 139;
    show_fake(scene);
}

static void be_without_runner(struct scene *scene)
{
    begin_fake(scene);
    scene->page.generation = 1;
    show_fake(scene);
}

static void be_old(struct scene *scene)
{
    begin_fake(scene);
    snprintf(scene->page.build, sizeof scene->page.build, "0.0.1 01234567");
    show_fake(scene);
}

static void use_descriptors(struct scene *scene)
{
    const struct rlimit few = {.rlim_cur = 12, .rlim_max = 20000};

    cr_assert_eq(prlimit(process_pid(scene->rpd), RLIMIT_NOFILE, &few, NULL), 0);
}

static void replace_binary(struct scene *scene)
{
    cr_assert_eq(unlink(scene->binary), 0);
}

static void save_too_seldom(struct scene *scene)
{
    static char file[1024 * 1024];
    struct rpd_metrics_page page;
    const char *path = textf("%s/fake.metrics", scene->run);

    begin_fake(scene);
    show_fake(scene);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    const ssize_t size = read(fd, file, sizeof file);
    memcpy(&page, file, sizeof page);
    for (uint32_t i = 0; i < page.entry_count; i++) {
        struct rpd_metric_entry entry;
        memcpy(&entry, file + page.entries_at + i * page.entry_size, sizeof entry);
        const bool is_time = strcmp(entry.name, "kv_last_save") == 0;
        const int64_t value = is_time ? (int64_t)time(NULL) - 8 * 3600 : 5;
        if (is_time || strcmp(entry.name, "kv_unsaved_changes") == 0)
            memcpy(file + entry.at, &value, sizeof value);
    }
    cr_assert_eq(pwrite(fd, file, (size_t)size, 0), size);
    close(fd);
}

/* ---- of what runs and what is there now
 * ------------------------------------------------------------ */

static void touch_later(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = time(NULL) + 2}, {.tv_sec = time(NULL) + 2}};

    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void change_plugin(struct scene *scene)
{
    touch_later(scene->plugin);
}

static void remove_plugin(struct scene *scene)
{
    cr_assert_eq(unlink(scene->plugin), 0);
}

static void open_plugin(struct scene *scene)
{
    cr_assert_eq(chmod(scene->plugin, 0666), 0);
}

static void change_config(struct scene *scene)
{
    write_text(scene->config, config_with(scene, "\"slow_ms\":77,", ""));
    touch_later(scene->config);
}

static void spoil_config(struct scene *scene)
{
    write_text(scene->config, "{");
    touch_later(scene->config);
}

static void remove_config(struct scene *scene)
{
    cr_assert_eq(unlink(scene->config), 0);
}

/* ---- of a configuration that shall be started
 * ------------------------------------------------------ */

/* In place of demo's, which ends. */
static void configure(struct scene *scene, const char *top, const char *plugin, const char *service,
                      const char *listen)
{
    const char *file = textf("%s/next.json", scene->dir);

    write_text(file,
               textf("{%s\"services\":[{\"name\":\"next\",\"plugin\":\"%s\",%s\"listen\":[%s]}]}",
                     top, plugin, service, listen));
    scene->argument = file;
}

static const char *path_in(const struct scene *scene, const char *name)
{
    return textf("\"unix:%s/%s\"", scene->dir, name);
}

static void misspell(struct scene *scene)
{
    configure(scene, "\"worker\":2,", scene->plugin, "", path_in(scene, "n.sock"));
}

static void break_json(struct scene *scene)
{
    configure(scene, ",", scene->plugin, "", path_in(scene, "n.sock"));
}

static void open_config(struct scene *scene)
{
    configure(scene, "", scene->plugin, "", path_in(scene, "n.sock"));
    cr_assert_eq(chmod(scene->argument, 0666), 0);
}

static void miss_plugin(struct scene *scene)
{
    configure(scene, "", "missing.so", "", path_in(scene, "n.sock"));
}

static void misname_plugin(struct scene *scene)
{
    configure(scene, "", "next.json", "", path_in(scene, "n.sock"));
}

static void use_old_abi(struct scene *scene)
{
    configure(scene, "", test_plugin("abi_old"), "", path_in(scene, "n.sock"));
}

static void misuse_option(struct scene *scene)
{
    configure(scene, "", scene->plugin, "\"options\":{\"maxmemory\":\"much\"},",
              path_in(scene, "n.sock"));
}

static void miss_directory(struct scene *scene)
{
    configure(scene, "", scene->plugin, "", path_in(scene, "missing/n.sock"));
}

static void occupy_path(struct scene *scene)
{
    configure(scene, "", scene->plugin, "", path_in(scene, "demo.json"));
}

static int listening(int family, const struct sockaddr *address, socklen_t length)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, address, length), 0, "%s", strerror(errno));
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

static void listen_there(struct scene *scene)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s/n.sock", scene->dir);
    listening(AF_UNIX, (struct sockaddr *)&address, sizeof address);
    configure(scene, "", scene->plugin, "", path_in(scene, "n.sock"));
}

static void take_port(struct scene *scene)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int fd = listening(AF_INET, (struct sockaddr *)&address, length);

    getsockname(fd, (struct sockaddr *)&address, &length);
    configure(scene, "", scene->plugin, "", textf("\"tcp:127.0.0.1:%d\"", ntohs(address.sin_port)));
}

static void queue_too_many(struct scene *scene)
{
    configure(scene, "", scene->plugin, "",
              textf("{\"endpoint\":%s,\"backlog\":65535}", path_in(scene, "n.sock")));
}

static void take_too_many(struct scene *scene)
{
    static const char *const words[] = {"prlimit", "--nofile=2000:2000", NULL};

    scene->before = words;
    configure(scene, "", scene->plugin, "\"limits\":{\"clients\":5000},", path_in(scene, "n.sock"));
}

static void log_nowhere(struct scene *scene)
{
    configure(scene, "\"log\":{\"to\":\"missing/own.log\"},", scene->plugin, "",
              path_in(scene, "n.sock"));
}

static void run_elsewhere(struct scene *scene)
{
    const char *file = textf("%s/other.json", scene->dir);

    write_text(file, config_with(scene, "", ""));
    scene->argument = file;
}

/* ---- of units ---------------------------------------------------------------------------------
 */

/* In the place of systemctl. */
static void say_of_units(struct scene *scene, const char *text)
{
    const char *bin = textf("%s/bin", scene->dir);
    static const char *variables[2];

    cr_assert_eq(mkdir(bin, 0700), 0);
    write_text(textf("%s/systemctl", bin), textf("#!/bin/sh\nprintf '%s'\n", text));
    cr_assert_eq(chmod(textf("%s/systemctl", bin), 0700), 0);
    variables[0] = textf("PATH=%s:%s", bin, getenv("PATH"));
    scene->variables = variables;
}

static void fail_unit(struct scene *scene)
{
    say_of_units(scene, "Id=rpd@demo.service\\nActiveState=active\\nResult=success\\n"
                        "KillMode=mixed\\n\\nId=rpd@demo.socket\\nActiveState=failed\\n"
                        "Result=trigger-limit-hit\\n");
}

static void leave_processes(struct scene *scene)
{
    say_of_units(scene, "Id=rpd@demo.service\\nActiveState=active\\nResult=success\\n"
                        "KillMode=process\\n");
}

/* ---- the table --------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*plant)(struct scene *scene);
    const char *finding; /* the beginning of its line, but for the subject; then a part of it */
    const char *part;
    bool needs_root, has_more; /* more findings follow from it */
} faults[] = {
    {"a call is denied", deny_pidfd, "WARN  machine: kernel: pidfd_open", "; ", false, false},
    {"another is", deny_inotify, "WARN  machine: kernel: inotify_init1", "; ", false, false},
    {"the one for locks is", deny_locks, "FAIL  machine: kernel: fcntl(F_OFD_SETLK)", "; ", false,
     true},
    {"no /proc", hide_proc, "FAIL  machine: proc: ", "mount", true, false},
    {"few descriptors", limit_descriptors, "WARN  machine: descriptors: ", "ulimit", false, false},
    {"a directory of all", open_directory, "FAIL  directory: rights: ", "chmod", false, false},
    {"a file as directory", put_file_there, "FAIL  directory: rights: ", "directory", false, false},
    {"a full disk", fill_disk, "FAIL  ", "/full: space: ", true, false},
    {"a read-only disk", mount_read_only, "FAIL  ", "/fixed: space: ", true, false},
    {"a long path", make_it_long, "WARN  ", "000: path: ", false, false},
    {"private files", leave_private_file, "WARN  ", ": leftovers: 1 private", false, false},
    {"kill -9", kill_it, "WARN  demo: leftovers: ", "rpdctl forget", false, false},
    {"a failed end", fail_once, "WARN  fake: end: ", "ended with 70", false, false},
    {"a crash loop", fail_often, "FAIL  fake: crash loop: 5 starts", "it failed", false, false},
    {"a clock set back", set_clock_back, "WARN  fake: clock: ", "set back", false, false},
    {"a stopped process", stop_process, "FAIL  fake: loop: ", "kill -CONT", false, false},
    {"a loop that stands still", stand_still, "FAIL  fake: loop: ", "has not turned for ", false,
     false},
    {"another namespace", be_elsewhere, "WARN  fake: namespace: ", "another pid namespace", false,
     false},
    {"no socket", lose_endpoint, "FAIL  fake: endpoint: unix:", "gone.sock", false, false},
    {"no record", lose_record, "WARN  fake: record: ", "; ", false, false},
    {"no state page", lose_page, "WARN  fake: state page: ", "; ", false, false},
    {"no metrics", lose_metrics, "WARN  fake: metrics: ", "; ", false, false},
    {"degraded", degrade, "WARN  fake: degraded: ", "rpdctl log", false, false},
    {"a part that failed", pause_part, "WARN  fake: load: part index has failed 3", "", false,
     false},
    {"a part that stands still", stall_part, "WARN  fake: load: part index makes no", "", false,
     false},
    {"errors", have_errors, "WARN  fake: errors: 2 ", "the disk is gone", false, false},
    {"slow callbacks", be_slow, "WARN  fake: slow callbacks: 3 ", "250 ms: on_data: sort", false,
     false},
    {"accept pauses", pause_accepting, "WARN  fake: accept pauses: ", "7 times", false, false},
    {"refused jobs", refuse_jobs, "WARN  fake: jobs: 7 ", "; ", false, false},
    {"a crashed runner", crash_runner, "WARN  fake: restarts: ", "2 times, the last time with 139",
     false, false},
    {"no runner", be_without_runner, "FAIL  fake: runner: ", "; ", false, false},
    {"an old version", be_old, "WARN  fake: build: it runs rpd 0.0.1", "rpdctl restart", false,
     false},
    {"a process that is full", use_descriptors, "WARN  demo: descriptors: ", " of 12 ", false,
     false},
    {"a replaced rpd", replace_binary, "WARN  demo: build: ", "replaced", false, false},
    {"old snapshots", save_too_seldom, "WARN  fake: snapshot: 5 changes", "8 h old", false, false},
    {"a changed plugin", change_plugin, "WARN  demo: plugin: ", "rpdctl restart", false, false},
    {"a removed plugin", remove_plugin, "WARN  demo: plugin: ", "kv.so", false, false},
    {"a plugin of all", open_plugin, "FAIL  demo: plugin: ", "chmod", false, false},
    {"a changed configuration", change_config, "WARN  demo: configuration: ", "rpdctl restart",
     false, false},
    {"a spoilt configuration", spoil_config, "FAIL  demo: configuration: config: ", "demo.json:1",
     false, false},
    {"a removed configuration", remove_config, "WARN  demo: configuration: ", "demo.json", false,
     false},
    {"a misspelt key", misspell, "FAIL  ", "configuration: config: ", false, false},
    {"broken JSON", break_json, "FAIL  ", "configuration: config: ", false, false},
    {"a configuration of all", open_config, "FAIL  ", "chmod", false, true},
    {"a missing plugin", miss_plugin, "FAIL  ", "missing.so", false, false},
    {"a plugin that is none", misname_plugin, "FAIL  ", "configuration: ", false, false},
    {"an old ABI", use_old_abi, "FAIL  ", "ABI", false, false},
    {"an option's value", misuse_option, "FAIL  ", "maxmemory", false, false},
    {"a missing directory", miss_directory, "FAIL  next: endpoint: ", "missing", false, false},
    {"a file at the path", occupy_path, "FAIL  next: endpoint: ", "no socket", false, false},
    {"another listener", listen_there, "FAIL  next: endpoint: ", "another program", false, false},
    {"a taken port", take_port, "FAIL  next: endpoint: tcp:", "another program", false, false},
    {"a backlog", queue_too_many, "WARN  next: backlog: ", "somaxconn", false, false},
    {"many clients", take_too_many, "WARN  next: limits: ", "5000", false, false},
    {"a log that cannot be", log_nowhere, "FAIL  ", "log: ", false, false},
    {"another configuration", run_elsewhere, "WARN  demo: origin: ", "75", false, false},
    {"a failed unit", fail_unit, "FAIL  rpd@demo.socket: unit: ", "trigger-limit-hit", false,
     false},
    {"KillMode=", leave_processes, "WARN  rpd@demo.service: unit: ", "KillMode=process", false,
     false},
    {"no lingering", let_it_go_at_logout, "WARN  /run/user/65534/rpd: linger: ", "enable-linger",
     true, false},
};

enum { FAULTS = sizeof faults / sizeof *faults };

_Static_assert(FAULTS >= 25, "as many as were promised");

static struct outcome doctor(const struct scene *scene)
{
    const char *argv[24];
    size_t count = 0;

    for (size_t i = 0; scene->before && scene->before[i]; i++)
        argv[count++] = scene->before[i];
    argv[count++] = build_path("rpdctl");
    argv[count++] = "doctor";
    if (scene->argument)
        argv[count++] = scene->argument;
    argv[count] = NULL;
    return outcome_of(process_start(&(struct process_options){
        .argv = argv, .runtime_dir = scene->run, .env = scene->variables}));
}

static size_t findings_in(const char *text)
{
    return lines_with(text, "WARN  ") + lines_with(text, "FAIL  ");
}

static const char *line_of(const char *text, const char *beginning)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
        if (strncmp(line, beginning, strlen(beginning)) == 0)
            return textf("%.*s", (int)strcspn(line, "\n"), line);
    return "";
}

ParameterizedTestParameters(doctor, finds)
{
    static size_t at[FAULTS];

    for (size_t i = 0; i < FAULTS; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, FAULTS);
}

ParameterizedTest(size_t *at, doctor, finds)
{
    struct scene scene = begin();
    const bool fails = strncmp(faults[*at].finding, "FAIL", 4) == 0;

    if (faults[*at].needs_root && !can_run(ARGS(MOUNT_NAMESPACE, "true")))
        cr_skip_test("no namespace can be made here");
    if (faults[*at].plant == replace_binary && !is_sanitized()) {
        scene.binary = textf("%s/rpd", scene.dir);
        copy_as(build_path("rpd"), scene.binary, 0755);
    } else if (faults[*at].plant == replace_binary) {
        cr_skip_test("a sanitized daemon cannot be copied");
    }
    start_demo_of(&scene);
    const struct outcome sound = doctor(&scene);
    cr_assert_eq(findings_in(sound.out), 0, "it is sound:\n%s", sound.out);
    assert_code(sound, 0);
    faults[*at].plant(&scene);
    const struct outcome found = doctor(&scene);
    const char *line = line_of(found.out, faults[*at].finding);
    cr_expect(strstr(line, faults[*at].part) && *line, "%s: no \"%s\" with \"%s\" in:\n%s%s",
              faults[*at].name, faults[*at].finding, faults[*at].part, found.out, found.err);
    cr_expect(faults[*at].has_more || findings_in(found.out) == 1, "%s: not this alone:\n%s",
              faults[*at].name, found.out);
    cr_expect_eq(found.code, fails ? 1 : 0, "%s: %d\n%s", faults[*at].name, found.code, found.out);
    const char *end_of_it = strstr(found.out, fails ? "\nfaults: " : "\nwarnings: ");
    cr_expect(end_of_it && strchr(end_of_it + 1, '\n')[1] == '\0', "the verdict is last:\n%s",
              found.out);
    end(&scene);
}

/* ---- the rest -----------------------------------------------------------------------------------
 */

Test(doctor, is_silent_where_nothing_runs)
{
    const char *dir = temp_dir_make();
    const struct outcome outcome = RPDCTL_ON(textf("%s/none", dir), "doctor");

    assert_code(outcome, 0);
    cr_expect_eq(findings_in(outcome.out), 0, "%s", outcome.out);
    assert_has(outcome.out, "\nsound: ");
    cr_expect_neq(access(textf("%s/none", dir), F_OK), 0, "it makes nothing");
    temp_dir_remove(dir);
}

Test(doctor, is_silent_of_a_sound_configuration_that_runs_and_that_does_not)
{
    struct scene scene = begin();

    scene.argument = scene.config;
    for (int i = 0; i < 2; i++) {
        const struct outcome outcome = doctor(&scene);
        assert_code(outcome, 0);
        cr_expect_eq(findings_in(outcome.out), 0, "%s", outcome.out);
        if (i == 0)
            start_demo_of(&scene);
    }
    end(&scene);
}

Test(doctor, is_silent_of_a_sound_service_with_a_keeper)
{
    struct scene scene = begin();

    write_text(scene.config, config_with(&scene, "\"keeper\":true,", ""));
    start_demo_of(&scene);
    const int64_t until = now_ns() + INT64_C(60000000000);
    struct outcome outcome;
    do { /* (Its page says who runs a moment after its log.) */
        outcome = doctor(&scene);
        cr_assert_lt(now_ns(), until, "%s", outcome.out);
    } while (findings_in(outcome.out) > 0);
    assert_code(outcome, 0);
    end(&scene);
}

Test(doctor, as_json)
{
    struct scene scene = begin();

    start_demo_of(&scene);
    have_errors(&scene);
    const struct outcome outcome = RPDCTL_ON(scene.run, "doctor", "fake", "--json");
    assert_code(outcome, 0);
    assert_has(outcome.out, "\"verdict\": \"warnings\"");
    assert_has(outcome.out, "\"outcome\": \"warn\"");
    assert_has(outcome.out, "\"check\": \"errors\"");
    assert_has(outcome.out, "\"remedy\": \"see rpdctl log\"");
    assert_has(outcome.out, "\"remedy\": null");
    end(&scene);
}

Test(doctor, of_a_bad_command_line)
{
    assert_code(RPDCTL("doctor", "NO"), 64);
    assert_code(RPDCTL("doctor", "one", "two"), 64);
    assert_code(RPDCTL("doctor", "--loud"), 64);
    assert_code(RPDCTL("doctor", "/nonexistent/rpd.json"), 1);
}
