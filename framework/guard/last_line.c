/* Last lines. See last_line.h. */
#include "guard/last_line.h"

#include "base/output.h"
#include "guard/foreign.h"
#include "guard/symbol.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum { STDERR_WAIT_MS = 1000 };

static _Atomic(const char *) current_step;

void last_line_set_step(const char *literal)
{
    atomic_store(&current_step, literal);
}

static void add_thread(struct text_builder *text)
{
    char name[16] = "";

    text_add(text, ", thread ");
    if (foreign_context_.thread) {
        text_add(text, foreign_context_.thread);
        return;
    }
    text_add_decimal(text, gettid());
    if (prctl(PR_GET_NAME, name) == 0) {
        text_add(text, " (not rpd's; named ");
        text_add(text, name);
        text_add(text, ")");
    }
}

static void add_step(struct text_builder *text)
{
    const char *step = atomic_load(&current_step);

    if (!step)
        return;
    text_add(text, ", step ");
    text_add(text, step);
}

/* blamed: where the code is. Outside a plugin's callbacks (a thread that the
 * plugin has started) its object is all that is known. */
void last_line_add_context(struct text_builder *text, uintptr_t blamed)
{
    const struct foreign_place place = foreign_place_of(&foreign_context_);
    struct symbol symbol;

    add_step(text);
    if (place.service || place.plugin) {
        if (place.service) {
            text_add(text, ", service ");
            text_add(text, place.service);
        }
        if (place.plugin) {
            text_add(text, place.service ? " (plugin " : ", plugin ");
            text_add(text, place.plugin);
            text_add(text, place.service ? ")" : "");
        }
    } else if (symbol_find(blamed, SYMBOL_NO_FILES, &symbol)) {
        text_add(text, ", object ");
        text_add(text, symbol.object);
    }
    add_thread(text);
}

/* One write(2). A stderr without a reader must not keep the process alive, so
 * it is only written when it can take the line; PIPE_BUF bytes fit then. */
void last_line_write(struct text_builder *text)
{
    struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
    char head[OUTPUT_HEAD_MAX];
    struct iovec parts[] = {{head, output_head(OUTPUT_ERROR, head)}, {text->bytes, 0}};
    ssize_t written;

    if (text->used >= text->size)
        text->used = text->size - 1;
    text->bytes[text->used] = '\n';
    parts[1].iov_len = text->used + 1;
    if (poll(&stderr_poll, 1, STDERR_WAIT_MS) == 0)
        return;
    do
        written = writev(STDERR_FILENO, parts, 2);
    while (written < 0 && errno == EINTR);
}
