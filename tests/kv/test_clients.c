/* Programs written for Redis, with kv in its place: redis-cli in its forms, and ccache. */
#include "kv_scene.h"
#include "terminal.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define assert_has(text, part)                                                                     \
    cr_assert_not_null(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))

static bool can_run(const char *program)
{
    struct process *probe = process_start(
        &(struct process_options){.argv = ARGS(program, "--version")});
    const int code = process_code(process_wait_exit(probe));

    process_free(probe);
    return code == 0;
}

/* Runs a shell command in which redis-cli is $cli. Returns its output. */
static const char *shell(const char *dir, const char *command)
{
    struct process *sh = process_start(&(struct process_options){
        .argv = ARGS("/bin/sh", "-c", command),
        .env = ARGS(textf("cli=redis-cli -s %s/kv.sock", dir), textf("HOME=%s", dir)),
        .directory = dir});
    const int code = process_code(process_wait_exit(sh));
    const char *out = textf("%s", process_stdout(sh));

    cr_assert_eq(code, 0, "%s: %d:\n%s%s", command, code, out, process_stderr(sh));
    process_free(sh);
    return out;
}

static size_t lines_in(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static struct process *start_with_keys(const char *dir, int keys)
{
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < keys; i++)
        cr_assert_str_eq(scene_ask(fd, "SET key:%d %0*d", i, i == 77 ? 500 : 10, i), "+OK");
    close(fd);
    return rpd;
}

static void stop(struct process *rpd, const char *dir)
{
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- their first requests, tested on a machine without the programs, too ----------------- */

Test(clients, are_answered_what_they_ask_first)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 0);
    const int fd = scene_client(dir);

    cr_assert_eq(*scene_ask(fd, "COMMAND DOCS"), '*');
    cr_assert_eq(*scene_ask(fd, "COMMAND"), '*');
    cr_assert_eq(*scene_ask(fd, "HELLO 2"), '*');
    cr_assert_str_eq(scene_ask(fd, "CLIENT SETNAME somebody"), "+OK");
    cr_assert_eq(*scene_ask(fd, "HELLO 3"), '%');
    cr_assert_eq(*scene_ask(fd, "COMMAND DOCS"), '%');
    cr_assert_str_eq(scene_ask(fd, "PING"), "+PONG");
    close(fd);
    stop(rpd, dir);
}

/* ---- redis-cli ---------------------------------------------------------------------- */

enum { KEYS = 3000 };

Test(redis_cli, scans)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, KEYS);

    cr_assert_eq(lines_in(shell(dir, "$cli --scan | sort -u")), KEYS);
    cr_assert_str_eq(shell(dir, "$cli --scan --pattern 'key:123?' | sort | head -n 2"),
                     "key:1230\nkey:1231\n");
    stop(rpd, dir);
}

Test(redis_cli, finds_the_biggest_key)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, KEYS);
    const char *out = shell(dir, "$cli --bigkeys");

    assert_has(out, textf("Sampled %d keys in the keyspace!", KEYS));
    assert_has(out, "Biggest string found '\"key:77\"' has 500 bytes");
    assert_has(out, textf("%d strings with %d bytes (100.00%% of keys", KEYS, KEYS * 10 + 490));
    stop(rpd, dir);
}

/* The columns: keys, memory, clients, blocked, requests (and those since the last line),
 * connections. */
Test(redis_cli, shows_statistics)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, KEYS);
    /* It continues until its reader closes. */
    const char *out = shell(dir, "$cli -i 0.05 --stat | head -n 4 | tail -n 2");
    int keys = 0, clients = 0, blocked = -1, requests = 0, more = -1;
    char memory[32], last[32];

    cr_assert_eq(sscanf(strchr(out, '\n') + 1, "%d %31s %d %d %d (+%d) %31s", &keys, memory,
                        &clients, &blocked, &requests, &more, last),
                 7, "%s", out);
    cr_assert_eq(keys, KEYS, "%s", out);
    cr_assert(clients >= 1 && blocked == 0 && requests >= KEYS && more >= 0, "%s", out);
    stop(rpd, dir);
}

/* Errors are counted, and no answer behind them is lost. */
Test(redis_cli, pipes_commands_in)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 0);
    static char commands[20000 * 40];
    size_t size = 0;

    for (int i = 0; i < 20000; i++)
        size += (size_t)snprintf(commands + size, sizeof commands - size,
                                 "*3\r\n$3\r\nSET\r\n$9\r\nkey:%05d\r\n$2\r\n%02d\r\n", i, i % 100);
    file_write(textf("%s/commands", dir), commands, size);
    assert_has(shell(dir, "$cli --pipe <commands"), "errors: 0, replies: 20000\n");
    cr_assert_str_eq(shell(dir, "$cli DBSIZE; $cli GET key:19942"), "20000\n42\n");
    cr_assert_str_eq(shell(dir, "printf 'SET a 1\\r\\nINCR a b\\r\\nINCR a\\r\\n' | $cli --pipe | "
                                "grep -o 'errors: .*'; $cli GET a"),
                     "errors: 1, replies: 3\n2\n");
    stop(rpd, dir);
}

