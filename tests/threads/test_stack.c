/* Stacks of other threads, under ThreadSanitizer, too: a plain main, because Criterion cannot run
 * there. Some threads wait in a known function, some answer late or not at all, and several threads
 * ask at once.
 *
 * Prints "N passed, N failed". */
#include "guard/crash.h"
#include "guard/foreign.h"
#include "guard/stack.h"
#include "guard/thread.h"
#include "guard/trace.h"

#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKERS = 8, QUESTIONS = 50 };

static int passed, failed;

static void check(bool good, const char *what, const char *text)
{
    if (good) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "FAILED: %s (%s)\n", what, text);
}

static void make(pthread_t *thread, void (*run)(void *arg), void *arg)
{
    if (thread_create(thread, "test", 0, run, arg) != 0) {
        fprintf(stderr, "cannot make a thread\n");
        exit(1);
    }
}

/* A question may interrupt it. */
static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

/* ---- threads that are asked ---- */

/* A thread that waits in stand_still() until it is told to go. */
struct standing {
    pthread_t thread;
    const char *service;
    sem_t go, stands, unblocked;
    bool is_masked;
    volatile int calls;
};

__attribute__((noinline)) static void stand_still(struct standing *standing)
{
    sem_post(&standing->stands);
    wait_for(&standing->go);
    standing->calls++;
}

static void set_mask(int how)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(how, &all, NULL);
}

static void run_standing(void *arg)
{
    struct standing *standing = arg;

    if (standing->is_masked)
        set_mask(SIG_BLOCK);
    foreign_enter((struct foreign_owner){standing->service, "/p/echo.so"}, NULL);
    stand_still(standing);
    foreign_leave();
    if (!standing->is_masked)
        return;
    set_mask(SIG_UNBLOCK); /* the questions arrive now, late */
    sem_post(&standing->unblocked);
    stand_still(standing);
}

/* The thread announces it just before it blocks signals. ThreadSanitizer delays a signal that comes
 * between the two. */
static void wait_until_it_stands(const struct standing *standing)
{
    struct stack stack = {.text = ""};

    for (int i = 0; i < QUESTIONS && !strstr(stack.text, "stand_still+0x"); i++)
        stack_of_thread(standing->thread, &stack);
}

static void begin(struct standing *standing, const char *service, bool is_masked)
{
    *standing = (struct standing){.service = service, .is_masked = is_masked};
    sem_init(&standing->go, 0, 0);
    sem_init(&standing->stands, 0, 0);
    sem_init(&standing->unblocked, 0, 0);
    make(&standing->thread, run_standing, standing);
    wait_for(&standing->stands);
    if (!is_masked)
        wait_until_it_stands(standing);
}

static void end(struct standing *standing)
{
    sem_post(&standing->go);
    pthread_join(standing->thread, NULL);
}

/* ---- tests ---- */

static void test_known_function(void)
{
    struct standing standing;
    struct stack stack = {.text = ""};

    begin(&standing, "echo", false);
    check(stack_of_thread(standing.thread, &stack), "it answers", "");
    check(strstr(stack.text, "stand_still+0x") != NULL, "its function", stack.text);
    check(strstr(stack.text, "run_standing+0x") != NULL, "the caller", stack.text);
    check(strstr(stack.text, "start_thread") == NULL, "not the start of the thread", stack.text);
    check(stack.place.service && strcmp(stack.place.service, "echo") == 0, "service", stack.text);
    check(stack.place.plugin && strcmp(stack.place.plugin, "/p/echo.so") == 0, "plugin",
          stack.text);
    printf("a standing thread: %s\n", stack.text);
    end(&standing);
}

static void test_own_stack(void)
{
    struct stack stack = {.text = ""};

    check(stack_of_thread(pthread_self(), &stack), "it asks itself", "");
    check(stack.text[0] != '\0' && !stack.place.plugin, "no plugin's code", stack.text);
}

