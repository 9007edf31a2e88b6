/* Every way to end, in one table: the action, and the code, the step, the object and the advice
 * that must follow. Each row also asserts that exactly one line reports it, and that only lock
 * files are left behind. */
#include "common.h"

#include <criterion/parameterized.h>

#include <netinet/in.h>

/* In arguments, environment, config and texts:
 *     $D   the test's own directory        $R   the run-time directory, $D/run
 *     $T   the test plugins                $B   the build tree
 *     $X   what the row's prepare() made */
struct row {
    const char *name;
    int code;
    const char *args;                        /* separated by spaces */
    const char *config;                      /* goes to $D/c.json, with -c */
    const char *env;                         /* separated by spaces */
    const char *(*prepare)(const char *dir); /* $X */
    const char *line;   /* the one line begins with "rpd: " and this step and object */
    const char *cause;  /* and contains this */
    const char *advice; /* and this */
    const char *until;  /* a line on stderr, after which the daemon gets SIGTERM */
    const char *say;    /* after bound: a client sends this */
};

/* ---- preparations ---- */

static const char *run_dir(const char *dir)
{
    return textf("%s/run", dir);
}

static const char *plugin_of_mode(const char *dir, mode_t mode)
{
    const char *path = textf("%s/p.so", dir);

    copy_file(build_path("plugins/echo.so"), path, mode);
    return path;
}

static const char *plugin_world_writable(const char *dir)
{
    return plugin_of_mode(dir, 0757);
}

static const char *plugin_group_writable(const char *dir)
{
    return plugin_of_mode(dir, 0775);
}

static const char *plugin_of_a_stranger(const char *dir)
{
    const char *path = plugin_of_mode(dir, 0755);

    if (chown(path, 65534, 65534) != 0)
        test_die("chown: %s", strerror(errno));
    return path;
}

static const char *directory_of_mode(const char *dir, mode_t mode, uid_t owner)
{
    const char *path = textf("%s/sub", dir);

    if (mkdir(path, 0700) != 0 || chmod(path, mode) != 0 || chown(path, owner, 0) != 0)
        test_die("mkdir %s: %s", path, strerror(errno));
    return path;
}

static const char *plugin_in_open_directory(const char *dir)
{
    const char *sub = directory_of_mode(dir, 0777, 0);

    copy_file(build_path("plugins/echo.so"), textf("%s/p.so", sub), 0755);
    return textf("%s/p.so", sub);
}

static const char *plugin_in_directory_of_a_stranger(const char *dir)
{
    const char *sub = directory_of_mode(dir, 0755, 65534);

    copy_file(build_path("plugins/echo.so"), textf("%s/p.so", sub), 0755);
    return textf("%s/p.so", sub);
}

static const char *open_directory(const char *dir)
{
    return directory_of_mode(dir, 0777, 0);
}

static const char *directory_of_a_stranger(const char *dir)
{
    return directory_of_mode(dir, 0755, 65534);
}

static const char *run_dir_open(const char *dir)
{
    chmod(run_dir(dir), 0777);
    return "";
}

static const char *run_dir_of_a_stranger(const char *dir)
{
    if (chown(run_dir(dir), 65534, 65534) != 0)
        test_die("chown: %s", strerror(errno));
    return "";
}

static const char *run_dir_is_a_file(const char *dir)
{
    rmdir(run_dir(dir));
    write_text(run_dir(dir), "");
    return "";
}

static const char *run_dir_has_no_parent(const char *dir)
{
    rmdir(run_dir(dir));
    (void)!symlink(textf("%s/none/none", dir), run_dir(dir));
    return "";
}

static const char *record_is_a_directory(const char *dir)
{
    mkdir(textf("%s/run/echo.json", dir), 0700);
    mkdir(textf("%s/run/echo.json/full", dir), 0700);
    return "";
}

static const char *state_page_is_a_directory(const char *dir)
{
    mkdir(textf("%s/run/echo.state", dir), 0700);
    return "";
}

static const char *control_socket_is_a_directory(const char *dir)
{
    mkdir(textf("%s/run/echo.control", dir), 0700);
    return "";
}

static const char *lock_is_a_directory(const char *dir)
{
    mkdir(textf("%s/.x.sock.lock", dir), 0700);
    return "";
}

static const char *lock_is_a_link(const char *dir)
{
    (void)!symlink("elsewhere", textf("%s/.x.sock.lock", dir));
    return "";
}

static const char *lock_has_two_names(const char *dir)
{
    write_text(textf("%s/.x.sock.lock", dir), "");
    (void)!link(textf("%s/.x.sock.lock", dir), textf("%s/other", dir));
    return "";
}

static const char *empty_plugin(const char *dir)
{
    write_text(textf("%s/p.so", dir), "");
    chmod(textf("%s/p.so", dir), 0755);
    return textf("%s/p.so", dir);
}

static const char *text_plugin(const char *dir)
{
    write_text(textf("%s/p.so", dir), "#!/bin/sh\nexit 0\n");
    chmod(textf("%s/p.so", dir), 0755);
    return textf("%s/p.so", dir);
}

static const char *cut_plugin(const char *dir)
{
    const char *path = plugin_of_mode(dir, 0755);

    if (truncate(path, 100) != 0)
        test_die("truncate: %s", strerror(errno));
    return path;
}

/* A good plugin with one changed byte in its ELF header. */
static const char *patched_plugin(const char *dir, off_t at, char value)
{
    const char *path = plugin_of_mode(dir, 0755);
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    if (pwrite(fd, &value, 1, at) != 1)
        test_die("pwrite: %s", strerror(errno));
    close(fd);
    return path;
}