Test(redis_cli, speaks_the_third_protocol)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 1);

    assert_has(shell(dir, "$cli -3 --no-raw HELLO"), "\"proto\" => (integer) 3\n");
    assert_has(shell(dir, "$cli -2 --no-raw HELLO"), "\"proto\"\n 6) (integer) 2\n");
    cr_assert_str_eq(shell(dir, "$cli -3 GET key:0; $cli -3 --no-raw GET none"),
                     "0000000000\n(nil)\n");
    stop(rpd, dir);
}

/* As a person at a terminal would. */
static void type(const struct terminal *terminal, const char *line, const char *answer)
{
    TERMINAL(terminal, "send-keys", "C-l"); /* clears the screen */
    TERMINAL(terminal, "send-keys", "-l", line);
    TERMINAL(terminal, "send-keys", "Enter");
    terminal_await(terminal, answer);
}

Test(redis_cli, talks_at_a_terminal)
{
    if (!can_run("redis-cli"))
        cr_skip("redis-cli is not installed");
    if (!terminal_can())
        cr_skip("tmux 3.3 is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 0);
    const struct terminal terminal = terminal_open(
        dir, textf("HOME='%s' redis-cli -s '%s/kv.sock'", dir, dir));

    terminal_await(&terminal, "/kv.sock>");
    type(&terminal, "SET greeting \"good morning\"", "\nOK\n");
    type(&terminal, "GET greeting", "\n\"good morning\"\n");
    type(&terminal, "GET nothing", "\n(nil)\n");
    type(&terminal, "INCR greeting", "\n(error) ERR value is not an integer or out of range\n");
    type(&terminal, "SELECT 3", "/kv.sock[3]>");
    type(&terminal, "DBSIZE", "\n(integer) 0\n");
    type(&terminal, "SELECT 0", "/kv.sock>");
    type(&terminal, "HELLO 3", "3# \"proto\" => (integer) 3\n");
    type(&terminal, "GET greeting", "\n\"good morning\"\n");
    type(&terminal, "GET nothing", "\n(nil)\n");
    type(&terminal, "quit", "ended with 0");
    terminal_close(&terminal);
    stop(rpd, dir);
}

/* ---- redis-benchmark ------------------------------------------------------------------ */

Test(redis_benchmark, runs_its_tests)
{
    if (!can_run("redis-benchmark"))
        cr_skip("redis-benchmark is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 0);

    for (int pipeline = 1; pipeline <= 32; pipeline += 31) {
        const char *out = shell(dir, textf("redis-benchmark -s %s/kv.sock -n 20000 -r 1000 -P %d "
                                           "-t ping,set,get,incr,mset --csv | tail -n +2",
                                           dir, pipeline));
        /* PING inline and not; a test that meets an error prints it instead of its line. */
        cr_assert_eq(lines_in(out), 6, "%s", out);
        cr_assert_null(strstr(out, "rror"), "%s", out);
    }
    assert_has(shell(dir, "$cli INFO stats"), "total_commands_processed:");
    cr_assert_str_eq(shell(dir, "$cli STRLEN key:000000000001"), "3\n");
    stop(rpd, dir);
}

/* ---- ccache --------------------------------------------------------------------------- */

/* With a new local cache each time, so that only kv can have the result. */
static const char *compile(const char *dir, const char *cache)
{
    return shell(dir, textf("export CCACHE_DIR=%s/%s CCACHE_CONFIGPATH=/dev/null "
                            "CCACHE_REMOTE_STORAGE=redis+unix:%s/kv.sock; "
                            "rm -f x.o && ccache cc -c x.c -o x.o && test -s x.o && "
                            "ccache --print-stats",
                            dir, cache, dir));
}

Test(ccache, finds_again_what_it_put_there)
{
    if (!can_run("ccache") || !can_run("cc"))
        cr_skip("ccache or cc is not installed");
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_keys(dir, 0);
    const char *source = "int main(void) { return 0; }\n";

    file_write(textf("%s/x.c", dir), source, strlen(source));
    const char *first = compile(dir, "one");
    assert_has(first, "remote_storage_error\t0\n");
    assert_has(first, "remote_storage_hit\t0\n");
    assert_has(first, "remote_storage_write\t2\n");
    const char *again = compile(dir, "other");
    assert_has(again, "remote_storage_error\t0\n");
    assert_has(again, "remote_storage_hit\t1\n");
    assert_has(again, "remote_storage_write\t0\n");
    stop(rpd, dir);
}
