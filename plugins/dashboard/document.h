/* /status.json: all that is known of the services in a run-time directory. README.md has its
 * keys; those that `rpdctl status --json` has, too, have the same meaning. */
#ifndef DASHBOARD_DOCUMENT_H
#define DASHBOARD_DOCUMENT_H

struct document_of {
    const char *runtime_dir;
    const char *own_service;
    unsigned refresh_ms;
};

/* [worker] A text to be freed; NULL: out of memory. runtime_dirfd: -1: there is no such directory,
 * and no service. */
char *document_make(int runtime_dirfd, const struct document_of *of);

#endif