static const char *plugin_of_32_bit(const char *dir)
{
    return patched_plugin(dir, 4, 1);
}

static const char *plugin_of_another_machine(const char *dir)
{
    return patched_plugin(dir, 18, (char)0xb7);
}

static const char *config_of_mode(const char *dir, mode_t mode, uid_t owner)
{
    const char *path = textf("%s/own.json", dir);

    write_text(path, "{\"services\":[{\"plugin\":\"echo.so\"}]}");
    if (chmod(path, mode) != 0 || chown(path, owner, 0) != 0)
        test_die("chmod %s: %s", path, strerror(errno));
    return path;
}

static const char *config_group_writable(const char *dir)
{
    return config_of_mode(dir, 0660, 0);
}

static const char *config_world_writable(const char *dir)
{
    return config_of_mode(dir, 0646, 0);
}

static const char *config_of_a_stranger(const char *dir)
{
    return config_of_mode(dir, 0644, 65534);
}

static const char *config_is_a_fifo(const char *dir)
{
    const char *path = textf("%s/own.json", dir);

    mkfifo(path, 0600);
    return path;
}

static const char *broken_jansson(const char *dir)
{
    write_text(textf("%s/libjansson.so.4", dir), "not a library");
    return "";
}

static const char *file_at_the_socket(const char *dir)
{
    write_text(textf("%s/x.sock", dir), "precious");
    return "";
}

static const char *link_at_the_socket(const char *dir)
{
    (void)!symlink("elsewhere", textf("%s/x.sock", dir));
    return "";
}

static const char *directory_at_the_socket(const char *dir)
{
    mkdir(textf("%s/x.sock", dir), 0700);
    return "";
}

static const char *rpd_set_uid(const char *dir)
{
    const char *path = textf("%s/rpd", dir);

    /* A set-uid program ignores $ORIGIN, so it is linked again. */
    struct process *compiler = process_start(&(struct process_options){
        .argv = ARGS(TEST_CC, "-I", RPD_SOURCE_DIR "/include",
                     RPD_SOURCE_DIR "/framework/daemon/main.c", build_path("librpd.so"),
                     textf("-Wl,-rpath,%s", build_path(".")), "-o", path)});
    if (process_code(process_wait_exit(compiler)) != 0)
        test_die("%s: %s", TEST_CC, process_stderr(compiler));
    if (chown(path, 65534, 65534) != 0 || chmod(path, 04755) != 0 || chmod(dir, 0755) != 0)
        test_die("chown: %s", strerror(errno));
    return path;
}

static const char *stranger_listens(const char *dir)
{
    if (listen_at(textf("%s/x.sock", dir), SOCK_STREAM, 8) < 0)
        test_die("listen: %s", strerror(errno));
    return "";
}

static const char *datagram_stranger_listens(const char *dir)
{
    if (listen_at(textf("%s/x.sock", dir), SOCK_DGRAM, -1) < 0)
        test_die("bind: %s", strerror(errno));
    return "";
}

static const char *stranger_listens_on_abstract(const char *dir)
{
    const char *name = textf("@rpd-test-%d", getpid());

    (void)dir;
    if (listen_at(name, SOCK_STREAM, 8) < 0)
        test_die("listen: %s", strerror(errno));
    return name;
}

static const char *stranger_listens_on_tcp(const char *dir)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)dir;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        test_die("listen: %s", strerror(errno));
    return textf("tcp:127.0.0.1:%d", ntohs(address.sin_port));
}

/* The pid of the holder is $X: the line must name it. */
static const char *holder(const char *dir, const char *runtime_dir, const char *name)
{
    struct process *p = RPD_START(runtime_dir, build_path("plugins/echo.so"), "-l",
                                  textf("unix:%s/x.sock", dir), "-n", name);

    if (process_wait_bound(p) != 0)
        test_die("the holder: %s", process_stderr(p));
    return textf("pid %d", (int)process_pid(p));
}

static const char *holder_of_the_name(const char *dir)
{
    return holder(dir, run_dir(dir), "echo");
}

static const char *holder_of_the_path(const char *dir)
{
    mkdir(textf("%s/run2", dir), 0700);
    return holder(dir, textf("%s/run2", dir), "other");
}

static const char *holder_of_the_path_stopped(const char *dir)
{
    mkdir(textf("%s/run2", dir), 0700);
    const char *pid = holder(dir, textf("%s/run2", dir), "other");

    kill(atoi(pid + 4), SIGSTOP);
    return pid;
}

/* ---- the table ---- */

#define ECHO "echo.so -l unix:$D/x.sock"
#define OWN "$T/own_bind.so -l unix:$D/x.sock"
#define MISBEHAVE "$T/misbehave.so -l unix:$D/x.sock"