/* The answer of one thread must not be taken for that of the next. */
static void test_late_answer(void)
{
    struct standing late, prompt;
    struct stack stack = {.text = ""};

    begin(&late, "late", true);
    begin(&prompt, "prompt", false);
    for (int i = 0; i < 3; i++)
        check(!stack_of_thread(late.thread, &stack), "it cannot answer", stack.text);
    check(stack_of_thread(prompt.thread, &stack) && strcmp(stack.place.service, "prompt") == 0,
          "another answers", stack.text);
    sem_post(&late.go);
    wait_for(&late.unblocked);
    wait_for(&late.stands);
    wait_until_it_stands(&late);
    check(stack_of_thread(late.thread, &stack), "it answers now", stack.text);
    check(strstr(stack.text, "stand_still+0x") != NULL, "its function", stack.text);
    check(stack_of_thread(prompt.thread, &stack) && strcmp(stack.place.service, "prompt") == 0,
          "and so does the other", stack.text);
    end(&late);
    end(&prompt);
}

struct asker {
    pthread_t thread, asked;
    const char *service;
    int good, lost, wrong;
};

static void run_asker(void *arg)
{
    struct asker *asker = arg;

    for (int i = 0; i < QUESTIONS; i++) {
        struct stack stack;

        if (!stack_of_thread(asker->asked, &stack))
            asker->lost++;
        else if (strcmp(stack.place.service, asker->service) == 0 &&
                 strstr(stack.text, "stand_still+0x"))
            asker->good++;
        else
            asker->wrong++;
    }
}

static void test_many_askers(void)
{
    static const char *const services[] = {"a", "b"};
    struct standing standings[2];
    struct asker askers[ASKERS];
    int good = 0, wrong = 0;
    char text[64];

    for (int i = 0; i < 2; i++)
        begin(&standings[i], services[i], false);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.asked = standings[i % 2].thread, .service = services[i % 2]};
        make(&askers[i].thread, run_asker, &askers[i]);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        good += askers[i].good;
        wrong += askers[i].wrong;
    }
    for (int i = 0; i < 2; i++)
        end(&standings[i]);
    snprintf(text, sizeof text, "%d good, %d wrong", good, wrong);
    printf("many askers: %s of %d\n", text, ASKERS * QUESTIONS);
    check(wrong == 0, "each gets the answer of the thread that it asks", text);
    /* On a busy machine an answer may come too late. */
    check(good > ASKERS * QUESTIONS / 2, "most are answered", text);
}

/* Two threads that ask each other; each lives until the other has asked. */
static void run_mutual(void *arg)
{
    struct asker *asker = arg;

    while (asker->good + asker->lost < QUESTIONS) {
        struct stack stack;

        if (stack_of_thread(asker->asked, &stack))
            asker->good++;
        else
            asker->lost++;
    }
}

struct pair {
    struct asker asker;
    sem_t begin, end;
};

static void run_other(void *arg)
{
    struct pair *pair = arg;

    wait_for(&pair->begin);
    run_mutual(&pair->asker);
    wait_for(&pair->end);
}

static void test_mutual(void)
{
    struct pair pair = {.asker.asked = pthread_self()};
    struct asker mine = {0};

    sem_init(&pair.begin, 0, 0);
    sem_init(&pair.end, 0, 0);
    make(&mine.asked, run_other, &pair);
    sem_post(&pair.begin);
    run_mutual(&mine);
    sem_post(&pair.end);
    pthread_join(mine.asked, NULL);
    check(mine.good > QUESTIONS / 2 && pair.asker.good > QUESTIONS / 2,
          "threads that ask each other", "");
}

/* A stray signal from another process is not an answer, and does no harm. */
static void test_stray_signal(void)
{
    struct stack stack = {.text = ""};
    struct standing standing;

    begin(&standing, "echo", false);
    check(stack_of_thread(standing.thread, &stack), "it answers", "");
    for (int i = 0; i < 10; i++) {
        pthread_kill(standing.thread, stack_signal());
        pthread_sigqueue(standing.thread, stack_signal(), (union sigval){.sival_int = i});
    }
    check(stack_of_thread(standing.thread, &stack), "it still answers", "");
    check(strstr(stack.text, "stand_still+0x") != NULL, "its function", stack.text);
    end(&standing);
}

int main(void)
{
    crash_thread_begin("main");
    trace_prepare();
    test_known_function();
    test_own_stack();
    test_late_answer();
    test_many_askers();
    test_mutual();
    test_stray_signal();
    crash_thread_end();
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
