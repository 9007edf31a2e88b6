/* The context of foreign code. See foreign.h. */
#include "guard/foreign.h"

#include "base/text_builder.h"
#include "guard/symbol.h"

__thread struct foreign_context foreign_context_;

const struct foreign_context *foreign_here(void)
{
    return &foreign_context_;
}

struct foreign_place foreign_place_of(const struct foreign_context *context)
{
    if ((uint32_t)atomic_load_explicit(&context->calls, memory_order_relaxed) == 0)
        return (struct foreign_place){NULL, NULL, NULL};
    return foreign_last_place_of(context);
}

struct foreign_place foreign_last_place_of(const struct foreign_context *context)
{
    return (struct foreign_place){
        atomic_load_explicit(&context->service, memory_order_relaxed),
        atomic_load_explicit(&context->plugin, memory_order_relaxed),
        atomic_load_explicit(&context->callback, memory_order_relaxed),
    };
}

void foreign_thread_is_loop(void)
{
    foreign_context_.is_loop = true;
}

void foreign_thread_is_forked(void)
{
    foreign_context_.is_forked = true;
    atomic_store(&foreign_context_.attention, FOREIGN_ATTENTION_FORKED);
    foreign_context_.is_loop = false; /* so that nothing is sent to the daemon's clients */
}

const char *foreign_callback_name(foreign_code callback, char *room, size_t size)
{
    struct symbol symbol;
    struct text_builder text;

    if (!callback)
        return "constructors";
    text_init(&text, room, size);
    if (symbol_find((uintptr_t)callback, 0, &symbol) && *symbol.function &&
        symbol.function_offset == 0)
        text_add(&text, symbol.function);
    else
        symbol_add(&text, (uintptr_t)callback, 0);
    room[text.used] = '\0';
    return room;
}
