/* rpdctl in tests, and services by hand. See rpdctl_run.h. */
#include "rpdctl_run.h"

struct outcome outcome_of(struct process *process)
{
    struct outcome outcome;

    for (int i = 0; i < 5 && process_wait_exit(process) == -1; i++)
        continue;
    outcome.code = process_code(process_wait_exit(process));
    outcome.out = textf("%s", process_stdout(process));
    outcome.err = textf("%s", process_stderr(process));
    process_free(process);
    return outcome;
}

struct outcome run_in(const char *directory, const char *const *argv, const char *const *env)
{
    return outcome_of(
        process_start(&(struct process_options){.argv = argv, .env = env, .directory = directory}));
}

unsigned long long start_time_of(pid_t pid)
{
    struct proc_stat stat;

    cr_assert_eq(proc_read_stat(textf("%d", (int)pid), &stat), 0, "process %d", (int)pid);
    return stat.start_time;
}

int hold_lock(const char *run, const char *service)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(textf("%s/%s.lock", run, service), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &whole), 0, "%s", strerror(errno));
    return fd;
}

struct rpd_state_page page_for(pid_t pid, enum rpd_phase phase)
{
    struct rpd_state_page page = {
        .layout = RPD_STATE_LAYOUT,
        .size = RPD_STATE_SIZE,
        .pid = (uint32_t)pid,
        .phase = phase,
        .start_time = start_time_of(pid),
        .turned_us = (uint64_t)now_ns() / 1000u,
        .load_eta_ms = RPD_STATE_UNKNOWN,
    };
    char boot_id[BOOT_ID_SIZE];

    memcpy(page.magic, RPD_STATE_MAGIC, sizeof page.magic);
    proc_boot_id(boot_id);
    proc_parse_boot_id(boot_id, page.boot_id);
    return page;
}

void put_file(const char *run, const char *name, const void *data, size_t size)
{
    const char *private = textf("%s/.%s.tmp", run, name);

    file_write(private, data, size);
    cr_assert_eq(rename(private, textf("%s/%s", run, name)), 0);
}

void put_page(const char *run, const char *service, const struct rpd_state_page *page)
{
    put_file(run, textf("%s.state", service), page, sizeof *page);
}

void put_record(const char *run, const char *service, pid_t pid, const char *more)
{
    const char *text = textf(
        "{\"version\":1,\"service\":\"%s\",\"pid\":%d,\"start_time\":%llu%s}\n", service, (int)pid,
        start_time_of(pid), more);

    put_file(run, textf("%s.json", service), text, strlen(text));
}

void put_history(const char *run, const char *service, pid_t pid, unsigned long long start_time,
                 int code, const char *text)
{
    write_text(textf("%s/%s.history", run, service),
               textf("1700000000000 %d %llu bound 0 -\n1700000001000 %d %llu ended %d %s\n",
                     (int)pid, start_time, (int)pid, start_time, code, text));
}

const char *make_run(const char *dir)
{
    const char *run = textf("%s/run", dir);

    cr_assert_eq(mkdir(run, 0700), 0);
    return run;
}

struct process *start_demo(struct process *rpd)
{
    assert_bound(rpd);
    return rpd;
}

void await_draining(const char *run, const char *service)
{
    const int dirfd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    struct rpd_state_page page;
    enum state_verdict verdict;

    do {
        state_view_look(dirfd, service, &page, &verdict);
        poll(NULL, 0, 1);
    } while (page.phase < RPD_PHASE_DRAINING && now_ns() < deadline);
    cr_assert_eq(page.phase, RPD_PHASE_DRAINING, "phase %u", page.phase);
    close(dirfd);
}

void assert_waits(struct process *rpdctl)
{
    const char *pid = textf("%d", (int)process_pid(rpdctl));
    struct proc_stat stat = {0};

    for (int i = 0; i < 20000 && process_alive(rpdctl); i++) {
        for (int fd = 3; fd < 8; fd++) {
            const char *info = file_read(textf("/proc/%s/fdinfo/%d", pid, fd));
            if (info && strstr(info, "inotify wd:") && proc_read_stat(pid, &stat) == 0 &&
                stat.state == 'S')
                return;
        }
        poll(NULL, 0, 1);
    }
    process_wait_exit(rpdctl);
    cr_assert_fail("it does not wait: %s%s", process_stdout(rpdctl), process_stderr(rpdctl));
}
