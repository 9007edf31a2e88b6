/* Has neither on_data nor serve: nobody could ever be answered. */
#include <rpd/backend.h>

RPD_BACKEND(no_on_data, .summary = "Cannot answer anybody");