static const struct row rows[] = {
    {"stopped by SIGTERM", 0, ECHO, .until = ": bound "},
    {"stopped once ready", 0, ECHO, .until = ": ready "},
    {"help", 0, "--help", .line = NULL},
    {"version", 0, "--version", .line = NULL},
    {"schema", 0, "--print-schema", .line = NULL},
    {"a check", 0, ECHO " -t", .line = NULL},
    {"the configuration printed", 0, ECHO " --print-config", .line = NULL},
    {"stopped while loading", 0, MISBEHAVE " -o load=forever", .until = "test: loads"},

    {"no plugin", 64, "", .line = "command line: rpd: ", .advice = "see rpd --help"},
    {"unknown option", 64, "--bogus", .line = "command line: --bogus: ", .advice = "--help"},
    {"nearest option", 64, "--notify-df 3",
     .line = "command line: --notify-df: ", .advice = "did you mean --notify-fd?"},
    {"unknown letter", 64, "-z", .line = "command line: -z: ", .advice = "--help"},
    {"no value", 64, "echo.so -l", .line = "command line: -l: ", .advice = "--help"},
    {"two plugins", 64, "echo.so hello.so",
     .line = "command line: hello.so: ", .advice = "needs a configuration"},
    {"-l alone", 64, "-l tcp:127.0.0.1:0", .line = "command line: -l: ", .advice = "--help"},
    {"no number", 64, "echo.so --notify-fd x",
     .line = "command line: --notify-fd: ", .advice = "--help"},
    {"a closed descriptor", 64, "echo.so --notify-fd 99",
     .line = "command line: --notify-fd: ", .cause = "99", .advice = ";"},
    {"two modes", 64, "echo.so -t --print-config", .line = "command line: ", .advice = "--help"},
    {"two configurations", 64, "-c a -c b", .line = "command line: -c: ", .advice = "--help"},
    {"a bad name after -n", 64, "echo.so -n Echo",
     .line = "command line: -n Echo: ", .advice = "1 to 63 of a-z"},
    {"an option without =", 64, "echo.so -o greeting", .line = "command line: ", .advice = ";"},

    {"empty plugin", 65, "$X", .prepare = empty_plugin, .line = "inspect: $X: ", .advice = ";"},
    {"a text", 65, "$X", .prepare = text_plugin, .line = "inspect: $X: ", .advice = ";"},
    {"cut off", 65, "$X", .prepare = cut_plugin, .line = "inspect: $X: ", .advice = ";"},
    {"32 bit", 65, "$X", .prepare = plugin_of_32_bit, .line = "inspect: $X: ", .cause = "32",
     .advice = ";"},
    {"another machine", 65, "$X", .prepare = plugin_of_another_machine,
     .line = "inspect: $X: ", .cause = "machine", .advice = ";"},
    {"a directory", 65, "$T", .line = "inspect: $T: ", .cause = "not a regular file",
     .advice = ";"},
    {"an executable", 65, "$B/rpd", .line = "inspect: $B/rpd: ", .advice = "-shared"},
    {"no note", 65, "$T/no_note.so", .line = "inspect: $T/no_note.so: ", .advice = "RPD_BACKEND()"},
    {"older ABI", 65, "$T/abi_old.so",
     .line = "inspect: $T/abi_old.so: ", .cause = "want ABI 1, got ABI 0", .advice = "rebuild"},
    {"newer ABI", 65, "$T/abi_new.so",
     .line = "inspect: $T/abi_new.so: ", .cause = "want ABI 1, got ABI 2", .advice = "rebuild"},
    {"short descriptor", 65, "$T/descriptor_short.so",
     .line = "code: $T/descriptor_short.so: ", .cause = "ABI 1 and 16 bytes", .advice = "rebuild"},
    {"no descriptor", 65, "$T/no_descriptor.so",
     .line = "code: $T/no_descriptor.so: ", .cause = "rpd_backend_v1", .advice = "stripped?"},
    {"no on_data", 65, "$T/no_on_data.so", .line = "code: $T/no_on_data.so: ",
     .cause = "neither on_data nor serve", .advice = "give it one"},
    {"undefined symbol", 65, "$T/undefined_symbol.so", .line = "code: $T/undefined_symbol.so: ",
     .cause = "rpd_test_function_that_nobody_has", .advice = ";"},
    {"a bind promised", 65, "$T/bind_without_bind.so",
     .line = "code: $T/bind_without_bind.so: ", .advice = "RPD_BACKEND_BIND()"},

    {"no such plugin", 66, "nosuch.so", .line = "inspect: nosuch.so: ", .advice = "./nosuch.so"},
    {"no such path", 66, "$D/nosuch.so", .line = "inspect: $D/nosuch.so: ", .advice = ";"},
    {"no such configuration", 66, "-c $D/nosuch.json",
     .line = "config: $D/nosuch.json: ", .advice = ";"},
    {"no plugin of a configuration", 66, "",
     .config = "{\"services\":[{\"plugin\":\"./nosuch.so\"}]}",
     .line = "inspect: ./nosuch.so: ", .advice = ";"},

    {"load fails", 69, MISBEHAVE " -o load=fail",
     .line = "load: misbehave: ", .cause = "the test wants it", .advice = "do not ask for it"},
    {"load gives no reason", 69, MISBEHAVE " -o load=null",
     .line = "load: misbehave: ", .cause = "no reason", .advice = ";"},
    {"a part fails", 69, "$T/parts.so -l unix:$D/x.sock -o failing=7",
     .line = "load: parts: ", .cause = "part-7: part 7 is broken", .advice = "fix it"},

    {"the constructor exits", 70, MISBEHAVE, .env = "TEST_CONSTRUCTOR=exit",
     .line = "exit: plugin misbehave.so ", .cause = "step code", .advice = "return an error"},
    {"bind exits", 70, OWN, .env = "TEST_BIND=exit", .line = "exit: plugin own_bind.so ",
     .cause = "step bind", .advice = "return an error"},
    {"serve exits", 70, MISBEHAVE " -o serve=exit", .line = "exit: plugin misbehave.so ",
     .cause = "thread loop", .advice = "return an error"},
    {"a worker exits", 70, MISBEHAVE " -o load=exit", .line = "exit: plugin misbehave.so ",
     .cause = "thread worker", .advice = "return an error"},
    {"on_data exits", 70, MISBEHAVE, .say = "exit\n", .line = "exit: plugin misbehave.so ",
     .cause = "service misbehave", .advice = "return an error"},
    {"an option that is not there", 70, MISBEHAVE " -o unknown_option=true",
     .line = "option: $T/misbehave.so: ", .cause = "\"bogus\"", .advice = "add it there"},
    {"a stop that hangs", 70, "",
     .config = "{\"drain_s\":0,\"services\":[{\"plugin\":\"$T/misbehave.so\","
               "\"listen\":[\"unix:$D/x.sock\"]}]}",
     .say = "hang_job\n", .until = "test: a job hangs", .line = "stop: drain: ", .advice = ";"},
    {"a load that hangs at the stop", 70, "",
     .config = "{\"drain_s\":0,\"services\":[{\"plugin\":\"$T/misbehave.so\","
               "\"listen\":[\"unix:$D/x.sock\"],\"options\":{\"load\":\"hang\"}}]}",
     .until = "test: hangs", .line = "stop: drain: ", .advice = ";"},

    {"bind says I/O", 71, OWN, .env = "TEST_BIND=io",
     .line = "bind: unix:$D/x.sock: ", .cause = "Network is down", .advice = ";"},
    {"bind says other", 71, OWN, .env = "TEST_BIND=other",
     .line = "bind: unix:$D/x.sock: ", .cause = "a reason of its own", .advice = ""},
    {"no such directory", 71, "echo.so -l unix:$D/none/x.sock",
     .line = "claim: $D/none: ", .cause = "No such file", .advice = "make it first"},
    {"no such address", 71, "echo.so -l tcp:192.0.2.1:0",
     .line = "bind: tcp:192.0.2.1:0: ", .advice = "no such address"},
    {"no jansson for the record", 71, ECHO, .env = "LD_LIBRARY_PATH=$D", .prepare = broken_jansson,
     .line = "code: libjansson.so.4: ", .cause = "cannot load it", .advice = "install jansson"},
    {"no jansson for the file", 71, "", .config = "{\"services\":[{\"plugin\":\"echo.so\"}]}",
     .env = "LD_LIBRARY_PATH=$D", .prepare = broken_jansson,
     .line = "code: libjansson.so.4: ", .cause = "cannot load it", .advice = "install jansson"},
    {"serve fails", 71, MISBEHAVE " -o serve=fail",
     .line = "serve: misbehave: ", .cause = "the test wants it", .advice = "do not ask for it"},
    {"serve fails silently", 71, MISBEHAVE " -o serve=fail_silently",
     .line = "serve: misbehave: ", .cause = "unix:$D/x.sock", .advice = ";"},

    {"the run-time directory is a file", 73, ECHO, .prepare = run_dir_is_a_file,
     .line = "claim: $R: ", .advice = "RPD_RUNTIME_DIR"},
    {"the run-time directory has no parent", 73, ECHO, .prepare = run_dir_has_no_parent,
     .line = "claim: $R: ", .advice = "RPD_RUNTIME_DIR"},
    {"the record is a directory", 73, ECHO, .prepare = record_is_a_directory,
     .line = "publish: $R/echo.json: ", .advice = "RPD_RUNTIME_DIR"},
    {"the state page is a directory", 73, ECHO, .prepare = state_page_is_a_directory,
     .line = "publish: $R/echo.state: ", .advice = "RPD_RUNTIME_DIR"},
    {"the control socket is a directory", 73, ECHO, .prepare = control_socket_is_a_directory,
     .line = "control: $R/echo.control: ", .advice = "RPD_RUNTIME_DIR"},
    {"the lock is a directory", 73, ECHO, .prepare = lock_is_a_directory,
     .line = "claim: $D/.x.sock.lock: ", .advice = ";"},

    {"the name is taken", 75, "echo.so -l unix:$D/y.sock", .prepare = holder_of_the_name,
     .line = "claim: service echo: ", .cause = "$X (service echo), since ",
     .advice = "use that one"},
    {"the path is taken", 75, ECHO, .prepare = holder_of_the_path,
     .line = "claim: unix:$D/x.sock: ", .cause = "$X (service other), since ",
     .advice = "use that one"},
    {"the path is taken by a stopped one", 75, ECHO, .prepare = holder_of_the_path_stopped,
     .line = "claim: unix:$D/x.sock: ", .cause = "$X (service other", .advice = "use that one"},
    {"a stranger listens", 75, ECHO, .prepare = stranger_listens,
     .line = "bind: unix:$D/x.sock: ", .cause = "alive", .advice = "use another"},
    {"a stranger's datagrams", 75, ECHO, .prepare = datagram_stranger_listens,
     .line = "bind: unix:$D/x.sock: ", .cause = "alive", .advice = "use another"},
    {"a stranger on TCP", 75, "echo.so -l $X", .prepare = stranger_listens_on_tcp,
     .line = "bind: $X: ", .cause = "already bound", .advice = "use another"},
    {"a stranger on an abstract name", 75, "echo.so -l unix:$X",
     .prepare = stranger_listens_on_abstract, .line = "bind: unix:$X: ", .advice = "use another"},
    {"bind says in use", 75, OWN, .env = "TEST_BIND=in_use",
     .line = "bind: unix:$D/x.sock: ", .cause = "already bound", .advice = "use another"},
    {"bind says EADDRINUSE", 75, OWN, .env = "TEST_BIND=io_in_use",
     .line = "bind: unix:$D/x.sock: ", .advice = "use another"},

    {"the constructor hangs", 76, "",
     .config = "{\"code_deadline_ms\":50,\"services\":[{\"plugin\":\"$T/misbehave.so\","
               "\"listen\":[\"unix:$D/x.sock\"]}]}",
     .env = "TEST_CONSTRUCTOR=hang", .line = "code: $T/misbehave.so: ", .cause = "code_deadline_ms",
     .advice = "must not wait"},
    {"bind hangs", 76, "",
     .config = "{\"endpoint_deadline_ms\":50,\"services\":[{\"plugin\":\"$T/own_bind.so\","
               "\"listen\":[\"unix:$D/x.sock\"]}]}",
     .env = "TEST_BIND=hang", .line = "bind: $T/own_bind.so: ", .cause = "endpoint_deadline_ms",
     .advice = "must not wait"},
    {"the constructor of an own bind hangs", 76, "",
     .config = "{\"endpoint_deadline_ms\":50,\"services\":[{\"plugin\":\"$T/own_bind.so\","
               "\"listen\":[\"tcp:127.0.0.1:0\"]}]}",
     .env = "TEST_BIND=hang", .line = "bind: $T/own_bind.so: ", .advice = "must not wait"},
    {"serve does not attach", 76, MISBEHAVE " -o serve=no_attach",
     .line = "serve: $T/misbehave.so: ", .cause = "unix:$D/x.sock", .advice = "rpd_accept()"},
    {"bind gives a UDP socket", 76, OWN, .env = "TEST_BIND=udp",
     .line = "bind: unix:$D/x.sock: ", .cause = "not a stream socket", .advice = ";"},
    {"bind gives a TCP datagram socket", 76, "$T/own_bind.so -l tcp:127.0.0.1:0",
     .env = "TEST_BIND=udp", .line = "bind: tcp:127.0.0.1:0: ", .cause = "not a stream socket",
     .advice = ";"},
    {"bind does not listen", 76, OWN, .env = "TEST_BIND=not_listening",
     .line = "bind: unix:$D/x.sock: ", .cause = "does not listen", .advice = "listen()"},
    {"bind binds elsewhere", 76, OWN, .env = "TEST_BIND=elsewhere",
     .line = "bind: unix:$D/x.sock: ", .cause = "bound elsewhere, to tcp:127.0.0.1:",
     .advice = ";"},
    {"bind gives no descriptor", 76, OWN, .env = "TEST_BIND=no_descriptor",
     .line = "bind: unix:$D/x.sock: ", .cause = "-1", .advice = ";"},
    {"bind gives a file", 76, OWN, .env = "TEST_BIND=a_file",
     .line = "bind: unix:$D/x.sock: ", .cause = "not a socket", .advice = ";"},
    {"bind gives nothing", 76, OWN, .env = "TEST_BIND=zero",
     .line = "bind: unix:$D/x.sock: ", .cause = "unknown outcome", .advice = "rpd_bound_"},
    {"bind gives garbage", 76, OWN, .env = "TEST_BIND=garbage",
     .line = "bind: unix:$D/x.sock: ", .cause = "unknown outcome", .advice = "rpd_bound_"},

    {"world-writable plugin", 77, "$X", .prepare = plugin_world_writable,
     .line = "inspect: $X: ", .advice = "chmod go-w"},
    {"group-writable plugin", 77, "$X", .prepare = plugin_group_writable,
     .line = "inspect: $X: ", .advice = "chmod go-w"},
    {"a stranger's plugin", 77, "$X", .prepare = plugin_of_a_stranger,
     .line = "inspect: $X: ", .cause = "65534", .advice = "chown"},
    {"plugin in an open directory", 77, "$X", .prepare = plugin_in_open_directory,
     .line = "inspect: $D/sub: ", .advice = "chmod o-w"},
    {"plugin in a stranger's directory", 77, "$X", .prepare = plugin_in_directory_of_a_stranger,
     .line = "inspect: $D/sub: ", .advice = "chown"},
    {"group-writable configuration", 77, "-c $X", .prepare = config_group_writable,
     .line = "config: $X: ", .advice = "chmod"},
    {"world-writable configuration", 77, "-c $X", .prepare = config_world_writable,
     .line = "config: $X: ", .advice = "chmod"},
    {"a stranger's configuration", 77, "-c $X", .prepare = config_of_a_stranger,
     .line = "config: $X: ", .advice = "chown"},
    {"a FIFO as configuration", 77, "-c $X", .prepare = config_is_a_fifo,
     .line = "config: $X: ", .cause = "regular", .advice = ";"},
    {"a file at the path", 77, ECHO, .prepare = file_at_the_socket,
     .line = "bind: unix:$D/x.sock: ", .cause = "not a socket", .advice = "move it"},
    {"a link at the path", 77, ECHO, .prepare = link_at_the_socket,
     .line = "bind: unix:$D/x.sock: ", .cause = "not a socket", .advice = "move it"},
    {"a directory at the path", 77, ECHO, .prepare = directory_at_the_socket,
     .line = "bind: unix:$D/x.sock: ", .cause = "not a socket", .advice = "move it"},
    {"a file at the path of an own bind", 77, OWN, .prepare = file_at_the_socket,
     .line = "bind: unix:$D/x.sock: ", .cause = "not a socket", .advice = "move it"},
    {"open directory of the socket", 77, "echo.so -l unix:$X/x.sock", .prepare = open_directory,
     .line = "claim: $X: ", .advice = "chmod o-w"},
    {"a stranger's directory", 77, "echo.so -l unix:$X/x.sock", .prepare = directory_of_a_stranger,
     .line = "claim: $X: ", .advice = "chown"},
    {"open run-time directory", 77, ECHO, .prepare = run_dir_open,
     .line = "claim: $R: ", .advice = "chmod go-w"},
    {"a stranger's run-time directory", 77, ECHO, .prepare = run_dir_of_a_stranger,
     .line = "claim: $R: ", .advice = "RPD_RUNTIME_DIR"},
    {"the lock is a link", 77, ECHO, .prepare = lock_is_a_link,
     .line = "claim: $D/.x.sock.lock: ", .advice = "remove it"},
    {"the lock has two names", 77, ECHO, .prepare = lock_has_two_names,
     .line = "claim: $D/.x.sock.lock: ", .advice = "remove it"},
    {"set-uid", 77, ECHO, .prepare = rpd_set_uid, .line = "start: rpd: ", .cause = "set-uid",
     .advice = "start it as"},

    {"not JSON", 78, "", .config = "{", .line = "config: $D/c.json:1:", .advice = ""},
    {"unknown key", 78, "",
     .config = "{\"servises\":[{\"plugin\":\"echo.so\"}],\"services\":"
               "[{\"plugin\":\"echo.so\"}]}",
     .line = "config: $D/c.json:1:2: ", .advice = "services"},
    {"duplicate key", 78, "",
     .config = "{\"workers\":1,\"workers\":2,\"services\":[{\"plugin\":\"echo.so\"}]}",
     .line = "config: $D/c.json:1:", .cause = "workers", .advice = ""},
    {"wrong type", 78, "", .config = "{\"workers\":\"4\",\"services\":[{\"plugin\":\"echo.so\"}]}",
     .line = "config: $D/c.json:1:12: ", .cause = "workers", .advice = "integer"},
    {"out of range", 78, "", .config = "{\"workers\":0,\"services\":[{\"plugin\":\"echo.so\"}]}",
     .line = "config: $D/c.json:1:12: ", .cause = "workers", .advice = "from 1 to 256"},
    {"no service", 78, "", .config = "{}",
     .line = "config: $D/c.json:1:1: ", .advice = "name one here"},
    {"two of one name", 78, "",
     .config = "{\"services\":[{\"plugin\":\"echo.so\"},{\"plugin\":\"echo.so\"}]}",
     .line = "config: ", .cause = "\"echo\"", .advice = "of its own"},
    {"two on one path", 78, "",
     .config = "{\"services\":[{\"plugin\":\"echo.so\",\"listen\":[\"unix:$D/x.sock\"]},"
               "{\"name\":\"b\",\"plugin\":\"echo.so\",\"listen\":[\"unix:$D/x.sock\"]}]}",
     .line = "config: $D/c.json:", .cause = "listed twice", .advice = "take one out"},
    {"no such scheme", 78, "echo.so -l udp:1.2.3.4:5", .line = "config: ", .cause = "udp:1.2.3.4:5",
     .advice = "expected unix:/path"},
    {"a host name", 78, "echo.so -l tcp:example.org:80",
     .line = "config: ", .advice = "numeric address"},
    {"no port", 78, "echo.so -l tcp:127.0.0.1",
     .line = "config: ", .advice = "expected tcp:HOST:PORT"},
    {"a port too large", 78, "echo.so -l tcp:127.0.0.1:65536",
     .line = "config: ", .advice = "0 to 65535"},
    {"a long path", 78,
     "echo.so -l unix:$D/"
     "0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789",
     .line = "config: ", .cause = "longer than", .advice = "shorter"},
    {"a long abstract name", 78,
     "echo.so -l unix:@0123456789012345678901234567890123456789012345678901234567890123456789"
     "01234567890123456789012345678901234567",
     .line = "config: ", .cause = "longer than", .advice = ";"},
    {"unknown option of the plugin", 78, MISBEHAVE " -o bogus=1",
     .line = "config: ", .cause = "bogus", .advice = ";"},
    {"nearest option of the plugin", 78, MISBEHAVE " -o nunber=1",
     .line = "config: ", .cause = "nunber", .advice = "number"},
    {"an option out of range", 78, MISBEHAVE " -o number=11", .line = "config: ", .cause = "number",
     .advice = "from 0 to 10"},
    {"a bad name", 78, "", .config = "{\"services\":[{\"plugin\":\"echo.so\",\"name\":\"Echo\"}]}",
     .line = "config: $D/c.json:1:", .cause = "Echo", .advice = "1 to 63 of a-z"},
    {"bind says invalid", 78, OWN, .env = "TEST_BIND=invalid", .line = "bind: unix:$D/x.sock: ",
     .cause = "the test does not like it", .advice = "correct \"listen\""},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- running a row ---- */

static const char *expand(const char *text, const char *dir, const char *made)
{
    const char *result = "";

    while (text && *text) {
        const size_t plain = strcspn(text, "$");
        result = textf("%s%.*s", result, (int)plain, text);
        text += plain;
        if (!*text)
            break;
        const char *value = text[1] == 'D'   ? dir
                            : text[1] == 'R' ? run_dir(dir)
                            : text[1] == 'T' ? build_path("tests/plugins")
                            : text[1] == 'B' ? build_path("")
                                             : made;
        const size_t size = strlen(value);
        result = textf("%s%.*s", result, (int)(size - (size > 0 && value[size - 1] == '/')), value);
        text += 2;
    }
    return result;
}

/* Splits at spaces into a list that ends with NULL. */
static void split(const char *text, const char **list, size_t room)
{
    size_t count = 0;

    while (*text && count + 1 < room) {
        const size_t size = strcspn(text, " ");
        if (size > 0)
            list[count++] = textf("%.*s", (int)size, text);
        text += size + (text[size] == ' ');
    }
    list[count] = NULL;
}

/* start_fd: gets the read end. */
static struct process *start_row(const struct row *row, const char *dir, const char *made,
                                 int *start_fd)
{
    int pair[2];
    const char *argv[32] = {"rpd"}, *env[8];
    size_t count = 1;

    if (row->prepare == rpd_set_uid)
        argv[0] = made;
    if (row->config) {
        argv[count++] = "-c";
        argv[count++] = textf("%s/c.json", dir);
        write_text(argv[2], expand(row->config, dir, made));
    }
    split(expand(row->args, dir, made), argv + count, 28);
    split(expand(row->env, dir, made), env, 8);
    if (pipe2(pair, O_CLOEXEC) != 0)
        test_die("pipe: %s", strerror(errno));
    struct process *rpd = process_start(&(struct process_options){.argv = argv,
                                                                  .env = env,
                                                                  .runtime_dir = run_dir(dir),
                                                                  .directory = dir,
                                                                  .start_fd = pair[1]});
    close(pair[1]);
    *start_fd = pair[0];
    return rpd;
}

/* The launcher gets the same about the start as the user: one line, and the end. */
static void check_start(const struct row *row, const char *text, int start_fd)
{
    char told[8192];
    const char *wanted = "bound\n", *last = text;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        last = line;
    if (!strstr(text, ": bound ") && row->line)
        wanted = textf("ended %d %s", row->code, last + strlen("rpd: "));
    else if (!strstr(text, ": bound "))
        wanted = textf("ended %d -\n", row->code);
    cr_assert_geq(read_to_end(start_fd, told, sizeof told), 0, "%s: %s", row->name,
                  strerror(errno));
    cr_expect_str_eq(told, wanted, "%s: the launcher heard \"%s\" instead of \"%s\"", row->name,
                     told, wanted);
    close(start_fd);
}

/* The history of a daemon that was bound has that, and one end, with the line of the error. */
static void check_history(const struct row *row, const char *text, const char *runtime_dir)
{
    DIR *stream = opendir(runtime_dir);
    size_t found = 0;

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".history") != 0)
            continue;
        const char *history = file_read(textf("%s/%s", runtime_dir, entry->d_name));
        const char *end = strstr(history, " ended ");
        found++;
        cr_expect_eq(lines_with(history, " ended "), 1, "%s: %s", row->name, history);
        cr_assert_not_null(end, "%s: %s", row->name, history);
        if (!row->line)
            cr_expect_str_eq(end, textf(" ended %d -\n", row->code), "%s: %s", row->name, history);
        else
            cr_expect(strstr(text, textf("rpd: %s", end + strlen(" ended nn "))) &&
                          strncmp(end, textf(" ended %d ", row->code), 10) == 0,
                      "%s: %s", row->name, history);
    }
    if (stream)
        closedir(stream);
    cr_expect_eq(found > 0, strstr(text, ": bound ") != NULL, "%s: %zu histories", row->name,
                 found);
}

