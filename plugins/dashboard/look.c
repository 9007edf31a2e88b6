/* Looking at services. See look.h. */
#include "look.h"

#include "base/directory.h"
#include "document.h"
#include "observe/metrics_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A text of metrics, or NULL: out of memory. */
static char *metrics_text(const struct metrics_services *services, enum metrics_format format,
                          size_t *ret_size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_size);
    int failed;

    if (!to)
        return NULL;
    failed = metrics_text_print(services, format, to);
    if (fclose(to) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

static void read_metrics(struct look *look, int runtime_dirfd)
{
    struct metrics_services services = {0};

    if (runtime_dirfd >= 0 && metrics_services_read(runtime_dirfd, NULL, &services) < 0) {
        snprintf(look->error, sizeof look->error, "dashboard: cannot look: %s", strerror(errno));
    } else {
        if (look->wanted[LOOK_OPENMETRICS])
            look->texts[LOOK_OPENMETRICS] = metrics_text(&services, METRICS_OPENMETRICS,
                                                         &look->sizes[LOOK_OPENMETRICS]);
        if (look->wanted[LOOK_TEXT_0_0_4])
            look->texts[LOOK_TEXT_0_0_4] = metrics_text(&services, METRICS_TEXT_0_0_4,
                                                        &look->sizes[LOOK_TEXT_0_0_4]);
    }
    metrics_services_finish(&services);
}

void look_read(struct look *look)
{
    char path[RUNTIME_PATH_MAX];
    struct error error;
    int runtime_dirfd;

    snprintf(look->error, sizeof look->error, "dashboard: out of memory");
    if (directory_find_runtime(path, &runtime_dirfd, &error) < 0) {
        snprintf(look->error, sizeof look->error, "%.*s", (int)sizeof look->error - 1, error.text);
        return;
    }
    if (look->wanted[LOOK_OPENMETRICS] || look->wanted[LOOK_TEXT_0_0_4])
        read_metrics(look, runtime_dirfd);
    if (look->wanted[LOOK_STATUS]) {
        look->texts[LOOK_STATUS] = document_make(
            runtime_dirfd, &(struct document_of){path, look->own_service, look->refresh_ms});
        look->sizes[LOOK_STATUS] = look->texts[LOOK_STATUS] ? strlen(look->texts[LOOK_STATUS]) : 0;
    }
    if (runtime_dirfd >= 0)
        close(runtime_dirfd);
}

void look_finish(struct look *look)
{
    for (size_t i = 0; i < LOOK_KINDS; i++)
        free(look->texts[i]);
    *look = (struct look){0};
}
