/* Has neither on_data nor serve: no client could ever be answered. */
#include <rpd/backend.h>

RPD_BACKEND(no_on_data, .summary = "Cannot answer a client");