static void check_line(const struct row *row, const char *text, const char *dir, const char *made)
{
    const char *begin = textf("rpd: %s", expand(row->line, dir, made));
    const char *step = textf("rpd: %.*s: ", (int)strcspn(row->line, ":"), row->line);
    const char *found = NULL;
    size_t errors = 0;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, step, strlen(step)) == 0) {
            errors++;
            found = textf("%.*s", (int)strcspn(line, "\n"), line);
        }
    }
    cr_assert_eq(errors, 1, "%s: %zu lines begin with \"%s\":\n%s", row->name, errors, step, text);
    cr_expect(strncmp(found, begin, strlen(begin)) == 0, "%s: no \"%s\" in:\n%s", row->name, begin,
              found);
    if (row->cause)
        cr_expect(strstr(found, expand(row->cause, dir, made)), "%s: no cause \"%s\" in:\n%s",
                  row->name, expand(row->cause, dir, made), found);
    cr_expect(strstr(found, row->advice), "%s: no advice \"%s\" in:\n%s", row->name, row->advice,
              found);
    if (!strstr(text, ": bound ") && !strstr(text, "test: "))
        cr_expect_eq(lines_with(text, ""), 1, "%s: more than one line:\n%s", row->name, text);
}

ParameterizedTestParameters(exit_codes, row)
{
    static size_t at[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, ROWS);
}

