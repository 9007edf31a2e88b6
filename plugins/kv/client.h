/* Clients: their requests are parsed, run and answered. */
#ifndef KV_CLIENT_H
#define KV_CLIENT_H

#include "kv.h"

/* [loop] As in struct rpd_backend. */
void client_connect(struct rpd_conn *conn, void *state);
void client_data(struct rpd_conn *conn, void *state);
void client_close(struct rpd_conn *conn, void *state);

/* [loop] The held clients go on: what they wait for may be there now. */
void client_resume_held(struct kv *kv);

/* [loop] Closes a client for which there is no memory: counted (INFO) and logged. kv: NULL while
 * there is no state. */
void client_abort_for_memory(struct kv *kv, struct rpd_conn *conn);

/* [loop] A session whose client has gone. */
void client_free(struct kv *kv, struct session *session);

#endif
