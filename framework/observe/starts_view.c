/* Reading how long starts took. See starts_view.h. */
#include "observe/starts_view.h"

#include "observe/history_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 1000 };

/* The start that a line belongs to; one may have several lines. */
static struct start_view *start_of(struct starts_view *starts, const struct history_entry *entry)
{
    struct start_view *last = starts->count > 0 ? &starts->list[starts->count - 1] : NULL;

    if (last && last->pid == entry->pid && last->start_time == entry->start_time)
        return last;
    if (starts->count == STARTS_VIEW_MOST) {
        memmove(starts->list, starts->list + 1, (STARTS_VIEW_MOST - 1) * sizeof *starts->list);
        starts->count--;
    }
    last = &starts->list[starts->count++];
    memset(last, 0, sizeof *last);
    last->time_ms = entry->time_ms;
    last->pid = entry->pid;
    last->start_time = entry->start_time;
    return last;
}

/* "step bind=120;part load=7;" */
static void take_items(struct start_view *start, char *text)
{
    char *save, *word;

    for (word = strtok_r(text, ";", &save); word; word = strtok_r(NULL, ";", &save)) {
        char *equals = strrchr(word, '=');
        struct start_item *item = &start->items[start->count];

        if (!equals || start->count == STARTS_VIEW_ITEMS)
            continue;
        *equals = '\0';
        snprintf(item->name, sizeof item->name, "%s", word);
        item->us = strtoull(equals + 1, NULL, 10);
        start->count++;
    }
}

int starts_view_read(int runtime_dirfd, const char *service, struct starts_view *ret)
{
    struct history_entry *entries = calloc(LINES, sizeof *entries);
    int count;

    *ret = (struct starts_view){.list = calloc(STARTS_VIEW_MOST, sizeof *ret->list)};
    if (!entries || !ret->list) {
        free(entries);
        starts_view_finish(ret);
        return -1;
    }
    count = history_view_times(runtime_dirfd, service, entries, LINES);
    for (int i = 0; i < count; i++)
        take_items(start_of(ret, &entries[i]), entries[i].text);
    free(entries);
    return 0;
}

void starts_view_finish(struct starts_view *starts)
{
    free(starts->list);
    *starts = (struct starts_view){0};
}

const struct start_item *start_view_find(const struct start_view *start, const char *name)
{
    for (size_t i = 0; i < start->count; i++)
        if (strcmp(start->items[i].name, name) == 0)
            return &start->items[i];
    return NULL;
}

uint64_t start_view_whole(const struct start_view *start)
{
    const struct start_item *all = start_view_find(start, "all ready");

    return all ? all->us : 0;
}