ParameterizedTest(size_t *at, exit_codes, row)
{
    const struct row *row = &rows[*at];
    if (row->prepare == rpd_set_uid && (is_sanitized() || !others_reach_the_build()))
        cr_skip("a sanitizer, or a tree that others cannot reach, does not run set-uid");
    /* A sanitizer complains about a process that exits within dlopen(). */
    if (row->env && strcmp(row->env, "TEST_CONSTRUCTOR=exit") == 0 &&
        strstr(build_path(""), "tsan"))
        cr_skip("ThreadSanitizer does not let a constructor exit");
    const char *dir = temp_dir_make();
    mkdir(run_dir(dir), 0700);
    const char *made = row->prepare ? row->prepare(dir) : "";
    if (row->config)
        write_text(textf("%s/c.json", dir), "");
    const char *before = listing(dir);
    int start_fd;
    struct process *rpd = start_row(row, dir, made, &start_fd);

    if (row->say) {
        cr_assert_eq(process_wait_line(rpd, ": ready "), 0, "%s:\n%s", row->name,
                     process_stderr(rpd));
        const int fd = connect_to(textf("unix:%s/x.sock", dir));
        cr_assert_geq(fd, 0, "%s: %s", row->name, strerror(errno));
        send_all(fd, row->say, strlen(row->say));
    }
    if (row->until) {
        cr_assert_eq(process_wait_line(rpd, row->until), 0, "%s: no \"%s\" in:\n%s", row->name,
                     row->until, process_stderr(rpd));
        process_signal(rpd, SIGTERM);
    }
    const int code = process_code(process_wait_exit(rpd));
    cr_expect_eq(code, row->code, "%s: exit code %d instead of %d:\n%s", row->name, code, row->code,
                 process_stderr(rpd));
    cr_expect(!strstr(process_stderr(rpd), "the constructor ran"), "%s: a constructor ran",
              row->name);
    if (row->line)
        check_line(row, process_stderr(rpd), dir, made);
    else if (!row->until)
        cr_expect_str_empty(process_stderr(rpd), "%s: %s", row->name, process_stderr(rpd));
    check_start(row, process_stderr(rpd), start_fd);
    if (row->prepare != holder_of_the_name)
        check_history(row, process_stderr(rpd), run_dir(dir));
    const char *after = listing(dir);
    cr_expect_str_eq(after, before, "%s left:\n%s\nwhere there was:\n%s", row->name, after, before);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- the same through rpdctl ensure ---- */

/* Not the rows that do not fail by themselves, and not those that ensure understands differently:
 * its own command line, and names that do not end in .so, which are configurations. */
static bool fits_ensure(const struct row *row)
{
    static const char *const others[] = {
        "no plugin", "a closed descriptor", "no number",          "nearest option",
        "two modes", "the name is taken",   "two configurations", "set-uid",
        "-l alone",  "a directory",         "an executable"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(row->name, others[i]) == 0)
            return false;
    return row->code != 0 && row->line && !row->until && !row->say;
}

static struct process *ensure_row(const struct row *row, const char *dir, const char *made)
{
    const char *argv[40] = {"rpdctl", "ensure", "--ready"}, *env[8];
    size_t count = 3;

    if (row->config) {
        argv[count++] = "-c";
        argv[count++] = textf("%s/c.json", dir);
        write_text(argv[4], expand(row->config, dir, made));
    }
    split(expand(row->args, dir, made), argv + count, 28);
    split(textf("XDG_STATE_HOME=%s/state %s", dir, expand(row->env, dir, made)), env, 8);
    return process_start(&(struct process_options){
        .argv = argv, .env = env, .runtime_dir = run_dir(dir), .directory = dir});
}

/* Each failing start arrives at the caller with its code and its line. */
ParameterizedTestParameters(exit_codes, through_ensure)
{
    static size_t at[ROWS];
    size_t count = 0;

    for (size_t i = 0; i < ROWS; i++)
        if (fits_ensure(&rows[i]))
            at[count++] = i;
    return cr_make_param_array(size_t, at, count);
}

ParameterizedTest(size_t *at, exit_codes, through_ensure)
{
    const struct row *row = &rows[*at];
    if (row->env && strcmp(row->env, "TEST_CONSTRUCTOR=exit") == 0 &&
        strstr(build_path(""), "tsan"))
        cr_skip("ThreadSanitizer does not let a constructor exit");
    const char *dir = temp_dir_make();
    mkdir(run_dir(dir), 0700);
    const char *made = row->prepare ? row->prepare(dir) : "";
    struct process *rpdctl = ensure_row(row, dir, made);
    const int code = process_code(process_wait_exit(rpdctl));

    cr_expect_eq(code, row->code, "%s: exit code %d instead of %d:\n%s", row->name, code, row->code,
                 process_stderr(rpdctl));
    cr_expect_str_empty(process_stdout(rpdctl), "%s: %s", row->name, process_stdout(rpdctl));
    check_line(row, process_stderr(rpdctl), dir, made);
    process_free(rpdctl);
    temp_dir_remove(dir);
}

/* The table covers every exit code of the design. */
Test(exit_codes, all_have_rows)
{
    static const int codes[] = {0, 64, 65, 66, 69, 70, 71, 73, 75, 76, 77, 78};

    for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
        size_t count = 0;
        for (size_t i = 0; i < ROWS; i++)
            count += rows[i].code == codes[c];
        cr_expect_geq(count, 3, "code %d has %zu rows", codes[c], count);
    }
}

