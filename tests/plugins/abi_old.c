/* A plugin whose note says ABI 0: rpd must refuse it before its constructor runs. */
#include <rpd/backend.h>

#include "acts.h"

#define NOTE_OF_ABI 0

static const struct rpd_note note __attribute__((section(".note.rpd"), used, aligned(4))) = {
    4, sizeof(struct rpd_note) - 16, RPD_NOTE_BACKEND, "rpd", NOTE_OF_ABI, "abi_old"};

__attribute__((constructor)) static void constructor(void)
{
    say("test: the constructor ran\n");
}