/* Wherever descriptors run out, the line says so, and gives the right advice. */
Test(exit_codes, few_descriptors_are_told)
{
    enum { ENOUGH = 64 };
    const char *dir = temp_dir_make();
    int limit = 4;

    if (is_sanitized())
        cr_skip("a sanitizer needs some of its own");
    for (; limit < ENOUGH; limit++) {
        const char *command = textf("ulimit -n %d; exec %s %s -l unix:%s/s", limit,
                                    build_path("rpd"), build_path("plugins/echo.so"), dir);
        struct process *rpd = process_start(&(struct process_options){
            .argv = ARGS("sh", "-c", command), .runtime_dir = run_dir(dir)});

        if (process_wait_bound(rpd) == 0) {
            cr_expect_eq(process_code(process_stop(rpd)), 0);
            process_free(rpd);
            break;
        }
        const char *text = process_stderr(rpd);
        cr_expect_eq(process_code(process_wait_exit(rpd)), 71, "%d: %s", limit, text);
        cr_expect(strstr(text, "raise the limit of descriptors") ||
                      strstr(text, "raise the limits"),
                  "%d: %s", limit, text);
        cr_expect_null(strstr(text, "processes"), "%d: %s", limit, text);
        process_free(rpd);
    }
    cr_assert(limit > 16 && limit < ENOUGH, "%d", limit);
    temp_dir_remove(dir);
}
